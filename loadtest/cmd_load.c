/* cmd_load — `dray-bench load`: a drayd of its own over the frozen mirror, put under load by many clients. */
#include "cmd.h"
#include "fs.h"
#include "load.h"
#include "measure.h"
#include "packs_wire.h"
#include "place.h"
#include "plan_wire.h"
#include "project.h"
#include "rig.h"
#include "setup.h"
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* clang-format off */
static const char usage[] =
	"usage: dray-bench load [options] PROJECT...\n"
	"\n"
	"Starts a drayd over the recorded mirror, asks once for every project's plan and lets it make its packs; then many\n"
	"clients, a connection each, ask for plans and for packs of them, one request after the other.\n"
	"\n"
	"  --clients N        at the same time, at most 4000; default 64\n"
	"  --seconds N        default 20\n"
	"  --fresh PERCENT    of plans that nobody asked for before (a project without one or two of its dependencies);\n"
	"                     default 5\n"
	"  --packs N          in each request for them; default 32, 0: plans only\n"
	"  --out FILE         one JSON line, appended; default " SETUP_OUT "\n"
	"  --work DIR         its store and logs; default " SETUP_WORK "\n"
	"  --mirror DIR       default " SETUP_MIRROR "\n"
	"  --dray DIR         where drayd is; default beside dray-bench\n"
	"  --help\n";
/* clang-format on */

/* Four ticks a second; when their table is full every other one goes, so that a long run is told as well. */
enum { MOST_RSS = 4096 };
enum { MOST_PROJECTS = 8, FRESH_PER_PROJECT = 400, KNOWN_PER_PROJECT = 4, PATIENCE_S = 3600 };
struct load_bench {
	const char *mirror, *work, *out, *dray, *project[MOST_PROJECTS];
	size_t nprojects;
	uint64_t clients, seconds, fresh, packs;
	struct arena a;
	struct rig *rig;
	struct load_body *known, *fresh_body;
	size_t nknown, nfresh;
	struct {
		float at_s, rss_mb;
	} rss[MOST_RSS];
	size_t nrss;
	unsigned ticks, each; /* every so many ticks one is kept */
};

static void on_tick(void *arg, double at_s)
{
	struct load_bench *b = arg;

	if (b->ticks++ % b->each != 0)
		return;
	if (b->nrss == MOST_RSS) {
		for (size_t i = 0; i < MOST_RSS / 2; i++)
			b->rss[i] = b->rss[2 * i];
		b->nrss = MOST_RSS / 2;
		b->each *= 2;
	}
	b->rss[b->nrss].at_s = (float)at_s;
	b->rss[b->nrss++].rss_mb = (float)rig_counts(b->rig).drayd_rss_kb / 1024;
}

/* Takes out of the root's dependencies the ones at I and K. */
static void drop_two(struct manifest *m, size_t i, size_t k)
{
	struct str_map *map[] = { &m->dependencies, &m->dev_dependencies };
	size_t n = map[0]->n + map[1]->n, at = 0;

	for (int g = 0; g < 2; g++) {
		size_t kept = 0;
		for (size_t j = 0; j < map[g]->n; j++, at++) {
			if (n > 3 && (at == i % n || at == k % n))
				continue;
			map[g]->p[kept++] = map[g]->p[j];
		}
		map[g]->n = kept;
	}
}

/* The request of DIR as dray would send it, less what I and K name (both 0: whole). */
static int encode(struct load_bench *b, struct load_body *out, const char *dir, size_t i, size_t k, struct err *e)
{
	char *no_env[] = { NULL };
	struct project_opts o = { .dir = str_of(dir), .registry = str_of(rig_registry(b->rig)), .env = no_env };
	AUTO(buf_release) struct buf body = BUF_INIT;
	struct project p;

	int rc = project_load(&p, &o, e);
	if (rc == 0 && i)
		drop_two(&p.req.importer[0].manifest, i, k);
	if (rc == 0)
		rc = request_encode(&body, &p.req, PLAN_ACCEPT_PACKS, false, e);
	if (rc == 0)
		*out = (struct load_body){ .body = arena_str(&b->a, buf_str(&body)) };
	project_release(&p);
	return rc;
}

