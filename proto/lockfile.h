/* lockfile — pnpm-lock.yaml, lockfileVersion 9.0: the model, its reader and its writer.
 *
 * The model is also what the engine produces and what plan frames carry: a
 * plan is a lockfile in streaming order plus where the bytes come from.
 * Strings and arrays live in the arena of whoever built the model. Pure.
 *
 * The writer gives pnpm's bytes exactly (order, quoting, blank lines); it
 * sorts, so a model may be built in any order. Source: pnpm 12. */
#pragma once
#include "base/base.h"

/* One entry of a dependency map of a snapshot: REF as in the file ("4.17.21",
 * "react-dom@19.0.0(react@19.0.0)", "link:../x"). */
struct lock_dep {
	str alias, ref;
};
struct lock_deps {
	struct lock_dep *p;
	size_t n;
};
/* One direct dependency of an importer. */
struct lock_direct {
	str alias, specifier, ref;
};
struct lock_directs {
	struct lock_direct *p;
	size_t n;
};

enum lock_res_kind { LOCK_RES_REGISTRY = 0, LOCK_RES_TARBALL, LOCK_RES_DIRECTORY, LOCK_RES_GIT, LOCK_RES_OTHER };
struct lock_resolution {
	enum lock_res_kind kind;
	str integrity;    /* SRI; may be empty for git-hosted tarballs */
	str tarball;      /* as written in the file; empty where registry, name and version give it */
	str directory;    /* LOCK_RES_DIRECTORY: path from the lockfile's folder */
	str repo, commit; /* LOCK_RES_GIT */
	str path;         /* sub-folder of a git package */
	bool git_hosted;
	/* LOCK_RES_OTHER (binary, variations, custom types): what stands after "resolution:", as pnpm writes it. */
	str raw;
};

/* One entry of `packages:`. */
struct lock_package {
	str key; /* name@version without suffixes */
	struct lock_resolution resolution;
	str id, name, version; /* written only where pnpm writes them */
	struct str_map engines;
	struct str_list cpu, os, libc;
	bool libc_scalar; /* libc was a single string, and pnpm keeps it one */
	str deprecated;
	bool has_bin, prepare, requires_build;
	bool bundle_all; /* bundledDependencies: true */
	struct str_list bundled;
	struct str_map peer_dependencies;
	struct str_list peer_optional; /* peerDependenciesMeta: {x: {optional: true}} */
	struct str_map extra;          /* see struct lock_head */
};

/* One entry of `snapshots:`. */
struct lock_snapshot {
	str key; /* dep path */
	struct lock_deps dependencies, optional_dependencies;
	struct str_list transitive_peers;
	bool optional;
	struct str_map extra; /* see struct lock_head */
};

enum lock_dep_type { LOCK_PROD, LOCK_DEV, LOCK_OPTIONAL, LOCK_NTYPES };
struct lock_importer {
	str path; /* "." or a folder below the lockfile's */
	struct lock_directs deps[LOCK_NTYPES];
	/* dependenciesMeta: {x: {injected: true}}, {x: {injected: false}}, {x: {}} */
	struct str_list injected, not_injected, meta_empty;
	str publish_directory;
	bool publish_unlinked; /* linkDirectory: false: other projects see the project's own folder */
	struct str_map extra;  /* see struct lock_head; also dependenciesMeta where it says more */
};

