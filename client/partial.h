/* partial — an install for some of a workspace's projects, the others left as they are.
 *
 * Resolution sees an unselected project as the lockfile has it, so that only what was asked for changes; the tree is
 * made from the selected projects' part of the lockfile together with what the tree already holds for the others. Pure.
 * Source: pnpm 12, by running it. */
#pragma once
#include "project.h"

/* Whether LF has projects that REQ has not: a sparse checkout. */
bool partial_lost(const struct request *req, const struct lockfile *lf);
/* REQ with the unselected projects' manifests as LF has them; a project that LF does not know stays as it is, and one
 * that is not on disk is there as LF has it. */
void partial_request(struct request *out, const struct request *req, const bool *selected, const struct lockfile *lf,
	struct arena *a);
/* LF and REQ of the selected projects alone: what has to fit for LF to do. */
void partial_check(struct lockfile *lf_out, struct request *req_out, const struct request *req, const bool *selected,
	const struct lockfile *lf, struct arena *a);
/* What the tree is to be: the selected projects of WANTED, and of CURRENT (node_modules/.pnpm/lock.yaml; NULL: nothing)
 * the others that it has: one of them need not have a node_modules of its own. Borrows from both. */
void partial_lockfile(struct lockfile *out, const struct project *p, const bool *selected,
	const struct lockfile *wanted, const struct lockfile *current, struct arena *a);
