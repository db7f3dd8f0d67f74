/* install_impl — what the stages of an install share: its state, and what one stage asks of another.
 *
 * install.c owns the loop, install_packages.c the packages' way into the store, install_verdict.c the policy check on
 * the lockfile, install_after.c what follows when all slots are there. One thread. */
#pragma once
#include "fetch.h"
#include "fetch_packs.h"
#include "file_put.h"
#include "frames.h"
#include "hoist.h"
#include "install.h"
#include "meta.h"
#include "pack_pairs.h"
#include "plan_lockfile.h"
#include "shared.h"
#include "slots_made.h"
#include "state.h"

struct verdict_stage;

struct install {
	const struct install_opts *o;
	struct install_result *r;
	uint64_t start;
	int64_t wall_ms; /* when it began: what the resolver takes for now */
	int root, vstore;
	int slots;                   /* where slots lie: vstore, or the shared slots' folder */
	str root_path;               /* without symlinks; only with shared slots */
	struct shared_slots *shared; /* enableGlobalVirtualStore, else NULL */
	uint8_t shared_key[32];      /* of the project's record */
	bool waiting_make;           /* another process is making shared slots */
	bool made_vstore;            /* nothing was in it: an install that fails takes it away again */
	struct state_watch *watched; /* as o->watch was, before anything of the tree was changed */
	str vstore_link;             /* where node_modules/.pnpm led to before it was made, or empty */
	struct arena arena;
	struct tree tree;
	struct state old;
	bool has_old;
	struct lockfile current; /* of a tree that dray has no state of: pnpm made it */
	bool has_current;
	struct slots_made *made; /* NULL: no tree is asked for */
	struct lockfile was;     /* what the tree held before, where that had to be asked */
	bool was_read, has_was;
	struct request req;     /* what the source is asked */
	str pnpm_state;         /* what stood in pnpm's state file */
	struct lockfile merged; /* of a partial install: what the tree is to be */
	struct store *store;
	struct store_read *read; /* records of warm packages live in it */
	struct http *http;
	struct registry *registry;
	struct meta *meta;
	struct source *own_source;
	struct source *kept_source; /* own_source, if it is a source_kept; else NULL */
	bool kept_plan;             /* its plan is of what was kept: no server has made it */
	struct frames *frames;
	struct verdict_stage *verdict; /* NULL: no lockfile to be judged */
	struct pool *pool;
	struct linker *linker;
	struct fetcher *fetcher;
	struct pack_fetcher *packs;
	struct pack_pairs pairs;
	bool packs_lost;             /* said once */
	bool packs_helped;           /* an install before got packs from that server */
	uint64_t packs_asked;        /* when the first look-up began */
	uint64_t looked_up;          /* packages that the server was asked about */
	struct plan_lockfile *lock;  /* collects the new lockfile; NULL when the old one is the plan */
	struct staged *staged;       /* the same as text, on its way to the disk */
	struct early *early;         /* what was begun while slots are linked, or NULL */
	struct frame_batch *batches; /* taken, kept until the end: the tree points into them */
	VEC(struct slot *) ready;    /* to be linked at the end of this turn */
	VEC(struct slot *) deferred; /* until all slots are known */
	VEC(struct pkg) lost_rec;    /* on the heap: records of packages before they were fetched again */
	VEC(struct frame_peer_issue) peer_issue;
	VEC(str) young; /* name@version, taken although younger than minimumReleaseAge */
	struct hoist hoist;
	size_t done; /* slots finished one way or another */
	bool planned, failed;
	bool finishing; /* all slots are there: links of the project may have been made */
	struct err err;
};

/* µs since it began. */
uint64_t install_since(const struct install *in);
/* The first failure counts. */
void install_fail(struct install *in, int code, const struct err *e);
/* The fetch thread and the registry over it, once. */
MUST_USE int install_net(struct install *in, struct err *e);

/* install.c: a slot whose package is there is linked at the end of this turn; a slot is finished one way or another. */
void slot_ready(struct install *in, struct slot *s);
void slot_finish(struct install *in, struct slot *s, enum slot_state state);
/* S, which this install has linked, is written down for the case that it is killed. */
void slots_note_made(struct install *in, const struct slot *s);

/* install_packages.c. */
/* Asks the store, else the registry or drayd, for P's bytes, once. */
MUST_USE int package_want(struct install *in, struct tree_package *p, struct err *e);
/* The same for a slot that is known in full: where --offline leaves its package out of reach and it is
 * optional, it is left out. */
