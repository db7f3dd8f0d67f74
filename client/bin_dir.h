/* bin_dir — one .bin folder: which of several packages gives each command, and the folder's shims,
 * made, kept or taken away.
 *
 * bins.c says whose commands go into which folder. Filled and written by one thread; what MADE points to is
 * shared by all that write. */
#pragma once
#include "bins.h"
#include <stdatomic.h>

#include "store.h"

/* A package whose commands go into one .bin folder. */
struct source_pkg {
	str name;                /* decides ownership of a command */
	const struct slot *slot; /* NULL: a folder outside the virtual store */
	str base;                /* from the .bin folder to the package */
	struct pkg_bin *bin;
	size_t nbins;
	bool hoisted;
	str within; /* node_modules it was bundled in, from the virtual store */
	bool own;   /* of the slot whose .bin this is: only what is there, as with pnpm */
};
struct chosen {
	str command, path;
	size_t at; /* in the package's list */
	const struct source_pkg *from;
};
/* A command has the same text in the .bin of all slots whose names have as many folders: it is written once, and linked
 * from there. By target, command and whether the slot's name has a scope: the id of a slot that has it, +1. */
struct made {
	uint32_t *first; /* by slot id: its first command in AT */
	atomic_uint *at;
};
struct bin_dir {
	struct arena *a;
	VEC(struct source_pkg) pkg;
	VEC(struct chosen) chosen;
	str to_vstore;           /* from the .bin folder to the virtual store */
	str hoisted;             /* from there to the hoisted packages; empty: not for a slot that projects share */
	bool fresh;              /* nothing can be there yet */
	const struct slot *slot; /* whose .bin it is; NULL: no slot's */
	const struct made *made; /* NULL: each shim is written by itself */
};
void bin_dir_release(struct bin_dir *d);
/* Makes PATH, below DIRFD, the .bin folder that D describes. PRUNE: shims in it that nobody wants any more go. */
MUST_USE int bin_dir_write(int dirfd, str path, struct bin_dir *d, const struct bins_opts *o, bool prune,
	struct bins_counts *counts, struct err *e);
