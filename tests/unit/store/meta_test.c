/* ctest label: threads
 * The index is a table in memory and the compiler a stand-in: what is tested is what meta asks of them. */
#include "meta.h"
#include "test_server.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- a store in memory, with a barrier in its put ---- */

struct row {
	char *table, *key, *value;
	size_t n;
};
struct store {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	VEC(struct row) rows;
	unsigned puts, together; /* the first `together` puts wait for each other */
	bool full;
};
struct store_read {
	struct store *s;
};

int store_read_begin(struct store_read **out, struct store *s, struct err *e)
{
	(void)e;
	*out = xmalloc(sizeof(**out));
	(*out)->s = s;
	return 0;
}

void store_read_end(struct store_read *r)
{
	free(r);
}

static struct row *find(struct store *s, const char *table, str key)
{
	for (size_t i = 0; i < s->rows.n; i++) {
		if (strcmp(s->rows.p[i].table, table) == 0 && str_eq(str_of(s->rows.p[i].key), key))
			return &s->rows.p[i];
	}
	return NULL;
}

/* Values are never freed before the test's end, like those of a read transaction. */
int store_kv_get(str *out, struct store_read *r, const char *table, str key, struct err *e)
{
	(void)e;
	pthread_mutex_lock(&r->s->lock);
	struct row *at = find(r->s, table, key);
	if (at)
		*out = (str){ at->value, at->n };
	pthread_mutex_unlock(&r->s->lock);
	return at != NULL;
}

bool store_kv_put(struct store *s, const char *table, str key, str value)
{
	pthread_mutex_lock(&s->lock);
	s->puts++;
	pthread_cond_broadcast(&s->cond);
	while (s->puts < s->together)
		pthread_cond_wait(&s->cond, &s->lock);
	if (!s->full) {
		struct row *at = find(s, table, key);
		if (at)
			at->key[0] = '-'; /* replaced */
		*vec_add(&s->rows) = (struct row){ xstrndup(str_of(table)), xstrndup(key), xstrndup(value), value.n };
	}
	pthread_mutex_unlock(&s->lock);
	return !s->full;
}

static void store_release(struct store *s)
{
	for (size_t i = 0; i < s->rows.n; i++) {
		free(s->rows.p[i].table);
		free(s->rows.p[i].key);
		free(s->rows.p[i].value);
	}
	vec_release(&s->rows);
}

/* ---- a compiler whose record is the JSON itself, padded ---- */

struct packument_compiler *packument_compiler_new(void)
{
	return NULL;
}

void packument_compiler_free(struct packument_compiler *pc)
{
	(void)pc;
}

int packument_compiler_run(struct packument_compiler *pc, struct buf *out, str json, str name, struct err *e)
{
	(void)pc;
	if (!str_ends(json, STR("}}}}")) || str_find_str(json, name, 0) == SIZE_MAX)
		return err_set(e, ERR_PARSE, "truncated");
	buf_add(out, json);
	return 0;
}

int packument_open(struct packument *out, const void *p, size_t n, struct err *e)
{
	if (n < 10 || memcmp(p, "{\"name\":\"", 9) != 0)
		return err_set(e, ERR_PARSE, "no record");
	*out = (struct packument){ p, n };
	return 0;
}

uint32_t packument_nversions(struct packument p)
{
	return str_find_str((str){ (const char *)p.p, p.n }, STR("1.2.3"), 0) != SIZE_MAX;
}

/* ---- a registry ---- */

struct upstream {
	atomic_bool down, broken, holds;
	atomic_uint fetches, conditional;
};

enum { HUGE_BODY = 200 * 1000 }; /* of names that begin so */

