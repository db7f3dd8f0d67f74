/* Reading and printing pnpm-lock.yaml: every file of the parity cases comes back byte for byte, odd ones as pnpm wrote
 * them, and what cannot be read is refused with its place. */
#include "lockfile.h"
#include "lockfile_order.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf read_file(const char *path)
{
	struct buf b = BUF_INIT;
	FILE *f = fopen(path, "rb");

	if (!f)
		return b;
	size_t n;
	while ((n = fread(buf_reserve(&b, 65536), 1, 65536, f)) > 0)
		b.n += n;
	fclose(f);
	return b;
}

static bool same_again(const char *path)
{
	struct buf text AUTO(buf_release) = read_file(path), out AUTO(buf_release) = BUF_INIT;
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct lockfile lf;
	struct err e;

	if (!text.n)
		return false;
	if (lockfile_parse(&lf, buf_str(&text), str_of(path), &a, &e) != 0)
		fail_msg("%s", e.msg);
	lockfile_print(&out, &lf);
	if (!str_eq(buf_str(&out), buf_str(&text)))
		fail_msg("%s: printed differently", path);
	return true;
}

static unsigned each_lockfile(const char *dir, const char *const *names)
{
	unsigned seen = 0;
	DIR *d = opendir(dir);

	for (struct dirent *de; d && (de = readdir(d));) {
		if (de->d_name[0] == '.')
			continue;
		for (size_t i = 0; names[i]; i++) {
			char path[1024];
			snprintf(path, sizeof(path), "%s/%s%s", dir, de->d_name, names[i]);
			seen += same_again(path);
		}
	}
	if (d)
		closedir(d);
	return seen;
}

static void test_cases(void **state)
{
	(void)state;
	assert_true(each_lockfile("parity/cases",
			    (const char *const[]){ "/expected-pnpm-lock.yaml", "/input-pnpm-lock.yaml", NULL }) >= 54);
}

/* Written by pnpm from packages made to be odd: deprecation texts of every style, names that the sort ranks or the
 * printer knows, a long key. */
static void test_odd(void **state)
{
	(void)state;
	assert_true(each_lockfile("unit/proto/lockfiles", (const char *const[]){ "", NULL }) >= 1);
}

static const char *const head = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n"
				"  excludeLinksFromLockfile: false\n";

static int parse(struct lockfile *lf, const char *text, struct arena *a, struct err *e)
{
	return lockfile_parse(lf, str_of(text), STR("pnpm-lock.yaml"), a, e);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} t[] = {
		{ "lockfileVersion: '6.0'\n", ERR_UNSUPPORTED, "6.0" },
		{ "lockfileVersion: 5.4\n", ERR_UNSUPPORTED, "5.4" },
		{ "settings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n", ERR_PARSE,
			"no lockfileVersion" },
		{ "lockfileVersion: '9.0'\nsettings:\n  autoInstallPeers: true\n", ERR_PARSE, "is missing" },
		{ "lockfileVersion: '9.0'\n<<<<<<< HEAD\na: 1\n=======\n>>>>>>> b\n", ERR_PARSE, ":2: merge conflict" },
		{ "lockfileVersion: '9.0'\n\tsettings: 1\n", ERR_PARSE, ":2:2: a tab" },
		{ "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    resolution: {integrity: sha5", ERR_PARSE, ":4:" },
		{ "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    hasBin: true\n", ERR_PARSE, "no resolution" },
		{ "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    resolution: {integritty: x}\n", ERR_PARSE,
			"integritty" },
		{ "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    resolution: {integrity: x}\n"
		  "    peerDependenciesMeta: {b: {}}\n",
			ERR_PARSE, "expected optional" },
		{ "lockfileVersion: '9.0'\nsnapshots:\n  a@1.0.0: {}\n  a@1.0.0: {}\n", ERR_PARSE, "a@1.0.0" },
		{ "lockfileVersion: '9.0'\nlockfileVersion: '9.0'\n", ERR_PARSE, "twice" },
		{ "lockfileVersion: '9.0'\nsnapshots:\n  a@1.0.0:\n    dependencies:\n      b: 1\n      b: 2\n",
			ERR_PARSE, ":6: the key \"b\" is there twice" },
		{ "lockfileVersion: '9.0'\nsnapshots: &x\n  a: {}\n", ERR_PARSE, "anchors" },
		{ "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: 1.0.0\n", ERR_PARSE, ":5: a" },
		{ "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: 1\n",
			ERR_PARSE, "specifier and version" },
		{ "lockfileVersion: '9.0'\nx: \xff\n", ERR_PARSE, ":2: not UTF-8" },
		{ "just text\n", ERR_PARSE, "key: value" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct arena a AUTO(arena_release) = ARENA_INIT(0);
		struct lockfile lf;
		struct err e = { 0 };
		int rc = parse(&lf, t[i].text, &a, &e);
		if (rc != t[i].code || !strstr(e.msg, t[i].says) || !strstr(e.msg, "pnpm-lock.yaml"))
			fail_msg("%zu: %d %s", i, rc, e.msg);
	}
}

