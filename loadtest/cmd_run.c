/* cmd_run — `dray-bench run` and `dray-bench record`: options, then run_all(). */
#include "base/json.h"
#include "cmd.h"
#include "gates.h"
#include "measure.h"
#include "place.h"
#include "run.h"
#include "table.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: dray-bench run [options] PROJECT...\n"
	"       dray-bench record [options] PROJECT...\n"
	"       dray-bench grid [options] PROJECT...     dray-direct against dray-warm over a grid of links\n"
	"\n"
	"Each PROJECT is a directory with a package.json. `record` installs it once with every subject through the "
	"mirror, which\n"
	"keeps what the registry answers; `run` measures against what was kept.\n"
	"\n"
	"  --link NAME        home (50 ms, 200 Mbit/s), ci (2 ms, 2 Gbit/s), loopback, bad; default home\n"
	"  --phases LIST      of p0,p1,p3,p4,p5,partial,update; default p0,p1,p3,p4,p5\n"
	"  --subjects LIST    of "
	"dray-direct,dray-cold,dray-warm,dray-settled,dray-gvs,pnpm,pnpm-gvs,bun,utoo,npm,yarn\n"
	"  --rounds N         default 3\n"
	"  --out FILE         JSON lines, appended; default dray-bench.jsonl\n"
	"  --work DIR         images and logs; default /var/tmp/dray-bench\n"
	"  --mirror DIR       default /var/tmp/dray-bench-mirror\n"
	"  --dray DIR         where dray and drayd are; default beside dray-bench\n"
	"  --peers DIR        made by loadtest/install-peers; default /var/tmp/dray-bench-peers\n"
	"  --image-gb N       size of the file system image (sparse); default 48\n"
	"  --registry URL     record: the registry; default what npm is set to\n"
	"  --quick            phases p0,p3,p4,p5 of dray-direct, dray-warm, pnpm and bun\n"
	"  --gates[=noisy]    exit with 1 when a gate fails; noisy: with wide limits for times\n";

struct options {
	struct run_opts run;
	const char *out;
	const struct gate_limits *gates; /* NULL: not looked at */
	char dray[PATH_MAX];
	char project[RUN_MOST_PROJECTS][PATH_MAX];
};

static bool read_phases(struct options *o, const char *list)
{
	char copy[256], *save = NULL;

	memset(o->run.phase, 0, sizeof(o->run.phase));
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		enum phase p = phase_read(w);
		if (p == NPHASES) {
			fprintf(stderr, "dray-bench: no phase is called \"%s\"\n", w);
			return false;
		}
		o->run.phase[p] = true;
	}
	return true;
}

static bool read_subjects(struct options *o, const char *list)
{
	char copy[512], *save = NULL;

	o->run.nsubjects = 0;
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		const struct subject *s = subject_find(w);
		if (!s || o->run.nsubjects == RUN_MOST_SUBJECTS) {
			fprintf(stderr, "dray-bench: no subject is called \"%s\"\n", w);
			return false;
		}
		o->run.subject[o->run.nsubjects++] = s;
	}
	return true;
}

enum {
	O_LINK,
	O_PHASES,
	O_SUBJECTS,
	O_ROUNDS,
	O_OUT,
	O_WORK,
	O_MIRROR,
	O_DRAY,
	O_PEERS,
	O_IMAGE,
	O_REGISTRY,
	O_GATES,
	O_QUICK,
	O_HELP
};
static const struct option longs[] = {
	{ "link", required_argument, NULL, O_LINK },
	{ "phases", required_argument, NULL, O_PHASES },
	{ "subjects", required_argument, NULL, O_SUBJECTS },
	{ "rounds", required_argument, NULL, O_ROUNDS },
	{ "out", required_argument, NULL, O_OUT },
	{ "work", required_argument, NULL, O_WORK },
	{ "mirror", required_argument, NULL, O_MIRROR },
	{ "dray", required_argument, NULL, O_DRAY },
	{ "peers", required_argument, NULL, O_PEERS },
	{ "image-gb", required_argument, NULL, O_IMAGE },
	{ "registry", required_argument, NULL, O_REGISTRY },
	{ "gates", optional_argument, NULL, O_GATES },
	{ "quick", no_argument, NULL, O_QUICK },
	{ "help", no_argument, NULL, O_HELP },
	{ NULL, 0, NULL, 0 },
};