static void serve(void *arg, struct reply *r, const struct seen *q)
{
	struct upstream *u = arg;
	AUTO(buf_release) struct buf json = BUF_INIT;

	r->hold = atomic_load(&u->holds) && !str_starts(q->path, STR("/first"));
	if (atomic_load(&u->down)) {
		reply_text(r, 503, "", STR_NONE);
	} else if (str_starts(q->path, STR("/nosuch"))) {
		reply_text(r, 404, "", STR("{}"));
	} else if (header_of(q, "if-none-match").n) {
		atomic_fetch_add(&u->conditional, 1);
		reply_text(r, 304, "", STR_NONE);
	} else {
		atomic_fetch_add(&u->fetches, 1);
		str name = str_from(q->path, 1);
		buf_printf(&json,
			"{\"name\":\"" STR_FMT "\",\"dist-tags\":{\"latest\":\"1.2.3\"},\"readme\":\"%0*d\","
			"\"versions\":{\"1.2.3\":{\"name\":\"" STR_FMT
			"\",\"version\":\"1.2.3\",\"dist\":{\"tarball\":\"http://x/t.tgz\"}}}}",
			STR_ARG(name), str_starts(name, STR("huge")) ? HUGE_BODY : 1, 0, STR_ARG(name));
		if (atomic_load(&u->broken) && q->nth == 0)
			json.n -= 2;
		reply_text(r, 200, "ETag: \"e1\"\r\n", buf_str(&json));
	}
}

struct fixture {
	struct server server;
	struct upstream up;
	struct store store;
	struct http *h;
	struct registry *r;
	char base[100];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e;

	pthread_mutex_init(&f->store.lock, NULL);
	pthread_cond_init(&f->store.cond, NULL);
	server_start(&f->server, serve, &f->up);
	snprintf(f->base, sizeof(f->base), "http://127.0.0.1:%u/", f->server.port);
	assert_int_equal(http_new(&f->h, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	assert_int_equal(registry_new(&f->r, f->h, &(struct registry_opts){ .retries = 1, .retry_min_ms = 1 }, &e), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	registry_free(f->r);
	server_stop(&f->server);
	store_release(&f->store);
	free(f);
	return 0;
}

static struct meta *make(struct fixture *f, struct meta_opts o)
{
	struct meta *m;
	struct err e;

	if (!o.workers)
		o.workers = 2;
	assert_int_equal(meta_new(&m, &f->store, f->r, &o, &e), 0);
	return m;
}

struct wanted {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned done, good;
	struct meta_record *last; /* kept */
	struct err err;
};
#define WANTED(name) struct wanted name = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }

static void on_record(void *arg, struct meta_record *r, const struct err *e)
{
	struct wanted *w = arg;
	bool good = r && packument_nversions(meta_packument(r)) == 1 && (uintptr_t)meta_packument(r).p % 8 == 0;

	pthread_mutex_lock(&w->lock);
	w->done++;
	w->good += good;
	if (!r)
		w->err = *e;
	meta_record_release(w->last);
	w->last = r;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_done(struct wanted *w, unsigned n)
{
	pthread_mutex_lock(&w->lock);
	while (w->done < n)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void want_one(struct fixture *f, struct meta *m, struct wanted *w, const char *name, enum packument_form form)
{
	unsigned n = w->done + 1;

	meta_want(m, str_of(f->base), str_of(name), form, on_record, w);
	wait_done(w, n);
}

static void want_many(struct fixture *f, struct meta *m, struct wanted *w, unsigned wants, unsigned names)
{
	for (unsigned i = 0; i < wants; i++) {
		char name[20];
		snprintf(name, sizeof(name), "p%u", i % names);
		meta_want(m, str_of(f->base), str_of(name), PACKUMENT_ABBREVIATED, on_record, w);
	}
	wait_done(w, wants);
	assert_int_equal(w->good, wants);
}

struct blocked {
	struct wanted w;
	atomic_bool go;
};

/* On the only worker. */
static void on_blocked(void *arg, struct meta_record *r, const struct err *e)
{
	struct blocked *b = arg;

	while (!atomic_load(&b->go))
		usleep(1000);
	on_record(&b->w, r, e);
}

/* The network is faster than the worker: no more is read than the limit, and what had been
 * asked for comes all the same. */
static void test_too_much_is_held(void **state)
{
	/* http.h has begun so many requests AT_ONCE at most */
	enum { NAMES = 1000, LIMIT = 1000, BODY = 200, AT_ONCE = 128 };
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ .workers = 1, .max_pending = LIMIT });
	struct blocked b = { .w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER } };

	for (unsigned i = 0; i < NAMES; i++) {
		char name[20];
		snprintf(name, sizeof(name), "p%u", i);
		meta_want(m, str_of(f->base), str_of(name), PACKUMENT_ABBREVIATED, on_blocked, &b);
	}
	/* the worker takes one of them, now or then */
	for (unsigned i = 0; i < 60000 && meta_counts(m).most_pending <= LIMIT; i++)
		usleep(1000);
	usleep(200000); /* for what should not come */
	struct meta_counts n = meta_counts(m);
	assert_true(n.most_pending > LIMIT && n.most_pending <= LIMIT + AT_ONCE * BODY);
	assert_true(n.fetched < NAMES / 4);
	atomic_store(&b.go, true);
	wait_done(&b.w, NAMES);
	assert_int_equal(b.w.good, NAMES);
	for (unsigned i = 0; i < 60000 && meta_counts(m).pending; i++)
		usleep(1000);
	n = meta_counts(m);
	assert_int_equal(n.pending, 0);
	assert_true(n.most_pending <= LIMIT + AT_ONCE * BODY);
	meta_record_release(b.w.last);
	meta_free(m);
}

struct behind {
	struct blocked b; /* first: on_blocked() gets it */
	struct server *server;
	unsigned calls, requests;
	bool asked;
};

/* On the only worker. The second that it has compiled waits for a request that somebody else made meanwhile. */
static void on_behind(void *arg, struct meta_record *r, const struct err *e)
{
	struct behind *b = arg;

	for (unsigned i = 0; b->calls == 1 && i < 10000 && atomic_load(&b->server->requests) < b->requests; i++)
		usleep(1000);
	b->asked |= b->calls++ == 1 && atomic_load(&b->server->requests) == b->requests;
	on_blocked(&b->b, r, e);
}

/* What is wanted while others wait to be compiled is asked for before they are. */
static void test_asked_first(void **state)
{
	enum { NAMES = 5 };
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ .workers = 1 });
	struct behind b = { .b.w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER },
		.server = &f->server,
		.requests = NAMES + 1 };

	for (unsigned i = 0; i < NAMES; i++) {
		char name[20];
		snprintf(name, sizeof(name), "p%u", i);
		meta_want(m, str_of(f->base), str_of(name), PACKUMENT_ABBREVIATED, on_behind, &b);
	}
	for (unsigned i = 0; i < 60000 && meta_counts(m).fetched < NAMES; i++)
		usleep(1000);
	meta_want(m, str_of(f->base), STR("late"), PACKUMENT_ABBREVIATED, on_behind, &b);
	atomic_store(&b.b.go, true);
	wait_done(&b.b.w, NAMES + 1);
	assert_int_equal(b.b.w.good, NAMES + 1);
	assert_true(b.asked);
	meta_record_release(b.b.w.last);
	meta_free(m);
}

