/* The end of an object or array that nobody reads: only quotes, backslashes and brackets are
 * looked at, 64 bytes a step. */
#include "packument_scan.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

struct skip {
	uint64_t depth;
	bool in_string, escaped; /* the byte before the next was an unescaped backslash */
};

/* Byte by byte; the past-the-end pointer of the value, or NULL when END comes first (with *k as it is then). */
static const char *skip_bytes(struct skip *k, const char *p, const char *end)
{
	for (; p < end; p++) {
		char c = *p;
		if (k->escaped) {
			k->escaped = false;
		} else if (c == '\\') {
			k->escaped = true;
		} else if (c == '"') {
			k->in_string = !k->in_string;
		} else if (!k->in_string && (c | 0x20) == '{') {
			k->depth++;
		} else if (!k->in_string && (c | 0x20) == '}' && --k->depth == 0) {
			return p + 1;
		}
	}
	return NULL;
}

#ifdef __x86_64__
#define FAST __attribute__((target("avx2,pclmul,popcnt,bmi")))

struct block {
	__m256i lo, hi;
};

FAST static inline uint64_t block_eq(struct block b, char c)
{
	__m256i want = _mm256_set1_epi8(c);
	uint64_t lo = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b.lo, want));
	uint64_t hi = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b.hi, want));

	return lo | hi << 32;
}

/* Bytes after an odd run of backslashes. *carry: the block before ended in one. Source: Langdale and Lemire,
 * "Parsing Gigabytes of JSON per Second", section 3.1.1. */
FAST static inline uint64_t escaped_bits(uint64_t slash, uint64_t *carry)
{
	const uint64_t even = 0x5555555555555555u;

	if (!slash) {
		uint64_t first = *carry;
		*carry = 0;
		return first;
	}
	slash &= ~*carry;
	uint64_t follows = slash << 1 | *carry, starts = slash & ~even & ~follows, sum;
	*carry = __builtin_add_overflow(starts, slash, &sum);
	return (even ^ sum << 1) & follows;
}

/* Bit i: the exclusive or of bits 0 to i. */
FAST static inline uint64_t prefix_xor(uint64_t bits)
{
	__m128i all = _mm_set1_epi8((char)0xff), v = _mm_set_epi64x(0, (long long)bits);

	return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(v, all, 0));
}

/* Position after the bracket that closes the value within one block, 0 if none does; depth moves on. */
FAST static inline unsigned block_close(uint64_t *depth, uint64_t opens, uint64_t closes)
{
	uint64_t before = *depth, n = 0;

	*depth += (uint64_t)__builtin_popcountll(opens);
	if ((uint64_t)__builtin_popcountll(closes) < before) {
		*depth -= (uint64_t)__builtin_popcountll(closes);
		return 0;
	}
	for (; closes; closes &= closes - 1) {
		uint64_t below = (closes & -closes) - 1;
		if (before + (uint64_t)__builtin_popcountll(opens & below) == ++n)
			return (unsigned)__builtin_ctzll(closes) + 1;
	}
	*depth -= n;
	return 0;
}

FAST static const char *skip_blocks(struct skip *k, const char **at, const char *end)
{
	uint64_t carry = 0, inside = 0;
	const __m256i bit = _mm256_set1_epi8(0x20);
	const char *p = *at;

	for (; end - p >= 64; p += 64) {
		struct block b = { _mm256_loadu_si256((const __m256i *)(const void *)p),
			_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)) };
		uint64_t quotes = block_eq(b, '"') & ~escaped_bits(block_eq(b, '\\'), &carry);
		uint64_t string = prefix_xor(quotes) ^ inside;
		inside = string >> 63 ? UINT64_MAX : 0;
		struct block low = { _mm256_or_si256(b.lo, bit), _mm256_or_si256(b.hi, bit) }; /* [ and { are one */
		unsigned n = block_close(&k->depth, block_eq(low, '{') & ~string, block_eq(low, '}') & ~string);
		if (n)
			return p + n;
	}
	k->in_string = inside != 0;
	k->escaped = carry != 0;
	*at = p;
	return NULL;
}
#endif

const char *skip_balanced(const char *p, const char *end)
{
	struct skip k = { 0 };

#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("popcnt") &&
		__builtin_cpu_supports("bmi")) {
		const char *close = skip_blocks(&k, &p, end);
		if (close)
			return close;
	}
#endif
	return skip_bytes(&k, p, end);
}