static bool read_number(uint64_t *out, const char *text, const char *name)
{
	if (str_u64(str_of(text), out) && *out > 0 && *out < 10000)
		return true;
	fprintf(stderr, "dray-bench: --%s wants a number from 1 to 9999, not \"%s\"\n", name, text);
	return false;
}

static bool read_option(struct options *o, int c)
{
	uint64_t n;

	switch (c) {
	case O_LINK:
		if (!(o->run.link = link_find(optarg)))
			fprintf(stderr, "dray-bench: no link is called \"%s\"\n", optarg);
		return o->run.link != NULL;
	case O_PHASES:
		return read_phases(o, optarg);
	case O_SUBJECTS:
		return read_subjects(o, optarg);
	case O_ROUNDS:
		if (!read_number(&n, optarg, "rounds"))
			return false;
		o->run.rounds = (unsigned)n;
		return true;
	case O_IMAGE:
		if (!read_number(&n, optarg, "image-gb"))
			return false;
		o->run.image_bytes = n << 30;
		return true;
	case O_OUT:
		o->out = optarg;
		return true;
	case O_WORK:
		o->run.work_dir = optarg;
		return true;
	case O_MIRROR:
		o->run.mirror_dir = optarg;
		return true;
	case O_DRAY:
		snprintf(o->dray, sizeof(o->dray), "%s", optarg);
		return true;
	case O_PEERS:
		o->run.peers_dir = optarg;
		return true;
	case O_REGISTRY:
		o->run.upstream = str_of(optarg);
		return true;
	case O_GATES:
		o->gates = optarg ? &gates_noisy : &gates_strict;
		if (optarg && strcmp(optarg, "noisy") != 0)
			fprintf(stderr, "dray-bench: --gates or --gates=noisy, not \"%s\"\n", optarg);
		return !optarg || strcmp(optarg, "noisy") == 0;
	case O_QUICK:
		return read_phases(o, "p0,p3,p4,p5") && read_subjects(o, "dray-direct,dray-warm,pnpm,bun");
	default:
		fputs(usage, stderr);
		return false;
	}
}

static void set_defaults(struct options *o)
{
	ssize_t n = readlink("/proc/self/exe", o->dray, sizeof(o->dray) - 1);

	o->dray[n > 0 ? n : 0] = 0;
	char *slash = strrchr(o->dray, '/');
	if (slash)
		*slash = 0;
	o->run.link = link_find("home");
	o->run.rounds = 3;
	o->run.image_bytes = 48ull << 30;
	o->run.work_dir = "/var/tmp/dray-bench";
	o->run.mirror_dir = "/var/tmp/dray-bench-mirror";
	o->run.peers_dir = "/var/tmp/dray-bench-peers";
	o->run.dray_dir = o->dray;
	o->out = "dray-bench.jsonl";
	read_phases(o, "p0,p1,p3,p4,p5");
	read_subjects(o, "dray-direct,dray-cold,dray-warm,pnpm,bun,utoo");
}

static bool take_args(struct options *o, int argc, char **argv)
{
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (!read_option(o, c == 'h' ? O_HELP : c))
			return false;
	}
	for (; optind < argc && o->run.nprojects < RUN_MOST_PROJECTS; optind++) {
		char *at = o->project[o->run.nprojects];
		if (!realpath(argv[optind], at)) {
			fprintf(stderr, "dray-bench: %s: %s\n", argv[optind], strerror(errno));
			return false;
		}
		o->run.project[o->run.nprojects++] = at;
	}
	if (o->run.nprojects == 0)
		fputs(usage, stderr);
	return o->run.nprojects > 0;
}

