/* setup — what the subcommands that measure are told on their command line, and the header line of their results. */
#pragma once
#include "gates.h"
#include "run.h"
#include <limits.h>

enum { SETUP_MOST_LINKS = 32 };
struct setup {
	struct run_opts run;
	bool phase[NPHASES];
	const struct link_profile *link[SETUP_MOST_LINKS];
	size_t nlinks;
	unsigned rounds;
	const char *out;
	const struct gate_limits *gates; /* NULL: not looked at */
	/* report-all only */
	bool quick, plan_only;
	double budget_s;  /* 0: the subcommand's */
	const char *html; /* NULL: OUT's name with .html */
	char dray[PATH_MAX];
	char project[RUN_MOST_PROJECTS][PATH_MAX];
};
/* The folder of the running program: dray and drayd lie there, too. */
void setup_beside(char *out, size_t cap);
/* Defaults of `dray-bench run`; *s is large, on the heap. */
void setup_defaults(struct setup *s);
/* Options and projects on top; NONE: no project is fine, too. False after having said what is wrong, or the usage. */
MUST_USE bool setup_take(struct setup *s, int argc, char **argv, bool none);
bool setup_phases(struct setup *s, const char *list);
bool setup_subjects(struct setup *s, const char *list);
bool setup_links(struct setup *s, const char *list);
/* Opens OUT and the work folder, takes away a last line that was cut off, and writes the header: the machine and every version. */
MUST_USE int setup_open(struct setup *s, struct err *e);
