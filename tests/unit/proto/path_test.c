/* path_test — paths as text. */
#include "base/base.h"
#include "request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_join(void **state)
{
	static const char *const cases[][3] = {
		{ ".", "a/b", "a/b" },
		{ "p/q", "../../x", "x" },
		{ "p", "../..", ".." },
		{ "p", "..", "." },
		{ "p", "./q//r/.", "p/q/r" },
		{ "/r/s", "../t", "/r/t" },
		{ "/r", "../..", "/.." },
		{ "/r", "..", "/" },
		{ "p", "/abs/./x", "/abs/x" },
		{ "", "", "." },
		{ "../o", "../n", "../n" },
	};
	struct arena a = ARENA_INIT(256);
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(path_join(&a, str_of(cases[i][0]), str_of(cases[i][1])).p, cases[i][2]);
	arena_release(&a);
}

static void test_relative(void **state)
{
	static const char *const cases[][3] = {
		{ ".", "a/b", "a/b" },
		{ "a", "a/b", "b" },
		{ "a/b/c", "a", "../.." },
		{ "a/b", "a/c/d", "../c/d" },
		{ "a", "../x", "../../x" },
		{ "a", "a", "" },
		{ "a", ".", ".." },
		{ "a", "/x", "/x" },
	};
	struct arena a = ARENA_INIT(256);
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(path_relative(&a, str_of(cases[i][0]), str_of(cases[i][1])).p, cases[i][2]);
	arena_release(&a);
}

/* More components than fit into any array of a fixed size. */
static void test_deep(void **state)
{
	struct arena a = ARENA_INIT(256);
	struct buf deep = BUF_INIT, up = BUF_INIT;
	(void)state;

	for (int i = 0; i < 1000; i++) {
		buf_add(&deep, STR("d/"));
		buf_add(&up, STR("../"));
	}
	assert_string_equal(path_join(&a, buf_str(&deep), buf_str(&up)).p, ".");
	assert_int_equal(path_join(&a, STR("."), buf_str(&deep)).n, 1999);
	assert_int_equal(path_relative(&a, buf_str(&deep), STR("x")).n, 3001);
	buf_release(&deep);
	buf_release(&up);
	arena_release(&a);
}

static void test_between(void **state)
{
	static const char *const rows[][3] = { { "/a/b", "/a/c/d", "../c/d" }, { "/a/b", "/a/b/c", "c" },
		{ "/a/b/c", "/a/b", ".." }, { "/a/b", "/a/bc", "../bc" }, { "/a/bc", "/a/b", "../b" },
		{ "/a", "/x/y/z", "../x/y/z" }, { "/a/b/c", "/d", "../../../d" }, { "/a/b", "/a/b", "." },
		{ "/", "/x", "x" }, { "/x", "/", ".." } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct arena a = ARENA_INIT(0);
		str p = path_between(&a, str_of(rows[i][0]), str_of(rows[i][1]));
		assert_string_equal(p.p, rows[i][2]);
		arena_release(&a);
	}
}

static void test_slashed(void **state)
{
	static const char *const cases[][2] = { { "", "/" }, { "/", "/" }, { "a", "a/" }, { "a/", "a/" },
		{ "https://h.test/npm", "https://h.test/npm/" } };
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(path_slashed(&a, str_of(cases[i][0])).p, cases[i][1]);
	arena_release(&a);
}

static void test_from_home(void **state)
{
	static const char *const cases[][3] = { { "/home/u", "~/x", "/home/u/x" }, { "/home/u", "~/", "/home/u/" },
		{ "/home/u", "~", "~" }, { "/home/u", "~x", "~x" }, { "/home/u", "/~/x", "/~/x" },
		{ "/home/u", "x/~/y", "x/~/y" }, { "", "~/x", "~/x" }, { "/home/u", "", "" } };
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(path_from_home(&a, str_of(cases[i][0]), str_of(cases[i][1])).p, cases[i][2]);
	arena_release(&a);
}

static void test_of_specifiers(void **state)
{
	static const struct {
		const char *root, *base, *path, *is;
	} cases[] = {
		{ "/w/r", ".", "lib", "lib" },
		{ "/w/r", "p/q", "../lib/", "p/lib" },
		{ "/w/r", "p", "/w/r/lib", "lib" },
		{ "/w/r", "p", "/w/x/./y.tgz", "../x/y.tgz" },
		{ "/w/r", "p", "///tmp/x", "../../tmp/x" },
		{ "/w/r", "p", "/w/r", "." },
		{ "/w/r", "p", "/./x", "p/x" },
		{ "/w/r", "p", "~/x", "../../home/u/x" },
		{ "/w/r", "p", "/~/x", "../../home/u/x" },
		{ "/w/r", "p", "~x", "p/~x" },
		{ "", "p", "/w/x", "/w/x" },
		{ "", "p", "~/x", "p/~/x" },
	};
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct request r = { .root = str_of(cases[i].root),
			.home = cases[i].root[0] ? STR("/home/u") : STR_NONE };
		assert_string_equal(request_path(&r, str_of(cases[i].base), str_of(cases[i].path), &a).p, cases[i].is);
	}
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_join), cmocka_unit_test(test_relative),
		cmocka_unit_test(test_deep), cmocka_unit_test(test_between), cmocka_unit_test(test_slashed),
		cmocka_unit_test(test_from_home), cmocka_unit_test(test_of_specifiers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
