#include "setting_keys.h"
#include "name.h"
#include "package_extensions.h"
#include "semver.h"

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

static int set_release_age(struct setting_ctx *c, const struct yaml_node *n)
{
	c->w->settings.minimum_release_age_set = true;
	return setting_get_u64(c, "minimumReleaseAge", n, UINT32_MAX, &c->w->settings.minimum_release_age);
}

/* Names, patterns, or "name@1.0.0 || 2.0.0". */
static int get_excluded(struct setting_ctx *c, const char *key, const struct yaml_node *n, struct str_list *out)
{
	struct semver v;
	int rc = setting_get_list(c, key, n, out);

	for (size_t i = 0; rc == 0 && i < out->n; i++) {
		str name, rest;
		name_split(out->p[i], &name, &rest);
		while (rest.p) {
			size_t at = str_find_str(rest, STR("||"), 0);
			str one = str_trim(str_head(rest, at == SIZE_MAX ? rest.n : at));
			rest = at == SIZE_MAX ? STR_NONE : str_from(rest, at + 2);
			if (str_find(name, '*', 0) != SIZE_MAX || !semver_parse(&v, one, false))
				return setting_bad(c, n, key, "expected names, or exact versions: name@1.0.0 || 2.0.0");
		}
	}
	return rc;
}

static int set_age_exclude(struct setting_ctx *c, const struct yaml_node *n)
{
	return get_excluded(c, "minimumReleaseAgeExclude", n, &c->w->settings.minimum_release_age_exclude);
}

static int set_trust_exclude(struct setting_ctx *c, const struct yaml_node *n)
{
	return get_excluded(c, "trustPolicyExclude", n, &c->w->settings.trust_policy_exclude);
}

/* A truth value that newer versions of pnpm take a map for, too. */
static int get_bool_no_map(struct setting_ctx *c, const char *key, const struct yaml_node *n, bool *out)
{
	if (n->kind == YAML_KIND_MAP && n->n)
		return err_set(c->e, ERR_UNSUPPORTED,
			STR_FMT ":%u: %s." STR_FMT " is not supported by dray: remove it, or use pnpm",
			STR_ARG(c->path), n->child->line, key, STR_ARG(str_head(n->child->key, 100)));
	return n->kind == YAML_KIND_MAP ? 0 : setting_get_bool(c, key, n, out);
}

static int set_lockfile(struct setting_ctx *c, const struct yaml_node *n)
{
	return get_bool_no_map(c, "lockfile", n, &c->w->client.lockfile);
}

static int set_effects_cache(struct setting_ctx *c, const struct yaml_node *n)
{
	return get_bool_no_map(c, "sideEffectsCache", n, &c->w->client.side_effects_cache);
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

static bool has_catalog(const struct settings *s, str name)
{
	for (size_t i = 0; i < s->ncatalog; i++) {
		if (str_eq(s->catalog[i].catalog, name))
			return true;
	}
	return false;
}

static int set_catalog(struct setting_ctx *c, const struct yaml_node *n)
{
	struct str_map m = { 0 };
	int rc = setting_get_map(c, "catalog", n, &m);

	if (rc == 0 && m.n && has_catalog(&c->w->settings, STR("default")))
		return setting_bad(c, n, "catalog", "catalogs has \"default\", too; write one of them");
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
		int rc = m->kind == YAML_KIND_NONE ? setting_bad(c, m, "catalogs", "expected a map")
						   : setting_get_map(c, "catalogs", m, &entries);
		if (rc)
			return rc;
		if (entries.n && has_catalog(&c->w->settings, m->key))
			return setting_bad(c, m, "catalogs", "\"default\" is there as catalog, too; write one of them");
		add_catalog(c, m->key, entries);
	}
	return 0;
}

static int set_catalog_prune(struct setting_ctx *c, const struct yaml_node *n)
{
	if (c->from_env) /* only the file's counts. Source: pnpm 12.21 */
		return 0;
	c->w->client.catalog_prune_set = true;
	return setting_get_bool(c, "catalogPrune", n, &c->w->client.catalog_prune);
}

