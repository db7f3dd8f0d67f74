/* parity_diff — where two lockfiles part, and what kind of mistake that looks like. Pure. */
#pragma once
#include "base/base.h"

struct parity_diff {
	size_t line;             /* first differing line, from 1 */
	str want, got;           /* that line in both; absent past the end */
	str section, entry;      /* where WANT's line stands: "packages", "react@19.0.0" */
	const char *cause;       /* "version choice", "peer suffix", … */
	struct buf names;        /* what is missing (-) and extra (+) at most, for people */
	size_t nmissing, nextra; /* entries of the section that decided */
};

/* Whether they are equal; if not *out is filled, to be released. Borrows from both. */
bool parity_compare(struct parity_diff *out, str want, str got);
void parity_diff_release(struct parity_diff *d);
