/* cmd_grid — `dray-bench grid`: server against direct over a grid of round trip and rate. When
 * is a server not worth it? */
#include "cmd.h"
#include "grid.h"
#include "setup.h"
#include <stdlib.h>

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
		if (!grid_begins(r, i))
			continue;
		printf(STR_FMT " · " STR_FMT ": server ÷ direct (\"=\": no difference), %u rounds\n          ",
			STR_ARG(c->project), STR_ARG(c->phase), o->rounds);
		for (unsigned m = 0; m < GRID_RATES; m++)
			printf("%5u Mb/s", grid_mbit[m]);
		for (unsigned t = 0; t < GRID_RTTS; t++) {
			printf("\n  %3u ms  ", grid_rtt_ms[t]);
			for (unsigned m = 0; m < GRID_RATES; m++)
				print_grid_cell(r, c->project, c->phase, grid_link(grid_rtt_ms[t], grid_mbit[m], &a));
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
		l[i] = (struct link_profile){ .server_rtt_us = grid_rtt_ms[t] * 1000,
			.registry_rtt_us = grid_rtt_ms[t] * 1000,
			.rate_bps = (uint64_t)grid_mbit[m] * 1000000 };
		snprintf(l[i].name, sizeof(l[i].name), "%s", grid_link(grid_rtt_ms[t], grid_mbit[m], &a).p);
		o->link[i] = &l[i];
	}
	if (run_cross(&o->run, o->link, GRID_RTTS * GRID_RATES, o->phase, o->rounds, e) < 0 || setup_open(o, e) < 0)
		return e->code;
	int rc = run_all(&o->run, e);
	fclose(o->run.out);
	struct err e_read;
	if (result_read(&r, o->out, &a, &e_read) == 0)
		print_grid(o, &r);
	else
		fprintf(stderr, "dray-bench: %s\n", e_read.msg);
	return rc;
}

int cmd_grid(int argc, char **argv)
{
	struct setup *o = xcalloc(1, sizeof(*o));
	struct err e;

	setup_defaults(o);
	setup_phases(o, "p0,p3");
	setup_subjects(o, "dray-direct,dray-warm");
	o->out = "dray-grid.jsonl";
	int status = setup_take(o, argc, argv, false);
	if (status < 0) {
		int rc = grid(o, &e);
		if (rc < 0)
			fprintf(stderr, "dray-bench: %s\n", e.msg);
		status = rc < 0 ? err_exit_status(rc) : 0;
	}
	free(o);
	return status;
}
