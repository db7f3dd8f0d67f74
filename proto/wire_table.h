/* wire_table — the string table of plan.proto, from both ends.
 *
 * Internal to the wire: request_wire.c and plan_enc.c write through a struct
 * enc and read, as plan_dec.c does, through a struct dec. Both carry the first error of a message,
 * so that the code that walks fields stays straight. One thread at a time. */
#pragma once
#include "base/base.h"
#include <protobuf-c/protobuf-c.h>

/* The table while it is written. TMP holds what the message under construction points at. */
struct enc {
	struct arena keep, tmp;
	struct map ref;
	VEC(ProtobufCBinaryData) fresh; /* announced by the message under construction */
	size_t bytes;
	uint32_t before; /* strings that earlier messages have announced */
};
/* A new message begins: what it announces is counted from here. */
void enc_begin(struct enc *en);
void enc_release(struct enc *en);
/* The ref of S, announced if it is new. */
uint32_t enc_str(struct enc *en, str s);
/* The ref of S if it is announced, else 0. */
uint32_t enc_known(const struct enc *en, str s);
/* An array of N refs of the message, in *OUT, *N_OUT of them; to be filled. */
uint32_t *enc_room(struct enc *en, size_t n, size_t *n_out, uint32_t **out);
/* The refs of all of L; of keys and values of M in turn. */
void enc_list(struct enc *en, struct str_list l, size_t *n, uint32_t **out);
void enc_map(struct enc *en, struct str_map m, size_t *n, uint32_t **out);
/* ROWS × COLS slices that lie next to each other: an array of a struct that is nothing but str fields. */
void enc_rows(struct enc *en, const void *rows, size_t nrows, size_t cols, size_t *n, uint32_t **out);
#define ROW_COLS(type) (sizeof(type) / sizeof(str))
static inline ProtobufCBinaryData pb_bytes(str s)
{
	return (ProtobufCBinaryData){ s.n, (uint8_t *)(uintptr_t)s.p };
}

/* The table while it is read. */
struct dec {
	struct arena *keep; /* strings of the table */
	struct arena *tmp;  /* arrays, texts, and what protobuf-c allocates */
	VEC(str) str;
	size_t before; /* of them, announced by earlier messages */
	size_t bytes, allocated;
	struct err *e;
	int code; /* first error of the message being read, also in *e */
};
/* The first failure of a message counts. CODE. */
int dec_fail(struct dec *d, int code, const char *what);
/* For protobuf-c's unpack functions: memory of D's arena within the limit. */
ProtobufCAllocator dec_allocator(struct dec *d);
/* Room for an array of N × SIZE bytes, or false and an error. */
bool dec_array(struct dec *d, size_t n, size_t size);
/* An array of the message's arena; NULL for none and past the limit (then *n becomes 0). */
#define dec_new(d, type, n)                                                                                            \
	(*(n) == 0 || !dec_array(d, *(n), sizeof(type)) ? (*(n) = 0, NULL) : arena_new((d)->tmp, type, *(n)))
/* The strings that a message announces: before any of its refs is read. */
void dec_strings(struct dec *d, size_t n, const ProtobufCBinaryData *p);
/* What ENC's functions wrote; absent or empty after a failure. Strings live with the table, lists
 * and texts with the message. */
str dec_str(struct dec *d, uint32_t ref);
str dec_bytes(struct dec *d, ProtobufCBinaryData b);
/* 32 bytes, or none, which leaves OUT alone. */
void dec_digest(struct dec *d, uint8_t out[32], ProtobufCBinaryData b);
struct str_list dec_list(struct dec *d, size_t n, const uint32_t *p);
struct str_map dec_map(struct dec *d, size_t n, const uint32_t *p);
void *dec_rows(struct dec *d, size_t n, const uint32_t *p, size_t cols, size_t *nrows);
/* V, when it is at most LAST; else ERR_PARSE with WHAT, and 0. */
uint32_t dec_enum(struct dec *d, uint32_t v, uint32_t last, const char *what);
