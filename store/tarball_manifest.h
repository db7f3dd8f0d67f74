/* tarball_manifest — the package.json and the digest of a tarball that no packument describes: a file:
 * dependency's, a URL dependency's.
 *
 * Pure but for the memory of the tarball. Any thread. */
#pragma once
#include "manifest.h"

/* Reads the N bytes at P, named WHERE in messages: *OUT from its package.json and *INTEGRITY ("sha512-…"), both in A.
 * *OUT stays zeroed and *THERE false where it has no package.json. LENIENT: as a published package's is read
 * (manifest_parse_package()), else as a folder's. ERR_PARSE, ERR_TOOBIG and what unpack.h lists. */
MUST_USE int tarball_manifest(struct manifest *out, str *integrity, bool *there, const void *p, size_t n, str where,
	bool lenient, struct arena *a, struct err *e);
