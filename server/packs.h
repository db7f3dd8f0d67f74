/* packs — the packs that a drayd has ready, or is making.
 *
 * Owns `packs/` in the server's directory: pack files by digest (<2 hex>/<62 hex>, written beside, synced and renamed
 * before anybody is told of them) and a journal, which is read into memory at start. A package goes from cold (none) to
 * warm (first encoding) to settled (best encoding). packbuild.c has the threads that get it there; packs_new() starts
 * them. Any thread may call.
 *
 * One process at a time: packs/ is locked. The journal has a line a change, each with a checksum; a torn or foreign
 * line is skipped, since everything in it can be made again. A client checks a pack's digest, so a file that a power
 * loss spoiled is refused there. */
#pragma once
#include "auth.h"
#include "packs_wire.h"
#include "plan.h"
#include "registry.h"
#include "upstream.h"

struct packs;
struct packs_opts {
	const char *dir;              /* the server's; packs/ is made in it */
	_Atomic uint64_t *lock_waits; /* for the index, of over 1 ms, are counted here; may be NULL */
	struct registry *registry;    /* where tarballs come from; borrowed */
	struct upstreams *upstreams;  /* asked before each fetch; NULL: everything is allowed (tests) */
	unsigned builders;            /* threads; 0: 2 */
	unsigned settlers;            /* threads; 0: 1 */
	int level, settled_level;     /* zstd's; 0: 9 and 19 */
	unsigned delay_ms;            /* from being asked for to the fetch of the tarball; 0: at once */
	unsigned idle_ms;             /* of quiet before settling; 0: 2,000 */
	unsigned keep_s;              /* a superseded pack can still be had for this long; 0: 3,600 */
	uint64_t max_tarball;         /* bytes; a larger one is never packed; 0: 64 MiB */
	uint64_t max_bytes;           /* of packs; past it the longest unused go; 0: no limit */
	unsigned fresh_s, lease_s; /* a pack stays so long after it was made, and after a plan named it; 0: 600 each */
	uint32_t max_pending;      /* packages waiting; past it they stay cold until asked for again; 0: 100,000 */
	/* Packages that are known and never had a pack: clients' lockfiles name what there is not. One client's plans:
	 * half of what is left. 0: 500,000. */
	uint32_t max_unmade;
	unsigned leave_ms;      /* at the end: how long a settler may take to notice; 0: 5,000 */
	unsigned evict_ms;      /* between two looks at the limit; 0: 5,000 */
	uint64_t journal_slack; /* bytes by which the journal may be longer than it need be; 0: 64 MiB */
	bool no_settle;
	bool eager; /* settles at the builders' priority: for whoever waits for it, on a machine that is never idle */
	/* Connections from this machine: while there are any, what is wanted is begun nine times delay_ms later. May be
	 * NULL. */
	const _Atomic uint64_t *near;
};
MUST_USE int packs_new(struct packs **out, const struct packs_opts *o, struct err *e);
/* Cuts short what is being made; waits for the threads. NULL is fine. The registry must outlive it,
 * its http be stopped before. A settler that does not notice within leave_ms, since a busy machine gives one of idle
 * priority no CPU, is left to itself, with all it has to do with: nothing of it is kept, and the process is to end. */
void packs_free(struct packs *p);

/* The pack that is ready for F: fills pack and pack_size, or leaves them and has it made, delay_ms later. CLIENT: the
 * name of who asks, or empty. Never blocks for long. */
void packs_of(struct packs *p, struct frame_package *f, str client);
/* The pack that is ready for the package KEY, which counts as a use of it; false: none is, and it is made where that
 * can be. */
bool packs_find(struct packs *p, uint8_t digest[32], uint64_t *size, const uint8_t key[PACKS_KEY]);
struct pack_found {
	uint8_t digest[32];
	uint64_t size; /* 0: none is ready */
};
/* The same for N of them, whose keys are the heads of ROWS, WIDTH bytes apart. FROM: behind each stands the key of a
 * package that the client has (zeros: none): the delta from there if it is ready, else it is made for the next one
 * that asks, and the pack is given. */
void packs_find_all(struct packs *p, struct pack_found *out, const uint8_t *rows, size_t n, size_t width, bool from);
/* May WHO have the pack? Decided by the name of the package it was made for. */
bool packs_allowed(struct packs *p, const uint8_t digest[32], const struct identity *who);
/* A descriptor of the pack's file, to be closed, and its size; -1: there is none. */
int packs_open(struct packs *p, const uint8_t digest[32], uint64_t *size);

struct packs_counts {
	uint64_t pending, building, warm, settled;  /* packages, now */
	uint64_t deltas_pending, deltas_building;   /* deltas, now: wanted; of them in the making */
	uint64_t built, resettled, failed, dropped; /* since start; dropped: there were too many */
	uint64_t unproved; /* of those that are warm or settled: an older drayd's, which nobody is given yet */
	uint64_t unmade;   /* packages that are known and never had a pack, now */
	uint64_t unnoted;  /* changes that the journal missed */
	uint64_t deltas, deltas_named;                  /* made, and found, since start */
	uint64_t tarball_bytes, pack_bytes;             /* of the packages that have a pack */
	uint64_t build_us, delta_us, settle_us;         /* CPU of the threads */
	uint64_t evicted, evicted_bytes, evicted_young; /* young: used within the last hour */
	uint64_t leased_bytes;                          /* as of the last pass */
	uint64_t sent, sent_bytes, absent;              /* entries of answers */
	int64_t settled_ms;  /* from the first package that was asked for until nothing was pending; -1: not yet */
	uint64_t settled_us; /* CPU of the threads in that time; as settled_ms, of the last time */
};
/* Evicts as of NOW (Unix time) at once, instead of when its thread gets to it: for tests. */
size_t packs_evict(struct packs *p, int64_t now);
struct packs_counts packs_counts(struct packs *p);
/* Packages that are not at their best, or not proved, and deltas that are wanted. */
uint64_t packs_unsettled_of(const struct packs_counts *n);
/* Nothing is pending and every pack is settled, and proved. */
bool packs_settled(struct packs *p);
/* With `eager`: whether nothing is left but better encodings and proofs that this machine cannot have, as on a full
 * disk: several in a row; *WHY: one of them. Without it they are tried again, minutes later. */
bool packs_stuck(struct packs *p, struct err *why);
/* Packages that cannot be packed for now (their tarballs cannot be had, or are wrong) and are tried again later. */
size_t packs_failing(struct packs *p);
void packs_count_sent(struct packs *p, uint64_t packs, uint64_t bytes, uint64_t absent);
/* Appends Prometheus text. */
void packs_metrics(struct packs *p, struct buf *out);
