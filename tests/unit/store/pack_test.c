/* Packs: what goes in comes out, and nothing else does. */
#include "integrity.h"
#include "pack_stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct want {
	const struct pack_file *file;
	uint32_t n, at;
};

static int same_row(void *arg, const struct pack_row *row, struct err *e)
{
	struct want *w = arg;
	(void)e;

	assert_true(w->at < w->n);
	const struct pack_file *f = &w->file[w->at++];
	assert_true(str_eq(f->path, row->path));
	assert_int_equal(f->exec, row->exec);
	assert_int_equal(f->n, row->n);
	assert_memory_equal(f->sha256, row->sha256, 32);
	assert_true(f->n == 0 || memcmp(f->p, row->p, (size_t)f->n) == 0);
	return 0;
}

static int any_row(void *arg, const struct pack_row *row, struct err *e)
{
	(void)arg;
	(void)row;
	(void)e;
	return 0;
}

static struct pack_file text(const char *path, const char *content)
{
	return (struct pack_file){ .path = str_of(path), .p = (const uint8_t *)content, .n = strlen(content) };
}

static void files_come_back_in_order(void **state)
{
	(void)state;
	struct pack_file f[] = { text("package.json", "{\"name\":\"a\"}"), text("lib/a.js", "module.exports = 1;\n"),
		text("lib/b.js", "module.exports = 2;\n"), text("lib/copy/a.js", "module.exports = 1;\n"),
		text("empty", ""), text("bin/run", "#!/bin/sh\n"), text("empty2", "") };
	f[5].exec = true;
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	struct err e;
	uint64_t raw;
	uint32_t files;

	assert_int_equal(pack_build(&b, digest, f, 7, &(struct pack_opts){ .level = 9 }, &e), 0);
	struct want w = { f, 7, 0 };
	assert_int_equal(pack_unpack(b.p, b.n, digest, STR("a@1.0.0"), PACK_CHECK, same_row, &w, &e), 0);
	assert_int_equal(w.at, 7);
	assert_true(pack_claims(b.p, b.n, &raw, &files));
	assert_int_equal(files, 7);
	assert_int_equal(raw, f[0].n + f[1].n + f[2].n + f[5].n);
}

static void no_files_is_a_pack_too(void **state)
{
	(void)state;
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_build(&b, digest, NULL, 0, &(struct pack_opts){ .level = 3 }, &e), 0);
	assert_int_equal(pack_unpack(b.p, b.n, digest, STR("a"), PACK_CHECK, any_row, NULL, &e), 0);
}

static void a_changed_byte_is_refused_by_name(void **state)
{
	(void)state;
	struct pack_file f[] = { text("package.json", "{\"name\":\"a\",\"version\":\"1.0.0\"}"),
		text("index.js", "hello hello hello") };
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_build(&b, digest, f, 2, &(struct pack_opts){ .level = 9 }, &e), 0);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 1;
		assert_int_equal(pack_unpack(b.p, b.n, digest, STR("left-pad@1.0.0"), PACK_CHECK, any_row, NULL, &e),
			ERR_INTEGRITY);
		assert_non_null(strstr(e.msg, "left-pad@1.0.0"));
		/* With a digest that fits the damaged bytes, whatever they say must be refused or be harmless. */
		uint8_t other[32];
		sha256(other, b.p, b.n);
		int rc = pack_unpack(b.p, b.n, other, STR("x"), PACK_CHECK, any_row, NULL, &e);
		assert_true(rc <= 0);
		b.p[i] ^= 1;
	}
	for (size_t n = 0; n < b.n; n++)
		assert_true(pack_unpack(b.p, n, digest, STR("x"), PACK_CHECK, any_row, NULL, &e) < 0);
}

