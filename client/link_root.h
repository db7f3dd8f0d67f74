/* link_root — what lies outside the slots: each importer's node_modules, and the hoisted names.
 *
 * Everything is idempotent: a link that is right stays, one that is wrong is
 * replaced, one into the virtual store that nobody wants is removed, and what
 * a user put there as a real folder is set aside as pnpm does. Any one thread. */
#pragma once
#include "hoist.h"

struct root_opts {
	int root; /* the lockfile's folder, borrowed */
	const struct tree *tree;
	const struct hoist *hoist;
	bool prod, dev, optional;
};
struct root_counts {
	uint64_t made, kept, removed;
	uint32_t set_aside;
	char set_aside_name[256]; /* the last one */
};
MUST_USE int link_root(struct root_counts *out, const struct root_opts *o, struct err *e);

/* Where the privately hoisted names go: the folder PATH below FD, from which SLOTS leads to the virtual store. */
struct hoist_place {
	int fd;
	str path, slots;
};
/* In the project: node_modules/.pnpm/node_modules. */
struct hoist_place hoist_place_project(int root, const struct tree *t, struct arena *a);
MUST_USE int link_hoisted(struct root_counts *c, const struct hoist *h, const struct hoist_place *at, struct err *e);

/* One importer's direct dependencies, as installed: what its node_modules holds. In A. */
struct direct {
	str alias;
	struct slot *to; /* NULL: LINK, a folder from the importer's */
	str link;
	enum lock_dep_type type;
};
size_t importer_directs(struct direct **out, const struct tree *t, const struct lock_importer *im, bool prod, bool dev,
	bool optional, struct arena *a);
/* "../" once for each folder of PATH ("." has none). */
str importer_up(str path, struct arena *a);
/* Opens PATH below DIRFD component by component, making what is missing; never through a symlink. */
int dir_make(int dirfd, str path, struct err *e);
