/* The record of slots that an install keeps while it is at work: what of it counts after a kill at any byte, or a loss
 * of power, and how the next one goes on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

#include "base/clock.h"
#include "fs.h"
#include "prune.h"
#include "slots_made.h"

enum { SLOTS = 4 };

static bool fail_write;

int fs_fault(const char *op)
{
	return fail_write && strcmp(op, "write") == 0 ? ENOSPC : 0;
}

struct place {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	temp_make(p->path);
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	close(p->fd);
	assert_true(remove_all(AT_FDCWD, p->path));
	free(p);
	return 0;
}

static const char *const names[SLOTS] = { "a@1.0.0", "@s+b@2.0.0_a@1.0.0", "c@1.0.0", "d@1.0.0" };

static struct slot slot_of(size_t i, int64_t times)
{
	return (struct slot){ .dir = names[i],
		.wiring = 1000 + i,
		.modules_ns = times + (int64_t)i,
		.package_ns = times * 2,
		.modules_ino = 50 + i };
}

/* Adds slots FROM to TO-1, in one go. */
static void add(struct slots_made *m, size_t from, size_t to, int64_t times)
{
	for (size_t i = from; i < to; i++) {
		struct slot s = slot_of(i, times);
		slots_made_add(m, &s);
	}
	slots_made_write(m, true);
}

static bool finds(const struct slots_made *m, size_t i, int64_t times)
{
	const struct state_slot *x = slots_made_find(m, names[i]);
	struct slot s = slot_of(i, times);

	return x && x->wiring == s.wiring && x->modules_ns == s.modules_ns && x->package_ns == s.package_ns &&
	       x->modules_ino == s.modules_ino;
}

static off_t size_of(const struct place *p)
{
	struct stat st;

	return fstatat(p->fd, SLOTS_MADE_FILE, &st, 0) == 0 ? st.st_size : -1;
}

static void test_cut_anywhere(void **state)
{
	struct place *p = *state;
	off_t ends[SLOTS + 1] = { 0 };

	struct slots_made *m = slots_made_open(p->fd);
	for (size_t i = 0; i < SLOTS; i++) {
		add(m, i, i + 1, 7);
		ends[i] = size_of(p);
	}
	slots_made_free(m);
	AUTO(buf_release) struct buf whole = BUF_INIT;
	struct err e;
	assert_int_equal(fs_read_file(&whole, p->fd, SLOTS_MADE_FILE, 1 << 20, &e), 0);
	for (size_t cut = 0; cut <= whole.n; cut++) {
		int fd = openat(p->fd, SLOTS_MADE_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		assert_int_equal(write(fd, whole.p, cut), (ssize_t)cut);
		close(fd);
		m = slots_made_open(p->fd);
		for (size_t i = 0; i < SLOTS; i++) {
			assert_int_equal(finds(m, i, 7), (off_t)cut >= ends[i]);
			assert_true(finds(m, i, 7) || !slots_made_find(m, names[i]));
		}
		add(m, 2, 3, 9); /* goes on behind what is whole */
		slots_made_free(m);
		m = slots_made_open(p->fd);
		assert_true(finds(m, 2, 9));
		assert_int_equal(finds(m, 0, 7), (off_t)cut >= ends[0]);
		assert_int_equal(finds(m, 3, 7), (off_t)cut >= ends[3]);
		slots_made_free(m);
	}
}

static void test_last_counts(void **state)
{
	struct place *p = *state;

	struct slots_made *m = slots_made_open(p->fd);
	add(m, 0, SLOTS, 7);
	add(m, 1, 2, 8);
	assert_null(slots_made_find(m, names[1])); /* its own it need not find */
	slots_made_free(m);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 0, 7));
	assert_true(finds(m, 1, 8));
	assert_null(slots_made_find(m, "e@1.0.0"));
	slots_made_free(m);
}

static void test_undone(void **state)
{
	struct place *p = *state;

	struct slots_made *m = slots_made_open(p->fd);
	slots_made_write(m, true);
	assert_int_equal(size_of(p), -1); /* nothing to say */
	add(m, 0, SLOTS, 7);
	assert_true(size_of(p) > 0);
	slots_made_undo(m);
	slots_made_free(m);
	assert_int_equal(size_of(p), -1);
}

