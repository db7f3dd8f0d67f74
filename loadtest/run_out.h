/* run_out — what a run says of itself: a JSON line for each sample, and the same for people on stderr.
 *
 * result.h reads the lines. Called by run.c; F may be NULL: nothing is written. */
#pragma once
#include "measure.h"
#include "outcome.h"
#include "rig.h"
#include <stdio.h>

/* What one run of one subject came to. */
struct run_outcome {
	struct sample s;
	struct rig_counts c;
	const char *why; /* it failed; NULL: good */
	str summary;     /* dray's own, a JSON object; may be empty */
	str lock_digest; /* may be empty */
	struct outcome_sizes sizes;
	bool sized;
};
struct run_scene {
	const char *project, *link, *phase, *subject;
	unsigned round; /* 0: a warm-up */
};
void run_out_sample(FILE *f, const struct run_scene *at, const struct run_outcome *o);
/* What preparing a server's packs took stands beside the figures, never in them. */
void run_out_prepared(FILE *f, const char *project, const char *subject, double wall_s, double cpu_s);
/* What a reader of the figures has to know. */
void run_out_warning(FILE *f, const char *project, str text);
/* A subject that cannot take part is named, with the reason; that is no failed run, but gates do
 * not hold without a dray. */
void run_out_unavailable(FILE *f, const char *project, const char *subject, const char *why);
