/* A plan's messages as columns: what goes in comes out, and nothing else is taken for columns. */
#include "frame.h"
#include "plan_columns.h"
#include "plan_wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PACKAGES = 300 };

typedef int with_frame(void *ctx, const struct frame *f);

/* Hello, packages, a slot of each with an edge to the one before, done. */
static void each_frame(with_frame *fn, void *ctx)
{
	char key[64], sri[128];
	struct frame f = { .kind = FRAME_HELLO, .hello = { PLAN_PROTOCOL, STR("test"), { 1 }, false } };

	assert_int_equal(fn(ctx, &f), 0);
	for (uint32_t i = 0; i < PACKAGES; i++) {
		snprintf(key, sizeof(key), "package-%u@1.0.%u", i, i % 7);
		snprintf(sri, sizeof(sri), "sha512-%086u==", i * 7919); /* the digits are base64, too */
		sri[7 + 85] = 'A';
		f = (struct frame){ .kind = FRAME_PACKAGE,
			.package = { .id = i,
				.meta = { .key = str_of(key), .resolution.integrity = str_of(sri) },
				.name = str_head(str_of(key), str_find(str_of(key), '@', 0)),
				.version = str_from(str_of(key), str_find(str_of(key), '@', 0) + 1),
				.skip = i % 5 == 0,
				.pack_size = i % 3 ? 1000 + i : 0,
				.pack = { (uint8_t)(i % 3) } } };
		assert_int_equal(fn(ctx, &f), 0);
	}
	for (uint32_t i = 0; i < PACKAGES; i++) {
		snprintf(key, sizeof(key), "package-%u@1.0.%u", i, i % 7);
		struct lock_dep dep = { STR("x"), str_of(key) };
		f = (struct frame){ .kind = FRAME_SLOT,
			.slot = { .id = i,
				.package = i,
				.snap = { .key = str_of(key), .dependencies = { &dep, i % 2 } } } };
		assert_int_equal(fn(ctx, &f), 0);
	}
	f = (struct frame){ .kind = FRAME_DONE, .done = { .packages = PACKAGES, .slots = PACKAGES } };
	assert_int_equal(fn(ctx, &f), 0);
}

struct messages {
	struct plan_enc *pe;
	struct columns *c; /* NULL: all to BYTES */
	struct plan_writer *pw;
	struct buf bytes;
};

static int to_messages(void *ctx, const struct frame *f)
{
	struct messages *m = ctx;
	struct err e;
	size_t at = m->bytes.n;

	assert_int_equal(plan_enc_frame(m->pe, f, &m->bytes, &e), 0);
	return m->c ? columns_put(m->c, str_from(buf_str(&m->bytes), at), &e) : 0;
}

/* The messages, one behind the other, and the one that holds them all. */
static size_t make(struct buf *plain, struct buf *columns)
{
	struct messages m = { .pe = plan_enc_new(), .c = columns_new() };
	size_t tail;

	each_frame(to_messages, &m);
	columns_take(m.c, columns, &tail);
	plan_enc_free(m.pe);
	columns_free(m.c);
	*plain = m.bytes;
	return tail;
}

static int read_all(struct buf *out, str columns)
{
	struct columns_in *ci = columns_in_new();
	struct err e;
	str msg;
	int rc = columns_in_open(ci, columns, &e);

	while (rc == 0 && (rc = columns_in_next(ci, &msg, &e)) > 0) {
		buf_add(out, msg);
		rc = 0;
	}
	columns_in_free(ci);
	return rc;
}

static void test_round_trip(void **state)
{
	AUTO(buf_release) struct buf plain = BUF_INIT;
	AUTO(buf_release) struct buf columns = BUF_INIT;
	AUTO(buf_release) struct buf again = BUF_INIT;

	(void)state;
	size_t tail = make(&plain, &columns);
	assert_int_equal(tail, PACKAGES * 64 + PACKAGES * 2 / 3 * 32); /* integrity; packs */
	assert_int_equal(read_all(&again, buf_str(&columns)), 0);
	assert_int_equal(again.n, plain.n);
	assert_memory_equal(again.p, plain.p, plain.n);
}

/* What a packument says may hold a NUL, which ends a string here. */
static void test_nul(void **state)
{
	struct plan_enc *pe = plan_enc_new();
	AUTO(buf_release) struct buf out = BUF_INIT;
	struct frame f = { .kind = FRAME_PACKAGE,
		.package = { .name = STR("a"),
			.version = STR("1.0.0"),
			.meta = { .key = STR("a@1.0.0"), .deprecated = STR("not\0this") } } };
	struct err e;

	(void)state;
	assert_int_equal(plan_enc_frame(pe, &f, &out, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "package a@1.0.0"));
	assert_int_equal(out.n, 0);
	plan_enc_free(pe);
}

static void test_truncated_or_changed(void **state)
{
	AUTO(buf_release) struct buf plain = BUF_INIT;
	AUTO(buf_release) struct buf columns = BUF_INIT;
	AUTO(buf_release) struct buf again = BUF_INIT;

	(void)state;
	make(&plain, &columns);
	for (size_t n = 1; n < columns.n; n += n < 600 ? 1 : 97) {
		buf_clear(&again);
		assert_int_equal(read_all(&again, str_head(buf_str(&columns), n)), ERR_PROTOCOL);
	}
	for (size_t i = 1; i < columns.n; i += i < 600 ? 1 : 97) {
		buf_clear(&again);
		columns.p[i] ^= 0x55;
		int rc = read_all(&again, buf_str(&columns));
		assert_true(rc == 0 || rc == ERR_PROTOCOL || rc == ERR_TOOBIG);
		columns.p[i] ^= 0x55;
	}
}

