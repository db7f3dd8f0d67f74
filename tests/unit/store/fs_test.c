/* What is closed of the standard descriptors is nobody's file. */
#include "fs.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In a child, which has CLOSED (bits): 0 when the next file is none of the three, and what was open stays. */
static int with_closed(unsigned closed)
{
	struct stat was[3], now, null;

	if (stat("/dev/null", &null) != 0)
		return 1;
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(open("/", O_RDONLY), fd) != fd || fstat(fd, &was[fd]) != 0)
			return 2;
	}
	for (int fd = 0; fd < 3; fd++) {
		if (closed & 1u << fd)
			close(fd);
	}
	if (fs_std() != 0)
		return 3;
	for (int fd = 0; fd < 3; fd++) {
		const struct stat *want = closed & 1u << fd ? &null : &was[fd];
		if (fstat(fd, &now) != 0 || now.st_ino != want->st_ino || now.st_dev != want->st_dev)
			return 4;
	}
	return open("/", O_RDONLY) < 3 ? 5 : 0;
}

static void test_standard_descriptors(void **state)
{
	(void)state;
	for (unsigned closed = 0; closed < 8; closed++) {
		int status;
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			_exit(with_closed(closed));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_standard_descriptors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