struct gate {
	struct blocked b; /* first: on_blocked() gets it */
	atomic_uint here;
};

static void on_gate(void *arg, struct meta_record *r, const struct err *e)
{
	struct gate *g = arg;

	atomic_fetch_add(&g->here, 1);
	on_blocked(&g->b, r, e);
}

static void want_some(struct fixture *f, struct meta *m, const char *name, unsigned n, meta_done *done, void *arg)
{
	for (unsigned i = 0; i < n; i++) {
		char full[20];
		snprintf(full, sizeof(full), "%s%u", name, i);
		meta_want(m, str_of(f->base), str_of(full), PACKUMENT_ABBREVIATED, done, arg);
	}
}

static unsigned done_of(struct wanted *w, unsigned n)
{
	unsigned done = 0;

	for (unsigned i = 0; i < 30000 && done < n; i++) {
		usleep(1000);
		pthread_mutex_lock(&w->lock);
		done = w->done;
		pthread_mutex_unlock(&w->lock);
	}
	return done;
}

/* Of two workers the large ones take one, while small ones wait. */
static void test_large_beside_small(void **state)
{
	enum { LARGE = 2, SMALL = 10, WORKERS = 2 };
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ .workers = WORKERS });
	struct gate first = { .b.w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER } };
	struct gate large = { .b.w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER } };
	WANTED(small);

	atomic_store(&f->up.holds, true);
	atomic_store(&f->server.hold_until, 1000);
	want_some(f, m, "huge", LARGE, on_gate, &large);
	want_some(f, m, "p", SMALL, on_record, &small);
	for (unsigned i = 0; i < 60000 && atomic_load(&f->server.requests) < LARGE + SMALL; i++)
		usleep(1000);
	want_some(f, m, "first", WORKERS, on_gate, &first);
	for (unsigned i = 0; i < 60000 && atomic_load(&first.here) < WORKERS; i++)
		usleep(1000);
	atomic_store(&f->server.hold_until, 1);
	for (unsigned i = 0; i < 60000 && meta_counts(m).fetched < LARGE + SMALL + WORKERS; i++)
		usleep(1000);
	atomic_store(&first.b.go, true); /* all others wait, and the workers take them now */
	assert_int_equal(done_of(&small, SMALL), SMALL);
	atomic_store(&large.b.go, true);
	assert_int_equal(done_of(&large.b.w, LARGE), LARGE);
	assert_int_equal(small.good + large.b.w.good, SMALL + LARGE);
	wait_done(&first.b.w, WORKERS);
	meta_record_release(first.b.w.last);
	meta_record_release(large.b.w.last);
	meta_record_release(small.last);
	meta_free(m);
}

