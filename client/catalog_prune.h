/* catalog_prune — catalogPrune: entries of catalogs that nothing uses leave pnpm-workspace.yaml, as pnpm 12.21 has it.
 *
 * An entry is used by a project that asks for its package by "catalog:", or by an override; one that the lockfile
 * records stays, too. Whole lines go, the rest of the file keeps its bytes. Reads only. */
#pragma once
#include "project.h"

/* Puts to OUT what YAML becomes, the pnpm-workspace.yaml of REQ's projects; LF may be NULL. 1: OUT has it; 0: nothing
 * is to go, and OUT is as it was. ERR_UNSUPPORTED, naming an entry, where what is to go does not stand in lines of its
 * own. */
MUST_USE int catalog_prune_edit(
	struct buf *out, str yaml, const struct request *req, const struct lockfile *lf, struct err *e);
/* The same for the file of P as it is now; 0 without one. */
MUST_USE int catalog_prune(struct buf *out, const struct project *p, const struct lockfile *lf, struct err *e);
