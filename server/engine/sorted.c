#include "sorted.h"
#include "base/arena.h"
#include <assert.h>
#include <stdlib.h>

enum { FEW = 16 }; /* sorted sooner by insertion */

static void insert_each(char *p, size_t n, size_t size, sorted_cmp *cmp, void *ctx)
{
	char row[SORTED_ROW_MAX];

	for (size_t i = 1; i < n; i++) {
		size_t to = i;
		while (to && cmp(ctx, p + (to - 1) * size, p + i * size) > 0)
			to--;
		if (to == i)
			continue;
		memcpy(row, p + i * size, size);
		memmove(p + (to + 1) * size, p + to * size, (i - to) * size);
		memcpy(p + to * size, row, size);
	}
}

/* A and B, one behind the other and each in order, to OUT. */
static void merge(char *out, const char *a, size_t na, size_t nb, size_t size, sorted_cmp *cmp, void *ctx)
{
	const char *b = a + na * size, *a_end = b, *b_end = b + nb * size;

	while (a < a_end && b < b_end) {
		const char **least = cmp(ctx, a, b) <= 0 ? &a : &b;
		memcpy(out, *least, size);
		*least += size;
		out += size;
	}
	memcpy(out, a, (size_t)(a_end - a));
	memcpy(out + (a_end - a), b, (size_t)(b_end - b));
}

static bool in_order(const char *p, size_t n, size_t size, sorted_cmp *cmp, void *ctx)
{
	for (size_t i = 1; i < n; i++)
		if (cmp(ctx, p + (i - 1) * size, p + i * size) > 0)
			return false;
	return true;
}

void rows_sort(void *rows, size_t n, size_t size, sorted_cmp *cmp, void *ctx)
{
	char *p = rows;

	assert(size <= SORTED_ROW_MAX);
	if (n <= FEW) {
		insert_each(p, n, size, cmp, ctx);
		return;
	}
	if (in_order(p, n, size, cmp, ctx))
		return;
	char *room = xmalloc(n * size), *from = p, *to = room;
	for (size_t i = 0; i < n; i += FEW)
		insert_each(p + i * size, n - i < FEW ? n - i : FEW, size, cmp, ctx);
	for (size_t run = FEW; run < n; run *= 2) {
		for (size_t i = 0; i < n; i += 2 * run) {
			size_t na = n - i < run ? n - i : run, left = n - i - na;
			merge(to + i * size, from + i * size, na, left < run ? left : run, size, cmp, ctx);
		}
		char *swap = from;
		from = to;
		to = swap;
	}
	if (from != p)
		memcpy(p, from, n * size);
	free(room);
}
