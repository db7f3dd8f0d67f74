/* Rows that collide are told apart, and stay found while the table grows. */
#include "rows.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

struct pair {
	uint32_t a, b, value;
};

static bool pair_taken(const void *row)
{
	return ((const struct pair *)row)->a;
}

static uint64_t pair_hash(const void *row)
{
	return ((const struct pair *)row)->a; /* B is left to same() */
}

static bool pair_same(const void *row, const void *key)
{
	const struct pair *x = row, *y = key;
	return x->a == y->a && x->b == y->b;
}

static const struct rows_kind kind = { sizeof(struct pair), 4, pair_taken, pair_hash, pair_same };

static void finds_what_was_put(void **state)
{
	enum { N = 3000 };
	struct arena a = ARENA_INIT(0);
	struct rows t = { 0 };
	bool fresh;
	(void)state;
	assert_null(rows_find(&t, &kind, &(struct pair){ 1, 0, 0 }));
	for (uint32_t i = 0; i < N; i++) {
		rows_slot(&t, &kind, &(struct pair){ i / 3 + 1, i % 3, i }, &fresh, &a);
		assert_true(fresh);
	}
	for (uint32_t i = 0; i < N; i++) {
		const struct pair *p = rows_find(&t, &kind, &(struct pair){ i / 3 + 1, i % 3, 0 });
		assert_non_null(p);
		assert_int_equal(p->value, i);
		p = rows_slot(&t, &kind, &(struct pair){ i / 3 + 1, i % 3, N }, &fresh, &a);
		assert_false(fresh);
		assert_int_equal(p->value, i);
	}
	assert_int_equal(t.n, N);
	assert_null(rows_find(&t, &kind, &(struct pair){ 1, 3, 0 }));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_was_put) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
