#include "workspace_yaml.h"
#include "package_extensions.h"
#include "yaml_load.h"
#include <stddef.h>

typedef int setter(struct setting_ctx *c, const struct yaml_node *n);

/* What a key is. BOOL to LIST are stored at an offset in struct workspace_yaml. */
enum kind {
	KIND_BOOL,
	KIND_U32,
	KIND_U64,
	KIND_STR,
	KIND_LIST,
	KIND_CALL,   /* a function of its own */
	KIND_OTHER,  /* pnpm knows it, an install does not depend on it */
	KIND_REFUSE, /* changes the result and is not implemented: only OK (its default) passes; NULL: nothing does */
};
struct known {
	const char *name;
	enum kind kind;
	size_t at;
	setter *set;
	const char *ok, *fix; /* of KIND_REFUSE: FIX is what the user can do instead */
};

static void warn(struct setting_ctx *c, str text)
{
	struct str_list *l = &c->w->warnings;
	str *p = arena_new(c->a, str, l->n + 1);

	if (l->n)
		memcpy(p, l->p, l->n * sizeof(*p));
	p[l->n] = text;
	*l = (struct str_list){ p, l->n + 1 };
}

/* ---- settings with a shape of their own ---- */

static int set_link_workspace(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;

	s->link_workspace_packages_deep = yaml_is_scalar(n) && str_eq(n->s, STR("deep"));
	if (!s->link_workspace_packages_deep)
		return setting_get_bool(c, "linkWorkspacePackages", n, &s->link_workspace_packages);
	s->link_workspace_packages = true;
	return 0;
}

static int set_resolution_mode(struct setting_ctx *c, const struct yaml_node *n)
{
	unsigned i;
	int rc = setting_get_one_of(
		c, "resolutionMode", n, (const char *const[]){ "highest", "time-based", "lowest-direct", NULL }, &i);

	if (rc == 0)
		c->w->settings.resolution_mode = (enum resolution_mode)i;
	return rc;
}

static int set_import_method(struct setting_ctx *c, const struct yaml_node *n)
{
	unsigned i;
	int rc = setting_get_one_of(c, "packageImportMethod", n,
		(const char *const[]){ "auto", "hardlink", "copy", "clone", "clone-or-copy", NULL }, &i);

	if (rc == 0)
		c->w->client.import_method = (enum import_method)i;
	return rc;
}

static int set_release_age(struct setting_ctx *c, const struct yaml_node *n)
{
	c->w->settings.minimum_release_age_set = true;
	return setting_get_u64(c, "minimumReleaseAge", n, UINT32_MAX, &c->w->settings.minimum_release_age);
}

static int set_trust_policy(struct setting_ctx *c, const struct yaml_node *n)
{
	unsigned i;
	int rc = setting_get_one_of(c, "trustPolicy", n, (const char *const[]){ "off", "no-downgrade", NULL }, &i);

	if (rc == 0)
		c->w->settings.trust_policy = (enum trust_policy)i;
	return rc;
}

static int set_trust_ignore_after(struct setting_ctx *c, const struct yaml_node *n)
{
	uint64_t v = 0;
	int rc = setting_get_u64(c, "trustPolicyIgnoreAfter", n, UINT32_MAX, &v);

	if (rc == 0 && v == 0)
		return setting_bad(c, n, "trustPolicyIgnoreAfter", "0 would ignore everything; set trustPolicy: off");
	if (rc == 0)
		c->w->settings.trust_policy_ignore_after = v;
	return rc;
}

static int set_age_strict(struct setting_ctx *c, const struct yaml_node *n)
{
	c->w->client.age_strict_set = true;
	return setting_get_bool(c, "minimumReleaseAgeStrict", n, &c->w->client.age_strict);
}

/* A folder's name that is longer ends in a hash of 32 characters and a "_"; file systems take 255 bytes. */
static int set_dir_max(struct setting_ctx *c, const struct yaml_node *n)
{
	uint64_t v = 0;
	int rc = setting_get_u64(c, "virtualStoreDirMaxLength", n, UINT32_MAX, &v);

	if (rc == 0 && (v < 34 || v > 255))
		return setting_bad(c, n, "virtualStoreDirMaxLength", "expected a number from 34 to 255");
	if (rc == 0)
		c->w->client.virtual_store_dir_max_length = (uint32_t)v;
	return rc;
}

