/* table — results as text: one table a scenario, the comparison of two files, the gates. */
#pragma once
#include "result.h"

/* A row a subject, with the ratio to the best peer of the same run; "no difference" where the spreads overlap. */
void table_print(const struct result *r);
/* B against A, cell by cell. */
void table_compare(const struct result *a, const struct result *b);
