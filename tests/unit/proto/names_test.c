#include "dep_path.h"
#include "name.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void is(str got, const char *want)
{
	if (!str_eq(got, str_of(want)))
		fail_msg("\"" STR_FMT "\" is not \"%s\"", STR_ARG(got), want);
}

static void valid_names(void **state)
{
	static const char *const good[] = { "a", "react", "@babel/core", "lodash.get", "JSONStream", "a_b", "-", "x~y",
		"@s/_a", "@.s/a", "ember--cli", "a!b", "@s/node_modules" };
	static const char *const bad[] = { "", ".", "..", ".a", "_a", "a/b", "@a", "@/a", "@a/", "@a/b/c", "@a/.",
		"@a/..", "@a/.b", "node_modules", "Favicon.ico", "a b", " a", "a\n", "a@b", "\xC3\xA9", "a\\b", "a:b",
		"a%2f", "@s\\x/a", "@a/../b", "../a" };
	char longest[215];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!name_valid(str_of(good[i])))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (name_valid(str_of(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	}
	memset(longest, 'a', sizeof(longest));
	assert_true(name_valid((str){ longest, 214 }));
	assert_false(name_valid((str){ longest, 215 }));
	assert_false(name_valid(STR("a\0b")));
}

static void scopes_and_splits(void **state)
{
	str name, rest;

	(void)state;
	is(name_scope(STR("@a/b")), "@a");
	is(name_scope(STR("b")), "");
	name_split(STR("@a/b@^1"), &name, &rest);
	is(name, "@a/b");
	is(rest, "^1");
	name_split(STR("b@npm:c@1"), &name, &rest);
	is(name, "b");
	is(rest, "npm:c@1");
	name_split(STR("@a/b"), &name, &rest);
	is(name, "@a/b");
	assert_null(rest.p);
	name_split(STR("b@"), &name, &rest);
	is(name, "b");
	assert_non_null(rest.p);
	name_split(STR(""), &name, &rest);
	is(name, "");
	is(selector_name(STR("b")), "b");
	is(selector_name(STR("b@>=2")), "b");
	is(selector_name(STR("b@^1 || >2")), "b");
	is(selector_name(STR("a>7z@2")), "7z");
	is(selector_name(STR("@s/a@>=1 <2>@s/b@>=2")), "@s/b");
	assert_true(selector_split(STR("b@1 >=2")) == SIZE_MAX);
}

static void splits_dep_paths(void **state)
{
	static const struct {
		const char *in, *name, *version, *suffix;
	} t[] = {
		{ "a@1.0.0", "a", "1.0.0", "" },
		{ "@s/a@1.0.0(b@2.0.0(c@3.0.0))(d@4.0.0)", "@s/a", "1.0.0", "(b@2.0.0(c@3.0.0))(d@4.0.0)" },
		{ "a@1.0.0(patch_hash=ab)(b@2.0.0)", "a", "1.0.0", "(patch_hash=ab)(b@2.0.0)" },
		{ "lib@file:x(y)/z", "lib", "file:x(y)/z", "" },
		{ "lib@file:x(y)/z(p@1.0.0)", "lib", "file:x(y)/z", "(p@1.0.0)" },
		{ "a@https://h.test/a.tgz", "a", "https://h.test/a.tgz", "" },
		{ "a", "a", "", "" },
		{ "a)", "a)", "", "" },
		{ ")", ")", "", "" },
		{ "(a)", "(a)", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		str name, version, suffix, key = dep_path_package_key(str_of(t[i].in));
		dep_path_split(str_of(t[i].in), &name, &version, &suffix);
		is(name, t[i].name);
		is(version, t[i].version);
		is(suffix, t[i].suffix);
		assert_int_equal(key.n + suffix.n, strlen(t[i].in));
	}
}

static void peers_of_a_suffix(void **state)
{
	static const char *const want[] = { "b@2.0.0", "@s/c@3.0.0", "0123abcd", "d@4.0.0" };
	str peer, rest = STR("(patch_hash=ab)(b@2.0.0(@s/c@3.0.0))()(0123abcd)(d@4.0.0"); /* cut off */

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(dep_path_peer(&peer, &rest));
		is(peer, want[i]);
	}
	assert_false(dep_path_peer(&peer, &rest));
	rest = STR_NONE;
	assert_false(dep_path_peer(&peer, &rest));
}

static void refs(void **state)
{
	static const struct {
		const char *alias, *ref, *path;
	} t[] = {
		{ "a", "1.0.0", "a@1.0.0" },
		{ "a", "1.0.0(b@2.0.0)", "a@1.0.0(b@2.0.0)" },
		{ "a", "b@1.0.0", "b@1.0.0" },
		{ "a", "@s/b@1.0.0(c@1.0.0)", "@s/b@1.0.0(c@1.0.0)" },
		{ "lib", "file:../lib", "lib@file:../lib" },
		{ "lib", "file:a@b", "lib@file:a@b" },
		{ "a", "https://u@h.test/a.tgz", "a@https://u@h.test/a.tgz" },
		{ "a", "b@https://h.test/b.tgz", "b@https://h.test/b.tgz" },
	};
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		is(dep_path_from_ref(str_of(t[i].alias), str_of(t[i].ref), &a), t[i].path);
		is(dep_path_to_ref(str_of(t[i].path), str_of(t[i].alias)), t[i].ref);
	}
	assert_null(dep_path_from_ref(STR("a"), STR("link:../a"), &a).p);
	is(dep_path_to_ref(STR("ab@1.0.0"), STR("a")), "ab@1.0.0");
	is(dep_path_inside(STR("link:<root>/lib/x")), "lib/x");
	assert_null(dep_path_inside(STR("link:lib/x")).p);
	assert_null(dep_path_inside(STR("1.0.0")).p);
	arena_release(&a);
}

