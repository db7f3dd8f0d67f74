/* absorb — a lockfile that no longer fits, made to fit without a resolver.
 *
 * Where manifests moved only to what the lockfile already has — a range that some locked version satisfies, another
 * group, a dependency or project that is gone — the lockfile itself shows the result: edges are rewritten and what
 * nothing reaches is dropped. So it is where ignoredOptionalDependencies ignores more, and where settings for peers or
 * folders changed that find none to act on. Pure. Called before a plan source is chosen; what comes out is a locked
 * plan. Source: pnpm 12.21 does this instead of resolving, and its result differs from resolving: a range that changed
 * takes the highest locked version, where resolving keeps the project's own. */
#pragma once
#include "request.h"

/* Whether LF, which doesn't satisfy REQ, could be made to: *OUT (lives in A, borrows LF) then does.
 * False: it takes a resolver. */
bool lockfile_absorb(struct lockfile *out, const struct lockfile *lf, const struct request *req, struct arena *a);
