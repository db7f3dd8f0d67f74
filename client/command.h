/* command — the commands of dray, each from its options to an exit status, and what they have in common.
 *
 * main.c chooses one. Messages go to standard error. The process's only command: signals are taken over. */
#pragma once
#include "options.h"
#include "project.h"

/* Each is given a command line that options_parse() has read, and returns the exit status; what failed was said. */
int command_install(const struct options *o);
int command_store(const struct options *o);
int command_verify(const struct options *o);
int command_doctor(const struct options *o);

/* Says E, to machines too; the exit status. */
int command_fail(struct progress *p, const struct err *e);
/* Which project O means. */
struct project_opts command_project(const struct options *o);
/* P's request as O wants it: groups, scripts. */
struct request command_request(const struct options *o, const struct project *p);
/* The store's folder, absolute, in A. ERR_USAGE where there is no place for one. */
MUST_USE int command_store_dir(
	str *out, const struct options *o, const struct project *p, struct arena *a, struct err *e);
/* The drayd that the user named, on the command line or by DRAY_SERVER; empty: none. */
str command_server(const struct options *o);
/* A descriptor that is readable once SIGINT, SIGTERM or SIGHUP came; -1: there is none. Before
 * threads, which inherit the mask. */
int command_signals(void);
