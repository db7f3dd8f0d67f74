/* satisfies_test — which lockfiles fit, frozen and not; each verdict is pnpm 12.21's for the same files. */
#include "source.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                                           \
	"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: "                  \
	"false\n\nimporters:\n\n"
#define MS "  .:\n    dependencies:\n      ms:\n        specifier: 2.1.2\n        version: 2.1.2\n"
#define META(entry) "    dependenciesMeta:\n      ms:\n        " entry "\n"
#define MS_META(meta) "{\"dependencies\":{\"ms\":\"2.1.2\"},\"dependenciesMeta\":" meta "}"
#define LINKED                                                                                                         \
	"  .:\n    dependencies:\n      b:\n        specifier: workspace:^1.0.0\n        version: link:packages/b\n"   \
	"\n  packages/b: {}\n"
/* 9.0.0-beta.0 where SPEC is asked for. */
#define PRE(what, spec, fits)                                                                                          \
	{                                                                                                              \
		what,                                                                                                  \
			HEAD "  .:\n    dependencies:\n      ms:\n        specifier: '" spec                           \
			     "'\n        version: 9.0.0-beta.0\n",                                                     \
			"{\"dependencies\":{\"ms\":\"" spec "\"}}", NULL, fits, fits                                   \
	}

static const struct {
	const char *what, *lock, *root, *b; /* manifests of "." and, unless NULL, packages/b */
	bool fits, fits_frozen;
} cases[] = {
	{ "unchanged", HEAD MS, "{\"dependencies\":{\"ms\":\"2.1.2\"}}", NULL, true, true },
	{ "another specifier", HEAD MS, "{\"dependencies\":{\"ms\":\"^2.1.2\"}}", NULL, false, false },
	{ "a version that is not in its range: a bad merge",
		HEAD "  .:\n    dependencies:\n      ms:\n        specifier: ^2.0.0\n        version: 1.0.0\n",
		"{\"dependencies\":{\"ms\":\"^2.0.0\"}}", NULL, false, false },
	{ "the same of a version that ends like the range",
		HEAD "  .:\n    dependencies:\n      ms:\n        specifier: ^11.0.0\n        version: 1.0.0\n",
		"{\"dependencies\":{\"ms\":\"^11.0.0\"}}", NULL, false, false },
	PRE("any prerelease", "*", true),
	PRE("any prerelease, the range left out", "", true),
	PRE("a prerelease as an x-range, which takes none", "x", false),
	PRE("a prerelease under a range that names none", ">=8", false),
	PRE("a prerelease of another version", ">=8.0.0-rc.1", false),
	PRE("a later prerelease", "^9.0.0-beta.1", false),
	PRE("a prerelease that the range names", ">=9.0.0-alpha <10", true),
	{ "an optional dependency that nobody could get", HEAD MS,
		"{\"dependencies\":{\"ms\":\"2.1.2\"},\"optionalDependencies\":{\"none\":\"1\"}}", NULL, false, true },
	{ "moved to optional", HEAD MS, "{\"optionalDependencies\":{\"ms\":\"2.1.2\"}}", NULL, false, false },
	{ "a project is gone", HEAD MS "\n  packages/b: {}\n", "{\"dependencies\":{\"ms\":\"2.1.2\"}}", NULL, false,
		true },
	{ "a new project that asks for nothing", HEAD MS, "{\"dependencies\":{\"ms\":\"2.1.2\"}}", "{\"name\":\"b\"}",
		true, true },
	{ "a new project that has peers only", HEAD MS, "{\"dependencies\":{\"ms\":\"2.1.2\"}}",
		"{\"name\":\"b\",\"peerDependencies\":{\"ms\":\"1\"}}", true, true },
	{ "a project that the lockfile has, and that has peers since", HEAD MS "\n  packages/b: {}\n",
		"{\"dependencies\":{\"ms\":\"2.1.2\"}}", "{\"peerDependencies\":{\"ms\":\"1\"}}", false, false },
	{ "a new project that depends on something", HEAD MS, "{\"dependencies\":{\"ms\":\"2.1.2\"}}",
		"{\"devDependencies\":{\"ms\":\"2.1.2\"}}", false, false },
	{ "a new project whose optional dependency nobody could get", HEAD MS, "{\"dependencies\":{\"ms\":\"2.1.2\"}}",
		"{\"optionalDependencies\":{\"none\":\"1\"}}", false, false },
	{ "linked", HEAD LINKED, "{\"dependencies\":{\"b\":\"workspace:^1.0.0\"}}",
		"{\"name\":\"b\",\"version\":\"1.9.0\"}", true, true },
	{ "the linked project left the range", HEAD LINKED, "{\"dependencies\":{\"b\":\"workspace:^1.0.0\"}}",
		"{\"name\":\"b\",\"version\":\"2.0.0\"}", false, false },
	{ "injected since", HEAD LINKED,
		"{\"dependencies\":{\"b\":\"workspace:^1.0.0\"},\"dependenciesMeta\":{\"b\":{\"injected\":true}}}",
		"{\"name\":\"b\",\"version\":\"1.0.0\"}", false, false },
	{ "published from a folder since", HEAD MS,
		"{\"dependencies\":{\"ms\":\"2.1.2\"},\"publishConfig\":{\"directory\":\"dist\"}}", NULL, false,
		false },
	{ "published from a folder that others don't see since", HEAD MS "    publishDirectory: dist\n",
		"{\"dependencies\":{\"ms\":\"2.1.2\"},\"publishConfig\":{\"directory\":\"dist\",\"linkDirectory\":"
		"false}}",
		NULL, false, false },
	{ "published from a folder that others don't see",
		HEAD MS "    linkDirectory: false\n    publishDirectory: dist\n",
		"{\"dependencies\":{\"ms\":\"2.1.2\"},\"publishConfig\":{\"directory\":\"dist\",\"linkDirectory\":"
		"false}}",
		NULL, true, true },
	{ "what dependenciesMeta says beyond injected", HEAD MS META("built: false"),
		MS_META("{\"ms\":{\"built\":false}}"), NULL, true, true },
	{ "it says something else since", HEAD MS META("built: false"), MS_META("{\"ms\":{\"built\":true}}"), NULL,
		false, false },
	{ "it says more since", HEAD MS META("injected: false"),
		MS_META("{\"ms\":{\"injected\":false,\"built\":false}}"), NULL, false, false },
	{ "it says less since", HEAD MS META("built: false"), MS_META("{\"ms\":{}}"), NULL, false, false },
	{ "it is gone", HEAD MS META("built: false"), "{\"dependencies\":{\"ms\":\"2.1.2\"}}", NULL, false, false },
	{ "its keys in another order", HEAD MS META("injected: false\n        built: 1000.0"),
		MS_META("{\"ms\":{\"built\":1e3,\"injected\":false}}"), NULL, true, true },
	{ "a number is no text", HEAD MS META("n: 1"), MS_META("{\"ms\":{\"n\":\"1\"}}"), NULL, false, false },
	{ "linkDirectory without a folder", HEAD MS,
		"{\"dependencies\":{\"ms\":\"2.1.2\"},\"publishConfig\":{\"linkDirectory\":false}}", NULL, true, true },
};

