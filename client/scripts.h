/* scripts — lifecycle scripts of dependencies that may build, and of the projects.
 *
 * Allowed by allowBuilds; a package builds after those it depends on, several
 * at a time; then the projects' own. Output is prefixed, and its end repeated
 * when a script fails. Runs on the install's thread. Source: pnpm's lifecycle and build-modules. */
#pragma once
#include "progress.h"
#include "project.h"
#include "tree.h"

enum build_policy { BUILD_UNLISTED = 0, BUILD_ALLOWED, BUILD_DENIED };
/* What allowBuilds says of P. */
enum build_policy scripts_allowed(const struct tree_package *p, const struct client_settings *c);
/* Whether P has scripts that an install runs (needs its record). */
bool scripts_wanted(const struct tree_package *p);

struct scripts_opts {
	const struct project *project;
	int vstore;
	const struct tree *tree;
	const bool *selected; /* by importer: whose own scripts run; NULL: all. */
	bool ignore;
	struct progress *progress;
	int cancel_fd;
};
struct scripts_counts {
	uint32_t built, failed; /* packages; failed: optional ones */
};
/* Whether any script is to run. */
bool scripts_due(const struct scripts_opts *o);
/* Builds the slots that this install has linked. *ignored: name@version of packages that want to build and are not
 * listed, sorted, in A. ERR_SCRIPT when one fails that is not optional. */
MUST_USE int scripts_build(struct str_list *ignored, struct scripts_counts *counts, const struct scripts_opts *o,
	struct arena *a, struct err *e);
/* preinstall, install, postinstall, prepare and their neighbours of every importer, one after another. */
MUST_USE int scripts_projects(const struct scripts_opts *o, struct err *e);
