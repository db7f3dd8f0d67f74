/* plan_columns — many messages of a plan as one, turned on its side: what stands in the same field of
 * all of them lies together.
 *
 * A plan is thousands of messages of two kinds. Side by side their equal fields compress far better than in turn, and
 * the digests, which nothing makes smaller, are kept away from the compressor's statistics. It is lossless: what goes
 * in comes out, byte for byte, so the encoder and the decoder of frames know nothing of it. Internal to the wire
 * (plan_wire.c); pure; one thread at a time. docs/protocol.md has the form. */
#pragma once
#include "base/base.h"

/* First byte of a message that holds others: field 12 of plan.proto's Frame. */
#define COLUMNS_TAG 0x62

struct columns;
struct columns *columns_new(void);
void columns_free(struct columns *c);
/* Takes one message of plan_enc_frame(). ERR_PROTOCOL: it has what no plan's message has. */
MUST_USE int columns_put(struct columns *c, str msg, struct err *e);
/* Appends all that was put, as one message, and is empty again. The last *tail bytes of it don't compress. */
void columns_take(struct columns *c, struct buf *out, size_t *tail);

struct columns_in;
struct columns_in *columns_in_new(void);
void columns_in_free(struct columns_in *ci);
/* Begins with MSG, a message that starts with COLUMNS_TAG; borrowed until the last columns_in_next(). ERR_PROTOCOL. */
MUST_USE int columns_in_open(struct columns_in *ci, str msg, struct err *e);
/* 1 and *msg, valid until the next call; 0 at the end; ERR_PROTOCOL, ERR_TOOBIG. */
MUST_USE int columns_in_next(struct columns_in *ci, str *msg, struct err *e);
