/* table — results as text, on stdout: one table a scenario, and the comparison of two files. */
#pragma once
#include "result.h"

/* A row a subject, with the ratio to the best peer of the same run; "no difference" where the spreads overlap. */
void table_print(const struct result *r);
/* B against A, for each cell that has good runs in both; how many have. */
size_t table_compare(const struct result *a, const struct result *b);
