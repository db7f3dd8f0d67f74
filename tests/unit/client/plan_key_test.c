/* plan_key_test — which settings are part of the key of what is kept: every one that is read is listed here, with a
 * value that is not its default and whether it changes what an install makes. And kept plans themselves: whole,
 * bounded, ignored when they are spoiled, let go by prune. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "temp.h"
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kept.h"
#include "kept_plan.h"
#include "plan_key.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name, *value;
	bool counts;
} settings[] = {
	{ "packages", "[sub]", true },
	{ "autoInstallPeers", "false", true },
	{ "excludeLinksFromLockfile", "true", true },
	{ "dedupePeerDependents", "false", true },
	{ "dedupePeers", "true", true },
	{ "dedupeInjectedDeps", "false", true },
	{ "dedupeDirectDeps", "true", true },
	{ "injectWorkspacePackages", "true", true },
	{ "linkWorkspacePackages", "true", true },
	{ "preferWorkspacePackages", "true", true },
	{ "resolvePeersFromWorkspaceRoot", "false", true },
	{ "lockfileIncludeTarballUrl", "true", true },
	{ "blockExoticSubdeps", "false", true },
	{ "peersSuffixMaxLength", "500", true },
	{ "autoInstallPeersFromHighestMatch", "true", true },
	{ "ignoreCompatibilityDb", "true", true },
	{ "resolutionMode", "time-based", true },
	{ "overrides", "{x: 1.0.0}", true },
	{ "catalog", "{x: 1.0.0}", true },
	{ "catalogs", "{a: {x: 1.0.0}}", true },
	{ "catalogPrune", "true", false },
	{ "cleanupUnusedCatalogs", "true", false },
	{ "packageExtensions", "{x: {dependencies: {y: 1.0.0}}}", true },
	{ "patchedDependencies", "{x: x.patch}", true },
	{ "allowUnusedPatches", "true", true },
	{ "ignoredOptionalDependencies", "[x]", true },
	{ "allowedDeprecatedVersions", "{x: 1}", true },
	{ "peerDependencyRules", "{ignoreMissing: [x]}", true },
	{ "strictPeerDependencies", "true", true },
	{ "minimumReleaseAge", "5", true },
	{ "minimumReleaseAgeExclude", "[x]", true },
	{ "trustPolicy", "no-downgrade", true },
	{ "trustPolicyExclude", "[x]", true },
	{ "trustPolicyIgnoreAfter", "60", true },
	{ "trustLockfile", "true", true },
	{ "minimumReleaseAgeStrict", "true", true },
	{ "supportedArchitectures", "{os: [darwin]}", true },
	{ "registries", "{default: 'http://registry.test:81/'}", false },
	{ "registry", "http://registry.test:81/", false },
	{ "hoist", "false", true },
	{ "hoistPattern", "[x]", true },
	{ "publicHoistPattern", "[x]", true },
	{ "shamefullyHoist", "true", true },
	{ "hoistWorkspacePackages", "false", true },
	{ "virtualStoreDirMaxLength", "60", true },
	{ "storeDir", "/nowhere", true },
	{ "enableGlobalVirtualStore", "true", true },
	{ "packageImportMethod", "copy", true },
	{ "allowBuilds", "{x: true}", true },
	{ "dangerouslyAllowAllBuilds", "true", true },
	{ "strictDepBuilds", "false", true },
	{ "ignoreScripts", "true", true },
	{ "enablePrePostScripts", "false", true },
	{ "engineStrict", "true", true },
	{ "scriptShell", "/bin/bash", true },
	{ "nodeOptions", "--no-warnings", true },
	{ "extendNodePath", "false", true },
	{ "sideEffectsCache", "false", true },
	{ "verifyStoreIntegrity", "false", false },
	{ "offline", "true", false },
	{ "preferOffline", "true", false },
	{ "lockfile", "false", true },
	{ "frozenLockfile", "true", false },
	{ "preferFrozenLockfile", "false", false },
	{ "optimisticRepeatInstall", "false", true },
	{ "includeWorkspaceRoot", "true", true },
	{ "ignoreWorkspaceCycles", "true", false },
	{ "disallowWorkspaceCycles", "true", false },
	{ "nodeVersion", "1.2.3", true },
	{ "networkConcurrency", "3", false },
	{ "childConcurrency", "3", false },
	{ "fetchRetries", "7", false },
	{ "fetchRetryMintimeout", "77", false },
	{ "fetchRetryMaxtimeout", "777", false },
	{ "fetchTimeout", "7777", false },
	{ "httpsProxy", "http://proxy.test/", false },
	{ "httpProxy", "http://proxy.test/", false },
	{ "proxy", "http://proxy.test/", false },
	{ "noProxy", "x.test", false },
	{ "noproxy", "x.test", false },
	{ "userAgent", "x", false },
	{ "npmrcAuthFile", "other.npmrc", false },
	{ "failIfNoMatch", "true", false },
	{ "packageLock", "false", true },
	{ "runtimeOnFail", "warn", false },
	{ "pmOnFail", "ignore", true },
	{ "drayServer", "http://plans.test/", false },
	{ "drayServerFallback", "error", false },
	{ "drayBadPack", "stop", false },
	{ "drayMaterialization", "registry", false },
	{ "configDependencies", "{}", false },
};

struct place {
	char dir[TEMP_PATH], home[96];
};

static void put(const struct place *at, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", at->dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	struct place *at = xcalloc(1, sizeof(*at));

	temp_make(at->dir);
	snprintf(at->home, sizeof(at->home), "HOME=%s", at->dir);
	put(at, "package.json", "{\"name\":\"x\",\"version\":\"1.0.0\"}");
	put(at, "x.patch", "");
	put(at, "other.npmrc", "");
	char sub[80];
	snprintf(sub, sizeof(sub), "%s/sub", at->dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	put(at, "sub/package.json", "{\"name\":\"sub\",\"version\":\"1.0.0\"}");
	*state = at;
	return 0;
}

static int tear_down(void **state)
{
	struct place *at = *state;

	temp_remove(at->dir);
	free(at);
	return 0;
}

static void key_of(uint8_t key[32], struct place *at, const char *yaml, const char *npmrc, bool prod)
{
	char *env[] = { at->home, NULL };
	struct project_opts o = { .dir = str_of(at->dir), .env = env, .unparsed = true };
	struct project p;
	struct err e = { 0 };

	put(at, "pnpm-workspace.yaml", yaml);
	put(at, ".npmrc", npmrc);
	if (project_load(&p, &o, &e) < 0)
		fail_msg("%s: %s", yaml, e.msg);
	struct request req = p.req;
	req.dev = !prod;
	struct plan_key_input in = { .project = &p, .req = &req, .store_dir = STR("/store") };
	plan_key_base(key, &in);
	project_release(&p);
}

static const char usual[] = "registry=http://registry.test/\n";

static bool same(struct place *at, const char *yaml, const char *npmrc, bool prod)
{
	uint8_t was[32], is[32];

	key_of(was, at, "", usual, false);
	key_of(is, at, yaml, npmrc, prod);
	return memcmp(was, is, 32) == 0;
}

static void test_every_setting(void **state)
{
	enum setting_kind kind;
	const char *name;

	for (size_t i = 0; (name = workspace_yaml_setting(i, &kind)); i++) {
		size_t k = 0;
		char yaml[256];
		if (kind != SETTING_READ)
			continue;
		while (k < N(settings) && strcmp(settings[k].name, name) != 0)
			k++;
		if (k == N(settings))
			fail_msg("%s is read, and nobody says whether it is part of the key", name);
		snprintf(yaml, sizeof(yaml), "%s: %s\n", name, settings[k].value);
		if (same(*state, yaml, usual, false) == settings[k].counts)
			fail_msg("%s %s the key", name, settings[k].counts ? "must change" : "must not change");
	}
}

static void test_the_rest(void **state)
{
	struct place *at = *state;

	assert_true(same(at, "", usual, false));
	assert_true(same(at, "", "registry=http://registry.test:4873/\n//registry.test:4873/:_authToken=x\n", false));
	assert_true(same(at, "# words\n", "@scope:registry=http://scope.test/\n", false));
	assert_false(same(at, "", usual, true));
	uint8_t was[32], is[32];
	key_of(was, at, "", usual, false);
	put(at, "package.json", "{\"name\":\"x\",\"version\":\"1.0.1\"}");
	key_of(is, at, "", usual, false);
	assert_memory_not_equal(was, is, 32);
	const uint8_t lock[2][32] = { { 1 }, { 2 } };
	uint8_t key[4][32];
	plan_key(key[0], was, PLAN_LOCKFILE, lock[0]);
	plan_key(key[1], was, PLAN_LOCKFILE, lock[1]);
	plan_key(key[2], was, PLAN_IMAGE, lock[0]);
	plan_key(key[3], is, PLAN_LOCKFILE, lock[0]);
	for (int i = 1; i < 4; i++)
		assert_memory_not_equal(key[0], key[i], 32);
}

/* ---- what is kept ---- */

