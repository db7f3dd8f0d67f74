/* tarball_manifest — the package.json and the digest of a tarball that no packument describes: a file:
 * dependency's, a URL dependency's.
 *
 * Pure but for the memory of the tarball. Any thread. */
#pragma once
#include "manifest.h"

struct tarball_package {
	struct manifest manifest; /* zeroed where it has no package.json */
	bool has_manifest;
	str integrity; /* "sha512-…" */
};

/* Reads the tarball BYTES, named WHERE in messages; strings live in A. LENIENT: its package.json is read as a published
 * package's (manifest_parse_package()), else as a folder's. ERR_PARSE, ERR_TOOBIG and what unpack.h lists. */
MUST_USE int tarball_manifest(
	struct tarball_package *out, str bytes, str where, bool lenient, struct arena *a, struct err *e);
