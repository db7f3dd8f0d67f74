#include "plan_all.h"
#include "place.h"
#include <stdlib.h>

/* One round, one subject of average diligence, on two cores, nothing emulated: seconds, and
 * what it moves over the link. */
struct cost {
	double s[NPHASES], mb[NPHASES];
	double sync_s;            /* until what a full install wrote is on disk */
	double packs_s, settle_s; /* until a server has all its packs, and has them at their best */
};
static const struct {
	const char *project;
	struct cost cost;
} costs[] = {
	{ "small", { { 0.9, 0.5, 0.8, 0.1, 0.03, 1.3, 2 }, { 37, 3, 37, 0, 0, 36, 7 }, 0.5, 3, 40 } },
	{ "app", { { 5, 1.5, 4.5, 0.6, 0.1, 6.5, 8 }, { 200, 10, 190, 0, 0, 150, 9 }, 2.5, 45, 400 } },
	{ "antd", { { 16, 2.5, 16, 2, 0.3, 20, 22 }, { 500, 23, 480, 0, 0, 370, 5 }, 4, 140, 1200 } },
};
enum { NCOSTS = sizeof(costs) / sizeof(*costs), OTHERS = 1 };

static const struct {
	const char *subject;
	double times;
} diligence[] = { { "pnpm", 1.9 }, { "npm", 30 }, { "yarn", 8 }, { "bun", 0.9 }, { "utoo", 1.2 }, { "dray-warm", 0.8 },
	{ "dray-settled", 0.8 }, { "dray-cold", 1.3 }, { "dray-gvs", 0.5 }, { "pnpm-gvs", 0.8 } };

#define FIVE "p0 p3 p1 p4 p5"
#define LEAN "dray-direct dray-warm bun utoo pnpm"
#define SETTLED "dray-settled"
#define SHARED "dray-gvs pnpm-gvs"

/* In order of importance. A later row for the same scenario adds subjects to it. */
struct wish {
	const char *project; /* NULL: all */
	const char *link;
	const char *phases;
	const char *subjects; /* NULL: all */
	bool quick;
};
static const struct wish wishes[] = {
	{ "antd", "home", FIVE, LEAN, false },
	{ "antd", "home", "p4 p5", SHARED, false },
	{ "antd", "home", FIVE, SETTLED, false }, /* which may take longer to prepare than there is time */
	{ "antd", "loopback", "p0 p4", "dray-direct dray-warm bun", false },
	{ "small", "home", FIVE, LEAN, true },
	{ "app", "home", "p0 p3", LEAN, true },
	{ "small", "home", "partial update", LEAN " dray-cold", false },
	{ "small", "ci", "p0 p3 p1", "dray-direct dray-warm dray-cold bun", false },
	{ "small", "loopback", FIVE, LEAN, true },
	{ "app", "home", FIVE, LEAN, true },
	{ "small", "home", "p0 p3", "yarn", false },
	{ "app", "home", "p0 p3", "npm yarn", false },
	{ "antd", "home", "p0", "dray-cold npm", false },
	{ "app", "home", "partial update", "dray-direct dray-warm bun", false },
	{ "small", "home", "p0 p3", SETTLED " dray-cold npm", false },
	{ "small", "home", "p4 p5", SHARED " npm", false },
	{ "app", "loopback", FIVE, LEAN, true },
	{ "app", "home", "p0 p3", SETTLED, false },
	{ "app", "ci", "p0 p3 p1", "dray-direct dray-warm bun", false },
	{ "antd", "ci", "p0", "dray-direct dray-warm bun", false },
	{ "antd", "loopback", "p0 p4", LEAN, false },
	{ "small", "bad", "p0 p3", "dray-direct dray-warm bun pnpm", false },
	{ "app", "home", FIVE " partial update", LEAN " dray-cold " SHARED, false },
	{ "app", "home", "p4", "npm yarn", false },
	{ "antd", "home", "p4", "dray-cold npm", false },
	{ "antd", "loopback", "p3 p1 p5", LEAN, false },
	{ "antd", "ci", "p0 p3 p1", LEAN, false },
	{ "antd", "home", "update partial", LEAN, false },
	/* Projects that are not ours. */
	{ NULL, "home", FIVE, LEAN, true },
	{ NULL, "loopback", FIVE, LEAN, true },
	{ NULL, "home", FIVE " partial update", NULL, false },
	{ NULL, "loopback", FIVE, NULL, false },
	{ NULL, "ci", FIVE, NULL, false },
	{ NULL, "bad", "p0 p3", LEAN, false },
};

struct plan_all {
	struct run_opts *o;
	unsigned rounds;
	double budget_s, total_s, start_s;
	double expected_s, taken_s, last_s; /* of what is behind us, and when it ended */
	double pending_s;                   /* expected of what runs now */
	uint32_t primed[RUN_MOST_PROJECTS];
};