static bool read_args(struct options *o, int argc, char **argv)
{
	set_defaults(o);
	return take_args(o, argc, argv);
}

/* The first line that PROGRAM --version prints, in A; empty when it can't be had. */
static str version_of(const char *program, const char *work, struct arena *a)
{
	const char *argv[] = { program, "--version", NULL };
	const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", arena_printf(a, "HOME=%s", work).p,
		NULL };
	struct command c = {
		.argv = argv, .env = env, .cwd = work, .out = arena_printf(a, "%s/version", work).p, .timeout_s = 30
	};
	struct sample s;
	struct err e;
	str text, line, rest;

	if (measure_run(&s, &c, &e) < 0 || s.exit != 0 || place_read_file(&text, c.out, a, &e) < 0)
		return STR_NONE;
	str_cut(text, '\n', &line, &rest);
	return line;
}

/* Every program that is measured, once. */
static void put_versions(FILE *f, const struct options *o)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct str_list done = { arena_new(&a, str, RUN_MOST_SUBJECTS), 0 };

	for (size_t i = 0; i < o->run.nsubjects; i++) {
		const struct subject *s = o->run.subject[i];
		const char *program = subject_program(s, o->run.dray_dir, o->run.peers_dir, &a);
		if (!program || str_list_has(done, str_of(s->program)))
			continue;
		done.p[done.n++] = str_of(s->program);
		buf_printf(&b, "%s\"%s\":", b.n ? "," : "", s->program);
		json_put_str(&b, version_of(program, o->run.work_dir, &a));
	}
	fprintf(f, ",\"versions\":{" STR_FMT "}", STR_ARG(buf_str(&b)));
}

static void put_machine(FILE *f, const struct options *o)
{
	struct utsname u;
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	uname(&u);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f,
		"{\"kind\":\"machine\",\"when\":\"%s\",\"cpus\":%ld,\"memory_mb\":%ld,\"kernel\":\"%s "
		"%s\",\"link\":\"%s\"",
		when, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PHYS_PAGES) / 256, u.sysname, u.release,
		o->run.link->name);
	put_versions(f, o);
	fprintf(f, "}\n");
}

static int show(const struct options *o)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;
	struct err e;

	if (result_read(&r, o->out, &a, &e) < 0) {
		fprintf(stderr, "dray-bench: %s\n", e.msg);
		return err_exit_status(e.code);
	}
	table_print(&r);
	return o->gates && !gates_hold(&r, o->gates);
}

static int run(struct options *o)
{
	struct err e;

	o->run.out = fopen(o->out, "ae");
	if (!o->run.out || (mkdir(o->run.work_dir, 0755) < 0 && errno != EEXIST)) {
		fprintf(stderr, "dray-bench: %s: %s\n", o->out, strerror(errno));
		return err_exit_status(ERR_IO);
	}
	put_machine(o->run.out, o);
	int rc = run_all(&o->run, &e);
	fclose(o->run.out);
	if (rc < 0)
		fprintf(stderr, "dray-bench: %s\n", e.msg);
	int shown = show(o);
	return rc < 0 ? err_exit_status(rc) : shown;
}

int cmd_run(int argc, char **argv)
{
	struct options *o = xcalloc(1, sizeof(*o));
	int status = read_args(o, argc, argv) ? run(o) : 2;

	free(o);
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct options *o = xcalloc(1, sizeof(*o));
	struct err e;
	int status = 2;

	if (read_args(o, argc, argv)) {
		if (!o->run.upstream.n)
			o->run.upstream = STR(DRAY_DEFAULT_REGISTRY);
		memset(o->run.phase, 0, sizeof(o->run.phase));
		/* Between them they ask for everything: p3 for what checks a lockfile against a policy, update for older versions. */
		o->run.phase[P3] = o->run.phase[UPDATE] = true;
		o->run.rounds = 1;
		o->run.link = link_find("loopback");
		int rc = run_all(&o->run, &e);
		if (rc < 0)
			fprintf(stderr, "dray-bench: %s\n", e.msg);
		status = rc < 0 ? err_exit_status(rc) : 0;
	}
	free(o);
	return status;
}

