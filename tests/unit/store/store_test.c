/* ctest label: threads */
/* The store from outside: what is imported can be got, linked, checked; what is spoiled is noticed. */
#include "store_admin.h"
#include "store_env.h"
#include "workq.h"

static mode_t mode_of(int dirfd, const char *path, nlink_t *nlink)
{
	struct stat st;

	assert_int_equal(fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	*nlink = st.st_nlink;
	return st.st_mode & 07777;
}

static void test_roundtrip(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "1.0.0"), q;
	struct store_read *r;
	struct err e;
	struct pkg_link_stats n = { 0 };
	nlink_t links;
	str key = sample_key(v, "1.0.0");

	store_flush(v->s);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, STR("sha512-none"), &e), 0);
	assert_int_equal(store_get(&q, r, key, &e), 1);
	assert_int_equal(q.n, p.n);
	assert_memory_equal(q.p, p.p, p.n);
	assert_true(str_eq(pkg_name(q), STR("@s/left")));
	assert_true(str_eq(pkg_version(q), STR("1.0.0")));
	assert_int_equal(pkg_flags(q), PKG_HAS_INSTALL_SCRIPT | PKG_HAS_BINDING_GYP | PKG_CRC);
	assert_int_equal(pkg_nfiles(q), 6);
	assert_int_equal(pkg_ndirs(q), 3);
	assert_true(str_eq(pkg_dir(q, 1), STR("lib")));
	assert_int_equal(pkg_nbins(q), 1);
	assert_true(str_eq(pkg_bin(q, 0).path, STR("bin/cli.js")));
	assert_true(str_eq(pkg_script(q, "install"), STR("node-gyp rebuild")));
	assert_int_equal(pkg_script(q, "test").n, 0);

	int fd = slot(v, "slot");
	assert_int_equal(store_link(v->s, q, false, fd, PKG_HARDLINK, &n, &e), 0);
	assert_int_equal(n.links, 5);
	assert_int_equal(n.dirs, 3);
	assert_int_equal(mode_of(fd, "bin/cli.js", &links), 0755); /* a bin */
	assert_int_equal(links, 2);
	assert_int_equal(mode_of(fd, "run.sh", &links), 0755);
	assert_int_equal(mode_of(fd, "lib/deep/a.js", &links), 0644);
	assert_int_equal(mode_of(fd, "empty", &links), 0644);
	assert_int_equal(links, 1); /* never shared */
	close(fd);
	fd = slot(v, "copy");
	n = (struct pkg_link_stats){ 0 };
	assert_int_equal(store_link(v->s, q, false, fd, PKG_COPY, &n, &e), 0);
	assert_int_equal(n.links + n.clones, 0);
	assert_int_equal(mode_of(fd, "run.sh", &links), 0755);
	assert_int_equal(links, 1);
	close(fd);
	store_read_end(r);
	pkg_drop(&p);
}

static void test_reopen(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "2.0.0"), q;
	struct store_read *r;
	struct err e;
	str key = sample_key(v, "2.0.0");
	struct store *twice;

	assert_int_equal(store_open(&twice, v->store, NULL, &e), ERR_USAGE);
	store_close(v->s);
	assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, key, &e), 1);
	store_read_end(r);
	pkg_drop(&p);
}

static void test_wrong_digest(void **state)
{
	struct env *v = *state;
	struct buf z = sample("1.0.0"), other = sample("1.0.1");
	str sri = tgz_sri(&other, &v->a);
	struct import_opts o = { .key = sri, .sri = sri };
	struct err e;
	struct import *im;

	assert_int_equal(import_tarball(v->s, &o, z.p, z.n, NULL, &e), ERR_INTEGRITY);
	assert_non_null(strstr(e.msg, sri.p));
	assert_int_equal(import_begin(&im, v->s, &o, &e), 0);
	assert_int_equal(import_feed(im, z.p, 10, &e), 0);
	assert_int_equal(import_feed(im, z.p + 10, z.n - 10, &e), 0);
	assert_int_equal(import_end(im, NULL, &e), ERR_INTEGRITY);
	import_abort(im);
	store_flush(v->s);
	struct store_read *r;
	struct pkg q;
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, sri, &e), 0);
	store_read_end(r);
	buf_release(&z);
	buf_release(&other);
}

