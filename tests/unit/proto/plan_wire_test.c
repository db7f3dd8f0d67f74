#include "frame.h"
#include "integrity.h"
#include "plan_wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct str_list list2(str *room, const char *a, const char *b)
{
	room[0] = str_of(a);
	room[1] = str_of(b);
	return (struct str_list){ room, 2 };
}

/* A plan with every field of every frame in use. */
struct plan {
	struct frame f[12];
	size_t n;
	str list[2][2];
	struct str_kv meta[1];
	struct str_kv kv[2];
	struct lock_dep dep[4];
	struct lock_direct direct[2];
	struct lock_catalog_entry cat[1];
	str sri;
	struct arena a;
};

static void plan_packages(struct plan *p)
{
	struct digest d = { .alg = DIGEST_SHA512, .n = 64, .b = { 1, 2, 250 } };

	p->sri = integrity_print(&d, &p->a);
	p->kv[0] = (struct str_kv){ STR("node"), STR(">=10") };
	p->kv[1] = (struct str_kv){ STR("npm"), STR(">=6") };
	p->f[p->n++] = (struct frame){ .kind = FRAME_PACKAGE,
		.package = { .id = 0,
			.name = STR("@s/a"),
			.version = STR("1.0.0"),
			.url = STR("https://registry.test/@s/a/-/a-1.0.0.tgz"),
			.unpacked_size = 1ull << 40,
			.file_count = 7,
			.has_install_script = true,
			.pack = { 9, 9 },
			.pack_size = 77,
			.meta = { .key = STR("@s/a@1.0.0"),
				.resolution = { .integrity = p->sri },
				.engines = { p->kv, 2 },
				.cpu = list2(p->list[0], "x64", "arm64"),
				.deprecated = STR("no\nlonger"),
				.has_bin = true,
				.requires_build = true,
				.libc_scalar = true,
				.bundled = list2(p->list[1], "x", "y"),
				.peer_dependencies = { p->kv, 1 } } } };
	p->f[p->n++] = (struct frame){ .kind = FRAME_PACKAGE,
		.package = { .id = 1,
			.name = STR("b"),
			.version = STR("2.0.0"),
			.url = STR("https://other.test/x.tgz"),
			.skip = true,
			.meta = { .key = STR("b@https://other.test/x.tgz"),
				.version = STR("2.0.0"),
				.resolution = { .kind = LOCK_RES_TARBALL,
					.tarball = STR("https://other.test/x.tgz"),
					.integrity = STR("sha512-broken sha1-x"),
					.git_hosted = true,
					.path = STR("sub") } } } };
}

