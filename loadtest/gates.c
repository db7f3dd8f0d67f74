#include "gates.h"
#include "part.h"
#include "rig.h"
#include <stdarg.h>
#include <stdio.h>

const struct gate_limits gates_strict = { .ratio = 1.05, .grace_s = 0.015, .early_slots = 50 };
const struct gate_limits gates_noisy = { .ratio = 3, .grace_s = 0.25, .apart = true, .early_slots = 500 };

struct gates {
	struct buf *out;
	const struct gate_limits *l;
	unsigned failed;
};

PRINTF_LIKE(3, 4)
static void fail(struct gates *g, const struct cell *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	g->failed++;
	buf_printf(g->out, "gate: " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT ": %s\n", STR_ARG(c->project),
		STR_ARG(c->link), STR_ARG(c->phase), STR_ARG(c->subject), text);
}

static bool in_phase(const struct cell *c, const char *phase)
{
	return str_eq(c->phase, str_of(phase));
}

/* A server that was asked for the same before. */
static bool has_kept_plan(const struct cell *c)
{
	return str_eq(c->subject, STR("dray-warm")) || str_eq(c->subject, STR("dray-settled"));
}

static bool has_server(const struct cell *c)
{
	return has_kept_plan(c) || str_eq(c->subject, STR("dray-cold"));
}

/* A server must cost nothing where it cannot help. */
static void gate_ratio(struct gates *g, const struct result *r, const struct cell *c)
{
	const struct cell *direct = result_find(r, c->project, c->link, c->phase, STR("dray-direct"));

	if (!has_server(c) || !direct || !direct->n || !c->n)
		return;
	double s = c->spread[METRIC_WALL].median, d = direct->spread[METRIC_WALL].median;
	/* One run has no spread that could excuse it. */
	bool apart = c->n < 2 || direct->n < 2 || spread_apart(&c->spread[METRIC_WALL], &direct->spread[METRIC_WALL]);
	if (s > d * g->l->ratio && s > d + g->l->grace_s && (apart || !g->l->apart))
		fail(g, c, "server / direct is %.2f (%.3f s against %.3f s)%s", s / d, s, d,
			apart ? "" : ", though the spreads overlap");
}

/* KEY of run I's summary, or -1. */
static double count(const struct cell *c, size_t i, const char *key)
{
	const struct json *v = json_get(c->dray[i], key);
	uint64_t n;

	return json_is(v, JSON_NUMBER) && str_u64(v->s, &n) ? (double)n : -1;
}

/* Give or take what is optional. */
static bool is_share(double warm, double all)
{
	double off = warm - PARTIAL_SHARE * all, room = 0.02 * all > 1 ? 0.02 * all : 1;

	return all > 0 && off <= room && -off <= room;
}

/* Whether run I's plan was under way for so long that a slot could stand before its end. A package takes three round
 * trips from its frame: it is asked for, a reader has to have the answer, and is imported. A kept plan of a small
 * project is through by then. */
static bool could_link_early(const struct cell *c, size_t i)
{
	enum { IMPORT_US = 20000 };
	struct link_profile l;
	struct err ignored;
	double first = count(c, i, "first_frame_us"), last = count(c, i, "last_frame_us");

	bool known = link_parse(&l, c->link, &ignored) == 0;
	return first < 0 || last < 0 || last - first > 3.0 * (known ? l.server_rtt_us : 0) + IMPORT_US;
}

static bool lacks_early(const struct gates *g, const struct cell *c, size_t i)
{
	return count(c, i, "slots") >= g->l->early_slots && could_link_early(c, i) &&
	       count(c, i, "linked_before_done") <= 0;
}

/* Slots before the plan's end. No walk holds up the end of a kept plan: it comes as fast as the link and a core allow,
 * with the packs behind it, the largest first, over connections that are as new. Whether one of them is through
 * before it is chance, in one run; that none ever is would be the client's doing. A plan in the making is held up by
 * its walk; but through a server the first tarball waits for a connection to the registry, which direct has from its
 * packuments, and the server walks on the same cores: of a small project a run in nine has none. */
static void gate_early(struct gates *g, const struct cell *c)
{
	enum { KEPT_RUNS = 3 };
	size_t lack = 0;

	for (size_t i = 0; i < c->n; i++)
		lack += c->dray[i] && lacks_early(g, c, i);
	bool bad = has_kept_plan(c) ? lack == c->n && lack >= KEPT_RUNS : has_server(c) ? 2 * lack > c->n : lack > 0;
	if (bad)
		fail(g, c, "no slot was linked before the plan was done, in %zu of %zu runs", lack, c->n);
}

