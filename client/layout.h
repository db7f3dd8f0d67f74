/* layout — what of a complete tree shows in the projects' own node_modules: each one's direct
 * dependencies, and what is hoisted.
 *
 * With dedupeDirectDeps a project of a workspace lacks what the root's node_modules has under the same name and of the
 * same content: node finds it there, and so do commands. Source: pnpm 12.21, by running it. Pure; any thread. */
#pragma once
#include "hoist.h"
#include "project.h"

struct root_shows;
struct layout {
	const struct tree *tree;
	const struct hoist *hoist;      /* may be empty, where nothing is deduplicated */
	bool prod, dev, optional;       /* groups installed */
	const struct root_shows *shows; /* with dedupeDirectDeps and a root */
};
/* In A. T is complete, and H is unless nothing is deduplicated. */
struct layout layout_of(const struct tree *t, const struct hoist *h, const struct request *req, struct arena *a);
/* What P hoists of T, whose groups REQ names. In A. */
void layout_hoist(
	struct hoist *out, const struct tree *t, const struct project *p, const struct request *req, struct arena *a);

/* One importer's direct dependency. */
struct direct {
	str alias;
	struct slot *to; /* NULL: LINK, a folder from the importer's */
	str link;
	enum lock_dep_type type;
};
/* Those that IM's node_modules holds, in A. */
size_t importer_directs(struct direct **out, const struct layout *l, const struct lock_importer *im, struct arena *a);
/* "../" once for each folder of PATH ("." has none). */
str importer_up(str path, struct arena *a);
