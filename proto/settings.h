/* settings — every setting that can change a plan, as pnpm 12 names them.
 *
 * Read from pnpm-workspace.yaml (camelCase) and pnpm_config_* by the client's
 * project stage; travels whole in a plan request; the server answers with the
 * digest of what it honoured. A setting that dray knows to change the result
 * and does not implement is refused by name where it is read. Pure values. */
#pragma once
#include "base/base.h"

enum resolution_mode { RESOLVE_HIGHEST = 0, RESOLVE_TIME_BASED, RESOLVE_LOWEST_DIRECT };
enum trust_policy { TRUST_OFF = 0, TRUST_NO_DOWNGRADE };

struct package_extension {
	str selector; /* "name" or "name@range" */
	struct str_map dependencies, optional_dependencies, peer_dependencies;
	struct str_list peer_optional;
};
struct patch {
	str selector; /* key under patchedDependencies: "name", "name@1.2.3" or "name@range" */
	str path;     /* of the patch file, from the workspace root */
	str hash;     /* hex SHA-256 of the file with LF line ends */
};
struct catalog_entry {
	str catalog, alias, specifier;
};
struct registry_route {
	str scope; /* "@scope"; empty: the default */
	str url;   /* with a trailing slash, without credentials */
};

struct settings {
	bool auto_install_peers;                /* true */
	bool exclude_links_from_lockfile;       /* false */
	bool dedupe_peer_dependents;            /* true */
	bool dedupe_peers;                      /* false */
	bool dedupe_direct_deps;                /* false */
	bool dedupe_injected_deps;              /* true */
	bool inject_workspace_packages;         /* false */
	bool link_workspace_packages;           /* false */
	bool link_workspace_packages_deep;      /* false */
	bool prefer_workspace_packages;         /* false */
	bool resolve_peers_from_workspace_root; /* true */
	bool strict_peer_dependencies;          /* false */
	bool lockfile_include_tarball_url;      /* false */
	bool block_exotic_subdeps;              /* true */
	uint32_t peers_suffix_max_length;       /* 1000 */
	enum resolution_mode resolution_mode;
	struct str_map overrides; /* selector -> spec, in order */
	struct catalog_entry *catalog;
	size_t ncatalog;
	struct package_extension *extension;
	size_t nextension;
	str package_extensions_checksum; /* "sha256-…" as pnpm writes it, empty without extensions */
	struct patch *patch;
	size_t npatch;
	bool allow_unused_patches;
	struct str_list ignored_optional;
	struct str_map allowed_deprecated;
	struct str_list peer_ignore_missing, peer_allow_any;
	struct str_map peer_allowed_versions;
	bool minimum_release_age_set; /* given by the user: strict */
	uint64_t minimum_release_age; /* minutes; 1440 */
	struct str_list minimum_release_age_exclude;
	enum trust_policy trust_policy;
	struct str_list trust_policy_exclude;
	uint64_t trust_policy_ignore_after; /* minutes; 0: never */
	struct str_list supported_os, supported_cpu,
		supported_libc;          /* empty: the platform's own, which "current" stands for, too */
	struct registry_route *registry; /* default first */
	size_t nregistry;
	/* false; true: where the ranges for a peer share no version, any of them will do */
	bool auto_install_peers_from_highest_match;
	bool ignore_compatibility_db; /* false: what the engine knows of published packages counts */
};

/* pnpm 12's defaults, without registries. */
struct settings settings_default(void);
/* What minimumReleaseAge lets through at NOW_MS was published at this time or before, in ms since 1970; 1
 * where nothing is old enough. */
int64_t settings_age_cutoff(const struct settings *s, int64_t now_ms);
/* The registry that serves NAME, with trailing slash. */
str settings_registry(const struct settings *s, str name);
/* https://registry/@scope/name/-/name-1.0.0.tgz: where that registry has the tarball unless it says otherwise. In A. */
str settings_tarball_url(const struct settings *s, str name, str version, struct arena *a);