static int set_packages(struct setting_ctx *c, const struct yaml_node *n)
{
	c->w->has_packages = true;
	return setting_get_list(c, "packages", n, &c->w->packages);
}

static void add_catalog(struct setting_ctx *c, str catalog, struct str_map m)
{
	struct settings *s = &c->w->settings;
	struct catalog_entry *p = arena_new(c->a, struct catalog_entry, s->ncatalog + m.n);

	if (s->ncatalog)
		memcpy(p, s->catalog, s->ncatalog * sizeof(*p));
	for (size_t i = 0; i < m.n; i++)
		p[s->ncatalog++] = (struct catalog_entry){ catalog, m.p[i].k, m.p[i].v };
	s->catalog = p;
}

static int set_catalog(struct setting_ctx *c, const struct yaml_node *n)
{
	struct str_map m = { 0 };
	int rc = setting_get_map(c, "catalog", n, &m);

	if (rc == 0)
		add_catalog(c, STR("default"), m);
	return rc;
}

static int set_catalogs(struct setting_ctx *c, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return n->kind == YAML_KIND_NONE ? 0 : setting_bad(c, n, "catalogs", "expected a map");
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		struct str_map entries = { 0 };
		int rc = setting_get_map(c, "catalogs", m, &entries);
		if (rc)
			return rc;
		add_catalog(c, m->key, entries);
	}
	return 0;
}

static int set_overrides(struct setting_ctx *c, const struct yaml_node *n)
{
	return setting_get_map(c, "overrides", n, &c->w->settings.overrides);
}

static int set_patches(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;
	struct str_map m = { 0 };
	int rc = setting_get_map(c, "patchedDependencies", n, &m);

	if (rc)
		return rc;
	s->patch = arena_new(c->a, struct patch, m.n);
	s->npatch = m.n;
	for (size_t i = 0; i < m.n; i++)
		s->patch[i] = (struct patch){ .selector = m.p[i].k, .path = m.p[i].v };
	return 0;
}

static int set_allow_builds(struct setting_ctx *c, const struct yaml_node *n)
{
	struct client_settings *s = &c->w->client;

	if (n->kind != YAML_KIND_MAP)
		return n->kind == YAML_KIND_NONE ? 0 : setting_bad(c, n, "allowBuilds", "expected a map");
	s->allow_build = arena_new(c->a, struct allow_build, n->n);
	s->nallow_build = 0;
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		struct allow_build b = { .key = m->key };
		if (yaml_bool(m, &b.allow))
			s->allow_build[s->nallow_build++] = b;
		else if (!yaml_is_scalar(m)) /* text is pnpm's placeholder: not decided yet */
			return setting_bad(c, m, "allowBuilds", "expected true or false");
	}
	return 0;
}

static int set_peer_rules(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;
	const struct yaml_node *m;
	int rc = 0;

	if ((m = yaml_get(n, STR("ignoreMissing"))))
		rc = setting_get_list(c, "peerDependencyRules.ignoreMissing", m, &s->peer_ignore_missing);
	if (rc == 0 && (m = yaml_get(n, STR("allowAny"))))
		rc = setting_get_list(c, "peerDependencyRules.allowAny", m, &s->peer_allow_any);
	if (rc == 0 && (m = yaml_get(n, STR("allowedVersions"))))
		rc = setting_get_map(c, "peerDependencyRules.allowedVersions", m, &s->peer_allowed_versions);
	return rc;
}

static int set_allowed_deprecated(struct setting_ctx *c, const struct yaml_node *n)
{
	return setting_get_map(c, "allowedDeprecatedVersions", n, &c->w->settings.allowed_deprecated);
}