/* What people do to the file by hand is still read, and printed as pnpm would. */
static void test_by_hand(void **state)
{
	const char *text = "\xEF\xBB\xBF# a comment\r\n"
			   "lockfileVersion: \"9.0\"   # why\r\n"
			   "settings: {excludeLinksFromLockfile: false, autoInstallPeers: true}\r\n"
			   "snapshots:\r\n"
			   "    'b@1.0.0':\r\n"
			   "        transitivePeerDependencies:\r\n"
			   "        - x\r\n"
			   "        dependencies: {version: 1.0.0, a: '2', name: \"3\\u00e9\"}\r\n"
			   "    a@1.0.0: {}\r\n"
			   "packages:\r\n"
			   "  b@1.0.0:\r\n"
			   "    cpu:\r\n"
			   "    - x64\r\n"
			   "    newField: {z: 1, a: [true, 'true']}\r\n"
			   "    resolution:\r\n"
			   "      integrity: sha512-x\r\n";
	const char *want = "\nfuture:\n  x: 1\n"; /* appended below: unknown root keys stay */
	struct buf in AUTO(buf_release) = BUF_INIT, out AUTO(buf_release) = BUF_INIT;
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct lockfile lf;
	struct err e;
	(void)state;

	buf_add(&in, str_of(text));
	buf_add(&in, str_of(want));
	if (parse(&lf, (buf_addc(&in, 0), in.n--, in.p), &a, &e) != 0)
		fail_msg("%s", e.msg);
	lockfile_print(&out, &lf);
	buf_addc(&out, 0);
	char expect[2048];
	snprintf(expect, sizeof(expect),
		"%s\npackages:\n\n  b@1.0.0:\n    resolution: {integrity: sha512-x}\n    cpu: [x64]\n    newField:\n"
		"      a:\n        - true\n        - 'true'\n      z: 1\n"
		"\nfuture:\n  x: 1\n"
		"\nsnapshots:\n\n  a@1.0.0: {}\n\n  b@1.0.0:\n    dependencies:\n      name: 3é\n      version: 1.0.0\n"
		"      a: '2'\n    transitivePeerDependencies:\n      - x\n",
		head);
	assert_string_equal(out.p, expect);
}

static void test_documents(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct buf out AUTO(buf_release) = BUF_INIT;
	struct lockfile lf;
	struct err e;
	char text[1024];
	(void)state;

	snprintf(text, sizeof(text), "---\nlockfileVersion: '9.0'\n\n---\n%s", head);
	assert_int_equal(parse(&lf, text, &a, &e), 0);
	assert_false(lf.absent);
	lockfile_print(&out, &lf);
	assert_true(str_eq(buf_str(&out), str_of(text)));

	assert_int_equal(parse(&lf, "---\nlockfileVersion: '9.0'\n\n---\n", &a, &e), 0);
	assert_true(lf.absent && lf.env_document.n == 32);
	snprintf(text, sizeof(text), "---\n%s", head); /* neither document for pnpm 12.21 */
	assert_int_equal(parse(&lf, text, &a, &e), 0);
	assert_true(lf.absent && lf.env_document.n == 0);
	assert_int_equal(parse(&lf, "", &a, &e), 0);
	assert_true(lf.absent);
}

/* What YAML allows around a document says nothing; a second document is none of ours. */
static void test_marks(void **state)
{
	static const char *const around[][2] = { { "--- \n", "" }, { "---\t# x\n", "...\n" }, { "\n---\n", "" },
		{ "# c\n\n---\n", "... # end\n\n# c\n" }, { "%YAML 1.2\n---\n", "...\n" }, { "", "..." } };
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct lockfile lf;
	struct err e;
	char text[1024];
	(void)state;

	for (size_t i = 0; i < sizeof(around) / sizeof(*around); i++) {
		struct buf out AUTO(buf_release) = BUF_INIT;
		snprintf(text, sizeof(text), "%s%s%s", around[i][0], head, around[i][1]);
		if (parse(&lf, text, &a, &e))
			fail_msg("%zu: %s", i, e.msg);
		assert_false(lf.absent);
		lockfile_print(&out, &lf);
		assert_true(str_eq(buf_str(&out), str_of(head)));
	}
	snprintf(text, sizeof(text), "--- \nfoo: 1\n---\n%s", head);
	assert_int_equal(parse(&lf, text, &a, &e), ERR_PARSE);
	assert_int_equal(parse(&lf, "--- \n\nlockfileVersion: '9.0'\nx: 1\nx: 2\n", &a, &e), ERR_PARSE);
	if (!strstr(e.msg, ":5:"))
		fail_msg("%s", e.msg);
}