/* catalogPrune's former name, over which it wins. Source: pnpm 12.21 */
static int set_cleanup_unused(struct setting_ctx *c, const struct yaml_node *n)
{
	bool on = false;
	int rc = setting_get_bool(c, "cleanupUnusedCatalogs", n, &on);

	if (rc == 0 && !c->w->client.catalog_prune_set && !c->from_env)
		c->w->client.catalog_prune = on;
	return rc;
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
			c->w->registry = path_slashed(c->a, m.p[i].v);
		else if (str_starts(m.p[i].k, STR("@")))
			p[s->nregistry++] = (struct registry_route){ m.p[i].k, path_slashed(c->a, m.p[i].v) };
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
		c->w->registry = path_slashed(c->a, url);
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

/* A repository does not choose which credentials are sent. Source: pnpm 12.21. */
static int set_auth_file(struct setting_ctx *c, const struct yaml_node *n)
{
	if (c->from_env || c->machine)
		return setting_get_str(c, "npmrcAuthFile", n, &c->w->client.npmrc_auth_file);
	setting_warn(c, arena_printf(c->a,
				STR_FMT ": \"npmrcAuthFile\" is ignored: only the machine's config.yaml or "
					"pnpm_config_npmrc_auth_file may name a file with credentials",
				STR_ARG(c->path)));
	return 0;
}

/* What is to be done about runtimes that are not there: only installing them is an install's business. */
static int set_runtime_on_fail(struct setting_ctx *c, const struct yaml_node *n)
{
	unsigned ignored;

	if (yaml_is_scalar(n) && str_eq(n->s, STR("download")))
		return err_set(c->e, ERR_UNSUPPORTED,
			STR_FMT ":%u: runtimeOnFail: download is not supported by dray: %s", STR_ARG(c->path), n->line,
			"install the runtime otherwise");
	return setting_get_one_of(
		c, "runtimeOnFail", n, (const char *const[]){ "ignore", "warn", "error", NULL }, &ignored);
}

/* ---- the table ---- */

#define S(field) offsetof(struct workspace_yaml, settings.field)
#define C(field) offsetof(struct workspace_yaml, client.field)
#define NAMES(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}
#define ISOLATED_ONLY "dray makes pnpm's isolated node_modules only; use pnpm for this project, or remove the setting"
/* In no order: some 230 entries, looked up once per key of a small file. */
static const struct setting_key table[] = {
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
	{ "resolutionMode", KIND_ENUM, .at = S(resolution_mode),
		.names = NAMES("highest", "time-based", "lowest-direct") },
	{ "overrides", KIND_MAP, .at = S(overrides) },
	{ "catalog", KIND_CALL, .set = set_catalog },
	{ "catalogs", KIND_CALL, .set = set_catalogs },
	{ "catalogPrune", KIND_CALL, .set = set_catalog_prune },
	{ "cleanupUnusedCatalogs", KIND_CALL, .set = set_cleanup_unused },
	{ "packageExtensions", KIND_CALL, .set = package_extensions_set },
	{ "patchedDependencies", KIND_CALL, .set = set_patches },
	{ "allowUnusedPatches", KIND_BOOL, .at = S(allow_unused_patches) },
	{ "ignoredOptionalDependencies", KIND_LIST, .at = S(ignored_optional) },
	{ "allowedDeprecatedVersions", KIND_MAP, .at = S(allowed_deprecated) },
	{ "peerDependencyRules", KIND_CALL, .set = set_peer_rules },
	{ "minimumReleaseAge", KIND_CALL, .set = set_release_age },
	{ "minimumReleaseAgeExclude", KIND_CALL, .set = set_age_exclude },
	{ "trustPolicy", KIND_ENUM, .at = S(trust_policy), .names = NAMES("off", "no-downgrade") },
	{ "trustPolicyExclude", KIND_CALL, .set = set_trust_exclude },
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
	{ "packageImportMethod", KIND_ENUM, .at = C(import_method),
		.names = NAMES("auto", "hardlink", "copy", "clone", "clone-or-copy") },
	{ "allowBuilds", KIND_CALL, .set = set_allow_builds },
	{ "dangerouslyAllowAllBuilds", KIND_BOOL, .at = C(dangerously_allow_all_builds) },
	{ "strictDepBuilds", KIND_BOOL, .at = C(strict_dep_builds) },
	{ "engineStrict", KIND_BOOL, .at = C(engine_strict) },
	{ "ignoreScripts", KIND_BOOL, .at = C(ignore_scripts) },
	{ "enablePrePostScripts", KIND_BOOL, .at = C(enable_pre_post_scripts) },
	{ "scriptShell", KIND_STR, .at = C(script_shell) },
	{ "nodeOptions", KIND_STR, .at = C(node_options) },
	{ "extendNodePath", KIND_BOOL, .at = C(extend_node_path) },
	{ "sideEffectsCache", KIND_CALL, .set = set_effects_cache },
	{ "verifyStoreIntegrity", KIND_BOOL, .at = C(verify_store_integrity) },
	{ "offline", KIND_BOOL, .at = C(offline) },
	{ "preferOffline", KIND_BOOL, .at = C(prefer_offline) },
	{ "lockfile", KIND_CALL, .set = set_lockfile },
	{ "packageLock", KIND_BOOL, .at = C(lockfile) },
	{ "frozenLockfile", KIND_CALL, .set = set_frozen },
	{ "preferFrozenLockfile", KIND_BOOL, .at = C(prefer_frozen_lockfile) },
	{ "optimisticRepeatInstall", KIND_BOOL, .at = C(optimistic_repeat_install) },
	{ "failIfNoMatch", KIND_BOOL, .at = C(fail_if_no_match) },
	{ "includeWorkspaceRoot", KIND_BOOL, .at = C(include_workspace_root) },
	{ "ignoreWorkspaceCycles", KIND_BOOL, .at = C(ignore_workspace_cycles) },
	{ "disallowWorkspaceCycles", KIND_BOOL, .at = C(disallow_workspace_cycles) },
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
	{ "npmrcAuthFile", KIND_CALL, .set = set_auth_file },
	{ "minimumReleaseAgeStrict", KIND_CALL, .set = set_age_strict },
	{ "pmOnFail", KIND_STR, .at = C(pm_on_fail) },
	{ "drayServer", KIND_STR, .at = C(dray_server) },
	{ "drayServerFallback", KIND_STR, .at = C(dray_server_fallback) },
	{ "drayBadPack", KIND_STR, .at = C(dray_bad_pack) },
	{ "drayMaterialization", KIND_STR, .at = C(dray_materialization) },

	{ "nodeLinker", KIND_REFUSE, .tree = true, .ok = "isolated", .fix = ISOLATED_ONLY },
	{ "symlink", KIND_REFUSE, .tree = true, .ok = "true", .fix = ISOLATED_ONLY },
	{ "enablePnp", KIND_REFUSE, .ok = "false", .fix = ISOLATED_ONLY },
	{ "enableModulesDir", KIND_REFUSE, .tree = true, .ok = "true", .fix = "use --lockfile-only" },
	{ "nodeExperimentalPackageMap", KIND_REFUSE, .tree = true, .ok = "false", .fix = ISOLATED_ONLY },
	{ "hoistingLimits", KIND_REFUSE, .tree = true, .ok = "none", .fix = ISOLATED_ONLY },
	{ "externalDependencies", KIND_REFUSE, .tree = true, .ok = NULL, .fix = ISOLATED_ONLY },
	{ "modulesDir", KIND_REFUSE, .tree = true, .ok = "node_modules", .fix = ISOLATED_ONLY },
	{ "virtualStoreDir", KIND_REFUSE, .tree = true, .ok = "node_modules/.pnpm", .fix = ISOLATED_ONLY },
	{ "virtualStoreOnly", KIND_REFUSE, .tree = true, .ok = "false", .fix = ISOLATED_ONLY },
	{ "virtualStoreType", KIND_REFUSE, .ok = NULL, .fix = ISOLATED_ONLY },
	{ "globalVirtualStoreDir", KIND_REFUSE, .tree = true, .ok = NULL, .fix = ISOLATED_ONLY },
	{ "preferSymlinkedExecutables", KIND_REFUSE, .tree = true, .ok = "false",
		.fix = "remove it: commands are shell shims" },
	{ "dedupeDirectDeps", KIND_BOOL, .at = S(dedupe_direct_deps) },
	{ "strictPeerDependencies", KIND_BOOL, .at = S(strict_peer_dependencies) },
	{ "autoInstallPeersFromHighestMatch", KIND_BOOL, .at = S(auto_install_peers_from_highest_match) },
	{ "autoDedupe", KIND_REFUSE, .ok = "false", .fix = "remove it, and run `pnpm dedupe` now and then" },
	{ "projectScopedOptionalPeers", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "addMissingPeerTypes", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "ignoreCompatibilityDb", KIND_BOOL, .at = S(ignore_compatibility_db) },
	{ "configDependencies", KIND_CALL, .set = set_config_dependencies },
	{ "pnpmfile", KIND_REFUSE, .ok = NULL, .fix = "hooks are not run; say it with overrides or packageExtensions" },
	{ "globalPnpmfile", KIND_REFUSE, .ok = NULL,
		.fix = "hooks are not run; say it with overrides or packageExtensions" },
	{ "lockfileDir", KIND_REFUSE, .ok = ".", .fix = "the lockfile lies beside pnpm-workspace.yaml" },
	{ "sharedWorkspaceLockfile", KIND_REFUSE, .ok = "true",
		.fix = "a workspace has one lockfile; install with --ignore-workspace for one of its own" },
	{ "recursiveInstall", KIND_REFUSE, .ok = "true", .fix = "a workspace is installed as a whole" },
	{ "gitBranchLockfile", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "mergeGitBranchLockfiles", KIND_REFUSE, .ok = "false", .fix = "remove it" },
	{ "mergeGitBranchLockfilesBranchPattern", KIND_REFUSE, .ok = NULL, .fix = "remove it" },
	{ "namedRegistries", KIND_REFUSE, .ok = NULL, .fix = "route scopes under registries" },
	{ "minimumReleaseAgeIgnoreMissingTime", KIND_REFUSE, .ok = "true",
		.fix = "remove it: versions without a publish time pass" },
	{ "frozenStore", KIND_REFUSE, .tree = true, .ok = "false", .fix = "remove it: dray's store must be writable" },
	{ "sideEffectsCacheReadonly", KIND_REFUSE, .tree = true, .ok = "false",
		.fix = "remove it: results of build scripts are not cached" },
	{ "packageConfigs", KIND_REFUSE, .ok = NULL, .fix = "settings are the workspace's" },
	{ "scriptsPrependNodePath", KIND_REFUSE, .tree = true, .ok = "false", .fix = "put node first into PATH" },
	{ "executionEnv", KIND_REFUSE, .tree = true, .ok = NULL, .fix = "scripts run with the node of PATH" },
	{ "nodeDownloadMirrors", KIND_REFUSE, .ok = NULL, .fix = "dray installs no node" },
	{ "strictSsl", KIND_REFUSE, .ok = "true", .fix = "put it into .npmrc as strict-ssl" },
	{ "ca", KIND_REFUSE, .ok = NULL, .fix = "put it into .npmrc" },
	{ "cafile", KIND_REFUSE, .ok = NULL, .fix = "put it into .npmrc" },
	{ "cert", KIND_REFUSE, .ok = NULL, .fix = "client certificates are not supported; use a token" },
	{ "key", KIND_REFUSE, .ok = NULL, .fix = "client certificates are not supported; use a token" },
	{ "localAddress", KIND_REFUSE, .ok = NULL, .fix = "remove it" },
	{ "ci", KIND_REFUSE, .ok = NULL, .fix = "set CI in the environment" },
	{ "include", KIND_REFUSE, .ok = NULL, .fix = "write the settings of the other files into this one" },
	{ "permissions", KIND_REFUSE, .ok = NULL, .fix = "say which packages may build under allowBuilds" },
	{ "allowSkills", KIND_REFUSE, .ok = NULL, .fix = "remove it: dray links no skills" },
	{ "bootConfig", KIND_REFUSE, .ok = NULL, .fix = "remove it" },
	{ "nodePackageMap", KIND_REFUSE, .ok = NULL, .fix = ISOLATED_ONLY },
	{ "maxTarballUnpackedSize", KIND_REFUSE, .ok = NULL, .fix = "remove it: dray has a limit of its own" },
	{ "legacyDirFiltering", KIND_REFUSE, .ok = "false", .fix = "write the filter as \"{folder}/**\"" },
	{ "testPattern", KIND_REFUSE, .ok = NULL, .fix = "remove it: every changed file counts for --filter" },
	{ "changedFilesIgnorePattern", KIND_REFUSE, .ok = NULL,
		.fix = "remove it: every changed file counts for --filter" },
	{ "tag", KIND_REFUSE, .ok = "latest", .fix = "write the tag into the dependency" },
	{ "runtimeOnFail", KIND_CALL, .set = set_runtime_on_fail },
	{ "forceIgnoresPlatform", KIND_REFUSE, .tree = true, .ok = "false",
		.fix = "list the platforms under supportedArchitectures" },
	{ "optional", KIND_REFUSE, .tree = true, .ok = "true", .fix = "use --no-optional" },
	{ "production", KIND_REFUSE, .tree = true, .ok = "false", .fix = "use --prod" },
	{ "dev", KIND_REFUSE, .tree = true, .ok = NULL, .fix = "use --dev or --prod" },
	{ "only", KIND_REFUSE, .tree = true, .ok = NULL, .fix = "use --dev or --prod" },
	{ "ignoreWorkspace", KIND_REFUSE, .ok = "false", .fix = "use --ignore-workspace" },

#define OTHER(n)                                                                                                       \
	{                                                                                                              \
		n, KIND_OTHER, .at = 0                                                                                 \
	}
	OTHER("$schema"),
	OTHER("shellEmulator"),                /* what it emulates is sh, which runs the scripts here */
	OTHER("syncInjectedDepsAfterScripts"), /* of `pnpm run` */
	OTHER("globalShims"),
	OTHER("modulesCacheMaxAge"),
	OTHER("deployAllFiles"),
	OTHER("forceLegacyDeploy"),
	OTHER("scope"),
	OTHER("pnprServer"),
	OTHER("saveWorkspaceProtocol"),
	OTHER("strictStorePkgContentCheck"),
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
	OTHER("unsafePerm"),
	OTHER("workspaceConcurrency"),
	OTHER("gitShallowHosts"),
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
	OTHER("bail"),
	OTHER("sort"),
	OTHER("managePackageManagerVersions"),
	OTHER("packageManagerStrict"),
	OTHER("packageManagerStrictVersion"),
	OTHER("ignoreWorkspaceRootCheck"),
	OTHER("globalDir"),
	OTHER("globalBinDir"),
	OTHER("tasks"), /* of `pnpm run`, as the next ones */
	OTHER("pipelines"),
	OTHER("pipelineBase"),
	OTHER("concurrencyGroups"),
	OTHER("skills"), /* where those go that allowSkills lets in */
	OTHER("remoteCache"),
	OTHER("remoteSideEffectsCache"),
	OTHER("storeIndexFormat"),
	OTHER("macosBackup"),
	OTHER("progress"),
	OTHER("stream"),
	OTHER("aggregateOutput"),
	OTHER("reporterHidePrefix"),
	OTHER("trustPolicyExcludePrune"),
	OTHER("symlinkedLockfileTargetDirs"),
	OTHER("saveTypes"),
	OTHER("publishBranch"),
	OTHER("publishWaitTimeout"),
	OTHER("gitTagVersion"),
	OTHER("embedReadme"),
	OTHER("skipManifestObfuscation"),
	OTHER("initAuthorName"),
	OTHER("initAuthorEmail"),
	OTHER("initAuthorUrl"),
	OTHER("initLicense"),
	OTHER("initVersion"),
};

/* Of those that are not idle. Source: pnpm 12.21. */
static const char *const machine[] = {
	"blockExoticSubdeps",
	"ca",
	"cafile",
	"cert",
	"childConcurrency",
	"ci",
	"dangerouslyAllowAllBuilds",
	"enableGlobalVirtualStore",
	"enableModulesDir",
	"engineStrict",
	"excludeLinksFromLockfile",
	"extendNodePath",
	"fetchRetries",
	"fetchRetryMaxtimeout",
	"fetchRetryMintimeout",
	"fetchTimeout",
	"frozenStore",
	"globalPnpmfile",
	"globalVirtualStoreDir",
	"httpProxy",
	"httpsProxy",
	"ignoreScripts",
	"key",
	"localAddress",
	"maxTarballUnpackedSize",
	"minimumReleaseAge",
	"minimumReleaseAgeExclude",
	"minimumReleaseAgeIgnoreMissingTime",
	"minimumReleaseAgeStrict",
	"namedRegistries",
	"networkConcurrency",
	"noProxy",
	"nodeExperimentalPackageMap",
	"nodeOptions",
	"nodePackageMap",
	"nodeVersion",
	"noproxy",
	"npmrcAuthFile",
	"optimisticRepeatInstall",
	"packageImportMethod",
	"preferFrozenLockfile",
	"preferOffline",
	"preferSymlinkedExecutables",
	"proxy",
	"registries",
	"registry",
	"resolutionMode",
	"scriptShell",
	"scriptsPrependNodePath",
	"sideEffectsCache",
	"sideEffectsCacheReadonly",
	"storeDir",
	"strictDepBuilds",
	"strictSsl",
	"tag",
	"trustLockfile",
	"trustPolicy",
	"trustPolicyExclude",
	"trustPolicyIgnoreAfter",
	"userAgent",
	"verifyStoreIntegrity",
	"virtualStoreDir",
	"virtualStoreDirMaxLength",
	"virtualStoreType",
};

bool setting_key_machine(const struct setting_key *k)
{
	if (k->kind == KIND_OTHER || strncmp(k->name, "dray", 4) == 0)
		return true;
	for (size_t i = 0; i < sizeof(machine) / sizeof(*machine); i++) {
		if (strcmp(machine[i], k->name) == 0)
			return true;
	}
	return false;
}

const struct setting_key *setting_key_at(size_t i)
{
	return i < sizeof(table) / sizeof(*table) ? &table[i] : NULL;
}

const struct setting_key *setting_key_find(str name)
{
	const struct setting_key *k;

	for (size_t i = 0; (k = setting_key_at(i)); i++) {
		if (str_eq(name, str_of(k->name)))
			return k;
	}
	return NULL;
}
