#include "packument.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above */
#include <cmocka.h>

#define IS_STR(got, want) assert_true(str_eq((got), STR(want)))

static struct packument compile(struct buf *out, str json, const char *name)
{
	struct packument p = { 0 };
	struct err e = { 0 };

	buf_clear(out);
	if (packument_compile(out, json, str_of(name), &e) < 0 || packument_open(&p, out->p, out->n, &e) < 0)
		fail_msg("%s", e.msg);
	return p;
}

/* Reads everything that the accessors give; the sum keeps it from being optimised away. */
static size_t walk(struct packument p)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	size_t sum = packument_name(p).n;
	str k, v;
	uint32_t at;
	struct semver sv;

#define BYTES(s)                                                                                                       \
	do {                                                                                                           \
		str s_ = (s);                                                                                          \
		for (size_t b = 0; b < s_.n; b++)                                                                      \
			sum += (uint8_t)s_.p[b];                                                                       \
	} while (0)
	for (uint32_t i = 0; i < packument_ntags(p); i++) {
		packument_tag_at(p, i, &k, &at);
		BYTES(k);
		assert_true(at == UINT32_MAX || at < packument_nversions(p));
	}
	for (uint32_t i = 0; i < packument_nversions(p); i++) {
		packument_semver(p, i, &sv);
		BYTES(sv.pre);
		BYTES(sv.build);
		BYTES(packument_version(p, i));
		BYTES(packument_integrity(p, i));
		BYTES(packument_tarball(p, i, &a));
		BYTES(packument_deprecated(p, i));
		sum += packument_find(p, packument_version(p, i));
		for (int m = 0; m < PACKUMENT_NMAPS; m++) {
			for (uint32_t n = 0; n < packument_map_n(p, i, (enum packument_map)m); n++) {
				packument_map_at(p, i, (enum packument_map)m, n, &k, &v);
				BYTES(k);
				BYTES(v);
			}
		}
		for (int l = 0; l < PACKUMENT_NLISTS; l++) {
			for (uint32_t n = 0; n < packument_list_n(p, i, (enum packument_list)l); n++)
				BYTES(packument_list_at(p, i, (enum packument_list)l, n));
		}
	}
	return sum;
#undef BYTES
}

