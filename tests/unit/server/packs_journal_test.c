/* The journal of packs: what a restart knows, what an older server wrote, a line that is spoiled, a disk that
 * stalls. ctest label: threads */
#include "packs_env.h"
#include <fcntl.h>
#include <signal.h>

/* Of the next write to this descriptor half is written, and the rest of it finds no room; -1: of none. */
static atomic_int cut_fd = -1;
static atomic_bool cut;

ssize_t write(int fd, const void *p, size_t n)
{
	if (fd != cut_fd)
		return syscall(SYS_write, fd, p, n);
	if (!cut) {
		cut = true;
		return syscall(SYS_write, fd, p, n / 2);
	}
	cut = false;
	cut_fd = -1;
	errno = ENOSPC;
	return -1;
}

/* As a drayd wrote it that did not look at names: packages' lines have another word. p3's says that it is evil's,
 * p4's is of another version. */
static void journal_make_older(const struct env *v)
{
	AUTO(buf_release) struct buf text = BUF_INIT, old = BUF_INIT;
	char path[100];
	str line, body, sum, w[8];
	struct err e;

	journal_text(&text, v);
	for (str rest = buf_str(&text); str_cut(rest, '\n', &line, &rest);) {
		size_t at = old.n, n = 0;
		assert_true(str_rcut(line, ' ', &body, &sum));
		for (str words = body; words.n && n < 8; n++)
			str_cut(words, ' ', &w[n], &words);
		if (!str_eq(w[0], STR("warm2")))
			continue;
		assert_int_equal(n, 8);
		buf_printf(&old, "warm");
		for (size_t i = 1; i < 6; i++)
			buf_printf(&old, " " STR_FMT, STR_ARG(w[i]));
		buf_printf(&old, " " STR_FMT " " STR_FMT, STR_ARG(str_eq(w[6], STR("p3")) ? STR("evil") : w[6]),
			STR_ARG(str_eq(w[6], STR("p4")) ? STR("9.9.9") : w[7]));
		packs_line_end(&old, at);
	}
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&old), 0644, &e), 0);
}

/* Made before names were looked at, a pack is given to nobody until its own has been read; then it is as
 * good as any, or made anew. */
static void packs_of_an_older_server_are_proved(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct frame_package evil = package(v, 3), f;

	evil.name = STR("evil");
	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N && c.pending + c.building == 0);
	packs_free(v->p);
	journal_make_older(v);
	packs_start(v);
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	wait_until(v, c.unproved == 0);
	assert_int_equal(packs_counts(v->p).warm, N - 1);
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	wait_until(v, c.failed == 1 && c.pending + c.building == 0);
	assert_int_equal(v->s.requests, N + 1);
	ask_all(v);
	wait_until(v, c.warm == N);
	assert_int_equal(v->s.requests, N + 2); /* nothing but p3 */
	packs_free(v->p);
	packs_start(v);
	assert_int_equal(packs_counts(v->p).unproved, 0); /* once for all */
	for (int i = 0; i < N; i++) {
		f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_served(v, &f);
	}
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	journal_text(&text, v);
	assert_true(str_find_str(buf_str(&text), STR(" p4 1.0.4 "), 0) != SIZE_MAX);
}

/* The descriptor of the journal that this process has open. */
static int journal_fd(void)
{
	char link[64], to[4096];

	for (int fd = 3; fd < 1000; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, to, sizeof(to));
		if (n > 14 && memcmp(to + n - 14, "/packs/journal", 14) == 0)
			return fd;
	}
	fail();
	return -1;
}

