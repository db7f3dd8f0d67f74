/* hoist — which transitive dependencies also appear outside their slots.
 *
 * Pure, over a complete tree. Source: pnpm's hoist, whose walk decides which
 * of two versions wins, so its order is kept: importers by path, groups dev,
 * prod, optional; then by depth of first visit and slot folder. */
#pragma once
#include "tree.h"

struct hoist_opts {
	struct str_list private_pattern, public_pattern;
	bool prod, dev, optional; /* groups installed */
	/* name -> folder from the lockfile's, of named non-root importers; empty: not hoisted. */
	struct str_map workspace;
};
struct hoisted {
	str alias;
	struct slot *to; /* NULL: a workspace package */
	str folder;      /* of a workspace package */
	bool is_public;
};
struct hoist {
	struct hoisted *p;
	size_t n;
};
/* Fills OUT, whose array is in A. T is complete. */
void hoist_compute(struct hoist *out, const struct tree *t, const struct hoist_opts *o, struct arena *a);