static int set_architectures(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;
	const struct yaml_node *m;
	int rc = 0;

	if ((m = yaml_get(n, STR("os"))))
		rc = setting_get_list(c, "supportedArchitectures.os", m, &s->supported_os);
	if (rc == 0 && (m = yaml_get(n, STR("cpu"))))
		rc = setting_get_list(c, "supportedArchitectures.cpu", m, &s->supported_cpu);
	if (rc == 0 && (m = yaml_get(n, STR("libc"))))
		rc = setting_get_list(c, "supportedArchitectures.libc", m, &s->supported_libc);
	return rc;
}

static str with_slash(struct arena *a, str url)
{
	return str_ends(url, STR("/")) ? url : arena_printf(a, STR_FMT "/", STR_ARG(url));
}

/* registries: {default: url, "@scope": url}. */
static int set_registries(struct setting_ctx *c, const struct yaml_node *n)
{
	struct settings *s = &c->w->settings;
	struct str_map m = { 0 };
	int rc = setting_get_map(c, "registries", n, &m);

	if (rc)
		return rc;
	struct registry_route *p = arena_new(c->a, struct registry_route, s->nregistry + m.n);
	if (s->nregistry)
		memcpy(p, s->registry, s->nregistry * sizeof(*p));
	for (size_t i = 0; i < m.n; i++) {
		if (str_eq(m.p[i].k, STR("default")))
			c->w->registry = with_slash(c->a, m.p[i].v);
		else if (str_starts(m.p[i].k, STR("@")))
			p[s->nregistry++] = (struct registry_route){ m.p[i].k, with_slash(c->a, m.p[i].v) };
		else
			return setting_bad(
				c, n, "registries", "expected \"default\" or a scope that starts with \"@\"");
	}
	s->registry = p;
	return 0;
}

static int set_registry(struct setting_ctx *c, const struct yaml_node *n)
{
	str url;
	int rc = setting_get_str(c, "registry", n, &url);

	if (rc == 0)
		c->w->registry = with_slash(c->a, url);
	return rc;
}

static int set_frozen(struct setting_ctx *c, const struct yaml_node *n)
{
	c->w->client.frozen_lockfile_set = true;
	return setting_get_bool(c, "frozenLockfile", n, &c->w->client.frozen_lockfile);
}

static int set_config_dependencies(struct setting_ctx *c, const struct yaml_node *n)
{
	if (n->n == 0)
		return 0;
	return err_set(c->e, ERR_UNSUPPORTED,
		STR_FMT ":%u: configDependencies are not supported by dray: remove them, or use pnpm", STR_ARG(c->path),
		n->line);
}

/* ---- the table ---- */

