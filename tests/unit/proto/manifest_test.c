#include "manifest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct manifest read_one(const char *text, struct arena *a)
{
	struct manifest m = { 0 };
	struct err e = { 0 };

	if (manifest_parse(&m, str_of(text), STR("package.json"), a, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return m;
}

static void is(str got, const char *want)
{
	if (!str_eq(got, str_of(want)))
		fail_msg("\"" STR_FMT "\" is not \"%s\"", STR_ARG(got), want);
}

static void map_is(struct str_map m, const char *want)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < m.n; i++)
		buf_printf(&b, STR_FMT "=" STR_FMT ";", STR_ARG(m.p[i].k), STR_ARG(m.p[i].v));
	is(buf_str(&b), want);
}

static void list_is(struct str_list l, const char *want)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < l.n; i++)
		buf_printf(&b, STR_FMT ";", STR_ARG(l.p[i]));
	is(buf_str(&b), want);
}

static void reads_a_project(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct manifest m = read_one(
		"{\"name\":\"@s/app\",\"version\":\"1.0.0\",\"type\":\"module\",\"main\":\"i.js\","
		"\"dependencies\":{\"b\":\"^1\",\"a\":\"workspace:*\"},\"devDependencies\":{\"c\":\"1\"},"
		"\"optionalDependencies\":{\"d\":\"1\"},\"peerDependencies\":{\"e\":\">=1\"},"
		"\"peerDependenciesMeta\":{\"e\":{\"optional\":true},\"f\":{\"optional\":true},\"g\":{\"optional\":"
		"false},\"h\":1},"
		"\"dependenciesMeta\":{\"a\":{\"injected\":true},\"b\":{}},\"scripts\":{\"x\":\"y\",\"n\":1},"
		"\"publishConfig\":{\"directory\":\"dist\",\"linkDirectory\":false},\"packageManager\":\"pnpm@12.0.0\","
		"\"devEngines\":{\"packageManager\":[{\"name\":\"pnpm\"}],\"runtime\":{\"name\":\"deno\",\"version\":"
		"\"2\",\"onFail\":\"download\"}},\"resolutions\":{},\"pnpm\":{\"overrides\":{},\"k\":1},"
		"\"workspaces\":{\"packages\":[\"p/*\"]},\"deprecated\":\"old\"}",
		&a);

	(void)state;
	is(m.name, "@s/app");
	is(m.version, "1.0.0");
	is(m.type, "module");
	is(m.main, "i.js");
	map_is(m.dependencies, "b=^1;a=workspace:*;");
	map_is(m.dev_dependencies, "c=1;");
	map_is(m.optional_dependencies, "d=1;");
	map_is(m.peer_dependencies, "e=>=1;");
	list_is(m.peer_optional, "e;f;");
	assert_int_equal(m.ndependencies_meta, 2);
	assert_true(m.dependencies_meta[0].injected && !m.dependencies_meta[1].injected);
	map_is(m.scripts, "x=y;");
	is(m.publish_directory, "dist");
	assert_false(m.publish_link_directory);
	is(m.package_manager, "pnpm@12.0.0");
	is(m.pnpm_pin, ""); /* devEngines governs, without a version */
	assert_true(str_eq(m.runtime, STR("deno")) && m.has_resolutions && m.has_pnpm);
	list_is(m.pnpm_keys, "overrides;k;");
	list_is(m.workspaces, "p/*;");
	is(m.deprecated, "old");
	arena_release(&a);
}

static void reads_a_package(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct manifest m = read_one(
		"{\"name\":\"@s/tool\",\"bin\":\"./cli.js\",\"engines\":[\"node\"],\"os\":\"linux\",\"libc\":\"musl\","
		"\"cpu\":[\"x64\",\"!arm\",1],\"bundleDependencies\":[\"a\"],\"workspaces\":[\"p\"]}",
		&a);

	(void)state;
	map_is(m.bin, "tool=./cli.js;");
	assert_int_equal(m.engines.n, 0);
	assert_int_equal(m.os.n, 0); /* pnpm 12.21 wants a list */
	list_is(m.libc, "musl;");
	assert_true(m.libc_scalar);
	list_is(m.cpu, "x64;!arm;");
	list_is(m.bundled, "a;");
	list_is(m.workspaces, "p;");
	assert_true(m.publish_link_directory);
	m = read_one("{\"name\":\"t\",\"bin\":{\"x\":\"a.js\",\"y\":null},\"engines\":{\"node\":\">=1\"},"
		     "\"bundledDependencies\":true,\"directories\":{\"bin\":\"bin\"}}",
		&a);
	map_is(m.bin, "x=a.js;");
	map_is(m.engines, "node=>=1;");
	assert_true(m.bundle_all);
	is(m.directories_bin, "bin");
	m = read_one("{\"name\":\"t\",\"bin\":\"\",\"libc\":[\"musl\"],\"os\":[\"linux\"]}", &a);
	assert_int_equal(m.bin.n, 0);
	list_is(m.os, "linux;");
	list_is(m.libc, "musl;");
	assert_false(m.libc_scalar);
	m = read_one("{\"bundleDependencies\":{\"a\":\"1\"}}", &a);
	assert_true(m.bundled.n == 0 && !m.bundle_all);
	m = read_one("{\"libc\":\"\"}", &a);
	assert_true(m.libc.n == 0 && !m.libc_scalar);
	m = read_one("{\"bin\":\"x.js\",\"bundleDependencies\":false,\"bundledDependencies\":[\"a\"]}", &a);
	assert_int_equal(m.bin.n, 0);
	assert_int_equal(m.bundled.n, 0);
	assert_false(m.bundle_all);
	arena_release(&a);
}

