/* link_root — what lies outside the slots: each importer's node_modules, and the hoisted names.
 *
 * Everything is idempotent: a link that is right stays, one that is wrong is
 * replaced, one into the virtual store that nobody wants is removed, and what
 * a user put there as a real folder is set aside as pnpm does. Any one thread. */
#pragma once
#include "layout.h"

struct root_opts {
	int root; /* the lockfile's folder, borrowed */
	struct layout layout;
	/* Whether an earlier install put a link to a folder under ALIAS into IMPORTER's
	 * node_modules. NULL: none did. */
	bool (*had_link)(void *arg, str importer, str alias);
	void *arg;
};
struct root_counts {
	uint64_t made, kept, removed;
	uint32_t set_aside;
	char set_aside_name[256]; /* the last one */
};
/* Makes every importer's node_modules as the layout has it. */
MUST_USE int link_root(struct root_counts *out, const struct root_opts *o, struct err *e);

/* Where the privately hoisted names go: the folder PATH below FD, from which SLOTS leads to the virtual store. */
struct hoist_place {
	int fd;
	str path, slots;
};
/* In the project: node_modules/.pnpm/node_modules. */
struct hoist_place hoist_place_project(int root, const struct tree *t, struct arena *a);
/* Makes AT as H has it, and nothing else in it; counted into C. */
MUST_USE int link_hoisted(struct root_counts *c, const struct hoist *h, const struct hoist_place *at, struct err *e);

/* Opens PATH below DIRFD, making what is missing. Symlinks that stand on the way are followed (a project may have its
 * node_modules elsewhere); below a node_modules a file, or a link that leads nowhere, is replaced. */
int dir_make(int dirfd, str path, struct err *e);
