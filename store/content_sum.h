/* content_sum — the sum by which a record knows a file's content again.
 *
 * Pure. A record made from a pack or a folder has SHA-256, one made from a
 * tarball or a delta (PKG_CRC) has a CRC-64: the tarball's SRI, or the delta's
 * digest, proved the bytes, and what the store asks later is whether a file was damaged or written to since. Who
 * can write to the store can write its index too, so a digest would tell no
 * more; `dray verify --store` compares with the registry by SHA-256. */
#pragma once
#include "integrity.h"
#include "pkg_index.h"

struct content_sum {
	struct hasher *sha; /* NULL: a CRC */
	uint64_t crc;
};

uint64_t content_crc(uint64_t crc, const uint8_t *p, size_t n); /* CRC is 0 for the first piece */
void content_crc_put(uint8_t sum[32], uint64_t crc);

/* begin, add…, end; end releases S and says whether it was the content of a file whose row has SUM. */
void content_begin(struct content_sum *s, struct pkg p);
void content_add(struct content_sum *s, const uint8_t *p, size_t n);
bool content_end(struct content_sum *s, const uint8_t sum[32]);
