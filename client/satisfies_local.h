/* satisfies_local — whether what a lockfile says of a folder or tarball outside the registry still
 * is what lies there. Pure.
 *
 * Source: pnpm 12.21's behaviour, asked with `pnpm install --frozen-lockfile` after each kind of change. A folder
 * is compared by the dependencies that its manifest names, not by version, commands or contents: those come into
 * the tree by copying alone. */
#pragma once
#include "request.h"

/* What of S, a snapshot of P, REQ's manifests do not bear out, as one line in A; empty where nothing is. FROZEN lets
 * pass an optional dependency that the lockfile doesn't have. What REQ knows nothing of is not judged. */
str local_outdated(const struct lock_package *p, const struct lock_snapshot *s, const struct request *req, bool frozen,
	struct arena *a);
