/* What a link is called is what lies between: each part by itself, and what is wrong with a name. */
#include "link_profile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_parts(void **state)
{
	struct link_profile l;
	struct err e;
	const struct link_profile *home = link_find("home");

	(void)state;
	assert_int_equal(link_parse(&l, STR("home"), &e), 0);
	assert_int_equal(l.server_rtt_us, home->server_rtt_us);
	assert_int_equal(l.upstream_rtt_us, 0);
	assert_true(link_parse(&l, STR("home:server=5:rate=100"), &e) == 0);
	assert_string_equal(l.name, "home:server=5:rate=100");
	assert_int_equal(l.server_rtt_us, 5000);
	assert_int_equal(l.registry_rtt_us, home->registry_rtt_us);
	assert_int_equal(l.rate_bps, 100000000);
	assert_true(link_parse(&l, STR("loopback:registry=80:upstream=20"), &e) == 0);
	assert_int_equal(l.registry_rtt_us, 80000);
	assert_int_equal(l.server_rtt_us, 0);
	assert_int_equal(l.upstream_rtt_us, 20000);
	assert_false(link_is_none(&l));
	/* The way between drayd and the registry is not the client's. */
	assert_true(link_parse(&l, STR("loopback:upstream=20"), &e) == 0);
	assert_true(link_is_none(&l));
	assert_true(link_parse(&l, STR("bad:rate=0"), &e) == 0);
	assert_int_equal(l.rate_bps, 0);
	assert_true(link_fails(&l));
	assert_false(link_fails(home));
}

static void test_wrong(void **state)
{
	static const struct {
		const char *spec;
		const char *says;
	} wrong[] = {
		{ "moon", "no link is called \"moon\"" },
		{ "", "no link is called \"\"" },
		{ "home:", "\"\" is not KEY=NUMBER" },
		{ "home:server", "\"server\" is not KEY=NUMBER" },
		{ "home:sever=5", "a link has server, registry, upstream and rate, no \"sever\"" },
		{ "home:server=5ms", "server is a number of milliseconds, not \"5ms\"" },
		{ "home:upstream=60001", "upstream is a number of milliseconds, not \"60001\"" },
		{ "home:rate=-1", "rate is a number of Mbit/s, not \"-1\"" },
		{ "home:rate=00000000000000000000000000000000000000000000000000000000000000000000000001",
			"a link of more than 79 characters" },
	};
	struct link_profile l;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(link_parse(&l, str_of(wrong[i].spec), &e), ERR_USAGE);
		assert_string_equal(e.msg, wrong[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
