/* pkg_meta — what a package's record keeps of its package.json: name, version, bins, scripts, flags.
 *
 * Pure; strings live in the arena. A package.json that is missing or cannot be
 * read gives a package without name and bins, as pnpm has it. */
#pragma once
#include "pkg_index.h"

/* Fills OUT's name, version, flags, bins and scripts from TEXT; FILE (N of them, any order) are the package's files.
 * Bins as pnpm reads them: "bin", else every file below directories.bin; commands of URL-safe characters, without
 * scope; paths normalised, those that lead out of the package left out. */
void pkg_meta_read(
	struct pkg_info *out, str text, const struct pkg_entry *file, uint32_t n, str label, struct arena *a);