static void test_fields(void **state)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	str k, v;

	(void)state;
	struct packument p = compile(&b,
		STR("{\"_id\":\"@s/a\",\"name\":\"@s/"
		    "a\",\"dist-tags\":{\"latest\":\"1.0.0\",\"gone\":\"9.0.0\"},\"versions\":{"
		    "\"1.10.0\":{\"dependencies\":{\"b\":\"^1\",\"c\":{},\"d\":\"*\",\"b\":\"^2\"},"
		    "\"bin\":\"./cli.js\",\"deprecated\":\"no \\\"more\\\" \\u00e9\\ud83d\\ude00\\ud800\","
		    "\"os\":\"linux\",\"libc\":\"glibc\",\"cpu\":[\"x64\",\"!arm\"],\"bundledDependencies\":[\"b\"],"
		    "\"engines\":[\"node "
		    ">= 0.4\"],"
		    "\"peerDependenciesMeta\":{\"x\":{\"optional\":true},\"y\":{\"optional\":false},\"z\":1},"
		    "\"scripts\":{\"test\":\"t\",\"postinstall\":\"node "
		    "x\"},\"_npmUser\":{\"trustedPublisher\":{\"id\":\"g\"}},"
		    "\"dist\":{\"shasum\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"tarball\":\"http://"
		    "registry.test/a.tgz\","
		    "\"unpackedSize\":1234,\"fileCount\":5,\"attestations\":{\"provenance\":{}}}},"
		    "\"1.9.0\":null,\"1.0.0-rc.1+b7\":{\"dist\":{\"integrity\":\"sha512-x\"},\"bundleDependencies\":"
		    "true},"
		    "\"not a version\":{},\"1.0.0\":{\"deprecated\":false,\"directories\":{\"bin\":\"b\"}}},"
		    "\"time\":{\"modified\":\"2020-01-01T00:00:00.5Z\",\"1.0.0\":\"1970-01-02T01:00:00.250+01:00\",\"0."
		    "1.0\":\"2000-01-01T00:00:00Z\"}} "),
		"@s/a");
	IS_STR(packument_name(p), "@s/a");
	assert_int_equal(packument_nversions(p), 3);
	IS_STR(packument_version(p, 0), "1.0.0-rc.1+b7");
	IS_STR(packument_version(p, 1), "1.0.0");
	IS_STR(packument_version(p, 2), "1.10.0");
	struct semver sv;
	packument_semver(p, 0, &sv);
	IS_STR(sv.pre, "rc.1");
	IS_STR(sv.build, "b7");
	assert_int_equal(packument_tag(p, STR("latest")), 1);
	assert_int_equal(packument_tag(p, STR("gone")), UINT32_MAX);
	assert_int_equal(packument_tag(p, STR("next")), UINT32_MAX);
	assert_int_equal(packument_ntags(p), 2);
	assert_int_equal(packument_find(p, STR("1.10.0")), 2);
	assert_int_equal(packument_find(p, STR("1.9.0")), UINT32_MAX);
	assert_true(packument_has_time(p));
	assert_int_equal(packument_modified(p), INT64_C(1577836800500));
	assert_int_equal(packument_time(p, 1), INT64_C(86400250));
	assert_int_equal(packument_time(p, 2), 0);

	/* c is no string; b keeps its place, gets the last. */
	assert_int_equal(packument_map_n(p, 2, PACKUMENT_DEPS), 2);
	packument_map_at(p, 2, PACKUMENT_DEPS, 0, &k, &v);
	IS_STR(k, "b");
	IS_STR(v, "^2");
	packument_map_at(p, 2, PACKUMENT_BIN, 0, &k, &v);
	IS_STR(k, "a");
	IS_STR(v, "./cli.js");
	IS_STR(packument_deprecated(p, 2), "no \"more\" \u00e9\U0001F600\uFFFD");
	assert_int_equal(packument_deprecated(p, 1).n, 0);
	/* pnpm drops one string there, and keeps it as libc. */
	assert_int_equal(packument_list_n(p, 2, PACKUMENT_OS), 0);
	assert_int_equal(packument_list_n(p, 2, PACKUMENT_LIBC), 1);
	IS_STR(packument_list_at(p, 2, PACKUMENT_LIBC, 0), "glibc");
	assert_true(packument_libc_scalar(p, 2) && !packument_libc_scalar(p, 1));
	IS_STR(packument_list_at(p, 2, PACKUMENT_CPU, 1), "!arm");
	assert_int_equal(packument_map_n(p, 2, PACKUMENT_ENGINES), 0);
	assert_int_equal(packument_list_n(p, 2, PACKUMENT_PEER_OPTIONAL), 1);
	IS_STR(packument_list_at(p, 2, PACKUMENT_PEER_OPTIONAL, 0), "x");
	IS_STR(packument_list_at(p, 2, PACKUMENT_BUNDLED, 0), "b");
	IS_STR(packument_integrity(p, 2), "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
	IS_STR(packument_integrity(p, 0), "sha512-x");
	IS_STR(packument_tarball(p, 2, &a), "http://registry.test/a.tgz");
	assert_int_equal(packument_unpacked_size(p, 2), 1234);
	assert_int_equal(packument_file_count(p, 2), 5);
	assert_int_equal(packument_trust(p, 2), 2);
	assert_int_equal(packument_trust(p, 1), 0);
	assert_true(packument_has_install_script(p, 2) && !packument_has_install_script(p, 1));
	assert_true(packument_bundle_all(p, 0) && !packument_bundle_all(p, 2));
	assert_true(packument_has_bin(p, 1) && packument_has_bin(p, 2) && !packument_has_bin(p, 0));
}

static void test_shapes(void **state)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(packument_nversions(compile(&b, STR("{}"), "a")), 0);
	assert_int_equal(packument_nversions(
				 compile(&b, STR("\xEF\xBB\xBF { \"versions\" : [ 1 , {} ] , \"x\":-1.5e+3}\n"), "a")),
		0);
	struct packument p =
		compile(&b, STR("{\"versions\":{\"1.0.0\":{}},\"versions\":{\"2.0.0\":{}},\"dist-tags\":7}"), "a");
	assert_int_equal(packument_nversions(p), 1); /* the last of a repeated key counts */
	IS_STR(packument_version(p, 0), "2.0.0");
	assert_false(packument_has_time(p));
	p = compile(&b, STR("{\"versions\":{\"1.0.0\":{\"deprecated\":\"\xff\xc3(\xed\xa0\x80 ok\"}}}"), "a");
	IS_STR(packument_deprecated(p, 0), "\uFFFD\uFFFD(\uFFFD\uFFFD\uFFFD ok");
	p = compile(&b,
		STR("{\"versions\":{\"1.0.0\":{\"dependencies\":{\"a\":\"1\"}},\"1.0.1\":{\"dependencies\":{\"a\":"
		    "\"1\"}},"
		    "\"1.0.0\":{\"deprecated\":\"x\"}}}"),
		"a");
	assert_int_equal(packument_nversions(p), 2);
	assert_int_equal(packument_map_n(p, 0, PACKUMENT_DEPS), 0);
	assert_int_equal(packument_map_n(p, 1, PACKUMENT_DEPS), 1);
}

