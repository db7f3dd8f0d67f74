/* age_exclude_test — the texts are what pnpm 12.21 makes of the same files. */
#include "age_exclude.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_edit(void **state)
{
	static const str young[] = { STR_INIT("is-number@6.0.0"), STR_INIT("is-odd@3.0.1") };
	static const struct {
		const char *from, *to;
	} t[] = {
		{ "", "minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n" },
		{ "# mine\nminimumReleaseAge: 9\n\nallowBuilds:\n    esbuild: true # why",
			"# mine\nminimumReleaseAge: 9\n\nallowBuilds:\n    esbuild: true # why\n\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n" },
		{ "minimumReleaseAgeExclude:\n    - \"aaa\"\n    - is-odd@2.0.0\nhoist: true\n",
			"minimumReleaseAgeExclude:\n    - \"aaa\"\n    - is-odd@2.0.0 || 3.0.1\n    - "
			"is-number@6.0.0\nhoist: true\n" },
		{ "minimumReleaseAgeExclude:\n- a\n# last\n\nhoist: true\n",
			"minimumReleaseAgeExclude:\n- a\n- is-number@6.0.0\n- is-odd@3.0.1\n# last\n\nhoist: true\n" },
		{ "minimumReleaseAgeExclude: [a]\n", NULL },
		/* keys in order keep it, "packages" in front aside */
		{ "packages: [p]\nminimumReleaseAge: 9\n# no\nminimumReleaseAgeStrict: false\n",
			"packages: [p]\nminimumReleaseAge: 9\n# no\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n"
			"minimumReleaseAgeStrict: false\n" },
		{ "catalog: {}\npackages: [p]\nminimumReleaseAge: 9\nminimumReleaseAgeStrict: false\n",
			"catalog: {}\npackages: [p]\nminimumReleaseAge: 9\nminimumReleaseAgeStrict: false\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n" },
		{ "Zed: 1\nminimumReleaseAge: 9\n\"nodeVersion\": 22.0.0\n",
			"Zed: 1\nminimumReleaseAge: 9\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n"
			"\"nodeVersion\": 22.0.0\n" },
		/* blank lines between all of them, or not between all */
		{ "catalog: {}\n\nminimumReleaseAge: 9\n\n# x\nzed: 1\n\nzee: 2\n",
			"catalog: {}\n\nminimumReleaseAge: 9\n\n# x\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n"
			"\nzed: 1\n\nzee: 2\n" },
		{ "packages: [p]\n\nminimumReleaseAge: 9\n",
			"packages: [p]\n\nminimumReleaseAge: 9\n\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n" },
		{ "a: 1\n\nminimumReleaseAge: 9\n\n",
			"a: 1\n\nminimumReleaseAge: 9\n\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\n" },
		{ "a: 1\n\nminimumReleaseAge: 9\nn: 1\n\no: 2\n",
			"a: 1\n\nminimumReleaseAge: 9\n"
			"minimumReleaseAgeExclude:\n  - is-number@6.0.0\n  - is-odd@3.0.1\nn: 1\n\no: 2\n" },
		/* the first list says how far entries are indented */
		{ "packages:\n- p\npublicHoistPattern:\n  - foo\nminimumReleaseAge: 9\n",
			"packages:\n- p\npublicHoistPattern:\n  - foo\nminimumReleaseAge: 9\n"
			"minimumReleaseAgeExclude:\n- is-number@6.0.0\n- is-odd@3.0.1\n" },
		{ "peerDependencyRules:\n  ignoreMissing:\n    - foo\nminimumReleaseAge: 9\n",
			"peerDependencyRules:\n  ignoreMissing:\n    - foo\nminimumReleaseAge: 9\n"
			"minimumReleaseAgeExclude:\n    - is-number@6.0.0\n    - is-odd@3.0.1\n" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct str_list add = { (str *)(uintptr_t)young, 2 };
		struct err e;
		int code = age_exclude_edit(&b, str_of(t[i].from), add, &e);
		if (!t[i].to)
			assert_int_equal(code, ERR_UNSUPPORTED);
		else if (code != 0 || !str_eq(buf_str(&b), str_of(t[i].to)))
			fail_msg("%zu: \"" STR_FMT "\"", i, STR_ARG(buf_str(&b)));
	}
}

/* One entry a package, its versions ascending. */
static void test_several(void **state)
{
	static const str young[] = { STR_INIT("@s/a@1.0.0"), STR_INIT("b@7.29.12"), STR_INIT("b@7.29.13"),
		STR_INIT("b@7.29.9") };
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct str_list add = { (str *)(uintptr_t)young, 4 };
	struct err e;

	(void)state;
	assert_int_equal(age_exclude_edit(&b, STR("hoist: true\n"), add, &e), 0);
	assert_true(str_eq(buf_str(&b), STR("hoist: true\nminimumReleaseAgeExclude:\n  - '@s/a@1.0.0'\n"
					    "  - b@7.29.9 || 7.29.12 || 7.29.13\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_edit), cmocka_unit_test(test_several) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
