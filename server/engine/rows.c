#include "rows.h"

static void *place(char *cell, size_t cells, const struct rows_kind *k, const void *key)
{
	uint64_t h = k->hash(key);
	for (h ^= h >> 32;; h++) {
		void *row = cell + (h & (cells - 1)) * k->size;
		if (!k->taken(row) || k->same(row, key))
			return row;
	}
}

static void grow(struct rows *t, const struct rows_kind *k, struct arena *a)
{
	size_t cells = t->cells ? t->cells * 2 : k->first;
	char *more = arena_alloc(a, cells, k->size, _Alignof(max_align_t));
	for (size_t i = 0; i < t->cells; i++) {
		const void *row = t->cell + i * k->size;
		if (k->taken(row))
			memcpy(place(more, cells, k, row), row, k->size);
	}
	t->cell = more;
	t->cells = cells;
}

void *rows_find(const struct rows *t, const struct rows_kind *k, const void *key)
{
	void *row = t->cells ? place(t->cell, t->cells, k, key) : NULL;
	return row && k->taken(row) ? row : NULL;
}

void *rows_slot(struct rows *t, const struct rows_kind *k, const void *key, bool *fresh, struct arena *a)
{
	if (t->n * 2 >= t->cells)
		grow(t, k, a);
	void *row = place(t->cell, t->cells, k, key);
	*fresh = !k->taken(row);
	if (*fresh) {
		memcpy(row, key, k->size);
		t->n++;
	}
	return row;
}
