/* setup — what the subcommands that measure are told on their command line, and the header line of their results. */
#pragma once
#include "gates.h"
#include "result.h"
#include "run.h"
#include <limits.h>

enum { SETUP_MOST_LINKS = 32 };
/* Where everything lies unless told otherwise; install-peers is given the last. */
#define SETUP_WORK "/var/tmp/dray-bench"
#define SETUP_MIRROR "/var/tmp/dray-bench-mirror"
#define SETUP_PEERS "/var/tmp/dray-bench-peers"
#define SETUP_OUT "dray-bench.jsonl"
struct setup {
	struct run_opts run;
	bool phase[NPHASES];
	const struct link_profile *link[SETUP_MOST_LINKS];
	struct link_profile own_link[SETUP_MOST_LINKS]; /* those of them that nobody but the caller knows */
	size_t nlinks;
	unsigned rounds;
	const char *out;
	const struct gate_limits *gates; /* NULL: not looked at */
	/* report-all only */
	bool quick, plan_only;
	double budget_s;     /* 0: the subcommand's */
	const char *html;    /* NULL: OUT's name with .html */
	char dray[PATH_MAX]; /* our own folder */
	char project[RUN_MOST_PROJECTS][PATH_MAX];
};
/* Defaults of `dray-bench run`; *s is large, on the heap. */
void setup_defaults(struct setup *s);
/* Options and projects of the subcommand ARGV[0] on top; NONE: no project is fine, too. -1 to go on; else the exit
 * status, what is wrong or the usage having been said. */
MUST_USE int setup_take(struct setup *s, int argc, char **argv, bool none);
/* What a comma-separated LIST names, in the place of what was there. False after having said which name is none. */
bool setup_phases(struct setup *s, const char *list);
bool setup_subjects(struct setup *s, const char *list);
bool setup_links(struct setup *s, const char *list);
/* Opens OUT and the work folder, takes away a last line that was cut off, and writes the header: the
 * machine and every version. */
MUST_USE int setup_open(struct setup *s, struct err *e);
