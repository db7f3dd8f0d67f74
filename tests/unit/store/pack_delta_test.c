/* Deltas: the other version and the delta make the package, to the byte; anything else is refused. */
#include "content_sum.h"
#include "integrity.h"
#include "pack_stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct side {
	struct pack_file *file;
	uint32_t n, at;
	uint64_t next;
};

static struct pack_scratch *lent; /* by everything here, after what failed, too */

static struct pack_file text(const char *path, const char *content)
{
	return (struct pack_file){ .path = str_of(path), .p = (const uint8_t *)content, .n = strlen(content) };
}

static int base_read(void *arg, str path, uint64_t at, uint8_t *to, size_t n, struct err *e)
{
	struct side *b = arg;

	for (uint32_t i = 0; i < b->n; i++) {
		if (!str_eq(b->file[i].path, path))
			continue;
		if (at > b->file[i].n || n > b->file[i].n - at)
			break;
		memcpy(to, b->file[i].p + at, n);
		return 0;
	}
	return err_set(e, ERR_INTEGRITY, "no such bytes");
}

static int row_same(void *arg, const struct pack_row *row, struct err *e)
{
	struct side *w = arg;
	(void)e;

	assert_true(w->at < w->n);
	const struct pack_file *f = &w->file[w->at];
	assert_true(str_eq(f->path, row->path));
	assert_int_equal(f->exec, row->exec);
	assert_int_equal(f->n, row->n);
	assert_int_equal(row->at, w->next);
	if (!row->same && row->len)
		assert_memory_equal(f->p + row->at, row->p, (size_t)row->len);
	w->next += row->len;
	if (w->next == f->n) {
		assert_null(row->sha256);
		assert_true(row->crc == content_crc(0, f->p, (size_t)f->n));
		w->at++;
		w->next = 0;
	}
	return 0;
}

static int row_any(void *arg, const struct pack_row *row, struct err *e)
{
	(void)arg;
	(void)row;
	(void)e;
	return 0;
}

/* While it arrives, BITE bytes at a time. */
static int apply_bites(
	const struct buf *b, size_t bite, const uint8_t digest[32], struct side *base, struct side *want, struct err *e)
{
	struct pack_base pb = { base, base_read };
	struct pack_stream_opts o = { .label = STR("left-pad@1.1.0"),
		.base = &pb,
		.flags = PACK_CHECK,
		.scratch = lent,
		.fn = want ? row_same : row_any,
		.arg = want };
	struct pack_stream *s = pack_stream_new(&o);
	int rc = 0;

	if (want)
		want->at = 0, want->next = 0;
	for (size_t at = 0; rc == 0 && at < b->n; at += bite)
		rc = pack_stream_add(s, b->p + at, b->n - at < bite ? b->n - at : bite, e);
	if (rc == 0)
		rc = pack_stream_end(s, digest, e);
	pack_stream_free(s);
	return rc;
}

static int apply(const struct buf *b, const uint8_t digest[32], struct side *base, struct side *want, struct err *e)
{
	static const size_t bite[] = { 1, 40, 4000 };
	struct pack_base pb = { base, base_read };
	struct err other;

	int rc = apply_bites(b, 1 << 16, digest, base, want, &other);
	for (size_t i = 0; i < sizeof(bite) / sizeof(*bite); i++) {
		if (b->n / bite[i] < 5000)
			assert_int_equal(apply_bites(b, bite[i], digest, base, want, &other), rc);
	}
	struct pack_stream_opts o = { .label = STR("left-pad@1.1.0"), .base = &pb, .scratch = lent, .fn = row_any };
	assert_true((pack_stream_all(&o, b->p, b->n, digest, e) < 0) == (rc < 0));

	if (want)
		want->at = 0, want->next = 0;
	o.fn = want ? row_same : row_any;
	o.arg = want;
	return pack_stream_all(&o, b->p, b->n, digest, e);
}

static void unchanged_files_are_not_sent(void **state)
{
	(void)state;
	static const char long_text[] = "a text that is long enough to be found again, with a number in it: 1234567890";
	struct pack_file old[] = { text("package.json", "{\"version\":\"1.0.0\"}"), text("a.js", long_text),
		text("gone.js", "will be gone"), text("moved.js", "this one moves elsewhere"), text("empty", "") };
	struct pack_file now[] = { text("package.json", "{\"version\":\"1.1.0\"}"), text("a.js", long_text),
		text("lib/moved.js", "this one moves elsewhere"), text("new.js", "new new new"),
		text("new2.js", "new new new"), text("empty", ""), text("run", "#!/bin/sh") };
	now[6].exec = true;
	AUTO(buf_release) struct buf b = BUF_INIT, whole = BUF_INIT;
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_delta_build(&b, digest, now, 7, old, 5, &(struct pack_opts){ .level = 9 }, &e), 0);
	struct side base = { old, 5, 0, 0 }, want = { now, 7, 0, 0 };
	assert_int_equal(apply(&b, digest, &base, &want, &e), 0);
	assert_int_equal(want.at, 7);
	assert_true(pack_is_delta(b.p, b.n));
	/* Who takes no deltas refuses them; who takes deltas takes packs, too. */
	assert_int_equal(pack_unpack(b.p, b.n, digest, STR("x"), 0, row_any, NULL, &e), ERR_PARSE);
	assert_int_equal(pack_build(&whole, digest, now, 7, &(struct pack_opts){ .level = 9 }, &e), 0);
	assert_false(pack_is_delta(whole.p, whole.n));
	assert_int_equal(apply(&whole, digest, &base, NULL, &e), 0);
	assert_true(b.n < whole.n);
}