/* A folder or tarball that a project names: what is no string is no dependency, but a name must be one where it
 * counts. */
static void reads_a_folder(void **state)
{
	static const char *const bad[] = { "{\"dependencies\":{\"\":\"1\"}}",
		"{\"optionalDependencies\":{\"..\":\"1\"}}", "{\"peerDependencies\":{\"\":\"1\"}}" };
	struct arena a = ARENA_INIT(0);
	struct manifest m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(manifest_parse_folder(&m,
				 STR("{\"dependencies\":{\"a\":1,\"b\":\"2\"},\"optionalDependencies\":{\"c\":null},"
				     "\"peerDependencies\":{\"d\":[\"1\"]},\"devDependencies\":{\"\":\"1\",\"e\":{}}}"),
				 STR("x"), &a, &e),
		0);
	map_is(m.dependencies, "b=2;");
	assert_true(m.optional_dependencies.n == 0 && m.peer_dependencies.n == 0 && m.dev_dependencies.n == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (manifest_parse_folder(&m, str_of(bad[i]), STR("x"), &a, &e) != ERR_PARSE)
			fail_msg("%s passes", bad[i]);
	arena_release(&a);
}

/* What pnpm 12.21 installs without a word. */
static void tolerates(void **state)
{
	static const char *const t[] = { "{}", "{\"dependencies\":\"x\"}", "{\"dependencies\":[]}",
		"{\"dependencies\":[\"a\"]}", "{\"dependencies\":null}", "{\"name\":1}", "{\"version\":1}",
		"{\"scripts\":\"x\"}", "{\"scripts\":{\"a\":1}}", "{\"engines\":[\"node\"]}",
		"{\"peerDependenciesMeta\":[]}", "{\"bin\":1}", "{\"os\":1}", "{\"packageManager\":1}",
		"{\"publishConfig\":\"x\"}", "{\"dependenciesMeta\":{\"a\":true}}", "{\"bundleDependencies\":\"a\"}",
		"{\"dependencies\":{\"a*\":\"1\",\"A\":\"1\"}}" };
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		read_one(t[i], &a);
	arena_release(&a);
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *msg;
	} t[] = {
		{ "[]", "p/package.json: line 1, column 1: expected an object" },
		{ "{\"a\":1,}",
			"p/package.json: line 1, column 8: expected a property name in double quotes, found '}'" },
		{ "{\n \"dependencies\": {\n  \"a\": 1}}", "p/package.json: line 3, column 8: dependency \"a\" in "
							   "dependencies must have a string specifier" },
		{ "{\"devDependencies\":{\"a\":null}}", "p/package.json: line 1, column 25: dependency \"a\" in "
							"devDependencies must have a string specifier" },
		{ "{\"optionalDependencies\":{\"../a\":\"1\"}}",
			"p/package.json: line 1, column 33: dependency \"../a\" in optionalDependencies has an invalid "
			"name: "
			"expected \"name\" or \"@scope/name\"" },
		{ "{\"peerDependencies\":{\"\":\"1\"}}", "p/package.json: line 1, column 25: dependency \"\" in "
							 "peerDependencies has an invalid name: expected "
							 "\"name\" or \"@scope/name\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct manifest m;
		struct err e = { 0 };
		assert_int_equal(manifest_parse(&m, str_of(t[i].text), STR("p/package.json"), &a, &e), ERR_PARSE);
		assert_string_equal(e.msg, t[i].msg);
	}
}

static void leaves_out_a_package_s_mistakes(void **state)
{
	struct arena a = ARENA_INIT(0);
	struct manifest m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
		manifest_parse_package(&m, STR("{\"dependencies\":{\"a\":\"1\",\"../b\":\"1\",\"c\":1,\"d\":\"2\"}}"),
			STR("p"), &a, &e),
		0);
	map_is(m.dependencies, "a=1;d=2;");
	assert_int_equal(manifest_parse_package(&m, STR("[]"), STR("p"), &a, &e), ERR_PARSE);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_project),
		cmocka_unit_test(reads_a_package),
		cmocka_unit_test(reads_a_folder),
		cmocka_unit_test(tolerates),
		cmocka_unit_test(refuses),
		cmocka_unit_test(leaves_out_a_package_s_mistakes),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
