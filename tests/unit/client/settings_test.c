/* settings_test — every setting that pnpm-workspace.yaml may have: one that is read is looked at by some code (the list
 * says which), one that is not implemented is refused with its place and what to do instead. */
#include "workspace_yaml.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Read, and where it is looked at. A name that the table has and this list has not fails the test:
 * write down who honours it. */
static const char *const honoured[][2] = {
	{ "packages", "project: importers" },
	{ "autoInstallPeers", "engine, satisfies" },
	{ "excludeLinksFromLockfile", "engine, satisfies" },
	{ "dedupePeerDependents", "engine" },
	{ "dedupePeers", "engine, satisfies" },
	{ "dedupeInjectedDeps", "engine" },
	{ "dedupeDirectDeps", "layout, pnpm_state" },
	{ "injectWorkspacePackages", "engine, satisfies" },
	{ "linkWorkspacePackages", "engine" },
	{ "preferWorkspacePackages", "engine" },
	{ "resolvePeersFromWorkspaceRoot", "engine" },
	{ "lockfileIncludeTarballUrl", "engine" },
	{ "blockExoticSubdeps", "engine" },
	{ "peersSuffixMaxLength", "engine, satisfies" },
	{ "autoInstallPeersFromHighestMatch", "engine" },
	{ "ignoreCompatibilityDb", "engine" },
	{ "resolutionMode", "engine" },
	{ "overrides", "engine, satisfies" },
	{ "catalog", "engine, satisfies" },
	{ "catalogs", "engine, satisfies" },
	{ "catalogPrune", "catalog_prune" },
	{ "cleanupUnusedCatalogs", "catalog_prune" },
	{ "packageExtensions", "engine, satisfies" },
	{ "patchedDependencies", "engine, satisfies, patch" },
	{ "allowUnusedPatches", "patch" },
	{ "ignoredOptionalDependencies", "engine, satisfies" },
	{ "allowedDeprecatedVersions", "engine" },
	{ "peerDependencyRules", "engine: peer_issues" },
	{ "strictPeerDependencies", "engine: peer_issues" },
	{ "minimumReleaseAge", "engine, install" },
	{ "minimumReleaseAgeExclude", "engine, policy" },
	{ "trustPolicy", "engine, policy" },
	{ "trustPolicyExclude", "engine, policy" },
	{ "trustPolicyIgnoreAfter", "engine, policy" },
	{ "trustLockfile", "install" },
	{ "minimumReleaseAgeStrict", "install" },
	{ "supportedArchitectures", "engine, source_locked" },
	{ "registries", "project" },
	{ "registry", "project" },
	{ "hoist", "install" },
	{ "hoistPattern", "hoist" },
	{ "publicHoistPattern", "hoist" },
	{ "shamefullyHoist", "hoist" },
	{ "hoistWorkspacePackages", "hoist" },
	{ "virtualStoreDirMaxLength", "tree, finish" },
	{ "storeDir", "main, finish" },
	{ "enableGlobalVirtualStore", "install_shared, gvs" },
	{ "packageImportMethod", "link" },
	{ "allowBuilds", "scripts" },
	{ "dangerouslyAllowAllBuilds", "scripts" },
	{ "strictDepBuilds", "install" },
	{ "engineStrict", "project, install" },
	{ "ignoreScripts", "main" },
	{ "enablePrePostScripts", "concerns `run`: an install's own stages are always run" },
	{ "scriptShell", "scripts" },
	{ "nodeOptions", "scripts" },
	{ "extendNodePath", "bins" },
	{ "sideEffectsCache", "nothing is cached: scripts run, with the same result" },
	{ "verifyStoreIntegrity", "main" },
	{ "offline", "install" },
	{ "preferOffline", "install" },
	{ "lockfile", "project, install" },
	{ "frozenLockfile", "main" },
	{ "preferFrozenLockfile", "main" },
	{ "optimisticRepeatInstall", "finish" },
	{ "includeWorkspaceRoot", "whole workspaces are installed, the root is in" },
	{ "ignoreWorkspaceCycles", "main" },
	{ "disallowWorkspaceCycles", "main" },
	{ "nodeVersion", "project" },
	{ "networkConcurrency", "net_opts" },
	{ "childConcurrency", "scripts" },
	{ "fetchRetries", "net_opts" },
	{ "fetchRetryMintimeout", "net_opts" },
	{ "fetchRetryMaxtimeout", "net_opts" },
	{ "fetchTimeout", "net_opts" },
	{ "httpsProxy", "net_opts" },
	{ "httpProxy", "net_opts" },
	{ "proxy", "net_opts" },
	{ "noProxy", "net_opts" },
	{ "noproxy", "net_opts" },
	{ "userAgent", "net_opts, scripts" },
	{ "npmrcAuthFile", "project: of the machine or a variable only" },
	{ "failIfNoMatch", "main" },
	{ "packageLock", "as lockfile" },
	{ "runtimeOnFail", "refused when it is to download" },
	{ "pmOnFail", "env_document" },
	{ "drayServer", "main" },
	{ "drayServerFallback", "main" },
	{ "drayBadPack", "pack_policy" },
	{ "drayMaterialization", "pack_policy" },
	{ "configDependencies", "refused when there are any" },
};

