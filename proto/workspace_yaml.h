/* workspace_yaml — pnpm-workspace.yaml, the machine's config.yaml and pnpm_config_*: where pnpm 12 keeps its settings.
 *
 * Two kinds come out: those that can change a plan (settings.h), which travel
 * to the resolver, and those of the client alone. Keys are camelCase; others,
 * and unknown ones, give a warning. A value of the wrong type is an error with
 * line and column. What changes the result and isn't implemented is refused by name, at once or, where the
 * lockfile does not depend on it, as `no_tree`. Pure:
 * patch files are hashed and paths made absolute by the project stage. */
#pragma once
#include "settings.h"

enum import_method { IMPORT_AUTO = 0, IMPORT_HARDLINK, IMPORT_COPY, IMPORT_CLONE, IMPORT_CLONE_OR_COPY };
/* allowBuilds: KEY is a name, or "name@1.0.0 || 2.0.0". */
struct allow_build {
	str key;
	bool allow;
};
struct client_settings {
	bool hoist;                            /* true */
	struct str_list hoist_pattern;         /* "*" */
	struct str_list public_hoist_pattern;  /* empty */
	bool shamefully_hoist;                 /* public_hoist_pattern is "*" then */
	bool hoist_workspace_packages;         /* true */
	uint32_t virtual_store_dir_max_length; /* 120 */
	str store_dir;                         /* empty: the default */
	bool enable_global_virtual_store;      /* false */
	enum import_method import_method;
	struct allow_build *allow_build;
	size_t nallow_build;
	bool dangerously_allow_all_builds; /* false */
	bool strict_dep_builds;            /* true */
	bool ignore_scripts;               /* false */
	bool engine_strict;                /* false */
	bool enable_pre_post_scripts;      /* true */
	str script_shell;                  /* empty: sh */
	bool extend_node_path;             /* true */
	bool side_effects_cache;           /* true */
	bool verify_store_integrity;       /* true */
	bool offline, prefer_offline;      /* false */
	bool lockfile;                     /* true */
	bool frozen_lockfile_set, frozen_lockfile;
	bool prefer_frozen_lockfile;    /* true */
	bool optimistic_repeat_install; /* true */
	bool include_workspace_root;    /* false */
	bool fail_if_no_match;          /* false */
	bool ignore_workspace_cycles;   /* false */
	bool disallow_workspace_cycles; /* false */
	str node_version;               /* nodeVersion: checked instead of the installed one */
	uint32_t network_concurrency;   /* 0: default */
	uint32_t child_concurrency;     /* 5 */
	uint32_t fetch_retries;         /* 2 */
	uint64_t fetch_retry_min_ms, fetch_retry_max_ms, fetch_timeout_ms; /* 1,000 (pnpm: 10,000), 60,000, 60,000 */
	str https_proxy, http_proxy, no_proxy;
	str user_agent;
	str node_options;         /* nodeOptions: NODE_OPTIONS of scripts */
	str pm_on_fail;           /* pmOnFail: "ignore" is all that matters here */
	str dray_server;          /* drayServer */
	str dray_server_fallback; /* drayServerFallback: "direct", "error" or empty */
	str dray_bad_pack;        /* drayBadPack: "tarball", "stop" or empty */
	/* drayMaterialization: "server" (packs, where a server is used), "registry" or empty. */
	str dray_materialization;
	str npmrc_auth_file;                   /* npmrcAuthFile: instead of ~/.npmrc */
	bool age_strict_set, age_strict;       /* minimumReleaseAgeStrict; not set: strict where minimumReleaseAge is */
	bool catalog_prune_set, catalog_prune; /* false: entries of catalogs that nothing uses are removed */
	bool trust_lockfile;                   /* an existing lockfile is not checked against the policies */
	str no_tree; /* why no node_modules can be made, only a lockfile: a setting that is not implemented; or empty */
};

struct workspace_yaml {
	struct settings settings;
	struct client_settings client;
	bool has_packages;
	struct str_list packages; /* globs */
	str registry;             /* of settings.registry: the default, or empty */
	struct str_list warnings; /* for people */
};

/* pnpm's defaults. */
void workspace_yaml_init(struct workspace_yaml *w);
/* Reads TEXT over what W has. ERR_PARSE "PATH:LINE:COL: …", ERR_UNSUPPORTED naming the setting. Strings live in A. */
int workspace_yaml_parse(struct workspace_yaml *w, str text, str path, struct arena *a, struct err *e);
/* The same for the machine's config.yaml, in which only settings of the machine count; the others give a warning. */
int workspace_yaml_machine(struct workspace_yaml *w, str text, str path, struct arena *a, struct err *e);
/* Applies pnpm_config_* of ENV ("NAME=value", NULL at the end) over it; lists and maps are JSON. */
int workspace_yaml_env(struct workspace_yaml *w, char **env, struct arena *a, struct err *e);

/* The settings that are known, I from 0, until NULL; in no order. */
enum setting_kind { SETTING_READ = 0, SETTING_REFUSED, SETTING_IDLE };
const char *workspace_yaml_setting(size_t i, enum setting_kind *kind);
/* The setting that NAME is in pnpm-workspace.yaml, written "like-this"; NULL: none, and *KIND is not set. */
const char *workspace_yaml_named(str name, enum setting_kind *kind, struct arena *a);