/* How a tool spoils a stored file: through a tree that shares its inode. */
static void spoil(int fd, const char *path, const char *text, bool keep_time)
{
	struct stat st;
	int f = openat(fd, path, O_WRONLY | O_CLOEXEC);

	assert_true(f >= 0);
	assert_int_equal(fstat(f, &st), 0);
	assert_int_equal(write(f, text, strlen(text)), (ssize_t)strlen(text));
	if (keep_time)
		assert_int_equal(futimens(f, (struct timespec[2]){ st.st_atim, st.st_mtim }), 0);
	close(f);
}

static int link_code(struct env *v, struct pkg p, const char *name, struct err *e)
{
	int fd = slot(v, name);
	int rc = store_link(v->s, p, false, fd, PKG_AUTO, NULL, e);

	close(fd);
	return rc;
}

/* Where a file system keeps whole seconds: written to in the second of its import. */
static void test_spoiled_at_once(void **state)
{
	struct env *v = *state;
	struct err e;
	time_t before = time(NULL);
	struct pkg p = import(v, "3.0.0");
	time_t after = time(NULL);
	int fd = slot(v, "a");

	assert_int_equal(store_link(v->s, p, false, fd, PKG_HARDLINK, NULL, &e), 0);
	int f = openat(fd, "run.sh", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(f, "evil", 4), 4);
	for (time_t t = before; t <= after; t++) {
		char name[24];
		assert_int_equal(futimens(f, (struct timespec[2]){ { .tv_sec = t }, { .tv_sec = t } }), 0);
		snprintf(name, sizeof(name), "at%lld", (long long)t);
		assert_int_equal(link_code(v, p, name, &e), ERR_INTEGRITY);
	}
	close(f);
	close(fd);
	pkg_drop(&p);
}

static void test_spoiled(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "3.0.0"), q;
	struct err e;
	int fd = slot(v, "a");

	assert_int_equal(store_link(v->s, p, false, fd, PKG_AUTO, NULL, &e), 0);
	struct stat st;
	assert_int_equal(utimensat(fd, "lib/deep/a.js", NULL, 0), 0);
	/* nobody had it yet, says its importer: nothing is looked at */
	int fresh = slot(v, "fresh");
	assert_int_equal(store_link(v->s, p, true, fresh, PKG_AUTO, NULL, &e), 0);
	assert_int_equal(fstatat(fresh, "lib/deep/a.js", &st, 0), 0);
	assert_int_not_equal(st.st_mtim.tv_nsec, 0);
	close(fresh);
	/* touched but the same: hashed, accepted, and its time put back */
	assert_int_equal(link_code(v, p, "b", &e), 0);
	assert_int_equal(fstatat(fd, "lib/deep/a.js", &st, 0), 0);
	assert_int_equal(st.st_mtim.tv_nsec, 0);
	spoil(fd, "lib/deep/a.js", "b", false);
	assert_int_equal(link_code(v, p, "c", &e), ERR_INTEGRITY);
	assert_non_null(strstr(e.msg, "lib/deep/a.js"));
	/* the record went with it, and a new import heals */
	store_flush(v->s);
	struct store_read *r;
	str key = sample_key(v, "3.0.0");
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, key, &e), 0);
	struct pkg again = import(v, "3.0.0");
	store_flush(v->s);
	store_read_end(r);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, key, &e), 1);
	assert_int_equal(link_code(v, q, "d", &e), 0);
	/* a stale view must not drop the new record */
	assert_int_equal(link_code(v, p, "e", &e), ERR_INTEGRITY);
	store_flush(v->s);
	store_read_end(r);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_get(&q, r, key, &e), 1);
	store_read_end(r);
	close(fd);
	pkg_drop(&p);
	pkg_drop(&again);
}