static void plan_rest(struct plan *p)
{
	p->dep[0] = (struct lock_dep){ STR("b"), STR("https://other.test/x.tgz") };
	p->dep[1] = (struct lock_dep){ STR("alias"), STR("@s/a@1.0.0") };
	p->dep[2] = (struct lock_dep){ STR("lib"), STR("link:../lib") };
	p->dep[3] = (struct lock_dep){ STR("we@ird"), STR("1.0.0") };
	p->f[p->n++] = (struct frame){ .kind = FRAME_SLOT,
		.slot = { .id = 0,
			.package = 0,
			.snap = { .key = STR("@s/a@1.0.0(b@2.0.0)"),
				.dependencies = { p->dep, 4 },
				.optional_dependencies = { p->dep, 1 },
				.transitive_peers = list2(p->list[0], "x64", "q") } } };
	p->f[p->n++] = (struct frame){ .kind = FRAME_SLOT,
		.slot = { .id = 1, .package = 1, .skip = true, .snap = { .key = STR("b@2.0.0"), .optional = true } } };
	p->direct[0] = (struct lock_direct){ STR("@s/a"), STR("^1.0.0"), STR("1.0.0(b@2.0.0)") };
	p->direct[1] = (struct lock_direct){ STR("b"), STR("*"), STR("2.0.0") };
	p->meta[0] = (struct str_kv){ STR("dependenciesMeta"), STR("\n      x:\n        built: false") };
	p->f[p->n++] = (struct frame){ .kind = FRAME_IMPORTER,
		.importer = { .importer = { .path = STR("."),
				      .deps = { { p->direct, 1 }, { p->direct + 1, 1 }, { p->direct, 2 } },
				      .injected = list2(p->list[1], "x", "y"),
				      .extra = { p->meta, 1 },
				      .publish_directory = STR("dist") } } };
	p->f[p->n++] = (struct frame){ .kind = FRAME_VERDICT, .verdict = { VERDICT_VIOLATION, STR("too young") } };
	p->f[p->n++] = (struct frame){ .kind = FRAME_WARNING,
		.warning = { WARN_AGE_EXCLUDED, STR("@s/a@1.0.0"), STR("wants q@1") } };
	p->f[p->n++] = (struct frame){ .kind = FRAME_PEER_ISSUE,
		.peer_issue = { PEER_CONFLICT, STR("x"), STR("q"), STR("^1"), STR("0.5.0"), STR("b@2.0.0"),
			STR("x > b@2.0.0"), true } };
	p->cat[0] = (struct lock_catalog_entry){ STR("default"), STR("b"), STR("^2"), STR("2.0.0") };
	p->f[p->n++] = (struct frame){ .kind = FRAME_LOCK_HEAD,
		.lock_head = { .auto_install_peers = true,
			.peers_suffix_max_length = 500,
			.catalog = p->cat,
			.ncatalog = 1,
			.overrides = { p->kv, 2 },
			.package_extensions_checksum = STR("sha256-zzz"),
			.patched = { p->kv, 1 },
			.time = { p->kv, 2 } } };
	p->f[p->n++] = (struct frame){
		.kind = FRAME_DONE,
		.done = { .packages = 2, .slots = 2, .fetched = 3, .resolve_us = 12345678901, .lockfile_digest = { 5 } }
	};
}

