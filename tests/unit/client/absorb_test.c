/* absorb_test — what a lockfile is made to fit without a resolver, and what is left to one; pnpm 12.21 does the
 * same for the same files. */
#include "absorb.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                                           \
	"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: "                  \
	"false\n\nimporters:\n\n"
#define B "  b:\n    dependencies:\n      ms:\n        specifier: 2.1.3\n        version: 2.1.3\n\n"
#define PEER "  b:\n    dependencies:\n      ms:\n        specifier: 2.1.3\n        version: 2.1.3(ms@2.0.0)\n\n"
#define ROOT "  .:\n    dependencies:\n      ms:\n        specifier: 2.0.0\n        version: 2.0.0\n\n"
#define PACKAGES                                                                                                       \
	"packages:\n\n  ms@2.0.0:\n    resolution: {integrity: sha512-a}\n\n  ms@2.1.3:\n    resolution: {integrity: " \
	"sha512-b}\n\nsnapshots:\n\n"
#define PACKAGES_Q                                                                                                     \
	"packages:\n\n  ms@2.0.0:\n    resolution: {integrity: sha512-a}\n\n  ms@2.1.3:\n    resolution: {integrity: " \
	"sha512-b}\n\n  q@1.0.0:\n    resolution: {integrity: sha512-c}\n    peerDependencies:\n      ms: "            \
	"'>=2'\n\nsnapshots:\n\n"
#define BOTH "  ms@2.0.0: {}\n\n  ms@2.1.3: {}\n"

static const struct {
	const char *what, *lock, *root, *b; /* manifests of "." and, unless NULL, b */
	const char *ms;                     /* what "." has afterwards; NULL: it takes a resolver */
	size_t packages;
} cases[] = {
	{ "a range that the locked version is in takes the highest", HEAD ROOT B PACKAGES BOTH,
		"{\"dependencies\":{\"ms\":\"^2.0.0\"}}", "{\"dependencies\":{\"ms\":\"2.1.3\"}}", "2.1.3", 1 },
	{ "a range that only its own is in", HEAD ROOT B PACKAGES BOTH, "{\"dependencies\":{\"ms\":\"~2.0.0\"}}",
		"{\"dependencies\":{\"ms\":\"2.1.3\"}}", "2.0.0", 2 },
	{ "a range that nothing locked is in", HEAD ROOT B PACKAGES BOTH, "{\"dependencies\":{\"ms\":\"^1.0.0\"}}",
		"{\"dependencies\":{\"ms\":\"2.1.3\"}}", NULL, 0 },
	{ "a tag", HEAD ROOT B PACKAGES BOTH, "{\"dependencies\":{\"ms\":\"latest\"}}",
		"{\"dependencies\":{\"ms\":\"2.1.3\"}}", NULL, 0 },
	{ "another group", HEAD ROOT B PACKAGES BOTH, "{\"devDependencies\":{\"ms\":\"2.0.0\"}}",
		"{\"dependencies\":{\"ms\":\"2.1.3\"}}", "2.0.0", 2 },
	{ "a project that is gone", HEAD ROOT B PACKAGES BOTH, "{\"dependencies\":{\"ms\":\"2.0.0\"}}", NULL, "2.0.0",
		1 },
	{ "a dependency that something has as its peer is gone",
		HEAD ROOT PEER PACKAGES "  ms@2.0.0: {}\n\n  ms@2.1.3(ms@2.0.0): {}\n", "{}",
		"{\"dependencies\":{\"ms\":\"2.1.3\"}}", NULL, 0 },
	{ "a new dependency that something looks for as its peer",
		HEAD
		"  .:\n    dependencies:\n      q:\n        specifier: 1.0.0\n        version: 1.0.0(ms@2.0.0)\n\n" B
			PACKAGES_Q BOTH "\n  q@1.0.0(ms@2.0.0):\n    dependencies:\n      ms: 2.0.0\n",
		"{\"dependencies\":{\"ms\":\"^2.0.0\",\"q\":\"1.0.0\"}}", "{\"dependencies\":{\"ms\":\"2.1.3\"}}", NULL,
		0 },
	{ "a new dependency on a project", HEAD ROOT B PACKAGES BOTH,
		"{\"dependencies\":{\"ms\":\"2.0.0\",\"b\":\"*\"}}",
		"{\"name\":\"b\",\"dependencies\":{\"ms\":\"2.1.3\"}}", NULL, 0 },
};

