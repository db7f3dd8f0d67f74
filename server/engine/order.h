/* order — which packages are wanted here, and in which order to send them. */
#pragma once
#include "peers.h"

/* What is materialised on the request's platform and for its groups: sets gnode.reached, and gnode.only_optional for what
 * no importer needs but through optional edges (pnpm's `optional: true`). */
void order_mark(struct run *r, struct graph *g);
/* Whether os, cpu and libc admit the platform. */
bool order_fits(const struct run *r, const struct pkg *p);
/* Graph nodes, those without peers first, the more work the earlier; ties by dep path. In the run's arena. */
uint32_t *order_nodes(struct run *r, struct graph *g, uint32_t *n);