/* All that P had to note has been taken from the pipe FD into TOOK, and P writes to REAL again, which is open as TO. */
static void take_notes(struct buf *took, struct packs *p, int fd, int real, int to)
{
	char text[4096];

	for (bool all = false;;) {
		for (ssize_t n; (n = read(fd, text, sizeof(text))) > 0;)
			buf_add(took, (str){ text, (size_t)n });
		if (all)
			return;
		struct packs_counts c = packs_counts(p);
		if (c.built == N && c.pending + c.building == 0 && pthread_mutex_trylock(&p->writing) == 0) {
			pthread_mutex_lock(&p->lock);
			all = p->lines.n == 0; /* nor is any being written */
			pthread_mutex_unlock(&p->lock);
			if (all)
				assert_int_equal(dup2(real, to), to);
			pthread_mutex_unlock(&p->writing);
		}
		if (!all)
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
}

/* Nobody who asks waits for a disk that takes nothing; it is a pipe here that nobody reads. What is written once it
 * takes something is all that there was to note: a restart knows it. */
static void a_disk_that_stalls_holds_up_nobody(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf took = BUF_INIT;
	uint8_t key[PACKS_KEY], digest[32];
	char text[4096] = { 0 };
	size_t filled = 0;
	uint64_t size;
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	packs_start(v);
	int journal = journal_fd(), real = dup(journal);
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	for (ssize_t n; (n = write(fd[1], text, sizeof(text))) > 0;)
		filled += (size_t)n;
	assert_int_equal(fcntl(fd[1], F_SETFL, 0), 0);
	assert_int_equal(dup2(fd[1], journal), journal);
	alarm(600); /* before all is held up for good */
	ask_all(v);
	wait_until(v, c.built >= 2); /* by two builders, which then wait for the disk */
	ask_all(v);
	assert_true(packs_key(key, v->sri[0]));
	(void)packs_find(v->p, digest, &size, key);
	assert_int_equal(packs_evict(v->p, 0), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	take_notes(&took, v->p, fd[0], real, journal);
	alarm(0);
	assert_int_equal(packs_counts(v->p).unnoted, 0);
	close(fd[0]);
	close(fd[1]);
	packs_free(v->p);
	v->p = NULL;
	assert_true(took.n > filled);
	assert_int_equal(fs_write_all(real, took.p + filled, took.n - filled), 0);
	close(real);
	packs_start(v);
	struct packs_counts c = packs_counts(v->p);
	assert_int_equal(c.warm, N);
	assert_int_equal(c.pending + c.building + c.built, 0);
	assert_int_equal(v->s.requests, N);
}

static off_t journal_length(const struct env *v)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* A server that runs for months notes every use: its journal is written anew when that pays, and knows the same. */
static void a_long_journal_is_shortened(void **state)
{
	struct env *v = *state;
	struct frame_package f[N];

	v->o.journal_slack = 1;
	packs_start(v);
	for (int i = 1; i < N; i++) {
		f[i] = package(v, i);
		packs_of(v->p, &f[i], STR_NONE);
	}
	wait_until(v, c.built == N - 1 && packs_unsettled_of(&c) == c.warm);
	packjournal_write(v->p);
	off_t was = journal_length(v);
	unsigned syncs = journal_syncs;
	packjournal_shorten(v->p);
	off_t is = journal_length(v);
	assert_int_equal(journal_syncs, syncs + 1);
	assert_true(is < was * 3 / 4); /* what was wanted and is made */
	packjournal_shorten(v->p);
	assert_int_equal(journal_length(v), is); /* nothing is gained */
	f[0] = package(v, 0);
	packs_of(v->p, &f[0], STR_NONE);
	wait_until(v, c.built == N && packs_unsettled_of(&c) == c.warm);
	struct packs_counts before = packs_counts(v->p);
	packs_free(v->p);
	assert_true(journal_length(v) > is);
	packs_start(v);
	assert_int_equal(packs_counts(v->p).warm, before.warm);
	assert_int_equal(packs_counts(v->p).settled, before.settled); /* deltas */
	for (int i = 0; i < N; i++) {
		packs_of(v->p, &f[i], STR_NONE);
		assert_served(v, &f[i]);
	}
	assert_int_equal(v->s.requests, N);
}

/* A line of the journal that is not as it was written says nothing: what it was about is made again. */
static void a_spoiled_line_is_none(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	uint8_t key[PACKS_KEY], digest[32];
	char path[100];
	uint64_t size;
	struct err e;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.built == N && c.pending + c.building == 0);
	packs_free(v->p);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_read_file(&text, AT_FDCWD, path, 1 << 20, &e), 0);
	size_t at = str_find_str(buf_str(&text), STR("warm2 "), 0);
	assert_true(at != SIZE_MAX);
	char *d = text.p + at + 6 + 2 * PACKS_KEY + 1; /* the digest of the first one that was made */
	*d = *d == '0' ? '1' : '0';
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&text), 0644, &e), 0);
	packs_start(v);
	wait_until(v, c.warm == N); /* one of them anew */
	assert_int_equal(packs_counts(v->p).built, 1);
	for (int i = 0; i < N; i++) {
		assert_true(packs_key(key, v->sri[i]));
		assert_true(packs_find(v->p, digest, &size, key));
		int fd = packs_open(v->p, digest, &size);
		assert_true(fd >= 0);
		close(fd);
	}
}

