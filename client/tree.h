/* tree — the plan as an install sees it: packages, slots and importers, and how far each has come.
 *
 * Filled from frames on the install's thread. Workers are lent single slots,
 * whose names and records do not change while they are lent. Strings belong
 * to the frames (kept until the tree is released) or to the tree's arena. */
#pragma once
#include "plan.h"
#include "store.h"

enum package_state { PACKAGE_IDLE = 0, PACKAGE_COMING, PACKAGE_READY };
struct slot;
struct tree_package {
	const struct frame_package *f;
	str key;                   /* under which the store knows it */
	enum package_state state;  /* IDLE: nobody asked for its bytes yet */
	struct pkg rec;            /* when READY */
	bool owned;                /* rec.p is on the heap */
	bool spoiled;              /* the patch could not be made because the store lost or spoiled a file */
	bool cold;                 /* fetched by this install */
	bool again;                /* the store lost it once already */
	const struct patch *patch; /* of patchedDependencies, or NULL; known from its first slot on */
	bool patched;              /* REC is the patched variant's, made by this install */
	uint32_t flags, nbins;     /* of rec, which lies in pages that need not stay in memory */
	uint32_t work;             /* files, and directories thrice: about what linking it takes */
	struct pkg_bin *bin;
	struct slot *slots;       /* by next */
	struct pack_pair *pair;   /* pack_pairs.h; NULL: no pack was asked for */
	struct pack_want *awaits; /* fetch_packs.h: its pack builds on a package that is still to come */
};

enum slot_state {
	SLOT_WAITING = 0, /* for its package */
	SLOT_LINKING,
	SLOT_LINKED, /* made by this install */
	SLOT_KEPT,   /* was there, whole */
	SLOT_SKIPPED,
	SLOT_FAILED, /* optional, and could not be had */
};
struct slot {
	uint32_t id;
	const struct lock_snapshot *snap;
	struct tree_package *package;
	str name; /* its folder below node_modules */
	/* Its folder below the virtual store; with shared slots, named once the plan is whole (gvs.h). */
	const char *dir;
	const char *flat; /* the folder it would have in node_modules/.pnpm */
	enum slot_state state;
	bool begun, replaced;   /* by this install: it was made, or in part; what stood there was set aside first */
	bool lost;              /* or was removed, where folders cannot be renamed */
	bool cold;              /* its package was fetched by this install */
	struct str_list absent; /* aliases of dependencies that are skipped here: no symlink */
	bool builds;            /* it may build: then its files are copies, no shared inodes */
	bool reached;           /* from the importers over the groups asked for, tree_reach() */
	bool bins_due;          /* kept, and made by an install that failed: its commands may be missing */
	bool deferred;          /* waits until it is known which of its dependencies are skipped */
	bool fresh;             /* while the linker has it: as package->cold was when it got it */
	struct pkg rec;         /* and package->rec: a package that is fetched again meanwhile gets another one */
	uint64_t wiring;        /* hash of all that its folder is made of, once it is linked or kept */
	int64_t modules_ns, package_ns; /* mtimes of its node_modules and its package's folder, once linked or kept */
	uint64_t modules_ino;           /* inode of its node_modules */
	struct slot *next, *same;       /* of one package; that share a folder (the linker's) */
	struct err *err;                /* why linking failed; only while the linker calls done() */
};
struct tree_edge {
	str alias;
	struct slot *to; /* NULL: a link: reference */
	str link;        /* path from the lockfile's folder */
};

struct tree {
	struct arena arena;
	struct tree_package **package;
	size_t npackages, package_cap;
	struct slot **slot;
	size_t nslots, slot_cap;
	const struct lock_importer **importer;
	size_t nimporters, importer_cap;
	struct map by_path; /* dep path -> slot id */
	const struct lock_head *head;
	size_t max_dir; /* virtualStoreDirMaxLength */
	str shared;     /* from the lockfile's folder to the shared slots; empty: slots lie in node_modules/.pnpm */
};

void tree_init(struct tree *t);
void tree_release(struct tree *t);
/* Adds one of the frames; F must live as long as the tree. ERR_PROTOCOL for ids out of order, names
 * that are no path, doubles. */
MUST_USE int tree_add_package(struct tree_package **out, struct tree *t, const struct frame_package *f, struct err *e);
MUST_USE int tree_add_slot(struct slot **out, struct tree *t, const struct frame_slot *f, struct err *e);
void tree_add_importer(struct tree *t, const struct frame_importer *f);
/* P's record has just become READY: notes what is asked of it later. */
void tree_package_ready(struct tree *t, struct tree_package *p);
/* Packages that a slot is made of: all but the withdrawn. */
size_t tree_used(const struct tree *t);
/* NULL: the plan has none. */
struct slot *tree_slot(const struct tree *t, str dep_path);
/* What REF under ALIAS is: a slot or a link:. False when it is neither (the plan has no such slot). */
bool tree_edge(struct tree_edge *out, const struct tree *t, str alias, str ref, struct arena *scratch);
/* The dep path of REF under ALIAS as the folder below the virtual store and the name below node_modules; absent for
 * link: refs, and among shared slots for what the plan does not have. */
str tree_dir_of(const struct tree *t, str alias, str ref, str *name, struct arena *a);
/* Whether it is known of all of S's dependencies that may be skipped here whether they are; then those are S->absent.
 * ALL_KNOWN: T is complete. */
bool tree_settle(struct tree *t, struct slot *s, bool all_known);
/* Marks what the groups lead to, skipped slots included. For a complete tree. */
void tree_reach(struct tree *t, bool prod, bool dev, bool optional);
static inline bool slot_wanted(const struct slot *s)
{
	return s->state != SLOT_SKIPPED && s->state != SLOT_FAILED;
}
