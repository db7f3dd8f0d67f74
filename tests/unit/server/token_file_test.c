/* The file of tokens as its operator has set it up: it is written anew for every change, and stays whose it was. */
#include "fs.h"
#include "integrity.h"
#include "token_file.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

static unsigned calls, fail_at, renames; /* of fs_fault() */

int fs_fault(const char *op)
{
	renames += strcmp(op, "rename") == 0;
	return ++calls == fail_at ? ENOSPC : 0;
}

static void leave(const char *dir)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/tokens", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/tokens.lock", dir);
	unlink(path);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left */
}

static size_t count(const char *path)
{
	AUTO(tokens_release) struct tokens ts = { 0 };
	struct err e;

	if (tokens_read(&ts, str_of(path), &e) < 0)
		fail_msg("%s", e.msg);
	return ts.n;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void add(const char *path, const char *name)
{
	AUTO(buf_release) struct buf out = BUF_INIT;
	struct err e;

	if (token_add(&out, str_of(path), &(struct token){ .name = str_of(name) }, &e) < 0)
		fail_msg("%s", e.msg);
}

static void test_modes(void **state)
{
	char dir[TEMP_PATH], file[64], lock[64];
	struct err e;
	static const uint8_t none[32];

	(void)state;
	temp_make(dir);
	snprintf(file, sizeof(file), "%s/tokens", dir);
	snprintf(lock, sizeof(lock), "%s/tokens.lock", dir);
	add(file, "first");
	assert_int_equal(mode_of(file), 0600);
	assert_int_equal(mode_of(lock), 0600);
	static const struct {
		unsigned set, kept;
	} row[] = { { 0640, 0640 }, { 0660, 0660 }, { 0644, 0644 }, { 06777, 0664 }, { 0600, 0600 } };
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(chmod(file, row[i].set), 0);
		add(file, "second");
		assert_int_equal(mode_of(file), row[i].kept);
		assert_int_equal(mode_of(lock), row[i].kept);
		assert_int_equal(token_revoke(str_of(file), STR("second"), none, &e), 0);
		assert_int_equal(mode_of(file), row[i].kept);
	}
	leave(dir);
}

/* Whatever fails, the file is the old one or the new one, and nothing lies beside it. */
static void test_faults(void **state)
{
	char dir[TEMP_PATH], file[64];
	AUTO(buf_release) struct buf out = BUF_INIT;
	struct err e;
	int rc = -1;

	(void)state;
	temp_make(dir);
	snprintf(file, sizeof(file), "%s/tokens", dir);
	add(file, "first");
	for (unsigned n = 1; rc < 0; n++) {
		calls = renames = 0;
		fail_at = n;
		rc = token_add(&out, str_of(file), &(struct token){ .name = STR("second") }, &e);
		fail_at = 0;
		assert_true(n < 20);
		assert_int_equal(count(file), rc < 0 ? 1 : 2);
		assert_true(rc < 0 ? out.n == 0 : out.n == 48);
		assert_true(n > 1 || strstr(e.msg, file));
	}
	assert_int_equal(renames, 1);
	leave(dir);
}

/* A command that was killed left its new file; a link there leads nobody astray. */
static void test_left_over(void **state)
{
	char dir[TEMP_PATH], file[64], fresh[64], victim[64];

	(void)state;
	temp_make(dir);
	snprintf(file, sizeof(file), "%s/tokens", dir);
	snprintf(fresh, sizeof(fresh), "%s/tokens.new", dir);
	snprintf(victim, sizeof(victim), "%s/victim", dir);
	assert_int_equal(symlink(victim, fresh), 0);
	add(file, "first");
	assert_int_not_equal(access(victim, F_OK), 0);
	assert_int_equal(count(file), 1);
	leave(dir);
}

static void test_many_at_once(void **state)
{
	enum { MANY = 12 };
	char dir[TEMP_PATH], file[64], name[16];
	pid_t pid[MANY];

	(void)state;
	temp_make(dir);
	snprintf(file, sizeof(file), "%s/tokens", dir);
	for (int i = 0; i < MANY; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] > 0)
			continue;
		AUTO(buf_release) struct buf out = BUF_INIT;
		struct err e;
		snprintf(name, sizeof(name), "ci%d", i);
		int rc = token_add(&out, str_of(file), &(struct token){ .name = str_of(name) }, &e);
		buf_release(&out);
		_exit(rc < 0);
	}
	for (int i = 0; i < MANY; i++) {
		int status;
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count(file), MANY);
	leave(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_many_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
