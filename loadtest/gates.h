/* gates — what must hold of a result, whatever the machine's speed.
 *
 * A server costs nothing where it cannot help (at most 5 % or 15 ms over
 * direct); batches are what each phase demands; a plan from the server says so;
 * dray's subjects write one lockfile; no run of dray failed, and none that was
 * asked for was unavailable. Peers have no gates. Pure but for gates_hold(). */
#pragma once
#include "result.h"

struct gate_limits {
	double ratio, grace_s; /* a server's median may be ratio × direct's, or grace_s over it */
	bool apart;            /* …and is only blamed when the spreads, where both have one, do not overlap */
	/* Of that many slots or more some are linked before the plan is done, unless it was
	 * through in three round trips; of one that a server had kept in one of three runs. */
	unsigned early_slots;
};
extern const struct gate_limits gates_strict; /* 1.05, 15 ms; 50 slots */
/* For machines that do other things as well, and small projects: 3 and 250 ms with spreads apart; 500 slots. */
extern const struct gate_limits gates_noisy;
/* Appends a line for each gate that does not hold; returns how many. */
unsigned gates_check(struct buf *out, const struct result *r, const struct gate_limits *l);
/* Says on stdout what does not hold, or that all does. */
bool gates_hold(const struct result *r, const struct gate_limits *l);
