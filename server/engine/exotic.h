/* exotic — dependencies that are no registry's and no folder's: a tarball's URL is read and locked; git and what nobody
 * knows is refused by name.
 *
 * Also the jsr: specifier, which is another name for a package of the registry of the scope @jsr. */
#pragma once
#include "graph.h"

/* "jsr:@scope/name@^1", "jsr:^1" of the alias @scope/name: *NAME "@jsr/scope__name" and *VERSION ("latest" where there
 * is none), both in the run's arena. False: no such specifier, or nobody said where the registry of @jsr is. */
bool exotic_jsr(struct run *r, str *name, str *version, str alias, str spec);

/* The package behind W's specifier, of which it is known that it is no range, tag, folder or workspace package. A URL
 * that the lockfile has keeps what the lockfile says of it, without a request. ERR_UNSUPPORTED names package,
 * specifier and what to do. */
MUST_USE int exotic_resolve(struct run *r, uint32_t *out, const struct wanted *w, bool *fresh, struct err *e);