static const struct lock_direct *root_ms(const struct lockfile *lf)
{
	const struct lock_importer *im = lockfile_importer(lf, STR("."));
	for (int g = 0; im && g < LOCK_NTYPES; g++)
		if (im->deps[g].n)
			return &im->deps[g].p[0];
	return NULL;
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena a = ARENA_INIT(4096);
		struct request_importer im[2] = { { .path = STR_INIT(".") }, { .path = STR_INIT("b") } };
		struct request req = {
			.settings = settings_default(), .importer = im, .nimporters = cases[i].b ? 2 : 1
		};
		struct lockfile lf, out;
		struct err e;
		int rc = lockfile_parse(&lf, str_of(cases[i].lock), STR("pnpm-lock.yaml"), &a, &e);

		rc = rc ? rc : manifest_parse(&im[0].manifest, str_of(cases[i].root), STR("package.json"), &a, &e);
		if (!rc && cases[i].b)
			rc = manifest_parse(&im[1].manifest, str_of(cases[i].b), STR("b/package.json"), &a, &e);
		if (rc)
			fail_msg("%s: %s", cases[i].what, e.msg);
		bool done = lockfile_absorb(&out, &lf, &req, &a);
		if (done != (cases[i].ms != NULL))
			fail_msg("%s: %s", cases[i].what, done ? "absorbed" : "left to a resolver");
		if (done && (!root_ms(&out) || !str_eq(root_ms(&out)->ref, str_of(cases[i].ms)) ||
				    out.npackages != cases[i].packages || out.nsnapshots != cases[i].packages))
			fail_msg("%s: other versions", cases[i].what);
		arena_release(&a);
	}
}

/* ---- settings ---- */

#define OPT                                                                                                            \
	"  .:\n    dependencies:\n      ms:\n        specifier: 2.0.0\n        version: 2.0.0\n      o:\n"             \
	"        specifier: 1.0.0\n        version: 1.0.0\n\npackages:\n\n  ms@2.0.0:\n    resolution: {integrity: "   \
	"sha512-a}\n\n  ms@2.1.3:\n    resolution: {integrity: sha512-b}\n\n  o@1.0.0:\n    resolution: {integrity: "  \
	"sha512-c}\n\n  opt@1.0.0:\n    resolution: {integrity: sha512-d}\n\nsnapshots:\n\n  ms@2.0.0: {}\n\n"         \
	"  ms@2.1.3:\n    optional: true\n\n  o@1.0.0:\n    optionalDependencies:\n      opt: 1.0.0\n\n"               \
	"  opt@1.0.0:\n    dependencies:\n      ms: 2.1.3\n    optional: true\n"
#define PATCHED                                                                                                        \
	"  .:\n    dependencies:\n      ms:\n        specifier: 2.0.0\n        version: 2.0.0\n      o:\n"             \
	"        specifier: 1.0.0\n        version: 1.0.0(patch_hash=aa)\n\npackages:\n\n  ms@2.0.0:\n    "            \
	"resolution: "                                                                                                 \
	"{integrity: sha512-a}\n\n  o@1.0.0:\n    resolution: {integrity: sha512-c}\n\nsnapshots:\n\n  ms@2.0.0: "     \
	"{}\n\n"                                                                                                       \
	"  o@1.0.0(patch_hash=aa): {}\n"
#define PATCH_HEAD                                                                                                     \
	"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\n"         \
	"patchedDependencies:\n  o: aa\n\nimporters:\n\n"
