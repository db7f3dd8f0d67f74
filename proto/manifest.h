/* manifest — what dray needs of a package.json, of a project or of one version in a packument.
 *
 * Pure. Strings and arrays live in the arena given to the reader. Dependency
 * maps keep the source's order. */
#pragma once
#include "base/base.h"
#include "base/json.h"

enum dep_meta { META_EMPTY, META_INJECTED, META_NOT_INJECTED };
/* An entry of dependenciesMeta: {}, {injected: true} or {injected: false}, whatever else it says. */
struct manifest_dep_meta {
	str alias;
	enum dep_meta injected;
};
struct manifest {
	str name, version;
	struct str_map dependencies, dev_dependencies, optional_dependencies, peer_dependencies;
	struct str_list peer_optional; /* names that peerDependenciesMeta marks optional (also without a range) */
	struct manifest_dep_meta *dependencies_meta;
	size_t ndependencies_meta;
	/* dependenciesMeta as the lockfile has it, where it says more (dependencies_meta.h); of projects. */
	str meta_text;
	bool bundle_all;         /* bundleDependencies: true */
	struct str_list bundled; /* bundleDependencies or bundledDependencies */
	struct str_map engines;  /* node, npm, pnpm, … */
	struct str_list os, cpu, libc;
	bool libc_scalar;    /* libc is a single string, which pnpm keeps one */
	struct str_map bin;  /* command -> path; a string "bin" is already named after the package */
	str directories_bin; /* directories.bin */
	struct str_map scripts;
	str publish_directory;       /* publishConfig.directory */
	bool publish_link_directory; /* publishConfig.linkDirectory, default true */
	str deprecated;
	str package_manager; /* "pnpm@12.0.0+sha512…" */
	str type, main;
	/* Version or range of pnpm that devEngines or packageManager wants in the lockfile; empty: none. */
	str pnpm_pin;
	bool pnpm_pin_strict; /* onFail is not download: where the running one doesn't satisfy it, nothing is written */
	str runtime;          /* "node", "bun" or "deno": one that pnpm would install, see manifest.c */
	bool has_resolutions, has_pnpm; /* fields that pnpm ignores; HAS_PNPM lists its keys in pnpm_keys */
	struct str_list pnpm_keys, workspaces;
	bool workspaces_list; /* a list of texts, not a map that has one */
};

/* Reads TEXT, which came from PATH (for messages). ERR_PARSE names path, line, column: no object, a dependency without
 * a string, a dependency whose name is no name. ERR_TOOBIG: dependenciesMeta beyond its bounds. A field of another type
 * than expected counts as absent, as for pnpm. */
int manifest_parse(struct manifest *out, str text, str path, struct arena *a, struct err *e);
/* The same for a folder or tarball that a project names: what is no string there is left out, as pnpm 12.21 does it. */
int manifest_parse_folder(struct manifest *out, str text, str path, struct arena *a, struct err *e);
/* The same for the package.json inside a package, whose author's mistakes are not the user's: such
 * dependencies are left out. */
int manifest_parse_package(struct manifest *out, str text, str path, struct arena *a, struct err *e);
/* manifest_parse() from a tree already read. */
int manifest_from_json(struct manifest *out, const struct json *j, str path, struct arena *a, struct err *e);
