/* cmd_resolve — `dray-bench resolve DIR`: what the engine needs for a project, without wire and tree.
 *
 * Cold: nothing is known; gzipped packuments come over loopback from the frozen mirror, a process of its own whose CPU
 * is told apart. Warm: the same process again, compiled packuments in memory; from the request to the last frame, then
 * with the frames encoded as drayd does. Each round is a child, so that its peak memory is its own; it has its heap as
 * drayd has, and libcurl is loaded as in a server that is up. */
#include "base/base.h"
#include "base/clock.h"
#include "cmd.h"
#include "measure.h"
#include "meta.h"
#include "mirror.h"
#include "plan_wire.h"
#include "preload.h"
#include "project.h"
#include "setup.h"
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* One child's figures, in memory shared with it. */
struct round {
	bool ok;
	double cold_ms, cold_cpu_ms, mirror_cpu_ms, warm_ms, warm_cpu_ms, wire_cpu_ms;
	uint64_t peak_kb, packuments, received, packages, slots, plan_bytes;
	uint8_t digest[32];
};
enum { LOADED_US = 100 * 1000 };
struct bench {
	const char *dir, *mirror;
	unsigned rounds, warm_runs;
	uint16_t port;
	struct round *round;
};
struct counted {
	struct frame_done done;
	struct plan_writer *writer; /* NULL: frames are only counted */
};

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct counted *c = ctx;

	if (f->kind == FRAME_DONE)
		c->done = f->done;
	return c->writer ? plan_writer_add(c->writer, f, e) : 0;
}

static double of_clock_ms(clockid_t which)
{
	return measure_clock(which) * 1e3;
}

static int run_once(struct counted *c, struct meta *m, const struct request *req, int64_t now_ms, struct err *e)
{
	struct preload_opts o = { .now_ms = now_ms };
	struct preload *p = preload_new(m, &o);
	int rc = engine_run(req, preload_io(p), on_frame, c, e);
	preload_free(p);
	return rc;
}

static int run_wire(struct round *out, struct meta *m, const struct request *req, int64_t now_ms, struct err *e)
{
	AUTO(buf_release) struct buf plan = BUF_INIT;
	double from = of_clock_ms(CLOCK_THREAD_CPUTIME_ID);
	struct counted c = { .writer = plan_writer_new(PLAN_LEVEL) };

	plan_writer_columns(c.writer);
	int rc = run_once(&c, m, req, now_ms, e);
	if (rc == 0)
		rc = plan_writer_take(c.writer, &plan, true, e);
	plan_writer_free(c.writer);
	from = of_clock_ms(CLOCK_THREAD_CPUTIME_ID) - from;
	if (out->wire_cpu_ms == 0 || from < out->wire_cpu_ms)
		out->wire_cpu_ms = from;
	out->plan_bytes = plan.n;
	return rc;
}

static int run_warm(
	struct round *out, struct meta *m, const struct request *req, int64_t now_ms, unsigned runs, struct err *e)
{
	for (unsigned i = 0; i < runs; i++) {
		struct counted c = { 0 };
		double wall = of_clock_ms(CLOCK_MONOTONIC), cpu = of_clock_ms(CLOCK_THREAD_CPUTIME_ID);
		if (run_once(&c, m, req, now_ms, e) < 0)
			return e->code;
		wall = of_clock_ms(CLOCK_MONOTONIC) - wall;
		cpu = of_clock_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
		if (memcmp(c.done.lockfile_digest, out->digest, sizeof(out->digest)) != 0)
			return err_set(e, ERR_INTEGRITY, "a warm run made another lockfile than the cold one");
		if (i == 0 || wall < out->warm_ms)
			out->warm_ms = wall;
		if (i == 0 || cpu < out->warm_cpu_ms)
			out->warm_cpu_ms = cpu;
		if (run_wire(out, m, req, now_ms, e) < 0)
			return e->code;
	}
	return 0;
}

/* What drayd's heap_setup() does, on two CPUs. */
static void heap_as_drayd(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 32 << 20);
}

static int run_round(struct round *out, const struct bench *b, clockid_t mirror_clock, struct err *e)
{
	char registry[64], *no_env[] = { NULL };
	struct project project;
	struct http *http;
	struct registry *reg;
	struct meta *meta;
	struct counted c = { 0 };
	struct rusage ru;

	snprintf(registry, sizeof(registry), "http://127.0.0.1:%u/", b->port);
	struct project_opts po = { .dir = str_of(b->dir), .registry = str_of(registry), .env = no_env };
	struct http_opts ho = { .ready = true, .private_addresses = true, .proxy = "" };
	struct registry_opts ro = { .no_retries = true };
	struct meta_opts mo = { 0 };
	heap_as_drayd();
	if (http_new(&http, &ho, e) < 0 || registry_new(&reg, http, &ro, e) < 0 ||
		meta_new(&meta, NULL, reg, &mo, e) < 0 || project_load(&project, &po, e) < 0)
		return e->code;
	usleep(LOADED_US); /* a server that is up has libcurl */
	int64_t now_ms = clock_wall_ms();
	double wall = of_clock_ms(CLOCK_MONOTONIC), cpu = of_clock_ms(CLOCK_PROCESS_CPUTIME_ID);
	double mirror = of_clock_ms(mirror_clock);
	int rc = run_once(&c, meta, &project.req, now_ms, e);
	out->cold_ms = of_clock_ms(CLOCK_MONOTONIC) - wall;
	out->cold_cpu_ms = of_clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	out->mirror_cpu_ms = of_clock_ms(mirror_clock) - mirror;
	out->packages = c.done.packages;
	out->slots = c.done.slots;
	memcpy(out->digest, c.done.lockfile_digest, sizeof(out->digest));
	out->packuments = meta_counts(meta).fetched;
	out->received = http_counts(http).received;
	getrusage(RUSAGE_SELF, &ru);
	out->peak_kb = (uint64_t)ru.ru_maxrss;
	if (rc == 0)
		rc = run_warm(out, meta, &project.req, now_ms, b->warm_runs, e);
	out->ok = rc == 0;
	return rc; /* the process ends here: nothing is released */
}

