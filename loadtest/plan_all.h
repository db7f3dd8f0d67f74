/* plan_all — which scenarios fit into the time there is, most important first, and how long they will take.
 *
 * Estimates come from single rounds on a machine with two cores; while it runs,
 * what was really taken corrects them, and what no longer fits is left out by
 * name. No files, no clock of its own. */
#pragma once
#include "run.h"

struct plan_all;
/* Chooses O's steps from O's projects and subjects. BUDGET_S bounds the estimate. QUICK: home and loopback only, few
 * subjects, no partial, no update. */
struct plan_all *plan_all_new(struct run_opts *o, unsigned rounds, double budget_s, bool quick);
void plan_all_free(struct plan_all *p);
/* Seconds that one round of a step is expected to take, with what lies around the samples. */
double plan_all_round(const struct plan_all *p, const struct run_step *s);
/* The same for all that was chosen. */
double plan_all_total(const struct plan_all *p);
/* The plan as text. */
void plan_all_print(const struct plan_all *p, FILE *f);
/* Whether there is time for a round of S (0: for what comes before, and one round), given what was taken until NOW. To
 * be asked in order, with a clock in seconds that never goes back. */
bool plan_all_may_start(struct plan_all *p, const struct run_step *s, unsigned round, double now);