MUST_USE int slot_want(struct install *in, struct slot *s, struct err *e);
/* A server makes the plan and nothing is linked yet: the connections for packs are opened beside the plan's. */
MUST_USE int packages_expected(struct install *in, struct err *e);
/* The store lost or spoiled a file of P: says so, and has the package fetched anew, once. */
MUST_USE int package_again(struct install *in, struct tree_package *p, struct err *e);
/* What the store knows of a package whose slot stands: its commands. It need not have it. */
MUST_USE int package_peek(struct install *in, struct tree_package *p, struct err *e);
/* P is READY: its slots that wait for it are linked. */
void package_link(struct install *in, struct tree_package *p);
/* A slot's dep path says which patch its package gets, and all slots of a package get the same. */
MUST_USE int package_note_patch(struct install *in, struct tree_package *p, str snapshot_key, struct err *e);
/* Look-ups of packs and tarballs go on side by side; called once a turn. */
void packages_meanwhile(struct install *in);
/* In how many ms more tarballs may be fetched, since the answer to look-ups of packs has not come; 0: no more. */
int packages_wait_ms(const struct install *in);
/* The install is through: says so where the server never answered. */
void packages_unanswered(struct install *in);
/* Notes for the next install whether the server had packs. */
void packages_end(struct install *in);

/* install_verdict.c: the policy check on the lockfile that exists. */
/* Starts it, unless a kept verdict answers. ERR_POLICY at once for what needs no registry. */
MUST_USE int verdict_open(struct install *in, struct err *e);
/* 0, or ERR_POLICY; says each violation. */
MUST_USE int verdict_judge(struct install *in, const struct frame_verdict *f, struct err *e);
/* Readable when verdict_drain() has something to take; -1: nothing is awaited. */
int verdict_fd(const struct install *in);
/* Whether the lockfile is still to be judged. */
bool verdict_pending(const struct install *in);
/* Takes what the check has said; the install fails by it. */
void verdict_drain(struct install *in);
/* The plan is whole and downloads are under way: the check in this process starts. */
MUST_USE int verdict_planned(struct install *in, struct err *e);
/* A package could not be had: the verdict may rest on that it can. */
void verdict_unproven(struct install *in);
/* The install is through: a verdict that rests on what was fetched is kept. */
void verdict_finish(struct install *in);
/* The lockfile with this policy_key() was resolved here, under the rules: it needs no check later. */
void verdict_made(struct install *in, const uint8_t key[32]);
/* Before the network ends, and after. */
void verdict_stop(struct install *in);
void verdict_release(struct install *in);

/* install_shared.c: the global virtual store. */
/* Opens it where the project wants it. */
MUST_USE int shared_slots_begin(struct install *in, struct err *e);
/* All slots are known and none is linked: names them and states that this project needs them. */
MUST_USE int shared_slots_name(struct install *in, struct err *e);
/* Which of the slots that are ready may be linked now: as long as another process makes slots, none; what
 * it made meanwhile is kept. */
MUST_USE int shared_slots_ready(struct install *in, struct err *e);
/* Hoists into the store: 1. 0: this project's hoisted names are not all shared slots, or slots are not shared. */
struct bins_opts;
MUST_USE int shared_slots_hoist(struct install *in, const struct bins_opts *bo, struct err *e);
/* Everything in them is there: they are whole. */
MUST_USE int shared_slots_publish(struct install *in, struct err *e);
/* The project uses these slots and no others. */
MUST_USE int shared_slots_end(struct install *in, struct err *e);
/* Keeps the tree as an image, where it can be one. */
void shared_slots_image(struct install *in);

/* install_vstore.c. */
/* Opens node_modules/.pnpm, making it, and takes the project's lock. */
MUST_USE int vstore_open(struct install *in, struct err *e);
/* The install failed, and no job is left. */
void vstore_undo(struct install *in);
/* Whether an earlier install, of dray or pnpm, has put a link to a folder under ALIAS into IMPORTER's
 * node_modules. ARG is the install. */
bool vstore_had_link(void *arg, str importer, str alias);

/* install_early.c: what needs the whole plan and no slot. */
/* Called once a turn: begins it, once, where that is possible. */
void install_early(struct install *in);
/* Whether the private hoist's links are made, as install_hoist() would make them now. */
bool early_hoisted(const struct install *in);
/* node_modules/.pnpm/lock.yaml as text, or NULL. */
struct staged *early_current(const struct install *in);
/* Its jobs have ended, or never will begin. */
void early_free(struct early *y);

/* install_after.c: root links and hoisting, shims, build scripts, lockfile and state files (last). */
MUST_USE int install_after(struct install *in, struct err *e);
/* Computes in->hoist, over all slots. */
void install_hoist(struct install *in);
