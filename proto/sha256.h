/* sha256 — SHA-256 of our own, for keys and names: what an install that finds all of it there hashes must not load libcrypto, which takes longer than
 * all of that (docs/decisions/dependencies.md).
 *
 * With the CPU's instructions where it has them, as fast as libcrypto; else in
 * plain C, at about half of its speed. Pure; any thread. Source: FIPS 180-4. */
#pragma once
#include "base/base.h"

struct sha256 {
	uint32_t h[8];
	uint64_t n; /* bytes so far */
	uint8_t part[64];
	bool plain; /* without the CPU's instructions; sha256_begin() sets it where there are none */
};
void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, uint8_t out[32]);
/* Whether this CPU has instructions for it. */
bool sha256_fast(void);
