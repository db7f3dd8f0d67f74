/* token_file — clients' tokens on disk, by their hashes: what `drayd token` writes and auth.h reads.
 *
 * A line a token: its name, SHA-256 of the token as hex, and settings. A token
 * is 256 random bits, so its plain hash tells nothing; it is shown once, when it
 * is made. Changes are made under a lock on FILE.lock and by renaming, so that a
 * daemon and a command can both make them, also a command that root runs: both files stay, or become, those of the
 * user whose folder it is. */
#pragma once
#include "base/base.h"

enum { TOKENS_MOST = 10000, TOKENS_LOGINS = 100 };
struct token {
	str name; /* "ci", "login:anna:3f2a…" */
	uint8_t sha256[32];
	bool read_only;               /* cannot log in: makes no other tokens */
	struct str_list packages;     /* patterns; empty: all */
	int64_t created_s, expires_s; /* since 1970; expires_s 0: never */
};
struct tokens {
	struct arena a;
	struct token *p;
	size_t n;
};
/* ERR_NOTFOUND: there is no such file. ERR_PARSE with the line. */
MUST_USE int tokens_read(struct tokens *out, str path, struct err *e);
void tokens_release(struct tokens *t);

/* Makes the token T->name (its hash is filled in) and appends it to OUT as text. ERR_USAGE: the name is taken or none,
 * or a pattern is none. ERR_TOOBIG past TOKENS_MOST. */
MUST_USE int token_add(struct buf *out, str path, const struct token *t, struct err *e);
/* npm login: a token "login:NAME:<8 hex>" with the rights of token NAME, good for DAYS from NOW_S and no longer
 * than that one; appended to OUT. Expired tokens go at the same time. ERR_AUTH: NAME is gone; ERR_POLICY:
 * TOKENS_LOGINS of them are good. */
MUST_USE int token_login(struct buf *out, str path, str name, int64_t now_s, unsigned days, struct err *e);
/* The NAME of a token that token_login() made from token NAME; other tokens' own. */
str token_owner(str name);
/* With NAME go its logins. ERR_NOTFOUND: no token of that name (or hash, when NAME is empty). */
MUST_USE int token_revoke(str path, str name, const uint8_t sha256[32], struct err *e);

/* `drayd token …`: ARGS behind the word; what to print goes to OUT. NOW_S: the clock. */
MUST_USE int token_command(struct buf *out, str path, struct str_list args, int64_t now_s, struct err *e);