#define LINK "  .:\n    dependencies:\n      lib:\n        specifier: link:lib\n        version: link:lib\n"

static const struct {
	const char *what, *lock, *root;
	const char *ignored; /* one pattern of ignoredOptionalDependencies */
	bool exclude_links, patch;
	const char *has, *lacks; /* of what is printed; NULL: it takes a resolver */
} settings[] = {
	{ "more is ignored", HEAD OPT, "{\"dependencies\":{\"ms\":\"2.0.0\",\"o\":\"1.0.0\"}}", "opt*", false, false,
		"ignoredOptionalDependencies:\n  - opt*\n", "ms@2.1.3" },
	{ "more is ignored, and a range moved", HEAD OPT, "{\"dependencies\":{\"ms\":\"^2.0.0\",\"o\":\"1.0.0\"}}",
		"opt*", false, false, "version: 2.1.3", "opt@1.0.0" },
	{ "all but something is ignored", HEAD OPT, "{\"dependencies\":{\"ms\":\"2.0.0\",\"o\":\"1.0.0\"}}", "!ms",
		false, false, NULL, NULL },
	{ "less is ignored", HEAD OPT "\nignoredOptionalDependencies:\n  - zz\n",
		"{\"dependencies\":{\"ms\":\"2.0.0\",\"o\":\"1.0.0\"}}", NULL, false, false, NULL, NULL },
	{ "links are excluded where there are none", HEAD OPT, "{\"dependencies\":{\"ms\":\"2.0.0\",\"o\":\"1.0.0\"}}",
		NULL, true, false, "excludeLinksFromLockfile: true", "excludeLinksFromLockfile: false" },
	{ "links are excluded where there is one", HEAD LINK, "{\"dependencies\":{\"lib\":\"link:lib\"}}", NULL, true,
		false, NULL, NULL },
	{ "a patch stays", PATCH_HEAD PATCHED, "{\"dependencies\":{\"o\":\"1.0.0\"}}", NULL, false, true,
		"o@1.0.0(patch_hash=aa)", "ms@2.0.0" },
	{ "a patch has lost its package", PATCH_HEAD PATCHED, "{\"dependencies\":{\"ms\":\"2.0.0\"}}", NULL, false,
		true, NULL, NULL },
};

static bool prints(const struct lockfile *lf, const char *text)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	lockfile_print(&b, lf);
	return str_find_str(buf_str(&b), str_of(text), 0) != SIZE_MAX;
}

static void test_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct arena a = ARENA_INIT(4096);
		struct request_importer im = { .path = STR_INIT(".") };
		struct request req = { .settings = settings_default(), .importer = &im, .nimporters = 1 };
		str pattern = settings[i].ignored ? str_of(settings[i].ignored) : STR_NONE;
		struct patch patch = { .selector = STR("o"), .hash = STR("aa") };
		struct lockfile lf, out;
		struct err e;

		req.settings.ignored_optional = (struct str_list){ &pattern, settings[i].ignored != NULL };
		req.settings.exclude_links_from_lockfile = settings[i].exclude_links;
		req.settings.patch = &patch;
		req.settings.npatch = settings[i].patch;
		int rc = lockfile_parse(&lf, str_of(settings[i].lock), STR("pnpm-lock.yaml"), &a, &e);
		rc = rc ? rc : manifest_parse(&im.manifest, str_of(settings[i].root), STR("package.json"), &a, &e);
		if (rc)
			fail_msg("%s: %s", settings[i].what, e.msg);
		bool done = lockfile_absorb(&out, &lf, &req, &a);
		if (done != (settings[i].has != NULL))
			fail_msg("%s: %s", settings[i].what, done ? "absorbed" : "left to a resolver");
		if (done && (!prints(&out, settings[i].has) || prints(&out, settings[i].lacks)))
			fail_msg("%s: another lockfile", settings[i].what);
		arena_release(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_settings) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