/* Tag, length, messages, columns; then number and length of each column, then their bytes. */
static void test_made_by_hand(void **state)
{
	const struct {
		str bytes;
		int rc;
	} t[] = {
		{ STR("\x62\x02\x00\x00"), 0 }, { STR("\x62\x03\x00\x00z"), ERR_PROTOCOL }, /* bytes of no column */
		{ STR("\x62\x02\x01\x00"), ERR_PROTOCOL },                             /* a message out of nothing */
		{ STR("\x62\x09\x01\x02\x00\x02\x83\x05\x02\x00\x02"), ERR_PROTOCOL }, /* column beyond the message */
		/* one warning (field 7) without anything: heads 0,7; tags 0 (column 7*128) */
		{ STR("\x62\x0a\x01\x02\x00\x02\x80\x07\x01\x00\x07\x00"), 0 },
		{ STR("\x62\x0a\x02\x02\x00\x02\x80\x07\x01\x00\x07\x00"), ERR_PROTOCOL },
		{ STR("\x62\x0b\x01\x02\x00\x02\x80\x07\x02\x00\x07\x00\x00"), ERR_PROTOCOL }, /* a tag too many */
		{ STR("\x62\x0a\x01\x02\x00\x02\x80\x0c\x01\x00\x0c\x00"), ERR_PROTOCOL },     /* columns in columns */
		{ STR("\x62\x0a\x01\x02\x00\x02\x80\x07\x01\x01\x07\x00"), ERR_PROTOCOL },     /* no string there */
		{ STR("\x62\x0a\x01\x02\x00\x02\x80\x07\x01\x00\x07\x0d"), ERR_PROTOCOL },     /* wire type 5 */
		{ STR("\x62\x0c\x01\x03\x00\x02\x00\x01\x80\x07\x00\x00\x07\x00"), ERR_PROTOCOL }, /* a column twice */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		AUTO(buf_release) struct buf again = BUF_INIT;
		int rc = read_all(&again, t[i].bytes);
		if (rc != t[i].rc)
			fail_msg("row %zu: %s", i, err_name(rc));
	}
}

static void test_put_refuses(void **state)
{
	const str bad[] = { STR(""), STR("\x0a\x05zz"), STR("\x3a\x09\x08\x01"), STR("\x3a\x05\x0d\x01\x01\x01\x01"),
		STR("\x62\x00"), STR("\x0a\x01z\x08\x01") };
	struct columns *c = columns_new();
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(columns_put(c, bad[i], &e), ERR_PROTOCOL);
	columns_free(c);
}

static int to_writer(void *ctx, const struct frame *f)
{
	struct err e;

	return plan_writer_add(((struct messages *)ctx)->pw, f, &e);
}

static int to_plain(void *ctx, const struct frame *f, struct err *e)
{
	(void)e;
	return to_messages(ctx, f);
}

static void write_plan(struct buf *out, bool columns)
{
	struct messages m = { .pw = plan_writer_new(3) };
	struct err e;

	if (columns)
		plan_writer_columns(m.pw);
	each_frame(to_writer, &m);
	assert_int_equal(plan_writer_take(m.pw, out, true, &e), 0);
	plan_writer_free(m.pw);
}

/* Both forms of a plan say the same; the one for readers that know columns is the smaller one. */
static void test_stream(void **state)
{
	AUTO(buf_release) struct buf columns = BUF_INIT;
	AUTO(buf_release) struct buf rows = BUF_INIT;
	struct messages a = { .pe = plan_enc_new() }, b = { .pe = plan_enc_new() };
	struct err e;

	(void)state;
	write_plan(&columns, true);
	write_plan(&rows, false);
	assert_true(columns.n < rows.n);
	assert_int_equal(plan_decode(buf_str(&columns), to_plain, &a, &e), 0);
	assert_int_equal(plan_decode(buf_str(&rows), to_plain, &b, &e), 0);
	assert_int_equal(a.bytes.n, b.bytes.n);
	assert_memory_equal(a.bytes.p, b.bytes.p, a.bytes.n);
	plan_enc_free(a.pe);
	plan_enc_free(b.pe);
	buf_release(&a.bytes);
	buf_release(&b.bytes);
}

static int count(void *ctx, const struct frame *f, struct err *e)
{
	(void)f;
	(void)e;
	++*(unsigned *)ctx;
	return 0;
}

/* Who has had a part of the stream has frames of it. */
static void test_early_frames(void **state)
{
	AUTO(buf_release) struct buf columns = BUF_INIT;
	struct plan_reader *pr = plan_reader_new();
	struct err e;
	unsigned got = 0;

	(void)state;
	write_plan(&columns, true);
	assert_int_equal(plan_reader_push(pr, str_head(buf_str(&columns), columns.n / 2), count, &got, &e), 0);
	assert_true(got >= PACKAGES / 5 && got < 2 * PACKAGES);
	plan_reader_free(pr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_truncated_or_changed),
		cmocka_unit_test(test_made_by_hand),
		cmocka_unit_test(test_put_refuses),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_early_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
