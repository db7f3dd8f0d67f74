/* What "dray store status, verify, prune, sync" do when the n-th step fails: an error or the truth, nothing that is in
 * use is removed, and the next time it works. */
#include "fs.h"
#include "shared.h"
#include "store_admin.h"
#include "store_env.h"
#include <errno.h>
#include <limits.h>

static unsigned fail_at, calls; /* 0: never */
static int fail_with;
static unsigned below; /* so many folders more are of a layer below, for overlayfs, which does not rename those */

int fs_fault(const char *op)
{
	if (below && strcmp(op, "rename") == 0) {
		below--;
		return EXDEV;
	}
	return fail_at && ++calls == fail_at ? fail_with : 0;
}

static const int errnos[] = { EIO, EACCES };
enum { ERRNOS = sizeof(errnos) / sizeof(*errnos) };

/* PATH below the root, and what leads there. */
static void dir(struct env *v, const char *path)
{
	struct err e;

	assert_int_equal(fs_mkdir_p(AT_FDCWD, arena_printf(&v->a, "%s/%s", v->root, path).p, 0755, &e), 0);
}

static bool there(struct env *v, const char *path)
{
	struct stat st;

	return lstat(arena_printf(&v->a, "%s/%s", v->root, path).p, &st) == 0;
}

/* A package that a tree has, and a project that has a shared slot and hoisted names. */
static void used(struct env *v)
{
	struct shared_slots *h;
	uint8_t key[32] = { 1 };
	str slot_name = STR("kept@1.0.0-00000000000000000000000000000001");
	struct err e;
	struct pkg p = import(v, "1.0.0");

	int fd = slot(v, "tree");
	assert_int_equal(store_link(v->s, p, false, fd, PKG_AUTO, NULL, &e), 0);
	close(fd);
	pkg_drop(&p);
	dir(v, "project/node_modules/.pnpm");
	assert_int_equal(shared_open(&h, v->store, &e), 0);
	str root = arena_printf(&v->a, "%s/project", v->root);
	assert_int_equal(shared_record(h, root, key, &slot_name, 1, &e), 0);
	assert_int_equal(shared_record_end(h, root, &e), 0);
	shared_close(h);
	dir(v, "deep/store/links/kept@1.0.0-00000000000000000000000000000001/node_modules");
	dir(v, "deep/store/links/hoisted-00000000000000000000000000000001/node_modules");
	str link = arena_printf(&v->a, "%s/project/node_modules/.pnpm/node_modules", v->root);
	assert_int_equal(
		symlink("../../../deep/store/links/hoisted-00000000000000000000000000000001/node_modules", link.p), 0);
}

/* And what nobody has. */
static void unused(struct env *v)
{
	static unsigned serial;
	struct pkg p = import(v, arena_printf(&v->a, "0.0.%u", ++serial).p);

	pkg_drop(&p);
	dir(v, "deep/store/links/gone@1.0.0-00000000000000000000000000000002/node_modules");
	dir(v, "deep/store/pkgs/ab/000000000000000000000000000001");
	dir(v, "deep/store/index.lost-1");
}

static void used_stands(struct env *v)
{
	assert_true(has(v, sample_key(v, "1.0.0")));
	assert_true(there(v, "deep/store/links/kept@1.0.0-00000000000000000000000000000001/node_modules"));
	assert_true(there(v, "deep/store/links/hoisted-00000000000000000000000000000001/node_modules"));
}

/* How many steps a prune takes when none fails. */
static unsigned prune_steps(struct env *v)
{
	struct store_prune_result r;
	struct err e;

	unused(v);
	fail_at = UINT_MAX;
	calls = 0;
	assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
	fail_at = 0;
	return calls;
}

