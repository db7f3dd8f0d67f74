/* packages — small packages made by hand, as a registry would serve them.
 *
 * Reads packages/<name>/<version>/… (a scope is one folder more), makes a tarball of each version, the same bytes every
 * time, and adds a packument per name to a recording. dist-tags.json beside the versions gives the tags; without it
 * `latest` is the highest release. A folder `_node_modules` becomes `node_modules` (bundled dependencies). */
#pragma once
#include "recording.h"

struct packages;
MUST_USE int packages_read(struct packages **out, const char *dir, struct recording *into, struct err *e);
/* The .tgz under PATH ("/fx-leaf/-/fx-leaf-1.0.0.tgz"), or absent. */
str packages_tarball(const struct packages *p, str path);
void packages_free(struct packages *p);
