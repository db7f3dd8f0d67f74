/* A package from its pack is the package from its tarball. */
#include "fs.h"
#include "import_pack.h"
#include "pack_delta.h"
#include "pack_tarball.h"
#include "store_admin.h"
#include "store_env.h"
#include "workq.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static unsigned fail_at, calls; /* 0: never */

int fs_fault(const char *op)
{
	(void)op;
	return fail_at && ++calls == fail_at ? ENOSPC : 0;
}

struct made {
	struct buf z, pack;
	uint8_t digest[32];
	str sri;
};

static struct made make(struct env *v, struct buf z)
{
	struct made m = { .z = z };
	struct err e;

	m.sri = tgz_sri(&m.z, &v->a);
	struct pack_tarball_opts o = { .sri = m.sri, .label = STR("@s/left@1.0.0"), .pack = { .level = 9 } };
	if (pack_tarball(&m.pack, m.digest, NULL, &o, m.z.p, m.z.n, &e) < 0)
		fail_msg("%s", e.msg);
	return m;
}

static void made_release(struct made *m)
{
	buf_release(&m->z);
	buf_release(&m->pack);
}

static struct import_opts opts_of(const struct made *m, str key)
{
	return (struct import_opts){ .key = key, .sri = m->sri, .name = STR("@s/left"), .version = STR("1.0.0") };
}

/* All but what differs between a tarball's record and its pack's: the folder's name, the time, and how
 * contents are known again. */
static void assert_same(struct pkg a, struct pkg b)
{
	assert_int_equal(pkg_nfiles(a), pkg_nfiles(b));
	assert_int_equal(pkg_ndirs(a), pkg_ndirs(b));
	assert_int_equal(pkg_nbins(a), pkg_nbins(b));
	assert_int_equal(pkg_flags(a) & ~(unsigned)PKG_CRC, pkg_flags(b));
	assert_int_equal(pkg_bytes(a), pkg_bytes(b));
	assert_true(str_eq(pkg_name(a), pkg_name(b)) && str_eq(pkg_version(a), pkg_version(b)));
	assert_true(str_eq(pkg_script(a, "install"), pkg_script(b, "install")));
	for (uint32_t i = 0; i < pkg_nfiles(a); i++) {
		str pa, pb;
		uint64_t na, nb;
		bool xa, xb;
		const uint8_t *sa, *sb;
		pkg_file(a, i, &pa, &na, &xa, &sa);
		pkg_file(b, i, &pb, &nb, &xb, &sb);
		assert_true(str_eq(pa, pb));
		assert_int_equal(na, nb);
		assert_int_equal(xa, xb);
		if (na > 0)
			assert_int_equal(memcmp(sa, sb, 32) == 0, !(pkg_flags(a) & PKG_CRC));
	}
	for (uint32_t i = 0; i < pkg_ndirs(a); i++)
		assert_true(str_eq(pkg_dir(a, i), pkg_dir(b, i)));
	for (uint32_t i = 0; i < pkg_nbins(a); i++)
		assert_true(str_eq(pkg_bin(a, i).path, pkg_bin(b, i).path));
}

static struct buf without_manifest(void)
{
	struct buf t = BUF_INIT;

	tar_file(&t, "package/b.js", "b");
	tar_file(&t, "package/a.js", "b");
	tar_file(&t, "package/sub/none", "");
	tar_put(&t, "package/x", '0', 0755, 1, STR("b"));
	tar_close(&t);
	return tgz(&t);
}

/* The last of two files of one name counts. */
static struct buf repeated(void)
{
	struct buf t = BUF_INIT;

	tar_file(&t, "package/package.json", "{\"name\":\"first\",\"version\":\"1.0.0\"}");
	tar_file(&t, "package/a", "old");
	tar_file(&t, "package/a", "newer");
	tar_file(&t, "package/package.json", "{\"name\":\"second\",\"version\":\"2.0.0\"}");
	tar_close(&t);
	return tgz(&t);
}

