#include "plan_all.h"
#include "measure.h"
#include <stdlib.h>

/* One round, one subject of average diligence, on two cores, nothing emulated: seconds, and what it moves over the link. */
struct cost {
	double s[NPHASES], mb[NPHASES];
	double sync_s; /* until what a full install wrote is on disk */
};
static const struct {
	const char *project;
	struct cost cost;
} costs[] = {
	{ "small", { { 0.9, 0.4, 0.8, 0.3, 0.05, 1.2, 2.2 }, { 34, 3, 34, 0, 0, 26, 7 }, 0.5 } },
	{ "app", { { 5, 1.5, 4.5, 1.5, 0.1, 8, 8 }, { 200, 10, 190, 0, 0, 150, 9 }, 2.5 } },
	{ "antd", { { 15, 4, 13, 5, 0.3, 24, 22 }, { 500, 25, 478, 0, 0, 370, 5 }, 6 } },
};
enum { NCOSTS = sizeof(costs) / sizeof(*costs), OTHERS = 1 };

static const struct {
	const char *subject;
	double times;
} diligence[] = { { "pnpm", 1.8 }, { "npm", 4 }, { "yarn", 5 }, { "bun", 0.8 }, { "dray-cold", 1.3 } };

/* In order of importance. A later row for the same scenario adds the subjects that are not main. */
struct wish {
	const char *project; /* NULL: all */
	const char *link;
	const char *phases;
	bool others, full_only;
};
static const struct wish wishes[] = {
	{ "antd", "home", "p0 p3 p4 p5 p1", false, false },
	{ "antd", "loopback", "p0 p3", false, false },
	{ NULL, "home", "p0 p3 p4 p5 p1", false, false },
	{ "app", "loopback", "p0 p3 p4 p5 p1", false, false },
	{ "small", "loopback", "p0 p3 p4 p5 p1", false, false },
	{ NULL, "home", "p0 p4", true, true },
	{ "app", "home", "update partial", true, true },
	{ "small", "home", "update partial p1 p3 p5", true, true },
	{ "app", "ci", "p0 p3 p1", false, true },
	{ "small", "ci", "p0 p3 p1", false, true },
	{ "small", "bad", "p0 p3", false, true },
	{ "antd", "home", "update partial", false, true },
	{ "antd", "ci", "p0 p3", false, true },
	{ NULL, "home", "p3 p1 update partial", true, true },
	{ NULL, "ci", "p0 p3 p1", true, true },
	{ NULL, "loopback", "p0 p3 p4 p5 p1", true, true },
	{ "app", "bad", "p0 p3", false, true },
};

struct plan_all {
	struct run_opts *o;
	unsigned rounds;
	double budget_s, total_s, start_s;
	double expected_s, taken_s, last_s; /* of what is behind us, and when it ended */
	double pending_s;                   /* expected of what runs now */
	uint32_t primed[RUN_MOST_PROJECTS];
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct cost *cost_of(const char *project)
{
	for (size_t i = 0; i < NCOSTS; i++) {
		if (strcmp(base_name(project), costs[i].project) == 0)
			return &costs[i].cost;
	}
	return &costs[OTHERS].cost;
}

static double diligence_of(const struct subject *s)
{
	for (size_t i = 0; i < sizeof(diligence) / sizeof(*diligence); i++) {
		if (strcmp(diligence[i].subject, s->name) == 0)
			return diligence[i].times;
	}
	return 1;
}

static double sample_s(const struct run_opts *o, const struct run_step *s, size_t subject)
{
	const struct cost *c = cost_of(o->project[s->project]);
	double t = c->s[s->phase] * diligence_of(o->subject[subject]) + 0.3;

	if (s->link->rate_bps)
		t += c->mb[s->phase] * 8e6 / (double)s->link->rate_bps;
	if (s->phase == P0 || s->phase == P3 || s->phase == PARTIAL)
		t += c->sync_s;
	t += 15 * (double)s->link->registry_rtt_us / 1e6;
	if (o->subject[subject]->server != SERVER_NONE)
		t += 0.5 + (s->phase == P0 || s->phase == P1 ? c->s[P1] : 0);
	return t;
}

double plan_all_round(const struct plan_all *p, const struct run_step *s)
{
	double t = 0;

	for (size_t i = 0; i < p->o->nsubjects; i++) {
		if (s->subjects >> i & 1)
			t += sample_s(p->o, s, i);
	}
	return t;
}

/* Subjects of S that no step before it has primed. Servers make packs meanwhile; a settled store is there, or takes minutes more. */
static double prime_s(const struct plan_all *p, const struct run_step *s)
{
	const struct cost *c = cost_of(p->o->project[s->project]);
	uint32_t fresh = s->subjects & ~p->primed[s->project];
	double t = 0;

	for (size_t i = 0; i < p->o->nsubjects; i++) {
		const struct subject *sub = p->o->subject[i];
		if (fresh >> i & 1)
			t += c->s[P0] * diligence_of(sub) * (sub->server == SERVER_WARM ? 4 : 1);
	}
	return t;
}

static double image_s(const struct run_opts *o)
{
	return 1 + (double)(o->image_bytes >> 30) * 0.08;
}

static struct run_step *step_of(struct run_opts *o, size_t project, const struct link_profile *l, enum phase phase)
{
	for (size_t i = 0; i < o->nsteps; i++) {
		struct run_step *s = &o->step[i];
		if (s->project == project && s->link == l && s->phase == phase)
			return s;
	}
	return NULL;
}

/* Takes the step of a project with the subjects WHO if its time is left. */
static void choose(struct plan_all *p, size_t project, const struct link_profile *l, enum phase phase, uint32_t who)
{
	struct run_opts *o = p->o;
	struct run_step *known = step_of(o, project, l, phase);
	struct run_step s = { project, l, phase, who & ~(known ? known->subjects : 0), p->rounds };
	double t = plan_all_round(p, &s) * p->rounds + prime_s(p, &s);

	if (!phase_shares_store(phase) && !known)
		t += image_s(o);
	if (!s.subjects || p->total_s + t > p->budget_s || o->nsteps == RUN_MOST_STEPS)
		return;
	p->total_s += t;
	p->primed[project] |= s.subjects;
	if (known)
		known->subjects |= s.subjects;
	else
		o->step[o->nsteps++] = s;
}

static void choose_wish(struct plan_all *p, const struct wish *w, uint32_t main_subjects, uint32_t all)
{
	char copy[64], *save = NULL;

	for (size_t i = 0; i < p->o->nprojects; i++) {
		if (w->project && strcmp(base_name(p->o->project[i]), w->project) != 0)
			continue;
		snprintf(copy, sizeof(copy), "%s", w->phases);
		for (char *ph = strtok_r(copy, " ", &save); ph; ph = strtok_r(NULL, " ", &save))
			choose(p, i, link_find(w->link), phase_read(ph), w->others ? all : main_subjects);
	}
}

/* Those of a project together, because its primed state is kept for as long. */
static int by_project(const void *x, const void *y)
{
	const struct run_step *a = x, *b = y;

	if (a->project != b->project)
		return a->project < b->project ? -1 : 1;
	if (a->link != b->link)
		return a->link < b->link ? -1 : 1;
	return (a->phase > b->phase) - (a->phase < b->phase);
}

struct plan_all *plan_all_new(struct run_opts *o, size_t nmain, unsigned rounds, double budget_s, bool quick)
{
	struct plan_all *p = xcalloc(1, sizeof(*p));
	uint32_t all = (uint32_t)((1ull << o->nsubjects) - 1);
	uint32_t main_subjects = (uint32_t)((1ull << (nmain < o->nsubjects ? nmain : o->nsubjects)) - 1);

