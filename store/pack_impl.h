/* pack_impl — what packs and deltas, building and reading share: the header, the table's numbers and paths.
 *
 * pack.c builds packs, pack_delta.c deltas; pack_whole.c and pack_apply.c read them; pack_stream.c
 * reads either as it arrives. */
#pragma once
#include "pack_delta.h"
#include "pack_stream.h"
#include <zstd.h>

enum { PACK_HEADER = 32, PACK_MAGIC = 0x314B5044 /* "DPK1" */, PACK_WHOLE = PACK_FORMAT, PACK_DELTA = 3, SHA = 32 };
/* 2 were deltas with the SHA-256 of what comes out. */
enum { PACK_STEP = 128 << 10 }; /* a piece is no longer: it is written while a CPU's own cache has it */
enum { PACK_AROUND = 1 << 19 }; /* what zstd has beside a window, and more */

/* Row flags. A duplicate is followed by how many rows back the same content stands. */
enum { ROW_EXEC = 1, ROW_DUPLICATE = 2, ROW_BASE = 4, ROW_MOVED = 8 };

struct pack_header {
	uint32_t version, files, table, table_z;
	uint64_t raw;
	uint32_t prefix; /* a delta's: bytes of its longest prefix */
};
/* Of a delta: what a frame of its content makes, its size, and the part of the base that it stands behind. */
struct pack_segment {
	uint64_t out, z, from, len;
};
struct pack_reader {
	const uint8_t *p, *end;
	bool bad;
};

/* Seven bits a byte, the lowest first; at most ten bytes. */
void pack_put_varint(struct buf *b, uint64_t v);
uint64_t pack_get_varint(struct pack_reader *r);
/* An empty one, and bad, where fewer are left. */
str pack_get_bytes(struct pack_reader *r, uint64_t n);
/* A path by what it shares with the one BEFORE. */
void pack_put_path(struct buf *b, str before, str path);
/* Into A. ERR_PARSE where it is damaged, or leaves the package. */
MUST_USE int pack_get_path(str *out, struct pack_reader *r, str before, struct arena *a, struct err *e);
/* Appends a header and the compressed table; the header is filled by pack_finish(). */
MUST_USE int pack_begin(struct buf *out, uint32_t *table_z, str table, int level, struct err *e);
/* The header at OUT's byte START; the digest of what stands behind it. */
void pack_finish(struct buf *out, size_t start, uint8_t digest[32], const struct pack_header *h, uint32_t tarball);
/* Checks magic, version and every size against the limits of pack.h. ERR_PARSE, ERR_TOOBIG; ERR_UNSUPPORTED for
 * another version. */
MUST_USE int pack_read_header(struct pack_header *h, const uint8_t *p, size_t n, struct err *e);
/* Inflates exactly WANT bytes from one frame with D into OUT. */
MUST_USE int pack_inflate(
	uint8_t *out, size_t want, ZSTD_DCtx *d, const uint8_t *p, size_t n, const char *what, struct err *e);
/* Appends BYTES of a frame, encoded by pieces between which STOP is looked at (NULL: it is not); LAST ends
 * the frame. ERR_CANCELLED. */
MUST_USE int pack_compress(struct buf *out, ZSTD_CCtx *z, str bytes, bool last, const atomic_bool *stop, struct err *e);
/* The header of the N bytes at P, which must be those with DIGEST: ERR_INTEGRITY. */
MUST_USE int pack_check(struct pack_header *h, const void *p, size_t n, const uint8_t digest[32], struct err *e);
/* ERR_INTEGRITY: other bytes than promised; ERR_PARSE: a delta, and no base for it. In the same words everywhere. */
int pack_other_bytes(struct err *e);
int pack_no_base(struct err *e);

/* pack_scratch.c. What O lends, or OWN. */
struct pack_scratch {
	ZSTD_DCtx *d;
	uint8_t *p;
	size_t cap, touched;
	size_t apart; /* bytes that D has from the heap */
	bool lent;    /* D's window is behind the first PACK_STEP bytes of P */
};
struct pack_scratch *pack_scratch_of(const struct pack_stream_opts *o, struct pack_scratch *own);
void pack_scratch_release(struct pack_scratch *s);
/* N bytes, whose content is anything, until another pack needs the scratch; no more than PACK_STEP
 * where a context has a window. */
uint8_t *pack_scratch_buf(struct pack_scratch *s, size_t n);
/* A context as new, until the next call. WINDOW, asked for before the bytes: those that it keeps for itself, for frames
 * that are decoded piece by piece; 0: none. More than the scratch has room for (here, or of bytes) makes it anew: then
 * neither the bytes nor a context from before is there any more. */
ZSTD_DCtx *pack_scratch_context(struct pack_scratch *s, uint64_t window);

/* Either kind's reader, from header and compressed table on: content in any pieces, rows to O->fn, which is kept. *OUT
 * is to be freed even after a failure, after which nothing else is allowed. */
struct pack_whole;
MUST_USE int pack_whole_open(struct pack_whole **out, const struct pack_header *h, const uint8_t *table_z,
	const struct pack_stream_opts *o, struct err *e);
MUST_USE int pack_whole_add(struct pack_whole *x, const uint8_t *p, size_t n, struct err *e);
MUST_USE int pack_whole_end(struct pack_whole *x, struct err *e);
void pack_whole_free(struct pack_whole *x);
/* All of one whose header is read; P is what stands behind that. */
MUST_USE int pack_whole_all(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e);
struct pack_apply;
MUST_USE int pack_apply_open(struct pack_apply **out, const struct pack_header *h, const uint8_t *table_z,
	const struct pack_stream_opts *o, struct err *e);
MUST_USE int pack_apply_add(struct pack_apply *x, const uint8_t *p, size_t n, struct err *e);
MUST_USE int pack_apply_end(struct pack_apply *x, struct err *e);
MUST_USE int pack_apply_all(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e);
void pack_apply_free(struct pack_apply *x);
