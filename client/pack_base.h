/* pack_base — the version of a package that the store has already and that a delta can build on.
 *
 * Looked for in the lockfile that was there before: what a project had installed is what its store holds.
 * Belongs to the install's loop. */
#pragma once
#include "fetch_packs.h"

/* 1 and *out for the version nearest to P's of those that the store has, 0 when there is none. The record dies with
 * R. */
MUST_USE int pack_base_find(struct pack_base_of *out, const struct lockfile *before, struct store_read *r,
	const struct tree_package *p, struct err *e);
