/* project — what is on disk, as a request: manifests, settings, registries, the lockfile.
 *
 * Finds the workspace's root, reads package.json files, pnpm-workspace.yaml,
 * .npmrc files and the environment, and builds the struct request that a plan
 * source is asked. Credentials stay here, in a table for store/registry.h; the
 * request has none. Reads only, but for make_workspace; one thread. */
#pragma once
#include "registry.h"
#include "request.h"
#include "workspace_yaml.h"

/* Hooks of pnpm's, which dray does not run: where one of these stands in the root, a project is refused. */
#define PROJECT_HOOKS ".pnpmfile.cjs", ".pnpmfile.mjs", "pnpmfile.js"

struct project_opts {
	str dir;               /* where the user stands, absolute or relative; empty: the current folder */
	str registry;          /* --registry: over every other source */
	bool ignore_workspace; /* --ignore-workspace */
	bool whole_workspace;  /* from wherever: --filter, --workspace-root, --recursive */
	bool make_workspace;   /* a package.json with "workspaces" and no pnpm-workspace.yaml gets one */
	bool lockfile_only;    /* settings that only node_modules depends on are no reason to refuse */
	bool unparsed;         /* the lockfile is read and not parsed: project_lockfile() does, where it is needed */
	char **env;            /* NULL: the process's */
};

/* One importer as the linker sees it; same order as req.importer. */
struct project_importer {
	str path; /* from root; "." */
	str dir;  /* absolute */
};

struct project {
	struct arena arena;
	str root;                          /* absolute: the lockfile's folder */
	str base;                          /* absolute: where the user stands */
	str current;                       /* importer in which the user stands, "." when in none */
	bool is_workspace, made_workspace; /* project_load() wrote its pnpm-workspace.yaml */
	str machine_file;                  /* where the machine's config.yaml is or would be; empty: no home */
	/* pnpm-workspace.yaml of the workspace in whose folder this project lies without being listed; empty: none. */
	str around;
	/* `packages:` of pnpm-workspace.yaml; "." when the file has none; empty without the file. */
	struct str_list patterns;
	struct request req; /* mode, groups and ignore_scripts are the caller's to change */
	struct project_importer *importer;
	struct client_settings client;
	struct lockfile lockfile; /* req.lockfile points here when there is one */
	str lockfile_path;        /* root/pnpm-lock.yaml */
	str lockfile_text;        /* its bytes, in lockfile_bytes; or absent */
	struct buf lockfile_bytes;
	uint8_t manifests[32]; /* SHA-256 over all package.json files, with their paths */
	bool has_lockfile;
	struct err lockfile_broken; /* code < 0: there is one and it cannot be read, which matters where it is frozen */
	str env_document;           /* to be kept at the head of the lockfile */
	struct registry_auth *auth;
	size_t nauth;
	str cafile, ca; /* path; PEM text */
	str https_proxy, http_proxy, no_proxy;
	bool insecure;            /* strict-ssl=false */
	bool ci;                  /* CI is set: --frozen-lockfile by default */
	struct str_list warnings; /* for people, in order; say them once */
};

/* Fills P from disk. ERR_PARSE, ERR_USAGE, ERR_UNSUPPORTED, ERR_IO, ERR_NOTFOUND (no package.json) with the file's
 * name; nothing is left behind on error. A workspace may have no projects at all. Release it in any case. */
int project_load(struct project *p, const struct project_opts *o, struct err *e);
/* Parses what `unparsed` left. ERR_PARSE for merge conflicts; what is broken otherwise is kept in lockfile_broken. */
MUST_USE int project_lockfile(struct project *p, struct err *e);
/* The same for a lockfile that was parsed before: LF, which must live as long as P. */
void project_lockfile_is(struct project *p, const struct lockfile *lf);
/* Whether all package.json files have the bytes that were read: a script may have written them anew. */
bool project_manifests_same(const struct project *p);
void project_release(struct project *p);
/* Packages whose builds allowBuilds settles: 1 yes, 0 no, -1 it says nothing. NAME and VERSION of the package. */
int project_may_build(const struct client_settings *c, str name, str version);
/* Whether a version younger than minimumReleaseAge is an error: by default where the user set an age. */
bool project_age_strict(const struct project *p);
