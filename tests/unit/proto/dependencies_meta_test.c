/* dependencies_meta_test — dependenciesMeta as text of a lockfile; each text is what pnpm 12.21 writes. */
#include "dependencies_meta.h"
#include "lockfile.h"
#include "manifest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *json, *text;
} cases[] = {
	{ "{}", "" },
	{ "[1]", "" },
	{ "{\"a\":{},\"b\":{\"injected\":true},\"c\":{\"injected\":false}}", "" },
	{ "{\"a\":{\"built\":false}}", "\n      a:\n        built: false" },
	{ "{\"b\":{\"injected\":true,\"built\":false},\"a\":{}}",
		"\n      a: {}\n      b:\n        built: false\n        injected: true" },
	{ "{\"a\":{\"injected\":\"true\"}}", "\n      a:\n        injected: 'true'" },
	{ "{\"b\":null,\"a\":[]}", "\n      a: []\n      b: null" },
	{ "{\"a\":[1,\"1\",[2]]}", "\n      a:\n        - 1\n        - '1'\n        - - 2" },
	{ "{\"resolution\":{\"b\":[1],\"a\":{}}}", "\n      resolution: {a: {}, b: [1]}" },
	{ "{\"packages\":{\"b\":1,\"a\":2}}", "\n      packages:\n\n        a: 2\n\n        b: 1" },
	{ "{\"a\":\"x\\ny\\n\"}", "\n      a: |\n        x\n        y" },
	{ "{\"a\":\"\\u0001\"}", "\n      a: \"\\x01\"" },
};

static const struct {
	const char *json, *text;
} numbers[] = {
	{ "0", "0" },
	{ "-1", "-1" },
	{ "-0", "-0.0" },
	{ "0e5", "0.0" },
	{ "1.0", "1.0" },
	{ "100.10", "100.1" },
	{ "1E+2", "100.0" },
	{ "123456.789", "123456.789" },
	{ "1e15", "1000000000000000.0" },
	{ "1e16", "1e+16" },
	{ "-9223372036854775808", "-9223372036854775808" },
	{ "-9223372036854775809", "-9.223372036854776e+18" },
	{ "18446744073709551615", "18446744073709551615" },
	{ "18446744073709551616", "1.8446744073709552e+19" },
	{ "12345678901234567.5", "1.2345678901234568e+16" },
	{ "1.5e-5", "0.000015" },
	{ "1.5e-6", "1.5e-6" },
	{ "1e999", "1e999" }, /* no double has room for it, and no pnpm reads it */
	{ "-1e999", "-1e999" },
	{ "5e-324", "5e-324" },
	{ "1.7976931348623157e308", "1.7976931348623157e+308" },
};

static int text_of(str *out, const char *json, struct arena *a, struct err *e)
{
	struct json *j;

	assert_int_equal(json_parse(&j, str_of(json), a, e), 0);
	return dependencies_meta_text(out, j, a, e);
}

static void is_text(const char *json, const char *want, struct arena *a)
{
	struct err e;
	str got;

	assert_int_equal(text_of(&got, json, a, &e), 0);
	if (!str_eq(got, str_of(want)))
		fail_msg("%s: \"" STR_FMT "\"", json, STR_ARG(got));
	assert_int_equal(dependencies_meta_fits(got), got.n > 0);
}

static void test_texts(void **state)
{
	struct arena a = ARENA_INIT(4096);
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		is_text(cases[i].json, cases[i].text, &a);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		char json[64], want[64];
		(void)snprintf(json, sizeof(json), "{\"n\":%s}", numbers[i].json);
		(void)snprintf(want, sizeof(want), "\n      n: %s", numbers[i].text);
		is_text(json, want, &a);
	}
	arena_release(&a);
}

/* A lockfile with such a text is read as it was printed. */
static void test_reads_back(void **state)
{
	struct arena a = ARENA_INIT(4096);
	struct err e;
	(void)state;

	for (size_t i = 3; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(buf_release) struct buf first = BUF_INIT, again = BUF_INIT;
		struct str_kv kv = { .k = STR("dependenciesMeta") };
		struct lock_importer im = { .path = STR("."), .extra = { &kv, 1 } };
		struct lockfile lf = { .importer = &im, .nimporters = 1 }, read;
		assert_int_equal(text_of(&kv.v, cases[i].json, &a, &e), 0);
		lockfile_print(&first, &lf);
		if (lockfile_parse(&read, buf_str(&first), STR("pnpm-lock.yaml"), &a, &e) < 0)
			fail_msg("%s: %s", cases[i].json, e.msg);
		assert_int_equal(read.importer[0].extra.n, 1);
		lockfile_print(&again, &read);
		assert_true(str_eq(buf_str(&again), buf_str(&first)));
	}
	arena_release(&a);
}

static void test_bounds(void **state)
{
	enum { BIG = DEPENDENCIES_META_MAX };
	struct arena a = ARENA_INIT(4096);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct manifest m;
	struct err e;
	str got;
	(void)state;

	buf_add(&b, STR("{\"dependenciesMeta\":{\"a\":\""));
	for (int i = 0; i < BIG; i++)
		buf_addc(&b, 'x');
	buf_add(&b, STR("\"}}"));
	assert_int_equal(manifest_parse(&m, buf_str(&b), STR("package.json"), &a, &e), ERR_TOOBIG);
	assert_non_null(strstr(e.msg, "package.json"));
	assert_non_null(strstr(e.msg, "65536"));
	assert_int_equal(manifest_parse_package(&m, buf_str(&b), STR("package.json"), &a, &e), 0);
	assert_int_equal(m.meta_text.n, 0);
	buf_clear(&b);
	buf_add(&b, STR("{\"a\":"));
	for (int i = 0; i < DEPENDENCIES_META_DEPTH; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < DEPENDENCIES_META_DEPTH; i++)
		buf_addc(&b, ']');
	buf_addc(&b, '}');
	buf_addc(&b, '\0');
	assert_int_equal(text_of(&got, b.p, &a, &e), ERR_TOOBIG);
	assert_non_null(strstr(e.msg, "32"));
	arena_release(&a);
}

/* Text of a peer that would be read as something else than this one map. */
static void test_unfit(void **state)
{
	static const char *const bad[] = { "", " {}", "\n", "\n    publishDirectory: x", "\n      a: 1\n    b: 1",
		"\n      a: 1\n\npackages:", "\n      a: 1\r      b", " x\n      a: 1" };
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (dependencies_meta_fits(str_of(bad[i])))
			fail_msg("fits: \"%s\"", bad[i]);
	assert_false(dependencies_meta_fits((str){ "\n      a\0b", 10 }));
	assert_true(dependencies_meta_fits(STR("\n      a: |\n        x\n\n        y")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_reads_back),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_unfit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
