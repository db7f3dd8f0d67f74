#include "integrity.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Digests of "abc": FIPS 180-4's examples. */
#define SHA1 "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
#define SHA256 "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define SHA384 "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn"
#define SHA512 "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="

static void hashes_and_reads(void **state)
{
	static const struct {
		enum digest_alg alg;
		const char *sri;
	} t[] = { { DIGEST_SHA1, SHA1 }, { DIGEST_SHA256, SHA256 }, { DIGEST_SHA384, SHA384 },
		{ DIGEST_SHA512, SHA512 } };
	struct arena a = ARENA_INIT(0);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct hasher *h = hasher_new(t[i].alg);
		struct digest got, want;
		struct err e = { 0 };
		assert_int_equal(integrity_parse(&want, str_of(t[i].sri), &e), 0);
		for (int round = 0; round < 2; round++) {
			hasher_add(h, "a", 1);
			hasher_add(h, "", 0);
			hasher_add(h, "bc", 2);
			hasher_end(h, &got);
			assert_true(digest_eq(&got, &want));
			assert_true(str_eq(integrity_print(&got, &a), str_of(t[i].sri)));
			assert_true(integrity_plain(&got, str_of(t[i].sri)) && digest_eq(&got, &want));
		}
		hasher_free(h);
	}
	arena_release(&a);
}

/* Two libraries: what one has named, the other one verifies. */
static void both_sha256(void **state)
{
	static uint8_t text[1000];
	struct hasher *h = hasher_new(DIGEST_SHA256);
	uint8_t got[32];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t n = 0; n < sizeof(text); n++) {
		struct digest want;
		hasher_add(h, text, n);
		hasher_end(h, &want);
		sha256(got, text, n);
		assert_memory_equal(got, want.b, sizeof(got));
	}
	hasher_free(h);
}

/* Texts that parse, but are not what is printed of their digest. */
static void plain_is_as_printed(void **state)
{
	static const char *const other[] = { "", "sha512", SHA1 " " SHA512, " " SHA512, SHA512 "?x=y", SHA512 " ",
		"md5-kAFQmDzST7DWlj99KOF/cg==", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0", /* no padding */
		"sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J1=",                                /* bits left over */
		"sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J==", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0-" };
	struct digest d;

	(void)state;
	assert_true(integrity_plain(&d, STR("sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=")));
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_false(integrity_plain(&d, str_of(other[i])));
}

static void strongest_counts(void **state)
{
	static const struct {
		const char *sri;
		enum digest_alg alg; /* none: an error */
	} t[] = {
		{ SHA1 " " SHA512 " " SHA256, DIGEST_SHA512 },
		{ "  " SHA1 "\n" SHA384 "?x=y ", DIGEST_SHA384 },
		{ "md5-kAFQmDzST7DWlj99KOF/cg== " SHA1, DIGEST_SHA1 },
		{ "md5-kAFQmDzST7DWlj99KOF/cg==", DIGEST_NONE },
		{ "", DIGEST_NONE },
		{ "sha512", DIGEST_NONE },
		{ "sha512-", DIGEST_NONE },
		{ "sha512-abc= " SHA1, DIGEST_NONE },
		{ "sha256-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", DIGEST_NONE },
		{ "sha1-qZk-NkcGgWq6PiVxeFDCbJzQ2J0=", DIGEST_NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct digest d = { 0 };
		struct err e = { 0 };
		assert_int_equal(integrity_parse(&d, str_of(t[i].sri), &e), t[i].alg ? 0 : ERR_PARSE);
		assert_int_equal(d.alg, t[i].alg);
		assert_true(t[i].alg || e.msg[0]);
	}
}

static void first_of_one_strength(void **state)
{
	struct digest d;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(integrity_parse(&d, STR("sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA= " SHA1), &e), 0);
	assert_int_equal(d.b[0], 0);
}

static void base64_and_hex(void **state)
{
	static const struct {
		const char *bytes, *text;
	} t[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "Zm9vY", "Zm9v=", "Z g=", "Zm9v\n", "=", "====" };
	struct arena a = ARENA_INIT(0);
	uint8_t out[8], hash[32];
	char hex[65];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		str bytes = str_of(t[i].bytes), text = str_of(t[i].text);
		assert_true(str_eq(base64_print((const uint8_t *)bytes.p, bytes.n, &a), text));
		assert_int_equal(base64_read(out, sizeof(out), text), bytes.n);
		assert_memory_equal(out, bytes.p, bytes.n);
		while (text.n && text.p[text.n - 1] == '=')
			text.n--;
		assert_int_equal(base64_read(out, sizeof(out), text), bytes.n);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_read(out, sizeof(out), str_of(bad[i])), -1);
	assert_int_equal(base64_read(out, 2, STR("Zm9v")), -1);
	sha256(hash, "abc", 3);
	hex_print(hex, hash, 32);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(hex_read(out, 2, STR("aF09")));
	assert_int_equal(out[0], 0xAF);
	assert_int_equal(out[1], 9);
	assert_false(hex_read(out, 2, STR("aF0")));
	assert_false(hex_read(out, 2, STR("aF0g")));
	assert_false(hex_read(out, 1, STR("aF0")));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_and_reads),
		cmocka_unit_test(both_sha256),
		cmocka_unit_test(strongest_counts),
		cmocka_unit_test(first_of_one_strength),
		cmocka_unit_test(base64_and_hex),
		cmocka_unit_test(plain_is_as_printed),
	};

	return cmocka_run_group_tests_name("integrity", tests, NULL, NULL);
}
