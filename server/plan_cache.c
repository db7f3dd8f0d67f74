#include "plan_cache.h"
#include "base/lru.h"
#include "lock_timed.h"
#include "packs_wire.h"
#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };
struct entry {
	uint8_t key[32];
	struct plan_blob *blob;
	int64_t made_ms;
	struct entry *next; /* of its bucket */
	LRU_LINKS(struct entry);
};
struct flight {
	uint8_t key[32];
	void *run;
	unsigned waiting;
};
struct plan_cache {
	struct plan_cache_opts o;
	pthread_mutex_t lock;
	struct entry *bucket[BUCKETS]; /* hundreds of plans of 100 KB, or a hundred thousand small ones */
	LRU(struct entry) by_use;
	VEC(struct flight) flight; /* as many as `plans` and `plan-queue` at most */
	size_t plans, bytes;
};

void plan_blob_release(struct plan_blob *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	free(b->packs);
	free(b);
}

/* ---- under the lock ---- */

/* What one takes; of a small one most is not its bytes. */
static size_t entry_size(const struct plan_blob *b)
{
	return sizeof(struct entry) + sizeof(*b) + b->n + b->npacks * PACKS_KEY;
}

static struct entry **entry_find(struct plan_cache *c, const uint8_t key[32])
{
	struct entry **at = &c->bucket[(key[0] | (unsigned)key[1] << 8) % BUCKETS];

	while (*at && memcmp((*at)->key, key, 32) != 0)
		at = &(*at)->next;
	return at;
}

static void entry_drop(struct plan_cache *c, struct entry *en)
{
	*entry_find(c, en->key) = en->next;
	lru_remove(&c->by_use, en);
	c->bytes -= entry_size(en->blob);
	c->plans--;
	plan_blob_release(en->blob);
	free(en);
}

static struct plan_blob *entry_hit(struct plan_cache *c, const uint8_t key[32])
{
	struct entry *en = *entry_find(c, key);

	if (!en)
		return NULL;
	if (c->o.now_ms() - en->made_ms >= c->o.max_age_ms) {
		entry_drop(c, en);
		return NULL;
	}
	lru_use(&c->by_use, en);
	atomic_fetch_add(&en->blob->refs, 1);
	return en->blob;
}

/* Makes room by dropping what was not used for longest; a fresh plan is never refused for an old one's sake, but one
 * that is larger than the cache is, and drops none. */
static void entry_add(struct plan_cache *c, const uint8_t key[32], struct plan_blob *b)
{
	struct entry *en = *entry_find(c, key);

	if (en)
		entry_drop(c, en);
	if (entry_size(b) > c->o.max_bytes)
		return;
	while (c->by_use.oldest && c->bytes + entry_size(b) > c->o.max_bytes)
		entry_drop(c, c->by_use.oldest);
	en = xmalloc(sizeof(*en));
	*en = (struct entry){ .blob = b, .made_ms = c->o.now_ms() };
	memcpy(en->key, key, 32);
	struct entry **at = entry_find(c, key);
	en->next = *at; /* none: it was not there */
	*at = en;
	lru_add(&c->by_use, en);
	atomic_fetch_add(&b->refs, 1);
	c->bytes += entry_size(b);
	c->plans++;
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
	while (c->by_use.oldest)
		entry_drop(c, c->by_use.oldest);
	vec_release(&c->flight);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

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
	*plans = c->plans;
	*bytes = c->bytes;
	pthread_mutex_unlock(&c->lock);
}
