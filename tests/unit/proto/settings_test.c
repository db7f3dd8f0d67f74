/* How old a version must be, whatever number somebody sends. */
#include "settings.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static int64_t cutoff(uint64_t minutes, int64_t now_ms)
{
	struct settings s = settings_default();

	s.minimum_release_age = minutes;
	return settings_age_cutoff(&s, now_ms);
}

static void test_age_cutoff(void **state)
{
	(void)state;
	assert_int_equal(cutoff(1440, 86400000 + 5), 5);
	assert_int_equal(cutoff(1, 1700000000000), 1700000000000 - 60000);
	assert_int_equal(cutoff(1440, 86400000), 1);
	assert_int_equal(cutoff(1440, 1), 1);
	assert_int_equal(cutoff(UINT64_MAX, 1700000000000), 1);
	/* Times 60,000 it is a small number again. */
	assert_int_equal(cutoff(UINT64_MAX / 60000 + 1, 1700000000000), 1);
	assert_int_equal(cutoff(INT64_MAX / 60000, 1700000000000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_age_cutoff) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