static void test_verify_full(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "4.0.0");
	struct err e;
	int fd = slot(v, "a");

	assert_int_equal(store_link(v->s, p, false, fd, PKG_AUTO, NULL, &e), 0);
	spoil(fd, "lib/deep/a.js", "b", true);
	assert_int_equal(link_code(v, p, "stat", &e), 0); /* what a stat cannot see */
	store_close(v->s);
	assert_int_equal(store_open(&v->s, v->store, &(struct store_opts){ .verify = STORE_VERIFY_FULL }, &e), 0);
	assert_int_equal(link_code(v, p, "full", &e), ERR_INTEGRITY);
	int fresh = slot(v, "fresh"); /* who wants all bytes looked at gets that */
	assert_int_equal(store_link(v->s, p, true, fresh, PKG_AUTO, NULL, &e), ERR_INTEGRITY);
	close(fresh);
	close(fd);
	pkg_drop(&p);
}

static void test_lost(void **state)
{
	static const enum store_verify modes[] = { STORE_VERIFY_STAT, STORE_VERIFY_NONE, STORE_VERIFY_FULL };
	struct env *v = *state;
	struct err e;

	for (int i = 0; i < 3; i++) {
		store_close(v->s);
		assert_int_equal(store_open(&v->s, v->store, &(struct store_opts){ .verify = modes[i] }, &e), 0);
		struct pkg p = import(v, "5.0.0");
		str cmd = arena_printf(&v->a, "find '%s/pkgs' -name 2 -delete", v->store);
		assert_int_equal(system(cmd.p), 0);
		assert_int_equal(link_code(v, p, i == 0 ? "f0" : i == 1 ? "f1" : "f2", &e), ERR_NOTFOUND);
		cmd = arena_printf(&v->a, "rm -rf '%s/pkgs'/*", v->store);
		assert_int_equal(system(cmd.p), 0);
		assert_int_equal(link_code(v, p, i == 0 ? "d0" : i == 1 ? "d1" : "d2", &e), ERR_NOTFOUND);
		pkg_drop(&p);
	}
}

static void test_format(void **state)
{
	struct env *v = *state;
	struct err e;
	struct store *s;
	str path = arena_printf(&v->a, "%s/format", v->store);

	store_close(v->s);
	v->s = NULL;
	int fd = open(path.p, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "dray store 99\n", 14), 14);
	close(fd);
	assert_int_equal(store_open(&s, v->store, NULL, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "dray store 99"));
	assert_int_equal(unlink(path.p), 0);
	assert_int_equal(store_open(&s, v->store, NULL, &e), ERR_UNSUPPORTED);
}

/* The store as it is found after the machine went down in the middle of things: another life of it
 * left the boot file behind. */
static void power_loss(struct env *v)
{
	struct err e;

	store_close(v->s);
	str cmd = arena_printf(
		&v->a, "echo 'another-boot dirty' > '%s/boot'; : > '%s/index/data.mdb'", v->store, v->store);
	assert_int_equal(system(cmd.p), 0);
	assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
}

/* Shell commands in the one package's directory. */
static void in_package(struct env *v, const char *what)
{
	str cmd = arena_printf(&v->a, "cd '%s'/pkgs/*/* && %s", v->store, what);

	assert_int_equal(system(cmd.p), 0);
}

/* Links what the store has under KEY; 1 when it has nothing. FLAGS gets the record's. */
static int link_key(struct env *v, str key, const char *to, uint32_t *flags)
{
	struct store_read *r;
	struct pkg q;
	struct err e;
	int fd = slot(v, to), rc = 1;

	store_flush(v->s);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	if (store_get(&q, r, key, &e) == 1) {
		*flags = pkg_flags(q);
		rc = store_link(v->s, q, false, fd, PKG_HARDLINK, NULL, &e);
	}
	store_read_end(r);
	store_flush(v->s);
	close(fd);
	return rc;
}

