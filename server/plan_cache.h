/* plan_cache — whole plans by what was asked, and who is making one right now.
 *
 * A key is a SHA-256 over a request's body as received, which states every
 * input but the registry's content, and over what its sender may see; a plan therefore counts only for as long
 * as packuments count as fresh. Looking up and registering happen under one
 * lock, so that identical requests make one walk. Any thread. */
#pragma once
#include "base/base.h"
#include <stdatomic.h>

/* A plan's stream, shared and counted. */
struct plan_blob {
	_Atomic unsigned refs;
	size_t n;
	char bytes[];
};
void plan_blob_release(struct plan_blob *b);

struct plan_cache;
struct plan_cache_opts {
	size_t max_bytes; /* of all plans; the longest unused go first */
	int64_t max_age_ms;
	unsigned max_waiters; /* of one flight */
	int64_t (*now_ms)(void);
	_Atomic uint64_t *lock_waits; /* of over 1 ms are counted here; may be NULL */
	void (*drop)(void *waiter);   /* for those still waiting when the cache is freed */
};
struct plan_cache *plan_cache_new(const struct plan_cache_opts *o);
void plan_cache_free(struct plan_cache *c);

enum plan_enter { PLAN_HIT, PLAN_LEAD, PLAN_WAIT, PLAN_FULL };
/* HIT: *hit is the caller's to release. LEAD: the caller makes the plan and ends the flight with plan_cache_end() or
 * plan_cache_handover(). WAIT: WAITER will be handed out by one of those. FULL: too many wait already. */
enum plan_enter plan_cache_enter(struct plan_cache *c, const uint8_t key[32], void *waiter, struct plan_blob **hit);

struct plan_waiters {
	void **p;
	size_t n, cap;
};
/* Ends KEY's flight: OUT has the waiters (free p). BYTES absent: it failed, nothing is kept; else *blob (may be NULL)
 * is kept in the cache and is also the caller's, to release. The flight is gone before anybody is told. */
void plan_cache_end(
	struct plan_cache *c, const uint8_t key[32], str bytes, struct plan_blob **blob, struct plan_waiters *out);
/* The leader was cancelled: the longest waiting one, which leads from now on, or NULL, which ends the flight. */
void *plan_cache_handover(struct plan_cache *c, const uint8_t key[32]);
/* What it holds now. */
void plan_cache_size(struct plan_cache *c, size_t *plans, size_t *bytes);
