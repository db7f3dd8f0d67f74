/* Each lane is SHA-256's compression function over its words, whatever instructions are used, and every byte and the length count. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "text_digest.h"
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BLOCKS = 3 };

static void bytes_fill(uint8_t *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1103515245 + 12345;
		p[i] = (uint8_t)(x >> 16);
	}
}

/* libcrypto takes words in network order; the lanes take them as they lie in memory. */
static void lanes_are_sha256(void **state)
{
	uint8_t text[BLOCKS * TEXT_BLOCK];
	uint32_t start[8][TEXT_LANES], fast[8][TEXT_LANES], plain[8][TEXT_LANES];

	(void)state;
	bytes_fill(text, sizeof(text));
	for (size_t lane = 0; lane < TEXT_LANES; lane++) {
		SHA256_CTX c;
		SHA256_Init(&c);
		for (size_t i = 0; i < 8; i++)
			start[i][lane] = c.h[i];
	}
	memcpy(fast, start, sizeof(start));
	memcpy(plain, start, sizeof(start));
	text_digest_lanes(fast, text, BLOCKS, true);
	text_digest_lanes(plain, text, BLOCKS, false);
	assert_memory_equal(fast, plain, sizeof(fast));
	for (size_t lane = 0; lane < TEXT_LANES; lane++) {
		SHA256_CTX c;
		SHA256_Init(&c);
		for (size_t word = 0; word < 16 * BLOCKS; word++) {
			const uint8_t *at = text + 64 * word + 4 * lane;
			uint32_t v;
			memcpy(&v, at, 4);
			const uint8_t net[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
				(uint8_t)v };
			SHA256_Update(&c, net, sizeof(net));
		}
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(plain[i][lane], c.h[i]);
	}
}

static void every_byte_counts(void **state)
{
	uint8_t text[2 * TEXT_BLOCK + 100], was[32], is[32];
	static const size_t at[] = { 0, 3, 4, 63, 64, TEXT_BLOCK - 1, TEXT_BLOCK, 2 * TEXT_BLOCK - 1, 2 * TEXT_BLOCK,
		2 * TEXT_BLOCK + 99 };

	(void)state;
	bytes_fill(text, sizeof(text));
	str s = { (const char *)text, sizeof(text) };
	text_digest(was, s);
	text_digest(is, s);
	assert_memory_equal(was, is, 32);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		text[at[i]] ^= 1;
		text_digest(is, s);
		assert_memory_not_equal(was, is, 32);
		text[at[i]] ^= 1;
	}
}

/* Zeros that end one text and are missing in another. */
static void length_counts(void **state)
{
	static const char zeros[2 * TEXT_BLOCK];
	static const size_t n[] = { 0, 1, 64, TEXT_BLOCK - 1, TEXT_BLOCK, TEXT_BLOCK + 1, 2 * TEXT_BLOCK };
	uint8_t d[sizeof(n) / sizeof(n[0])][32];

	(void)state;
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		text_digest(d[i], (str){ zeros, n[i] });
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(d[i], d[k], 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_are_sha256),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(length_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