/* Most tarballs differ in the version only; each is told as it was. */
static void test_tarballs(void **state)
{
	static const char *const url[] = { "https://r.test/a/-/a-1.0.0.tgz", "https://r.test/a/-/a-1.0.1.tgz",
		"https://r.test/b/-/a-1.0.2.tgz", "https://r.test/a/-/a-1.0.2.tgz", "1.0.4.tgz",
		"https://r.test/a/-/a-1.0.5.tar", "" };
	enum { N = sizeof(url) / sizeof(*url) };
	AUTO(buf_release) struct buf b = BUF_INIT, json = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);

	(void)state;
	for (unsigned from = 0; from < N; from++) {
		buf_clear(&json);
		buf_add(&json, STR("{\"versions\":{\"0.1.0\":{}"));
		for (unsigned i = from; i < N; i++)
			buf_printf(&json, ",\"1.0.%u\":{\"dist\":{\"tarball\":\"%s\"}}", i, url[i]);
		buf_add(&json, STR("}}"));
		struct packument p = compile(&b, buf_str(&json), "a");
		assert_int_equal(packument_nversions(p), 1 + N - from);
		assert_int_equal(packument_tarball(p, 0, &a).n, 0);
		for (unsigned i = from; i < N; i++)
			assert_true(str_eq(packument_tarball(p, 1 + i - from, &a), str_of(url[i])));
	}
}

static void test_invalid(void **state)
{
	static const struct {
		const char *json, *says;
	} bad[] = {
		{ "", "at byte 0" },
		{ "[]", "at byte 0: expected an object" },
		{ "{", "at byte 1" },
		{ "{\"a\":1,}", "at byte 7: expected a key" },
		{ "{\"a\" 1}", "at byte 5: expected :" },
		{ "{\"a\":1 \"b\":2}", "at byte 7: expected , or }" },
		{ "{\"versions\":{\"1.0.0\":{\"os\":[1,]}}}", "at byte 30: a comma before ]" },
		{ "{\"versions\":{\"1.0.0\":{\"os\":[1 2]}}}", "at byte 30: expected , or ]" },
		{ "{\"a\":\"x}", "at byte 5: a string without its end" },
		{ "{\"a\":\"\\x\"}", "at byte 6: an invalid escape" },
		{ "{\"a\":\"\\u12g4\"}", "an invalid escape" },
		{ "{\"a\":\"\n\"}", "at byte 6: a control character" },
		{ "{\"a\":01}", "at byte 6" },
		{ "{\"a\":-}", "an invalid number" },
		{ "{\"a\":1.}", "an invalid number" },
		{ "{\"a\":tru}", "at byte 5: expected a value" },
		{ "{\"a\":{\"b\":[{]}}", "at byte 15: expected , or }" },
		{ "{} x", "at byte 3: something after" },
		{ "{\"name\":\"b\"}", "packument of \"b\"" },
		{ "{\"versions\":{\"1.0.0\":{\"dependencies\":{\"a\":}}}}", "expected a value" },
		{ "{\"versions\":{\"1.0.0\":{\"dist\":{\"integrity\":\"x\"", "expected , or }" },
	};
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int rc = packument_compile(&b, str_of(bad[i].json), STR("a"), &e);
		if (rc != ERR_PARSE || !strstr(e.msg, bad[i].says) || strncmp(e.msg, "a: ", 3) != 0)
			fail_msg("%s: %d %s", bad[i].json, rc, e.msg);
		assert_int_equal(b.n, 0);
	}
}