static const char lockfile[] =
	"lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: "
	"false\n\noverrides:\n  y: 2.0.0\n\nimporters:\n\n  .:\n    dependencies:\n      x:\n"
	"        specifier: ^1.0.0\n        version: 1.0.0(y@2.0.0)\n\npackages:\n\n  x@1.0.0:\n"
	"    resolution: {integrity: sha512-AAAA}\n    engines: {node: '>=1'}\n    os: [linux]\n"
	"    hasBin: true\n    peerDependencies:\n      y: '*'\n\n  y@2.0.0:\n"
	"    resolution: {integrity: sha512-BBBB}\n    deprecated: old\n\nsnapshots:\n\n"
	"  x@1.0.0(y@2.0.0):\n    dependencies:\n      y: 2.0.0\n\n  y@2.0.0:\n    optional: true\n";

static void test_plan_whole_or_absent(void **state)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf plan = BUF_INIT, text = BUF_INIT;
	const uint8_t mark[2] = { 2, 1 };
	struct kept_plan back;
	struct lockfile lf;
	struct err e = { 0 };
	(void)state;

	assert_int_equal(lockfile_parse(&lf, str_of(lockfile), STR("x"), &a, &e), 0);
	kept_plan_print(&plan, &(struct kept_plan){ lf, mark });
	assert_int_equal(kept_plan_parse(&back, buf_str(&plan), &a, &e), 0);
	lockfile_print(&text, &back.lf);
	assert_memory_equal(back.mark, mark, 2);
	assert_true(str_eq(buf_str(&text), str_of(lockfile)));
	for (size_t cut = 0; cut < plan.n; cut++)
		assert_int_equal(kept_plan_parse(&back, (str){ plan.p, cut }, &a, &e), ERR_PARSE);
	for (size_t i = 0; i < plan.n; i++) {
		plan.p[i] ^= 1;
		assert_int_equal(kept_plan_parse(&back, buf_str(&plan), &a, &e), ERR_PARSE);
		plan.p[i] ^= 1;
	}
}

