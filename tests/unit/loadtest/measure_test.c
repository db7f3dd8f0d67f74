/* One command: what its sample says, that it ends when its time is over or somebody stops it, and
 * that nothing of it is left. */
#include "measure.h"
#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char out[64];
	struct arena a;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	strcpy(f->out, "/tmp/dray-measure-XXXXXX");
	int fd = mkstemp(f->out);
	assert_true(fd >= 0);
	close(fd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->out);
	arena_release(&f->a);
	free(f);
	return 0;
}

static int shell(struct fixture *f, struct sample *s, const char *script, double timeout_s, int stop_fd, struct err *e)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL },
		   *env[] = { "GREETING=hello", "PATH=/usr/bin:/bin", NULL };
	struct command c = {
		.argv = argv, .env = env, .cwd = "/", .out = f->out, .timeout_s = timeout_s, .stop_fd = stop_fd
	};

	return measure_run(s, &c, e);
}

static str output(struct fixture *f)
{
	struct err e;
	str text;

	assert_int_equal(place_read_file(&text, f->out, &f->a, &e), 0);
	return str_trim(text);
}

static void test_sample(void **state)
{
	struct fixture *f = *state;
	struct sample s;
	struct err e;

	assert_int_equal(shell(f, &s, "echo $GREETING from $(pwd), not $HOME", 60, 0, &e), 0);
	assert_int_equal(s.exit, 0);
	assert_true(s.wall_s > 0 && s.peak_kb > 0 && s.minor_faults > 0);
	assert_true(str_eq(output(f), STR("hello from /, not")));
	assert_int_equal(shell(f, &s, "exit 7", 0, 0, &e), 0);
	assert_int_equal(s.exit, 7);
	assert_int_equal(shell(f, &s, "kill -TERM $$", 60, 0, &e), 0);
	assert_int_equal(s.exit, 128 + SIGTERM);
	/* CPU of what it started counts, too: a child that is waited for spins until it has had some. */
	assert_int_equal(shell(f, &s, "(i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done)", 60, 0, &e), 0);
	assert_true(s.user_s > 0.005);
}

static void test_not_there(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { "/nonexistent", NULL }, *env[] = { NULL };
	struct command c = { .argv = argv, .env = env, .cwd = "/", .out = f->out, .timeout_s = 60 };
	struct sample s;
	struct err e;

	assert_int_equal(measure_run(&s, &c, &e), 0);
	assert_int_equal(s.exit, 127);
	c.cwd = "/nonexistent";
	assert_int_equal(measure_run(&s, &c, &e), 0);
	assert_int_equal(s.exit, 126);
}

/* The process whose number the command has printed is gone, or a zombie that nobody has waited for. */
static void expect_dead(struct fixture *f)
{
	uint64_t pid;
	char path[64], state[256] = "";

	assert_true(str_u64(output(f), &pid));
	snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	for (int i = 0; i < 2000; i++) { /* a signal takes its time */
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, state, sizeof(state) - 1);
		if (fd >= 0)
			close(fd);
		state[n > 0 ? n : 0] = 0;
		if (n <= 0 || strstr(state, ") Z "))
			return;
		usleep(50000);
	}
	fail_msg("still there: %s", state);
}

static void test_timeout(void **state)
{
	struct fixture *f = *state;
	struct sample s;
	struct err e;

	double limit = 0.3;
	do { /* until it was long enough for the shell to say what it began */
		assert_true(limit < 60);
		assert_int_equal(shell(f, &s, "sleep 1000 & echo $!; wait", limit, 0, &e), 0);
		assert_int_equal(s.exit, 128 + SIGKILL);
		assert_true(s.wall_s >= limit && s.wall_s < limit + 100);
		limit *= 2;
	} while (output(f).n == 0);
	expect_dead(f);
}

/* What a command leaves behind must not run into the next sample. */
static void test_leftover(void **state)
{
	struct fixture *f = *state;
	struct sample s;
	struct err e;

	assert_int_equal(shell(f, &s, "sleep 1000 >/dev/null & echo $!", 60, 0, &e), 0);
	assert_int_equal(s.exit, 0);
	expect_dead(f);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	int stop = eventfd(1, EFD_CLOEXEC);
	struct sample s;
	struct err e;

	assert_true(stop > 0);
	assert_int_equal(shell(f, &s, "echo $$; exec sleep 1000", 0, stop, &e), ERR_CANCELLED);
	close(stop);
}

/* As in a sandbox that knows no descriptors of processes: in a child, since what a filter refuses stays refused. */
static int refuse_pidfd(void)
{
	struct sock_filter f[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { sizeof(f) / sizeof(f[0]), f };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int without_pidfd(struct fixture *f)
{
	int stop = eventfd(1, EFD_CLOEXEC);
	struct sample s;
	struct err e;

	if (refuse_pidfd() < 0 || syscall(SYS_pidfd_open, getpid(), 0) >= 0)
		return 1;
	if (shell(f, &s, "exit 7", 60, 0, &e) < 0 || s.exit != 7)
		return 2;
	if (shell(f, &s, "exit 7", 0, 0, &e) < 0 || s.exit != 7)
		return 3;
	if (shell(f, &s, "sleep 1000", 0.1, 0, &e) < 0 || s.exit != 128 + SIGKILL)
		return 4;
	return shell(f, &s, "sleep 1000", 0, stop, &e) == ERR_CANCELLED ? 0 : 5;
}

static void test_without_pidfd(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(without_pidfd(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sample, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_pidfd, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
