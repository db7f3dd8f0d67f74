/* range_meet_test — what ranges have in common: by text, and version by version against what each of them takes. */
#include "range_meet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static str meet(struct arena *a, str x, str y)
{
	AUTO(spans_release) struct spans p = spans_of(range_parse(x, true, a));
	AUTO(spans_release) struct spans q = spans_of(range_parse(y, true, a));
	AUTO(spans_release) struct spans m = spans_meet(&p, &q);

	assert_true(m.n <= p.n + q.n);
	return spans_print(&m, a);
}

static void test_texts(void **state)
{
	static const char *const rows[][3] = {
		{ "^1.2.0", "^1.0.0", ">=1.2.0 <2.0.0-0" },
		{ "2", "^2.2.0", ">=2.2.0 <3.0.0-0" },
		{ "^1", "^2", "" },
		{ "*", "*", "*" },
		{ "", "^1", ">=1.0.0 <2.0.0-0" },
		{ "1.2.3", "^1", "1.2.3" },
		{ "1.2.3 || 1.2.4", "1.2.4 || 1.2.5", "1.2.4" },
		{ ">=1.0.0", "<=1.0.0", "1.0.0" },
		{ ">1.0.0", "<=1.0.0", "" },
		{ ">1.0.0", "<2.0.0", ">1.0.0 <2.0.0" },
		{ "<=3.0.0", "<2.0.0", "<2.0.0" },
		{ "^1 || ^2 || ^3", "^2 || ^4 || ^3", ">=2.0.0 <3.0.0-0 || >=3.0.0 <4.0.0-0" },
		{ ">=1.0.0 || ^2", "<5.0.0", ">=1.0.0 <5.0.0" },
		{ "^5.0.0 || >=5.3.0-beta <5.3.0", "^5.0.0 || >=5.2.0-beta <5.4.0", ">=5.0.0 <6.0.0-0" },
		{ "<1.0.0 || >2.0.0", ">=0.5.0 <=3.0.0", ">=0.5.0 <1.0.0 || >2.0.0 <=3.0.0" },
	};
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		str got = meet(&a, str_of(rows[i][0]), str_of(rows[i][1]));
		assert_string_equal(arena_str(&a, got).p, rows[i][2]);
		assert_true(str_eq(got, meet(&a, str_of(rows[i][1]), str_of(rows[i][0]))));
	}
	arena_release(&a);
}

static uint32_t rnd(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 16) % n;
}

static str made_range(struct arena *a, uint32_t *seed)
{
	static const char *const ops[] = { "", "^", "~", ">", ">=", "<", "<=" };
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (uint32_t n = 1 + rnd(seed, 5), i = 0; i < n; i++) {
		buf_printf(&b, "%s%s%u.%u.%u", i ? " || " : "", ops[rnd(seed, 7)], rnd(seed, 3), rnd(seed, 3),
			rnd(seed, 3));
		if (rnd(seed, 3) == 0)
			buf_printf(&b, " %s%u.%u.%u", ops[3 + rnd(seed, 4)], rnd(seed, 3), rnd(seed, 3), rnd(seed, 3));
	}
	return arena_str(a, buf_str(&b));
}

static void test_version_by_version(void **state)
{
	uint32_t seed = 7, met = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct arena a = ARENA_INIT(0);
		str x = made_range(&a, &seed), y = made_range(&a, &seed), both = meet(&a, x, y);
		const struct range *rx = range_parse(x, true, &a), *ry = range_parse(y, true, &a),
				   *rb = both.n ? range_parse(both, true, &a) : NULL;
		assert_true(rx && ry && (rb || !both.n));
		for (unsigned v = 0; v < 64; v++) {
			const struct semver at = { .major = v / 16, .minor = v / 4 % 4, .patch = v % 4 };
			bool want = range_has(rx, &at, false) && range_has(ry, &at, false);
			assert_int_equal(rb && range_has(rb, &at, false), want);
			met += want;
		}
		arena_release(&a);
	}
	assert_true(met > 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_version_by_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