#define S(field) offsetof(struct workspace_yaml, settings.field)
#define C(field) offsetof(struct workspace_yaml, client.field)
/* Sorted by nothing: about 150 entries, looked up once per key of a small file. */
static const struct known known[] = {
	{ "packages", KIND_CALL, .set = set_packages },
	{ "autoInstallPeers", KIND_BOOL, .at = S(auto_install_peers) },
	{ "excludeLinksFromLockfile", KIND_BOOL, .at = S(exclude_links_from_lockfile) },
	{ "dedupePeerDependents", KIND_BOOL, .at = S(dedupe_peer_dependents) },
	{ "dedupePeers", KIND_BOOL, .at = S(dedupe_peers) },
	{ "dedupeInjectedDeps", KIND_BOOL, .at = S(dedupe_injected_deps) },
	{ "injectWorkspacePackages", KIND_BOOL, .at = S(inject_workspace_packages) },
	{ "linkWorkspacePackages", KIND_CALL, .set = set_link_workspace },
	{ "preferWorkspacePackages", KIND_BOOL, .at = S(prefer_workspace_packages) },
	{ "resolvePeersFromWorkspaceRoot", KIND_BOOL, .at = S(resolve_peers_from_workspace_root) },
	{ "lockfileIncludeTarballUrl", KIND_BOOL, .at = S(lockfile_include_tarball_url) },
	{ "blockExoticSubdeps", KIND_BOOL, .at = S(block_exotic_subdeps) },
	{ "peersSuffixMaxLength", KIND_U32, .at = S(peers_suffix_max_length) },
	{ "resolutionMode", KIND_CALL, .set = set_resolution_mode },
	{ "overrides", KIND_CALL, .set = set_overrides },
	{ "catalog", KIND_CALL, .set = set_catalog },
	{ "catalogs", KIND_CALL, .set = set_catalogs },
	{ "packageExtensions", KIND_CALL, .set = package_extensions_set },
	{ "patchedDependencies", KIND_CALL, .set = set_patches },
	{ "allowUnusedPatches", KIND_BOOL, .at = S(allow_unused_patches) },
	{ "ignoredOptionalDependencies", KIND_LIST, .at = S(ignored_optional) },
	{ "allowedDeprecatedVersions", KIND_CALL, .set = set_allowed_deprecated },
	{ "peerDependencyRules", KIND_CALL, .set = set_peer_rules },
	{ "minimumReleaseAge", KIND_CALL, .set = set_release_age },
	{ "minimumReleaseAgeExclude", KIND_LIST, .at = S(minimum_release_age_exclude) },
	{ "trustPolicy", KIND_CALL, .set = set_trust_policy },
	{ "trustPolicyExclude", KIND_LIST, .at = S(trust_policy_exclude) },
	{ "trustPolicyIgnoreAfter", KIND_CALL, .set = set_trust_ignore_after },
	{ "trustLockfile", KIND_BOOL, .at = C(trust_lockfile) },
	{ "supportedArchitectures", KIND_CALL, .set = set_architectures },
	{ "registries", KIND_CALL, .set = set_registries },
	{ "registry", KIND_CALL, .set = set_registry },

	{ "hoist", KIND_BOOL, .at = C(hoist) },
	{ "hoistPattern", KIND_LIST, .at = C(hoist_pattern) },
	{ "publicHoistPattern", KIND_LIST, .at = C(public_hoist_pattern) },
	{ "shamefullyHoist", KIND_BOOL, .at = C(shamefully_hoist) },
	{ "hoistWorkspacePackages", KIND_BOOL, .at = C(hoist_workspace_packages) },
	{ "virtualStoreDirMaxLength", KIND_CALL, .set = set_dir_max },
	{ "storeDir", KIND_STR, .at = C(store_dir) },
	{ "packageImportMethod", KIND_CALL, .set = set_import_method },
	{ "allowBuilds", KIND_CALL, .set = set_allow_builds },
	{ "dangerouslyAllowAllBuilds", KIND_BOOL, .at = C(dangerously_allow_all_builds) },
	{ "strictDepBuilds", KIND_BOOL, .at = C(strict_dep_builds) },
	{ "ignoreScripts", KIND_BOOL, .at = C(ignore_scripts) },
	{ "enablePrePostScripts", KIND_BOOL, .at = C(enable_pre_post_scripts) },
	{ "scriptShell", KIND_STR, .at = C(script_shell) },
	{ "nodeOptions", KIND_STR, .at = C(node_options) },
	{ "extendNodePath", KIND_BOOL, .at = C(extend_node_path) },
	{ "sideEffectsCache", KIND_BOOL, .at = C(side_effects_cache) },
	{ "verifyStoreIntegrity", KIND_BOOL, .at = C(verify_store_integrity) },
	{ "offline", KIND_BOOL, .at = C(offline) },
	{ "preferOffline", KIND_BOOL, .at = C(prefer_offline) },
	{ "lockfile", KIND_BOOL, .at = C(lockfile) },
	{ "frozenLockfile", KIND_CALL, .set = set_frozen },
	{ "preferFrozenLockfile", KIND_BOOL, .at = C(prefer_frozen_lockfile) },
	{ "optimisticRepeatInstall", KIND_BOOL, .at = C(optimistic_repeat_install) },
	{ "includeWorkspaceRoot", KIND_BOOL, .at = C(include_workspace_root) },
	{ "nodeVersion", KIND_STR, .at = C(node_version) },
	{ "networkConcurrency", KIND_U32, .at = C(network_concurrency) },
	{ "childConcurrency", KIND_U32, .at = C(child_concurrency) },
	{ "fetchRetries", KIND_U32, .at = C(fetch_retries) },
	{ "fetchRetryMintimeout", KIND_U64, .at = C(fetch_retry_min_ms) },
	{ "fetchRetryMaxtimeout", KIND_U64, .at = C(fetch_retry_max_ms) },
	{ "fetchTimeout", KIND_U64, .at = C(fetch_timeout_ms) },
	{ "httpsProxy", KIND_STR, .at = C(https_proxy) },
	{ "httpProxy", KIND_STR, .at = C(http_proxy) },
	{ "proxy", KIND_STR, .at = C(https_proxy) },
	{ "noProxy", KIND_STR, .at = C(no_proxy) },
	{ "noproxy", KIND_STR, .at = C(no_proxy) },
	{ "enableGlobalVirtualStore", KIND_BOOL, .at = C(enable_global_virtual_store) },
	{ "userAgent", KIND_STR, .at = C(user_agent) },
	{ "npmrcAuthFile", KIND_STR, .at = C(npmrc_auth_file) },
	{ "minimumReleaseAgeStrict", KIND_CALL, .set = set_age_strict },
	{ "pmOnFail", KIND_STR, .at = C(pm_on_fail) },
	{ "drayServer", KIND_STR, .at = C(dray_server) },
	{ "drayServerFallback", KIND_STR, .at = C(dray_server_fallback) },
	{ "drayBadPack", KIND_STR, .at = C(dray_bad_pack) },
	{ "drayMaterialization", KIND_STR, .at = C(dray_materialization) },

	{ "nodeLinker", KIND_REFUSE, .ok = "isolated",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "symlink", KIND_REFUSE, .ok = "true",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "enablePnp", KIND_REFUSE, .ok = "false",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "enableModulesDir", KIND_REFUSE, .ok = "true", .fix = "use --lockfile-only" },
	{ "nodeExperimentalPackageMap", KIND_REFUSE, .ok = "false",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "hoistingLimits", KIND_REFUSE, .ok = "none",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "externalDependencies", KIND_REFUSE, .ok = NULL,
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "modulesDir", KIND_REFUSE, .ok = "node_modules",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "virtualStoreDir", KIND_REFUSE, .ok = "node_modules/.pnpm",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "virtualStoreOnly", KIND_REFUSE, .ok = "false",
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "virtualStoreType", KIND_REFUSE, .ok = NULL,
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "globalVirtualStoreDir", KIND_REFUSE, .ok = NULL,
		.fix = "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the "
		       "setting" },
	{ "preferSymlinkedExecutables", KIND_REFUSE, .ok = "false", .fix = "remove it: commands are shell shims" },
	{ "dedupeDirectDeps", KIND_REFUSE, .ok = "false",
		.fix = "remove it: each project gets links to all of its own dependencies" },
	{ "strictPeerDependencies", KIND_BOOL, .at = S(strict_peer_dependencies) },
	{ "autoInstallPeersFromHighestMatch", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "engineStrict", KIND_REFUSE, .ok = "false",
		.fix = "remove it: engines are not checked for packages that are not optional" },
	{ "ignoreCompatibilityDb", KIND_REFUSE, .ok = "false",
		.fix = "remove it: pnpm's compatibility database is always applied" },
	{ "configDependencies", KIND_CALL, .set = set_config_dependencies },
	{ "pnpmfile", KIND_REFUSE, .ok = NULL, .fix = "hooks are not run; say it with overrides or packageExtensions" },
	{ "globalPnpmfile", KIND_REFUSE, .ok = NULL,
		.fix = "hooks are not run; say it with overrides or packageExtensions" },
	{ "lockfileDir", KIND_REFUSE, .ok = NULL, .fix = "the lockfile lies beside pnpm-workspace.yaml" },
	{ "sharedWorkspaceLockfile", KIND_REFUSE, .ok = "true",
		.fix = "a workspace has one lockfile; install with --ignore-workspace for one of its own" },
	{ "recursiveInstall", KIND_REFUSE, .ok = "true", .fix = "a workspace is installed as a whole" },
	{ "gitBranchLockfile", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "mergeGitBranchLockfiles", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "mergeGitBranchLockfilesBranchPattern", KIND_REFUSE, .ok = NULL, .fix = "remove it" },
	{ "namedRegistries", KIND_REFUSE, .ok = NULL, .fix = "route scopes under registries" },
	{ "minimumReleaseAgeIgnoreMissingTime", KIND_REFUSE, .ok = "true",
		.fix = "remove it: versions without a publish time pass" },
	{ "frozenStore", KIND_REFUSE, .ok = "false", .fix = "remove it: dray's store must be writable" },
	{ "sideEffectsCacheReadonly", KIND_REFUSE, .ok = "false",
		.fix = "remove it: results of build scripts are not cached" },
	{ "packageConfigs", KIND_REFUSE, .ok = NULL, .fix = "settings are the workspace's" },
	{ "scriptsPrependNodePath", KIND_REFUSE, .ok = "false", .fix = "put node first into PATH" },
	{ "shellEmulator", KIND_REFUSE, .ok = "false", .fix = "set scriptShell" },
	{ "executionEnv", KIND_REFUSE, .ok = NULL, .fix = "scripts run with the node of PATH" },
	{ "syncInjectedDepsAfterScripts", KIND_REFUSE, .ok = NULL, .fix = "run dray install after the scripts" },
	{ "nodeDownloadMirrors", KIND_REFUSE, .ok = NULL, .fix = "dray installs no node" },
	{ "disallowWorkspaceCycles", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "strictSsl", KIND_REFUSE, .ok = "true", .fix = "put it into .npmrc as strict-ssl" },
	{ "ca", KIND_REFUSE, .ok = NULL, .fix = "put it into .npmrc" },
	{ "cafile", KIND_REFUSE, .ok = NULL, .fix = "put it into .npmrc" },
	{ "cert", KIND_REFUSE, .ok = NULL, .fix = "client certificates are not supported; use a token" },
	{ "key", KIND_REFUSE, .ok = NULL, .fix = "client certificates are not supported; use a token" },
	{ "localAddress", KIND_REFUSE, .ok = NULL, .fix = "remove it" },
	{ "ci", KIND_REFUSE, .ok = NULL, .fix = "set CI in the environment" },

#define OTHER(n)                                                                                                       \
	{                                                                                                              \
		n, KIND_OTHER, .at = 0                                                                                 \
	}
	OTHER("$schema"),
	OTHER("globalShims"),
	OTHER("modulesCacheMaxAge"),
	OTHER("deployAllFiles"),
	OTHER("forceLegacyDeploy"),
	OTHER("scope"),
	OTHER("pnprServer"),
	OTHER("saveWorkspaceProtocol"),
	OTHER("strictStorePkgContentCheck"),
	OTHER("ignoreWorkspaceCycles"),
	OTHER("fetchRetryFactor"),
	OTHER("maxSockets"),
	OTHER("fetchWarnTimeoutMs"),
	OTHER("fetchMinSpeedKiBps"),
	OTHER("patchesDir"),
	OTHER("onlyBuiltDependencies"),
	OTHER("neverBuiltDependencies"),
	OTHER("ignoredBuiltDependencies"),
	OTHER("onlyBuiltDependenciesFile"),
	OTHER("gitChecks"),
	OTHER("runtimeOnFail"),
	OTHER("unsafePerm"),
	OTHER("workspaceConcurrency"),
	OTHER("gitShallowHosts"),
	OTHER("testPattern"),
	OTHER("changedFilesIgnorePattern"),
	OTHER("cacheDir"),
	OTHER("stateDir"),
	OTHER("dlxCacheMaxAge"),
	OTHER("minimumReleaseAgeExcludePrune"),
	OTHER("initPackageManager"),
	OTHER("initType"),
	OTHER("verifyDepsBeforeRun"),
	OTHER("audit"),
	OTHER("auditLevel"),
	OTHER("auditConfig"),
	OTHER("versioning"),
	OTHER("catalogMode"),
	OTHER("catalogPrune"),
	OTHER("cleanupUnusedCatalogs"),
	OTHER("saveCatalogName"),
	OTHER("savePrefix"),
	OTHER("saveExact"),
	OTHER("savePeer"),
	OTHER("registrySupportsTimeField"),
	OTHER("update"),
	OTHER("updateConfig"),
	OTHER("requiredScripts"),
	OTHER("nodePackageMapType"),
	OTHER("color"),
	OTHER("loglevel"),
	OTHER("reporter"),
	OTHER("useStderr"),
	OTHER("updateNotifier"),
	OTHER("tag"),
	OTHER("bail"),
	OTHER("sort"),
	OTHER("managePackageManagerVersions"),
	OTHER("packageManagerStrict"),
	OTHER("packageManagerStrictVersion"),
	OTHER("failIfNoMatch"),
	OTHER("ignoreWorkspaceRootCheck"),
	OTHER("globalDir"),
	OTHER("globalBinDir"),
};