/* What is being compiled is behind nothing: however large it is, the other worker gets work. */
static void test_compiling_is_not_pending(void **state)
{
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ .max_pending = 100 }); /* a body is larger */
	struct blocked b = { .w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER } };
	struct meta_counts n = { .pending = 1 };
	WANTED(w);

	meta_want(m, str_of(f->base), STR("large"), PACKUMENT_ABBREVIATED, on_blocked, &b);
	for (unsigned i = 0; i < 60000 && meta_counts(m).most_compiling == 0; i++)
		usleep(1000);
	for (unsigned i = 0; i < 60000 && n.pending; i++) {
		usleep(1000);
		n = meta_counts(m);
	}
	bool idle = n.pending == 0 && n.most_pending > 100;
	meta_want(m, str_of(f->base), STR("other"), PACKUMENT_ABBREVIATED, on_record, &w);
	for (unsigned i = 0; i < 60000 && meta_counts(m).fetched < 2; i++)
		usleep(1000);
	bool fetched = meta_counts(m).fetched == 2;
	atomic_store(&b.go, true);
	wait_done(&b.w, 1);
	wait_done(&w, 1);
	assert_true(idle);
	assert_true(fetched);
	meta_record_release(b.w.last);
	meta_record_release(w.last);
	meta_free(m);
}

static void test_single_flight_then_304(void **state)
{
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ 0 });
	WANTED(first);
	WANTED(second);

	want_many(f, m, &first, 1000, 300);
	assert_int_equal(atomic_load(&f->up.fetches), 300);
	struct meta_counts n = meta_counts(m);
	assert_int_equal(n.fetched, 300);
	assert_int_equal(n.failed + n.revalidated + n.stale_used, 0);
	meta_free(m);
	meta_record_release(first.last); /* outlives its meta */

	m = make(f, (struct meta_opts){ 0 });
	want_many(f, m, &second, 1000, 300);
	meta_record_release(second.last);
	assert_int_equal(atomic_load(&f->up.fetches), 300);
	assert_int_equal(atomic_load(&f->up.conditional), 300);
	n = meta_counts(m);
	assert_int_equal(n.revalidated, 300);
	assert_int_equal(n.fetched, 0);
	meta_free(m);
}

static void test_compiles_in_parallel(void **state)
{
	struct fixture *f = *state;
	struct meta *m = make(f, (struct meta_opts){ 0 });
	WANTED(w);

	f->store.together = 2; /* neither compile job ends before both have begun */
	want_many(f, m, &w, 2, 2);
	assert_true(meta_counts(m).most_compiling >= 2);
	meta_record_release(w.last);
	meta_free(m);
}

static void test_offline(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	meta_free(m);
	unsigned before = atomic_load(&f->server.requests);
	m = make(f, (struct meta_opts){ .offline = true });
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.good, 2);
	want_one(f, m, &w, "p2", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.good, 2);
	assert_int_equal(w.err.code, ERR_NOTFOUND);
	assert_non_null(strstr(w.err.msg, "\"p2\""));
	assert_non_null(strstr(w.err.msg, "--offline"));
	assert_int_equal(atomic_load(&f->server.requests), before);
	meta_free(m);
}