static int encode_all(struct load_bench *b, struct err *e)
{
	b->known = arena_new(&b->a, struct load_body, b->nprojects * KNOWN_PER_PROJECT);
	b->fresh_body = arena_new(&b->a, struct load_body, b->nprojects * FRESH_PER_PROJECT);
	for (size_t v = 0; v < KNOWN_PER_PROJECT; v++) {
		for (size_t p = 0; p < b->nprojects; p++) {
			if (encode(b, &b->known[b->nknown++], b->project[p], v, v, e) < 0)
				return e->code;
		}
	}
	for (size_t v = 0; v < FRESH_PER_PROJECT && b->fresh; v++) {
		for (size_t p = 0; p < b->nprojects; p++) {
			/* Pairs that differ from each other and from the known ones. */
			if (encode(b, &b->fresh_body[b->nfresh++], b->project[p], 1 + v % 19, 2 + v % 19 + v / 19, e) <
				0)
				return e->code;
		}
	}
	return 0;
}

static int learn_all(struct load_bench *b, const struct load_opts *o, struct err *e)
{
	for (int pass = 0; pass < 2; pass++) {
		/* The first time the server makes the packs, the second time it has them. */
		for (size_t i = 0; i < b->nknown; i++) {
			if (load_learn(&b->known[i], o, &b->a, e) < 0)
				return e->code;
		}
		if (pass == 0 && rig_drayd_packs(b->rig, false, PATIENCE_S, e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < b->nfresh; i++) {
		b->fresh_body[i].rows = b->known[i % b->nprojects].rows;
		b->fresh_body[i].npacks = b->known[i % b->nprojects].npacks;
	}
	return 0;
}

static void put_kind(FILE *f, enum load_kind kind, struct load_kind_result *k)
{
	fprintf(f, "{\"name\":\"%s\",\"n\":%zu,\"failed\":%llu,\"bytes\":%llu", load_kind_name(kind), k->n,
		(unsigned long long)k->failed, (unsigned long long)k->bytes);
	fprintf(f, ",\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f",
		load_percentile(k, 0.5), load_percentile(k, 0.9), load_percentile(k, 0.99), load_percentile(k, 0.999),
		load_percentile(k, 1));
	/* Buckets of half powers of two from 1/8 ms: [upper bound, how many]. */
	fprintf(f, ",\"histogram\":[");
	double bound = 0.125;
	for (size_t i = 0, said = 0; i < k->n; bound *= 1.41421356) {
		size_t n = 0;
		for (; i < k->n && (double)k->ms[i] <= bound; i++)
			n++;
		if (n)
			fprintf(f, "%s[%.3f,%zu]", said++ ? "," : "", bound, n);
	}
	fprintf(f, "]}");
}

static void put_line(FILE *f, struct load_bench *b, struct load_result *r, double own_s, double drayd_s)
{
	fprintf(f,
		"{\"kind\":\"load\",\"clients\":%llu,\"seconds\":%.2f,\"fresh_percent\":%llu,\"packs_a_request\":%llu",
		(unsigned long long)b->clients, r->wall_s, (unsigned long long)b->fresh, (unsigned long long)b->packs);
	fprintf(f, ",\"generator_cpu_s\":%.2f,\"drayd_cpu_s\":%.2f,\"requests\":[", own_s, drayd_s);
	for (int k = 0; k < LOAD_NKINDS; k++) {
		fprintf(f, "%s", k ? "," : "");
		put_kind(f, (enum load_kind)k, &r->kind[k]);
	}
	fprintf(f, "],\"status\":{");
	for (int i = 0, n = 0; i < LOAD_MOST_STATUS; i++) {
		if (r->status[i])
			fprintf(f, "%s\"%d\":%llu", n++ ? "," : "", i, (unsigned long long)r->status[i]);
	}
	fprintf(f, "},\"rss_mb\":[");
	for (size_t i = 0; i < b->nrss; i++)
		fprintf(f, "%s[%.2f,%.1f]", i ? "," : "", (double)b->rss[i].at_s, (double)b->rss[i].rss_mb);
	fprintf(f, "]}\n");
}

static void say(struct load_bench *b, struct load_result *r, double own_s, double drayd_s)
{
	printf("%llu clients for %.1f s; CPU: drayd %.2f, load generator %.2f s; drayd's memory %.0f -> %.0f MB\n",
		(unsigned long long)b->clients, r->wall_s, drayd_s, own_s, b->nrss ? (double)b->rss[0].rss_mb : 0,
		b->nrss ? (double)b->rss[b->nrss - 1].rss_mb : 0);
	printf("%-20s %9s %9s %7s %9s %9s %9s %9s %9s\n", "", "answers", "a second", "failed", "p50 ms", "p90", "p99",
		"p99.9", "max");
	for (int i = 0; i < LOAD_NKINDS; i++) {
		struct load_kind_result *k = &r->kind[i];
		printf("%-20s %9zu %9.0f %7llu %9.2f %9.2f %9.2f %9.2f %9.2f\n", load_kind_name((enum load_kind)i),
			k->n, (double)k->n / r->wall_s, (unsigned long long)k->failed, load_percentile(k, 0.5),
			load_percentile(k, 0.9), load_percentile(k, 0.99), load_percentile(k, 0.999),
			load_percentile(k, 1));
	}
	for (int i = 0; i < LOAD_MOST_STATUS; i++) {
		if (r->status[i] && i != 200)
			printf("status %d: %llu\n", i, (unsigned long long)r->status[i]);
	}
	if (r->last.code < 0)
		printf("last error: %s\n", r->last.msg);
}

/* A connection each, and some more. */
static int allow_files(uint64_t clients, struct err *e)
{
	struct rlimit l;
	rlim_t want = (rlim_t)clients + 100;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return err_os(e, "ask for the limit of open files");
	if (l.rlim_cur < want && l.rlim_max >= want)
		l.rlim_cur = want;
	if (l.rlim_cur < want || setrlimit(RLIMIT_NOFILE, &l) < 0)
		return err_set(e, ERR_USAGE,
			"%llu clients need %llu open files, and at most %llu are allowed here (ulimit -n)",
			(unsigned long long)clients, (unsigned long long)want, (unsigned long long)l.rlim_max);
	return 0;
}

static int measure_load(struct load_bench *b, struct load_result *r, FILE *f, struct err *e)
{
	struct rig_opts ro = { .mirror_dir = b->mirror, .link = link_find("loopback"), .log_dir = b->work };
	str store = arena_printf(&b->a, "%s/load-store", b->work);

	ro.drayd = arena_printf(&b->a, "%s/drayd", b->dray).p;
	if (allow_files(b->clients, e) < 0 || fs_mkdir_p(AT_FDCWD, b->work, 0755, e) < 0)
		return e->code;
	AUTO(fs_close_auto) int lock = run_lock(b->work, e);
	if (lock < 0)
		return e->code;
	place_remove(store.p); /* what an earlier run left */
	if (rig_start(&b->rig, &ro, e) < 0 || rig_drayd(b->rig, store.p, false, e) < 0)
		return e->code;
	struct load_opts o = {
		.host = STR("127.0.0.1"), .clients = (unsigned)b->clients, .seconds = (double)b->seconds
	};
	o.port = arena_printf(&b->a, "%d", rig_drayd_port(b->rig));
	o.fresh_percent = (unsigned)b->fresh;
	o.packs = (unsigned)b->packs;
	if (encode_all(b, e) < 0 || learn_all(b, &o, e) < 0)
		return e->code;
	o.known = b->known;
	o.nknown = b->nknown;
	o.fresh = b->fresh_body;
	o.nfresh = b->nfresh;
	o.tick = on_tick;
	o.arg = b;
	double own = measure_cpu(RUSAGE_SELF), drayd = rig_counts(b->rig).drayd_cpu_s;
	if (load_run(r, &o, e) < 0)
		return e->code;
	own = measure_cpu(RUSAGE_SELF) - own;
	drayd = rig_counts(b->rig).drayd_cpu_s - drayd;
	say(b, r, own, drayd);
	put_line(f, b, r, own, drayd);
	return 0;
}

/* What it found can be written down, or it is not begun. */
static int measure_into_out(struct load_bench *b, struct load_result *r, struct err *e)
{
	FILE *f = fopen(b->out, "ae");

	if (!f)
		return err_os(e, "open %s", b->out);
	int rc = measure_load(b, r, f, e);
	if (fclose(f) != 0 && rc == 0)
		rc = err_os(e, "write %s", b->out);
	return rc;
}

static bool number(uint64_t *out, const char *name, uint64_t least, uint64_t most)
{
	if (str_u64(str_of(optarg), out) && *out >= least && *out <= most)
		return true;
	fprintf(stderr, "dray-bench: --%s wants a number from %llu to %llu, not \"%s\"\n", name,
		(unsigned long long)least, (unsigned long long)most, optarg);
	return false;
}

static bool read_option(struct load_bench *b, int c)
{
	switch (c) {
	case 'c':
		return number(&b->clients, "clients", 1, 4000);
	case 's':
		return number(&b->seconds, "seconds", 1, 86400);
	case 'f':
		return number(&b->fresh, "fresh", 0, 100);
	case 'p':
		return number(&b->packs, "packs", 0, PACKS_MOST);
	case 'o':
		b->out = optarg;
		return true;
	case 'm':
		b->mirror = optarg;
		return true;
	case 'w':
		b->work = optarg;
		return true;
	case 'd':
		b->dray = optarg;
		return true;
	default:
		return false;
	}
}

/* -1 to go on, else the exit status. */
static int read_args(struct load_bench *b, int argc, char **argv)
{
	static const struct option longs[] = { { "clients", 1, NULL, 'c' }, { "seconds", 1, NULL, 's' },
		{ "fresh", 1, NULL, 'f' }, { "packs", 1, NULL, 'p' }, { "out", 1, NULL, 'o' },
		{ "mirror", 1, NULL, 'm' }, { "dray", 1, NULL, 'd' }, { "work", 1, NULL, 'w' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 } };

	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (!read_option(b, c))
			return 2;
	}
	if (optind == argc || argc - optind > MOST_PROJECTS) {
		fputs(usage, stderr);
		fprintf(stderr, "\ndray-bench: one project at least, %d at most\n", MOST_PROJECTS);
		return 2;
	}
	for (; optind < argc; optind++)
		b->project[b->nprojects++] = argv[optind];
	return -1;
}

int cmd_load(int argc, char **argv)
{
	struct load_bench *b = xcalloc(1, sizeof(*b));
	struct load_result *r = xcalloc(1, sizeof(*r));
	char own_dir[PATH_MAX];
	struct err e = { 0 };

	measure_own_dir(own_dir, sizeof(own_dir));
	*b = (struct load_bench){ .mirror = SETUP_MIRROR,
		.work = SETUP_WORK,
		.out = SETUP_OUT,
		.dray = own_dir,
		.clients = 64,
		.seconds = 20,
		.fresh = 5,
		.packs = 32,
		.each = 1,
		.a = ARENA_INIT(1 << 16) };
	int status = read_args(b, argc, argv);
	if (status < 0) {
		status = 0;
		if (measure_into_out(b, r, &e) < 0) {
			fprintf(stderr, "dray-bench: %s\n", e.msg);
			status = err_exit_status(e.code);
		}
	}
	rig_stop(b->rig);
	load_result_release(r);
	arena_release(&b->a);
	free(r);
	free(b);
	return status;
}