/* ---- grid ---- */

static const unsigned grid_rtt_ms[] = { 0, 10, 50, 150 }, grid_mbit[] = { 20, 100, 500, 2000 };
enum { GRID_RTTS = 4, GRID_RATES = 4 };

static const char *grid_name(struct arena *a, unsigned rtt, unsigned rate)
{
	return arena_printf(a, "%ums-%uM", grid_rtt_ms[rtt], grid_mbit[rate]).p;
}

/* One cell: server ÷ direct, "=" where the spreads overlap. */
static void print_grid_cell(const struct result *r, str project, str phase, str link)
{
	const struct cell *d = result_find(r, project, link, phase, STR("dray-direct"));
	const struct cell *s = result_find(r, project, link, phase, STR("dray-warm"));

	if (!d || !s || !d->n || !s->n) {
		printf("   failed");
		return;
	}
	const struct spread *p = &d->spread[METRIC_WALL], *q = &s->spread[METRIC_WALL];
	printf("   %5.2f%s", q->median / p->median, spread_apart(p, q) ? " " : "=");
}

static void print_grid(const struct options *o, const struct result *r)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 12);

	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		bool first = true;
		for (size_t k = 0; k < i; k++)
			first &= !(str_eq(r->cell[k].project, c->project) && str_eq(r->cell[k].phase, c->phase));
		if (!first)
			continue;
		printf(STR_FMT " · " STR_FMT ": server ÷ direct (\"=\": no difference), %u rounds\n          ",
			STR_ARG(c->project), STR_ARG(c->phase), o->run.rounds);
		for (unsigned m = 0; m < GRID_RATES; m++)
			printf("%4u Mbit", grid_mbit[m]);
		for (unsigned t = 0; t < GRID_RTTS; t++) {
			printf("\n  %3u ms  ", grid_rtt_ms[t]);
			for (unsigned m = 0; m < GRID_RATES; m++)
				print_grid_cell(r, c->project, c->phase, str_of(grid_name(&a, t, m)));
		}
		printf("\n");
	}
}

static int grid(struct options *o, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;

	o->run.out = fopen(o->out, "ae");
	if (!o->run.out || (mkdir(o->run.work_dir, 0755) < 0 && errno != EEXIST))
		return err_os(e, "open %s", o->out);
	put_machine(o->run.out, o);
	int rc = 0;
	for (unsigned i = 0; i < GRID_RTTS * GRID_RATES && (rc == 0 || rc == ERR_SCRIPT); i++) {
		unsigned t = i / GRID_RATES, m = i % GRID_RATES;
		struct link_profile l = { .name = grid_name(&a, t, m),
			.server_rtt_us = grid_rtt_ms[t] * 1000,
			.registry_rtt_us = grid_rtt_ms[t] * 1000,
			.rate_bps = (uint64_t)grid_mbit[m] * 1000000 };
		o->run.link = &l;
		rc = run_all(&o->run, e);
		o->run.link = NULL;
	}
	fclose(o->run.out);
	struct err read;
	if (result_read(&r, o->out, &a, &read) == 0)
		print_grid(o, &r);
	return rc;
}

int cmd_grid(int argc, char **argv)
{
	struct options *o = xcalloc(1, sizeof(*o));
	struct err e;
	int status = 2;

	set_defaults(o);
	read_phases(o, "p0,p3");
	o->out = "dray-grid.jsonl";
	if (take_args(o, argc, argv)) {
		read_subjects(o, "dray-direct,dray-warm");
		int rc = grid(o, &e);
		if (rc < 0)
			fprintf(stderr, "dray-bench: %s\n", e.msg);
		status = rc < 0 ? err_exit_status(rc) : 0;
	}
	free(o);
	return status;
}
