/* plan_run — one walk of a plan: the bytes that it has made so far, and who waits for them.
 *
 * Whoever asks the same at the same time shares it, on whichever loop, and gets each frame as it comes; who comes late
 * begins at the first byte. A worker makes it; any loop that has a listener takes what is there. It goes on for as long
 * as one of them waits: whose request began it does not matter. The plan cache finds it while it is under way. */
#pragma once
#include "plan_cache.h"
#include "server.h"

struct plan_run;
/* One who waits; part of a larger struct. All but `post` is the run's. */
struct plan_listener {
	void (*post)(struct plan_listener *l); /* tells its loop; under the run's lock, which it may not take */
	struct plan_listener *next, *prev;
	bool posted;
};

/* KEY is copied; ID is the request's that begins it. One reference, the caller's. */
struct plan_run *plan_run_new(struct server *s, const uint8_t key[32], str id, uint64_t begun_us);
/* RUN is a struct plan_run: for plan_cache_opts.ref. */
void plan_run_ref(void *run);
/* Frees it with the last one who holds it. */
void plan_run_unref(struct plan_run *r);
/* Hands it to a worker: BODY is copied, WHO referenced. ERR_BUSY: the queue is full; whoever listens has been told. */
MUST_USE int plan_run_start(struct plan_run *r, str body, struct identity *who, struct err *e);

/* L is posted whenever there is more than it was told of. What is there already it takes by itself. */
void plan_run_listen(struct plan_run *r, struct plan_listener *l);
/* L's loop has got its message. */
void plan_run_heard(struct plan_run *r, struct plan_listener *l);
/* L is gone: it is posted nothing any more. Not WHOLE: it left before the end; the last one to leave cancels the
 * walk. */
void plan_run_leave(struct plan_run *r, struct plan_listener *l, bool whole);

struct plan_run_state {
	bool complete;   /* all below is final, and so are the bytes: plan_run_bytes() */
	bool waits;      /* there are frames that wait for company: ask again soon, with NOW */
	unsigned frames; /* so far */
	/* Code below 0: it failed; with no frames there are no bytes either. Final, lives as long as R. */
	const struct err *err;
	bool need_lockfile; /* why it failed */
	int rc;             /* the stream is broken */
};
/* How far it has come. Bytes behind *AT are appended to OUT and *AT moves, unless it is complete. NOW: what waits
 * is taken, however little. */
void plan_run_take(struct plan_run_state *st, struct plan_run *r, struct buf *out, size_t *at, bool now);
/* The whole stream of one that is complete; lives as long as R. */
str plan_run_bytes(const struct plan_run *r);

/* Renews the leases of the packs that B names, on a worker, when that was not done lately. */
void plan_run_renew(struct server *s, struct plan_blob *b);

/* For the queue of plans (workq_opts.run and .drop). */
void plan_run_work(void *run);
void plan_run_drop(void *run);
