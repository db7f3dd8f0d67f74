#include "setup.h"
#include "base/json.h"
#include "fs.h"
#include "measure.h"
#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
static const char usage[] =
	"usage: dray-bench run [options] PROJECT...\n"
	"       dray-bench record [options] PROJECT...\n"
	"       dray-bench grid [options] PROJECT...     dray-direct against dray-warm over a grid of links\n"
	"       dray-bench report-all [--quick] [options] [PROJECT...]\n"
	"\n"
	"Each PROJECT is a directory with a package.json. `record` installs it with every subject through the mirror,\n"
	"which keeps what the registry answers; `run` measures against what was kept. report-all without PROJECT takes\n"
	"the three of loadtest/projects (--quick: two), seen from the top of the repository.\n"
	"\n"
	"  --link LIST        of home (50 ms, 200 Mbit/s), ci (2 ms, 2 Gbit/s), loopback, bad; default home. What is\n"
	"                     other than there follows: home:server=5:registry=80:rate=100, round trips in ms, Mbit/s;\n"
	"                     upstream= is the round trip from drayd to the registry, 0 unless told\n"
	"  --phases LIST      of p0,p1,p3,p4,p5,partial,update; default p0,p1,p3,p4,p5 (grid: p0,p3)\n"
	"  --subjects LIST    of dray-direct,dray-cold,dray-warm,dray-settled,dray-gvs,pnpm,pnpm-gvs,bun,utoo,npm,yarn\n"
	"                     default of run: dray-direct,dray-cold,dray-warm,pnpm,bun,utoo; of report-all: all; of\n"
	"                     record: all that ask for different things\n"
	"  --rounds N         default 3, at most 63; fewer than three tell little\n"
	"  --out FILE         JSON lines, appended; default " SETUP_OUT " (grid: dray-grid.jsonl; report-all:\n"
	"                     dray-bench-all.jsonl, where samples that stand already are not made again)\n"
	"  --work DIR         images and logs; default " SETUP_WORK "\n"
	"  --mirror DIR       default " SETUP_MIRROR "\n"
	"  --dray DIR         where dray and drayd are; default beside dray-bench\n"
	"  --peers DIR        made by loadtest/install-peers; default " SETUP_PEERS "\n"
	"  --image-gb N       size of the file system image (sparse); default 48\n"
	"  --registry URL     record: the registry; default what npm is set to\n"
	"  --quick            dray-direct, dray-warm, pnpm, bun and utoo; run: phases p0,p3,p4,p5; report-all: 20 minutes,\n"
	"                     small and app. Options behind it win\n"
	"  --budget MINUTES   report-all: chooses scenarios by importance until it is used up; default 120\n"
	"  --plan             report-all: says what would be measured and how long it takes\n"
	"  --html FILE        report-all: default OUT with .html\n"
	"  --gates[=noisy]    exit with 1 when a gate fails; noisy: with wide limits for times\n"
	"  --help\n";
/* clang-format on */

/* Cuts the next name off a comma-separated LIST; false at its end. */
static bool name_next(char out[32], str *list)
{
	str name;

	if (list->n == 0)
		return false;
	str_cut(*list, ',', &name, list);
	snprintf(out, 32, STR_FMT, STR_ARG(name)); /* what is cut off is no name anyway */
	return true;
}

static bool no_such(const char *what, const char *name)
{
	fprintf(stderr, "dray-bench: no %s is called \"%s\"\n", what, name);
	return false;
}

bool setup_phases(struct setup *o, const char *list)
{
	str rest = str_of(list);
	char name[32];

	memset(o->phase, 0, sizeof(o->phase));
	while (name_next(name, &rest)) {
		enum phase p = phase_read(name);
		if (p == NPHASES)
			return no_such("phase", name);
		o->phase[p] = true;
	}
	return true;
}

bool setup_links(struct setup *o, const char *list)
{
	str rest = str_of(list), spec;
	struct err e;

	for (o->nlinks = 0; rest.n;) {
		struct link_profile *own = &o->own_link[o->nlinks];
		str_cut(rest, ',', &spec, &rest);
		if (o->nlinks == SETUP_MOST_LINKS) {
			fprintf(stderr, "dray-bench: --link: more than %d\n", SETUP_MOST_LINKS);
			return false;
		}
		if (link_parse(own, spec, &e) < 0) {
			fprintf(stderr, "dray-bench: --link: %s\n", e.msg);
			return false;
		}
		bool known = false;
		for (size_t i = 0; i < o->nlinks; i++)
			known |= strcmp(o->link[i]->name, own->name) == 0;
		if (!known) {
			const struct link_profile *named = link_find(own->name);
			o->link[o->nlinks++] = named ? named : own;
		}
	}
	return true;
}

