/* cmd_ratio — `dray-bench ratio DIR --server URL`: what a server changes for one project, on this machine and network.
 *
 * The project's own registry, credentials and settings; nothing is emulated.
 * Every run starts from a fresh copy and an empty store, scripts off; rounds
 * are interleaved, every other one backwards, after one untimed install each.
 * A run that fails ends it: there is no result of what is left. Interrupted, it
 * takes its folder away all the same. */
#include "cmd.h"
#include "measure.h"
#include "outcome.h"
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

extern char **environ;

enum { DIRECT, SERVER, NWAYS, LEAST_ROUNDS = 2, MOST_ROUNDS = 99, MOST_RUN_S = 1800 };
static const char *const ways[NWAYS] = { "direct", "server" };
static const struct {
	enum phase phase;
	const char *title;
} scenarios[] = { { P0, "without lockfile" }, { P3, "with lockfile" } };
enum { NSCENARIOS = sizeof(scenarios) / sizeof(*scenarios) };

struct ratio {
	const char *dray, *server, *work;
	struct bench_place place;
	struct arena a;
	unsigned rounds;
	int stop_fd; /* signals */
	double wall[NSCENARIOS][NWAYS][MOST_ROUNDS];
};

/* Its slots lie in it, or, where its settings want that, are shared. */
static const char *check_tree(const struct subject_place *at, struct arena *a)
{
	const char *why = outcome_tree(at, subject_find("dray-direct"), a);

	return why && outcome_tree(at, subject_find("dray-gvs"), a) ? why : NULL;
}

static int install(
	struct ratio *r, int way, enum phase phase, const struct subject_place *at, double *wall, struct err *e)
{
	const char *server = arena_printf(&r->a, "--server=%s", r->server).p;
	const char *argv[] = { r->dray, "install", arena_printf(&r->a, "--store-dir=%s", at->store).p,
		"--ignore-scripts", "--reporter=ndjson", phase == P0 ? "--no-frozen-lockfile" : "--frozen-lockfile",
		way == SERVER ? server : "--direct", way == SERVER ? "--server-fallback=error" : NULL, NULL };
	struct command c = { .argv = argv,
		.env = (const char *const *)environ,
		.cwd = at->project,
		.out = at->log,
		.timeout_s = MOST_RUN_S,
		.stop_fd = r->stop_fd };
	struct sample s;

	place_sync(&r->place);
	if (measure_run(&s, &c, e) < 0)
		return e->code;
	const char *why = s.exit ? arena_printf(&r->a, "exit status %d", s.exit).p : NULL;
	if (!why)
		why = outcome_lockfile(at, subject_find("dray-direct"), &r->a);
	if (!why)
		why = check_tree(at, &r->a);
	if (why) {
		place_show_log(at);
		return err_set(e, ERR_SCRIPT, "%s install %s: %s", ways[way], phase_name(phase), why);
	}
	*wall = s.wall_s;
	return 0;
}

static int rounds(struct ratio *r, struct err *e)
{
	struct subject_place at;
	double untimed;

	for (int w = 0; w < NWAYS; w++) {
		if (place_prime(&at, &r->place, ways[w], &r->a, e) < 0 || install(r, w, P0, &at, &untimed, e) < 0)
			return e->code;
	}
	for (unsigned round = 0; round < r->rounds; round++) {
		for (int i = 0; i < NSCENARIOS * NWAYS; i++) {
			int k = round % 2 ? NSCENARIOS * NWAYS - 1 - i : i, s = k / NWAYS, w = k % NWAYS;
			enum phase p = scenarios[s].phase;
			if (place_for(&at, &r->place, ways[w], "pnpm-lock.yaml", p, &r->a, e) < 0 ||
				install(r, w, p, &at, &r->wall[s][w][round], e) < 0)
				return e->code;
			fprintf(stderr, "round %u  %-16s  %-6s  %7.3f s\n", round + 1, scenarios[s].title, ways[w],
				r->wall[s][w][round]);
		}
	}
	return 0;
}

