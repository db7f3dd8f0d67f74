/* The file of tokens as its operator has set it up: it is written anew for every change, and stays whose it was. */
#include "integrity.h"
#include "token_file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

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
	char dir[] = "/tmp/dray-tokens-XXXXXX", file[64], lock[64];
	struct err e;
	static const uint8_t none[32];

	(void)state;
	assert_non_null(mkdtemp(dir));
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
	unlink(file);
	unlink(lock);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_modes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