/* The index is lost, the packages are not; none of their bytes is believed before it was hashed. */
static void test_power_loss(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "6.1.0");
	str key = sample_key(v, "6.1.0");
	uint32_t flags = 0;

	power_loss(v);
	assert_int_equal(link_key(v, key, "good", &flags), 0);
	assert_true(flags & PKG_UNPROVEN);
	assert_int_equal(link_key(v, key, "again", &flags), 0);
	assert_false(flags & PKG_UNPROVEN); /* once is enough */
	pkg_drop(&p);
}

/* An index that is no index any more is made anew, and nobody is asked to remove it. */
static void test_index_garbage(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "6.3.0");
	str key = sample_key(v, "6.3.0");
	uint32_t flags = 0;
	struct err e;

	store_close(v->s);
	str cmd = arena_printf(&v->a, "yes garbage | head -c 20000 > '%s/index/data.mdb'", v->store);
	assert_int_equal(system(cmd.p), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
		assert_int_equal(link_key(v, key, again ? "again" : "first", &flags), 0);
		assert_int_equal(flags & PKG_UNPROVEN, again ? 0 : PKG_UNPROVEN);
		if (!again)
			store_close(v->s);
	}
	pkg_drop(&p);
}

static void test_power_loss_spoiled(void **state)
{
	static const char *const damage[] = {
		": > 0", /* never written */
		/* other bytes, same size and time */
		"t=$(stat -c %y 0); tr 'a-z' 'A-Z' < 0 | dd of=0 conv=notrunc 2>/dev/null; touch -d \"$t\" 0",
		"rm 0",
	};
	struct env *v = *state;
	str key = sample_key(v, "6.2.0");
	uint32_t flags;
	char name[16];

	for (unsigned i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct err e;
		struct store_prune_result pr;
		struct pkg p = import(v, "6.2.0");
		pkg_drop(&p);
		store_flush(v->s);
		in_package(v, damage[i]);
		power_loss(v);
		snprintf(name, sizeof(name), "slot%u", i);
		assert_true(link_key(v, key, name, &flags) < 0);
		snprintf(name, sizeof(name), "gone%u", i);
		assert_int_equal(link_key(v, key, name, &flags), 1);
		assert_int_equal(store_prune(&pr, v->s, &(struct store_prune_opts){ 0 }, &e), 0); /* the orphan */
	}
}

