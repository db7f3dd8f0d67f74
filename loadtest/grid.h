/* grid — the links of `dray-bench grid`: round trips × rates, and how they are called in a result: "50ms-100M".
 *
 * Static; pure. */
#pragma once
#include "result.h"

enum { GRID_RTTS = 4, GRID_RATES = 4 };
extern const unsigned grid_rtt_ms[GRID_RTTS], grid_mbit[GRID_RATES];

/* In A; a NUL follows. */
str grid_link(unsigned rtt_ms, unsigned mbit, struct arena *a);
/* Whether LINK is called like one of a grid's. */
bool grid_is_link(str link);
/* Whether cell I is the first of its project and phase that belongs to a grid. */
bool grid_begins(const struct result *r, size_t i);
