/* Memory of an arena is zero, aligned and its own, in small chunks as in large ones, also after it was used and
 * rewound; arrays in it grow. */
#include "base/arena.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { BLOCKS = 16 };

/* BLOCKS pieces of up to MOST bytes: each zero, each written full, and none has touched another. */
static void use(struct arena *a, size_t most)
{
	unsigned char *p[BLOCKS];
	size_t n[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		size_t align = (size_t)1 << i % 7;
		n[i] = 1 + i * (most - 1) / BLOCKS;
		p[i] = arena_alloc(a, n[i], 1, align);
		assert_int_equal((uintptr_t)p[i] % align, 0);
		for (size_t k = 0; k < n[i]; k++)
			if (p[i][k])
				fail_msg("byte %zu of block %zu is not zero", k, i);
		memset(p[i], (int)i + 1, n[i]);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		for (size_t k = 0; k < n[i]; k++)
			if (p[i][k] != i + 1)
				fail_msg("byte %zu of block %zu was overwritten", k, i);
}

static void test_zero_and_apart(void **state)
{
	static const size_t chunk[] = { 0, 1 << 20, 5 << 20, 32 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(chunk) / sizeof(*chunk); i++) {
		struct arena a = ARENA_INIT(chunk[i]);
		use(&a, 1000);
		use(&a, 300000); /* several chunks of most sizes */
		arena_rewind(&a);
		use(&a, 1000);
		arena_release(&a);
		use(&a, 5 << 20); /* larger than a chunk */
		arena_rewind(&a);
		use(&a, 1000);
		arena_release(&a);
	}
}

/* Arrays that grow side by side keep what they have, and what comes to them is zero; one that shrank may grow again. */
static void test_arrays_grow(void **state)
{
	struct arena a = ARENA_INIT(1 << 10);
	struct pair {
		char tag;
		uint64_t v;
	} *p = NULL;
	uint32_t *q = NULL;
	size_t n = 0;
	uint32_t m = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		struct pair *one = arena_add(&a, p, n);
		assert_true(one->tag == 0 && one->v == 0 && (uintptr_t)one % _Alignof(struct pair) == 0);
		*one = (struct pair){ (char)i, i };
		*arena_add(&a, q, m) = ~i;
	}
	assert_true(n == 1000 && m == 1000);
	for (uint32_t i = 0; i < 1000; i++)
		assert_true(p[i].v == i && q[i] == ~i);
	for (m = 0; m < 100; m++)
		arena_room(&a, q, m)[m] = m;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(q[i], i);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_zero_and_apart), cmocka_unit_test(test_arrays_grow) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