static const struct known *known_key(str key)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (str_eq(key, str_of(known[i].name)))
			return &known[i];
	}
	return NULL;
}

static int refuse(struct setting_ctx *c, const struct known *k, const struct yaml_node *n)
{
	if (k->ok && yaml_is_scalar(n) && str_eq(n->s, str_of(k->ok)))
		return 0;
	if ((n->kind == YAML_KIND_MAP || n->kind == YAML_KIND_SEQ) && n->n == 0)
		return 0;
	str what = yaml_is_scalar(n) ? str_head(n->s, 100) : STR("as it is given");
	if (c->from_env)
		return err_set(c->e, ERR_UNSUPPORTED, STR_FMT " = " STR_FMT " is not supported by dray: %s",
			STR_ARG(c->path), STR_ARG(what), k->fix);
	return err_set(c->e, ERR_UNSUPPORTED, STR_FMT ":%u:%u: %s: " STR_FMT " is not supported by dray: %s",
		STR_ARG(c->path), n->line, n->col, k->name, STR_ARG(what), k->fix);
}

static int apply(struct setting_ctx *c, const struct known *k, const struct yaml_node *n)
{
	char *at = (char *)c->w + k->at;
	uint64_t v;
	int rc;

	if (n->kind == YAML_KIND_NONE) /* "key:" alone is as if it were not there */
		return 0;
	switch (k->kind) {
	case KIND_BOOL:
		return setting_get_bool(c, k->name, n, (bool *)at);
	case KIND_U32:
		if ((rc = setting_get_u64(c, k->name, n, UINT32_MAX, &v)) == 0)
			*(uint32_t *)(void *)at = (uint32_t)v;
		return rc;
	case KIND_U64:
		return setting_get_u64(c, k->name, n, UINT64_MAX, (uint64_t *)(void *)at);
	case KIND_STR:
		return setting_get_str(c, k->name, n, (str *)(void *)at);
	case KIND_LIST:
		return setting_get_list(c, k->name, n, (struct str_list *)(void *)at);
	case KIND_CALL:
		return k->set(c, n);
	case KIND_OTHER:
		return 0;
	case KIND_REFUSE:
		return refuse(c, k, n);
	}
	return 0;
}