static void test_kept_and_pruned(void **state)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct place *at = *state;
	uint8_t key[32] = { 7 };
	char path[256], name[65];
	struct err e = { 0 };

	assert_false(kept_get(&b, at->dir, key));
	assert_int_equal(kept_put(at->dir, key, STR("words"), &e), 0);
	assert_true(kept_get(&b, at->dir, key) && str_eq(buf_str(&b), STR("words")));
	assert_int_equal(kept_prune(at->dir, 60, false), 0);
	snprintf(name, sizeof(name), "07%062d", 0);
	snprintf(path, sizeof(path), "%s/plans/%s", at->dir, name);
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	assert_int_equal(kept_prune(at->dir, 60, true), 1);
	assert_int_equal(access(path, F_OK), 0);
	buf_clear(&b);
	assert_true(kept_get(&b, at->dir, key)); /* used again: it stays */
	assert_int_equal(kept_prune(at->dir, 60, false), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	assert_int_equal(kept_prune(at->dir, 60, false), 1);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_true(kept_put("/dev/null", key, STR("words"), &e) < 0); /* nowhere to write: an error, and no more */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_every_setting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_rest, set_up, tear_down),
		cmocka_unit_test(test_plan_whole_or_absent),
		cmocka_unit_test_setup_teardown(test_kept_and_pruned, set_up, tear_down) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