static void what_is_wrong_is_refused_by_name(void **state)
{
	(void)state;
	struct pack_file old[] = { text("package.json", "{\"version\":\"1.0.0\"}"), text("a.js", "a a a a b"),
		text("kept", "kept as it is") };
	struct pack_file now[] = { text("package.json", "{\"version\":\"1.1.0\"}"), text("a.js", "a a a a c"),
		text("kept", "kept as it is") };
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32], other[32];
	struct err e;

	assert_int_equal(pack_delta_build(&b, digest, now, 3, old, 3, &(struct pack_opts){ .level = 9 }, &e), 0);
	struct side base = { old, 3, 0, 0 };
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 1;
		assert_int_equal(apply(&b, digest, &base, NULL, &e), ERR_INTEGRITY);
		assert_non_null(strstr(e.msg, "left-pad@1.1.0"));
		sha256(other, b.p, b.n);
		assert_true(apply(&b, other, &base, NULL, &e) <= 0);
		b.p[i] ^= 1;
	}
	for (size_t n = 0; n < b.n; n++) {
		struct buf part = { .p = b.p, .n = n };
		assert_true(apply(&part, digest, &base, NULL, &e) < 0);
		sha256(other, b.p, n);
		assert_true(apply(&part, other, &base, NULL, &e) < 0);
	}
	struct pack_file spoiled[] = { old[0], old[1], text("kept", "kept as it IS") };
	struct side lie = { spoiled, 3, 0, 0 };
	for (uint32_t i = 0; i < 3; i++) /* the build sorted `old` */
		if (str_eq(old[i].path, STR("kept")))
			spoiled[i] = text("kept", "kept as it IS");
		else
			spoiled[i] = old[i];
	assert_int_equal(apply(&b, digest, &lie, NULL, &e), ERR_INTEGRITY);
	b.p[4] = 2; /* an older drayd's */
	sha256(other, b.p, b.n);
	assert_int_equal(apply(&b, other, &base, NULL, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "version 2"));
	b.p[4] = 3;
	struct side less = { old, 1, 0, 0 };
	assert_int_equal(apply(&b, digest, &less, NULL, &e), ERR_INTEGRITY);
}

/* Larger than a prefix may be: segments, each behind the part of the other version that is like it. */
static void a_large_binary_costs_little(void **state)
{
	(void)state;
	enum { BIG = (27 << 20) + 5 };
	uint8_t *was = malloc(BIG), *is = malloc(BIG), digest[32], digest2[32];
	AUTO(buf_release) struct buf b = BUF_INIT, whole = BUF_INIT;
	uint64_t x = 88172645463325252ull;
	struct err e;

	for (size_t i = 0; i < BIG; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		was[i] = (uint8_t)x;
	}
	memcpy(is, was + 1000, BIG - 1000); /* all of it is somewhere else now */
	memset(is + BIG - 1000, 7, 1000);
	is[BIG / 2] ^= 1;
	struct pack_file old[] = { { .path = STR("big.node"), .p = was, .n = BIG }, text("z", "z") };
	struct pack_file now[] = { { .path = STR("big.node"), .p = is, .n = BIG },
		{ .path = STR("c"), .p = is, .n = BIG }, text("z", "z") };
	assert_int_equal(pack_delta_build(&b, digest, now, 3, old, 2, &(struct pack_opts){ .level = 1 }, &e), 0);
	assert_true(b.n < 64 * 1024);
	struct side base = { old, 2, 0, 0 }, want = { now, 3, 0, 0 };
	assert_int_equal(apply(&b, digest, &base, &want, &e), 0);
	assert_int_equal(want.at, 3);
	assert_true(pack_memory(b.p, b.n) <= PACK_MOST_PREFIX + PACK_SEGMENT + (1u << 20));
	assert_true(pack_scratch_bytes(lent) <= pack_memory(b.p, b.n) + (1u << 20));
	/* A window of 27 MiB and a delta's prefix and segment are 55 MiB, but they are the same ones. */
	assert_int_equal(pack_build(&whole, digest2, now, 3, &(struct pack_opts){ .level = 1 }, &e), 0);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			assert_int_equal(apply_bites(&b, 1 << 16, digest, &base, &want, &e), 0);
		else
			assert_int_equal(apply_bites(&whole, 1 << 16, digest2, &base, NULL, &e), 0);
		assert_true(pack_scratch_bytes(lent) > BIG);
		assert_true(pack_scratch_bytes(lent) <= pack_memory(whole.p, whole.n));
	}
	free(was);
	free(is);
}

static void from_and_to_nothing(void **state)
{
	(void)state;
	struct pack_file f[] = { text("a", "a"), text("b", "") };
	struct side none = { NULL, 0, 0, 0 }, both = { f, 2, 0, 0 };
	AUTO(buf_release) struct buf b = BUF_INIT, c = BUF_INIT;
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_delta_build(&b, digest, f, 2, NULL, 0, &(struct pack_opts){ .level = 1 }, &e), 0);
	assert_int_equal(apply(&b, digest, &none, &both, &e), 0);
	assert_int_equal(both.at, 2);
	assert_int_equal(pack_delta_build(&c, digest, NULL, 0, f, 2, &(struct pack_opts){ .level = 1 }, &e), 0);
	assert_int_equal(apply(&c, digest, &both, &none, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unchanged_files_are_not_sent),
		cmocka_unit_test(what_is_wrong_is_refused_by_name),
		cmocka_unit_test(a_large_binary_costs_little),
		cmocka_unit_test(from_and_to_nothing),
	};
	lent = pack_scratch_new();
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	pack_scratch_free(lent);
	return rc;
}
