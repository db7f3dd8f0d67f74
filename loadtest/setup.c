#include "setup.h"
#include "base/json.h"
#include "measure.h"
#include "place.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: dray-bench run [options] PROJECT...\n"
	"       dray-bench record [options] PROJECT...\n"
	"       dray-bench grid [options] PROJECT...     dray-direct against dray-warm over a grid of links\n"
	"       dray-bench report-all [--quick] [options] [PROJECT...]\n"
	"\n"
	"Each PROJECT is a directory with a package.json. `record` installs it once with every subject through the "
	"mirror, which\n"
	"keeps what the registry answers; `run` measures against what was kept.\n"
	"\n"
	"  --link LIST        of home (50 ms, 200 Mbit/s), ci (2 ms, 2 Gbit/s), loopback, bad; default home\n"
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
	"  --budget MINUTES   report-all: chooses scenarios by importance until it is used up\n"
	"  --plan             report-all: says what would be measured and how long it takes\n"
	"  --html FILE        report-all: default OUT with .html\n"
	"  --gates[=noisy]    exit with 1 when a gate fails; noisy: with wide limits for times\n";

bool setup_phases(struct setup *o, const char *list)
{
	char copy[256], *save = NULL;

	memset(o->phase, 0, sizeof(o->phase));
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		enum phase p = phase_read(w);
		if (p == NPHASES) {
			fprintf(stderr, "dray-bench: no phase is called \"%s\"\n", w);
			return false;
		}
		o->phase[p] = true;
	}
	return true;
}

bool setup_links(struct setup *o, const char *list)
{
	char copy[256], *save = NULL;

	o->nlinks = 0;
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		const struct link_profile *l = link_find(w);
		if (!l || o->nlinks == SETUP_MOST_LINKS) {
			fprintf(stderr, "dray-bench: no link is called \"%s\"\n", w);
			return false;
		}
		o->link[o->nlinks++] = l;
	}
	return true;
}

bool setup_subjects(struct setup *o, const char *list)
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
	O_BUDGET,
	O_HTML,
	O_PLAN,
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
	{ "budget", required_argument, NULL, O_BUDGET },
	{ "html", required_argument, NULL, O_HTML },
	{ "plan", no_argument, NULL, O_PLAN },
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

static bool read_option(struct setup *o, int c)
{
	uint64_t n;

	switch (c) {
	case O_LINK:
		return setup_links(o, optarg);
	case O_PHASES:
		return setup_phases(o, optarg);
	case O_SUBJECTS:
		return setup_subjects(o, optarg);
	case O_ROUNDS:
		if (!read_number(&n, optarg, "rounds"))
			return false;
		o->rounds = (unsigned)n;
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
		o->quick = true;
		return setup_phases(o, "p0,p3,p4,p5") && setup_subjects(o, "dray-direct,dray-warm,pnpm,bun");
	case O_BUDGET:
		if (!read_number(&n, optarg, "budget"))
			return false;
		o->budget_s = (double)n * 60;
		return true;
	case O_HTML:
		o->html = optarg;
		return true;
	case O_PLAN:
		o->plan_only = true;
		return true;
	default:
		fputs(usage, stderr);
		return false;
	}
}

void setup_beside(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);

	out[n > 0 ? n : 0] = 0;
	char *slash = strrchr(out, '/');
	if (slash)
		*slash = 0;
}

void setup_defaults(struct setup *o)
{
	setup_beside(o->dray, sizeof(o->dray));
	setup_links(o, "home");
	o->rounds = 3;
	o->run.image_bytes = 48ull << 30;
	o->run.work_dir = "/var/tmp/dray-bench";
	o->run.mirror_dir = "/var/tmp/dray-bench-mirror";
	o->run.peers_dir = "/var/tmp/dray-bench-peers";
	o->run.dray_dir = o->dray;
	o->out = "dray-bench.jsonl";
	setup_phases(o, "p0,p1,p3,p4,p5");
	setup_subjects(o, "dray-direct,dray-cold,dray-warm,pnpm,bun,utoo");
}

bool setup_take(struct setup *o, int argc, char **argv, bool none)
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
	if (o->run.nprojects == 0 && !none)
		fputs(usage, stderr);
	return o->run.nprojects > 0 || none;
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
static void put_versions(FILE *f, const struct setup *o)
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

/* What the CPU calls itself; nothing where the kernel does not say. */
static void put_cpu(FILE *f)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	char line[256];
	FILE *cpu = fopen("/proc/cpuinfo", "re");

	while (cpu && !b.n && fgets(line, sizeof(line), cpu)) {
		str key, value;
		if (str_starts(str_of(line), STR("model name")) && str_cut(str_of(line), ':', &key, &value))
			json_put_str(&b, str_trim(value));
	}
	if (cpu)
		fclose(cpu);
	if (b.n)
		fprintf(f, ",\"cpu\":" STR_FMT, STR_ARG(buf_str(&b)));
}

static void put_machine(FILE *f, const struct setup *o)
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
		"%s\"",
		when, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PHYS_PAGES) / 256, u.sysname, u.release);
	put_cpu(f);
	put_versions(f, o);
	fprintf(f, "}\n");
}

/* A run that was killed while it wrote leaves half a line. */
static int drop_torn_line(const char *path, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err ignored;
	str text;

	if (access(path, F_OK) != 0 || place_read_file(&text, path, &a, &ignored) < 0)
		return 0;
	size_t end = text.n;
	while (end && text.p[end - 1] != '\n')
		end--;
	return end < text.n && truncate(path, (off_t)end) < 0 ? err_os(e, "truncate %s", path) : 0;
}

int setup_open(struct setup *s, struct err *e)
{
	if (drop_torn_line(s->out, e) < 0)
		return e->code;
	s->run.out = fopen(s->out, "ae");
	if (!s->run.out)
		return err_os(e, "open %s", s->out);
	if (mkdir(s->run.work_dir, 0755) < 0 && errno != EEXIST)
		return err_os(e, "make %s", s->run.work_dir);
	put_machine(s->run.out, s);
	fflush(s->run.out);
	return 0;
}
