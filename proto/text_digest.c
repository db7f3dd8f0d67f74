#include "text_digest.h"

#include "base/le.h"
#include "integrity.h"

/* The compiler splits a vector into as many as the processor's are wide. */
typedef uint32_t lanes __attribute__((vector_size(4 * TEXT_LANES)));

/* FIPS 180-4, 4.2.2 and 5.3.3 */
static const uint32_t round_constant[64] = { 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
	0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c,
	0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };
static const uint32_t first_state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
	0x1f83d9ab, 0x5be0cd19 };

/* Macros, as no vector may be an argument: how one is passed depends on the processor. */
#define ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define SUM0(x) (ROTR(x, 2) ^ ROTR(x, 13) ^ ROTR(x, 22))
#define SUM1(x) (ROTR(x, 6) ^ ROTR(x, 11) ^ ROTR(x, 25))
#define MIX0(x) (ROTR(x, 7) ^ ROTR(x, 18) ^ (x) >> 3)
#define MIX1(x) (ROTR(x, 17) ^ ROTR(x, 19) ^ (x) >> 10)

/* One round; the names of the state's words turn instead of the words. */
#define ROUND(a, b, c, d, e, f, g, h, k)                                                                               \
	do {                                                                                                           \
		h += SUM1(e) + (g ^ (e & (f ^ g))) + round_constant[i + (k)] + w[(i + (k)) & 15];                      \
		d += h;                                                                                                \
		h += SUM0(a) + ((a & b) | (c & (a | b)));                                                              \
	} while (0)
#define EIGHT_ROUNDS                                                                                                   \
	ROUND(a, b, c, d, e, f, g, h, 0);                                                                              \
	ROUND(h, a, b, c, d, e, f, g, 1);                                                                              \
	ROUND(g, h, a, b, c, d, e, f, 2);                                                                              \
	ROUND(f, g, h, a, b, c, d, e, 3);                                                                              \
	ROUND(e, f, g, h, a, b, c, d, 4);                                                                              \
	ROUND(d, e, f, g, h, a, b, c, 5);                                                                              \
	ROUND(c, d, e, f, g, h, a, b, 6);                                                                              \
	ROUND(b, c, d, e, f, g, h, a, 7)

static inline __attribute__((always_inline)) void compress(
	uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t blocks)
{
	lanes s[8], w[16];

	memcpy(s, state, sizeof(s));
	for (; blocks; blocks--, p += TEXT_BLOCK) {
		lanes a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
		memcpy(w, p, sizeof(w));
		for (size_t i = 0; i < 64; i += 8) {
			for (size_t k = i; i >= 16 && k < i + 8; k++)
				w[k & 15] += MIX0(w[(k + 1) & 15]) + w[(k + 9) & 15] + MIX1(w[(k + 14) & 15]);
			EIGHT_ROUNDS;
		}
		s[0] += a;
		s[1] += b;
		s[2] += c;
		s[3] += d;
		s[4] += e;
		s[5] += f;
		s[6] += g;
		s[7] += h;
	}
	memcpy(state, s, sizeof(s));
}

static void compress_plain(uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t n)
{
	compress(state, p, n);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void compress_avx2(uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t n)
{
	compress(state, p, n);
}

__attribute__((target("avx512f"))) static void compress_avx512(
	uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t n)
{
	compress(state, p, n);
}
#endif

void text_digest_lanes(uint32_t state[8][TEXT_LANES], const uint8_t *p, size_t n, bool fast)
{
#ifdef __x86_64__
	if (fast && __builtin_cpu_supports("avx512f"))
		compress_avx512(state, p, n);
	else if (fast && __builtin_cpu_supports("avx2"))
		compress_avx2(state, p, n);
	else
#endif
		compress_plain(state, p, n);
	(void)fast;
}

void text_digest(uint8_t out[32], str text)
{
	uint32_t state[8][TEXT_LANES];
	uint8_t length[8];
	size_t blocks = text.n / TEXT_BLOCK;
	struct digest d;

	for (size_t i = 0; i < 8; i++) {
		for (size_t k = 0; k < TEXT_LANES; k++)
			state[i][k] = first_state[i];
	}
	text_digest_lanes(state, (const uint8_t *)text.p, blocks, true);
	le_put64(length, text.n);
	struct hasher *h = hasher_new(DIGEST_SHA256);
	hasher_add(h, state, sizeof(state));
	hasher_add(h, text.p + blocks * TEXT_BLOCK, text.n % TEXT_BLOCK);
	hasher_add(h, length, sizeof(length));
	hasher_end(h, &d);
	hasher_free(h);
	memcpy(out, d.b, 32);
}
