/* cmd_report_all — `dray-bench report-all`: chooses scenarios for the time there is, runs them, and makes the page.
 *
 * Samples that stand in OUT already are not made again, so a run that was
 * killed goes on where it was when the same command is given once more. */
#include "cmd.h"
#include "measure.h"
#include "place.h"
#include "plan_all.h"
#include "report.h"
#include "setup.h"
#include "table.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct all {
	struct plan_all *plan;
	struct result have; /* what OUT had at the start */
	struct arena a;
	struct setup *s;
};

static bool wanted(void *arg, const struct run_step *s, size_t subject, unsigned round)
{
	const struct all *all = arg;
	str project = str_of(place_project_name(all->s->run.project[s->project]));
	str name = str_of(all->s->run.subject[subject]->name);
	const struct cell *c =
		result_find(&all->have, project, str_of(s->link->name), str_of(phase_name(s->phase)), name);

	return !c || !(c->rounds >> round & 1);
}

static bool may_start(void *arg, const struct run_step *s, unsigned round)
{
	const struct all *all = arg;

	return plan_all_may_start(all->plan, s, round, measure_now());
}

/* The three projects that lie beside the benchmark's source, seen from its top. */
static bool default_projects(struct setup *s)
{
	static const char *const names[] = { "loadtest/projects/antd", "loadtest/projects/app",
		"loadtest/projects/small" };

	for (size_t i = s->quick; i < 3; i++) {
		char *at = s->project[s->run.nprojects];
		if (!realpath(names[i], at)) {
			fprintf(stderr, "dray-bench: %s: %s; name the projects\n", names[i], strerror(errno));
			return false;
		}
		s->run.project[s->run.nprojects++] = at;
	}
	return true;
}

/* The command line again, for the page. */
static str command_line(int argc, char **argv, struct arena *a)
{
	str s = STR("dray-bench");

	for (int i = 0; i < argc; i++)
		s = arena_printf(a, STR_FMT " %s", STR_ARG(s), argv[i]);
	return s;
}

/* 1 where the gates were to hold and do not. */
static int write_page(struct all *all, str command, struct err *e)
{
	struct setup *s = all->s;
	struct result r;
	str out = str_of(s->out);

	if (result_read(&r, s->out, &all->a, e) < 0)
		return e->code;
	table_print(&r);
	if (str_ends(out, STR(".jsonl")))
		out.n -= 6;
	const char *path = s->html ? s->html : arena_printf(&all->a, STR_FMT ".html", STR_ARG(out)).p;
	if (report_write(path, &r, command, e) < 0)
		return e->code;
	printf("%s\n", path);
	return s->gates && !gates_hold(&r, s->gates) ? 1 : 0;
}

static int run(struct all *all, str command, struct err *e)
{
	struct setup *s = all->s;

	if (setup_open(s, e) < 0)
		return e->code;
	int rc = access(s->out, R_OK) == 0 ? result_read(&all->have, s->out, &all->a, e) : 0;
	if (rc == 0) {
		s->run.wanted = wanted;
		s->run.may_start = may_start;
		s->run.arg = all;
		rc = run_all(&s->run, e);
	}
	fclose(s->run.out);
	/* Runs that failed are in the page. */
	struct err e_page;
	int page = write_page(all, command, &e_page);
	if (rc < 0 && page < 0)
		fprintf(stderr, "dray-bench: %s\n", e_page.msg);
	else if (page < 0)
		*e = e_page;
	return rc < 0 ? rc : page;
}

static int report_all(struct setup *s, str command)
{
	struct all all = { .a = ARENA_INIT(1 << 20), .s = s };
	struct err e = { 0 };
	double budget = s->budget_s > 0 ? s->budget_s : s->quick ? 20 * 60 : 120 * 60;
	int rc = 0;

	run_find_settled(&s->run);
	all.plan = plan_all_new(&s->run, s->rounds, budget, s->quick);
	plan_all_print(all.plan, stdout);
	fflush(stdout);
	if (!s->plan_only && (rc = run(&all, command, &e)) < 0)
		fprintf(stderr, "dray-bench: %s\n", e.msg);
	plan_all_free(all.plan);
	arena_release(&all.a);
	return rc < 0 ? err_exit_status(rc) : rc;
}

int cmd_report_all(int argc, char **argv)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct setup *s = xcalloc(1, sizeof(*s));
	str command = command_line(argc, argv, &a);

	setup_defaults(s);
	s->out = "dray-bench-all.jsonl";
	setup_subjects(s, "dray-direct,dray-warm,dray-settled,dray-cold,dray-gvs,pnpm,pnpm-gvs,bun,utoo,npm,yarn");
	int status = setup_take(s, argc, argv, true);
	if (status < 0)
		status = s->run.nprojects || default_projects(s) ? report_all(s, command) : 2;
	free(s);
	return status;
}
