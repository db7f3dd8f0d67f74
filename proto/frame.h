/* frame — messages in a compressed stream: length-prefixed, inside one zstd frame, flushed batch by batch.
 *
 * Each message is preceded by its length as a varint (protobuf's delimited
 * form). Whoever sends flushes after a batch, so that the reader has whole
 * messages as early as their bytes arrive. Knows no sockets: bytes in,
 * messages out, and the other way. One thread at a time. Source: RFC 8878 for zstd. */
#pragma once
#include "base/base.h"

/* Largest message, in bytes, and largest stream after decompression. Past them: ERR_TOOBIG. */
#define FRAME_MAX (16u << 20)
#define FRAME_STREAM_MAX (1024ull << 20)

/* Appends V as protobuf writes numbers: seven bits a byte, the lowest first. */
void varint_put(struct buf *b, uint64_t v);

struct frame_out;
/* LEVEL: zstd's, 0 for the default. */
struct frame_out *frame_out_new(int level);
/* Takes one message; compressed bytes are appended to OUT when zstd has some. ERR_TOOBIG. */
MUST_USE int frame_out_put(struct frame_out *fo, str msg, struct buf *out, struct err *e);
/* The same; the last TAIL bytes of it don't compress, and are kept apart from what does. */
MUST_USE int frame_out_put_apart(struct frame_out *fo, str msg, size_t tail, struct buf *out, struct err *e);
/* Appends everything that was put before. */
MUST_USE int frame_out_flush(struct frame_out *fo, struct buf *out, struct err *e);
/* The same, and ends the stream. Nothing may be put afterwards. */
MUST_USE int frame_out_end(struct frame_out *fo, struct buf *out, struct err *e);
void frame_out_free(struct frame_out *fo);

struct frame_in;
struct frame_in *frame_in_new(void);
/* The next bytes as received; copied. */
void frame_in_push(struct frame_in *fi, const void *p, size_t n);
/* 1 and *msg (valid until the next call): a whole message. 0: more bytes are needed, or the stream has ended.
 * ERR_PROTOCOL: no zstd, or bytes behind its end; ERR_TOOBIG. */
MUST_USE int frame_in_next(struct frame_in *fi, str *msg, struct err *e);
/* To be asked when the peer has closed: 0 when the stream ended where it should, else ERR_PROTOCOL. */
MUST_USE int frame_in_end(const struct frame_in *fi, struct err *e);
void frame_in_free(struct frame_in *fi);

/* One buffer, compressed at LEVEL, appended to OUT; and back, at most MAX bytes (ERR_TOOBIG, ERR_PROTOCOL). */
void frame_pack(struct buf *out, str bytes, int level);
MUST_USE int frame_unpack(struct buf *out, str packed, size_t max, struct err *e);
