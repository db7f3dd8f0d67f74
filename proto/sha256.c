#include "sha256.h"
#include <stdatomic.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t k[64] = { 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
	0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138,
	0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70,
	0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
	0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };

static uint32_t turn(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* One round; the caller turns the eight words instead of moving them. */
static inline void step(
	uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g, uint32_t *h, uint32_t word)
{
	uint32_t t = *h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + word;

	*d += t;
	*h = t + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
}

static void block_plain(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], i = h[7];

	for (unsigned n = 0; n < 16; n++)
		w[n] = (uint32_t)p[4 * n] << 24 | (uint32_t)p[4 * n + 1] << 16 | (uint32_t)p[4 * n + 2] << 8 |
		       p[4 * n + 3];
	for (unsigned n = 16; n < 64; n++) {
		uint32_t x = w[n - 15], y = w[n - 2];
		w[n] = w[n - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >> 3) + w[n - 7] +
		       (turn(y, 17) ^ turn(y, 19) ^ y >> 10);
	}
	for (unsigned n = 0; n < 64; n += 8) {
		step(a, b, c, &d, e, f, g, &i, k[n] + w[n]);
		step(i, a, b, &c, d, e, f, &g, k[n + 1] + w[n + 1]);
		step(g, i, a, &b, c, d, e, &f, k[n + 2] + w[n + 2]);
		step(f, g, i, &a, b, c, d, &e, k[n + 3] + w[n + 3]);
		step(e, f, g, &i, a, b, c, &d, k[n + 4] + w[n + 4]);
		step(d, e, f, &g, i, a, b, &c, k[n + 5] + w[n + 5]);
		step(c, d, e, &f, g, i, a, &b, k[n + 6] + w[n + 6]);
		step(b, c, d, &e, f, g, i, &a, k[n + 7] + w[n + 7]);
	}
	const uint32_t more[8] = { a, b, c, d, e, f, g, i };
	for (unsigned n = 0; n < 8; n++)
		h[n] += more[n];
}

#ifdef __x86_64__
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

static bool cpu_has(void)
{
	unsigned a, b, c, d, ssse3_sse41 = 1u << 9 | 1u << 19;

	__cpuid(0, a, b, c, d);
	if (a < 7)
		return false;
	__cpuid(1, a, b, c, d);
	if ((c & ssse3_sse41) != ssse3_sse41)
		return false;
	__cpuid_count(7, 0, a, b, c, d);
	return b >> 29 & 1;
}

/* Four rounds, from the I-th on, with the words W. */
WITH_SHA static inline void rounds(__m128i *abef, __m128i *cdgh, __m128i w, unsigned i)
{
	__m128i x = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)&k[i]));

	*cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, x);
	*abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(x, 0x0e));
}

/* The four words that follow sixteen. */
WITH_SHA static inline __m128i words(__m128i a, __m128i b, __m128i c, __m128i d)
{
	__m128i x = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));

	return _mm_sha256msg2_epu32(x, d);
}

WITH_SHA static inline __m128i load(const uint8_t *p)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), big_endian);
}

/* The instructions want the state as the words A B E F and C D G H, the first one highest. */
WITH_SHA static void blocks_fast(uint32_t h[8], const uint8_t *p, size_t blocks)
{
	__m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

	for (; blocks > 0; blocks--, p += 64) {
		__m128i was_abef = abef, was_cdgh = cdgh;
		__m128i w0 = load(p), w1 = load(p + 16), w2 = load(p + 32), w3 = load(p + 48);
		for (unsigned i = 0; i < 48; i += 16) {
			rounds(&abef, &cdgh, w0, i);
			w0 = words(w0, w1, w2, w3);
			rounds(&abef, &cdgh, w1, i + 4);
			w1 = words(w1, w2, w3, w0);
			rounds(&abef, &cdgh, w2, i + 8);
			w2 = words(w2, w3, w0, w1);
			rounds(&abef, &cdgh, w3, i + 12);
			w3 = words(w3, w0, w1, w2);
		}
		rounds(&abef, &cdgh, w0, 48);
		rounds(&abef, &cdgh, w1, 52);
		rounds(&abef, &cdgh, w2, 56);
		rounds(&abef, &cdgh, w3, 60);
		abef = _mm_add_epi32(abef, was_abef);
		cdgh = _mm_add_epi32(cdgh, was_cdgh);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#else
static bool cpu_has(void)
{
	return false;
}

static void blocks_fast(uint32_t h[8], const uint8_t *p, size_t blocks)
{
	for (; blocks > 0; blocks--, p += 64)
		block_plain(h, p);
}
#endif

bool sha256_fast(void)
{
	static atomic_int known; /* 1 no, 2 yes: asking takes a microsecond on a virtual machine */
	int says = atomic_load_explicit(&known, memory_order_relaxed);

	if (!says) {
		says = cpu_has() ? 2 : 1;
		atomic_store_explicit(&known, says, memory_order_relaxed);
	}
	return says == 2;
}

static void blocks(struct sha256 *s, const uint8_t *p, size_t n)
{
	if (!s->plain) {
		blocks_fast(s->h, p, n);
		return;
	}
	for (; n > 0; n--, p += 64)
		block_plain(s->h, p);
}

void sha256_begin(struct sha256 *s)
{
	static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
		0x1f83d9ab, 0x5be0cd19 };

	*s = (struct sha256){ .plain = !sha256_fast() };
	memcpy(s->h, first, sizeof(first));
}

void sha256_add(struct sha256 *s, const void *p, size_t n)
{
	const uint8_t *at = p;
	size_t have = s->n % 64, room = 64 - have;

	if (n == 0)
		return;
	s->n += n;
	if (have && n >= room) {
		memcpy(s->part + have, at, room);
		blocks(s, s->part, 1);
		at += room;
		n -= room;
		have = 0;
	}
	if (!have && n >= 64) {
		blocks(s, at, n / 64);
		at += n / 64 * 64;
		n %= 64;
	}
	if (n)
		memcpy(s->part + have, at, n);
}

void sha256_end(struct sha256 *s, uint8_t out[32])
{
	uint8_t last[128] = { 0 };
	size_t have = s->n % 64, n = have < 56 ? 64 : 128;
	uint64_t bits = s->n * 8;

	memcpy(last, s->part, have);
	last[have] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		last[n - 1 - i] = (uint8_t)(bits >> (8 * i));
	blocks(s, last, n / 64);
	for (unsigned i = 0; i < 32; i++)
		out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}
