#include "result.h"
#include "run_floor.h"
#include <stdio.h>
#include <stdlib.h>

double result_value(const struct json *v)
{
	char text[64];

	if (!json_is(v, JSON_NUMBER) || v->s.n >= sizeof(text))
		return 0;
	memcpy(text, v->s.p, v->s.n);
	text[v->s.n] = 0;
	return strtod(text, NULL);
}

double result_number(const struct json *j, const char *key)
{
	return result_value(json_get(j, key));
}

static struct cell *cell_of(struct result *r, const struct json *j, struct arena *a)
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
	struct cell *c = arena_add(a, r->cell, r->n);
	*c = key;
	return c;
}

/* Room for one more good run. */
static void cell_grow(struct cell *c, struct arena *a)
{
	for (int m = 0; m < NMETRICS; m++)
		arena_room(a, c->v[m], c->n);
	arena_room(a, c->lock, c->n);
	arena_room(a, c->dray, c->n);
}

static void cell_add(struct cell *c, const struct json *j, size_t line, struct arena *a)
{
	size_t i = c->n;
	double round = result_number(j, "round");

	c->line = line;
	if (round >= 1 && round <= RESULT_MOST_ROUNDS)
		c->rounds |= 1ull << (unsigned)round;
	if (!json_is(json_get(j, "ok"), JSON_TRUE)) {
		c->failed++;
		c->why = json_str(json_get(j, "why"));
		return;
	}
	cell_grow(c, a);
	c->v[METRIC_WALL][i] = result_number(j, "wall_s");
	c->v[METRIC_CPU][i] = result_number(j, "user_s") + result_number(j, "sys_s");
	c->v[METRIC_PEAK_MB][i] = result_number(j, "peak_kb") / 1024;
	c->v[METRIC_SWITCHES][i] = result_number(j, "switches");
	c->v[METRIC_DOWN_MB][i] = result_number(j, "down_bytes") / 1e6;
	c->v[METRIC_REQUESTS][i] = result_number(j, "requests");
	c->v[METRIC_MIRROR_CPU][i] = result_number(j, "mirror_cpu_s");
	c->v[METRIC_RELAY_CPU][i] = result_number(j, "relay_cpu_s");
	c->v[METRIC_DRAYD_CPU][i] = result_number(j, "drayd_cpu_s");
	c->dray[i] = json_get(j, "dray");
	c->lock[i] = json_str(json_get(j, "lockfile_sha256"));
	if (json_get(j, "store_bytes")) {
		c->store_mb = result_number(j, "store_bytes") / 1e6;
		c->modules_mb = result_number(j, "modules_bytes") / 1e6;
		c->lockfile_kb = result_number(j, "lockfile_bytes") / 1e3;
	}
	c->n++;
}

int result_read(struct result *out, const char *path, struct arena *a, struct err *e)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0, at = 0;
	struct result r = { 0 };
	int rc = f ? 0 : err_os(e, "read %s", path);

	for (ssize_t n; rc == 0 && (n = getline(&line, &room, f)) > 0;) {
		struct json *j;
		at++;
		rc = json_parse(&j, arena_str(a, (str){ line, (size_t)n }), a, e);
		if (rc < 0)
			err_ctx(e, "%s line %zu", path, at);
		else if (str_eq(json_str(json_get(j, "kind")), STR("sample")))
			cell_add(cell_of(&r, j, a), j, at, a);
		else if (str_eq(json_str(json_get(j, "kind")), STR("machine")))
			r.machine = j;
		else
			*arena_add(a, r.note, r.nnotes) = (struct result_note){ json_str(json_get(j, "kind")), j, at };
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
	bool warm = str_eq(c->phase, STR("p4"));
	bool isolated = str_starts(c->subject, STR("dray-")) && !str_eq(c->subject, STR("dray-gvs"));

	if (warm ? !str_eq(c->subject, STR("dray-direct")) : !isolated)
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
