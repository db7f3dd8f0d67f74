/* pack_tarball — a registry's tarball as a pack: the sink that keeps what unpack gives it.
 *
 * Holds all files in memory at once, so its limits are a server's, below those of an import. Any thread. */
#pragma once
#include "pack.h"

/* What a package.json calls itself: words without blanks, as they are in names and versions; empty: it says
 * nothing, or something longer. */
struct pack_named {
	char name[215], version[257];
};
/* A byte order mark is tolerated. What is no JSON, or more than 2 MiB of it, says nothing. */
void pack_named_read(struct pack_named *out, str package_json);

struct pack_tarball_opts {
	str sri;                  /* verified before anything is inflated; must not be empty */
	str label;                /* the package, in messages */
	str name;                 /* what its package.json has to name; empty: nothing is asked */
	struct pack_named *named; /* filled once the tarball has been read; may be NULL */
	struct pack_opts pack;
	uint64_t max_unpacked; /* bytes of tar; 0: 512 MiB */
};
/* Appends the pack of the N bytes at P to OUT; *RAW (may be NULL) is the bytes of its files. The same tarball and
 * options make the same pack. ERR_INTEGRITY, ERR_PARSE, ERR_TOOBIG; ERR_POLICY: it is another package than NAME. */
MUST_USE int pack_tarball(struct buf *out, uint8_t digest[32], uint64_t *raw, const struct pack_tarball_opts *o,
	const void *p, size_t n, struct err *e);
