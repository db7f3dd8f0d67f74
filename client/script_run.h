/* script_run — child processes that run one lifecycle script each, several at a time.
 *
 * A child is the leader of a process group of its own, has /dev/null as input,
 * and its output comes here line by line. One thread: start, then turn until a
 * script has ended. Source for the environment: pnpm's lifecycle, npm's run-script. */
#pragma once
#include "base/base.h"

struct script {
	str title;   /* "esbuild@0.25.0 postinstall" */
	str dir;     /* absolute: where it runs */
	str stage;   /* "postinstall" */
	str command; /* for sh -c */
	str name, version;
	str project_dir; /* where the user stands */
	str shell;       /* empty: sh */
	str user_agent;
	str node_options; /* NODE_OPTIONS; empty: as it is */
	void *owner;
};
struct script_set;
struct script_opts {
	/* A line of output, without its end. */
	void (*line)(void *arg, const struct script *s, str line);
	void (*done)(void *arg, const struct script *s, int code, const struct err *e);
	void *arg;
	unsigned end_ms; /* what an interrupted script has for its end; 0: five seconds */
};
/* What O points at is borrowed. */
struct script_set *script_set_new(const struct script_opts *o);
/* S is copied, what it points at is not. */
MUST_USE int script_start(struct script_set *set, const struct script *s, struct err *e);
/* Scripts that were started and have not ended. */
size_t script_running(const struct script_set *set);
/* Waits for output or an end, a second at most, and tells line() and done() of them. Once CANCEL_FD (a signalfd, not
 * blocking, or -1) is readable every group is sent SIGTERM: ERR_CANCELLED, and only script_set_free() may follow. */
MUST_USE int script_turn(struct script_set *set, int cancel_fd, struct err *e);
/* Ends what runs: it has END_MS after SIGTERM, or until CANCEL_FD is readable once more. */
void script_set_free(struct script_set *set);
