/* catalog_prune_test — the texts are what pnpm 12.21 makes of the same files. */
#include "catalog_prune.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* One project that uses "leaf" of the default catalog and "files" of the catalog n, another one with a peer. */
static struct request a_request(void)
{
	static struct str_kv leaf = { STR_INIT("leaf"), STR_INIT("catalog:") },
			     files = { STR_INIT("files"), STR_INIT("catalog:n") },
			     peer = { STR_INIT("peer"), STR_INIT("catalog:") },
			     over[] = { { STR_INIT("o1"), STR_INIT("catalog:") },
				     { STR_INIT("x@1>@s/o2@2"), STR_INIT("catalog:o") },
				     { STR_INIT("o3"), STR_INIT("1.0.0") } };
	static struct request_importer importer[] = {
		{ .path = STR_INIT("."),
			.manifest = { .dependencies = { &leaf, 1 }, .dev_dependencies = { &files, 1 } } },
		{ .path = STR_INIT("p"), .manifest = { .peer_dependencies = { &peer, 1 } } }
	};

	return (struct request){ .importer = importer, .nimporters = 2, .settings.overrides = { over, 3 } };
}

static int edit(struct buf *out, const char *yaml, const struct lockfile *lf, struct err *e)
{
	struct request req = a_request();

	return catalog_prune_edit(out, str_of(yaml), &req, lf, e);
}

static void test_edit(void **state)
{
	static const struct {
		const char *from, *to;
	} t[] = {
		{ "hoist: true\n", NULL },
		{ "", NULL },
		{ "catalog:\n  leaf: 1.0.0\n  peer: 1.0.0\n  o1: 1.0.0\ncatalogs:\n  o:\n    '@s/o2': 2.0.0\n", NULL },
		{ "catalog:\n  # about a\n  a: ^1.0.0 # why\n  # about leaf\n  leaf: 1.1.0\n\n  # two\n  z: 2\n  # tail\n\n"
		  "# next\nhoist: true\n",
			"catalog:\n  # about a\n  leaf: 1.1.0\n\n  # two\nhoist: true\n" },
		{ "hoist: true\n\n# versions\ncatalog:\n  a: 1\n  o3: 1\n  # tail\n\n# about\nautoInstallPeers: true\n",
			"hoist: true\n\n# versions\n# about\nautoInstallPeers: true\n" },
		{ "catalogs:\n  m:\n    a: 1\n  n:\n    b: 1\n    files: 1\n    leaf: 1\n    c: 1\n  default:\n    d: 1\n    leaf: 1\n",
			"catalogs:\n  n:\n    files: 1\n    leaf: 1\n  default:\n    leaf: 1\n" },
		{ "hoist: true\ncatalogs:\n  m:\n    a: 1\n  q:\n    b: 1\n", "hoist: true\n" },
		{ "hoist: true\n\n\ncatalog:\n  a: 1\n\n# end\n", "hoist: true\n" },
		{ "hoist: true\n\n\ncatalog:\n  a: 1\n\ncatalogs: {}\n\nx: 1\n", "hoist: true\n\n\nx: 1\n" },
		{ "hoist: true\n\n# mine\ncatalog: {a: 1}", "hoist: true\n\n# mine\n" },
		{ "catalog:\r\n  a: 1\r\n  leaf: 1\r\n  b: 1", "catalog:\r\n  leaf: 1\r\n" },
		{ "catalog:\n    '@s/a': 1\n    \"leaf\": '1'\n    'b' : 1\nhoist: true",
			"catalog:\n    \"leaf\": '1'\nhoist: true" },
		{ "catalog:\n  a: >-\n    ^1.0.0\n  leaf: 1\n", "catalog:\n  leaf: 1\n" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct err e = { 0 };
		int code = edit(&b, t[i].from, NULL, &e);
		if (code != (t[i].to != NULL) || !str_eq(buf_str(&b), str_of(t[i].to)))
			fail_msg("%zu: %d %s \"" STR_FMT "\"", i, code, e.msg, STR_ARG(buf_str(&b)));
	}
}

/* Nothing is lost where entries share a line or one of them is named elsewhere. */
static void test_refused(void **state)
{
	static const char *const t[] = {
		"catalog: {leaf: 1, a: 1}\n",
		"catalogs:\n  n: {files: 1, a: 1}\n",
		"catalog: {\n  leaf: 1,\n  a: 1\n}\n",
		"catalog:\n  a: &v 1\n  leaf: *v\n",
		"catalog:\n  ? a\n  : 1\n  leaf: 1\n",
		"catalog:\n  \"\\u0061\": 1\n  leaf: 1\n",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		struct err e = { 0 };
		int code = edit(&b, t[i], NULL, &e);
		if (code != ERR_UNSUPPORTED || b.n || !strstr(e.msg, "\"a\" of the catalog \""))
			fail_msg("%zu: %d %s", i, code, e.msg);
	}
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;
	assert_int_equal(edit(&b, "catalog: {leaf: 1}\ncatalogs: {n: {files: 1}}\n", NULL, &e), 0);
	assert_int_equal(edit(&b, "a: [\n", NULL, &e), ERR_PARSE);
}

/* What the lockfile still records is a project's that is not there now. */
static void test_recorded(void **state)
{
	static struct lock_catalog_entry has = { STR_INIT("n"), STR_INIT("a"), STR_INIT("1"), STR_INIT("1.0.0") };
	const struct lockfile lf = { .head = { .catalog = &has, .ncatalog = 1 } };
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;

	(void)state;
	assert_int_equal(edit(&b, "catalog:\n  a: 1\n  leaf: 1\ncatalogs:\n  n:\n    a: 1\n", &lf, &e), 1);
	assert_true(str_eq(buf_str(&b), STR("catalog:\n  leaf: 1\ncatalogs:\n  n:\n    a: 1\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_edit), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_recorded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