static void gate_batches(struct gates *g, const struct cell *c, size_t i)
{
	double warm = count(c, i, "warm"), cold = count(c, i, "cold"), skipped = count(c, i, "skipped");
	double slots = count(c, i, "slots");

	if (warm < 0 || cold < 0 || skipped < 0 || slots < 0) {
		fail(g, c, "dray's summary lacks warm, cold, skipped or slots");
		return;
	}
	if ((in_phase(c, "p0") || in_phase(c, "p3")) && (warm != 0 || cold == 0 || cold + skipped != slots))
		fail(g, c, "a fresh install must have warm = 0 and cold + skipped = slots, not %.0f, %.0f + %.0f, %.0f",
			warm, cold, skipped, slots);
	/* Shared slots stand in the store: this project links none of them, and none counts. */
	bool shared = str_eq(c->subject, STR("dray-gvs"));
	if (in_phase(c, "p4") && shared && (cold != 0 || warm != 0))
		fail(g, c, "with shared slots a warm install links nothing, not %.0f + %.0f slots", cold, warm);
	if (in_phase(c, "p4") && !shared && (cold != 0 || warm + skipped != slots))
		fail(g, c, "a warm install must have cold = 0 and warm + skipped = slots, not %.0f, %.0f + %.0f, %.0f",
			cold, warm, skipped, slots);
	if (in_phase(c, "partial") && !is_share(warm, warm + cold))
		fail(g, c, "%.0f %% of the packages should have been in the store, not %.0f of %.0f",
			100 * PARTIAL_SHARE, warm, warm + cold);
}

static void gate_source(struct gates *g, const struct cell *c, size_t i)
{
	str source = json_str(json_get(c->dray[i], "source"));
	bool resolves = in_phase(c, "p0") || in_phase(c, "p1") || in_phase(c, "update");

	if (!resolves)
		return;
	str want = has_server(c) ? STR("server") : STR("direct");
	/* What an install before there was a server has kept may decide everything. */
	bool kept = in_phase(c, "update") && str_eq(c->subject, STR("dray-cold")) && str_eq(source, STR("direct")) &&
		    count(c, i, "packuments_fetched") == 0 && count(c, i, "packuments_revalidated") == 0;
	if (!str_eq(source, want) && !kept)
		fail(g, c, "the plan came from \"" STR_FMT "\", not from \"" STR_FMT "\"", STR_ARG(source),
			STR_ARG(want));
}

/* Every run of every dray of a project and phase writes the same bytes. */
static void gate_lockfiles(struct gates *g, const struct result *r, const struct cell *c)
{
	const struct cell *first = NULL;

	for (size_t i = 0; i < r->n && !first; i++) {
		const struct cell *o = &r->cell[i];
		if (o->n && str_starts(o->subject, STR("dray")) && str_eq(o->project, c->project) &&
			str_eq(o->phase, c->phase))
			first = o;
	}
	for (size_t i = 0; first && i < c->n; i++) {
		if (!str_eq(c->lock[i], first->lock[0])) {
			fail(g, c, "the lockfile is not the one of " STR_FMT, STR_ARG(first->subject));
			return;
		}
	}
}

static void gate_cell(struct gates *g, const struct result *r, const struct cell *c)
{
	bool has_slots = !in_phase(c, "p1") && !in_phase(c, "p5");

	if (c->failed || !c->n)
		fail(g, c, "%zu runs failed: " STR_FMT, c->failed, STR_ARG(str_head(c->why, 150)));
	gate_ratio(g, r, c);
	gate_lockfiles(g, r, c);
	if (in_phase(c, "p0"))
		gate_early(g, c);
	for (size_t k = 0; k < c->n; k++) {
		if (in_phase(c, "p5"))
			continue; /* nothing was done, nothing is counted */
		if (!c->dray[k]) {
			fail(g, c, "no summary line in dray's output");
			continue;
		}
		if (has_slots)
			gate_batches(g, c, k);
		gate_source(g, c, k);
	}
}

/* Gates that had nothing to look at have not held: a dray that could not take part when it was last asked for. */
static void gate_unavailable(struct gates *g, const struct result *r, size_t note)
{
	const struct json *j = r->note[note].line;
	str project = json_str(json_get(j, "project")), subject = json_str(json_get(j, "subject")),
	    why = json_str(json_get(j, "why"));

	if (!str_starts(subject, STR("dray")) || !result_is_last_unavailable(r, note))
		return;
	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (c->line > r->note[note].at && str_eq(c->project, project) && str_eq(c->subject, subject))
			return;
	}
	g->failed++;
	buf_printf(g->out, "gate: " STR_FMT " " STR_FMT ": not available: " STR_FMT "\n", STR_ARG(project),
		STR_ARG(subject), STR_ARG(str_head(why, 150)));
}

unsigned gates_check(struct buf *out, const struct result *r, const struct gate_limits *l)
{
	struct gates g = { .out = out, .l = l };

	for (size_t i = 0; i < r->n; i++) {
		if (str_starts(r->cell[i].subject, STR("dray")))
			gate_cell(&g, r, &r->cell[i]);
	}
	for (size_t i = 0; i < r->nnotes; i++)
		gate_unavailable(&g, r, i);
	return g.failed;
}

bool gates_hold(const struct result *r, const struct gate_limits *l)
{
	AUTO(buf_release) struct buf said = BUF_INIT;
	unsigned failed = gates_check(&said, r, l);

	bool any = false;

	for (size_t i = 0; i < r->n; i++)
		any |= str_starts(r->cell[i].subject, STR("dray"));
	printf(STR_FMT "gates: %s\n", STR_ARG(buf_str(&said)),
		!any     ? "failed: no run of dray's to look at"
		: failed ? "failed"
			 : "all passed");
	return any && failed == 0;
}
