/* patch_stage — patchedDependencies: a package as one of the project's patches makes it, as a package
 * of its own in the store.
 *
 * The variant is kept under "patch:<hash>:<key>", so that a warm install links it like any other; the untouched
 * package stays as it is. A job on the pool makes it: the package's files are read back from the store, changed,
 * packed and imported. Which patch belongs to a package is the plan's word (its dep paths carry the hash); the file's
 * text must have that hash. */
#pragma once
#include "pool.h"
#include "settings.h"
#include "tree.h"

struct patch_opts {
	struct store *store;
	int vstore; /* a folder for the files while they are read: made and removed below it */
	str root;   /* patch files' paths are from here */
	void (*done)(void *arg, struct tree_package *p, int code, const struct err *e);
	void *arg;
};
/* The patch that SNAPSHOT_KEY names; *OUT NULL when it names none. ERR_PROTOCOL for one that
 * the settings do not have. */
MUST_USE int patch_find(const struct patch **out, const struct settings *s, str snapshot_key, struct err *e);
/* The store's key of P's variant, in A; absent for what is never taken from the store again (folders). */
str patch_key(const struct tree_package *p, struct arena *a);
/* P is READY with its untouched record and has a patch. When DONE is called P is READY with the variant's, or IDLE. */
void patch_start(struct pool *pool, const struct patch_opts *o, struct tree_package *p);
