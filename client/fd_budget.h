/* fd_budget — what an install does at a time, by how many files it may have open: where these are few there are fewer
 * connections and workers, not an install that fails.
 *
 * Owns nothing. The install's thread, after descriptors_raise(). */
#pragma once
#include "base/base.h"

/* ERR_IO, with the remedy, where the limit is so low that not even the least of everything fits. */
MUST_USE int fd_budget_check(struct err *e);
/* Connections to registries: WANTED, or fewer. */
unsigned fd_budget_connections(unsigned wanted);
/* Workers of a pool: WANTED, or fewer, two at least. */
unsigned fd_budget_workers(unsigned wanted);
/* Where E is that there are too many open files: appends how many may be, and the remedy. */
void fd_budget_explain(struct err *e);