static void the_record_is_the_tarballs(void **state)
{
	struct env *v = *state;
	struct buf z[] = { sample("1.0.0"), without_manifest(), repeated() };

	for (size_t i = 0; i < sizeof(z) / sizeof(z[0]); i++) {
		struct made m = make(v, z[i]);
		struct import_opts o = opts_of(&m, arena_printf(&v->a, "tar:%zu", i)),
				   q = opts_of(&m, arena_printf(&v->a, "pack:%zu", i));
		struct pkg a, b;
		struct err e;

		assert_int_equal(import_tarball(v->s, &o, m.z.p, m.z.n, &a, &e), 0);
		if (import_pack(v->s, &q, m.digest, m.pack.p, m.pack.n, &b, &e) < 0)
			fail_msg("%s", e.msg);
		assert_same(a, b);
		uint8_t *copy = arena_new(&v->a, uint8_t, a.n);
		memcpy(copy, a.p, a.n);
		assert_int_equal(store_rehash(v->s, copy, a.n, &e), 0);
		assert_same((struct pkg){ copy, a.n }, b);
		pkg_drop(&a);
		pkg_drop(&b);
		made_release(&m);
	}
	struct store_verify_result r;
	struct err e;
	store_flush(v->s);
	assert_int_equal(store_verify(&r, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
	assert_int_equal(r.packages, 6);
	assert_int_equal(r.bad, 0);
}

static void what_is_not_promised_leaves_nothing(void **state)
{
	struct env *v = *state;
	struct made m = make(v, sample("1.0.0"));
	struct import_opts o = opts_of(&m, STR("k"));
	struct pkg p;
	struct err e;

	for (size_t i = 0; i < m.pack.n; i += 7) {
		m.pack.p[i] ^= 4;
		assert_int_equal(import_pack(v->s, &o, m.digest, m.pack.p, m.pack.n, &p, &e), ERR_INTEGRITY);
		assert_non_null(strstr(e.msg, "@s/left@1.0.0"));
		m.pack.p[i] ^= 4;
	}
	assert_int_equal(import_pack(v->s, &o, m.digest, m.pack.p, m.pack.n - 1, &p, &e), ERR_INTEGRITY);
	assert_false(has(v, STR("k")));
	assert_int_equal(count(v, "pkgs", "-type f"), 0);
	assert_int_equal(count(v, "tmp", "-type f"), 0);
	made_release(&m);
}

/* A pack whose rows do not fit together (a file that is a folder, too) fails late, and still whole. */
static void a_row_below_a_file_is_refused(void **state)
{
	struct env *v = *state;
	struct pack_file f[] = { { .path = STR("a"), .p = (const uint8_t *)"x", .n = 1 },
		{ .path = STR("a/b"), .p = (const uint8_t *)"y", .n = 1 } };
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct import_opts o = { .key = STR("k2"), .name = STR("odd"), .version = STR("1.0.0") };
	uint8_t digest[32];
	struct err e;

	assert_int_equal(pack_build(&b, digest, f, 2, &(struct pack_opts){ .level = 3 }, &e), 0);
	assert_int_equal(import_pack(v->s, &o, digest, b.p, b.n, NULL, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "odd@1.0.0"));
	assert_int_equal(count(v, "tmp", "-type f"), 0);
}

/* Past PACK_PIECE a pack streams into the store; a file that is there twice is written twice. */
static void a_large_pack_is_the_same_package(void **state)
{
	struct env *v = *state;
	enum { BIG = (17 << 20) + 3 };
	char *big = malloc(BIG);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct import_opts o = { .key = STR("large"), .name = STR("large"), .version = STR("1.0.0") };
	uint8_t digest[32];
	struct pkg p;
	struct err e;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 2654435761u >> 13);
	struct pack_file f[] = { { .path = STR("a.node"), .p = (const uint8_t *)big, .n = BIG, .exec = true },
		{ .path = STR("b.node"), .p = (const uint8_t *)big, .n = BIG },
		{ .path = STR("package.json"), .p = (const uint8_t *)"{}", .n = 2 } };
	assert_int_equal(pack_build(&b, digest, f, 3, &(struct pack_opts){ .level = 1 }, &e), 0);
	assert_int_equal(import_pack(v->s, &o, digest, b.p, b.n, &p, &e), 0);
	assert_int_equal(pkg_nfiles(p), 3);
	assert_int_equal(count(v, "pkgs", arena_printf(&v->a, "-type f -size %dc", BIG).p), 2);
	free((void *)(uintptr_t)p.p);
	b.p[b.n / 2] ^= 1;
	sha256(digest, b.p, b.n); /* what even the digest does not tell must at least be whole or absent */
	o.key = STR("large2");
	int rc = import_pack(v->s, &o, digest, b.p, b.n, NULL, &e);
	assert_true(rc == 0 || !has(v, STR("large2")));
	assert_int_equal(count(v, "tmp", "-type f"), 0);
	free(big);
}

/* A delta on a version that the store has is the package; on one that was spoiled it is refused and leaves nothing. */
static void a_delta_needs_the_version_it_builds_on(void **state)
{
	struct env *v = *state;
	struct pack_file old[] = { { .path = STR("a.js"), .p = (const uint8_t *)"kept as it is", .n = 13 },
		{ .path = STR("package.json"), .p = (const uint8_t *)"{\"version\":\"1.0.0\"}", .n = 19 } };
	struct pack_file now[] = { { .path = STR("a.js"), .p = (const uint8_t *)"kept as it is", .n = 13 },
		{ .path = STR("b.js"), .p = (const uint8_t *)"new", .n = 3, .exec = true },
		{ .path = STR("package.json"), .p = (const uint8_t *)"{\"version\":\"1.1.0\"}", .n = 19 } };
	AUTO(buf_release) struct buf b = BUF_INIT, d = BUF_INIT, again = BUF_INIT;
	struct import_opts o = { .key = STR("base"), .name = STR("d"), .version = STR("1.0.0") };
	uint8_t digest[32], digest2[32];
	struct pkg base, p;
	struct err e;

	assert_int_equal(pack_build(&b, digest, old, 2, &(struct pack_opts){ .level = 3 }, &e), 0);
	assert_int_equal(import_pack(v->s, &o, digest, b.p, b.n, &base, &e), 0);
	assert_int_equal(pack_delta_build(&d, digest, now, 3, old, 2, &(struct pack_opts){ .level = 3 }, &e), 0);
	o.key = STR("next");
	o.version = STR("1.1.0");
	assert_int_equal(import_delta(v->s, &o, base, digest, d.p, d.n, &p, &e), 0);
	assert_int_equal(pkg_nfiles(p), 3);
	assert_true(has(v, STR("next")));
	/* Its record has CRCs of what came out, and can be built on in turn. */
	struct store_verify_result all;
	assert_false(pkg_flags(base) & PKG_CRC);
	assert_true(pkg_flags(p) & PKG_CRC);
	o.key = STR("again");
	assert_int_equal(pack_delta_build(&again, digest2, old, 2, now, 3, &(struct pack_opts){ .level = 3 }, &e), 0);
	assert_int_equal(import_delta(v->s, &o, p, digest2, again.p, again.n, NULL, &e), 0);
	store_flush(v->s);
	assert_int_equal(store_verify(&all, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
	assert_int_equal(all.packages, 3);
	assert_int_equal(all.bad, 0);
	o.key = STR("next");
	unsigned files = count(v, "pkgs", "-type f");
	const char *dir = arena_printf(
		&v->a, "find %s/pkgs -type f -size 13c -exec sh -c 'printf spoiled-bytes > {}' \\;", store_dir(v->s))
				  .p;
	assert_int_equal(system(dir), 0);
	o.key = STR("other");
	assert_int_equal(import_delta(v->s, &o, base, digest, d.p, d.n, NULL, &e), ERR_INTEGRITY);
	assert_non_null(strstr(e.msg, "d@1.1.0"));
	assert_false(has(v, STR("other")));
	assert_int_equal(count(v, "pkgs", "-type f"), files);
	assert_int_equal(count(v, "tmp", "-type f"), 0);
	free((void *)(uintptr_t)p.p);
	free((void *)(uintptr_t)base.p);
}

/* In two pieces where there is no base, since a large one comes so. */
static int import_either(
	struct env *v, const struct pkg *base, const struct buf *b, const uint8_t digest[32], str key, struct err *e)
{
	struct import_opts o = { .key = key, .name = STR("full"), .version = STR("1.0.0") };
	struct pack_import *pi;

	if (base)
		return import_delta(v->s, &o, *base, digest, b->p, b->n, NULL, e);
	if (pack_import_new(&pi, v->s, &o, NULL, e) < 0)
		return e->code;
	int rc = pack_import_add(pi, b->p, 7, e);
	if (rc == 0)
		rc = pack_import_add(pi, b->p + 7, b->n - 7, e);
	if (rc == 0)
		rc = pack_import_end(pi, digest, NULL, e);
	pack_import_free(pi);
	return rc;
}

/* The disk is full at each step once: nothing is left of it, the reason is told, and then it works. */
static void a_full_disk_leaves_nothing(void **state)
{
	struct env *v = *state;
	struct pack_file old[] = { { .path = STR("a.js"), .p = (const uint8_t *)"kept", .n = 4 },
		{ .path = STR("b.js"), .p = (const uint8_t *)"kept", .n = 4 } };
	struct pack_file now[] = { { .path = STR("a.js"), .p = (const uint8_t *)"kept", .n = 4 },
		{ .path = STR("c.js"), .p = (const uint8_t *)"new", .n = 3, .exec = true } };
	AUTO(buf_release) struct buf b = BUF_INIT, d = BUF_INIT;
	struct import_opts o = { .key = STR("base"), .name = STR("full"), .version = STR("0.1.0") };
	uint8_t digest[2][32];
	unsigned walked = 0;
	struct pkg base;
	struct err e;

	assert_int_equal(pack_build(&b, digest[0], old, 2, &(struct pack_opts){ .level = 3 }, &e), 0);
	assert_int_equal(import_pack(v->s, &o, digest[0], b.p, b.n, &base, &e), 0);
	assert_int_equal(pack_delta_build(&d, digest[1], now, 2, old, 2, &(struct pack_opts){ .level = 3 }, &e), 0);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned n = 1, hit = n; hit; n++, walked++) {
			str key = arena_printf(&v->a, "%u:%u", k, n);
			fail_at = n;
			calls = 0;
			int rc = import_either(v, k ? &base : NULL, k ? &d : &b, digest[k], key, &e);
			hit = calls >= n;
			fail_at = 0;
			assert_int_equal(has(v, key), rc == 0);
			assert_int_equal(count(v, "tmp", "-mindepth 2"), 0);
			if (rc == 0)
				continue;
			assert_int_equal(rc, ERR_NOSPACE);
			assert_non_null(strstr(e.msg, "full@1.0.0"));
		}
	}
	assert_true(walked > 20);
	pkg_drop(&base);
}

struct job {
	struct env *v;
	struct made m;
	str key;
	int rc;
};

static void *import_one(void *arg)
{
	struct job *j = arg;
	struct import_opts o = opts_of(&j->m, j->key);
	struct err e;

	j->rc = import_pack(j->v->s, &o, j->m.digest, j->m.pack.p, j->m.pack.n, NULL, &e);
	return NULL;
}

/* ctest label: threads */
static void several_at_once(void **state)
{
	struct env *v = *state;
	struct job j[4];
	pthread_t t[4];
	struct err e;

	for (int i = 0; i < 4; i++) {
		str version = arena_printf(&v->a, "1.0.%d", i);
		j[i] = (struct job){ v, make(v, sample(version.p)), arena_printf(&v->a, "par:%d", i), 1 };
		assert_int_equal(workq_thread(&t[i], "import", import_one, &j[i], &e), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(j[i].rc, 0);
		assert_true(has(v, j[i].key));
		made_release(&j[i].m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_record_is_the_tarballs, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_pack_is_the_same_package, setup, teardown),
		cmocka_unit_test_setup_teardown(a_delta_needs_the_version_it_builds_on, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_promised_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_below_a_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(several_at_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
