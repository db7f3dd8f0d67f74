/* catalog — `catalog:` and `catalog:name` specifiers. Pure. */
#pragma once
#include "settings.h"

/* The catalog that SPEC names ("default" for "catalog:"), or absent. */
str catalog_name(str spec);
/* Who says "catalog:": the folder of its manifest, from the lockfile's. A folder that an entry names is written from
 * the lockfile's; *OUT of catalog_resolve() has it from there, in A. */
struct catalog_user {
	str dir;
	struct arena *a;
};
/* The specifier of ALIAS in CATALOG as it stands, or NULL. */
const str *catalog_entry(const struct settings *s, str alias, str catalog);
/* Whether SPEC names a folder: how it is written, and its path. */
bool catalog_folder(str spec, str *scheme, str *path);
/* Folder PATH, from the lockfile's, as SCHEME writes it in folder DIR. In A. */
str catalog_folder_from(str scheme, str path, str dir, struct arena *a);
/* Whether SPEC of an entry is recorded as it stands: a folder, or a project of the workspace. */
bool catalog_local(str spec);
/* SPEC of ALIAS without the catalog protocol, in *OUT. ERR_USAGE when the entry is missing or names a catalog
 * itself. */
MUST_USE int catalog_resolve(
	const struct settings *s, str *out, str alias, str spec, const struct catalog_user *u, struct err *e);
