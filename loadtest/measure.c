#include "measure.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double measure_seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

double measure_clock(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double measure_now(void)
{
	return measure_clock(CLOCK_MONOTONIC);
}

double measure_cpu(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return measure_seconds(u.ru_utime) + measure_seconds(u.ru_stime);
}

static uint64_t memory_available(void)
{
	unsigned long long kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && !kb && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %llu", &kb);
	if (f)
		fclose(f);
	return kb << 10;
}

void measure_fetch_memory(uint64_t bytes)
{
	uint64_t most = memory_available() / 2;
	int status;

	if (bytes > most)
		bytes = most;
	pid_t pid = bytes ? fork() : -1; /* not in this process, whose own size counts for its children's peak */
	if (pid == 0)
		_exit(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) ==
			MAP_FAILED);
	if (pid > 0)
		waitpid(pid, &status, 0);
}

void measure_own_dir(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);

	out[n > 0 ? n : 0] = 0;
	char *slash = strrchr(out, '/');
	if (slash)
		*slash = 0;
}

static _Noreturn void child(const struct command *c)
{
	int out = open(c->out ? c->out : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int in = open("/dev/null", O_RDONLY);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* a caller that watches for signals has blocked them */
	if (out < 0 || in < 0 || chdir(c->cwd) < 0)
		_exit(126);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execve(c->argv[0], (char *const *)(uintptr_t)c->argv, (char *const *)(uintptr_t)c->env);
	_exit(127);
}

/* Whether PID has; it stays to be waited for. */
static bool has_ended(pid_t pid)
{
	siginfo_t si = { 0 };

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == pid;
}

/* Waits until PID has ended; kills it when its time is over, or when it is to stop. */
static int wait_bounded(pid_t pid, const struct command *c, bool *stopped, struct err *e)
{
	enum { LOOK_MS = 1 }; /* where a sandbox refuses descriptors of processes */
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p[] = { { .fd = fd, .events = POLLIN },
		{ .fd = c->stop_fd ? c->stop_fd : -1, .events = POLLIN } };
	double end = measure_now() + c->timeout_s, left = c->timeout_s;
	bool ended = false;
	int n = 0;

	while (!ended && !*stopped && (c->timeout_s <= 0 || left > 0)) {
		n = poll(p, 2, fd < 0 ? LOOK_MS : c->timeout_s > 0 ? (int)(left * 1000) + 1 : -1);
		if (n < 0 && errno != EINTR) {
			err_os(e, "wait for %s", c->argv[0]);
			break;
		}
		*stopped = n > 0 && p[1].revents;
		ended = fd < 0 ? has_ended(pid) : n > 0 && p[0].revents;
		n = 0;
		left = end - measure_now();
	}
	if (!ended || *stopped)
		kill(-pid, SIGKILL);
	if (fd >= 0)
		close(fd);
	return n < 0 ? e->code : 0;
}

int measure_run(struct sample *out, const struct command *c, struct err *e)
{
	double start = measure_now();
	pid_t pid = fork();

	if (pid < 0)
		return err_os(e, "fork");
	if (pid == 0)
		child(c);
	setpgid(pid, pid); /* whoever comes first */
	bool stopped = false;
	int rc = wait_bounded(pid, c, &stopped, e), status;
	struct rusage ru;
	while (wait4(pid, &status, 0, &ru) < 0) {
		if (errno != EINTR)
			return err_os(e, "wait for %s", c->argv[0]);
	}
	double wall = measure_now() - start;
	kill(-pid, SIGKILL); /* what it left behind must not run into the next sample */
	if (rc < 0 || stopped)
		return rc < 0 ? rc : err_set(e, ERR_CANCELLED, "stopped");
	*out = (struct sample){
		.wall_s = wall,
		.user_s = measure_seconds(ru.ru_utime),
		.sys_s = measure_seconds(ru.ru_stime),
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
	return a->n > 1 && b->n > 1 && (a->max < b->min || b->max < a->min);
}