static void test_prune(void **state)
{
	struct env *v = *state;
	struct store_prune_result r;
	struct store_verify_result vr;
	struct err e;
	unsigned failed = 0;

	used(v);
	unsigned steps = prune_steps(v);
	for (size_t w = 0; w < ERRNOS; w++) {
		/* most of the steps look into one of the 256 folders of pkgs after the other: not each of those */
		for (unsigned n = 1; n <= steps + 1; n += n > 60 && n + 60 < steps ? 29 : 1) {
			unused(v);
			fail_at = n;
			calls = 0;
			fail_with = errnos[w];
			int rc = store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e);
			fail_at = 0;
			if (rc < 0)
				assert_true(e.msg[0]);
			failed += rc < 0;
			used_stands(v);
			assert_int_equal(store_verify(&vr, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
			assert_int_equal(vr.bad, 0);
			/* and then all of it goes */
			assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
			used_stands(v);
			assert_false(r.shared.unread);
			assert_int_equal(r.kept, 1);
			assert_false(there(v, "deep/store/pkgs/ab/000000000000000000000000000001"));
			assert_false(there(v, "deep/store/links/gone@1.0.0-00000000000000000000000000000002"));
			assert_false(there(v, "deep/store/index.lost-1"));
		}
	}
	assert_true(failed > 40);
}

static void test_prune_layers(void **state)
{
	struct env *v = *state;
	struct store_prune_result r;
	struct err e;

	used(v);
	unused(v);
	below = UINT_MAX;
	int rc = store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e);
	assert_true(below < UINT_MAX - 2);
	below = 0;
	assert_int_equal(rc, 0);
	used_stands(v);
	assert_int_equal(r.packages, 1);
	assert_int_equal(count(v, "pkgs", "-mindepth 2 -maxdepth 2"), 1);
	assert_false(there(v, "deep/store/links/gone@1.0.0-00000000000000000000000000000002"));

	/* one that cannot be removed in full is not whole */
	static const char gone[] = "deep/store/links/gone@1.0.0-00000000000000000000000000000002/node_modules";
	bool left = false;
	for (unsigned n = 1; !left; n++) {
		struct stat st;
		unused(v);
		below = UINT_MAX;
		fail_at = n;
		calls = 0;
		fail_with = EIO;
		rc = store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e);
		bool hit = calls >= n;
		below = fail_at = 0;
		assert_true(hit);
		used_stands(v);
		left = rc < 0 && lstat(arena_printf(&v->a, "%s/%s", v->root, gone).p, &st) == 0 &&
		       (st.st_mode & S_ISVTX);
		assert_int_equal(store_prune(&r, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
	}
}

/* A store that is part of an image, used on another machine than the one that made it. */
static void test_boot_layers(void **state)
{
	struct env *v = *state;
	struct err e;

	used(v);
	store_close(v->s);
	str cmd = arena_printf(&v->a, "echo 'another-boot dirty' > '%s/boot'", v->store);
	assert_int_equal(system(cmd.p), 0);
	below = 2;
	assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
	assert_int_equal(below, 0);
	assert_true(has(v, sample_key(v, "1.0.0")));
	assert_false(there(v, "deep/store/links"));
	assert_int_equal(count(v, ".", "-maxdepth 1 -name '*lost*'"), 0);
}

static void test_status_and_verify(void **state)
{
	struct env *v = *state;
	struct store_status st;
	struct store_verify_result r;
	struct err e;
	unsigned failed = 0;

	used(v);
	for (size_t w = 0; w < ERRNOS; w++) {
		bool hit = true;
		for (unsigned n = 1; hit; n++) {
			fail_at = n;
			calls = 0;
			fail_with = errnos[w];
			int rc = store_status(&st, v->s, &e);
			hit = calls >= n;
			fail_at = 0;
			assert_true(rc < 0 || (st.packages == 1 && st.files == 6));
		}
		hit = true;
		for (unsigned n = 1; hit; n++) {
			fail_at = n;
			calls = 0;
			int rc = store_verify(&r, v->s, &(struct store_verify_opts){ .full = true, .drop = true }, &e);
			hit = calls >= n;
			fail_at = 0;
			failed += rc < 0;
			/* a disk that cannot be read says nothing of what is on it */
			assert_true(rc < 0 || (r.packages == 1 && r.bad == 0));
			used_stands(v);
		}
	}
	assert_true(failed > 10);
}

static void test_sync(void **state)
{
	struct env *v = *state;
	struct store_status st;
	struct err e;
	unsigned failed = 0;

	bool hit = true;
	for (unsigned n = 1; hit; n++) {
		bool done = true;
		struct pkg p = import(v, arena_printf(&v->a, "3.0.%u", n).p);
		pkg_drop(&p);
		fail_at = n;
		calls = 0;
		fail_with = EIO;
		int rc = store_sync(v->s, &done, &e);
		hit = calls >= n;
		fail_at = 0;
		failed += rc < 0;
		assert_int_equal(store_status(&st, v->s, &e), 0);
		if (rc < 0)
			assert_false(done);
		if (done) /* what is said to be on disk is marked so */
			assert_true(st.synced);
		assert_int_equal(store_sync(v->s, &done, &e), 0);
		assert_true(done);
		assert_int_equal(store_status(&st, v->s, &e), 0);
		assert_true(st.synced);
	}
	assert_true(failed > 4);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_prune),
		T(test_prune_layers),
		T(test_boot_layers),
		T(test_status_and_verify),
		T(test_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
