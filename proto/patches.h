/* patches — which of patchedDependencies is for a package, and what it is called. Pure. Source: pnpm 12. */
#pragma once
#include "settings.h"

/* *OUT: the patch for NAME@VERSION (absent: it has none of its own), or NULL: for that version, else for the
 * one range that takes it, else for the whole name. ERR_USAGE for a selector that is no range, and for two
 * that fit. Reads ranges in A. */
MUST_USE int patch_of(
	const struct patch **out, const struct settings *s, str name, str version, struct arena *a, struct err *e);
/* HEX of the SHA-256 of a patch file's TEXT, with LF line ends and U+FFFD for what is no UTF-8. */
void patch_hash(char hex[65], str text);