static int setup(void **state)
{
	struct plan *p = xcalloc(1, sizeof(*p));

	p->f[p->n++] = (struct frame){ .kind = FRAME_HELLO,
		.hello = { .protocol = 1, .server = STR("drayd/x"), .settings_digest = { 1, 2, 3 }, .cached = true } };
	plan_packages(p);
	plan_rest(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct plan *p = *state;

	arena_release(&p->a);
	free(p);
	return 0;
}

static void eq(str a, str b)
{
	if (!str_eq(a, b))
		fail_msg("\"" STR_FMT "\" is not \"" STR_FMT "\"", STR_ARG(a), STR_ARG(b));
}

struct again {
	struct plan_enc *pe;
	struct buf all;
	size_t n;
	const struct plan *want;
};

static void check_frame(const struct frame *f, const struct frame *w)
{
	assert_int_equal(f->kind, w->kind);
	if (f->kind == FRAME_PACKAGE) {
		eq(f->package.url, w->package.url);
		eq(f->package.name, w->package.name);
		eq(f->package.version, w->package.version);
		eq(f->package.meta.key, w->package.meta.key);
		eq(f->package.meta.resolution.integrity, w->package.meta.resolution.integrity);
		eq(f->package.meta.resolution.tarball, w->package.meta.resolution.tarball);
		assert_memory_equal(f->package.pack, w->package.pack, 32);
		assert_int_equal(f->package.unpacked_size, w->package.unpacked_size);
	} else if (f->kind == FRAME_SLOT) {
		eq(f->slot.snap.key, w->slot.snap.key);
		assert_int_equal(f->slot.package, w->slot.package);
		assert_int_equal(f->slot.snap.dependencies.n, w->slot.snap.dependencies.n);
		for (size_t i = 0; i < f->slot.snap.dependencies.n; i++) {
			eq(f->slot.snap.dependencies.p[i].alias, w->slot.snap.dependencies.p[i].alias);
			eq(f->slot.snap.dependencies.p[i].ref, w->slot.snap.dependencies.p[i].ref);
		}
	} else if (f->kind == FRAME_IMPORTER) {
		eq(f->importer.importer.deps[LOCK_OPTIONAL].p[1].specifier,
			w->importer.importer.deps[LOCK_OPTIONAL].p[1].specifier);
		assert_int_equal(f->importer.importer.extra.n, 1);
		eq(f->importer.importer.extra.p[0].k, STR("dependenciesMeta"));
		eq(f->importer.importer.extra.p[0].v, w->importer.importer.extra.p[0].v);
	} else if (f->kind == FRAME_PEER_ISSUE) {
		assert_int_equal(f->peer_issue.kind, PEER_CONFLICT);
		assert_true(f->peer_issue.optional);
		eq(f->peer_issue.importer, w->peer_issue.importer);
		eq(f->peer_issue.peer, w->peer_issue.peer);
		eq(f->peer_issue.wanted, w->peer_issue.wanted);
		eq(f->peer_issue.found, w->peer_issue.found);
		eq(f->peer_issue.by, w->peer_issue.by);
		eq(f->peer_issue.chain, w->peer_issue.chain);
	} else if (f->kind == FRAME_LOCK_HEAD) {
		eq(f->lock_head.catalog[0].version, w->lock_head.catalog[0].version);
		assert_int_equal(f->lock_head.peers_suffix_max_length, 500);
	}
}

static int take(void *ctx, const struct frame *f, struct err *e)
{
	struct again *g = ctx;

	check_frame(f, &g->want->f[g->n]);
	g->n++;
	return plan_enc_frame(g->pe, f, &g->all, e);
}

static void test_round_trip(void **state)
{
	const struct plan *p = *state;
	struct err e = { 0 };
	struct again g = { .pe = plan_enc_new(), .want = p };
	struct plan_enc *pe = plan_enc_new();
	AUTO(buf_release) struct buf stream = BUF_INIT;
	AUTO(buf_release) struct buf plain = BUF_INIT;

	for (size_t i = 0; i < p->n; i++)
		assert_int_equal(plan_enc_frame(pe, &p->f[i], &plain, &e), 0);
	assert_int_equal(plan_encode(&stream, p->f, p->n, 3, &e), 0);
	if (plan_decode(buf_str(&stream), take, &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(g.n, p->n);
	/* Every field has survived: what was read encodes to the same bytes. */
	eq(buf_str(&g.all), buf_str(&plain));
	plan_enc_free(pe);
	plan_enc_free(g.pe);
	buf_release(&g.all);
}

/* A reader that is given one byte at a time sees the frames of a batch as soon as its flush is there. */
static void test_stream_in_bytes(void **state)
{
	const struct plan *p = *state;
	struct err e = { 0 };
	struct plan_writer *pw = plan_writer_new(1);
	struct plan_reader *pr = plan_reader_new();
	struct again g = { .pe = plan_enc_new(), .want = p };
	AUTO(buf_release) struct buf out = BUF_INIT;
	size_t at = 0;

	for (size_t i = 0; i < p->n; i++) {
		assert_int_equal(plan_writer_add(pw, &p->f[i], &e), 0);
		assert_int_equal(plan_writer_take(pw, &out, i + 1 == p->n, &e), 0);
		for (; at < out.n; at++) {
			assert_int_equal(plan_reader_push(pr, (str){ out.p + at, 1 }, take, &g, &e), 0);
			if (at + 1 < out.n || i + 1 < p->n)
				assert_true(plan_reader_end(pr, &e) < 0);
		}
		assert_int_equal(g.n, i + 1);
	}
	assert_int_equal(plan_reader_end(pr, &e), 0);
	plan_writer_free(pw);
	plan_reader_free(pr);
	plan_enc_free(g.pe);
	buf_release(&g.all);
}

static int ignore(void *ctx, const struct frame *f, struct err *e)
{
	(void)ctx;
	(void)f;
	(void)e;
	return 0;
}

static void test_truncated(void **state)
{
	const struct plan *p = *state;
	struct err e = { 0 };
	AUTO(buf_release) struct buf stream = BUF_INIT;

	assert_int_equal(plan_encode(&stream, p->f, p->n, 3, &e), 0);
	for (size_t n = 0; n < stream.n; n++)
		assert_int_equal(plan_decode((str){ stream.p, n }, ignore, NULL, &e), ERR_PROTOCOL);
	buf_addc(&stream, 'x');
	assert_int_equal(plan_decode(buf_str(&stream), ignore, NULL, &e), ERR_PROTOCOL);
}

static int decode_of(const struct frame *f, size_t n)
{
	struct err e = { 0 };
	AUTO(buf_release) struct buf stream = BUF_INIT;

	assert_int_equal(plan_encode(&stream, f, n, 3, &e), 0);
	return plan_decode(buf_str(&stream), ignore, NULL, &e);
}

static void test_order(void **state)
{
	const struct plan *p = *state;
	struct frame f[8] = { p->f[0], p->f[1], p->f[0] };
	struct frame done = p->f[p->n - 1];

	assert_int_equal(decode_of(f, 3), ERR_PROTOCOL); /* two hellos */
	f[0] = p->f[1];
	assert_int_equal(decode_of(f, 1), ERR_PROTOCOL); /* none */
	f[0] = p->f[0];
	f[1] = done; /* counts packages that were not sent */
	assert_int_equal(decode_of(f, 2), ERR_PROTOCOL);
	f[1].done.packages = f[1].done.slots = 0;
	assert_int_equal(decode_of(f, 2), 0);
	f[2] = p->f[7];
	assert_int_equal(decode_of(f, 3), ERR_PROTOCOL); /* behind the end */
	f[0] = (struct frame){ .kind = FRAME_FAILURE, .failure = { ERR_NOMATCH, STR("a"), STR("."), STR("no") } };
	assert_int_equal(decode_of(f, 1), 0);
}

/* An unknown frame is skipped, its strings count. Hand-written protobuf: str "zz" (field 1), field 99 a message. */
static void test_unknown_frame(void **state)
{
	struct err e = { 0 };
	struct plan_dec *pd = plan_dec_new();
	struct frame f;

	(void)state;
	assert_int_equal(plan_dec_frame(pd, STR("\x0a\x02zz\x9a\x06\x00"), &f, &e), 0);
	/* hello */
	assert_int_equal(plan_dec_frame(pd, STR("\x12\x02\x08\x01"), &f, &e), 1);
	/* warning with package 2, the first string = "zz" */
	assert_int_equal(plan_dec_frame(pd, STR("\x3a\x04\x08\x01\x10\x02"), &f, &e), 1);
	eq(f.warning.package, STR("zz"));
	/* and one with a string that nobody announced */
	assert_int_equal(plan_dec_frame(pd, STR("\x3a\x04\x08\x01\x10\x04"), &f, &e), ERR_PROTOCOL);
	assert_int_equal(plan_dec_frame(pd, STR("\x3a\x04\x08\x01\x10\x01"), &f, &e), ERR_PROTOCOL);
	/* a slot of a package that was not announced */
	assert_int_equal(plan_dec_frame(pd, STR("\x22\x02\x08\x01"), &f, &e), ERR_PROTOCOL);
	plan_dec_free(pd);
}

/* 16 MiB of empty sub-messages would unpack into a hundred times as much. */
static void test_decode_memory_is_bounded(void **state)
{
	struct err e = { 0 };
	struct arena a = { 0 };
	struct plan_request out;
	AUTO(buf_release) struct buf plain = BUF_INIT;
	AUTO(buf_release) struct buf body = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < 8u << 20; i++)
		buf_add(&plain, STR("\x52\x00"));
	frame_pack(&body, buf_str(&plain), 3);
	assert_int_equal(request_decode(&out, buf_str(&body), &a, &e), ERR_TOOBIG);
	arena_release(&a);
	buf_clear(&body);
	size_t n = PLAN_MAX_REQUEST + 1u;
	memset(buf_reserve(&plain, n - plain.n), 0, n - plain.n);
	plain.n = n;
	frame_pack(&body, buf_str(&plain), 3);
	assert_int_equal(request_decode(&out, buf_str(&body), &a, &e), ERR_TOOBIG);
	arena_release(&a);
}

static void sample_request(struct request *r, struct str_kv *kv, struct request_importer *im, struct request_local *lo)
{
	static str ignored[] = { STR_INIT("fsevents") };
	static struct package_extension ext[] = { { .selector = STR_INIT("x@1") } };
	static struct registry_route route[] = { { .url = STR_INIT("https://registry.test/") },
		{ .scope = STR_INIT("@s"), .url = STR_INIT("https://other.test/") } };
	static struct manifest_dep_meta meta[] = { { STR_INIT("inj"), true } };

	kv[0] = (struct str_kv){ STR("dep"), STR("^1.0.0") };
	im[0] = (struct request_importer){ .path = STR("."),
		.manifest = { .name = STR("root"),
			.libc_scalar = true,
			.dependencies = { kv, 1 },
			.dev_dependencies = { kv, 1 },
			.dependencies_meta = meta,
			.ndependencies_meta = 1,
			.meta_text = STR("\n      inj:\n        built: false"),
			.publish_link_directory = true } };
	lo[0] = (struct request_local){
		.path = STR("lib"), .is_dir = true, .manifest = { .name = STR("lib"), .bin = { kv, 1 } }
	};
	*r = (struct request){ .importer = im,
		.nimporters = 1,
		.local = lo,
		.nlocal = 1,
		.prod = true,
		.root = STR("/w/r"),
		.home = STR("/home/u"),
		.optional = true,
		.platform = { STR("linux"), STR("x64"), STR("glibc"), STR("24.0.0") },
		.lockfile_text = STR("lockfileVersion: '9.0'\n"),
		.settings = { .auto_install_peers = true,
			.peers_suffix_max_length = 1000,
			.minimum_release_age = 1440,
			.overrides = { kv, 1 },
			.ignored_optional = { ignored, 1 },
			.extension = ext,
			.nextension = 1,
			.registry = route,
			.nregistry = 2 } };
	ext[0].dependencies = (struct str_map){ kv, 1 };
}

static void test_request(void **state)
{
	struct request r;
	struct str_kv kv[1];
	struct request_importer im[1];
	struct request_local lo[1];
	struct arena a = { 0 };
	struct err e = { 0 };
	struct plan_request out;
	uint8_t want[32], got[32];
	AUTO(buf_release) struct buf body = BUF_INIT;
	AUTO(buf_release) struct buf again = BUF_INIT;

	(void)state;
	sample_request(&r, kv, im, lo);
	assert_int_equal(request_encode(&body, &r, PLAN_ACCEPT_PACKS, true, &e), 0);
	if (request_decode(&out, buf_str(&body), &a, &e) < 0)
		fail_msg("%s", e.msg);
	eq(out.req.lockfile_text, r.lockfile_text);
	eq(out.req.importer[0].manifest.dependencies.p[0].v, STR("^1.0.0"));
	assert_true(out.req.importer[0].manifest.dependencies_meta[0].injected);
	assert_true(out.req.importer[0].manifest.libc_scalar && !out.req.local[0].manifest.libc_scalar);
	eq(out.req.importer[0].manifest.meta_text, STR("\n      inj:\n        built: false"));
	eq(out.req.settings.registry[1].url, STR("https://other.test/"));
	eq(out.req.root, STR("/w/r"));
	eq(out.req.home, STR("/home/u"));
	assert_int_equal(out.accept, PLAN_ACCEPT_PACKS);
	settings_digest(want, &r.settings);
	settings_digest(got, &out.req.settings);
	assert_memory_equal(want, got, 32);
	assert_int_equal(request_encode(&again, &out.req, PLAN_ACCEPT_PACKS, true, &e), 0);
	eq(buf_str(&again), buf_str(&body));
	buf_clear(&again);
	assert_int_equal(request_encode(&again, &r, 0, false, &e), 0);
	assert_int_equal(request_decode(&out, buf_str(&again), &a, &e), 0);
	assert_true(out.has_lockfile);
	assert_int_equal(out.req.lockfile_text.n, 0);
	for (size_t n = 0; n < body.n; n++)
		assert_true(request_decode(&out, (str){ body.p, n }, &a, &e) < 0);
	arena_release(&a);
}

/* Each setting changes the digest; so does where one list ends and the next begins. */
static void test_settings_digest(void **state)
{
	struct settings s = { 0 };
	uint8_t base[32], got[32];
	str two[] = { STR("a"), STR("b") };

	(void)state;
	settings_digest(base, &s);
	s.dedupe_peers = true;
	settings_digest(got, &s);
	assert_memory_not_equal(base, got, 32);
	s.dedupe_peers = false;
	s.supported_os = (struct str_list){ two, 1 };
	s.supported_cpu = (struct str_list){ two + 1, 1 };
	settings_digest(base, &s);
	s.supported_os.n = 2;
	s.supported_cpu.n = 0;
	settings_digest(got, &s);
	assert_memory_not_equal(base, got, 32);
}

static void test_frame_limit(void **state)
{
	struct err e = { 0 };
	struct frame_out *fo = frame_out_new(1);
	struct frame_in *fi = frame_in_new();
	AUTO(buf_release) struct buf out = BUF_INIT;
	AUTO(buf_release) struct buf raw = BUF_INIT;
	str msg;

	(void)state;
	assert_int_equal(frame_out_put(fo, (str){ "", FRAME_MAX + 1u }, &out, &e), ERR_TOOBIG);
	/* A length of 64 MiB, by hand. */
	frame_pack(&raw, STR("\x80\x80\x80\x20zz"), 3);
	frame_in_push(fi, raw.p, raw.n);
	assert_int_equal(frame_in_next(fi, &msg, &e), ERR_TOOBIG);
	frame_in_free(fi);
	fi = frame_in_new();
	frame_in_push(fi, "no zstd at all", 14);
	assert_int_equal(frame_in_next(fi, &msg, &e), ERR_PROTOCOL);
	frame_in_free(fi);
	frame_out_free(fo);
}

static int count_frames(void *ctx, const struct frame *f, struct err *e)
{
	(void)f;
	(void)e;
	*(unsigned *)ctx += 1;
	return 0;
}

/* Who has had a third of a plan that was sent at once has packages out of it. */
static void early_packages(bool columns)
{
	enum { N = 3000 };
	struct err e = { 0 };
	struct plan_writer *pw = plan_writer_new(3);
	struct plan_reader *pr = plan_reader_new();
	AUTO(buf_release) struct buf out = BUF_INIT;
	uint32_t word = 1;
	unsigned got = 0;

	if (columns)
		plan_writer_columns(pw);
	struct frame hello = { .kind = FRAME_HELLO, .hello.protocol = PLAN_PROTOCOL };
	assert_int_equal(plan_writer_add(pw, &hello, &e), 0);
	for (uint32_t i = 0; i < N; i++) {
		char name[33];
		word = word * 1664525 + 1013904223; /* names with little in common */
		snprintf(name, sizeof(name), "%08x%08x%08x%08x", word, word * 7, word * 13, word * 29);
		struct frame f = { .kind = FRAME_PACKAGE,
			.package = { .id = i, .name = { name, 32 }, .version = STR("1.0.0") } };
		f.package.meta.key = f.package.name;
		assert_int_equal(plan_writer_add(pw, &f, &e), 0);
	}
	assert_int_equal(plan_writer_take(pw, &out, true, &e), 0);
	if (plan_reader_push(pr, (str){ out.p, out.n / 3 }, count_frames, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(got >= N / 12 && got < N);
	plan_writer_free(pw);
	plan_reader_free(pr);
}

static void test_early_packages(void **state)
{
	(void)state;
	early_packages(false);
	early_packages(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_in_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test(test_unknown_frame),
		cmocka_unit_test(test_decode_memory_is_bounded),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_settings_digest),
		cmocka_unit_test(test_frame_limit),
		cmocka_unit_test(test_early_packages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
