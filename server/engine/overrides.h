/* overrides — what a manifest asks for once the workspace had its say.
 *
 * Three hooks in pnpm's order: packageExtensions (the compatibility database
 * first, then the user's; they add, never replace), ignoredOptionalDependencies,
 * overrides (a>b before b, the most specific range first, "-" removes). Applied to
 * every manifest, importers' included. */
#pragma once
#include "graph.h"

/* Reads the settings' overrides and extensions once a run. ERR_USAGE names the selector. */
MUST_USE int overrides_init(struct run *r, struct err *e);
void overrides_release(struct run *r);
/* Whether D says that its peer NAME is optional. */
bool deps_peer_optional(const struct deps *d, atom name);
/* Rewrites D, the manifest of NAME@VERSION (0: none); DIR is the folder of the manifest from the lockfile's, for local
 * targets (absent: absolute). DEV is an importer's devDependencies, or NULL. */
void deps_hooks(struct run *r, struct deps *d, struct deps *dev, atom name, atom version, const atom *dir);
/* Whether SPEC, which a package asks for as NAME, is an override's and names a folder: seen from the lockfile's. */
bool override_local(const struct run *r, atom name, atom spec);
/* The specifier that an override gives to a peer nobody declares; "-" drops it, 0: none applies. */
atom override_undeclared(struct run *r, atom name, atom range, const atom *dir);
/* What the selector of one of the settings' overrides says. */
struct override_selector {
	atom parent, parent_range; /* 0: everybody's, every version's */
	atom name, range;          /* range 0: any */
	bool converge;
	bool some; /* of what has the name: one group, or where the parent or the name is a pattern */
};
/* Of the I-th of them. */
struct override_selector override_selector(const struct run *r, size_t i);
/* Settings' overrides with catalog: and $name resolved, in their order, for the lockfile. */
struct str_map overrides_resolved(struct run *r);

/* A request's projects as a lockfile records them. */
struct projects_hooked {
	struct request_importer *importer; /* as many as the request has, in its order */
	struct str_map overrides;          /* as overrides_resolved() */
};
/* What REQ's projects ask for after the three hooks, in A; the request's own where nothing changes them. Needs no run.
 * Errors as overrides_init(). */
MUST_USE int projects_hooks(struct projects_hooked *out, const struct request *req, struct arena *a, struct err *e);
