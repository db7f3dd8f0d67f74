/* plan_emit — a resolved graph as frames, in the order that plan.h promises. */
#pragma once
#include "peers.h"

/* Everything from the first PACKAGE to DONE. */
MUST_USE int plan_emit(struct run *r, struct graph *g, uint64_t started_us, struct err *e);
/* Failure as a frame; the code of E is returned. */
int plan_fail(struct run *r, struct err *e);
/* Sends what has been found and is surely wanted here, before the resolution waits; nothing unless engine_io.early. */
MUST_USE int plan_early(struct run *r, struct err *e);
/* The first frame, once. */
MUST_USE int plan_hello(struct run *r, struct err *e);
/* What stands under packages: for P. */
struct lock_package plan_row(struct run *r, const struct pkg *p);
