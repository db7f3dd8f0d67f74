/* filter — which projects of a workspace an install is for: --filter, --filter-prod, --workspace-root.
 *
 * A selector is read into its parts, matched against the projects' names,
 * folders and (for "[ref]") what git says has changed, and widened along the
 * workspace's own dependencies. Starts git, otherwise only reads its input. Source: pnpm 12's projects filter. */
#pragma once
#include "project.h"

struct filter_opts {
	struct str_list all, prod; /* --filter, --filter-prod: selectors as given */
	bool workspace_root;       /* the root, too */
	str base;                  /* absolute: where the user stands */
};
struct filter_result {
	bool *selected; /* by importer of the project */
	size_t n;       /* how many */
};
/* Chooses among P's importers; arrays live in A. ERR_USAGE for a bad selector, ERR_NOTFOUND when
 * git knows no such commit. */
MUST_USE int filter_select(struct filter_result *out, const struct project *p, const struct filter_opts *o,
	struct arena *a, struct err *e);

/* Projects that depend on one another in a circle, as text; absent: there is none. SELECTED by
 * importer, NULL: all. In A. */
str filter_cycle(const struct project *p, const bool *selected, struct arena *a);
/* Folders, absolute, of the files below DIR that differ from COMMIT. Runs git. */
MUST_USE int filter_changed_dirs(struct str_list *out, str dir, str commit, struct arena *a, struct err *e);
