/* Archives, good and hostile, through both ways of inflating: whole and in pieces. */
#include "fs.h"
#include "tgz.h"
#include "unpack.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A sink that writes "path mode size content\n". */
struct seen {
	struct buf out;
	uint64_t left;
};

static int seen_begin(void *arg, str path, uint64_t size, bool exec, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	assert_true(path_safe(path));
	assert_int_equal(s->left, 0);
	buf_printf(&s->out, STR_FMT " %c %llu ", STR_ARG(path), exec ? 'x' : '-', (unsigned long long)size);
	s->left = size;
	return 0;
}

static int seen_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	assert_true(n > 0 && n <= s->left);
	s->left -= n;
	if (s->out.n < 4096)
		buf_add(&s->out, (str){ (const char *)p, n });
	return 0;
}

static int seen_end(void *arg, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	assert_int_equal(s->left, 0);
	buf_addc(&s->out, '\n');
	return 0;
}

static int run(struct seen *s, const struct buf *z, struct unpack_opts o, size_t step, struct err *e)
{
	struct unpack *u;
	int rc;

	*s = (struct seen){ 0 };
	o.sink = (struct unpack_sink){ s, seen_begin, seen_data, seen_end };
	o.label = STR("left@1.0.0");
	if (step == 0)
		return unpack_tarball(&o, z->p, z->n, e);
	rc = unpack_new(&u, &o, e);
	if (rc < 0)
		return rc;
	for (size_t at = 0; rc == 0 && at < z->n; at += step)
		rc = unpack_feed(u, z->p + at, step < z->n - at ? step : z->n - at, e);
	if (rc == 0)
		rc = unpack_end(u, e);
	unpack_free(u);
	return rc;
}

/* Several members make the fast path hand over to the streaming one. */
static struct buf two_members(struct buf *t)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	size_t half = t->n / 2;

	buf_add(&a, (str){ t->p, half });
	buf_add(&b, (str){ t->p + half, t->n - half });
	buf_release(t);
	struct buf z = tgz(&a), y = tgz(&b);
	buf_add(&z, buf_str(&y));
	buf_release(&y);
	return z;
}

/* T (emptied) gives CODE with WORD in the message, or the text WANT, whichever way it comes. */
static void check_opts(struct buf *t, struct unpack_opts o, int code, const char *want)
{
	static const size_t steps[] = { 0, 1, 100, 1 << 20 };

	for (int members = 1; members <= 2; members++) {
		struct buf copy = BUF_INIT;
		buf_add(&copy, buf_str(t));
		struct buf z = members == 1 ? tgz(&copy) : two_members(&copy);
		for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
			struct seen s;
			struct err e = { 0 };
			o.stream = steps[i] == 100; /* as what comes in pieces because memory is short */
			int rc = run(&s, &z, o, steps[i], &e);
			buf_addc(&s.out, 0);
			if (rc != code)
				fail_msg("got %d (%s), expected %d %s; output %s", rc, e.msg, code, want, s.out.p);
			if (code == 0)
				assert_string_equal(s.out.p, want);
			else if (!strstr(e.msg, want) || !strstr(e.msg, "left@1.0.0"))
				fail_msg("message \"%s\" lacks \"%s\" or the package", e.msg, want);
			buf_release(&s.out);
		}
		buf_release(&z);
	}
	buf_release(t);
}

static void check(struct buf *t, int code, const char *want)
{
	check_opts(t, (struct unpack_opts){ 0 }, code, want);
}

