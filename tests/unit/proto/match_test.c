/* Patterns of names, by the answers that pnpm's matcher gives. */
#include "match.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool list(const char *patterns, const char *name)
{
	str p[8], rest = str_of(patterns);
	size_t n = 0;

	while (rest.n)
		str_cut(rest, ' ', &p[n++], &rest);
	return match_list((struct str_list){ p, n }, str_of(name));
}

static void one(void **state)
{
	(void)state;
	assert_true(match_one(STR("*"), STR("")));
	assert_true(match_one(STR("@s/*"), STR("@s/a")));
	assert_false(match_one(STR("@s/*"), STR("@t/a")));
	assert_true(match_one(STR("a*b*c"), STR("axbxbc")));
	assert_false(match_one(STR("a*b"), STR("abc")));
	assert_false(match_one(STR(""), STR("a")));
	assert_true(match_one(STR("a.c"), STR("a.c")));
	assert_false(match_one(STR("a.c"), STR("abc")));
}

static void lists(void **state)
{
	(void)state;
	assert_false(list("", "a"));
	assert_true(list("b a", "a"));
	assert_true(list("!b", "a"));
	assert_false(list("!a !b", "b"));
	assert_true(list("!a !b", "c"));
	/* With an inclusion anywhere, what none takes is out, also behind an exclusion. */
	assert_false(list("!a b", "c"));
	assert_true(list("!a b", "b"));
	assert_true(list("!a *", "a"));
	assert_false(list("* !a", "a"));
	assert_true(list("* !a ab*", "abc"));
	assert_false(list("eslint-* !eslint-plugin-*", "eslint-plugin-x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one), cmocka_unit_test(lists) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
