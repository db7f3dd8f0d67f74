/* absorb_test — what a lockfile is made to fit without a resolver, and what is left to one; pnpm 12.21 does the same for the same files. */
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
