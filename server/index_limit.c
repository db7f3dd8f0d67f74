#include "index_limit.h"
#include "base/clock.h"
#include "base/le.h"
#include "cond_timed.h"
#include "integrity.h"
#include "log.h"
#include "meta.h"
#include "policy.h"
#include "store_admin.h"
#include "workq.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { EVERY_S = 60, FRESH_MS = 600 * 1000, TOUCH_MS = 3600 * 1000, PAGE = 4096, BATCH = 1000 };

struct index_limit {
	struct store *s;
	uint64_t max;
	pthread_t tid;
	bool running;
	pthread_mutex_t passing; /* one at a time */
	pthread_mutex_t lock;    /* all below */
	pthread_cond_t cond;
	bool stop;
	uint64_t evicted;
};

/* ---- lockfiles ---- */

static str age_value(const int64_t *ms)
{
	return (str){ (const char *)ms, sizeof(*ms) };
}

/* 0: none is known. */
static int64_t age_get(struct store_read *r, const char *table, str key)
{
	struct err e;
	int64_t ms = 0;
	str v;

	if (store_kv_get(&v, r, table, key, &e) > 0 && v.n == sizeof(ms))
		memcpy(&ms, v.p, sizeof(ms));
	return ms;
}

/* Whether it is there, which is a use of it; A: OUT is a copy in there. */
static bool lockfile_use(str *out, struct store *s, str key, int64_t now_ms, struct arena *a)
{
	struct store_read *r;
	struct err e;
	str v;

	if (store_read_begin(&r, s, &e) < 0)
		return false; /* the client sends it again */
	bool hit = store_kv_get(&v, r, "lockfiles", key, &e) > 0;
	bool touch = hit && now_ms - age_get(r, "lockfile-age", key) > TOUCH_MS;
	if (hit && a)
		*out = arena_str(a, v);
	store_read_end(r);
	/* Dropped when the writer is busy: then the next use says it. */
	if (touch && !store_kv_put(s, "lockfile-age", key, age_value(&now_ms)))
		log_debug("index", "touched=0");
	return hit;
}

bool index_lockfile_find(str *out, struct store *s, const uint8_t sha256[32], int64_t now_ms, struct arena *a)
{
	char hex[65];

	hex_print(hex, sha256, 32);
	return lockfile_use(out, s, (str){ hex, 64 }, now_ms, a);
}

bool index_lockfile_keep(struct store *s, const uint8_t sha256[32], str text, int64_t now_ms)
{
	char hex[65];
	str key = { hex, 64 };

	hex_print(hex, sha256, 32);
	/* Each plan of a project makes it again. */
	if (lockfile_use(NULL, s, key, now_ms, NULL))
		return true;
	/* The text first: an age without one would stay for ever. */
	return store_kv_put(s, "lockfiles", key, text) && store_kv_put(s, "lockfile-age", key, age_value(&now_ms));
}

/* ---- a pass ---- */

struct row {
	const char *table, *ages; /* ages NULL: a row says itself how old it is */
	str key;
	int64_t used_ms;
	uint64_t bytes;
};
struct rows {
	struct arena a;
	struct store_read *r;
	const char *table, *ages;
	struct row *p;
	size_t n;
};

/* Pages that a row takes, about: large values have pages of their own. */
static uint64_t row_bytes(str key, str value)
{
	size_t n = key.n + value.n + 64;

	return n < PAGE / 2 ? n : (n + PAGE - 1) / PAGE * PAGE;
}

/* A verdict's value is the time up to which all was published: before it was made, by as much
 * as minimumReleaseAge says. */
static int64_t verdict_ms(str value)
{
	return value.n == POLICY_VALUE ? (int64_t)le_get64((const uint8_t *)value.p) : 0;
}

static int collect(void *arg, str key, str value)
{
	struct rows *rs = arg;
	struct row *o = arena_add(&rs->a, rs->p, rs->n);

	*o = (struct row){ rs->table, rs->ages, arena_str(&rs->a, key),
		rs->ages ? age_get(rs->r, rs->ages, key) : verdict_ms(value), row_bytes(key, value) };
	int64_t made = rs->ages ? meta_row_ms(value) : 0; /* 0 for a lockfile */
	if (made > o->used_ms)
		o->used_ms = made;
	return 0;
}