static const struct cost *cost_of(const char *project)
{
	for (size_t i = 0; i < NCOSTS; i++) {
		if (strcmp(place_project_name(project), costs[i].project) == 0)
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
	double busy = c->s[s->phase] * diligence_of(o->subject[subject]);
	double wire = s->link->rate_bps ? c->mb[s->phase] * 8e6 / (double)s->link->rate_bps : 0;
	/* Most of the work goes on while bytes come. */
	double t = (busy > wire ? busy + 0.25 * wire : wire + 0.25 * busy) + 0.3;
	if (!phase_shares_store(s->phase))
		t += 15 * (double)s->link->registry_rtt_us / 1e6;

	if (s->phase == P0 || s->phase == P3 || s->phase == PARTIAL || s->phase == UPDATE)
		t += c->sync_s;
	if (o->subject[subject]->server != SERVER_NONE)
		t += 0.5 + (s->phase == P0 || s->phase == P1 ? c->s[P1] : 0);
	return t;
}

static double image_s(const struct run_step *s)
{
	return phase_shares_store(s->phase) ? 0 : 1;
}

double plan_all_round(const struct plan_all *p, const struct run_step *s)
{
	double t = image_s(s);

	for (size_t i = 0; i < p->o->nsubjects; i++) {
		if (s->subjects >> i & 1)
			t += sample_s(p->o, s, i);
	}
	return t;
}

/* Subjects of S that no step before it has primed, and their servers' packs; what the phase warms up. */
static double prime_s(const struct plan_all *p, const struct run_step *s)
{
	const struct cost *c = cost_of(p->o->project[s->project]);
	uint32_t fresh = s->subjects & ~p->primed[s->project];
	double t = phase_warms_up(s->phase) ? plan_all_round(p, s) : 0;

	for (size_t i = 0; i < p->o->nsubjects; i++) {
		const struct subject *sub = p->o->subject[i];
		if (!(fresh >> i & 1))
			continue;
		t += c->s[P0] * diligence_of(sub) + c->sync_s;
		if (sub->server == SERVER_WARM)
			t += c->packs_s;
		if (sub->server == SERVER_SETTLED && !(p->o->settled >> s->project & 1))
			t += c->settle_s;
	}
	return t;
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

static bool is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += n) {
		if ((at == list || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
			return true;
	}
	return false;
}

/* Those of O's subjects that take part in PHASE and are in LIST (NULL: all). */
static uint32_t select_subjects(const struct run_opts *o, const char *list, enum phase phase)
{
	uint32_t who = 0;

	for (size_t i = 0; i < o->nsubjects; i++) {
		if (subject_takes_part(o->subject[i], phase) && (!list || is_listed(list, o->subject[i]->name)))
			who |= 1u << i;
	}
	return who;
}

/* Settling a server may take longer than all that is measured: not where it would be more than a tenth of the time. */
static bool is_worth_settling(const struct plan_all *p, size_t project)
{
	return p->o->settled >> project & 1 || cost_of(p->o->project[project])->settle_s * 10 <= p->budget_s;
}

/* Takes the step of a project with the subjects WHO if its time is left. */
static void choose(struct plan_all *p, size_t project, const struct link_profile *l, enum phase phase, uint32_t who)
{
	struct run_opts *o = p->o;

	for (size_t i = 0; i < o->nsubjects; i++) {
		if (o->subject[i]->server == SERVER_SETTLED && !is_worth_settling(p, project))
			who &= ~(1u << i);
	}
	struct run_step *known = step_of(o, project, l, phase);
	struct run_step s = { project, l, phase, who & ~(known ? known->subjects : 0), p->rounds };
	double t = plan_all_round(p, &s) * p->rounds + prime_s(p, &s) - (known ? image_s(&s) * p->rounds : 0);

	if (!s.subjects || p->total_s + t > p->budget_s || o->nsteps == RUN_MOST_STEPS)
		return;
	p->total_s += t;
	p->primed[project] |= s.subjects;
	if (known)
		known->subjects |= s.subjects;
	else
		o->step[o->nsteps++] = s;
}

static void choose_wish(struct plan_all *p, const struct wish *w)
{
	char copy[64], *save = NULL;

	for (size_t i = 0; i < p->o->nprojects; i++) {
		if (w->project && strcmp(place_project_name(p->o->project[i]), w->project) != 0)
			continue;
		snprintf(copy, sizeof(copy), "%s", w->phases);
		for (char *ph = strtok_r(copy, " ", &save); ph; ph = strtok_r(NULL, " ", &save)) {
			enum phase phase = phase_read(ph);
			choose(p, i, link_find(w->link), phase, select_subjects(p->o, w->subjects, phase));
		}
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

struct plan_all *plan_all_new(struct run_opts *o, unsigned rounds, double budget_s, bool quick)
{
	struct plan_all *p = xcalloc(1, sizeof(*p));

	p->o = o;
	p->rounds = rounds;
	p->budget_s = budget_s;
	o->nsteps = 0;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		if (!quick || wishes[i].quick)
			choose_wish(p, &wishes[i]);
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
		fprintf(f, "%-8s %-9s %-8s %7.0f s  ", place_project_name(o->project[s->project]), s->link->name,
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

bool plan_all_may_start(struct plan_all *p, const struct run_step *s, unsigned round, double now)
{
	if (p->start_s == 0)
		p->start_s = p->last_s = now;
	account(p, now);
	double t = round ? plan_all_round(p, s) : prime_s(p, s);
	double least = round ? t : t + plan_all_round(p, s);
	if (now - p->start_s + least * pace(p) > p->budget_s) {
		fprintf(stderr, "left out for lack of time: %s %s %s%s\n",
			place_project_name(p->o->project[s->project]), s->link->name, phase_name(s->phase),
			round > 1 ? ", its last rounds" : "");
		return false;
	}
	if (round == 0)
		p->primed[s->project] |= s->subjects;
	p->pending_s = t;
	return true;
}
