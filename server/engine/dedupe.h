/* dedupe — variants that say the same collapse: injected workspace packages that a link serves as well, and
 * peer variants that are a subset of a larger one. */
#pragma once
#include "peers.h"

/* dedupeInjectedDeps: a copy of a project becomes a link to it where the project itself has each of the copy's
 * children. Variants are merged before, if at all. Source: pnpm 12.21's behaviour. */
void dedupe_injected(struct run *r, struct graph *g);
/* dedupePeerDependents: a variant that has nothing that a larger one of its package lacks collapses into that.
 * Source: pnpm 12.21's behaviour. */
void dedupe_peer_dependents(struct run *r, struct graph *g);
/* Drops what no importer reaches any more. */
void graph_prune(struct run *r, struct graph *g);