static void test_power_loss_record(void **state)
{
	static const char *const damage[] = { ": > record", "rm record",
		"dd if=/dev/zero of=record bs=1 count=4 seek=40 conv=notrunc 2>/dev/null",
		"head -c 100 record > r && mv r record" };
	struct env *v = *state;
	str key = sample_key(v, "6.3.0");
	uint32_t flags;
	char name[16];

	for (unsigned i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct err e;
		struct store_prune_result pr;
		struct pkg p = import(v, "6.3.0");
		pkg_drop(&p);
		store_flush(v->s);
		in_package(v, damage[i]);
		power_loss(v);
		snprintf(name, sizeof(name), "slot%u", i);
		assert_int_equal(link_key(v, key, name, &flags), 1);
		assert_int_equal(store_prune(&pr, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
		assert_int_equal(pr.orphans, 1);
	}
}

/* Another life of the machine, in which the index was being written: not to be opened. */
static void test_unclean_boot(void **state)
{
	struct env *v = *state;
	struct pkg p = import(v, "6.0.0"), q;
	struct err e;
	str key = sample_key(v, "6.0.0");
	static const char *const states[] = { "clean", "dirty" };

	for (int i = 0; i < 2; i++) {
		store_close(v->s);
		str cmd = arena_printf(&v->a, "echo 'another-boot %s' > '%s/boot'", states[i], v->store);
		assert_int_equal(system(cmd.p), 0);
		assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
		struct store_read *r;
		assert_int_equal(store_read_begin(&r, v->s, &e), 0);
		assert_int_equal(store_get(&q, r, key, &e), 1);
		assert_int_equal((pkg_flags(q) & PKG_UNPROVEN) != 0, i == 1);
		store_read_end(r);
	}
	pkg_drop(&p);
}

static void test_kv(void **state)
{
	struct env *v = *state;
	struct store_read *r;
	struct err e;
	str got;
	char lng[2000];

	memset(lng, 'k', sizeof(lng));
	assert_true(store_kv_put(v->s, "meta", STR("a"), STR("1")));
	assert_true(store_kv_put(v->s, "metb", STR("a"), STR("2")));
	assert_true(store_kv_put(v->s, "meta", (str){ lng, sizeof(lng) }, STR("3")));
	assert_false(store_kv_put(v->s, "pkg", STR("a"), STR("x")));
	store_flush(v->s);
	assert_int_equal(store_read_begin(&r, v->s, &e), 0);
	assert_int_equal(store_kv_get(&got, r, "meta", STR("a"), &e), 1);
	assert_true(str_eq(got, STR("1")));
	assert_int_equal(store_kv_get(&got, r, "meta", (str){ lng, sizeof(lng) }, &e), 1);
	assert_true(str_eq(got, STR("3")));
	assert_int_equal(store_kv_get(&got, r, "meta", (str){ lng, sizeof(lng) - 1 }, &e), 0);
	store_read_end(r);
}

struct many {
	struct store *s;
	unsigned first;
	struct err e;
	int rc;
};

/* Imports and links its own packages and one that all share. */
static void *import_many(void *arg)
{
	struct many *m = arg;
	struct arena a = ARENA_INIT(4096);
	char dir[] = "/tmp/dray-store-many-XXXXXX";
	int top = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	for (unsigned i = 0; m->rc == 0 && i < 20; i++) {
		struct buf z = sample(i % 4 ? arena_printf(&a, "%u.%u.0", m->first, i).p : "7.7.7");
		str sri = tgz_sri(&z, &a);
		struct import_opts o = { .key = sri, .sri = sri };
		struct pkg p;
		m->rc = import_tarball(m->s, &o, z.p, z.n, &p, &m->e);
		buf_release(&z);
		str name = arena_printf(&a, "%u", i);
		if (m->rc < 0 || mkdirat(top, name.p, 0755) != 0)
			break;
		int fd = openat(top, name.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		m->rc = store_link(m->s, p, false, fd, PKG_AUTO, NULL, &m->e);
		close(fd);
		pkg_drop(&p);
		/* Another thread's import replaced ours, and the prune took it: it would be fetched again. */
		if (m->rc == ERR_NOTFOUND && i % 4 == 0)
			m->rc = 0;
	}
	str cmd = arena_printf(&a, "rm -rf '%s'", dir);
	if (system(cmd.p) != 0)
		m->rc = -1;
	close(top);
	arena_release(&a);
	return NULL;
}

static void test_parallel(void **state)
{
	enum { N = 4 };
	struct env *v = *state;
	struct many m[N];
	pthread_t tid[N];
	struct err e;
	struct store_prune_result pr;

	for (unsigned i = 0; i < N; i++) {
		m[i] = (struct many){ .s = v->s, .first = i };
		assert_int_equal(workq_thread(&tid[i], "test", import_many, &m[i], &e), 0);
	}
	/* beside it, what looks after the store: nothing young goes, and no fresh directory is taken for an orphan */
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_prune(&pr, v->s, &(struct store_prune_opts){ .min_age = 3600 }, &e), 0);
	for (unsigned i = 0; i < N; i++) {
		pthread_join(tid[i], NULL);
		if (m[i].rc != 0)
			fail_msg("%s", m[i].e.msg);
	}
	struct store_verify_result r;
	assert_int_equal(store_verify(&r, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
	assert_int_equal(r.bad, 0);
	assert_int_equal(r.packages, N * 15 + 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_roundtrip),
		T(test_reopen),
		T(test_wrong_digest),
		T(test_spoiled),
		T(test_spoiled_at_once),
		T(test_verify_full),
		T(test_lost),
		T(test_format),
		T(test_index_garbage),
		T(test_unclean_boot),
		T(test_power_loss),
		T(test_power_loss_spoiled),
		T(test_power_loss_record),
		T(test_kv),
		T(test_parallel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
