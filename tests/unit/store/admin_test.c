/* Status, verify, prune and sync; directories as packages. */
#include "store_admin.h"
#include "store_env.h"
#include <sys/file.h>

static void test_status(void **state)
{
	struct env *v = *state;
	struct store_status st;
	struct err e;
	bool done;

	assert_int_equal(store_status(&st, v->s, &e), 0);
	assert_int_equal(st.packages, 0);
	assert_true(st.synced);
	struct pkg p = import(v, "1.0.0");
	assert_int_equal(store_status(&st, v->s, &e), 0);
	assert_int_equal(st.packages, 1);
	assert_int_equal(st.files, 6);
	assert_int_equal(st.bytes, pkg_bytes(p));
	assert_false(st.synced);
	assert_int_equal(store_sync(v->s, &done, &e), 0);
	assert_true(done);
	assert_int_equal(store_status(&st, v->s, &e), 0);
	assert_true(st.synced);
	struct pkg q = import(v, "1.0.1");
	assert_int_equal(store_status(&st, v->s, &e), 0);
	assert_false(st.synced); /* as soon as there is something new */
	pkg_drop(&p);
	pkg_drop(&q);
}

static void bad_one(void *arg, struct pkg p, const struct err *why)
{
	(void)p;
	snprintf(arg, 200, "%.199s", why->msg);
}

static void test_verify(void **state)
{
	struct env *v = *state;
	struct store_verify_result r;
	struct err e;
	char why[200] = "";
	struct pkg p = import(v, "1.0.0"), q = import(v, "1.0.1");
	struct store_verify_opts o = { .full = true, .report = bad_one, .arg = why };

	assert_int_equal(store_verify(&r, v->s, &o, &e), 0);
	assert_int_equal(r.packages, 2);
	assert_int_equal(r.bad, 0);
	int fd = slot(v, "a");
	assert_int_equal(store_link(v->s, p, false, fd, PKG_AUTO, NULL, &e), 0);
	struct stat st;
	assert_int_equal(fstatat(fd, "run.sh", &st, 0), 0);
	int f = openat(fd, "run.sh", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(f, "evil", 4), 4);
	assert_int_equal(futimens(f, (struct timespec[2]){ st.st_atim, st.st_mtim }), 0);
	close(f);
	o.full = false;
	assert_int_equal(store_verify(&r, v->s, &o, &e), 0);
	assert_int_equal(r.bad, 0); /* its size and time are right */
	o.full = o.drop = true;
	assert_int_equal(store_verify(&r, v->s, &o, &e), 0);
	assert_int_equal(r.bad, 1);
	assert_non_null(strstr(why, "run.sh"));
	assert_false(has(v, sample_key(v, "1.0.0")));
	assert_true(has(v, sample_key(v, "1.0.1")));
	close(fd);
	pkg_drop(&p);
	pkg_drop(&q);
}

static bool keep_all(void *arg, struct pkg p)
{
	(void)p;
	++*(int *)arg;
	return false;
}

static void test_prune(void **state)
{
	struct env *v = *state;
	struct store_prune_result r;
	struct err e;
	int asked = 0;
	struct pkg p = import(v, "1.0.0"), q = import(v, "1.0.1");
	int fd = slot(v, "a");

	assert_int_equal(store_link(v->s, p, false, fd, PKG_HARDLINK, NULL, &e), 0);
	assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ .min_age = 3600 }, &e), 0);
	assert_int_equal(r.packages, 0);
	assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ .unused = keep_all, .arg = &asked }, &e), 0);
	assert_int_equal(r.packages, 0);
	assert_int_equal(asked, 1); /* the linked one is not asked about */
	assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ .dry_run = true }, &e), 0);
	assert_int_equal(r.packages, 1);
	assert_true(has(v, sample_key(v, "1.0.1")));
	assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
	assert_int_equal(r.packages, 1);
	assert_int_equal(r.kept, 1);
	assert_true(has(v, sample_key(v, "1.0.0")));
	assert_false(has(v, sample_key(v, "1.0.1")));
	assert_int_equal(count(v, "pkgs", "-type f"), 5 + 1); /* and the record */
	/* an install that had looked it up before finds the files gone, and a new import heals */
	int late = slot(v, "late");
	assert_int_equal(store_link(v->s, q, false, late, PKG_HARDLINK, NULL, &e), ERR_NOTFOUND);
	struct pkg again = import(v, "1.0.1");
	assert_int_equal(store_link(v->s, again, false, late, PKG_HARDLINK, NULL, &e), 0);
	close(late);
	close(fd);
	pkg_drop(&p);
	pkg_drop(&q);
	pkg_drop(&again);
}