static void say(struct ratio *r)
{
	struct spread x[NSCENARIOS][NWAYS];

	for (int s = 0; s < NSCENARIOS; s++) {
		for (int w = 0; w < NWAYS; w++)
			x[s][w] = spread_of(r->wall[s][w], r->rounds);
	}
	const struct spread *d = &x[0][DIRECT], *v = &x[0][SERVER];
	if (!spread_apart(d, v))
		printf("The server makes no difference to %s: a fresh install takes %.2f s directly and %.2f s with "
		       "it, "
		       "and the runs overlap.\n",
			r->place.project_name, d->median, v->median);
	else
		printf("A fresh install of %s takes %.2f s with the server instead of %.2f s: %.2f times as long.\n",
			r->place.project_name, v->median, d->median, v->median / d->median);
	printf("\n%-18s %26s %26s   %s\n", "seconds", "direct", "server", "server / direct");
	for (int s = 0; s < NSCENARIOS; s++) {
		d = &x[s][DIRECT];
		v = &x[s][SERVER];
		printf("%-18s %8.3f [%6.3f, %6.3f] %8.3f [%6.3f, %6.3f]   %.2f%s\n", scenarios[s].title, d->median,
			d->min, d->max, v->median, v->min, v->max, v->median / d->median,
			spread_apart(d, v) ? "" : " (no difference)");
	}
	printf("median [fastest, slowest] of %u interleaved rounds\n", r->rounds);
}

static int measure_ratio(struct ratio *r, const char *dir, struct err *e)
{
	char work[PATH_MAX], project[PATH_MAX];

	if (!realpath(dir, project))
		return err_os(e, "%s", dir);
	snprintf(work, sizeof(work), "%s/dray-ratio-XXXXXX", r->work);
	if (!mkdtemp(work))
		return err_os(e, "make a folder in %s", r->work);
	int rc = place_open(&r->place, work, project, "", e);
	if (rc == 0)
		rc = rounds(r, e);
	if (rc == 0)
		say(r);
	place_close(&r->place);
	place_remove(work);
	return rc;
}

/* clang-format off */
static const char usage[] =
	"usage: dray-bench ratio DIR --server URL [options]\n"
	"\n"
	"Installs the project in DIR again and again, directly and through the drayd at URL, each time from an empty store\n"
	"and with scripts off, and says what the server changes. DIR is copied, never written to.\n"
	"\n"
	"  --rounds N      from 2 to 99; default 3\n"
	"  --work DIR      where copies and stores lie meanwhile; default /var/tmp\n"
	"  --dray PROGRAM  default beside dray-bench\n"
	"  --help\n";
/* clang-format on */

/* -1 to go on, else the exit status. */
static int read_args(struct ratio *r, int argc, char **argv)
{
	static const struct option longs[] = { { "server", 1, NULL, 's' }, { "rounds", 1, NULL, 'r' },
		{ "work", 1, NULL, 'w' }, { "dray", 1, NULL, 'd' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	uint64_t n;

	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 's') {
			r->server = optarg;
		} else if (c == 'w') {
			r->work = optarg;
		} else if (c == 'd') {
			r->dray = optarg;
		} else if (c == 'r' && str_u64(str_of(optarg), &n) && n >= LEAST_ROUNDS && n <= MOST_ROUNDS) {
			r->rounds = (unsigned)n;
		} else if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		} else {
			if (c == 'r')
				fprintf(stderr, "dray-bench: --rounds wants a number from %d to %d, not \"%s\"\n",
					LEAST_ROUNDS, MOST_ROUNDS, optarg);
			return 2;
		}
	}
	if (r->server && optind + 1 == argc)
		return -1;
	fputs(usage, stderr);
	return 2;
}

int cmd_ratio(int argc, char **argv)
{
	struct ratio *r = xcalloc(1, sizeof(*r));
	char own_dir[PATH_MAX];
	struct err e;
	sigset_t stop;

	measure_own_dir(own_dir, sizeof(own_dir));
	*r = (struct ratio){ .a = ARENA_INIT(1 << 16), .rounds = 3, .work = "/var/tmp" };
	r->dray = arena_printf(&r->a, "%s/dray", own_dir).p;
	int status = read_args(r, argc, argv);
	if (status < 0) {
		sigemptyset(&stop);
		sigaddset(&stop, SIGINT);
		sigaddset(&stop, SIGTERM);
		sigprocmask(SIG_BLOCK, &stop, NULL);
		r->stop_fd = signalfd(-1, &stop, SFD_CLOEXEC);
		status = 0;
		if (measure_ratio(r, argv[optind], &e) < 0) {
			fprintf(stderr, "dray-bench: %s\n", e.msg);
			status = err_exit_status(e.code);
		}
	}
	arena_release(&r->a);
	free(r);
	return status;
}
