/* order — which packages are wanted here, and in which order to send them. */
#pragma once
#include "peers.h"

/* What is materialised on the request's platform and for its groups: sets gnode.reached, and gnode.only_optional for
 * what no importer needs but through optional edges (pnpm's `optional: true`). */
void order_mark(struct run *r, struct graph *g);
/* Graph nodes, those without peers first, the more work the earlier; ties by dep path. In the run's arena. */
uint32_t *order_nodes(struct run *r, struct graph *g, uint32_t *n);
