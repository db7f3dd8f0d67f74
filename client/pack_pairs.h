/* pack_pairs — versions of one package that an install fetches together: the later one comes as what
 * it has beyond the earlier.
 *
 * The earlier one must be in the store first, so the later is looked up at once and waits for it before its bytes are
 * asked for. It waits only for a pack: what comes from the registry lets it go at once. Plans have the larger package
 * first, so what waits is the smaller, and was to come later. Belongs to the install's loop. */
#pragma once
#include "tree.h"

struct pack_pair;
struct pack_pairs {
	struct map last; /* name -> its last pair */
	VEC(struct pack_pair *) pair;
};
void pack_pairs_release(struct pack_pairs *x);
/* P's pack is about to be asked for. Returns the package that P is to be built on: one that is READY, or one that is
 * COMING, which P then waits for. NULL: there is none, P is too small for that to pay, or ALONE: it has
 * something else to be built on. */
struct tree_package *pack_pairs_add(struct pack_pairs *x, struct tree_package *p, bool alone);
/* P comes from the registry after all: nobody waits for it any more, once pack_pairs_next() has given out who does. */
void pack_pairs_leave(struct tree_package *p);
/* The next of those that wait for P; NULL: none. */
struct tree_package *pack_pairs_next(const struct tree_package *p);
