/* measure — runs one command to its end and says what it took.
 *
 * Figures are the kernel's own of the process tree (wait4's rusage with every
 * descendant that was waited for), wall clock from fork to exit. */
#pragma once
#include "base/base.h"
#include <sys/time.h>
#include <time.h>

struct sample {
	double wall_s, user_s, sys_s;
	uint64_t peak_kb;             /* the largest single process */
	uint64_t switches, preempted; /* voluntary, involuntary */
	uint64_t minor_faults, major_faults;
	int exit; /* status, or 128 + signal */
};
struct command {
	const char *const *argv; /* NULL at the end */
	const char *const *env;  /* "K=V", NULL at the end; the whole environment */
	const char *cwd;
	const char *out;  /* file that takes stdout and stderr */
	double timeout_s; /* then SIGKILL for the process group; exit 137. 0: none */
	int stop_fd;      /* once it is readable the same happens, and ERR_CANCELLED; 0: none */
};
/* Seconds on a clock; on the monotonic one. */
double measure_clock(clockid_t which);
double measure_now(void);
double measure_seconds(struct timeval tv);
/* User and system CPU in seconds of RUSAGE_SELF, or of RUSAGE_CHILDREN: those that were waited for. */
double measure_cpu(int who);
/* What the command leaves running in its process group is killed. A command that cannot be started exits
 * with 126 or 127. ERR_IO. */
MUST_USE int measure_run(struct sample *out, const struct command *c, struct err *e);
/* Writes to BYTES of free memory, at most half of what is available, and lets go of it. A virtual machine's host takes
 * back what its guest has not used for a while, and what comes next pays for getting it again: 3 to 4 s of the system's
 * CPU for 2 GB of files, which only the first of a round would have. */
void measure_fetch_memory(uint64_t bytes);
/* The folder of the running program, where dray and drayd lie, too; cut to CAP. */
void measure_own_dir(char *out, size_t cap);

/* Order statistics of N doubles (sorted in place). */
struct spread {
	double min, median, max;
	size_t n;
};
struct spread spread_of(double *v, size_t n);
/* Whether the spreads tell A and B apart: no overlap between [min, max], of two runs each at least. */
bool spread_apart(const struct spread *a, const struct spread *b);
