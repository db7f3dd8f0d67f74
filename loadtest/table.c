#include "table.h"
#include <stdio.h>

static bool same_scenario(const struct cell *a, const struct cell *b)
{
	return str_eq(a->project, b->project) && str_eq(a->link, b->link) && str_eq(a->phase, b->phase);
}

static void print_row(const struct cell *c, const struct cell *peer, const struct cell *floor)
{
	const struct spread *w = &c->spread[METRIC_WALL];

	printf("  %-13.*s", STR_ARG(c->subject));
	if (c->n == 0) {
		printf(" failed: " STR_FMT "\n", STR_ARG(c->why));
		return;
	}
	printf(" %8.3f  [%7.3f, %7.3f]  cpu %7.2f  peak %5.0f MB  down %7.1f MB  sw %6.0f", w->median, w->min, w->max,
		c->spread[METRIC_CPU].median, c->spread[METRIC_PEAK_MB].median, c->spread[METRIC_DOWN_MB].median,
		c->spread[METRIC_SWITCHES].median);
	printf("  rig %4.2f+%4.2f+%4.2f", c->spread[METRIC_MIRROR_CPU].median, c->spread[METRIC_RELAY_CPU].median,
		c->spread[METRIC_DRAYD_CPU].median);
	if (c->store_mb > 0)
		printf("  disk %.0f+%.0f MB", c->store_mb, c->modules_mb);
	if (peer && peer != c)
		printf("  %5.2f x " STR_FMT "%s", w->median / peer->spread[METRIC_WALL].median, STR_ARG(peer->subject),
			spread_apart(w, &peer->spread[METRIC_WALL]) ? "" : " (no difference)");
	if (floor)
		printf("  %5.2f x floor", w->median / floor->spread[METRIC_WALL].median);
	if (c->failed)
		printf("  %zu failed: " STR_FMT, c->failed, STR_ARG(c->why));
	printf("\n");
}

static void print_unavailable(const struct result *r)
{
	for (size_t i = 0; i < r->nnotes; i++) {
		if (result_is_last_unavailable(r, i))
			printf("not available: " STR_FMT " " STR_FMT ": " STR_FMT "\n",
				STR_ARG(json_str(json_get(r->note[i].line, "project"))),
				STR_ARG(json_str(json_get(r->note[i].line, "subject"))),
				STR_ARG(json_str(json_get(r->note[i].line, "why"))));
	}
}

void table_print(const struct result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		bool first = true;
		for (size_t k = 0; k < i; k++)
			first &= !same_scenario(&r->cell[k], c);
		if (!first)
			continue;
		printf(STR_FMT " · " STR_FMT " · " STR_FMT
			       " (seconds: median [min, max]; rig: CPU of mirror + relay + drayd; "
			       "disk: store + what node_modules adds)\n",
			STR_ARG(c->project), STR_ARG(c->link), STR_ARG(c->phase));
		const struct cell *peer = result_best_peer(r, c);
		for (size_t k = i; k < r->n; k++) {
			if (same_scenario(&r->cell[k], c))
				print_row(&r->cell[k], peer, result_floor(r, &r->cell[k]));
		}
	}
	print_unavailable(r);
}

size_t table_compare(const struct result *a, const struct result *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct cell *x = &a->cell[i], *y = result_find(b, x->project, x->link, x->phase, x->subject);
		if (!y || !x->n || !y->n)
			continue;
		const struct spread *p = &x->spread[METRIC_WALL], *q = &y->spread[METRIC_WALL];
		printf("%-8.*s %-8.*s %-8.*s %-13.*s %8.3f -> %8.3f  ", STR_ARG(x->project), STR_ARG(x->link),
			STR_ARG(x->phase), STR_ARG(x->subject), p->median, q->median);
		if (spread_apart(p, q))
			printf("%.2f x\n", q->median / p->median);
		else
			printf("no difference\n");
		n++;
	}
	return n;
}
