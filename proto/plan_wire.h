/* plan_wire — requests and plan frames as bytes. Who uses it sees nothing of the generated protobuf code.
 *
 * Used by the daemon and its client over HTTP/2, and by the daemon's plan cache.
 * Strings are interned on both sides (plan.proto says how), so an encoder and
 * a decoder carry state from frame to frame and belong to one plan and one
 * thread. Decoding trusts nothing: every count, string and index is checked
 * against a limit, and the frames' order against the rules of plan.h.
 *
 * Protocol: a client states the lowest and highest protocol it speaks; the
 * server answers in the highest that both have, and refuses by name where
 * there is none. Each side speaks PLAN_PROTOCOL and the one before it. Fields and frames that
 * the reader does not know are skipped. */
#pragma once
#include "plan.h"

/* What a peer may make us hold. Past them: ERR_TOOBIG. */
#define PLAN_MAX_REQUEST (64u << 20)  /* bytes of a request after decompression */
#define PLAN_MAX_LOCKFILE (48u << 20) /* bytes of a lockfile */
#define PLAN_MAX_STRINGS 4000000u     /* in the table */
#define PLAN_MAX_STRING_BYTES (128u << 20)
#define PLAN_MAX_STRING (1u << 20) /* bytes of one */
#define PLAN_MAX_IMPORTERS 20000u
#define PLAN_MAX_LOCALS 20000u
#define PLAN_MAX_PACKAGES 1000000u
#define PLAN_MAX_SLOTS 2000000u
#define PLAN_MAX_MEMORY (256u << 20) /* what decoding one message may allocate */

/* zstd's level for plans that are sent. Most of a plan are digests, which nothing makes smaller: level 6
 * takes twice as long for 2 %. */
#define PLAN_LEVEL 3
#define PLAN_CONTENT_TYPE "application/x-dray-plan"
#define PLAN_REQUEST_TYPE "application/x-dray-request"

/* What the client can use, as bits. */
enum { PLAN_ACCEPT_PACKS = 1, PLAN_ACCEPT_COLUMNS = 4 }; /* 2 is free */

/* A request as it travels. req.lockfile is not sent: the receiver reads it from req.lockfile_text,
 * or knows it by its digest. */
struct plan_request {
	struct request req;
	uint32_t protocol, protocol_min, accept;
	bool has_lockfile;
	uint8_t lockfile_sha256[32];
};

/* Appends R, compressed; its lockfile's text goes with it only if WITH_LOCKFILE, its digest always. ERR_TOOBIG. */
MUST_USE int request_encode(
	struct buf *out, const struct request *r, uint32_t accept, bool with_lockfile, struct err *e);
/* Reads a body. Everything is copied into A. ERR_PROTOCOL, ERR_TOOBIG; ERR_PARSE where a value is out of its range. A
 * lockfile's text is checked against its digest (ERR_INTEGRITY). req.lockfile stays NULL. */
MUST_USE int request_decode(struct plan_request *out, str body, struct arena *a, struct err *e);

/* Frames to messages (frame.h puts them into a stream). */
struct plan_enc;
struct plan_enc *plan_enc_new(void);
/* Appends one message. ERR_TOOBIG; ERR_UNSUPPORTED: a string has a NUL. */
MUST_USE int plan_enc_frame(struct plan_enc *pe, const struct frame *f, struct buf *out, struct err *e);
void plan_enc_free(struct plan_enc *pe);

/* Messages to frames. */
struct plan_dec;
struct plan_dec *plan_dec_new(void);
/* 1 and *out; 0 when it is a kind that we do not know, to be skipped; ERR_PROTOCOL, ERR_TOOBIG. Valid until the
 * next call. */
MUST_USE int plan_dec_frame(struct plan_dec *pd, str msg, struct frame *out, struct err *e);
/* DONE or FAILURE was there. */
bool plan_dec_complete(const struct plan_dec *pd);
void plan_dec_free(struct plan_dec *pd);

/* A whole plan in memory: the same stream as over HTTP/2. The writer is fed frame by frame; its
 * bytes are complete after end. */
struct plan_writer;
struct plan_writer *plan_writer_new(int level);
/* For a reader with PLAN_ACCEPT_COLUMNS: smaller, and cheaper to compress. Before the first frame. */
void plan_writer_columns(struct plan_writer *pw);
/* Encodes F, behind those before it. As plan_enc_frame(). */
MUST_USE int plan_writer_add(struct plan_writer *pw, const struct frame *f, struct err *e);
/* What has been encoded up to here and not taken yet, flushed, appended to OUT. END closes the stream. */
MUST_USE int plan_writer_take(struct plan_writer *pw, struct buf *out, bool end, struct err *e);
void plan_writer_free(struct plan_writer *pw);

/* The reader: bytes as they arrive, frames to SINK. Returns 0, or the sink's or its own negative code. */
struct plan_reader;
struct plan_reader *plan_reader_new(void);
/* The next bytes, however they were cut; a frame is SINK's for the call. ERR_PROTOCOL, ERR_TOOBIG. */
MUST_USE int plan_reader_push(struct plan_reader *pr, str bytes, frame_sink *sink, void *ctx, struct err *e);
/* At the peer's end of stream: 0 when the plan is whole, else ERR_PROTOCOL. */
MUST_USE int plan_reader_end(const struct plan_reader *pr, struct err *e);
void plan_reader_free(struct plan_reader *pr);

/* All of it in one call: the N frames at F, at zstd's LEVEL, and the stream's end. ERR_TOOBIG. */
MUST_USE int plan_encode(struct buf *out, const struct frame *f, size_t n, int level, struct err *e);
/* Hands the frames of BYTES to SINK, in order; returns the sink's code when that is negative. ERR_PROTOCOL when
 * the plan is not complete. */
MUST_USE int plan_decode(str bytes, frame_sink *sink, void *ctx, struct err *e);
