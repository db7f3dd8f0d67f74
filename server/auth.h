/* auth — who asks, and which packages they may see.
 *
 * Owns the table of tokens, read again when its file has changed, so that a
 * new token is known at once and a revoked one refused within a second. Where there is no token file, everybody is
 * let in. A file that cannot be read any more leaves the last table in force.
 * Failures are counted by peer; past a limit they are answered 429, never what
 * has a good token. Tokens are compared by their hashes, in constant time, and
 * never appear in logs or messages. Any thread. */
#pragma once
#include "config.h"
#include <stdatomic.h>

struct auth;
/* C outlives it. Waits of over 1 ms for the table are counted in LOCK_WAITS, which may be NULL. ERR_NOTFOUND: the token
 * file that was named is missing. ERR_PARSE. */
MUST_USE int auth_new(struct auth **out, const struct config *c, _Atomic uint64_t *lock_waits, struct err *e);
void auth_free(struct auth *a);
/* Whether requests need a token. */
bool auth_required(struct auth *a);
/* The token file, whether there is one or not; for login and logout. */
str auth_token_file(const struct auth *a);
/* The same of a configuration, in A. */
str config_token_file(const struct config *c, struct arena *a);

/* One who was let in; shared and counted. */
struct identity {
	_Atomic unsigned refs;
	str name; /* the token's, of a login that it was made from; empty: there are no tokens here */
	bool read_only;
	struct str_list packages; /* patterns; empty: all */
	uint8_t sha256[32];       /* of its token */
	uint8_t rights[32];       /* equal for those who may see the same; part of the key of what is cached for them */
	const struct config *c;
	struct arena a;
};
/* True: nobody needs a token here, and OUT is everybody, to be released. */
bool auth_anybody(struct identity **out, struct auth *a);
/* Who shows AUTHORIZATION ("Bearer …", or "Basic …" with a token as the password). PEER: an address, for counting.
 * ERR_AUTH: none, unknown or expired; ERR_BUSY: too many of those. */
MUST_USE int auth_who(struct identity **out, struct auth *a, str authorization, str peer, struct err *e);
/* npm login: the token USER (not a login of it), whose text is PASSWORD. As auth_who();
 * ERR_POLICY: it may not log in. */
MUST_USE int auth_login(struct identity **out, struct auth *a, str user, str password, str peer, struct err *e);
/* The token file was changed by this process: it counts at once. */
void auth_changed(struct auth *a);
/* Frees it with the last one who holds it. NULL is fine. */
void identity_release(struct identity *i);
/* For AUTO(). */
void identity_drop(struct identity **i);
/* I, held once more. */
struct identity *identity_ref(struct identity *i);
/* Whether there is anything that I may not see. */
bool identity_restricted(const struct identity *i);
/* Whether I may see every package. */
bool identity_sees_all(const struct identity *i);
/* May I see package NAME? ERR_POLICY says which rule forbids it, and not who asks: plans, and what they fail with, are
 * shared among those who may see the same. */
MUST_USE int identity_may_see(const struct identity *i, str name, struct err *e);