/* Settings that are there at their defaults stay, except for injectWorkspacePackages. */
static void test_defaults_written(void **state)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	struct buf out AUTO(buf_release) = BUF_INIT;
	struct lockfile lf;
	struct err e;
	(void)state;

	assert_int_equal(parse(&lf,
				 "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  dedupePeers: false\n"
				 "  excludeLinksFromLockfile: false\n  injectWorkspacePackages: false\n"
				 "  peersSuffixMaxLength: 1000\n\nimporters:\n\n  .: {}\n",
				 &a, &e),
		0);
	assert_true(!lf.head.dedupe_peers && lock_suffix_max(&lf.head) == LOCK_SUFFIX_USUAL);
	lockfile_print(&out, &lf);
	buf_addc(&out, 0);
	assert_string_equal(out.p,
		"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  dedupePeers: false\n"
		"  excludeLinksFromLockfile: false\n  peersSuffixMaxLength: 1000\n\nimporters:\n\n  .: {}\n");
}

static void test_lookup(void **state)
{
	struct lock_package p[] = { { .key = STR("react@1.0.0") }, { .key = STR("react-dom@1.0.0") },
		{ .key = STR("a@1") } };
	struct lockfile lf = { .package = p, .npackages = 3 };
	(void)state;

	lockfile_sort(&lf);
	assert_true(str_eq(p[1].key, STR("react-dom@1.0.0")));
	assert_ptr_equal(lockfile_package(&lf, STR("react@1.0.0")), &p[2]);
	assert_null(lockfile_package(&lf, STR("react@1.0.1")));
	assert_null(lockfile_snapshot(&lf, STR("x")));
}

/* Every key that has a rank goes before one that has none, though its letters come later. */
static void test_ranks(void **state)
{
	static const char *const entry[] = { "resolution", "id", "name", "version", "engines", "cpu", "os", "libc",
		"deprecated", "hasBin", "prepare", "requiresBuild", "bundleDependencies", "peerDependencies",
		"peerDependenciesMeta", "dependencies", "optionalDependencies", "transitivePeerDependencies", "dev",
		"optional" };
	static const char *const root[] = { "lockfileVersion", "settings", "catalogs", "overrides",
		"packageExtensionsChecksum", "pnpmfileChecksum", "patchedDependencies", "importers", "packages" };
	(void)state;

	for (size_t i = 0; i < sizeof(entry) / sizeof(*entry); i++) {
		assert_true(lock_entry_cmp(str_of(entry[i]), STR("a")) < 0);
		assert_true(i == 0 || lock_entry_cmp(str_of(entry[i - 1]), str_of(entry[i])) < 0);
	}
	for (size_t i = 0; i < sizeof(root) / sizeof(*root); i++) {
		assert_true(lock_importer_cmp(str_of(root[i]), STR("a")) < 0);
		assert_true(i == 0 || lock_importer_cmp(str_of(root[i - 1]), str_of(root[i])) < 0);
	}
	assert_true(lock_entry_cmp(STR("nama"), STR("a")) > 0);
}

/* Rows in any order, of keys that share more or fewer bytes than are compared at once, end up in
 * the order of their keys. */
static void test_sorted(void **state)
{
	static const char *const key[] = { "", "a", "abcdefgh", "abcdefgh@1", "abcdefgh@1.0", "abcdefgi", "abcdefg",
		"abcdefg\xc3", "@types/node@1", "@types/node@1(b@1)", "zod@4" };
	enum { N = sizeof(key) / sizeof(*key) };
	struct lock_snapshot row[N];
	(void)state;

	for (size_t from = 0; from < N; from++) {
		for (size_t i = 0; i < N; i++)
			row[i] = (struct lock_snapshot){ .key = str_of(key[(from + 7 * i) % N]) };
		struct lockfile lf = { .snapshot = row, .nsnapshots = N };
		lockfile_sort(&lf);
		for (size_t i = 1; i < N; i++)
			assert_true(str_cmp(row[i - 1].key, row[i].key) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_defaults_written),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_sorted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
