/* cmd_grid — `dray-bench grid`: server against direct over a grid of round trip and rate. When is a server not worth it? */
#include "cmd.h"
#include "result.h"
#include "setup.h"
#include <stdlib.h>

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

static void print_grid(const struct setup *o, const struct result *r)
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
			STR_ARG(c->project), STR_ARG(c->phase), o->rounds);
		for (unsigned m = 0; m < GRID_RATES; m++)
			printf("%5u Mb/s", grid_mbit[m]);
		for (unsigned t = 0; t < GRID_RTTS; t++) {
			printf("\n  %3u ms  ", grid_rtt_ms[t]);
			for (unsigned m = 0; m < GRID_RATES; m++)
				print_grid_cell(r, c->project, c->phase, str_of(grid_name(&a, t, m)));
		}
		printf("\n");
	}
}

static int grid(struct setup *o, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct link_profile *l = arena_new(&a, struct link_profile, GRID_RTTS * GRID_RATES);
	struct result r;

	for (unsigned i = 0; i < GRID_RTTS * GRID_RATES; i++) {
		unsigned t = i / GRID_RATES, m = i % GRID_RATES;
		l[i] = (struct link_profile){ .name = grid_name(&a, t, m),
			.server_rtt_us = grid_rtt_ms[t] * 1000,
			.registry_rtt_us = grid_rtt_ms[t] * 1000,
			.rate_bps = (uint64_t)grid_mbit[m] * 1000000 };
		o->link[i] = &l[i];
	}
	run_cross(&o->run, o->link, GRID_RTTS * GRID_RATES, o->phase, o->rounds);
	if (setup_open(o, e) < 0)
		return e->code;
	int rc = run_all(&o->run, e);
	fclose(o->run.out);
	struct err read;
	if (result_read(&r, o->out, &a, &read) == 0)
		print_grid(o, &r);
	return rc;
}

int cmd_grid(int argc, char **argv)
{
	struct setup *o = xcalloc(1, sizeof(*o));
	struct err e;
	int status = 2;

	setup_defaults(o);
	setup_phases(o, "p0,p3");
	setup_subjects(o, "dray-direct,dray-warm");
	o->out = "dray-grid.jsonl";
	if (setup_take(o, argc, argv, false)) {
		int rc = grid(o, &e);
		if (rc < 0)
			fprintf(stderr, "dray-bench: %s\n", e.msg);
		status = rc < 0 ? err_exit_status(rc) : 0;
	}
	free(o);
	return status;
}