static void test_plain(void **state)
{
	struct buf t = BUF_INIT;

	(void)state;
	tar_put(&t, "package/", '5', 0755, 0, STR_NONE);
	tar_file(&t, "package/a", "A");
	tar_put(&t, "package/b", '0', 0600, 2, STR("BB"));
	tar_put(&t, "package/c", 0, 0010, 1, STR("C"));
	tar_put(&t, "other/./d//e", '0', 0644, 0, STR_NONE);
	tar_file(&t, "./dot/f", "F");
	tar_file(&t, "win\\g\\h", "H");
	tar_file(&t, "rootless", "R");
	tar_close(&t);
	buf_add(&t, STR("after the end nothing counts"));
	check(&t, 0, "a - 1 A\nb - 2 BB\nc x 1 C\nd/e - 0 \nf - 1 F\ng/h - 1 H\nrootless - 1 R\n");
}

static void test_skipped(void **state)
{
	struct buf t = BUF_INIT;

	(void)state;
	tar_put(&t, "package/link", '2', 0777, 0, STR_NONE);
	tar_put(&t, "package/hard", '1', 0777, 77, STR_NONE); /* states a size, has no data */
	tar_put(&t, "package/dir", '5', 0755, 0, STR_NONE);
	tar_put(&t, "package/olddir/", 0, 0755, 0, STR_NONE);
	tar_put(&t, "pax_global_header", 'g', 0, 3, STR("xyz"));
	tar_put(&t, "package/odd", 'Z', 0644, 5, STR("12345"));
	tar_file(&t, "package/a", "A");
	check(&t, 0, "a - 1 A\n"); /* and no closing blocks */
}

static void test_long_names(void **state)
{
	struct buf t = BUF_INIT;
	char want[1200], longer[400];

	(void)state;
	memset(longer, 'n', 200);
	snprintf(longer + 200, sizeof(longer) - 200, "/end.js");
	tar_put(&t, "PaxHeader", 'x', 0644, 27 + 10, STR("27 path=package/pax/\xc3\xa9z.js\n10 size=2\n"));
	tar_put(&t, "package/cut", '0', 0644, 0, STR("22"));
	tar_put(&t, "././@LongLink", 'L', 0, 8 + 207 + 1, STR_NONE);
	buf_add(&t, STR("package/"));
	buf_add(&t, (str){ longer, 207 });
	buf_addc(&t, 0);
	while (t.n % 512)
		buf_addc(&t, 0);
	tar_file(&t, "package/cut", "1");
	tar_file(&t, "package/next", "3");
	snprintf(want, sizeof(want), "pax/\xc3\xa9z.js - 2 22\n%.207s - 1 1\nnext - 1 3\n", longer);
	check(&t, 0, want);
}

static void test_prefix(void **state)
{
	struct buf t = BUF_INIT;

	(void)state;
	tar_file(&t, "deep/file", "1");
	memcpy(t.p + 345, "package/lib", 11);
	tar_sum(t.p);
	size_t at = t.n;
	tar_file(&t, "package/gnu", "2"); /* GNU has times where POSIX has the prefix */
	memcpy(t.p + at + 257, "ustar  ", 8);
	memcpy(t.p + at + 345, "14000000000", 11);
	tar_sum(t.p + at);
	check(&t, 0, "lib/deep/file - 1 1\ngnu - 1 2\n");
}