static bool is_honoured(const char *name)
{
	for (size_t i = 0; i < sizeof(honoured) / sizeof(honoured[0]); i++) {
		if (strcmp(honoured[i][0], name) == 0)
			return true;
	}
	return false;
}

static int parse_one(const char *name, const char *value, struct workspace_yaml *w, struct arena *a, struct err *e)
{
	str text = arena_printf(a, "# first line\n%s: %s\n", name, value);

	workspace_yaml_init(w);
	return workspace_yaml_parse(w, text, STR("pnpm-workspace.yaml"), a, e);
}

static void test_table(void **state)
{
	enum setting_kind kind;
	const char *name;
	(void)state;

	for (size_t i = 0; (name = workspace_yaml_setting(i, &kind)); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		if (kind == SETTING_READ && !is_honoured(name))
			fail_msg("%s is read, and nobody says who honours it", name);
		if (kind != SETTING_READ && is_honoured(name))
			fail_msg("%s is listed and not read", name);
		if (kind != SETTING_REFUSED)
			continue;
		str place = arena_printf(&a, "pnpm-workspace.yaml:2:%zu: %s: ", strlen(name) + 3, name);
		int rc = parse_one(name, "someOther", &w, &a, &e);
		const char *why = rc == 0 && w.client.no_tree.n ? w.client.no_tree.p : e.msg;
		if ((rc != ERR_UNSUPPORTED && why == e.msg) || strncmp(why, place.p, place.n) != 0)
			fail_msg("%s: code %d, %s", name, rc, why);
		const char *fix = strstr(why, "is not supported by dray: ");
		if (!fix || strlen(fix) < 30)
			fail_msg("%s: no remedy: %s", name, why);
	}
}

/* A default that is written down is no reason to refuse. */
static void test_defaults_pass(void **state)
{
	static const char *const same[][2] = { { "nodeLinker", "isolated" }, { "modulesDir", "node_modules" },
		{ "virtualStoreDir", "node_modules/.pnpm" }, { "symlink", "true" },
		{ "strictPeerDependencies", "false" }, { "engineStrict", "false" },
		{ "virtualStoreDirMaxLength", "120" }, { "trustPolicyExclude", "[]" }, { "trustPolicy", "off" } };
	(void)state;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		if (parse_one(same[i][0], same[i][1], &w, &a, &e) != 0)
			fail_msg("%s: %s", same[i][0], e.msg);
	}
}

/* What only node_modules depends on leaves a lockfile possible. */
static void test_no_tree(void **state)
{
	static const char *const of_tree[][2] = { { "nodeLinker", "hoisted" }, { "modulesDir", "elsewhere" },
		{ "symlink", "false" }, { "production", "true" } };
	static const char *const of_lockfile[][2] = { { "sharedWorkspaceLockfile", "false" }, { "lockfileDir", ".." },
		{ "tag", "next" } };
	(void)state;

	for (size_t i = 0; i < sizeof(of_tree) / sizeof(of_tree[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		assert_int_equal(parse_one(of_tree[i][0], of_tree[i][1], &w, &a, &e), 0);
		assert_true(w.client.no_tree.n > 0);
	}
	for (size_t i = 0; i < sizeof(of_lockfile) / sizeof(of_lockfile[0]); i++) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct workspace_yaml w;
		struct err e = { 0 };
		assert_int_equal(parse_one(of_lockfile[i][0], of_lockfile[i][1], &w, &a, &e), ERR_UNSUPPORTED);
		assert_int_equal(w.client.no_tree.n, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_defaults_pass),
		cmocka_unit_test(test_no_tree) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
