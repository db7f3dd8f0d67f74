/* cmd_load — `dray-bench load`: a drayd of its own over the frozen mirror, put under load by many clients. */
#include "cmd.h"
#include "load.h"
#include "measure.h"
#include "place.h"
#include "plan_wire.h"
#include "project.h"
#include "rig.h"
#include "setup.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"usage: dray-bench load [options] PROJECT...\n"
	"\n"
	"Starts a drayd over the recorded mirror, asks once for every project's plan and lets it make its packs; then "
	"many\n"
	"clients, a connection each, ask for plans and for packs of them, one request after the other.\n"
	"\n"
	"  --clients N        at the same time; default 64\n"
	"  --seconds N        default 20\n"
	"  --fresh PERCENT    of plans that nobody asked for before (a project without one or two of its "
	"dependencies); default 5\n"
	"  --packs N          in each request for them; default 32, 0: plans only\n"
	"  --out FILE         one JSON line, appended; default dray-bench.jsonl\n"
	"  --mirror DIR, --dray DIR, --work DIR\n";

enum { MOST_RSS = 4096, MOST_PROJECTS = 8, FRESH_PER_PROJECT = 400, KNOWN_PER_PROJECT = 4, PATIENCE_S = 3600 };
struct load_bench {
	const char *mirror, *work, *out, *project[MOST_PROJECTS];
	size_t nprojects;
	uint64_t clients, seconds, fresh, packs;
	char dray[PATH_MAX];
	struct arena a;
	struct rig *rig;
	struct load_body *known, *fresh_body;
	size_t nknown, nfresh;
	struct {
		float at_s, rss_mb;
	} rss[MOST_RSS];
	size_t nrss;
};

static void on_tick(void *arg, double at_s)
{
	struct load_bench *b = arg;

	if (b->nrss < MOST_RSS) {
		b->rss[b->nrss].at_s = (float)at_s;
		b->rss[b->nrss++].rss_mb = (float)rig_counts(b->rig).drayd_rss_kb / 1024;
	}
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

static double own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int measure_load(struct load_bench *b, struct load_result *r, struct err *e)
{
	struct rig_opts ro = { .mirror_dir = b->mirror, .link = link_find("loopback"), .log_dir = b->work };
	str store = arena_printf(&b->a, "%s/load-store", b->work);

	ro.drayd = arena_printf(&b->a, "%s/drayd", b->dray).p;
	if (mkdir(b->work, 0755) < 0 && errno != EEXIST)
		return err_os(e, "make %s", b->work);
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
	double own = own_cpu(), drayd = rig_counts(b->rig).drayd_cpu_s;
	if (load_run(r, &o, e) < 0)
		return e->code;
	own = own_cpu() - own;
	drayd = rig_counts(b->rig).drayd_cpu_s - drayd;
	FILE *f = fopen(b->out, "ae");
	if (!f)
		return err_os(e, "open %s", b->out);
	say(b, r, own, drayd);
	put_line(f, b, r, own, drayd);
	return fclose(f) != 0 ? err_os(e, "write %s", b->out) : 0;
}

static bool number(uint64_t *out, const char *text, uint64_t least, uint64_t most)
{
	return str_u64(str_of(text), out) && *out >= least && *out <= most;
}

static bool read_args(struct load_bench *b, int argc, char **argv)
{
	static const struct option longs[] = { { "clients", 1, NULL, 'c' }, { "seconds", 1, NULL, 's' },
		{ "fresh", 1, NULL, 'f' }, { "packs", 1, NULL, 'p' }, { "out", 1, NULL, 'o' },
		{ "mirror", 1, NULL, 'm' }, { "dray", 1, NULL, 'd' }, { "work", 1, NULL, 'w' }, { NULL, 0, NULL, 0 } };
	bool good = true;

	for (int c; good && (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'c')
			good = number(&b->clients, optarg, 1, 4000);
		else if (c == 's')
			good = number(&b->seconds, optarg, 1, 86400);
		else if (c == 'f')
			good = number(&b->fresh, optarg, 0, 100);
		else if (c == 'p')
			good = number(&b->packs, optarg, 0, 4096);
		else if (c == 'o')
			b->out = optarg;
		else if (c == 'm')
			b->mirror = optarg;
		else if (c == 'w')
			b->work = optarg;
		else if (c == 'd')
			snprintf(b->dray, sizeof(b->dray), "%s", optarg);
		else
			good = false;
	}
	for (; optind < argc && b->nprojects < MOST_PROJECTS; optind++)
		b->project[b->nprojects++] = argv[optind];
	return good && b->nprojects > 0 && optind == argc;
}

int cmd_load(int argc, char **argv)
{
	struct load_bench *b = xcalloc(1, sizeof(*b));
	struct load_result *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };
	int rc = ERR_USAGE;

	b->mirror = "/var/tmp/dray-bench-mirror";
	b->work = "/var/tmp/dray-bench";
	b->out = "dray-bench.jsonl";
	b->clients = 64;
	b->seconds = 20;
	b->fresh = 5;
	b->packs = 32;
	b->a = ARENA_INIT(1 << 16);
	setup_beside(b->dray, sizeof(b->dray));
	if (!read_args(b, argc, argv))
		fputs(usage, stderr);
	else if ((rc = measure_load(b, r, &e)) < 0)
		fprintf(stderr, "dray-bench: %s\n", e.msg);
	rig_stop(b->rig);
	load_result_release(r);
	arena_release(&b->a);
	free(r);
	free(b);
	return rc < 0 ? err_exit_status(rc) : 0;
}
