/* bins — the commands that packages bring: shims in .bin folders.
 *
 * A shim is a sh script that finds its own folder through symlinks, extends
 * NODE_PATH as pnpm's extendNodePath does and runs the target with what its
 * first line names. Folders: of each importer (direct dependencies and what
 * is hoisted publicly), of the private hoist, and inside each slot (its
 * dependencies' and its own). Source: pnpm's cmd-shim and link-bins. */
#pragma once
#include "link_root.h"
#include "pool.h"
#include "project.h"

struct bins_opts {
	int root;   /* the lockfile's folder, borrowed */
	int vstore; /* where slots lie */
	struct layout layout;
	bool extend_node_path;
	bool peers_listed; /* autoInstallPeers */
	bool again;        /* after build scripts: what is there already is looked at */
	bool link;         /* a shim that several slots have in the same words may be one file */
};
struct bins_counts {
	uint64_t written, linked, kept, removed, chmodded;
};
/* Whether shims extend NODE_PATH. */
bool bins_node_path(const struct client_settings *c);
/* Slots' and importers' bins as jobs on POOL, and those of HOISTED (may be NULL; borrowed until the jobs have ended):
 * live jobs are told by pool_live(). First error wins. */
struct bins;
struct bins *bins_start(struct pool *p, const struct bins_opts *o, const struct hoist_place *hoisted);
/* After pool_live() is 0 again: the result, and the end of B. */
MUST_USE int bins_finish(struct bins *b, struct bins_counts *out, struct err *e);
/* The commands of the privately hoisted packages, in AT's .bin. */
MUST_USE int bins_hoisted(const struct bins_opts *o, const struct hoist_place *at, struct err *e);

/* bin_shim.c: the text of one shim. TARGET is relative to the shim's folder. */
struct shim {
	str target;
	str program, args;         /* from the target's first line or its extension; empty: the target itself */
	struct str_list node_path; /* relative to the shim's folder */
};
/* Appends the shim's text. */
void shim_print(struct buf *out, const struct shim *s);
/* Reads a shim that pnpm wrote; strings borrow from TEXT, the list is in A. False when it is
 * none, or one of another form. */
bool shim_of_pnpm(struct shim *out, str text, struct arena *a);
/* What runs the file that begins with HEAD. */
void shim_runtime(struct shim *s, str head, str path);