/* "auto-install-peers" and "auto_install_peers" to "autoInstallPeers". */
static str to_camel(struct arena *a, str s)
{
	char *p = arena_new(a, char, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool sep = (s.p[i] == '-' || s.p[i] == '_') && i + 1 < s.n && i > 0;
		if (sep)
			i++;
		char c = s.p[i];
		p[n++] = sep && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	return (str){ p, n };
}

static int apply_key(struct setting_ctx *c, const struct yaml_node *n)
{
	const struct known *k = known_key(n->key);

	if (k)
		return apply(c, k, n);
	str camel = to_camel(c->a, n->key);
	if (known_key(camel))
		warn(c, arena_printf(c->a,
				STR_FMT ": \"" STR_FMT
					"\" is ignored because it is not written in camelCase (use \"" STR_FMT "\")",
				STR_ARG(c->path), STR_ARG(n->key), STR_ARG(camel)));
	else
		warn(c, arena_printf(c->a, STR_FMT ": the setting \"" STR_FMT "\" is not known and was ignored",
				STR_ARG(c->path), STR_ARG(str_head(n->key, 100))));
	return 0;
}

/* Settings that stand for others. */
static void finish(struct workspace_yaml *w, struct arena *a)
{
	if (w->client.shamefully_hoist && w->client.public_hoist_pattern.n == 0) {
		w->client.public_hoist_pattern = (struct str_list){ arena_new(a, str, 1), 1 };
		w->client.public_hoist_pattern.p[0] = STR("*");
	}
	if (!w->client.hoist)
		w->client.hoist_pattern.n = 0;
}

void workspace_yaml_init(struct workspace_yaml *w)
{
	static const str all = STR_INIT("*");

	*w = (struct workspace_yaml){ .settings = settings_default(),
		.client = {
			.hoist = true,
			.hoist_pattern = { (str *)&all, 1 },
			.hoist_workspace_packages = true,
			.virtual_store_dir_max_length = 120,
			.strict_dep_builds = true,
			.enable_pre_post_scripts = true,
			.extend_node_path = true,
			.side_effects_cache = true,
			.verify_store_integrity = true,
			.lockfile = true,
			.prefer_frozen_lockfile = true,
			.optimistic_repeat_install = true,
			.child_concurrency = 5,
			.fetch_retries = 2,
			.fetch_retry_min_ms = 1000,
			.fetch_retry_max_ms = 60000,
			.fetch_timeout_ms = 60000,
		} };
}

int workspace_yaml_parse(struct workspace_yaml *w, str text, str path, struct arena *a, struct err *e)
{
	struct setting_ctx c = { .w = w, .a = a, .path = path, .e = e };
	struct yaml_node *root;
	int rc = yaml_load(&root, text, path, a, e);

	if (rc)
		return rc;
	if (root->kind == YAML_KIND_NONE)
		return 0;
	if (root->kind != YAML_KIND_MAP)
		return setting_bad(&c, root, "the file", "expected a map of settings");
	for (const struct yaml_node *n = root->child; n; n = n->next) {
		if ((rc = apply_key(&c, n)))
			return rc;
	}
	finish(w, a);
	return 0;
}

/* The value of a variable: JSON where the setting takes a list or map, else the text. */
static int env_value(struct setting_ctx *c, const struct known *k, str value, struct yaml_node **out)
{
	if ((k->kind == KIND_LIST || k->kind == KIND_CALL || k->kind == KIND_REFUSE) &&
		(str_starts(value, STR("[")) || str_starts(value, STR("{"))))
		return yaml_load(out, value, c->path, c->a, c->e);
	*out = arena_new(c->a, struct yaml_node, 1);
	(*out)->kind = value.n ? YAML_KIND_PLAIN : YAML_KIND_NONE;
	(*out)->s = arena_str(c->a, value);
	return 0;
}

static str lower(struct arena *a, str s)
{
	char *p = arena_new(a, char, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
	return (str){ p, s.n };
}

int workspace_yaml_env(struct workspace_yaml *w, char **env, struct arena *a, struct err *e)
{
	for (; env && *env; env++) {
		str name, value, var = str_of(*env);
		if (!str_starts(var, STR("pnpm_config_")) && !str_starts(var, STR("PNPM_CONFIG_")))
			continue;
		str_cut(var, '=', &name, &value);
		const struct known *k = known_key(to_camel(a, lower(a, str_from(name, 12))));
		struct setting_ctx c = { .w = w, .a = a, .path = arena_str(a, name), .from_env = true, .e = e };
		struct yaml_node *n;
		if (!k)
			continue;
		int rc = env_value(&c, k, value, &n);
		if (rc || (rc = apply(&c, k, n)))
			return rc;
	}
	finish(w, a);
	return 0;
}

const char *workspace_yaml_setting(size_t i, enum setting_kind *kind)
{
	if (i >= sizeof(known) / sizeof(*known))
		return NULL;
	*kind = known[i].kind == KIND_REFUSE  ? SETTING_REFUSED
		: known[i].kind == KIND_OTHER ? SETTING_IDLE
					      : SETTING_READ;
	return known[i].name;
}
