/* result — samples read back from JSON lines, grouped by what they measure.
 *
 * The one reader of result files: tables, comparison, gates and the HTML page
 * stand on it. Memory from the caller's arena. */
#pragma once
#include "base/base.h"
#include "base/json.h"
#include "measure.h"

enum metric {
	METRIC_WALL,
	METRIC_CPU, /* user + sys */
	METRIC_PEAK_MB,
	METRIC_SWITCHES,
	METRIC_DOWN_MB,
	METRIC_REQUESTS,
	METRIC_MIRROR_CPU, /* these three share the cores with the client */
	METRIC_RELAY_CPU,
	METRIC_DRAYD_CPU,
	NMETRICS
};
const char *metric_name(enum metric m);
const char *metric_unit(enum metric m);

/* All samples of one subject in one phase of one project over one link. */
struct cell {
	str project, link, phase, subject;
	double *v[NMETRICS];
	size_t n, failed;
	uint64_t rounds;                          /* that have a sample, good or failed, as bits */
	str why;                                  /* of the last failure */
	const struct json **dray;                 /* n summaries of dray's own, or NULLs */
	str *lock;                                /* n digests of the lockfile, or empty */
	double store_mb, modules_mb, lockfile_kb; /* on disk, of the last run that was looked at; 0: none was */
	struct spread spread[NMETRICS];
};
/* A line of another kind: "load", "prepared", "unavailable". */
struct result_note {
	str kind;
	const struct json *line;
};
struct result {
	struct cell *cell;
	size_t n;
	struct result_note *note;
	size_t nnotes;
	const struct json *machine; /* the last header line, or NULL */
};
/* The peer with the lowest median among good runs in LIKE's scenario, or NULL. */
const struct cell *result_best_peer(const struct result *r, const struct cell *like);
/* Another installer: neither dray nor a floor. */
bool cell_is_peer(const struct cell *c);
/* The bare system calls of the tree that C, a warm link of dray's, made: in C's own scenario, or NULL. */
const struct cell *result_floor(const struct result *r, const struct cell *c);
/* Member KEY of an object, 0 when it has no such number. */
double result_number(const struct json *j, const char *key);
MUST_USE int result_read(struct result *out, const char *path, struct arena *a, struct err *e);
const struct cell *result_find(const struct result *r, str project, str link, str phase, str subject);
/* Whether note I says that a subject cannot take part in a project, and none after it does for the same two. */
bool result_is_last_unavailable(const struct result *r, size_t i);
