/* scripts — lifecycle scripts of dependencies that may build, and of the project.
 *
 * Allowed by allowBuilds; in dependency order, several at a time; each is a
 * child process of its own group whose output is read here, prefixed, and kept
 * for when it fails. Runs on the install's thread with its own poll loop. Source: pnpm's lifecycle and build-modules. */
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
	int root_fd;
	const struct tree *tree;
	bool ignore;
	struct progress *progress;
	int cancel_fd;
};
/* *ignored: name@version of packages that want to build and are not listed, sorted, in A. ERR_SCRIPT when one fails. */
MUST_USE int scripts_run(struct str_list *ignored, const struct scripts_opts *o, struct arena *a, struct err *e);