bool setup_subjects(struct setup *o, const char *list)
{
	str rest = str_of(list);
	char name[32];

	o->run.nsubjects = 0;
	while (name_next(name, &rest)) {
		const struct subject *s = subject_find(name);
		if (!s)
			return no_such("subject", name);
		bool known = false;
		for (size_t i = 0; i < o->run.nsubjects; i++)
			known |= o->run.subject[i] == s;
		if (!known)
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

/* Which subcommands take an option; NULL: all. What one does not heed it refuses. */
static const char *const takers[] = {
	[O_LINK] = "run",
	[O_PHASES] = "run grid",
	[O_ROUNDS] = "run grid report-all",
	[O_OUT] = "run grid report-all",
	[O_REGISTRY] = "record",
	[O_GATES] = "run report-all",
	[O_QUICK] = "run report-all",
	[O_BUDGET] = "report-all",
	[O_HTML] = "report-all",
	[O_PLAN] = "report-all",
	[O_HELP] = NULL,
};

static bool is_taken(const char *command, int option)
{
	str rest = str_of(takers[option]), name;

	while (rest.n) {
		str_cut(rest, ' ', &name, &rest);
		if (str_eq(name, str_of(command)))
			return true;
	}
	if (takers[option])
		fprintf(stderr, "dray-bench: %s takes no --%s\n", command, longs[option].name);
	return !takers[option];
}

static bool read_number(uint64_t *out, const char *name, uint64_t most)
{
	if (str_u64(str_of(optarg), out) && *out > 0 && *out <= most)
		return true;
	fprintf(stderr, "dray-bench: --%s wants a number from 1 to %llu, not \"%s\"\n", name, (unsigned long long)most,
		optarg);
	return false;
}

static bool read_gates(struct setup *o)
{
	o->gates = optarg ? &gates_noisy : &gates_strict;
	if (!optarg || strcmp(optarg, "noisy") == 0)
		return true;
	fprintf(stderr, "dray-bench: --gates or --gates=noisy, not \"%s\"\n", optarg);
	return false;
}

/* Those that are a text as it stands. */
static bool read_text(struct setup *o, int c)
{
	const char **to = c == O_OUT      ? &o->out
			  : c == O_WORK   ? &o->run.work_dir
			  : c == O_MIRROR ? &o->run.mirror_dir
			  : c == O_PEERS  ? &o->run.peers_dir
			  : c == O_HTML   ? &o->html
			  : c == O_DRAY   ? &o->run.dray_dir
					  : NULL;
	if (to)
		*to = optarg;
	return to != NULL;
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
		if (!read_number(&n, "rounds", RESULT_MOST_ROUNDS))
			return false;
		o->rounds = (unsigned)n;
		return true;
	case O_IMAGE:
		if (!read_number(&n, "image-gb", 9999))
			return false;
		o->run.image_bytes = n << 30;
		return true;
	case O_REGISTRY:
		o->run.upstream = str_of(optarg);
		return true;
	case O_GATES:
		return read_gates(o);
	case O_QUICK:
		o->quick = true;
		return setup_phases(o, "p0,p3,p4,p5") && setup_subjects(o, "dray-direct,dray-warm,pnpm,bun,utoo");
	case O_BUDGET:
		if (!read_number(&n, "budget", 9999))
			return false;
		o->budget_s = (double)n * 60;
		return true;
	case O_PLAN:
		o->plan_only = true;
		return true;
	default:
		return read_text(o, c);
	}
}

void setup_defaults(struct setup *o)
{
	measure_own_dir(o->dray, sizeof(o->dray));
	setup_links(o, "home");
	o->rounds = 3;
	o->run.image_bytes = 48ull << 30;
	o->run.work_dir = SETUP_WORK;
	o->run.mirror_dir = SETUP_MIRROR;
	o->run.peers_dir = SETUP_PEERS;
	o->run.dray_dir = o->dray;
	o->out = SETUP_OUT;
	setup_phases(o, "p0,p1,p3,p4,p5");
	setup_subjects(o, "dray-direct,dray-cold,dray-warm,pnpm,bun,utoo");
}

int setup_take(struct setup *o, int argc, char **argv, bool none)
{
	enum { GO_ON = -1, WRONG = 2 };

	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'h' || c == O_HELP) {
			fputs(usage, stdout);
			return 0;
		}
		if (c == '?' || !is_taken(argv[0], c) || !read_option(o, c))
			return WRONG;
	}
	if (argc - optind > RUN_MOST_PROJECTS) {
		fprintf(stderr, "dray-bench: %d projects are over the limit of %d\n", argc - optind, RUN_MOST_PROJECTS);
		return WRONG;
	}
	for (; optind < argc; optind++) {
		char *at = o->project[o->run.nprojects];
		if (!realpath(argv[optind], at)) {
			fprintf(stderr, "dray-bench: %s: %s\n", argv[optind], strerror(errno));
			return WRONG;
		}
		o->run.project[o->run.nprojects++] = at;
	}
	if (o->run.nprojects > 0 || none)
		return GO_ON;
	fputs(usage, stderr);
	return WRONG;
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

static void put_version(struct buf *b, const char *name, const char *program, const char *work)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);

	buf_printf(b, "%s\"%s\":", b->n ? "," : "", name);
	json_put_str(b, version_of(program, work, &a));
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
		put_version(&b, s->program, program, o->run.work_dir);
	}
	const char *drayd = arena_printf(&a, "%s/drayd", o->run.dray_dir).p;
	if (access(drayd, X_OK) == 0)
		put_version(&b, "drayd", drayd, o->run.work_dir);
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

/* A run that was killed while it wrote leaves half a line: what stands behind the last line feed goes. */
static int drop_torn_line(const char *path, struct err *e)
{
	AUTO(fs_close_auto) int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), whole = end;
	char c;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_os(e, "open %s", path);
	while (whole > 0 && pread(fd, &c, 1, whole - 1) == 1 && c != '\n')
		whole--;
	return whole < end && ftruncate(fd, whole) < 0 ? err_os(e, "truncate %s", path) : 0;
}

int setup_open(struct setup *s, struct err *e)
{
	if (drop_torn_line(s->out, e) < 0)
		return e->code;
	s->run.out = fopen(s->out, "ae");
	if (!s->run.out)
		return err_os(e, "open %s", s->out);
	if (fs_mkdir_p(AT_FDCWD, s->run.work_dir, 0755, e) < 0)
		return e->code;
	put_machine(s->run.out, s);
	fflush(s->run.out);
	return 0;
}
