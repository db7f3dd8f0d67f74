/* plan_lockfile — the lockfile that a plan's frames make.
 *
 * Feed it every frame, then take the model. Copies into its own arena. Used by
 * the client to write pnpm-lock.yaml, by the daemon to digest it, by tests. */
#pragma once
#include "plan.h"

struct plan_lockfile;
struct plan_lockfile *plan_lockfile_new(void);
/* What F says of the lockfile; other frames than those of packages, slots, importers and its head say nothing. */
void plan_lockfile_add(struct plan_lockfile *pl, const struct frame *f);
/* The environment document that stands before it; plans have none. */
void plan_lockfile_environment(struct plan_lockfile *pl, str document);
/* Sorted; valid until freed. */
const struct lockfile *plan_lockfile_get(struct plan_lockfile *pl);
void plan_lockfile_free(struct plan_lockfile *pl);