/* --- processes --- */

static void mirror_child(const char *dir, int port_fd)
{
	static struct mirror_counts counts;
	struct mirror *m;
	struct err e;
	uint16_t port;
	sigset_t stop;
	struct mirror_opts o = { .dir = dir, .counts = &counts };

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	int fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	if (mirror_new(&m, &o, &port, &e) < 0) {
		fprintf(stderr, "dray-bench: %s\n", e.msg);
		_exit(1);
	}
	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		_exit(1);
	close(port_fd);
	_exit(mirror_run(m, fd, &e) == 0 ? 0 : 1);
}

static pid_t mirror_start(struct bench *b)
{
	int fd[2];

	if (pipe(fd) != 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		mirror_child(b->mirror, fd[1]);
	close(fd[1]);
	bool up = pid > 0 && read(fd[0], &b->port, sizeof(b->port)) == sizeof(b->port);
	close(fd[0]);
	return up ? pid : -1;
}

static bool round_child(struct bench *b, unsigned i, pid_t mirror)
{
	clockid_t mirror_clock;
	struct err e;
	int status;

	if (clock_getcpuclockid(mirror, &mirror_clock) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "resolve"); /* profiles tell it from the mirror */
		int rc = run_round(&b->round[i], b, mirror_clock, &e);
		if (rc < 0)
			fprintf(stderr, "dray-bench: %s\n", e.msg);
		_exit(rc < 0 ? 1 : 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && b->round[i].ok;
}

static void report(const struct round *r, const char *what)
{
	printf("%s cold_ms=%.0f cold_cpu_ms=%.0f mirror_cpu_ms=%.0f warm_ms=%.1f warm_cpu_ms=%.1f "
	       "warm_wire_cpu_ms=%.1f "
	       "cold_peak_mb=%.0f packuments=%llu received_mb=%.1f packages=%llu slots=%llu plan_kb=%.1f\n",
		what, r->cold_ms, r->cold_cpu_ms, r->mirror_cpu_ms, r->warm_ms, r->warm_cpu_ms, r->wire_cpu_ms,
		(double)r->peak_kb / 1024, (unsigned long long)r->packuments, (double)r->received / 1e6,
		(unsigned long long)r->packages, (unsigned long long)r->slots, (double)r->plan_bytes / 1e3);
	fflush(stdout);
}

static bool rounds_run(struct bench *b, pid_t mirror)
{
	/* one more, unreported: the mirror compresses what it serves when it is asked for the first time */
	for (unsigned i = 0; i <= b->rounds; i++) {
		char what[32];
		if (!round_child(b, i, mirror))
			return false;
		snprintf(what, sizeof(what), "round=%u", i);
		if (i)
			report(&b->round[i], what);
		if (memcmp(b->round[i].digest, b->round[0].digest, sizeof(b->round[0].digest)) != 0) {
			fprintf(stderr, "dray-bench: round %u made another lockfile than the first\n", i);
			return false;
		}
	}
	return true;
}

int cmd_resolve(int argc, char **argv)
{
	static const struct option table[] = { { "mirror", 1, NULL, 'm' }, { "rounds", 1, NULL, 'r' },
		{ "warm", 1, NULL, 'w' }, { 0 } };
	struct bench b = { .mirror = SETUP_MIRROR, .rounds = 5, .warm_runs = 7 };
	uint64_t n;

	for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
		if (c == 'm')
			b.mirror = optarg;
		else if (c == 'r' && str_u64(str_of(optarg), &n) && n > 0 && n < 1000)
			b.rounds = (unsigned)n;
		else if (c == 'w' && str_u64(str_of(optarg), &n) && n > 0 && n < 10000)
			b.warm_runs = (unsigned)n;
		else
			optind = argc;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: dray-bench resolve DIR [--mirror MIRROR] [--rounds N] [--warm RUNS]\n");
		return 2;
	}
	b.dir = argv[optind];
	size_t size = (b.rounds + 1) * sizeof(*b.round);
	b.round = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t mirror = b.round == MAP_FAILED ? -1 : mirror_start(&b);
	if (mirror < 0) {
		fprintf(stderr, "dray-bench: the mirror does not start\n");
		return 1;
	}
	bool ok = rounds_run(&b, mirror);
	kill(mirror, SIGTERM);
	waitpid(mirror, NULL, 0);
	return ok ? 0 : 1;
}
