#include "measure.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

double measure_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static _Noreturn void child(const struct command *c)
{
	int out = open(c->out ? c->out : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int in = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	if (out < 0 || in < 0 || chdir(c->cwd) < 0)
		_exit(126);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execve(c->argv[0], (char *const *)(uintptr_t)c->argv, (char *const *)(uintptr_t)c->env);
	_exit(127);
}

/* Waits for PID, at most until its time is over. */
static void wait_bounded(pid_t pid, double timeout_s)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || timeout_s <= 0)
		return;
	if (poll(&p, 1, (int)(timeout_s * 1000)) == 0)
		kill(-pid, SIGKILL);
	close(fd);
}

int measure_run(struct sample *out, const struct command *c, struct err *e)
{
	double start = measure_now();
	pid_t pid = fork();

	if (pid < 0)
		return err_os(e, "fork");
	if (pid == 0)
		child(c);
	wait_bounded(pid, c->timeout_s);
	int status;
	struct rusage ru;
	while (wait4(pid, &status, 0, &ru) < 0) {
		if (errno != EINTR)
			return err_os(e, "wait for %s", c->argv[0]);
	}
	double wall = measure_now() - start;
	kill(-pid, SIGKILL); /* what it left behind must not run into the next sample */
	*out = (struct sample){
		.wall_s = wall,
		.user_s = seconds(ru.ru_utime),
		.sys_s = seconds(ru.ru_stime),
		.peak_kb = (uint64_t)ru.ru_maxrss,
		.switches = (uint64_t)ru.ru_nvcsw,
		.preempted = (uint64_t)ru.ru_nivcsw,
		.minor_faults = (uint64_t)ru.ru_minflt,
		.major_faults = (uint64_t)ru.ru_majflt,
		.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
	};
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread spread_of(double *v, size_t n)
{
	if (n == 0)
		return (struct spread){ 0 };
	qsort(v, n, sizeof(*v), by_value);
	double mid = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
	return (struct spread){ .min = v[0], .median = mid, .max = v[n - 1], .n = n };
}

bool spread_apart(const struct spread *a, const struct spread *b)
{
	return a->n && b->n && (a->max < b->min || b->max < a->min);
}
