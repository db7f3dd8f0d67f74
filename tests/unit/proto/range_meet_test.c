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

static bool takes(const char *range, const char *version, struct arena *a)
{
	struct semver v;
	const struct range *r = range_parse_apart(str_of(range), true, a);

	assert_true(r && semver_parse(&v, str_of(version), false));
	return range_has(r, &v, false);
}

/* What has nothing in common with what stands before it is an alternative, to pnpm, not to node-semver. */
static void test_apart(void **state)
{
	static const struct {
		const char *range, *takes[2], *leaves;
	} rows[] = {
		{ ">1 <2", { "0.5.0", "2.0.0" }, NULL },
		{ ">2 <3", { "2.1.0", "3.0.0" }, NULL },
		{ "<1 >2", { "0.9.0", "3.0.0" }, "2.0.0" },
		{ ">=3.0.0 ^1.0.0", { "1.5.0", "3.1.0" }, "0.9.0" },
		{ "^2 - ^3", { "2.1.0", "3.1.0" }, "4.0.0" },
		{ "1 - 2 3", { "2.9.0", "3.1.0" }, "4.0.0" },
		{ "2.0.0 1.0.0", { "1.0.0", "2.0.0" }, "1.5.0" },
		{ ">1 <2 <3", { "2.0.0", "2.5.0" }, NULL },
		{ "^0.7.0 ^2.0.0 || 1", { "1.9.0", "2.1.0" }, "3.0.0" },
		{ ">=1.0.0 <2.0.0", { "1.0.0", "1.9.0" }, "2.0.0" },
		{ ">=1 <2 || ^4", { "1.5.0", "4.1.0" }, "2.0.0" },
		{ "1.x >1.2.0 <1.5.0", { "1.2.1", "1.4.9" }, "1.5.0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct arena a = ARENA_INIT(0);
		for (size_t k = 0; k < 2; k++)
			if (!takes(rows[i].range, rows[i].takes[k], &a))
				fail_msg("%s does not take %s", rows[i].range, rows[i].takes[k]);
		if (rows[i].leaves && takes(rows[i].range, rows[i].leaves, &a))
			fail_msg("%s takes %s", rows[i].range, rows[i].leaves);
		arena_release(&a);
	}
	struct arena a = ARENA_INIT(0);
	assert_false(takes("2 - 1", "1.0.0", &a) || takes("2 - 1", "2.0.0", &a));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_version_by_version),
		cmocka_unit_test(test_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
