/* dedupe — variants that say the same collapse: injected workspace packages that a link serves as well, and
 * peer variants that are a subset of a larger one. */
#pragma once
#include "peers.h"

void dedupe_injected(struct run *r, struct graph *g);
void dedupe_peer_dependents(struct run *r, struct graph *g);
/* Drops what no importer reaches any more. */
void graph_prune(struct run *r, struct graph *g);