	p->o = o;
	p->rounds = rounds;
	p->budget_s = budget_s;
	o->nsteps = 0;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		if (!quick || !wishes[i].full_only)
			choose_wish(p, &wishes[i], main_subjects, all);
	}
	qsort(o->step, o->nsteps, sizeof(*o->step), by_project);
	memset(p->primed, 0, sizeof(p->primed));
	return p;
}

void plan_all_free(struct plan_all *p)
{
	free(p);
}

double plan_all_total(const struct plan_all *p)
{
	return p->total_s;
}

void plan_all_print(const struct plan_all *p, FILE *f)
{
	const struct run_opts *o = p->o;

	fprintf(f, "%-8s %-9s %-8s %9s  subjects\n", "project", "link", "phase", "estimate");
	for (size_t i = 0; i < o->nsteps; i++) {
		const struct run_step *s = &o->step[i];
		fprintf(f, "%-8s %-9s %-8s %7.0f s  ", base_name(o->project[s->project]), s->link->name,
			phase_name(s->phase), plan_all_round(p, s) * s->rounds);
		for (size_t k = 0; k < o->nsubjects; k++) {
			if (s->subjects >> k & 1)
				fprintf(f, "%s ", o->subject[k]->name);
		}
		fprintf(f, "\n");
	}
	fprintf(f,
		"%zu scenarios, %u rounds, about %.0f minutes of %.0f (with one untimed install a subject and "
		"project)\n",
		o->nsteps, p->rounds, p->total_s / 60, p->budget_s / 60);
}

/* What runs now has ended: takes it into account. */
static void account(struct plan_all *p, double now)
{
	if (p->pending_s > 0) {
		p->expected_s += p->pending_s;
		p->taken_s += now - p->last_s;
	}
	p->pending_s = 0;
	p->last_s = now;
}

/* How much longer than expected things take here; trusted as soon as there is a minute to judge by. */
static double pace(const struct plan_all *p)
{
	return p->expected_s > 60 ? p->taken_s / p->expected_s : 1;
}

bool plan_all_may_start(void *arg, const struct run_step *s, unsigned round)
{
	struct plan_all *p = arg;
	double now = measure_now();

	if (p->start_s == 0)
		p->start_s = p->last_s = now;
	account(p, now);
	double t = round ? plan_all_round(p, s) : prime_s(p, s) + image_s(p->o);
	double least = round ? t : t + plan_all_round(p, s);
	if (now - p->start_s + least * pace(p) > p->budget_s * 1.05) {
		fprintf(stderr, "left out for lack of time: %s %s %s%s\n", base_name(p->o->project[s->project]),
			s->link->name, phase_name(s->phase), round > 1 ? ", its last rounds" : "");
		return false;
	}
	if (round == 0)
		p->primed[s->project] |= s->subjects;
	p->pending_s = t;
	return true;
}
