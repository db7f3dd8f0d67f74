/* doom — optional dependencies that cannot be had because something that they require cannot.
 *
 * The walk drops the edge that failed and goes on, and peers are hoisted as if nothing was missing; only then goes
 * every dependent up to an optional edge. What was hoisted for those that went stays, though nobody needs it. Called by
 * the walk and, once, after hoisting; the run's thread. Source: pnpm 12.21, observed. */
#pragma once
#include "graph.h"

/* A dependency that PKG requires failed with CODE and WHY. */
void doom_add(struct run *r, uint32_t pkg, int code, const struct err *why);
/* Takes out what is doomed. An error: a project requires something that is; or what is doomed provides a peer, and so
 * counts as a direct dependency though all who lead to it are optional (pnpm 12.21 fails then, too). */
int dooms_settle(struct run *r, struct err *e);
