/* pack_stream — a pack, or a delta, unpacked while it arrives.
 *
 * Rows are given out before the last byte is here, so nothing of them may be believed until pack_stream_end() has
 * compared the digest: import_pack.h keeps them unseen until then. Memory is pack_memory() however large the pack is.
 * Pure; one thread at a time. */
#pragma once
#include "pack_delta.h"

/* What unpacking needs for a while, kept from one pack to the next: fresh pages cost as much as what is written to
 * them. One user at a time. It holds what pack_memory() said of one pack, whichever, and as long as there are several
 * the largest, and a context. */
struct pack_scratch;
/* It holds nothing yet. */
struct pack_scratch *pack_scratch_new(void);
/* NULL is fine. */
void pack_scratch_free(struct pack_scratch *s);
/* Bytes of memory that it holds, a context's included. */
uint64_t pack_scratch_bytes(const struct pack_scratch *s);

struct pack_stream;
struct pack_stream_opts {
	str label;                    /* names the package in errors */
	const struct pack_base *base; /* the other version's files; NULL: a delta is refused */
	unsigned flags;               /* PACK_CHECK; to pack_stream_all() PACK_PIECES, too */
	struct pack_scratch *scratch; /* NULL: of its own. Lent for the whole life */
	pack_row_fn *fn;              /* as with PACK_PIECES */
	void *arg;
};
/* What O points to is borrowed. */
struct pack_stream *pack_stream_new(const struct pack_stream_opts *o);
/* The next N bytes. Errors as pack_unpack(), and of a delta ERR_INTEGRITY where the base is not what it was made
 * against; afterwards it can only be freed. */
MUST_USE int pack_stream_add(struct pack_stream *s, const void *p, size_t n, struct err *e);
/* There are no more. 0: they are those with DIGEST, and every file was given. ERR_INTEGRITY, ERR_PARSE. */
MUST_USE int pack_stream_end(struct pack_stream *s, const uint8_t digest[32], struct err *e);
/* Whether it turned out to be a delta. */
bool pack_stream_is_delta(const struct pack_stream *s);
/* All of it at once, pack or (O->base) delta, verified against DIGEST first: faster. As new, add, end and free. */
MUST_USE int pack_stream_all(
	const struct pack_stream_opts *o, const void *p, size_t n, const uint8_t digest[32], struct err *e);
/* NULL is fine. */
void pack_stream_free(struct pack_stream *s);