static void test_fresh_and_aged(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ .max_age_ms = INT64_MAX });
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	meta_free(m);
	m = make(f, (struct meta_opts){ .max_age_ms = INT64_MAX });
	assert_null(meta_peek(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED));
	assert_null(meta_look(m, str_of(f->base), STR("p2"), PACKUMENT_ABBREVIATED));
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED); /* from the index */
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED); /* from memory */
	struct meta_record *r = meta_peek(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED);
	assert_non_null(r);
	meta_record_release(r);
	assert_int_equal(meta_counts(m).from_cache, 3);
	assert_int_equal(atomic_load(&f->server.requests), 1);
	meta_free(m);

	m = make(f, (struct meta_opts){ .max_age_ms = 1 }); /* old: asked again, and again when that has aged */
	usleep(5000);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	usleep(5000);
	assert_null(meta_peek(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED));
	r = meta_look(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED); /* however old */
	assert_non_null(r);
	meta_record_release(r);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->up.conditional), 2);
	assert_non_null(find(&f->store, "meta-age", str_of(f->store.rows.p[0].key)));
	meta_free(m);
	m = make(f, (struct meta_opts){ .max_age_ms = 3600000 });       /* the confirmed age counts */
	f->store.rows.p[0].value[8] = f->store.rows.p[0].value[12] = 0; /* the fetch was long ago */
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(meta_counts(m).from_cache, 1);
	meta_free(m);
	meta_record_release(w.last);
}

/* What is kept is had without asking, is no answer to who wants to be sure, and is confirmed where it lies. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	int64_t then = 0, now = 0;
	struct meta *m = make(f, (struct meta_opts){ 0 });
	assert_null(meta_kept(m, &then, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED));
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	meta_free(m);

	m = make(f, (struct meta_opts){ 0 });
	struct meta_record *r = meta_kept(m, &then, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED);
	assert_non_null(r);
	assert_true(then > 0);
	assert_int_equal(meta_packument(r).n, meta_packument(w.last).n);
	assert_null(meta_peek(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED));
	assert_int_equal(atomic_load(&f->server.requests), 1);
	usleep(5000);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->up.conditional), 1);
	assert_ptr_equal(w.last, r); /* the same: read once */
	meta_record_release(r);
	r = meta_kept(m, &now, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED);
	assert_ptr_equal(w.last, r);
	assert_true(now > then);
	meta_record_release(r);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->server.requests), 2); /* within an install one request a name */
	meta_free(m);

	m = make(f, (struct meta_opts){ 0 }); /* when it was confirmed is kept, too */
	r = meta_kept(m, &then, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED);
	assert_non_null(r);
	assert_true(then == now);
	meta_record_release(r);
	meta_free(m);
	meta_record_release(w.last);
}

static void test_full_answers_abbreviated(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });
	want_one(f, m, &w, "p1", PACKUMENT_FULL);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->server.requests), 1);
	meta_free(m);
	m = make(f, (struct meta_opts){ .max_age_ms = INT64_MAX });
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->server.requests), 1);
	want_one(f, m, &w, "p2", PACKUMENT_ABBREVIATED);
	want_one(f, m, &w, "p2", PACKUMENT_FULL); /* not the other way round */
	assert_int_equal(atomic_load(&f->up.fetches), 3);
	meta_free(m);
	meta_record_release(w.last);
}

static void test_trouble(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	want_one(f, m, &w, "nosuch", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.err.code, ERR_NOTFOUND);
	meta_free(m);
	atomic_store(&f->up.down, true);
	m = make(f, (struct meta_opts){ .max_age_ms = 1 });
	usleep(5000);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.good, 2);
	assert_int_equal(meta_counts(m).stale_used, 1);
	struct meta_record *r = meta_peek(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED);
	assert_non_null(r); /* a dead registry is not asked for every want */
	meta_record_release(r);
	want_one(f, m, &w, "p2", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.err.code, ERR_NET);
	assert_non_null(strstr(w.err.msg, "answered 503 (2 attempts)"));
	assert_int_equal(meta_counts(m).failed, 1);
	atomic_store(&f->up.down, false);
	want_one(f, m, &w, "p2", PACKUMENT_ABBREVIATED); /* a failure is not remembered */
	assert_int_equal(w.good, 3);
	meta_free(m);
	meta_record_release(w.last);
}

