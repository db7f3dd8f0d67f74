/* pack_delta — a package as what another version of it lacks.
 *
 * A file that the other version has, under whatever name, is named and not sent; the rest is encoded behind the other
 * version's files as a prefix. Kept, named by digest and trusted as packs are: these bytes prove what is sent and what
 * is named. What comes out depends on the other version's files, too, which the store may have had for long: its CRC-64
 * tells whether one was damaged or written to since, as with all that a store keeps (content_sum.h). Pure.
 *
 *	header   as a pack's; the content's size has 32 bits, the longest prefix the other 32
 *	table    one zstd frame: the other version's files that make up the prefixes, a row a file, the segments, and
 *	         the SHA-256 of all files' CRC-64
 *	content  one zstd frame a segment */
#pragma once
#include "pack.h"

/* Appends the delta from BASE to FILE; both are sorted by path in place, and their digests filled.
 * ERR_TOOBIG; ERR_CANCELLED. */
MUST_USE int pack_delta_build(struct buf *out, uint8_t digest[32], struct pack_file *file, uint32_t n,
	struct pack_file *base, uint32_t nbase, const struct pack_opts *o, struct err *e);

/* The other version's files, by path. A delta is applied by pack_stream.h; its rows have their CRC with the
 * last piece, and no SHA256. */
struct pack_base {
	void *arg;
	/* N bytes of PATH from AT into TO; negative where it has not so many. */
	int (*read)(void *arg, str path, uint64_t at, uint8_t *to, size_t n, struct err *e);
};
/* Whether a pack's first 32 bytes are a delta's. */
bool pack_is_delta(const void *p, size_t n);
