/* resolve — the walk that finds the packages: importer by importer, level by level.
 *
 * A level is resolved in full before any of it is settled, so that which
 * occurrence decides a package's children (least depth, importer, path) does not
 * depend on who came first. Only that occurrence walks on; the others share its
 * children lazily. Versions that a level resolved are preferred below it. */
#pragma once
#include "graph.h"
#include "metas.h"

/* Resolves WANTED as direct dependencies of IMP and everything below; appends to imp->direct. */
MUST_USE int resolve_extend(struct run *r, struct importer *imp, const struct wanted *w, uint32_t n, struct err *e);
/* One specifier to its package, nothing below. *OUT is NONE when there is no such version and the edge is optional. */
struct resolve_opts {
	const struct level *level;
	/* where file: and link: start: the lockfile's folder for what is published, where only overrides say so */
	atom dir, link_dir;
	int64_t cutoff;
	bool lowest;
	int32_t depth;
	prior key; /* the edge's place in the lockfile, or NONE */
};
/* Whether a project of the workspace serves W at DEPTH rather than what the lockfile has: preferWorkspacePackages. */
bool resolve_prefers_workspace(struct run *r, const struct wanted *w, int32_t depth);
/* *FRESH: nobody met the package before. ERR_NOMATCH, ERR_NOTFOUND and what the registry answered, with the name. */
MUST_USE int resolve_wanted(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct resolve_opts *o, bool *fresh, struct err *e);
/* PKG's dependencies are to be asked for ahead, once: for the projects that come after this one. SHADOW:
 * those that peers replace. KEY: PKG's place in the lockfile, which decides instead where it has them. */
void resolve_ask_later(struct run *r, uint32_t pkg, const struct atomset *shadow, prior key);
/* Chooses for all packages that IMP's walk was the first to meet; what the projects after it find. */
MUST_USE int resolve_ask_ahead(struct run *r, const struct importer *imp, struct err *e);
/* Finds out, before the walk, to which versions projects' direct dependencies move that the lockfile has other
 * versions of: what is locked below other projects moves along, see resolve_bumped_to(). */
MUST_USE int resolve_bumped(struct run *r, struct err *e);
/* The highest such version of NAME above PINNED that RANGE takes, for a package below IMP; 0: none. IMP's own
 * dependency on NAME leaves no say to others'. Source: pnpm 12.21's behaviour. */
atom resolve_bumped_to(struct run *r, const struct importer *imp, atom name, atom pinned, atom range);
/* Versions of NAME among everything reachable so far from IMP, or from all importers (NULL): calls F. */
void resolve_run_versions(
	struct run *r, const struct importer *imp, atom name, void (*f)(void *ctx, atom version), void *ctx);
