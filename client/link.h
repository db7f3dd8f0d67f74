/* link — the linker: makes slots in the virtual store, many at once, on the worker pool.
 *
 * link_slots_parallel() is the only way a slot comes to be, for packages that
 * were in the store (warm) and for those just imported (cold). It never
 * blocks: it splits what it is given into jobs, keeps at most `in_flight` of
 * them on the pool, and calls back on the pool's draining thread per slot.
 * Slots that share a folder have one owner; the others follow it.
 *
 * How a slot is whole or absent (docs/decisions/slots.md): its
 * node_modules folder carries the sticky bit from the mkdir that makes it
 * until everything below is there. */
#pragma once
#include <stdatomic.h>

#include "pool.h"
#include "tree.h"

struct linker;
struct linker_opts {
	int vstore;         /* node_modules/.pnpm, or the shared slots' folder; borrowed */
	int root;           /* the lockfile's folder, borrowed; for folders that are linked from where they lie */
	str vstore_to_root; /* from there to the lockfile's folder: "../.." */
	struct store *store;
	enum pkg_import_method method;
	unsigned in_flight; /* jobs; 0: 128, or pool_enough() if that is more */
	bool unfinished;    /* slots stay marked as not whole until slot_publish(): shims or builds are to come */
	atomic_bool *record_aside; /* linker_new() sets it: the record of what slots are made of is out of the way */
	/* On the draining thread, once per slot: SLOT_LINKED, or SLOT_WAITING with s->err, which ends with the call. */
	void (*done)(void *arg, struct slot *s);
	void *arg;
	/* For tests: called on the worker inside each link, after it was counted. */
	void (*entered)(void *arg);
	void *entered_arg;
};
struct link_counts {
	uint64_t dirs, links, clones, copies, bytes_copied, symlinks, misfits;
	uint64_t warm, cold;       /* slots linked */
	int refused;               /* the error with which hard links from the store were, or 0 */
	unsigned most;             /* links that ran at the same time */
	uint64_t warm_us, cold_us; /* work on all workers together */
};
/* P and T and what O points at are borrowed. Starts nothing. */
struct linker *linker_new(struct pool *p, const struct tree *t, const struct linker_opts *o);
/* Links N slots whose packages are READY. They are the linker's until done() was called for them. SLOTS is put into the
 * order in which they are begun: large ones first, then as they came. */
void link_slots_parallel(struct linker *l, struct slot **slots, size_t n);
/* Nothing more is begun, and done() is not called again; what runs ends: wait for the pool. */
void linker_stop(struct linker *l);
/* Of the slots that done() was called for. The loop's thread. */
struct link_counts linker_counts(const struct linker *l);
/* Whether it has jobs that it brings to the pool when others have ended. */
bool linker_brings(const struct linker *l);
/* All done() calls must have happened, or after linker_stop() the pool's jobs have ended. */
void linker_free(struct linker *l);

/* link_slot.c: one slot, on a worker. */
struct slot_stats {
	struct pkg_link_stats files;
	uint64_t symlinks;
};
/* Makes S, adding to STATS. ERR_NOTFOUND or ERR_INTEGRITY: as store_link(). */
MUST_USE int slot_link(
	const struct linker_opts *o, const struct tree *t, struct slot *s, struct slot_stats *stats, struct err *e);
/* Hash of what slot S is made of. */
uint64_t slot_wiring(const struct slot *s);
/* Whether S stands whole in VSTORE (two stats). Fills its mtimes when it does. */
bool slot_stands(int vstore, struct slot *s);
/* The same for a slot that stood whole when its node_modules had the mtime S->modules_ns: mostly one stat. */
bool slot_stands_still(int vstore, struct slot *s);
/* S, linked with `unfinished`, is whole now; what it replaced goes. */
MUST_USE int slot_publish(int vstore, const struct slot *s, struct err *e);
/* The folder of S's package below VSTORE: "<dir>/node_modules/<name>". */
str slot_package_dir(const struct slot *s, struct arena *a);