static void test_absent(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ .absent_ms = 3600000, .max_age_ms = 3600000 });

	for (unsigned i = 0; i < 3; i++) {
		want_one(f, m, &w, "nosuch", PACKUMENT_ABBREVIATED);
		assert_int_equal(w.err.code, ERR_NOTFOUND);
		assert_non_null(strstr(w.err.msg, "\"nosuch\""));
		assert_null(meta_peek(m, str_of(f->base), STR("nosuch"), PACKUMENT_ABBREVIATED));
	}
	assert_int_equal(atomic_load(&f->server.requests), 1);
	assert_int_equal(meta_counts(m).absent, 2);
	assert_int_equal(meta_counts(m).failed, 1);
	assert_true(meta_counts(m).memory > 0); /* it counts, so what is absent has a bound, too */
	meta_forget(m);
	assert_int_equal(meta_counts(m).memory, 0);
	want_one(f, m, &w, "nosuch", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->server.requests), 2);
	meta_free(m);
	m = make(f, (struct meta_opts){ .absent_ms = 1, .max_age_ms = 3600000 });
	want_one(f, m, &w, "nosuch", PACKUMENT_ABBREVIATED);
	usleep(5000);
	want_one(f, m, &w, "nosuch", PACKUMENT_ABBREVIATED); /* its time is over */
	assert_int_equal(atomic_load(&f->server.requests), 4);
	atomic_store(&f->up.down, true);
	want_one(f, m, &w, "p3", PACKUMENT_ABBREVIATED); /* trouble is no answer */
	atomic_store(&f->up.down, false);
	want_one(f, m, &w, "p3", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.good, 1);
	meta_free(m);
	meta_record_release(w.last);
}

static void test_broken_body_once(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });

	atomic_store(&f->up.broken, true);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(w.good, 1);
	assert_int_equal(atomic_load(&f->up.fetches), 2);
	meta_record_release(w.last);
	meta_free(m);
}

static void test_full_queue_and_memory(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ .memory = 1 }); /* nothing stays */

	f->store.full = true;
	want_many(f, m, &w, 20, 20);
	assert_int_equal(meta_counts(m).put_dropped, 20);
	assert_int_equal(meta_counts(m).memory, 0);
	want_one(f, m, &w, "p1", PACKUMENT_ABBREVIATED);
	assert_int_equal(atomic_load(&f->up.fetches), 21);
	meta_record_release(w.last);
	meta_free(m);
}

static void test_free_waits(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });

	atomic_store(&f->up.holds, true);
	atomic_store(&f->server.hold_until, 1000);
	for (unsigned i = 0; i < 5; i++)
		meta_want(m, str_of(f->base), STR("p1"), PACKUMENT_ABBREVIATED, on_record, &w);
	while (atomic_load(&f->server.busy) == 0)
		usleep(1000);
	http_stop(f->h);
	meta_free(m);
	assert_int_equal(w.done, 5);
	assert_int_equal(w.err.code, ERR_CANCELLED);
	assert_int_equal(f->store.puts, 0);
}

static void test_index_has_no_credentials(void **state)
{
	struct fixture *f = *state;
	WANTED(w);
	struct meta *m = make(f, (struct meta_opts){ 0 });
	char base[100];

	snprintf(base, sizeof(base), "http://user:SECRET@127.0.0.1:%u/", f->server.port);
	meta_want(m, str_of(base), STR("p1"), PACKUMENT_ABBREVIATED, on_record, &w);
	wait_done(&w, 1);
	assert_int_equal(w.good, 1);
	assert_int_equal(f->store.rows.n, 1);
	assert_null(strstr(f->store.rows.p[0].key, "SECRET"));
	assert_non_null(strstr(f->store.rows.p[0].key, "a p1 http://127.0.0.1:"));
	meta_record_release(w.last);
	meta_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_single_flight_then_304), T(test_compiles_in_parallel),
		T(test_offline), T(test_fresh_and_aged), T(test_kept), T(test_full_answers_abbreviated),
		T(test_trouble), T(test_absent), T(test_broken_body_once), T(test_full_queue_and_memory),
		T(test_too_much_is_held), T(test_asked_first), T(test_large_beside_small),
		T(test_compiling_is_not_pending), T(test_free_waits), T(test_index_has_no_credentials) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
