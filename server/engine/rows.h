/* rows — a hash table of rows of one size, for what a run looks up by more than one number.
 *
 * Open addressing, half full at most; lives in an arena, so a table that has grown leaves its old self there. A row's
 * place ends with the next rows_slot(). One thread at a time. */
#pragma once
#include "base/arena.h"
#include <stddef.h>

struct rows {
	char *cell;
	size_t cells, n; /* cells: a power of two, or 0; n: how many are taken */
};
struct rows_kind {
	size_t size, first;             /* bytes of a row; cells to begin with, a power of two */
	bool (*taken)(const void *row); /* a zeroed row is free */
	uint64_t (*hash)(const void *row);
	bool (*same)(const void *row, const void *key); /* of a row that is taken */
};

/* The row that is the same as KEY, which is a row as far as hash() and same() look; NULL: there is none. */
void *rows_find(const struct rows *t, const struct rows_kind *k, const void *key);
/* The same, or a copy of KEY that is there from now on. *FRESH: it is that. KEY must be taken. */
void *rows_slot(struct rows *t, const struct rows_kind *k, const void *key, bool *fresh, struct arena *a);
