/* hoist — peers that nobody provides become direct dependencies of the importer, in rounds.
 *
 * A round finds the missing peers of every importer; required ones take, in this
 * order, an override, what the workspace root depends on, a version already in the
 * graph that fits, one that the lockfile has, else the range itself (autoInstallPeers). When no required
 * peer is missing any more, optional ones that some version in the graph satisfies
 * for all who ask are installed too, and the rounds start again. */
#pragma once
#include "resolve.h"

/* Resolves every importer and hoists until nothing is missing that can be had. */
MUST_USE int hoist_all(struct run *r, struct err *e);