static bool fits(size_t i, bool frozen)
{
	struct arena a = ARENA_INIT(4096);
	struct request_importer im[2] = { { .path = STR_INIT(".") }, { .path = STR_INIT("packages/b") } };
	struct request req = { .settings = settings_default(), .importer = im, .nimporters = cases[i].b ? 2 : 1 };
	struct lockfile lf;
	struct str_list why;
	struct err e;
	int rc = lockfile_parse(&lf, str_of(cases[i].lock), STR("pnpm-lock.yaml"), &a, &e);

	rc = rc ? rc : manifest_parse(&im[0].manifest, str_of(cases[i].root), STR("package.json"), &a, &e);
	if (!rc && cases[i].b)
		rc = manifest_parse(&im[1].manifest, str_of(cases[i].b), STR("packages/b/package.json"), &a, &e);
	if (rc)
		fail_msg("%s: %s", cases[i].what, e.msg);
	bool out = lockfile_satisfies(&lf, &req, frozen, &why, &a);
	assert_int_equal(out, why.n == 0);
	arena_release(&a);
	return out;
}

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (fits(i, false) != cases[i].fits)
			fail_msg("%s: not frozen", cases[i].what);
		if (fits(i, true) != cases[i].fits_frozen)
			fail_msg("%s: frozen", cases[i].what);
	}
}

static void test_removed_by_override(void **state)
{
	static struct str_kv minus = { STR_INIT("ms"), STR_INIT("-") };
	struct arena a = ARENA_INIT(4096);
	struct request_importer im = { .path = STR_INIT(".") };
	struct request req = { .settings = settings_default(), .importer = &im, .nimporters = 1 };
	struct lockfile lf;
	struct str_list why;
	struct err e;
	(void)state;

	req.settings.overrides = (struct str_map){ .p = &minus, .n = 1 };
	assert_int_equal(
		lockfile_parse(&lf,
			STR("lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  "
			    "excludeLinksFromLockfile: false\n\noverrides:\n  ms: '-'\n\nimporters:\n\n  .: {}\n"),
			STR("pnpm-lock.yaml"), &a, &e),
		0);
	assert_int_equal(
		manifest_parse(&im.manifest, STR("{\"dependencies\":{\"ms\":\"2.1.2\"}}"), STR("package.json"), &a, &e),
		0);
	assert_true(lockfile_satisfies(&lf, &req, false, &why, &a));
	arena_release(&a);
}