/* What nobody reads may nest as it likes: its end is found without a stack, and wherever it falls between blocks. */
static void test_skipped(void **state)
{
	static const char *const garbage[] = { "[[{}]]", "{\"x\":\"}\"}", "[\"\\\\\",\"\\\"]\",\"\\\\\\\"{\"]",
		"[{\"a\":[]},{}]" };
	AUTO(buf_release) struct buf b = BUF_INIT, json = BUF_INIT;
	struct err e;

	(void)state;
	for (unsigned pad = 0; pad < 200; pad++) {
		for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
			buf_clear(&json);
			buf_printf(&json, "{\"readme\":[\"%*s\",%s],\"versions\":{\"1.0.0\":{}}}", (int)pad, "",
				garbage[i]);
			assert_int_equal(packument_nversions(compile(&b, buf_str(&json), "a")), 1);
		}
	}
	buf_clear(&json);
	buf_add(&json, STR("{\"readme\":"));
	for (int i = 0; i < 100000; i++)
		buf_addc(&json, '[');
	buf_clear(&b);
	assert_int_equal(packument_compile(&b, buf_str(&json), STR("a"), &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "at byte 10: an object or array without its end"));
}

/* --- versions that repeat each other --- */

static uint32_t dice(uint32_t *seed, uint32_t sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 16) % sides;
}

/* A map of up to N of 60 names: mostly in order, mostly with the same ranges; some keys or
 * values are no plain strings. */
static void put_random_map(struct buf *b, uint32_t *seed, uint32_t n)
{
	bool first = true;

	buf_addc(b, '{');
	for (uint32_t i = 0; i < n; i++) {
		uint32_t name = dice(seed, 8) ? i : dice(seed, 60);
		if (!dice(seed, 6))
			continue;
		buf_printf(b, "%s%s\"%s%u\"%s:%s", first ? "" : ",", dice(seed, 9) ? "" : " \n",
			dice(seed, 9) ? "n" : "\\u006e", name, dice(seed, 9) ? "" : " ", dice(seed, 9) ? "" : "\t ");
		if (dice(seed, 12))
			buf_printf(b, "\"^%u.0.0%s\"", dice(seed, 5) ? 1 : dice(seed, 4), dice(seed, 9) ? "" : "-x");
		else
			buf_add(b, dice(seed, 2) ? STR("{\"x\":\"}\"}") : STR("17"));
		first = false;
	}
	buf_addc(b, '}');
}

enum { VERSIONS = 40 };

static void put_random_version(struct buf *b, uint32_t *seed, uint32_t i)
{
	uint32_t turn = dice(seed, 4) ? 0 : dice(seed, 4);

	buf_addc(b, '{');
	for (uint32_t k = 0; k < 4; k++) {
		switch ((k + turn) % 4) {
		case 0:
			buf_add(b, dice(seed, 7) ? STR("\"dependencies\":") : STR("\"dependencies\" : "));
			put_random_map(b, seed, dice(seed, 5) ? 6 : 60);
			break;
		case 1:
			buf_printf(b, "\"readme\":%s", dice(seed, 4) ? "{\"a\":[1,\"]\"]}" : "\"a\"");
			break;
		case 2:
			buf_printf(b, "\"dist\":{\"integrity\":\"sha512-%u\",\"tarball\":\"http://x/%u-1.%u.0.tgz\"}",
				i, i / 9, i * 7 % VERSIONS);
			break;
		case 3:
			buf_add(b, STR("\"peerDependencies\":"));
			put_random_map(b, seed, 3);
			break;
		}
		buf_add(b, k < 3 ? STR(",") : STR("}"));
	}
}

static void assert_same_version(struct packument a, uint32_t i, struct packument b)
{
	AUTO(arena_release) struct arena text = ARENA_INIT(1024);

	assert_true(str_eq(packument_integrity(a, i), packument_integrity(b, 0)));
	assert_true(str_eq(packument_tarball(a, i, &text), packument_tarball(b, 0, &text)));
	for (int i_map = 0; i_map < PACKUMENT_NMAPS; i_map++) {
		enum packument_map m = (enum packument_map)i_map;
		uint32_t n = packument_map_n(a, i, m);
		assert_int_equal(n, packument_map_n(b, 0, m));
		for (uint32_t k = 0; k < n; k++) {
			str ka, va, kb, vb;
			packument_map_at(a, i, m, k, &ka, &va);
			packument_map_at(b, 0, m, k, &kb, &vb);
			assert_true(str_eq(ka, kb) && str_eq(va, vb));
		}
	}
}

