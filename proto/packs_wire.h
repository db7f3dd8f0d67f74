/* packs_wire — the bytes of requests for packs and of their answers. Little-endian, fixed widths; pure.
 *
 * POST /v1/packs/find   "which packs are ready?"
 *	request   PACKS_FIND_TYPE: "DPF1", then a key of 24 bytes a package
 *	answer    PACKS_FIND_TYPE: for each key, in order, digest (32) and size (8); size 0: none is ready
 *	or        "DPF3", then two keys a package: its own, and that of a version which the client has (zeros: none):
 *	          the answer may be a delta from there (a pack of version 3), which says so itself
 *	or        "DPF2", the same of an older client, which reads deltas of version 2 only: it is answered as one with
 *	          "DPF1"
 * POST /v1/packs        "send them"
 *	request   PACKS_TYPE: "DPQ1", then digest (32) and the byte to begin at (8) of each
 *	answer    PACKS_TYPE: for each, in order, digest (32) and number of bytes that follow (8), and these bytes;
 *	          PACKS_ABSENT instead of a number: nothing follows, the tarball has to do
 * GET /v1/packs/<hex>   one pack as a static object
 *
 * A package's key is the head of its tarball's strongest digest. */
#pragma once
#include "base/base.h"

#define PACKS_FIND_TYPE "application/x-dray-find"
#define PACKS_TYPE "application/x-dray-packs"
#define PACKS_FIND_MAGIC "DPF1"
#define PACKS_FROM_MAGIC "DPF3"
#define PACKS_FROM_OLD_MAGIC "DPF2"
#define PACKS_MAGIC "DPQ1"
#define PACKS_ABSENT UINT64_MAX
enum {
	PACKS_KEY = 24,
	PACKS_ROW = 40,
	/* Bytes of a pack: a smaller one is not had as a delta from another of the same plan. */
	PACKS_PAIR_LEAST = 8192,
	PACKS_MOST_KEYS = 16384, /* in a find; past it ERR_TOOBIG */
	PACKS_MOST = 4096        /* packs in a request, likewise */
};

/* False where SRI is none, or too weak to stand for bytes (only sha1 and better do). */
bool packs_key(uint8_t key[PACKS_KEY], str sri);

/* A row: 32 bytes and a number. */
void packs_row_put(struct buf *out, const uint8_t digest[32], uint64_t n);
uint64_t packs_row_get(uint8_t digest[32], const void *row);

/* What stands behind MAGIC in BODY: *N things of WIDTH bytes. ERR_PROTOCOL, ERR_TOOBIG past MOST. */
MUST_USE int packs_body(const uint8_t **p, size_t *n, str body, str magic, size_t width, size_t most, struct err *e);