static void unsafe_paths_are_refused(void **state)
{
	(void)state;
	static const char *const paths[] = { "../x", "a/../../x", "/etc/passwd", "", "a//b", "./a", "a\\b", "a/" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct pack_file f = text(paths[i], "x");
		AUTO(buf_release) struct buf b = BUF_INIT;
		uint8_t digest[32];
		struct err e;
		assert_int_equal(pack_build(&b, digest, &f, 1, &(struct pack_opts){ .level = 1 }, &e), 0);
		assert_int_equal(
			pack_unpack(b.p, b.n, digest, STR("evil@1.0.0"), PACK_CHECK, any_row, NULL, &e), ERR_PARSE);
		assert_non_null(strstr(e.msg, "evil@1.0.0"));
	}
}

static void a_large_mix_comes_back(void **state)
{
	(void)state;
	enum { N = 2000 };
	struct pack_file *f = calloc(N, sizeof(*f));
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 20);
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	struct err e;
	uint32_t rng = 7;

	for (uint32_t i = 0; i < N; i++) {
		rng = rng * 1664525 + 1013904223;
		size_t n = rng % 5000;
		char *p = arena_new(&a, char, n + 1);
		for (size_t k = 0; k < n; k++)
			p[k] = (char)('a' + ((k * (rng % 13) + i % 100) % 26));
		f[i] = (struct pack_file){ .path = arena_printf(&a, "dir%u/sub%u/f%u.js", i % 7, i % 31, i),
			.p = (const uint8_t *)p,
			.n = n,
			.exec = i % 50 == 0 };
	}
	assert_int_equal(pack_build(&b, digest, f, N, &(struct pack_opts){ .level = 3 }, &e), 0);
	struct want w = { f, N, 0 };
	assert_int_equal(pack_unpack(b.p, b.n, digest, STR("a"), PACK_CHECK, same_row, &w, &e), 0);
	assert_int_equal(w.at, N);
	free(f);
}

struct pieces {
	struct pack_file *file;
	uint32_t at;
	uint64_t next;
	size_t most;
	unsigned same;
};

static int piece_row(void *arg, const struct pack_row *row, struct err *e)
{
	struct pieces *w = arg;
	const struct pack_file *f = &w->file[w->at];
	(void)e;

	assert_true(str_eq(f->path, row->path));
	assert_int_equal(f->n, row->n);
	assert_int_equal(row->at, w->next);
	w->same += row->same != NULL;
	if (!row->same && row->len)
		assert_memory_equal(f->p + row->at, row->p, (size_t)row->len);
	if (row->same)
		assert_memory_equal(f->sha256, row->same->sha256, 32);
	w->next = row->at + row->len;
	w->most = row->len > w->most && !row->same ? (size_t)row->len : w->most;
	if (w->next == row->n) {
		assert_memory_equal(f->sha256, row->sha256, 32);
		w->at++;
		w->next = 0;
	}
	return 0;
}

/* More than is unpacked in one piece: bounded pieces, every byte, copies named. */
static void a_large_pack_streams(void **state)
{
	(void)state;
	enum { BIG = (18 << 20) + 7 };
	uint8_t *big = malloc(BIG), digest[32], other[32];
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;
	uint32_t rng = 1;

	for (size_t i = 0; i < BIG; i++) {
		if (i % 64 == 0)
			rng = rng * 1664525 + 1013904223;
		big[i] = (uint8_t)(rng >> (i % 4 * 8));
	}
	struct pack_file f[] = { text("a", "small"), { .path = STR("big.node"), .p = big, .n = BIG }, text("empty", ""),
		{ .path = STR("copy.node"), .p = big, .n = BIG }, { .path = STR("part"), .p = big + 5, .n = 3 << 20 },
		text("z", "end") };
	assert_int_equal(pack_build(&b, digest, f, 6, &(struct pack_opts){ .level = 1 }, &e), 0);
	struct pieces w = { .file = f };
	assert_int_equal(pack_unpack(b.p, b.n, digest, STR("a"), PACK_CHECK | PACK_PIECES, piece_row, &w, &e), 0);
	assert_int_equal(w.at, 6);
	assert_int_equal(w.same, 1);
	assert_true(w.most <= 1 << 20);
	for (size_t cut = 1; cut < 4; cut++) { /* an end that is missing, or one too many */
		sha256(other, b.p, b.n - cut);
		w = (struct pieces){ .file = f };
		assert_int_equal(
			pack_unpack(b.p, b.n - cut, other, STR("a"), PACK_PIECES, piece_row, &w, &e), ERR_PARSE);
	}
	buf_add(&b, STR("more"));
	sha256(other, b.p, b.n);
	w = (struct pieces){ .file = f };
	assert_int_equal(pack_unpack(b.p, b.n, other, STR("a"), PACK_PIECES, piece_row, &w, &e), ERR_PARSE);
	free(big);
}