/* What a version says does not depend on those before it, nor on what was compiled before. */
static void test_repeated(void **state)
{
	struct packument_compiler *pc = packument_compiler_new();
	AUTO(buf_release) struct buf all = BUF_INIT, one = BUF_INIT, ra = BUF_INIT, rb = BUF_INIT, again = BUF_INIT;
	struct err e;
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		str version[VERSIONS];
		AUTO(buf_release) struct buf text = BUF_INIT;
		size_t at[VERSIONS + 1] = { 0 };
		buf_clear(&all);
		buf_add(&all, STR("{\"name\":\"a\",\"versions\":{"));
		for (uint32_t i = 0; i < VERSIONS; i++) {
			put_random_version(&text, &seed, i);
			at[i + 1] = text.n;
		}
		for (uint32_t i = 0; i < VERSIONS; i++) {
			version[i] = (str){ text.p + at[i], at[i + 1] - at[i] };
			buf_printf(&all, "%s\"1.%u.0\":" STR_FMT, i ? "," : "", i * 7 % VERSIONS, STR_ARG(version[i]));
		}
		buf_add(&all, STR("}}"));
		struct packument p = compile(&ra, buf_str(&all), "a");
		assert_int_equal(packument_nversions(p), VERSIONS);
		for (uint32_t i = 0; i < VERSIONS; i++) {
			buf_clear(&one);
			buf_printf(&one, "{\"versions\":{\"1.0.0\":" STR_FMT "}}", STR_ARG(version[i]));
			assert_same_version(p, i * 7 % VERSIONS, compile(&rb, buf_str(&one), "a"));
		}
		buf_clear(&again);
		assert_int_equal(packument_compiler_run(pc, &again, buf_str(&all), STR("a"), &e), 0);
		assert_true(str_eq(buf_str(&again), buf_str(&ra)));
	}
	packument_compiler_free(pc);
}

/* Of a version that is there twice the last one counts. */
static void test_twice(void **state)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str k, v;

	(void)state;
	struct packument p = compile(&b,
		STR("{\"versions\":{\"1.0.0\":{\"bin\":{\"a\":\"1\"}},\"0.1.0\":{},\"1.0.0\":{\"bin\":{\"b\":\"2\"}}}"
		    "}"),
		"a");
	assert_int_equal(packument_nversions(p), 2);
	packument_map_at(p, packument_find(p, STR("1.0.0")), PACKUMENT_BIN, 0, &k, &v);
	assert_true(str_eq(k, STR("b")));
	p = compile(&b, STR("{\"versions\":{\"1.0.0\":{},\"0.1.0\":{},\"1.0.0\":null}}"), "a");
	assert_int_equal(packument_nversions(p), 1);
	assert_true(packument_find(p, STR("1.0.0")) == UINT32_MAX && packument_find(p, STR("0.1.0")) == 0);
}

static void slurp(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	buf_clear(out);
	out->n = fread(buf_reserve(out, 1 << 20), 1, 1 << 20, f);
	fclose(f);
}

/* Of real records: versions ascend, each is found, and damage at any byte is either noticed or harmless. */
static void check_real(str json)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	str name = str_from(json, 9);
	char own[256];

	name = str_head(name, str_find(name, '"', 0));
	snprintf(own, sizeof(own), STR_FMT, STR_ARG(name));
	struct packument p = compile(&b, json, own), torn;
	uint32_t n = packument_nversions(p);
	assert_true(n >= 3);
	for (uint32_t i = 0; i < n; i++) {
		struct semver v, w;
		packument_semver(p, i, &v);
		assert_int_equal(packument_find(p, packument_version(p, i)), i);
		assert_true(packument_time(p, i) > 0 && packument_integrity(p, i).n > 0 &&
			    packument_tarball(p, i, &a).n > 0);
		if (i + 1 < n) {
			packument_semver(p, i + 1, &w);
			assert_true(semver_cmp(&v, &w) < 0);
		}
	}
	assert_true(walk(p) > 0);
	struct err e;
	for (size_t i = 0; i < b.n && i < 4000; i++) {
		for (int bit = 0; bit < 8; bit += 7) {
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
			if (packument_open(&torn, b.p, b.n, &e) == 0)
				walk(torn);
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
		}
	}
	for (size_t cut = 0; cut < b.n; cut += 1 + cut / 16)
		assert_int_equal(packument_open(&torn, b.p, cut, &e), ERR_PARSE);
}

static void test_real(void **state)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	DIR *d = opendir("unit/proto/data");
	unsigned n = 0;

	(void)state;
	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d));) {
		char path[512];
		if (strncmp(de->d_name, "packument-", 10) != 0)
			continue;
		snprintf(path, sizeof(path), "unit/proto/data/%s", de->d_name);
		slurp(&json, path);
		check_real(str_trim(buf_str(&json)));
		n++;
	}
	closedir(d);
	assert_true(n >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_tarballs),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_real),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
