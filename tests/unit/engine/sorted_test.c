/* Rows are in order afterwards, those that are equal in the order in which they came, whatever their number, and
 * told so in few comparisons. */
#include "sorted.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

struct row {
	uint32_t key, came;
	char more[20]; /* a size that no number has */
};
enum { MOST = 1000 };

static int by_key(void *ctx, const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	++*(size_t *)ctx;
	return x->key < y->key ? -1 : x->key > y->key;
}

/* Of keys below KEYS, from a generator without a library. */
static void fill(struct row *p, uint32_t n, uint32_t keys, uint32_t seed)
{
	for (uint32_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (struct row){ .key = (seed >> 8) % keys, .came = i };
		snprintf(p[i].more, sizeof(p[i].more), "%u", i);
	}
}

static void check(struct row *p, uint32_t n)
{
	size_t compared = 0;

	rows_sort(p, n, sizeof(*p), by_key, &compared);
	for (uint32_t i = 0; i < n; i++) {
		char more[20];
		snprintf(more, sizeof(more), "%u", p[i].came);
		assert_string_equal(p[i].more, more); /* rows are whole */
		if (i)
			assert_true(p[i - 1].key < p[i].key || (p[i - 1].key == p[i].key && p[i - 1].came < p[i].came));
	}
	assert_true(compared <= (size_t)n * 24 + 1);
}

static void test_any_number(void **state)
{
	struct row p[MOST];

	(void)state;
	for (uint32_t n = 0; n < 200; n++) {
		fill(p, n, n / 2 + 1, n);
		check(p, n);
	}
	fill(p, MOST, MOST, 7);
	check(p, MOST);
}

static void test_backwards(void **state)
{
	struct row p[MOST];

	(void)state;
	fill(p, MOST, 1, 1);
	for (uint32_t i = 0; i < MOST; i++)
		p[i].key = MOST - i;
	check(p, MOST);
}

static void test_in_order_is_only_looked_at(void **state)
{
	struct row p[MOST];
	size_t compared = 0;

	(void)state;
	fill(p, MOST, 1, 1);
	for (uint32_t i = 0; i < MOST; i++)
		p[i].key = i;
	rows_sort(p, MOST, sizeof(*p), by_key, &compared);
	assert_int_equal(compared, MOST - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_number),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_in_order_is_only_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
