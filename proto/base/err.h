/* err — what went wrong, in words a user can act on.
 *
 * A function that can fail returns 0 or a negative code and fills the struct
 * err that its caller owns (always the last parameter). Whoever knows the noun
 * adds it with err_ctx(); nobody logs and returns. A message names the
 * package, the path or URL (never a credential), what was expected, what was
 * found and what can be done. */
#pragma once
#include "base/arena.h"

enum {
	ERR_IO = -1,           /* a system call failed; err.os has errno */
	ERR_PARSE = -2,        /* outside bytes are not what they should be */
	ERR_NOTFOUND = -3,     /* no such package, file or object */
	ERR_NOMATCH = -4,      /* no version satisfies */
	ERR_INTEGRITY = -5,    /* bytes do not have the digest that was promised */
	ERR_TOOBIG = -6,       /* past a stated limit */
	ERR_USAGE = -7,        /* the command line or a configuration is wrong */
	ERR_NET = -8,          /* a peer could not be reached or answered with an error */
	ERR_TIMEOUT = -9,      /* a peer did not answer in time */
	ERR_AUTH = -10,        /* a credential is missing or refused */
	ERR_UNSUPPORTED = -11, /* something dray does not implement, refused by name */
	ERR_OUTDATED = -12,    /* the lockfile does not fit the manifests and must not change */
	ERR_PROTOCOL = -13,    /* a peer speaks another protocol, or breaks it */
	ERR_CANCELLED = -14,   /* somebody asked to stop */
	ERR_BUSY = -15,        /* overload; try again later */
	ERR_POLICY = -16,      /* a rule forbids it */
	ERR_SCRIPT = -17,      /* a lifecycle script failed */
	ERR_BUILDS = -18,      /* packages want to build and nobody said whether they may */
	ERR_NOSPACE = -19,     /* disk full or quota reached */
	ERR_LAST = -19,
};

struct err {
	int code;
	int os; /* errno, or 0 */
	char msg[1000];
};

/* All return CODE (err_os: ERR_IO, ERR_NOSPACE for ENOSPC and EDQUOT), so that `return err_set(…)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Appends errno's text. */
int err_os(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "…: " before the message; keeps the code and returns it. */
int err_ctx(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* E on the heap, the caller's: for what waits by the thousand and hardly ever fails. */
struct err *err_copy(const struct err *e);

/* The one table of what a code means outside: a stable name ("ERR_DRAY_…"), HTTP status and exit status.
 * 0 gives "OK", 200 and 0. */
const char *err_name(int code);
int err_http_status(int code);
int err_exit_status(int code);
