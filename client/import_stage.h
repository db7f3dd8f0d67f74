/* import_stage — packages that do not come from a registry: folders (file:, injected workspace
 * packages) and tarballs on disk.
 *
 * A job on the pool each. Folders are imported anew by every install, as pnpm does, under a key that is made of their
 * path: they have no integrity. */
#pragma once
#include "pool.h"
#include "tree.h"

struct local_opts {
	struct store *store; /* NULL: nothing is kept, packages become READY with their records */
	int root;            /* the lockfile's folder, borrowed */
	void (*done)(void *arg, struct tree_package *p, int code, const struct err *e);
	void *arg;
};
/* Whether P is for this stage. */
bool import_is_local(const struct tree_package *p);
/* P, which is IDLE, is COMING from now on; done() is called once, on the loop: it is READY, or CODE is negative and
 * E says why not. */
void import_local(struct pool *pool, const struct local_opts *o, struct tree_package *p);
