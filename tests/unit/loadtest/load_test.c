/* Percentiles of latencies, and a server that is not there. */
#include "load.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool is_near(double a, double b)
{
	return a - b < 1e-6 && b - a < 1e-6;
}

static void test_percentile(void **state)
{
	struct load_kind_result k = { 0 };
	float ms[100];

	(void)state;
	assert_true(is_near(load_percentile(&k, 0.5), 0)); /* nobody was answered */
	for (size_t i = 0; i < 100; i++)
		ms[i] = (float)((i * 37) % 100 + 1); /* 1 … 100, in disorder */
	k.ms = ms;
	k.n = 100;
	assert_true(is_near(load_percentile(&k, 0), 1));
	assert_true(is_near(load_percentile(&k, 0.5), 51));
	assert_true(is_near(load_percentile(&k, 0.99), 100));
	assert_true(is_near(load_percentile(&k, 1), 100));
}

/* Nothing listens there: that is counted, and the run ends when its time is over. */
static void test_nobody(void **state)
{
	struct load_body body = { .body = STR("x") };
	struct load_opts o = {
		.host = STR("127.0.0.1"), .port = STR("1"), .known = &body, .nknown = 1, .clients = 3, .seconds = 0.2
	};
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct load_result r;
	struct err e;

	(void)state;
	assert_int_equal(load_run(&r, &o, &e), 0);
	for (int k = 0; k < LOAD_NKINDS; k++)
		assert_int_equal(r.kind[k].n, 0);
	assert_true(r.status[0] > 0);
	assert_true(r.last.code < 0);
	assert_true(r.wall_s >= 0.2);
	load_result_release(&r);
	assert_true(load_learn(&body, &o, &a, &e) < 0);
	o.nknown = 0;
	assert_int_equal(load_run(&r, &o, &e), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentile),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
