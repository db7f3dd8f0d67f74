/* subject — who is measured: dray in its ways, and the peers, each with the command line and environment of a phase.
 *
 * A subject works in folders of its own (project, home, store), so that no two
 * share a cache. Pure apart from looking for programs. */
#pragma once
#include "base/base.h"

enum phase { P0, P1, P3, P4, P5, PARTIAL, UPDATE, NPHASES };
/* "p0", … and what the phase is called elsewhere. */
const char *phase_name(enum phase p);
const char *phase_title(enum phase p);
/* Whether versions are chosen in it, which is what a server is asked for. */
bool phase_resolves(enum phase p);
/* Whether it starts from the primed store, and so has to lie on its file system. */
bool phase_shares_store(enum phase p);
/* Whether everybody goes once untimed before the first round, beyond the install that the phase starts from. */
bool phase_warms_up(enum phase p);
enum phase phase_read(const char *name); /* NPHASES: unknown */

enum server_use { SERVER_NONE, SERVER_COLD, SERVER_WARM, SERVER_SETTLED };
struct subject {
	const char *name;
	const char *program;  /* file name looked for */
	const char *lockfile; /* that it writes */
	enum server_use server;
	bool is_dray, gvs;
};
extern const struct subject subjects[];
extern const size_t nsubjects;
const struct subject *subject_find(const char *name);

/* Where one subject works and whom it talks to. */
struct invoke_opts {
	const char *program; /* absolute path */
	const char *project, *home, *store;
	const char *registry; /* "http://127.0.0.1:4873/" through the link */
	const char *server;   /* drayd's URL through the link, or NULL */
};
struct invocation {
	const char *argv[24];
	const char *env[32];
};
/* Whether S is measured in P. Shared slots are where they matter, p4 and p5; their warm-up is an
 * install as in P0 all the same. */
bool subject_takes_part(const struct subject *s, enum phase p);
/* The command of P, measured or not. Strings live in A. */
void subject_invoke(
	struct invocation *out, const struct subject *s, enum phase p, const struct invoke_opts *at, struct arena *a);
/* Absolute path of the subject's program below DIR (peers) or DRAY_DIR (dray), or NULL. */
const char *subject_program(const struct subject *s, const char *dray_dir, const char *peers_dir, struct arena *a);
