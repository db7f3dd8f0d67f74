/* table — results as text: one table a scenario, comparison of two files, gates. */
#include "table.h"
#include <stdio.h>

static bool same_scenario(const struct cell *a, const struct cell *b)
{
	return str_eq(a->project, b->project) && str_eq(a->link, b->link) && str_eq(a->phase, b->phase);
}

static const struct cell *best_peer(const struct result *r, const struct cell *like)
{
	const struct cell *best = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (same_scenario(c, like) && !str_starts(c->subject, STR("dray")) && c->n &&
			(!best || c->spread[METRIC_WALL].median < best->spread[METRIC_WALL].median))
			best = c;
	}
	return best;
}

static void print_row(const struct cell *c, const struct cell *peer)
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
	if (peer && peer != c)
		printf("  %5.2f x " STR_FMT "%s", w->median / peer->spread[METRIC_WALL].median, STR_ARG(peer->subject),
			spread_apart(w, &peer->spread[METRIC_WALL]) ? "" : " (no difference)");
	if (c->failed)
		printf("  %zu failed: " STR_FMT, c->failed, STR_ARG(c->why));
	printf("\n");
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
		printf(STR_FMT " · " STR_FMT " · " STR_FMT " (seconds: median [min, max])\n", STR_ARG(c->project),
			STR_ARG(c->link), STR_ARG(c->phase));
		const struct cell *peer = best_peer(r, c);
		for (size_t k = i; k < r->n; k++) {
			if (same_scenario(&r->cell[k], c))
				print_row(&r->cell[k], peer);
		}
	}
}

void table_compare(const struct result *a, const struct result *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct cell *x = &a->cell[i], *y = result_find(b, x->project, x->link, x->phase, x->subject);
		if (!y || !x->n || !y->n)
			continue;
		const struct spread *p = &x->spread[METRIC_WALL], *q = &y->spread[METRIC_WALL];
		printf("%-8.*s %-8.*s %-8.*s %-13.*s %8.3f -> %8.3f  %s", STR_ARG(x->project), STR_ARG(x->link),
			STR_ARG(x->phase), STR_ARG(x->subject), p->median, q->median,
			spread_apart(p, q) ? "" : "no difference\n");
		if (spread_apart(p, q))
			printf("%.2f x\n", q->median / p->median);
	}
}

static double summary_number(const struct cell *c, size_t i, const char *key)
{
	const struct json *v = json_get(c->dray[i], key);
	uint64_t n;

	return json_is(v, JSON_NUMBER) && str_u64(v->s, &n) ? (double)n : -1;
}

struct gate {
	unsigned failed;
};

static void fail(struct gate *g, const struct cell *c, const char *what)
{
	g->failed++;
	printf("gate: " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT ": %s\n", STR_ARG(c->project), STR_ARG(c->link),
		STR_ARG(c->phase), STR_ARG(c->subject), what);
}

/* A server must cost nothing where it cannot help: 5 % or 15 ms. */
static void gate_ratio(struct gate *g, const struct result *r, const struct cell *c)
{
	const struct cell *direct = result_find(r, c->project, c->link, c->phase, STR("dray-direct"));
	char text[128];

	if (!direct || !direct->n ||
		(!str_eq(c->subject, STR("dray-warm")) && !str_eq(c->subject, STR("dray-cold")) &&
			!str_eq(c->subject, STR("dray-settled"))))
		return;
	double s = c->spread[METRIC_WALL].median, d = direct->spread[METRIC_WALL].median;
	if (s > d * 1.05 && s > d + 0.015) {
		snprintf(text, sizeof(text), "server / direct is %.2f (%.3f s against %.3f s)", s / d, s, d);
		fail(g, c, text);
	}
}

static void gate_batches(struct gate *g, const struct cell *c, size_t i)
{
	double warm = summary_number(c, i, "warm"), cold = summary_number(c, i, "cold");
	double slots = summary_number(c, i, "slots"), early = summary_number(c, i, "linked_before_done");
	bool p0 = str_eq(c->phase, STR("p0")), p3 = str_eq(c->phase, STR("p3"));

	if (!c->dray[i] || warm < 0 || cold < 0) {
		fail(g, c, "no summary line with warm and cold in dray's output");
		return;
	}
	if ((p0 || p3) && (warm != 0 || cold == 0))
		fail(g, c, "a fresh cold install must have warm = 0 and cold > 0");
	if (p0 && slots > 50 && early <= 0)
		fail(g, c, "no slot was linked before the plan was done");
	if (str_eq(c->phase, STR("p4")) && cold != 0)
		fail(g, c, "a warm install had a cold batch");
	if (str_eq(c->phase, STR("partial")) && (warm < 0.10 * (warm + cold) || warm > 0.40 * (warm + cold)))
		fail(g, c, "the partial store was not about a quarter warm");
}

unsigned table_gates(const struct result *r)
{
	struct gate g = { 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		bool dray = str_starts(c->subject, STR("dray"));
		if (dray && (c->failed || !c->n))
			fail(&g, c, "runs failed");
		gate_ratio(&g, r, c);
		bool links = !str_eq(c->phase, STR("p1")) && !str_eq(c->phase, STR("p5"));
		for (size_t k = 0; dray && links && k < c->n; k++)
			gate_batches(&g, c, k);
	}
	printf("gates: %s\n", g.failed ? "failed" : "all passed");
	return g.failed;
}
