/* plan_cache — whole plans by what was asked, and who is making one right now.
 *
 * A key is a SHA-256 over a request's body as received, which states every input but the registry's content, and over
 * what its sender may see; a plan therefore counts only for as long as packuments count as fresh. A walk under way
 * (plan_run.h) is found by the same key and counted by those who wait for it. Looking up and registering happen under
 * one lock, so that identical requests make one walk. Any thread. */
#pragma once
#include "base/base.h"
#include <stdatomic.h>

/* A plan's stream, shared and counted. */
struct plan_blob {
	_Atomic unsigned refs;
	_Atomic int64_t renewed_ms; /* monotonic: when its packs' leases were last renewed */
	uint8_t *packs;             /* keys of the packs that it names, PACKS_KEY bytes each; npacks of them */
	size_t npacks;
	size_t n;
	char bytes[];
};
/* Frees it with the last one who holds it. NULL is fine. */
void plan_blob_release(struct plan_blob *b);

struct plan_cache;
struct plan_cache_opts {
	size_t max_bytes; /* of all plans; the longest unused go first */
	int64_t max_age_ms;
	unsigned max_waiters; /* of one walk */
	int64_t (*now_ms)(void);
	_Atomic uint64_t *lock_waits; /* of over 1 ms are counted here; may be NULL */
	void (*ref)(void *run);       /* takes a reference for who joins */
};
struct plan_cache *plan_cache_new(const struct plan_cache_opts *o);
void plan_cache_free(struct plan_cache *c);

/* KEY's plan, to be released; NULL: none, or too old. */
struct plan_blob *plan_cache_hit(struct plan_cache *c, const uint8_t key[32]);

enum plan_enter { PLAN_HIT, PLAN_LEAD, PLAN_JOIN, PLAN_FULL };
/* HIT: *hit is the caller's to release. LEAD: RUN is under way from now on, until plan_cache_end(), with the caller as
 * the one who waits. JOIN: *joined is another's run, referenced. FULL: too many wait already. */
enum plan_enter plan_cache_enter(
	struct plan_cache *c, const uint8_t key[32], void *run, struct plan_blob **hit, void **joined);
/* One who waited for RUN has left. True: it was the last one and RUN is not to be found any
 * more; the caller cancels it. */
bool plan_cache_leave(struct plan_cache *c, const void *run);
/* RUN has ended: it is not to be found any more. BLOB (borrowed; NULL: it failed) is kept, unless the last one who
 * waited for RUN has left. */
void plan_cache_end(struct plan_cache *c, const uint8_t key[32], const void *run, struct plan_blob *blob);
/* What it holds now. */
void plan_cache_size(struct plan_cache *c, size_t *plans, size_t *bytes);
