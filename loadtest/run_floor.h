/* run_floor — the floor of a sample: the bare system calls that make the same tree, timed in the same round.
 *
 * Of p4 from the same store; of p0 and p3, where nothing is there before, every
 * file is written from memory.
 *
 * A process of its own (`dray-bench floor`), so that its list of calls does
 * not count for the peak of whatever is measured next; what it takes to
 * write the list down is not in its figures. */
#pragma once
#include "measure.h"

/* The subject under which floors stand in results: no peer, nor dray. */
#define FLOOR_SUBJECT "floor"
struct floor_place {
	const char *tree;  /* a finished node_modules */
	const char *store; /* what its files are linked from; "-": they are written */
	const char *dest;  /* a folder on the store's file system; the tree stays there */
	const char *log;
};
/* Two threads, as dray's linker has on the machines of the bars. OUT's peak and faults stay 0. A run that failed has an
 * exit status, and says why in the log. */
MUST_USE int run_floor(struct sample *out, const struct floor_place *at, struct arena *a, struct err *e);
