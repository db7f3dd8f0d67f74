/* measure — runs one command to its end and says what it took.
 *
 * Figures are the kernel's own of the process tree (wait4's rusage with every
 * descendant that was waited for), wall clock from fork to exit. */
#pragma once
#include "base/base.h"

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
	double timeout_s; /* then SIGKILL for the process group; exit 137 */
};
/* Seconds on the monotonic clock. */
double measure_now(void);
MUST_USE int measure_run(struct sample *out, const struct command *c, struct err *e);

/* Order statistics of N doubles (sorted in place). */
struct spread {
	double min, median, max;
	size_t n;
};
struct spread spread_of(double *v, size_t n);
/* Whether the spreads tell A and B apart: no overlap between [min, max]. */
bool spread_apart(const struct spread *a, const struct spread *b);
