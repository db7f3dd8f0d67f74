/* ctest label: threads */
/* What happens when the n-th step fails, or the process is killed anywhere: whole or absent,
 * and the next attempt works. */
#include "fs.h"
#include "store_admin.h"
#include "store_env.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static unsigned fail_at, calls; /* 0: never */
static int fail_with;

int fs_fault(const char *op)
{
	(void)op;
	return fail_at && ++calls == fail_at ? fail_with : 0;
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool record_is_whole(struct env *v, str key)
{
	struct store_verify_result r;
	struct err e;
	unsigned was = fail_at;

	fail_at = 0;
	assert_int_equal(store_verify(&r, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
	assert_int_equal(r.bad, 0);
	bool there = has(v, key);
	fail_at = was;
	return there;
}

/* Each step of an import fails once, with each way of failing. */
static void test_import_faults(void **state)
{
	static const int errnos[] = { ENOSPC, EIO, EACCES };
	struct env *v = *state;
	struct err e;
	unsigned walked = 0;

	fail_at = 0;
	struct pkg warm = import(v, "0.0.1"); /* the temporary directory exists from here on */
	pkg_drop(&warm);
	for (size_t w = 0; w < sizeof(errnos) / sizeof(*errnos); w++) {
		fail_with = errnos[w];
		for (unsigned n = 1;; n++) {
			str version = arena_printf(&v->a, "1.%zu.%u", w, n);
			struct buf z = sample(version.p);
			str sri = tgz_sri(&z, &v->a);
			struct import_opts o = { .key = sri, .sri = sri, .name = STR("left"), .version = version };
			unsigned fds = open_fds();
			fail_at = n;
			calls = 0;
			int rc = import_tarball(v->s, &o, z.p, z.n, NULL, &e);
			bool hit = calls >= n;
			fail_at = 0;
			assert_int_equal(open_fds(), fds);
			/* a row that is there is whole, whatever was returned; after an error there is none */
			assert_int_equal(record_is_whole(v, sri), rc == 0);
			if (rc < 0) {
				assert_int_equal(rc, errnos[w] == ENOSPC ? ERR_NOSPACE : ERR_IO);
				assert_non_null(strstr(e.msg, "left@"));
				assert_int_equal(import_tarball(v->s, &o, z.p, z.n, NULL, &e), 0);
			}
			buf_release(&z);
			if (!hit)
				break;
			walked++;
		}
	}
	assert_true(walked > 60);
	assert_int_equal(count(v, "tmp", "-mindepth 2"), 0); /* failed imports cleaned up after themselves */
}

static void test_link_faults(void **state)
{
	struct env *v = *state;
	struct err e;
	unsigned fell_back = 0, refused = 0, n = 1;

	fail_at = 0;
	struct pkg p = import(v, "2.0.0");
	for (;; n++) {
		static const int errnos[] = { EIO, EMLINK, EXDEV, EPERM };
		bool hit = false;
		for (size_t w = 0; w < sizeof(errnos) / sizeof(*errnos); w++) {
			struct pkg_link_stats st = { 0 };
			int fd = slot(v, arena_printf(&v->a, "s%u-%zu", n, w).p);
			unsigned fds = open_fds();
			fail_at = n;
			calls = 0;
			fail_with = errnos[w];
			int rc = store_link(v->s, p, false, fd, PKG_AUTO, &st, &e);
			hit = calls >= n;
			fail_at = 0;
			assert_int_equal(open_fds(), fds);
			if (rc == 0) { /* all of it is there */
				assert_int_equal(st.links + st.clones + st.copies, pkg_nfiles(p));
				fell_back += st.copies + st.clones > 1;
				assert_true(!st.refused || st.refused == errnos[w]);
				assert_true(!st.refused || errnos[w] == EXDEV || errnos[w] == EPERM);
				refused += st.refused != 0;
			} else {
				assert_int_equal(rc, ERR_IO);
			}
			close(fd);
		}
		assert_true(has(v, sample_key(v, "2.0.0"))); /* trouble with the tree is not the store's fault */
		if (!hit)
			break;
	}
	assert_true(n > 15);
	assert_true(fell_back >= 15);
	assert_true(refused >= 2);
	pkg_drop(&p);
}

static void test_open_faults(void **state)
{
	struct env *v = *state;
	struct err e;
	unsigned n = 1;

	for (;; n++) {
		store_close(v->s);
		v->s = NULL;
		str cmd = arena_printf(&v->a, "rm -rf '%s'", v->store);
		assert_int_equal(system(cmd.p), 0);
		unsigned fds = open_fds();
		fail_at = n;
		calls = 0;
		fail_with = EIO;
		int rc = store_open(&v->s, v->store, NULL, &e);
		bool hit = calls >= n;
		fail_at = 0;
		if (rc < 0) {
			assert_int_equal(open_fds(), fds);
			assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
		}
		struct pkg p = import(v, "1.0.0");
		pkg_drop(&p);
		if (!hit)
			break;
	}
	assert_true(n > 8);
}

/* -- killed ----------------------------------------------------------------------- */

/* Imports and links until it is killed. */
static _Noreturn void victim(const struct env *v, unsigned round, int ready)
{
	struct err e;
	struct store *s;
	struct arena a = ARENA_INIT(4096);

	if (store_open(&s, v->store, NULL, &e) < 0)
		_exit(2);
	for (unsigned i = 0;; i++) {
		struct buf z = sample(arena_printf(&a, "%u.%u.0", round % 5, i % 100).p);
		str sri = tgz_sri(&z, &a);
		struct import_opts o = { .key = sri, .sri = sri };
		struct pkg p;
		if (import_tarball(s, &o, z.p, z.n, &p, &e) < 0)
			_exit(3);
		free((void *)(uintptr_t)p.p);
		buf_release(&z);
		if (i % 8 == 0)
			store_flush(s);
		if (i == 8 && write(ready, "", 1) != 1)
			_exit(4);
	}
}

static void test_killed(void **state)
{
	struct env *v = *state;
	struct err e;
	struct store_verify_result r;
	uint64_t most = 0;

	store_close(v->s);
	v->s = NULL;
	srandom(7);
	for (unsigned round = 0; round < 60; round++) {
		int ready[2];
		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			victim(v, round, ready[1]);
		char byte; /* half of them get going first, the others may die while they open the store */
		if (round % 2)
			assert_int_equal(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		close(ready[1]);
		nanosleep(&(struct timespec){ .tv_nsec = random() % 30000000 }, NULL);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status)); /* it did not give up by itself */
		assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
		assert_int_equal(store_verify(&r, v->s, &(struct store_verify_opts){ .full = true }, &e), 0);
		assert_int_equal(r.bad, 0);
		if (r.packages > most)
			most = r.packages;
		struct pkg p = import(v, "9.9.9");
		pkg_drop(&p);
		assert_int_equal(count(v, "tmp", "-maxdepth 1"), 1); /* what the dead one left was swept */
		store_close(v->s);
		v->s = NULL;
	}
	assert_true(most >= 9);
	/* and prune finds what was renamed in without getting its row */
	struct store_prune_result pr;
	assert_int_equal(store_open(&v->s, v->store, NULL, &e), 0);
	assert_int_equal(store_prune(&pr, v->s, &(struct store_prune_opts){ 0 }, &e), 0);
	assert_true(pr.orphans_all);
	assert_int_equal(count(v, "pkgs", "-type f"), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_import_faults),
		T(test_link_faults),
		T(test_open_faults),
		T(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