static void test_refused(void **state)
{
	static const struct {
		const char *name;
		char type;
		int code;
		const char *word;
	} rows[] = {
		{ "/etc/passwd", '0', ERR_PARSE, "absolute" },
		{ "\\etc", '0', ERR_PARSE, "absolute" },
		{ "package/../../x", '0', ERR_PARSE, "leads out" },
		{ "package\\..\\x", '0', ERR_PARSE, "leads out" },
		{ "../x", '0', ERR_PARSE, "leads out" },
		{ "..", '0', ERR_PARSE, "leads out" },
		{ "", '0', ERR_TOOBIG, "empty" },
		{ ".", '0', ERR_TOOBIG, "empty" },
		{ "package/dev", '3', ERR_PARSE, "device" },
		{ "package/dev", '4', ERR_PARSE, "device" },
		{ "package/pipe", '6', ERR_PARSE, "device or a pipe" },
		{ "package/sparse", 'S', ERR_UNSUPPORTED, "sparse" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf t = BUF_INIT;
		tar_put(&t, rows[i].name, rows[i].type, 0644, 0, STR_NONE);
		tar_close(&t);
		check(&t, rows[i].code, rows[i].word);
	}
}

static void test_pax_refused(void **state)
{
	static const struct {
		str text;
		int code;
		const char *word;
	} rows[] = {
		{ STR_INIT("18 path=../../etc\n"), ERR_PARSE, "leads out" },
		{ STR_INIT("13 path=/etc\n"), ERR_PARSE, "absolute" },
		{ STR_INIT("14 path=p/a\0b\n"), ERR_PARSE, "NUL" },
		{ STR_INIT("99 path=x\n"), ERR_PARSE, "not well-formed" },
		{ STR_INIT("no"), ERR_PARSE, "not well-formed" },
		{ STR_INIT("9 size=x\n"), ERR_PARSE, "no number" },
		{ STR_INIT("29 size=99999999999999999999\n"), ERR_PARSE, "no number" },
		{ STR_INIT("28 size=9223372036854775807\n"), ERR_TOOBIG, "9223372036854775807" },
		{ STR_INIT("22 GNU.sparse.major=1\n"), ERR_UNSUPPORTED, "sparse" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf t = BUF_INIT;
		tar_put(&t, "pax", 'x', 0644, rows[i].text.n, rows[i].text);
		tar_file(&t, "package/a", "A");
		tar_close(&t);
		check(&t, rows[i].code, rows[i].word);
	}
}

static void test_damaged(void **state)
{
	struct buf t = BUF_INIT;

	(void)state;
	tar_file(&t, "package/a", "A");
	t.p[0] = 'q';
	check(&t, ERR_PARSE, "checksum");
	tar_put(&t, "package/a", '0', 0644, 5000, STR("short"));
	check(&t, ERR_PARSE, "middle of entry 1");
	tar_close(&t);
	check(&t, ERR_PARSE, "empty");
	tar_put(&t, "package/a", '0', 0644, 0, STR_NONE);
	memset(t.p + 124, 0xff, 12); /* a negative size */
	tar_sum(t.p);
	check(&t, ERR_PARSE, "no number");
	buf_add(&t, STR("short of a block"));
	check(&t, ERR_PARSE, "empty");
}

static void test_limits(void **state)
{
	struct buf t = BUF_INIT;
	struct buf deep = BUF_INIT;
	char head[32];

	(void)state;
	for (int i = 0; i < 5; i++)
		tar_file(&t, "package/a", "A");
	check_opts(&t, (struct unpack_opts){ .max_entries = 4 }, ERR_TOOBIG, "more than 4 entries");
	for (int i = 0; i < 5; i++)
		tar_file(&t, "package/a", "A");
	check_opts(&t, (struct unpack_opts){ .max_unpacked = 4096 }, ERR_TOOBIG, "more than 4096 bytes");
	tar_put(&t, "package/a", '0', 0644, 5000, STR_NONE);
	check_opts(&t, (struct unpack_opts){ .max_unpacked = 4096 }, ERR_TOOBIG, "5000 bytes");
	tar_put(&t, "pax", 'x', 0644, 2 << 20, STR_NONE);
	check(&t, ERR_TOOBIG, "limit is 1048576");
	for (int i = 0; i < 200; i++)
		buf_add(&deep, STR("d/"));
	buf_add(&deep, STR("f"));
	snprintf(head, sizeof(head), "%zu path=", deep.n + 10);
	tar_put(&t, "pax", 'x', 0644, deep.n + 10, STR_NONE);
	buf_add(&t, str_of(head));
	buf_add(&t, buf_str(&deep));
	buf_addc(&t, '\n');
	while (t.n % 512)
		buf_addc(&t, 0);
	tar_file(&t, "x", "1");
	check(&t, ERR_TOOBIG, "too deep");
	buf_release(&deep);
}

static void test_gzip(void **state)
{
	struct seen s;
	struct err e;

	(void)state;
	for (size_t step = 0; step < 3; step++) {
		struct buf t = BUF_INIT;
		tar_file(&t, "package/a", "A");
		struct buf z = tgz(&t);
		z.n -= 9; /* data and trailer cut */
		assert_int_equal(run(&s, &z, (struct unpack_opts){ 0 }, step, &e), ERR_PARSE);
		assert_non_null(strstr(e.msg, "truncated"));
		buf_release(&s.out);
		z.n += 9;
		z.p[z.n - 5] ^= 1; /* the CRC */
		assert_int_equal(run(&s, &z, (struct unpack_opts){ 0 }, step, &e), ERR_PARSE);
		buf_release(&s.out);
		z.p[z.n - 5] ^= 1;
		buf_add(&z, (str){ "\0\0\0\0garbage", 11 }); /* as zlib's users ignore it */
		assert_int_equal(run(&s, &z, (struct unpack_opts){ 0 }, step, &e), 0);
		buf_release(&s.out);
		buf_clear(&z);
		buf_add(&z, STR("<html>not found</html>"));
		assert_int_equal(run(&s, &z, (struct unpack_opts){ 0 }, step, &e), ERR_PARSE);
		buf_release(&s.out);
		buf_clear(&z);
		assert_int_equal(run(&s, &z, (struct unpack_opts){ 0 }, step, &e), ERR_PARSE);
		buf_release(&s.out);
		buf_release(&z);
	}
}

/* Larger than what is held: inflated as it arrives. */
static void test_large(void **state)
{
	struct buf t = BUF_INIT, body = BUF_INIT;
	struct arena a = ARENA_INIT(1024);
	struct seen s;
	struct err e;
	uint64_t x = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < 6 << 20; i += 8) { /* does not compress */
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf_add(&body, (str){ (const char *)&x, 8 });
	}
	tar_put(&t, "package/big", '0', 0644, body.n, buf_str(&body));
	tar_file(&t, "package/a", "A");
	struct buf z = tgz(&t);
	assert_true(z.n > 5 << 20);
	struct unpack_opts o = { .sri = tgz_sri(&z, &a) };
	assert_int_equal(run(&s, &z, o, 16384, &e), 0);
	assert_memory_equal(s.out.p, "big - 6291456 ", 14);
	assert_memory_equal(s.out.p + s.out.n - 8, "\na - 1 \n", 8); /* its byte is past what the sink keeps */
	buf_release(&s.out);
	z.p[z.n / 2] ^= 1;
	int rc = run(&s, &z, o, 16384, &e);
	assert_true(rc == ERR_INTEGRITY || rc == ERR_PARSE);
	buf_release(&s.out);
	buf_release(&body);
	buf_release(&z);
	arena_release(&a);
}

static void test_integrity(void **state)
{
	struct arena a = ARENA_INIT(1024);
	struct buf t = BUF_INIT;
	struct seen s;
	struct err e;

	(void)state;
	tar_file(&t, "package/a", "A");
	struct buf z = tgz(&t);
	struct unpack_opts o = { .sri = tgz_sri(&z, &a) };
	for (size_t step = 0; step < 2; step++) {
		assert_int_equal(run(&s, &z, o, step, &e), 0);
		buf_release(&s.out);
		z.p[4] ^= 1; /* the header's time: still the same archive, no longer the same bytes */
		assert_int_equal(run(&s, &z, o, step, &e), ERR_INTEGRITY);
		assert_non_null(strstr(e.msg, o.sri.p));
		assert_int_equal(s.out.n, 0); /* nothing of it was shown to the sink */
		buf_release(&s.out);
		z.p[4] ^= 1;
	}
	o.sri = STR("sha512-nonsense");
	assert_int_equal(run(&s, &z, o, 0, &e), ERR_PARSE);
	buf_release(&z);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pax_refused),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_integrity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
