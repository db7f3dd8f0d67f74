/* sorted — rows put in order where telling it takes a table: what qsort() has no argument for.
 *
 * Stable, and never worse than n log n: how many rows there are is often a peer's choice. Few rows, or those that are
 * in order already, as most are, cost hardly more than the comparisons. Pure. */
#pragma once
#include <stddef.h>

enum { SORTED_ROW_MAX = 64 }; /* bytes */

/* Less, equal, greater: of two rows, by what CTX knows. */
typedef int sorted_cmp(void *ctx, const void *a, const void *b);
/* Puts the N rows of SIZE bytes, at most SORTED_ROW_MAX, at P in ascending order. */
void rows_sort(void *p, size_t n, size_t size, sorted_cmp *cmp, void *ctx);
