/* package — one resolved package: where it comes from, what it depends on, which peers it wants. */
#pragma once
#include "graph.h"

/* The registry's NAME in VERSION, patched or not, if it was met; NONE. */
uint32_t package_find(struct run *r, atom name, atom version);
/* name@version of a packument, found or made. FRESH: it is new. ERR_USAGE when two patches fit. */
MUST_USE int package_of_registry(
	struct run *r, uint32_t *out, struct packument p, uint32_t v, str registry, bool *fresh, struct err *e);
/* Version V of PM as a package that is in no graph: its manifest after the hooks, and what its row needs. */
void package_read(struct run *r, struct pkg *out, struct packument pm, uint32_t v, str registry);
/* What no registry has: a folder, a tarball, a workspace package. */
struct package_local {
	enum pkg_kind kind;
	atom id;  /* what its dep path begins with, or "link:dir" from the lockfile's folder */
	atom raw; /* what stands behind "name@": "file:lib", a URL; or "link:dir" from the project */
	const struct manifest *manifest; /* borrowed for the run; NULL: a link to a folder that has none */
	atom name, alias;                /* 0: none */
	atom directory;                  /* from the lockfile's folder; of a tarball its path or URL */
	str integrity;                   /* of a tarball */
	bool by_workspace;               /* it is a project of the workspace */
};
/* Found by its id, or made; *FRESH: it is new. */
uint32_t package_of_manifest(struct run *r, const struct package_local *l, bool *fresh);
/* A tarball that no registry has: RAW is what stands behind "name@" ("file:x.tgz", a URL), DIRECTORY its path or URL.
 * LOCKED: what L was made from, or NULL. ERR_USAGE when two patches fit. */
MUST_USE int package_of_tarball(struct run *r, uint32_t *out, atom name, atom raw, atom directory,
	const struct request_local *l, const struct lock_package *locked, bool *fresh, struct err *e);
/* A package as the lockfile that exists has it. OWN: names of peers that are dependencies of its own. */
MUST_USE int package_of_lock(struct run *r, uint32_t *out, const struct lock_package *m, str name, str version,
	struct str_list own, bool *fresh, struct err *e);
/* The list WHICH of a registry's package P, in R's arena. */
struct str_list package_list(struct run *r, const struct pkg *p, enum packument_list which);
/* What to resolve below it, sorted by alias; not yet without the shadowed names. ERR_PARSE for
 * an alias that is no name. */
MUST_USE int package_specs(struct run *r, struct pkg *p, struct err *e);
/* Names both in dependencies and peerDependencies, which the peer provides: those that SCOPE has, and with
 * autoInstallPeers all that are not optional. */
const struct atomset *package_shadowed(struct run *r, const struct pkg *p, const struct scope *scope);
/* Whether what P's manifest asks for may be in catalogs: it is a copy of a project. */
bool package_through_catalogs(const struct pkg *p);
/* Splits the manifest into peers the way an occurrence with SHADOW reads it. Returns whether that changed them. */
bool package_split_peers(struct run *r, struct pkg *p, const struct atomset *shadow);
/* Whether there is nothing in D, peers included. */
bool deps_none(const struct deps *d);
/* deps of a manifest, before hooks. DEV (may be NULL) gets devDependencies. */
void deps_of_manifest(struct run *r, struct deps *d, struct deps *dev, const struct manifest *m);
