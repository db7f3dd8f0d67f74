/* plan_all — which scenarios fit into the time there is, most important first, and how long they will take.
 *
 * Estimates come from single rounds on a machine with two cores; while it runs,
 * what was really taken corrects them, and what no longer fits is left out by
 * name. Pure but for the clock that the caller reads. */
#pragma once
#include "run.h"

struct plan_all;
/* Chooses O's steps from O's projects and subjects. BUDGET_S bounds the estimate. QUICK: home and loopback only, no partial, no update.
 * The first NMAIN subjects come before all others. */
struct plan_all *plan_all_new(struct run_opts *o, size_t nmain, unsigned rounds, double budget_s, bool quick);
void plan_all_free(struct plan_all *p);
/* Seconds that one round of a step is expected to take, with what lies around the samples. */
double plan_all_round(const struct plan_all *p, const struct run_step *s);
/* The same for all that was chosen. */
double plan_all_total(const struct plan_all *p);
/* The plan as text. */
void plan_all_print(const struct plan_all *p, FILE *f);
/* run_opts' may_start: whether there is time, given what was taken until now. ARG is the plan. */
bool plan_all_may_start(void *arg, const struct run_step *s, unsigned round);