static int older_first(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	return (a->used_ms > b->used_ms) - (a->used_ms < b->used_ms);
}

static int rows_read(struct rows *rs, struct store *s, struct err *e)
{
	static const char *const tables[][2] = { { "meta", "meta-age" }, { "lockfiles", "lockfile-age" },
		{ "verdicts", NULL } };
	int rc = store_read_begin(&rs->r, s, e);

	for (int i = 0; i < 3 && rc >= 0; i++) {
		rs->table = tables[i][0];
		rs->ages = tables[i][1];
		rc = store_kv_each(rs->r, rs->table, collect, rs, e);
	}
	if (rs->r)
		store_read_end(rs->r);
	return rc;
}

/* Deletes the row and its age; waits for the writer now and then, so that its queue keeps room for others. */
static bool row_delete(struct store *s, const struct row *o, size_t i)
{
	if (i % BATCH == BATCH - 1)
		store_flush(s);
	return store_kv_put(s, o->table, o->key, STR_NONE) && (!o->ages || store_kv_put(s, o->ages, o->key, STR_NONE));
}

static size_t pass(struct index_limit *l, int64_t now_ms)
{
	struct rows rs = { .a = ARENA_INIT(256 * 1024) };
	uint64_t entries, bytes;
	size_t n = 0;
	struct err e;

	store_index_size(l->s, &entries, &bytes);
	if (bytes <= l->max)
		return 0;
	if (rows_read(&rs, l->s, &e) < 0) {
		log_warn("index", "evicted=0 message=\"%s\"", e.msg);
		arena_release(&rs.a);
		return 0;
	}
	if (rs.n)
		qsort(rs.p, rs.n, sizeof(*rs.p), older_first);
	for (size_t i = 0; i < rs.n && bytes > l->max / 10 * 9; i++) {
		int64_t age = now_ms - rs.p[i].used_ms; /* below 0: used before the clock was put back, not lately */
		if (age >= 0 && age <= FRESH_MS)
			continue;
		if (!row_delete(l->s, &rs.p[i], n))
			break; /* the writer is busy: the next pass goes on */
		bytes -= rs.p[i].bytes < bytes ? rs.p[i].bytes : bytes;
		n++;
	}
	arena_release(&rs.a);
	store_flush(l->s); /* so that the next pass sees what this one made room for */
	log_info("index", "evicted=%zu of=%zu", n, rs.n);
	pthread_mutex_lock(&l->lock);
	l->evicted += n;
	pthread_mutex_unlock(&l->lock);
	return n;
}

size_t index_limit_pass(struct index_limit *l, int64_t now_ms)
{
	pthread_mutex_lock(&l->passing);
	size_t n = pass(l, now_ms);
	pthread_mutex_unlock(&l->passing);
	return n;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct index_limit *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		pthread_mutex_unlock(&l->lock);
		(void)index_limit_pass(l, clock_wall_ms());
		pthread_mutex_lock(&l->lock);
		if (!l->stop)
			(void)cond_timed_wait(&l->cond, &l->lock, EVERY_S * 1000);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int index_limit_new(struct index_limit **out, struct store *s, uint64_t max_bytes, struct err *e)
{
	struct index_limit *l = xcalloc(1, sizeof(*l));

	l->s = s;
	l->max = max_bytes;
	pthread_mutex_init(&l->passing, NULL);
	pthread_mutex_init(&l->lock, NULL);
	cond_timed_init(&l->cond);
	if (workq_thread(&l->tid, "index-limit", run, l, e) < 0) {
		index_limit_free(l);
		return e->code;
	}
	l->running = true;
	*out = l;
	return 0;
}

void index_limit_free(struct index_limit *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->cond);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->tid, NULL);
	pthread_cond_destroy(&l->cond);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->passing);
	free(l);
}

uint64_t index_limit_evicted(struct index_limit *l)
{
	pthread_mutex_lock(&l->lock);
	uint64_t n = l->evicted;
	pthread_mutex_unlock(&l->lock);
	return n;
}
