/* workspace — dependencies that are folders: `workspace:`, `link:`, `file:`, paths, and registry
 * specifiers that a workspace package satisfies.
 *
 * The engine has no file system: manifests come with the request (importers and
 * locals). Paths are from the lockfile's folder, "/" separated, "." for itself. */
#pragma once
#include "graph.h"

struct workspace;
void workspace_init(struct run *r);
void workspace_release(struct run *r);

enum local_result { LOCAL_NONE, LOCAL_FOUND };
/* Resolves W of importer IMP when its specifier is local: file: from FILES, other folders from LINKS. *OUT: the
 * package. LOCAL_NONE: not a local specifier. Negative on failure. */
int workspace_resolve(struct run *r, uint32_t *out, const struct importer *imp, atom files, atom links,
	const struct wanted *w, bool *fresh, struct err *e);
struct reg_spec;
/* With linkWorkspacePackages: *OUT is the workspace package that takes the place of the registry's VERSION (0: the
 * registry has none) of what SPEC asks for. False: there is none. */
bool workspace_instead(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct reg_spec *spec, atom version, bool *fresh);
/* Whether, with preferWorkspacePackages, a project takes SPEC's place whatever the registry and the lockfile have. */
bool workspace_preferred(struct run *r, const struct reg_spec *spec);
/* Whether S, the path of a file: specifier, is a tarball's. */
bool workspace_tarball(str s);
/* Whether "workspace:" and S takes any version. */
bool workspace_any(str s);
/* Whether dependenciesMeta of M (may be NULL) asks for a copy of ALIAS; it counts in copied
 * folders as well as in projects. */
bool workspace_injected(const struct manifest *m, str alias);
/* Manifest of a local folder or tarball by its path, or NULL. */
const struct manifest *workspace_manifest(const struct run *r, str path, str *integrity);
