/* unpack — a .tgz of the npm registry into a file sink: integrity, gunzip, tar.
 *
 * Knows nothing of the store: the sink decides what a file becomes (store/import
 * writes it, the pack builder keeps it). Bytes come as they are received; a small
 * tarball is held until its end and inflated in one go, a large one is inflated
 * as it arrives, in bounded memory either way. One thread at a time.
 *
 * What comes out: regular files only, in the archive's order, paths below the
 * package, mode reduced to "executable by anybody". As pnpm does: the first
 * component is dropped whatever it is called (a name of one component is kept),
 * "." and empty components are dropped, backslashes separate, links and
 * everything else that is no file is skipped. More than pnpm: devices and
 * pipes are refused, headers need their checksum. A repeated name is given to
 * the sink again: the last one wins.
 *
 * Refused by name: absolute paths, "..", NUL, components over 255 bytes, paths
 * over 4,000, more than 128 levels, truncation, and what is past the limits.
 * Sources: POSIX.1-2001 pax, GNU tar's manual, RFC 1952. */
#pragma once
#include "base/base.h"

/* Calls come as begin, data…, end for each file, SIZE bytes in all. A negative return ends the unpacking with *e. */
struct unpack_sink {
	void *arg;
	int (*begin)(void *arg, str path, uint64_t size, bool exec, struct err *e);
	int (*data)(void *arg, const uint8_t *p, size_t n, struct err *e);
	int (*end)(void *arg, struct err *e);
};
/* What unpacking needs for a while, kept from one tarball to the next: fresh pages cost as much as what is written to
 * them. One user at a time. */
struct unpack_scratch;
/* It holds nothing yet. */
struct unpack_scratch *unpack_scratch_new(void);
void unpack_scratch_free(struct unpack_scratch *s);
struct unpack_opts {
	struct unpack_sink sink;
	str sri;                        /* of the tarball; empty: not verified. Copied */
	str label;                      /* names the package in messages; borrowed for the whole life */
	uint64_t max_unpacked;          /* bytes of tar; 0: 4 GiB */
	uint32_t max_entries;           /* 0: 500,000 */
	struct unpack_scratch *scratch; /* NULL: of its own. Lent for the whole life */
	bool stream;                    /* nothing is held: inflated from the first byte on, as a large one is */
};
struct unpack;
/* ERR_PARSE for an SRI that cannot be read. */
MUST_USE int unpack_new(struct unpack **out, const struct unpack_opts *o, struct err *e);
/* The next bytes. After an error only unpack_free() may follow. */
MUST_USE int unpack_feed(struct unpack *u, const void *p, size_t n, struct err *e);
/* No more bytes: checks that the archive is whole and, last, that its bytes have the digest. Nothing that the sink got
 * may be believed before this returned 0. ERR_INTEGRITY names both digests. */
MUST_USE int unpack_end(struct unpack *u, struct err *e);
void unpack_free(struct unpack *u);
/* new, feed, end, free. Verifies before it inflates. */
MUST_USE int unpack_tarball(const struct unpack_opts *o, const void *p, size_t n, struct err *e);
