/* Which scenarios report-all takes for the time there is, and what it leaves out when that runs away. */
#include "plan_all.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const everybody[] = { "dray-direct", "dray-warm", "dray-settled", "dray-cold", "dray-gvs", "pnpm",
	"pnpm-gvs", "bun", "utoo", "npm", "yarn" };

static struct run_opts *opts_new(const char *a, const char *b, const char *c)
{
	struct run_opts *o = xcalloc(1, sizeof(*o));
	const char *project[] = { a, b, c };

	for (size_t i = 0; i < 3 && project[i]; i++)
		o->project[o->nprojects++] = project[i];
	for (size_t i = 0; i < sizeof(everybody) / sizeof(*everybody); i++)
		o->subject[o->nsubjects++] = subject_find(everybody[i]);
	return o;
}

static const struct run_step *find(const struct run_opts *o, size_t project, const char *link, enum phase p)
{
	for (size_t i = 0; i < o->nsteps; i++) {
		if (o->step[i].project == project && o->step[i].link == link_find(link) && o->step[i].phase == p)
			return &o->step[i];
	}
	return NULL;
}

static bool has(const struct run_opts *o, const struct run_step *s, const char *subject)
{
	for (size_t i = 0; s && i < o->nsubjects; i++) {
		if (strcmp(o->subject[i]->name, subject) == 0)
			return s->subjects >> i & 1;
	}
	return false;
}

/* What must hold of every choice. */
static void expect_sound(const struct run_opts *o, const struct plan_all *p, double budget_s)
{
	double rounds = 0;

	assert_true(plan_all_total(p) <= budget_s);
	for (size_t i = 0; i < o->nsteps; i++) {
		const struct run_step *s = &o->step[i];
		assert_ptr_equal(find(o, s->project, s->link->name, s->phase), s); /* each once */
		assert_true(i == 0 || o->step[i - 1].project <= s->project);       /* a project's together */
		assert_int_not_equal(s->subjects, 0);
		for (size_t k = 0; k < o->nsubjects; k++)
			assert_true(!(s->subjects >> k & 1) || subject_takes_part(o->subject[k], s->phase));
		rounds += plan_all_round(p, s) * s->rounds;
	}
	assert_true(rounds <= plan_all_total(p) + 1e-6); /* warm-ups are on top */
}

static void test_budgets(void **state)
{
	static const double minutes[] = { 1, 5, 20, 30, 45, 120, 600 };
	size_t most = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(minutes) / sizeof(*minutes); i++) {
		struct run_opts *o = opts_new("/p/antd", "/p/small", "/p/app");
		struct plan_all *p = plan_all_new(o, 3, minutes[i] * 60, false);
		expect_sound(o, p, minutes[i] * 60);
		most = o->nsteps;
		plan_all_free(p);
		free(o);
	}
	assert_true(most > 40);
}

static void test_order(void **state)
{
	struct run_opts *o = opts_new("/p/antd", "/p/small", "/p/app");
	(void)state;

	/* Half an hour goes to the largest project at home first. */
	struct plan_all *p = plan_all_new(o, 3, 30 * 60, false);
	assert_true(has(o, find(o, 0, "home", P0), "bun"));
	assert_true(has(o, find(o, 0, "home", P3), "dray-warm"));
	assert_true(has(o, find(o, 0, "home", P4), "pnpm-gvs"));
	assert_false(has(o, find(o, 0, "home", P0), "dray-gvs"));
	/* There is no time to settle a server, but for one that is settled. */
	assert_false(has(o, find(o, 0, "home", P0), "dray-settled"));
	plan_all_free(p);
	o->settled = 7;
	p = plan_all_new(o, 3, 45 * 60, false);
	assert_true(has(o, find(o, 0, "home", P0), "dray-settled"));
	assert_non_null(find(o, 1, "home", P0));
	plan_all_free(p);
	free(o);
}

static void test_quick(void **state)
{
	struct run_opts *o = opts_new("/p/small", "/p/app", NULL);
	struct plan_all *p = plan_all_new(o, 3, 20 * 60, true);
	(void)state;

	expect_sound(o, p, 20 * 60);
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(find(o, i, "home", P0));
		assert_null(find(o, i, "ci", P0));
		assert_null(find(o, i, "home", UPDATE));
		assert_false(has(o, find(o, i, "home", P0), "npm"));
	}
	plan_all_free(p);
	free(o);
}

/* A project that nobody has heard of is measured as well. */
static void test_stranger(void **state)
{
	struct run_opts *o = opts_new("/p/theirs", NULL, NULL);
	struct plan_all *p = plan_all_new(o, 3, 60 * 60, false);
	(void)state;

	expect_sound(o, p, 60 * 60);
	assert_true(has(o, find(o, 0, "home", P0), "dray-direct"));
	plan_all_free(p);
	free(o);
}

/* Everything takes twice as long as was thought: about half of it is left out, and it ends in time. */
static void test_pace(void **state)
{
	struct run_opts *o = opts_new("/p/antd", "/p/small", "/p/app");
	struct plan_all *p = plan_all_new(o, 3, 45 * 60, false);
	double now = 1000, chosen = plan_all_total(p);
	size_t done = 0, left = 0;
	(void)state;

	for (size_t i = 0; i < o->nsteps; i++) {
		for (unsigned round = 0; round <= o->step[i].rounds; round++) {
			if (!plan_all_may_start(p, &o->step[i], round, now)) {
				left++;
				break;
			}
			done++;
			now += 2 * (round ? plan_all_round(p, &o->step[i]) : 20);
		}
	}
	assert_true(chosen > 30 * 60);
	assert_true(done > 0 && left > 0);
	assert_true(now - 1000 <= 45 * 60 * 1.1);
	plan_all_free(p);
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_quick),
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