/* In bites of BITE bytes; what is wrong with them at which step is E's. */
static int stream(const struct buf *b, size_t bite, const uint8_t digest[32], struct pieces *w, struct err *e)
{
	struct pack_stream_opts o = { .label = STR("a@1.0.0"), .flags = PACK_CHECK, .fn = piece_row, .arg = w };
	struct pack_stream *s = pack_stream_new(&o);
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < b->n; at += bite)
		rc = pack_stream_add(s, b->p + at, b->n - at < bite ? b->n - at : bite, e);
	if (rc == 0)
		rc = pack_stream_end(s, digest, e);
	pack_stream_free(s);
	return rc;
}

static void files_without_content_stream(void **state)
{
	(void)state;
	struct pack_file f[] = { text("a", ""), text("b", "") };
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_build(&b, digest, f, 2, &(struct pack_opts){ .level = 1 }, &e), 0);
	struct pieces w = { .file = f };
	assert_int_equal(stream(&b, 5, digest, &w, &e), 0);
	assert_int_equal(w.at, 2);
}

static void bytes_come_in_bites(void **state)
{
	(void)state;
	static const size_t bite[] = { 1, 2, 31, 33, 100, 1 << 20 };
	uint8_t digest[32], *noise = malloc(300000);
	struct err e;

	for (size_t i = 0, rng = 1; i < 300000; i++) {
		rng = rng * 1664525 + 1013904223;
		noise[i] = (uint8_t)(rng >> 24);
	}
	struct pack_file f[] = { text("a", ""), text("b", "small"), { .path = STR("c"), .p = noise, .n = 300000 },
		text("d", ""), { .path = STR("e"), .p = noise, .n = 300000 }, text("f", "small") };
	AUTO(buf_release) struct buf b = BUF_INIT;
	assert_int_equal(pack_build(&b, digest, f, 6, &(struct pack_opts){ .level = 3 }, &e), 0);
	for (size_t i = 0; i < sizeof(bite) / sizeof(*bite); i++) {
		struct pieces w = { .file = f };
		assert_int_equal(stream(&b, bite[i], digest, &w, &e), 0);
		assert_int_equal(w.at, 6);
		assert_int_equal(w.same, 2);
	}
	for (size_t cut = 1; cut < b.n; cut += cut < 100 ? 3 : 40009) { /* whatever of it is missing */
		struct pieces w = { .file = f };
		struct buf less = { b.p, b.n - cut, 0 };
		assert_int_equal(stream(&less, 1 << 20, digest, &w, &e), ERR_INTEGRITY);
		sha256(digest, b.p, less.n);
		w = (struct pieces){ .file = f };
		assert_int_equal(stream(&less, 1 << 20, digest, &w, &e), ERR_PARSE);
		sha256(digest, b.p, b.n);
	}
	buf_add(&b, STR("x"));
	sha256(digest, b.p, b.n);
	struct pieces w = { .file = f };
	assert_int_equal(stream(&b, 1000, digest, &w, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "a@1.0.0"));
	free(noise);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_come_back_in_order),
		cmocka_unit_test(no_files_is_a_pack_too),
		cmocka_unit_test(a_changed_byte_is_refused_by_name),
		cmocka_unit_test(unsafe_paths_are_refused),
		cmocka_unit_test(a_large_mix_comes_back),
		cmocka_unit_test(a_large_pack_streams),
		cmocka_unit_test(files_without_content_stream),
		cmocka_unit_test(bytes_come_in_bites),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
