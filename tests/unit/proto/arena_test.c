/* Memory of an arena is zero, aligned and its own, in small chunks as in large ones, also after it was used and rewound. */
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_zero_and_apart) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