/* What was there before is there again: the slots that it is about are, too. */
static void test_undone_to_what_was(void **state)
{
	struct place *p = *state;

	struct slots_made *m = slots_made_open(p->fd);
	add(m, 0, 2, 7);
	slots_made_free(m);
	off_t was = size_of(p);
	m = slots_made_open(p->fd);
	add(m, 1, SLOTS, 8);
	assert_true(size_of(p) > was);
	slots_made_undo(m);
	slots_made_free(m);
	assert_int_equal(size_of(p), was);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 0, 7) && finds(m, 1, 7));
	assert_null(slots_made_find(m, names[2]));
	slots_made_undo(m); /* nothing was done */
	slots_made_free(m);
	assert_int_equal(size_of(p), was);
}

/* As a machine finds it that went down meanwhile: the slots may have lost their bytes. */
static void test_another_life(void **state)
{
	struct place *p = *state;
	AUTO(buf_release) struct buf boot = BUF_INIT, text = BUF_INIT;
	struct err e;

	struct slots_made *m = slots_made_open(p->fd);
	add(m, 0, SLOTS, 7);
	slots_made_free(m);
	assert_int_equal(fs_boot_id(&boot, &e), 0);
	assert_int_equal(fs_read_file(&text, p->fd, SLOTS_MADE_FILE, 1 << 20, &e), 0);
	size_t at = str_find_str(buf_str(&text), buf_str(&boot), 0);
	assert_true(boot.n > 8 && at != SIZE_MAX);
	text.p[at] = text.p[at] == '0' ? '1' : '0';
	assert_int_equal(fs_write_file(p->fd, SLOTS_MADE_FILE, buf_str(&text), 0644, &e), 0);
	m = slots_made_open(p->fd);
	for (size_t i = 0; i < SLOTS; i++)
		assert_null(slots_made_find(m, names[i]));
	add(m, 1, 2, 9);
	slots_made_free(m);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 1, 9));
	assert_null(slots_made_find(m, names[0]));
	slots_made_free(m);
}

/* Not before it is time: an install that is over by then leaves no file. */
static void test_in_no_hurry(void **state)
{
	struct place *p = *state;
	struct slot s = slot_of(0, 7);

	uint64_t begun = clock_us();
	struct slots_made *m = slots_made_open(p->fd);
	slots_made_add(m, &s);
	for (slots_made_write(m, false); size_of(p) < 0; slots_made_write(m, false)) {
		assert_true(clock_us() - begun < 600u * 1000000u);
		usleep(20000); /* nothing but time is needed */
	}
	assert_true(clock_us() - begun >= SLOTS_MADE_MS * 1000u);
	slots_made_free(m);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 0, 7));
	slots_made_free(m);
}

static void test_disk_full(void **state)
{
	struct place *p = *state;

	struct slots_made *m = slots_made_open(p->fd);
	add(m, 0, 2, 7);
	fail_write = true;
	add(m, 2, 3, 7);
	fail_write = false;
	add(m, 3, 4, 7); /* something of the third may be there: nothing is written behind it */
	slots_made_free(m);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 0, 7) && finds(m, 1, 7));
	assert_null(slots_made_find(m, names[2]));
	assert_null(slots_made_find(m, names[3]));
	slots_made_free(m);
}

static void test_in_the_way(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkdirat(p->fd, SLOTS_MADE_FILE, 0755), 0);
	slots_made_free(slots_made_open(p->fd));
	assert_int_equal(symlinkat("/etc/passwd", p->fd, SLOTS_MADE_FILE), 0);
	struct slots_made *m = slots_made_open(p->fd);
	add(m, 0, 1, 7);
	slots_made_free(m);
	m = slots_made_open(p->fd);
	assert_true(finds(m, 0, 7));
	slots_made_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_cut_anywhere),
		T(test_last_counts),
		T(test_undone),
		T(test_undone_to_what_was),
		T(test_another_life),
		T(test_in_no_hurry),
		T(test_disk_full),
		T(test_in_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