/* Names that pnpm 12.21 gave to these. */
static void filenames(void **state)
{
	static const struct {
		const char *path, *file;
	} t[] = {
		{ "is-positive@3.1.0", "is-positive@3.1.0" },
		{ "@s/a@1.0.0", "@s+a@1.0.0" },
		{ "JSONStream@1.3.5", "JSONStream@1.3.5_fb8f73c374dcf7070ffed90b688edabd" },
		{ "my-lib@file:lib/Upper", "my-lib@file+lib+Upper_1317f03b4ecc212ff06310f372de34c5" },
		{ "@csstools/css-calc@2.1.4(@csstools/css-parser-algorithms@3.0.5(@csstools/css-tokenizer@3.0.4))"
		  "(@csstools/css-tokenizer@3.0.4)",
			"@csstools+css-calc@2.1.4_@csstools+css-parser-algorithms@3.0.5_@csstools+css-tokenizer@_"
			"e8d5cb57048a11d39451107410ea18b6" },
		{ "@babel/helper-module-transforms@7.29.14(@babel/"
		  "core@7.29.13(supports-color@7.2.0))(supports-color@7.2.0)",
			"@babel+helper-module-transforms@7.29.14_@babel+core@7.29.13_supports-color@7.2.0__supports-"
			"color@7.2.0" },
	};
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		is(dep_path_filename(str_of(t[i].path), 120, &a), t[i].file);
	is(dep_path_filename(STR("a*?\"<>|#b@1"), 120, &a), "a+++++++b@1");
	assert_int_equal(dep_path_filename(STR("abcdefghijklmnopqrstuvwxyzabcdefghijklmnop@1"), 40, &a).n, 40);
	arena_release(&a);
}

static void paths_of_specs(void **state)
{
	static const char *const yes[] = { ".", "./x", "../x", "/x", "~/x/y", "a/", "a/b/c", "@s/a/b", "a/b/#c" };
	static const char *const no[] = { "", "x", "~x", "~/x", "^1", "a/b", "a/b#c/d/e", "#a/b/c", "file:a/b/c",
		"git@h:a/b/c", "https://h/a/b" };

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!spec_is_path(str_of(yes[i])))
			fail_msg("%s is a path", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (spec_is_path(str_of(no[i])))
			fail_msg("%s is no path", no[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_names),
		cmocka_unit_test(scopes_and_splits),
		cmocka_unit_test(splits_dep_paths),
		cmocka_unit_test(peers_of_a_suffix),
		cmocka_unit_test(refs),
		cmocka_unit_test(filenames),
		cmocka_unit_test(paths_of_specs),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
