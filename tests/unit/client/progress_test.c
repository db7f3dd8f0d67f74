/* The terminal's line: narrower than the terminal, whatever there is to count. */
#include "progress.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_width(void **state)
{
	const struct progress p = { .resolved = 3588,
		.reused = 12,
		.downloaded = 1794,
		.added = 1800,
		.total = 3600,
		.bytes = 480100000,
		.planned = true };
	const char counts[] = "resolved 3588, reused 12, downloaded 1794 (480.1 MB), added 1800";
	char text[256];
	(void)state;

	for (unsigned wide = 0; wide < 300; wide++) {
		size_t n = progress_line(text, sizeof(text), &p, wide);
		assert_int_equal(n, strlen(text));
		assert_true(n < wide || n == 0);
		if (wide < sizeof(counts))
			assert_memory_equal(text, counts, n);
		else
			assert_string_equal(text + n - strlen(counts), counts);
	}
	progress_line(text, sizeof(text), &p, 80);
	assert_string_equal(text + 1 + strspn(text + 1, "= "),
		"] resolved 3588, reused 12, downloaded 1794 (480.1 MB), added 1800");
	progress_line(text, sizeof(text), &p, 200);
	assert_memory_equal(text, "[===============               ] ", 33);
	assert_true(progress_line(text, 40, &p, 300) < 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_width) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
