#include "result.h"
#include "run_floor.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SAMPLES = 100 };

static const struct {
	const char *name, *unit;
} metrics[NMETRICS] = {
	[METRIC_WALL] = { "wall", "s" },
	[METRIC_CPU] = { "user+sys", "s" },
	[METRIC_PEAK_MB] = { "peak", "MB" },
	[METRIC_SWITCHES] = { "switches", "" },
	[METRIC_DOWN_MB] = { "down", "MB" },
	[METRIC_REQUESTS] = { "requests", "" },
	[METRIC_MIRROR_CPU] = { "mirror CPU", "s" },
	[METRIC_RELAY_CPU] = { "relay CPU", "s" },
	[METRIC_DRAYD_CPU] = { "drayd CPU", "s" },
};

const char *metric_name(enum metric m)
{
	return metrics[m].name;
}

const char *metric_unit(enum metric m)
{
	return metrics[m].unit;
}

static double number(const struct json *j, const char *key)
{
	const struct json *v = json_get(j, key);
	char text[64];

	if (!json_is(v, JSON_NUMBER) || v->s.n >= sizeof(text))
		return 0;
	memcpy(text, v->s.p, v->s.n);
	text[v->s.n] = 0;
	return strtod(text, NULL);
}

static struct cell *cell_of(struct result *r, size_t *cap, const struct json *j, struct arena *a)
{
	struct cell key = { .project = json_str(json_get(j, "project")),
		.link = json_str(json_get(j, "link")),
		.phase = json_str(json_get(j, "phase")),
		.subject = json_str(json_get(j, "subject")) };

	for (size_t i = 0; i < r->n; i++) {
		struct cell *c = &r->cell[i];
		if (str_eq(c->project, key.project) && str_eq(c->link, key.link) && str_eq(c->phase, key.phase) &&
			str_eq(c->subject, key.subject))
			return c;
	}
	r->cell = arena_grow(a, r->cell, r->n, cap, sizeof(*r->cell), _Alignof(struct cell));
	for (int m = 0; m < NMETRICS; m++)
		key.v[m] = arena_new(a, double, MOST_SAMPLES);
	key.lock = arena_new(a, str, MOST_SAMPLES);
	key.dray = arena_new(a, const struct json *, MOST_SAMPLES);
	r->cell[r->n] = key;
	return &r->cell[r->n++];
}

static void cell_add(struct cell *c, const struct json *j)
{
	size_t i = c->n;
	double round = number(j, "round");

	if (round >= 1 && round < 64)
		c->rounds |= 1ull << (unsigned)round;
	if (!json_is(json_get(j, "ok"), JSON_TRUE)) {
		c->failed++;
		c->why = json_str(json_get(j, "why"));
		return;
	}
	if (i == MOST_SAMPLES)
		return;
	c->v[METRIC_WALL][i] = number(j, "wall_s");
	c->v[METRIC_CPU][i] = number(j, "user_s") + number(j, "sys_s");
	c->v[METRIC_PEAK_MB][i] = number(j, "peak_kb") / 1024;
	c->v[METRIC_SWITCHES][i] = number(j, "switches");
	c->v[METRIC_DOWN_MB][i] = number(j, "down_bytes") / 1e6;
	c->v[METRIC_REQUESTS][i] = number(j, "requests");
	c->v[METRIC_MIRROR_CPU][i] = number(j, "mirror_cpu_s");
	c->v[METRIC_RELAY_CPU][i] = number(j, "relay_cpu_s");
	c->v[METRIC_DRAYD_CPU][i] = number(j, "drayd_cpu_s");
	c->dray[i] = json_get(j, "dray");
	c->lock[i] = json_str(json_get(j, "lockfile_sha256"));
	if (json_get(j, "store_bytes")) {
		c->store_mb = number(j, "store_bytes") / 1e6;
		c->modules_mb = number(j, "modules_bytes") / 1e6;
		c->lockfile_kb = number(j, "lockfile_bytes") / 1e3;
	}
	c->n++;
}

static void note_add(struct result *r, size_t *cap, const struct json *j, struct arena *a)
{
	r->note = arena_grow(a, r->note, r->nnotes, cap, sizeof(*r->note), _Alignof(struct result_note));
	r->note[r->nnotes++] = (struct result_note){ json_str(json_get(j, "kind")), j };
}

double result_number(const struct json *j, const char *key)
{
	return number(j, key);
}

int result_read(struct result *out, const char *path, struct arena *a, struct err *e)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0, cap = 0, notes = 0, at = 0;
	struct result r = { 0 };
	int rc = f ? 0 : err_os(e, "read %s", path);

	for (ssize_t n; rc == 0 && (n = getline(&line, &room, f)) > 0;) {
		struct json *j;
		at++;
		rc = json_parse(&j, arena_str(a, (str){ line, (size_t)n }), a, e);
		if (rc < 0)
			err_ctx(e, "%s line %zu", path, at);
		else if (str_eq(json_str(json_get(j, "kind")), STR("sample")))
			cell_add(cell_of(&r, &cap, j, a), j);
		else if (str_eq(json_str(json_get(j, "kind")), STR("machine")))
			r.machine = j;
		else
			note_add(&r, &notes, j, a);
	}
	free(line);
	if (f)
		fclose(f);
	for (size_t i = 0; rc == 0 && i < r.n; i++) {
		for (int m = 0; m < NMETRICS; m++)
			r.cell[i].spread[m] = spread_of(r.cell[i].v[m], r.cell[i].n);
	}
	if (rc == 0)
		*out = r;
	return rc;
}

const struct cell *result_find(const struct result *r, str project, str link, str phase, str subject)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (str_eq(c->project, project) && str_eq(c->link, link) && str_eq(c->phase, phase) &&
			str_eq(c->subject, subject))
			return c;
	}
	return NULL;
}

bool cell_is_peer(const struct cell *c)
{
	return !str_starts(c->subject, STR("dray")) && !str_eq(c->subject, STR(FLOOR_SUBJECT));
}

const struct cell *result_floor(const struct result *r, const struct cell *c)
{
	if (!str_eq(c->subject, STR("dray-direct")))
		return NULL;
	const struct cell *f = result_find(r, c->project, c->link, c->phase, STR(FLOOR_SUBJECT));
	return f && f->n ? f : NULL;
}

static bool says_unavailable(const struct result *r, size_t i, str project, str subject)
{
	const struct json *j = r->note[i].line;

	return str_eq(r->note[i].kind, STR("unavailable")) && str_eq(json_str(json_get(j, "project")), project) &&
	       str_eq(json_str(json_get(j, "subject")), subject);
}

bool result_is_last_unavailable(const struct result *r, size_t i)
{
	str project = json_str(json_get(r->note[i].line, "project")),
	    subject = json_str(json_get(r->note[i].line, "subject"));

	if (!says_unavailable(r, i, project, subject))
		return false;
	for (size_t k = i + 1; k < r->nnotes; k++) {
		if (says_unavailable(r, k, project, subject))
			return false;
	}
	return true;
}

const struct cell *result_best_peer(const struct result *r, const struct cell *like)
{
	const struct cell *best = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (str_eq(c->project, like->project) && str_eq(c->link, like->link) && str_eq(c->phase, like->phase) &&
			cell_is_peer(c) && c->n &&
			(!best || c->spread[METRIC_WALL].median < best->spread[METRIC_WALL].median))
			best = c;
	}
	return best;
}
