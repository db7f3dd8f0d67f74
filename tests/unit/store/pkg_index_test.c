/* Records: built, read back, and refused once a byte of their tables is wrong. */
#include "pkg_index.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int build(struct pkg *out, const char *const *paths, uint32_t n, struct err *e)
{
	struct pkg_entry *f = xcalloc(n ? n : 1, sizeof(*f));
	struct pkg_bin bin = { STR("left"), STR("bin/l.js") };
	struct str_kv script = { STR("install"), STR("make") };
	struct pkg_info info = { .key = STR("sha512-x"),
		.name = STR("left"),
		.version = STR("1.0.0"),
		.mtime = 1234567890123,
		.flags = PKG_HAS_BUNDLED,
		.bin = &bin,
		.nbin = 1,
		.script = &script,
		.nscript = 1 };

	for (uint32_t i = 0; i < n; i++) {
		f[i] = (struct pkg_entry){
			.path = str_of(paths[i]), .size = (uint64_t)i << 33, .num = i, .exec = i == 1
		};
		memset(f[i].sha256, (int)i, 32);
	}
	memset(info.id, 7, sizeof(info.id));
	int rc = pkg_build(out, &info, f, n, e);
	free(f);
	return rc;
}

static void test_read_back(void **state)
{
	static const char *const paths[] = { "z", "lib/b.js", "lib/a/x", "lib/a-b/y", "a" };
	struct pkg p;
	struct err e;

	(void)state;
	assert_int_equal(build(&p, paths, 5, &e), 0);
	assert_int_equal(pkg_check(p, &e), 0);
	assert_true(str_eq(pkg_key(p), STR("sha512-x")));
	assert_true(str_eq(pkg_name(p), STR("left")));
	assert_int_equal(pkg_mtime(p), 1234567890123);
	assert_int_equal(pkg_flags(p), PKG_HAS_BUNDLED);
	assert_int_equal(pkg_bytes(p), (uint64_t)10 << 33);
	assert_int_equal(pkg_nfiles(p), 5);
	static const char *const sorted[] = { "a", "lib/a-b/y", "lib/a/x", "lib/b.js", "z" };
	static const uint32_t num[] = { 4, 3, 2, 1, 0 };
	for (uint32_t i = 0; i < 5; i++) {
		struct pkg_file_row f = pkg_file_row(p, i);
		assert_string_equal(f.path.p, sorted[i]); /* with its NUL */
		assert_int_equal(f.num, num[i]);
		assert_int_equal(f.size, (uint64_t)num[i] << 33);
		assert_int_equal(f.exec, num[i] == 1);
		assert_int_equal(f.sha256[31], num[i]);
	}
	static const char *const dirs[] = { "lib", "lib/a", "lib/a-b" };
	assert_int_equal(pkg_ndirs(p), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_string_equal(pkg_dir(p, i).p, dirs[i]);
	assert_true(str_eq(pkg_bin(p, 0).path, STR("bin/l.js")));
	assert_true(str_eq(pkg_script(p, "install"), STR("make")));
	assert_null(pkg_script(p, "postinstall").p);
	free((void *)(uintptr_t)p.p);
}

static void test_clash(void **state)
{
	static const char *const twice[] = { "a", "b", "a" }, *const both[] = { "a/b/c", "a-b", "a/b" };
	struct pkg p;
	struct err e;

	(void)state;
	assert_int_equal(build(&p, twice, 3, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "called a"));
	assert_int_equal(build(&p, both, 3, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "a/b is a file"));
	assert_int_equal(build(&p, both, 2, &e), 0);
	free((void *)(uintptr_t)p.p);
}

/* Every byte that is no digest, size or text matters; every shorter record is refused. */
static void test_damaged(void **state)
{
	static const char *const paths[] = { "lib/x", "y" }, *const outside[] = { "../x" };
	struct pkg p;
	struct err e;
	unsigned refused = 0;

	(void)state;
	assert_int_equal(build(&p, paths, 2, &e), 0);
	uint8_t *b = xmalloc(p.n);
	for (size_t n = 0; n < p.n; n++) {
		memcpy(b, p.p, n);
		assert_int_equal(pkg_check((struct pkg){ b, n }, &e), ERR_PARSE);
	}
	for (size_t i = 0; i < p.n; i++) {
		memcpy(b, p.p, p.n);
		b[i] ^= 0x80;
		refused += pkg_check((struct pkg){ b, p.n }, &e) < 0;
	}
	assert_true(refused > 60);
	free(b);
	free((void *)(uintptr_t)p.p);
	assert_int_equal(build(&p, outside, 1, &e), 0); /* a builder's mistake … */
	assert_int_equal(pkg_check(p, &e), ERR_PARSE);  /* … is not believed either */
	free((void *)(uintptr_t)p.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_clash),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
