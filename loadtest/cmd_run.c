/* cmd_run — `dray-bench run` and `dray-bench record`: options, then run_all(). */
#include "cmd.h"
#include "gates.h"
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

static bool read_args(struct options *o, int argc, char **argv)
{
	set_defaults(o);
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
		"%s\",\"link\":\"%s\"}\n",
		when, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PHYS_PAGES) / 256, u.sysname, u.release,
		o->run.link->name);
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
	if (!o->run.out) {
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
