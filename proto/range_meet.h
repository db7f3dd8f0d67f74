/* range_meet — the versions that several ranges have in common, as spans between two bounds.
 *
 * Pure. Memory is the heap's; the versions are borrowed from the ranges. Source: pnpm 12, which merges the
 * ranges of a missing peer so. */
#pragma once
#include "semver.h"

struct bound {
	const struct semver *v; /* NULL: none */
	bool open;              /* V itself is outside */
};
struct span {
	struct bound low, high;
};
/* Ascending by both bounds: none lies within another. */
struct spans {
	struct span *p;
	size_t n, cap;
};

/* The alternatives of R, without those that another one covers. */
struct spans spans_of(const struct range *r);
/* What A and B have in common: at most as many as both together. */
struct spans spans_meet(const struct spans *a, const struct spans *b);
/* A range that has them; "" when there are none. In A. */
str spans_print(const struct spans *s, struct arena *a);
void spans_release(struct spans *s);
