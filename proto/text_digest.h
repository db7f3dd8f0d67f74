/* text_digest — a hash of large texts, as keys for what this machine keeps about them: collision-resistant like SHA-256, and several times as fast
 * on processors without instructions for that (a lockfile of 1.25 MB: 0.5 ms with AVX-512, 5 ms by libcrypto).
 *
 * Sixteen lanes of SHA-256's compression function share the text word by
 * word, each 64 bytes giving every lane its next word; their states, what is left over, and the length go through
 * SHA-256. The result depends on the machine's byte order, so it never leaves the machine. Pure. */
#pragma once
#include "base/base.h"

void text_digest(uint8_t out[32], str text);

/* For tests. Compresses N blocks of TEXT_BLOCK bytes at P into STATE, a row for each of the eight words; FAST: with the best instructions there are. */
enum { TEXT_LANES = 16, TEXT_BLOCK = 64 * TEXT_LANES };
void text_digest_lanes(uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t n, bool fast);