/* What was wanted when a server ended is made by the next one; a journal of many lines about
 * few packs is written anew. */
static void a_start_goes_on(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	uint8_t key[PACKS_KEY];
	char path[100], hex[2 * PACKS_KEY + 1];
	struct err e;

	packs_start(v);
	packs_free(v->p);
	assert_true(packs_key(key, v->sri[0]));
	hex_print(hex, key, PACKS_KEY);
	buf_printf(&text, "want %s " STR_FMT " http://127.0.0.1:%u/0 p0 1.0.0", hex, STR_ARG(v->sri[0]), v->s.port);
	packs_line_end(&text, 0);
	for (int i = 0; i < 2000; i++) {
		size_t at = text.n;
		buf_printf(&text, "used %s %d", hex, 1000000 + i);
		packs_line_end(&text, at);
	}
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&text), 0644, &e), 0);
	unsigned syncs = journal_syncs;
	packs_start(v);
	assert_int_equal(journal_syncs, syncs + 1);
	assert_true(journal_length(v) < 1000);
	wait_until(v, c.built == 1 && c.warm == 1);
}

static void note_use(struct packs *p, struct pack_item *it, int64_t when)
{
	AUTO(buf_release) struct buf line = BUF_INIT;

	pthread_mutex_lock(&p->lock);
	it->used_s = it->noted_s = when;
	packevict_line_put(&line, it);
	packs_lines(p, buf_str(&line));
	pthread_mutex_unlock(&p->lock);
	packjournal_write(p);
}

/* Half a line is all that a full disk took: that one is lost, and not the next, for which there is room. */
static void a_line_that_was_cut_spoils_no_other(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 0);
	uint8_t key[PACKS_KEY];

	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.built == 1 && c.pending + c.building == 0);
	packjournal_write(v->p);
	assert_true(packs_key(key, v->sri[0]));
	struct pack_item *it = packs_item(v->p, key, false);
	cut_fd = journal_fd();
	note_use(v->p, it, 1000001);
	assert_int_equal(cut_fd, -1);
	assert_int_equal(packs_counts(v->p).unnoted, 1);
	note_use(v->p, it, 1000002);
	packs_free(v->p);
	packs_start(v);
	assert_int_equal(packs_item(v->p, key, false)->used_s, 1000002);
	assert_int_equal(packs_counts(v->p).warm, 1);
}

static void packs_outlive_the_server(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 3), g = package(v, 3);

	packs_start(v);
	ask_all(v);
	wait_until(v, c.built == N);
	packs_of(v->p, &f, STR_NONE);
	packs_free(v->p);
	char cmd[200]; /* half a line, as a killed server leaves it, and one that is not ours */
	snprintf(cmd, sizeof(cmd), "printf 'settled 00 11 1 1 1 x y 00000000\\nwarm 0123' >> '%s/packs/journal'",
		v->root);
	assert_int_equal(system(cmd), 0);
	packs_start(v);
	packs_of(v->p, &g, STR_NONE);
	assert_memory_equal(f.pack, g.pack, 32);
	assert_served(v, &g);
	assert_int_equal(packs_counts(v->p).warm, N);
	assert_int_equal(v->s.requests, N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packs_of_an_older_server_are_proved, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_stalls_holds_up_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_journal_is_shortened, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spoiled_line_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_that_was_cut_spoils_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(packs_outlive_the_server, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
