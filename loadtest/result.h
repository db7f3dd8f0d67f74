/* result — samples read back from JSON lines, grouped by what they measure.
 *
 * The one reader of result files: tables, comparison, gates and the HTML page
 * stand on it. Memory from the caller's arena. */
#pragma once
#include "base/base.h"
#include "base/json.h"
#include "measure.h"

enum metric {
	METRIC_WALL, /* s */
	METRIC_CPU,  /* user + sys, s */
	METRIC_PEAK_MB,
	METRIC_SWITCHES,
	METRIC_DOWN_MB,
	METRIC_REQUESTS,
	METRIC_MIRROR_CPU, /* s; these three share the cores with the client */
	METRIC_RELAY_CPU,
	METRIC_DRAYD_CPU,
	NMETRICS
};

/* Rounds are kept as bits, for who goes on with what is missing. */
enum { RESULT_MOST_ROUNDS = 63 };
/* All samples of one subject in one phase of one project over one link. */
struct cell {
	str project, link, phase, subject;
	double *v[NMETRICS]; /* of the N good runs */
	size_t n, failed;
	uint64_t rounds;                          /* from 1 on, that have a sample, good or failed: bit by number */
	str why;                                  /* of the last failure */
	size_t line;                              /* its last sample's, in the file */
	const struct json **dray;                 /* n summaries of dray's own, or NULLs */
	str *lock;                                /* n digests of the lockfile, or empty */
	double store_mb, modules_mb, lockfile_kb; /* on disk, of the last run that was looked at; 0: none was */
	struct spread spread[NMETRICS];
};
/* A line of another kind: "load", "prepared", "unavailable", "warning". */
struct result_note {
	str kind;
	const struct json *line;
	size_t at; /* which line of the file that is */
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
/* The bare system calls of the tree that C, an install of dray's, made: in C's own scenario, or NULL. */
const struct cell *result_floor(const struct result *r, const struct cell *c);
/* ERR_IO, ERR_PARSE with the line. */
MUST_USE int result_read(struct result *out, const char *path, struct arena *a, struct err *e);
/* NULL: nothing was measured there, not even in vain. */
const struct cell *result_find(const struct result *r, str project, str link, str phase, str subject);
/* V, or member KEY of J, as a number; 0 where it is none. */
double result_value(const struct json *v);
double result_number(const struct json *j, const char *key);
/* Whether note I says that a subject cannot take part in a project, and none after it does for the same two. */
bool result_is_last_unavailable(const struct result *r, size_t i);
