/* dependencies_meta — an importer's dependenciesMeta as pnpm writes it into the lockfile: all of it, whatever it says.
 *
 * Most entries are {}, {injected: true} or {injected: false}, which manifests and importers hold as lists. A map that
 * says more is held as the text that follows "dependenciesMeta:", as it will be printed, and travels so. Pure. */
#pragma once
#include "base/base.h"
#include "base/json.h"

#define DEPENDENCIES_META_KEY "dependenciesMeta"
enum { DEPENDENCIES_META_MAX = 64 * 1024, DEPENDENCIES_META_DEPTH = 32 };

/* J: the member of a package.json, may be NULL. *OUT is empty where the lists say all of it, and where J is no
 * object: pnpm writes none then. ERR_TOOBIG: over 64 KiB, or nested more than 32 deep. Source of keys' order, of
 * numbers and quotes: pnpm 12.21. */
int dependencies_meta_text(str *out, const struct json *j, struct arena *a, struct err *e);
/* Whether TEXT, which a peer sent, stays inside an importer's dependenciesMeta when it is printed. */
bool dependencies_meta_fits(str text);