/* What settings take from a new project: only ignored optional dependencies leave it without any. */
static void test_new_project(void **state)
{
	static const struct {
		const char *what, *b;
		struct str_kv override;
		bool exclude_links, fits;
	} table[] = {
		{ "removed by an override", "{\"dependencies\":{\"ms\":\"2.1.2\"}}", { STR_INIT("ms"), STR_INIT("-") },
			false, false },
		{ "a link that the lockfile leaves out", "{\"dependencies\":{\"c\":\"link:../c\"}}",
			{ STR_INIT(""), STR_INIT("") }, true, false },
		{ "ignored", "{\"optionalDependencies\":{\"ms\":\"2.1.2\"}}", { STR_INIT(""), STR_INIT("") }, false,
			true },
		{ "ignored, and a dependency, too",
			"{\"optionalDependencies\":{\"ms\":\"1\"},\"dependencies\":{\"ms\":\"1\"}}",
			{ STR_INIT(""), STR_INIT("") }, false, true },
		{ "ignored, and for development, too",
			"{\"optionalDependencies\":{\"ms\":\"1\"},\"devDependencies\":{\"ms\":\"1\"}}",
			{ STR_INIT(""), STR_INIT("") }, false, false },
		{ "called like one that is ignored, and not optional", "{\"dependencies\":{\"ms\":\"2.1.2\"}}",
			{ STR_INIT(""), STR_INIT("") }, false, false },
	};
	static str ms = STR_INIT("ms");
	(void)state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct arena a = ARENA_INIT(4096);
		struct request_importer im[2] = { { .path = STR_INIT(".") }, { .path = STR_INIT("packages/b") } };
		struct request req = { .settings = settings_default(), .importer = im, .nimporters = 2 };
		struct str_kv over = table[i].override;
		struct lockfile lf;
		struct str_list why;
		struct err e;
		bool removes = over.k.n > 0;

		req.settings.overrides = (struct str_map){ .p = &over, .n = removes };
		req.settings.ignored_optional = (struct str_list){ .p = &ms, .n = !removes };
		req.settings.exclude_links_from_lockfile = table[i].exclude_links;
		str lock = arena_printf(&a,
			"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: %s\n%s\n"
			"importers:\n\n  .: {}\n%s",
			table[i].exclude_links ? "true" : "false", removes ? "\noverrides:\n  ms: '-'\n" : "",
			removes ? "" : "\nignoredOptionalDependencies:\n  - ms\n");
		assert_int_equal(lockfile_parse(&lf, lock, STR("pnpm-lock.yaml"), &a, &e), 0);
		assert_int_equal(manifest_parse(&im[0].manifest, STR("{}"), STR("package.json"), &a, &e), 0);
		assert_int_equal(
			manifest_parse(&im[1].manifest, str_of(table[i].b), STR("packages/b/package.json"), &a, &e), 0);
		for (int frozen = 0; frozen < 2; frozen++)
			if (lockfile_satisfies(&lf, &req, frozen, &why, &a) != table[i].fits)
				fail_msg("%s: %s", table[i].what, frozen ? "frozen" : "not frozen");
		arena_release(&a);
	}
}

/* Whether TEXT's SNAPSHOTS have all that is depended on; else the error has to name GONE. */
static void whole(const char *snapshots, const char *gone)
{
	struct arena a = ARENA_INIT(4096);
	struct lockfile lf;
	struct err e;
	str text = arena_printf(&a, "%s%s\nsnapshots:\n\n%s", HEAD, MS, snapshots);

	assert_int_equal(lockfile_parse(&lf, text, STR("pnpm-lock.yaml"), &a, &e), 0);
	assert_int_equal(lockfile_whole(&lf, &e), gone ? ERR_PARSE : 0);
	if (gone)
		assert_non_null(strstr(e.msg, gone));
	arena_release(&a);
}

static void test_entry_missing(void **state)
{
	(void)state;
	whole("  ms@2.1.2: {}\n", NULL);
	whole("  ms@2.1.3: {}\n", "ms@2.1.2");
	whole("  ms@2.1.2:\n    dependencies:\n      debug: 4.3.1\n", "debug@4.3.1");
	/* nothing reaches it */
	whole("  ms@2.1.2: {}\n\n  ms@3.0.0:\n    dependencies:\n      debug: 4.3.1\n", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_removed_by_override),
		cmocka_unit_test(test_new_project),
		cmocka_unit_test(test_entry_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
