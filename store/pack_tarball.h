/* pack_tarball — a registry's tarball as a pack: the sink that keeps what unpack gives it.
 *
 * Holds all files in memory at once, so its limits are a server's, below those of an import. Any thread. */
#pragma once
#include "pack.h"

struct pack_tarball_opts {
	str sri;   /* verified before anything is inflated; must not be empty */
	str label; /* the package, in messages */
	struct pack_opts pack;
	uint64_t max_unpacked; /* bytes of tar; 0: 512 MiB */
};
/* Appends the pack of the N bytes at P to OUT; *RAW (may be NULL) is the bytes of its files. The same tarball and options make the
 * same pack. ERR_INTEGRITY, ERR_PARSE, ERR_TOOBIG. */
MUST_USE int pack_tarball(struct buf *out, uint8_t digest[32], uint64_t *raw, const struct pack_tarball_opts *o,
	const void *p, size_t n, struct err *e);
