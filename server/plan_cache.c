#include "plan_cache.h"
#include "lock_timed.h"
#include "packs_wire.h"
#include <pthread.h>
#include <stdlib.h>

struct entry {
	uint8_t key[32];
	struct plan_blob *blob;
	int64_t made_ms;
	uint64_t used; /* a counter, not a clock: two hits in a millisecond have an order */
};
struct flight {
	uint8_t key[32];
	void *run;
	unsigned waiting;
};
struct plan_cache {
	struct plan_cache_opts o;
	pthread_mutex_t lock;
	VEC(struct entry)
	entry; /* hundreds at most: a plan is some 100 KB, so a scan of keys is nothing beside sending one */
	VEC(struct flight) flight;
	size_t bytes;
	uint64_t uses;
};

void plan_blob_release(struct plan_blob *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	free(b->packs);
	free(b);
}

struct plan_cache *plan_cache_new(const struct plan_cache_opts *o)
{
	struct plan_cache *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void plan_cache_free(struct plan_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->entry.n; i++)
		plan_blob_release(c->entry.p[i].blob);
	vec_release(&c->entry);
	vec_release(&c->flight);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- under the lock ---- */

static size_t blob_size(const struct plan_blob *b)
{
	return b->n + b->npacks * PACKS_KEY;
}

static void entry_drop(struct plan_cache *c, size_t i)
{
	c->bytes -= blob_size(c->entry.p[i].blob);
	plan_blob_release(c->entry.p[i].blob);
	c->entry.p[i] = c->entry.p[--c->entry.n];
}

static struct plan_blob *entry_hit(struct plan_cache *c, const uint8_t key[32])
{
	for (size_t i = 0; i < c->entry.n; i++) {
		struct entry *en = &c->entry.p[i];
		if (memcmp(en->key, key, 32) != 0)
			continue;
		if (c->o.now_ms() - en->made_ms >= c->o.max_age_ms) {
			entry_drop(c, i);
			return NULL;
		}
		en->used = ++c->uses;
		atomic_fetch_add(&en->blob->refs, 1);
		return en->blob;
	}
	return NULL;
}

/* Makes room by dropping what was not used for longest; a fresh plan is never refused for an old one's sake. */
static void entry_add(struct plan_cache *c, const uint8_t key[32], struct plan_blob *b)
{
	for (size_t i = 0; i < c->entry.n; i++) {
		if (memcmp(c->entry.p[i].key, key, 32) == 0)
			entry_drop(c, i--);
	}
	while (c->entry.n && c->bytes + blob_size(b) > c->o.max_bytes) {
		size_t oldest = 0;
		for (size_t i = 1; i < c->entry.n; i++) {
			if (c->entry.p[i].used < c->entry.p[oldest].used)
				oldest = i;
		}
		entry_drop(c, oldest);
	}
	if (blob_size(b) > c->o.max_bytes)
		return;
	struct entry *en = vec_add(&c->entry);
	*en = (struct entry){ .blob = b, .made_ms = c->o.now_ms(), .used = ++c->uses };
	memcpy(en->key, key, 32);
	atomic_fetch_add(&b->refs, 1);
	c->bytes += blob_size(b);
}

static struct flight *flight_of(struct plan_cache *c, const uint8_t key[32])
{
	for (size_t i = 0; i < c->flight.n; i++) {
		if (memcmp(c->flight.p[i].key, key, 32) == 0)
			return &c->flight.p[i];
	}
	return NULL;
}

static struct flight *flight_of_run(struct plan_cache *c, const void *run)
{
	for (size_t i = 0; i < c->flight.n; i++) {
		if (c->flight.p[i].run == run)
			return &c->flight.p[i];
	}
	return NULL;
}

static void flight_drop(struct plan_cache *c, struct flight *f)
{
	*f = c->flight.p[--c->flight.n];
}

/* ---- calls ---- */

struct plan_blob *plan_cache_hit(struct plan_cache *c, const uint8_t key[32])
{
	lock_timed(&c->lock, c->o.lock_waits);
	struct plan_blob *b = entry_hit(c, key);
	pthread_mutex_unlock(&c->lock);
	return b;
}

enum plan_enter plan_cache_enter(
	struct plan_cache *c, const uint8_t key[32], void *run, struct plan_blob **hit, void **joined)
{
	enum plan_enter how = PLAN_HIT;

	lock_timed(&c->lock, c->o.lock_waits);
	*hit = entry_hit(c, key);
	struct flight *f = *hit ? NULL : flight_of(c, key);
	if (f && f->waiting > c->o.max_waiters) {
		how = PLAN_FULL;
	} else if (f) {
		f->waiting++;
		c->o.ref(f->run);
		*joined = f->run;
		how = PLAN_JOIN;
	} else if (!*hit) {
		f = vec_add(&c->flight);
		*f = (struct flight){ .run = run, .waiting = 1 };
		memcpy(f->key, key, 32);
		how = PLAN_LEAD;
	}
	pthread_mutex_unlock(&c->lock);
	return how;
}

bool plan_cache_leave(struct plan_cache *c, const void *run)
{
	bool last = false;

	lock_timed(&c->lock, c->o.lock_waits);
	struct flight *f = flight_of_run(c, run);
	if (f && --f->waiting == 0) {
		flight_drop(c, f);
		last = true;
	}
	pthread_mutex_unlock(&c->lock);
	return last;
}

void plan_cache_end(struct plan_cache *c, const uint8_t key[32], const void *run, struct plan_blob *blob)
{
	lock_timed(&c->lock, c->o.lock_waits);
	struct flight *f = flight_of_run(c, run);
	if (f) {
		flight_drop(c, f);
		if (blob)
			entry_add(c, key, blob);
	}
	pthread_mutex_unlock(&c->lock);
}

void plan_cache_size(struct plan_cache *c, size_t *plans, size_t *bytes)
{
	lock_timed(&c->lock, c->o.lock_waits);
	*plans = c->entry.n;
	*bytes = c->bytes;
	pthread_mutex_unlock(&c->lock);
}