/* A package imported twice: the older directory is an orphan, but only to who is alone, or after an hour. */
static void test_orphans(void **state)
{
	struct env *v = *state;
	struct store_prune_result r;
	struct err e;
	struct pkg p = import(v, "1.0.0"), q = import(v, "1.0.0");
	struct store_prune_opts keep = { .min_age = 3600 };
	char lock[200];

	assert_int_equal(count(v, "pkgs", "-mindepth 2 -type d"), 2);
	snprintf(lock, sizeof(lock), "%s/lock", v->store);
	int other = open(lock, O_RDWR | O_CLOEXEC); /* as another process that has the store open */
	assert_int_equal(flock(other, LOCK_SH), 0);
	assert_int_equal(store_prune(&r, v->s, &keep, &e), 0);
	assert_false(r.orphans_all);
	assert_int_equal(r.orphans, 0);
	close(other);
	assert_int_equal(store_prune(&r, v->s, &keep, &e), 0);
	assert_true(r.orphans_all);
	assert_int_equal(r.orphans, 1);
	assert_int_equal(count(v, "pkgs", "-mindepth 2 -type d"), 1);
	int fd = slot(v, "a");
	assert_int_equal(store_link(v->s, q, false, fd, PKG_HARDLINK, NULL, &e), 0); /* the younger one stayed */
	close(fd);
	pkg_drop(&p);
	pkg_drop(&q);
}

/* What a killed process was about to put in place of the store's own files goes in the same way. */
static void test_half_written(void **state)
{
	static const char *const left[] = { "boot.tmp-0123456789abcdef", "format.tmp-fedcba9876543210" };
	struct env *v = *state;
	struct store_prune_result r;
	struct store_prune_opts dry = { .dry_run = true }, all = { 0 };
	struct pkg p = import(v, "1.0.0");
	char lock[200];
	struct err e;

	for (size_t i = 0; i < 2; i++) {
		char path[250];
		snprintf(path, sizeof(path), "%s/%s", v->store, left[i]);
		assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)), 0);
	}
	snprintf(lock, sizeof(lock), "%s/lock", v->store);
	int other = open(lock, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_SH), 0);
	assert_int_equal(store_prune(&r, v->s, &all, &e), 0); /* it may be about to rename one */
	assert_int_equal(count(v, ".", "-maxdepth 1 -name '*.tmp-*'"), 2);
	close(other);
	assert_int_equal(store_prune(&r, v->s, &dry, &e), 0);
	assert_int_equal(count(v, ".", "-maxdepth 1 -name '*.tmp-*'"), 2);
	assert_int_equal(store_prune(&r, v->s, &all, &e), 0);
	assert_int_equal(count(v, ".", "-maxdepth 1 -name '*.tmp-*'"), 0);
	assert_int_equal(count(v, ".", "-maxdepth 1 -name boot -o -maxdepth 1 -name format"), 2);
	pkg_drop(&p);
}

static void test_directory(void **state)
{
	struct env *v = *state;
	struct pkg p;
	struct err e;
	str path;
	uint64_t size;
	bool exec;
	const uint8_t *sha;
	struct import_opts o = { .key = STR("file:lib@1"), .name = STR("lib"), .version = STR("1.0.0") };
	str cmd = arena_printf(&v->a,
		"set -e; cd '%s'; mkdir -p dir/sub/node_modules/x dir/node_modules; echo "
		"'{\"name\":\"lib\",\"bin\":\"c.js\"}' "
		"> dir/package.json; echo c > dir/c.js; echo s > dir/sub/s; chmod +x dir/sub/s; touch dir/empty; "
		"echo no > dir/sub/node_modules/x/no; ln -s sub/s dir/in; ln -s nowhere dir/broken; ln -s .. "
		"dir/sub/up; mkfifo dir/fifo",
		v->root);

	assert_int_equal(system(cmd.p), 0);
	str dir = arena_printf(&v->a, "%s/dir", v->root);
	int fd = open(dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(import_directory(v->s, &o, fd, &p, &e), 0);
	assert_int_equal(pkg_nfiles(p), 5);
	static const char *const want[] = { "c.js", "empty", "in", "package.json", "sub/s" };
	for (uint32_t i = 0; i < 5; i++) {
		pkg_file(p, i, &path, &size, &exec, &sha);
		assert_true(str_eq(path, str_of(want[i])));
		assert_int_equal(exec, i == 0 || i == 2 || i == 4);
	}
	assert_true(str_eq(pkg_bin(p, 0).command, STR("lib")));
	pkg_drop(&p);
	cmd = arena_printf(&v->a, "ln -s /etc/passwd '%s/dir/out'", v->root);
	assert_int_equal(system(cmd.p), 0);
	assert_int_equal(import_directory(v->s, &o, fd, NULL, &e), ERR_POLICY);
	assert_non_null(strstr(e.msg, "out of lib@1.0.0"));
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_status),
		T(test_verify),
		T(test_prune),
		T(test_orphans),
		T(test_half_written),
		T(test_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