struct lock_catalog_entry {
	str catalog, alias, specifier, version;
};
enum { LOCK_SUFFIX_USUAL = 1000 };
#define LOCK_SUFFIX_ZERO UINT32_MAX
/* Everything before `importers:` and after `snapshots:`. */
struct lock_head {
	bool auto_install_peers, exclude_links_from_lockfile, dedupe_peers, inject_workspace_packages;
	bool no_settings; /* as read: the file doesn't say which peers and links it was made with. Not part of plans */
	bool dedupe_peers_off; /* as read: dedupePeers is there, and false. Not part of plans */
	/* 0: 1000, not written; 1000: as read, written; LOCK_SUFFIX_ZERO: 0. lock_suffix_max() says which */
	uint32_t peers_suffix_max_length;
	struct lock_catalog_entry *catalog;
	size_t ncatalog;
	struct str_map overrides; /* in the order of the workspace file */
	str package_extensions_checksum, pnpmfile_checksum;
	struct str_map patched; /* selector -> hash */
	struct str_list ignored_optional;
	struct str_map time; /* package key -> ISO time */
	bool has_time;       /* `time` is written though it is empty: nothing of what it had is left */
	/* Keys that the model doesn't know, by name, with the text that follows "key:" as it will be printed. They are
	 * kept by reading and printing; plans don't carry them, as pnpm drops them whenever it resolves. */
	struct str_map extra, settings_extra;
};

static inline uint32_t lock_suffix_max(const struct lock_head *h)
{
	uint32_t max = h->peers_suffix_max_length;
	return max == LOCK_SUFFIX_ZERO ? 0 : max ? max : LOCK_SUFFIX_USUAL;
}
/* How a head holds MAX. */
static inline uint32_t lock_suffix_of(uint32_t max)
{
	return max == LOCK_SUFFIX_USUAL ? 0 : max ? max : LOCK_SUFFIX_ZERO;
}

struct lockfile {
	struct lock_head head;
	struct lock_importer *importer;
	size_t nimporters;
	struct lock_package *package;
	size_t npackages;
	struct lock_snapshot *snapshot;
	size_t nsnapshots;
	str env_document; /* the optional first YAML document, verbatim with its separators; empty when there is none */
	/* As read: there is nothing but perhaps an environment document, which pnpm takes for no lockfile. */
	bool absent;
};

/* Reads TEXT of PATH (for messages); a byte order mark and CRLF are taken. Strings may borrow from TEXT, which must
 * outlive the model. ERR_PARSE with line; ERR_UNSUPPORTED for lockfile versions other than 9.x; merge-conflict
 * markers are named as such. */
int lockfile_parse(struct lockfile *out, str text, str path, struct arena *a, struct err *e);
/* Appends the file's bytes. */
void lockfile_print(struct buf *out, const struct lockfile *lf);
/* By key, or NULL; needs lockfile_sort() or a file that was read (sorted by key in code-unit order). */
const struct lock_package *lockfile_package(const struct lockfile *lf, str key);
const struct lock_snapshot *lockfile_snapshot(const struct lockfile *lf, str dep_path);
/* The first row whose key is not below KEY; needs what lockfile_package() needs. Those of a name are the ones from
 * "name@" on that begin so. */
size_t lockfile_packages_from(const struct lockfile *lf, str key);
size_t lockfile_snapshots_from(const struct lockfile *lf, str key);
/* The project in PATH, or NULL; needs the same order. */
const struct lock_importer *lockfile_importer(const struct lockfile *lf, str path);
/* Packages and snapshots by key, importers by path. */
void lockfile_sort(struct lockfile *lf);
/* D's entry for ALIAS, or NULL. Linear: for maps of one snapshot. */
const struct lock_dep *lock_dep_find(struct lock_deps d, str alias);
/* Whether A and B have the same entries, in whatever order. */
bool lock_deps_same(struct lock_deps a, struct lock_deps b);
/* S's entry for ALIAS among all that it depends on, or NULL. */
const struct lock_dep *lock_snapshot_dep(const struct lock_snapshot *s, str alias);
/* The order of a file's rows, for qsort(): by key, by path. */
int lock_package_order(const void *a, const void *b);
int lock_snapshot_order(const void *a, const void *b);
int lock_importer_order(const void *a, const void *b);
/* Gives packages of a registry their version where a peer in a dep path of theirs is a folder or URL, as pnpm does, and
 * no others; needs lockfile_sort(). */
void lockfile_versions(struct lockfile *lf);
