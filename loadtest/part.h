/* part — the packages of a lockfile that the partial phase finds in the store: a given share of its slots, to
 * the slot where it can be.
 *
 * Packages anywhere in the graph, each with all that it depends on, so that an ordinary install of a
 * manifest that names them fills the store. Which ones is a hash of their name: big and small, near the
 * root and far from it. Pure. */
#pragma once
#include "lockfile.h"

/* The share that the phase is after. */
#define PARTIAL_SHARE 0.24

/* Name → exact version, the direct dependencies of the install before, in order. *SHARE: of the slots
 * that are not optional, what they and their dependencies amount to. Empty where nothing fits. Memory of
 * A; slices borrow from LF. */
struct str_map part_choose(double *share, const struct lockfile *lf, double want, struct arena *a);
