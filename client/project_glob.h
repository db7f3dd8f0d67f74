/* project_glob — the folders that the `packages:` globs of a workspace name.
 *
 * Globs as pnpm takes them: `*`, `?`, `[…]`, `{a,b}`, `**` for any number of
 * folders, "!" for exclusions (which hold whatever their place); node_modules,
 * bower_components and hidden folders are never entered by a wildcard, links
 * to folders not followed. At most 100,000 folders and a depth of 64. */
#pragma once
#include "base/base.h"

/* Folders below ROOT with a package.json, as sorted paths relative to ROOT. */
int project_glob(struct str_list *out, str root, struct str_list globs, struct arena *a, struct err *e);
