/* pnpm_state — node_modules/.pnpm-workspace-state-v1.json, from which pnpm decides that there is nothing to do.
 *
 * pnpm compares the settings and projects in it with the present ones and the times of manifests and lockfile with its
 * timestamp; then it looks at nothing else. So it is taken away before a tree changes and written after everything
 * else, with what this install did and no more: pnpm's own digests of files ("validation") are left out, and pnpm adds
 * them when it next looks. Source: pnpm 12.21, by running it. */
#pragma once
#include "project.h"

struct pnpm_state {
	const struct project *project;
	const struct request *req;       /* groups */
	const struct settings *catalogs; /* whose catalogs pnpm-workspace.yaml has by now; NULL: the project's */
	bool filtered;                   /* not all projects are in the tree */
	str old;                         /* what stood in the file before; may be empty */
};
/* Takes the file below ROOT away; its text in A, or none. */
str pnpm_state_take(int root, struct arena *a);
/* The file's text. The old one, digests included, where all it says still holds. False when something cannot be said as
 * pnpm would say it: then there must be no such file. */
bool pnpm_state_print(struct buf *out, const struct pnpm_state *s, struct arena *a);
