#include "auth.h"
#include "base/clock.h"
#include "integrity.h"
#include "lock_timed.h"
#include "pattern.h"
#include "token_file.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { PEERS = 1024, FAILURES_MOST = 20, WINDOW_S = 60, MAX_HEADER = 4096 };

/* Failures of the peers whose address falls into this place. */
struct peer {
	int64_t since_s;
	unsigned failures;
};
struct auth {
	const struct config *c;
	struct arena text;
	str file;
	_Atomic uint64_t *lock_waits;
	pthread_mutex_t lock; /* all below */
	bool required;
	struct tokens tokens;
	struct identity **known; /* of each token */
	struct stat seen;
	int64_t looked_s;
	struct identity *anybody; /* where there are no tokens */
	struct peer peer[PEERS];
	int64_t logged_s;
	unsigned unlogged;
};

/* ---- identities ---- */

struct identity *identity_ref(struct identity *i)
{
	atomic_fetch_add(&i->refs, 1);
	return i;
}

void identity_release(struct identity *i)
{
	if (!i || atomic_fetch_sub(&i->refs, 1) != 1)
		return;
	struct arena a = i->a;
	arena_release(&a);
}

void identity_drop(struct identity **i)
{
	identity_release(*i);
}

/* Which rules let it in, and its own patterns: all that identity_may_see() looks at. */
static void set_rights(struct identity *i)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (size_t k = 0; k < i->c->naccess; k++)
		buf_addc(&b, i->name.n && name_matches_any(i->c->access[k].allow, i->name) ? 'y' : 'n');
	for (size_t k = 0; k < i->packages.n; k++)
		buf_printf(&b, " " STR_FMT, STR_ARG(i->packages.p[k]));
	sha256(i->rights, b.p ? b.p : "", b.n);
}

static struct identity *identity_new(const struct config *c, const struct token *t)
{
	struct arena a = ARENA_INIT(1024);
	struct identity *i = arena_new(&a, struct identity, 1);

	atomic_init(&i->refs, 1);
	i->c = c;
	if (t) {
		i->name = arena_str(&a, token_owner(t->name));
		i->read_only = t->read_only;
		memcpy(i->sha256, t->sha256, 32);
		i->packages = (struct str_list){ arena_new(&a, str, t->packages.n), t->packages.n };
		for (size_t k = 0; k < t->packages.n; k++)
			i->packages.p[k] = arena_str(&a, t->packages.p[k]);
	}
	set_rights(i);
	i->a = a;
	return i;
}

bool identity_restricted(const struct identity *i)
{
	return i->packages.n || i->c->naccess;
}

bool identity_sees_all(const struct identity *i)
{
	bool all = !i->packages.n;

	for (size_t k = 0; k < i->c->naccess; k++)
		all = all && i->name.n && name_matches_any(i->c->access[k].allow, i->name);
	return all;
}

int identity_may_see(const struct identity *i, str name, struct err *e)
{
	if (i->packages.n && !name_matches_any(i->packages, name))
		return err_set(e, ERR_POLICY,
			"this token may not see package " STR_FMT "; ask this server's operator for another",
			STR_ARG(name));
	for (size_t k = 0; k < i->c->naccess; k++) {
		const struct config_access *r = &i->c->access[k];
		if (!name_matches_any(r->packages, name))
			continue;
		if (i->name.n && name_matches_any(r->allow, i->name))
			return 0;
		return err_set(e, ERR_POLICY,
			"access rule " STR_FMT " keeps package " STR_FMT
			" from %s; ask this server's operator to allow it",
			STR_ARG(r->name), STR_ARG(name), i->name.n ? "this token" : "who has no token");
	}
	return 0;
}

/* ---- the table ---- */

str config_token_file(const struct config *c, struct arena *a)
{
	return c->token_file.n ? c->token_file : arena_printf(a, STR_FMT "/tokens", STR_ARG(c->store_dir));
}

/* Under the lock. */
static void forget(struct auth *a)
{
	for (size_t i = 0; i < a->tokens.n; i++)
		identity_release(a->known[i]);
	free(a->known);
	a->known = NULL;
	tokens_release(&a->tokens);
}

/* Under the lock. */
static int reload(struct auth *a, struct err *e)
{
	struct tokens fresh;
	struct stat st;

	if (stat(a->file.p, &st) < 0) {
		if (errno == ENOENT && !a->required && !a->c->token_file.n)
			return 0;
		return err_os(e, "token file " STR_FMT " (`drayd token add NAME` makes one)", STR_ARG(a->file));
	}
	if (a->required && st.st_ino == a->seen.st_ino && st.st_size == a->seen.st_size &&
		st.st_mtim.tv_sec == a->seen.st_mtim.tv_sec && st.st_mtim.tv_nsec == a->seen.st_mtim.tv_nsec)
		return 0;
	/* Somebody has said that tokens are wanted: from here on nobody is let in without one, whatever the file
	 * has. */
	a->required = true;
	if (tokens_read(&fresh, a->file, e) < 0)
		return e->code;
	forget(a);
	a->tokens = fresh;
	a->known = xcalloc(fresh.n + 1, sizeof(struct identity *));
	for (size_t i = 0; i < fresh.n; i++)
		a->known[i] = identity_new(a->c, &fresh.p[i]);
	a->seen = st;
	return 0;
}

int auth_new(struct auth **out, const struct config *c, _Atomic uint64_t *lock_waits, struct err *e)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->lock_waits = lock_waits;
	a->c = c;
	a->file = arena_str(&a->text, config_token_file(c, &a->text));
	a->anybody = identity_new(c, NULL);
	pthread_mutex_init(&a->lock, NULL);
	if (reload(a, e) < 0) {
		auth_free(a);
		return config_blame(c, "token-file", e);
	}
	*out = a;
	return 0;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	identity_release(a->anybody);
	forget(a);
	pthread_mutex_destroy(&a->lock);
	arena_release(&a->text);
	free(a);
}

bool auth_required(struct auth *a)
{
	lock_timed(&a->lock, a->lock_waits);
	bool yes = a->required;
	pthread_mutex_unlock(&a->lock);
	return yes;
}

str auth_token_file(const struct auth *a)
{
	return a->file;
}

/* ---- a request ---- */

static bool scheme_is(str header, str scheme, str *rest)
{
	if (header.n <= scheme.n || header.p[scheme.n] != ' ')
		return false;
	for (size_t i = 0; i < scheme.n; i++) {
		if ((header.p[i] | 0x20) != scheme.p[i])
			return false;
	}
	*rest = str_trim(str_from(header, scheme.n));
	return true;
}

/* SHA-256 of the token in HEADER; false: there is none. */
static bool token_hash(uint8_t sha[32], str header)
{
	uint8_t plain[MAX_HEADER];
	str token, user;

	if (header.n > MAX_HEADER)
		return false;
	if (scheme_is(header, STR("bearer"), &token) && token.n) {
		sha256(sha, token.p, token.n);
		return true;
	}
	if (!scheme_is(header, STR("basic"), &token))
		return false;
	ptrdiff_t n = base64_read(plain, sizeof(plain), token);
	bool ok = n > 0 && str_cut((str){ (char *)plain, (size_t)n }, ':', &user, &token) && token.n;
	if (ok)
		sha256(sha, token.p, token.n);
	OPENSSL_cleanse(plain, sizeof(plain));
	return ok;
}

/* Every token is looked at, and whole, whether one has matched or not. */
static const struct token *find(const struct tokens *ts, const uint8_t sha[32])
{
	const struct token *hit = NULL;

	for (size_t i = 0; i < ts->n; i++) {
		if (CRYPTO_memcmp(ts->p[i].sha256, sha, 32) == 0)
			hit = &ts->p[i];
	}
	return hit;
}

/* Under the lock. Whether PEER has failed too often. */
static bool count_failure(struct auth *a, str peer, const char *why, int64_t now)
{
	struct peer *p = &a->peer[str_hash(peer) % PEERS];

	if (now - p->since_s >= WINDOW_S || now < p->since_s)
		*p = (struct peer){ .since_s = now };
	bool over = p->failures >= FAILURES_MOST;
	p->failures += !over;
	if (now == a->logged_s) {
		a->unlogged++;
	} else {
		log_warn("auth", "peer=" STR_FMT " refused=\"%s\" unlogged=%u", STR_ARG(peer), why, a->unlogged);
		a->logged_s = now;
		a->unlogged = 0;
	}
	return over;
}

/* Under the lock. */
static int refuse(struct auth *a, str authorization, const struct token *t, str peer, struct err *e)
{
	const char *why = !authorization.n ? "no token" : t ? "expired token" : "unknown token";

	if (count_failure(a, peer, why, clock_wall_s()))
		return err_set(e, ERR_BUSY, "too many requests without a valid token from your address; wait a minute");
	if (!authorization.n)
		return err_set(e, ERR_AUTH,
			"this server wants a token: put //HOST:PORT/:_authToken=TOKEN for this server into ~/.npmrc, "
			"or set DRAY_TOKEN; its operator makes one with `drayd token add NAME`");
	return err_set(e, ERR_AUTH,
		"this server does not know the token that was sent, or it has %s; ask its operator for a new one "
		"(`drayd token add NAME`) and put it into ~/.npmrc as //HOST:PORT/:_authToken=TOKEN, or into "
		"DRAY_TOKEN",
		t ? "expired" : "been revoked");
}

/* Under the lock. */
static void look(struct auth *a, int64_t now)
{
	struct err why;

	if (now == a->looked_s)
		return;
	a->looked_s = now;
	if (reload(a, &why) < 0)
		log_error("auth", "tokens=kept message=\"%s\"", why.msg);
}

/* Under the lock. One that the table lacks may have been made since it was read. */
static const struct token *find_now(struct auth *a, const uint8_t sha[32], int64_t now)
{
	const struct token *t = find(&a->tokens, sha);

	if (t)
		return t;
	a->looked_s = 0;
	look(a, now);
	return find(&a->tokens, sha);
}

void auth_changed(struct auth *a)
{
	lock_timed(&a->lock, a->lock_waits);
	a->looked_s = 0;
	pthread_mutex_unlock(&a->lock);
}

bool auth_anybody(struct identity **out, struct auth *a)
{
	lock_timed(&a->lock, a->lock_waits);
	look(a, clock_wall_s());
	bool yes = !a->required;
	if (yes)
		*out = identity_ref(a->anybody);
	pthread_mutex_unlock(&a->lock);
	return yes;
}

int auth_who(struct identity **out, struct auth *a, str authorization, str peer, struct err *e)
{
	uint8_t sha[32];
	bool has = token_hash(sha, authorization);
	int64_t now = clock_wall_s();
	int rc = 0;

	lock_timed(&a->lock, a->lock_waits);
	look(a, now);
	if (!a->required) {
		*out = identity_ref(a->anybody);
	} else {
		const struct token *t = has ? find_now(a, sha, now) : NULL;
		if (t && (!t->expires_s || t->expires_s > now))
			*out = identity_ref(a->known[t - a->tokens.p]);
		else
			rc = refuse(a, authorization, t, peer, e);
	}
	pthread_mutex_unlock(&a->lock);
	return rc;
}

/* Under the lock. */
static int login(struct identity **out, struct auth *a, const struct token *t, str user, str peer, struct err *e)
{
	int64_t now = clock_wall_s();

	if (!t || !str_eq(t->name, user) || (t->expires_s && t->expires_s <= now)) {
		if (count_failure(a, peer, "login", now))
			return err_set(e, ERR_BUSY, "too many wrong logins from your address; wait a minute");
		return err_set(e, ERR_AUTH,
			"the user is the name of a token of this server, and the password that token; its operator "
			"makes one with `drayd token add NAME`");
	}
	if (t->read_only)
		return err_set(e, ERR_POLICY,
			"token " STR_FMT " is read-only: it makes no other tokens; use it as it is", STR_ARG(user));
	*out = identity_ref(a->known[t - a->tokens.p]);
	return 0;
}

int auth_login(struct identity **out, struct auth *a, str user, str password, str peer, struct err *e)
{
	uint8_t sha[32];
	int rc;

	sha256(sha, password.p ? password.p : "", password.n);
	lock_timed(&a->lock, a->lock_waits);
	look(a, clock_wall_s());
	if (!a->required)
		rc = err_set(e, ERR_POLICY, "this server has no tokens: nobody needs to log in");
	else
		rc = login(out, a, password.n ? find_now(a, sha, clock_wall_s()) : NULL, user, peer, e);
	pthread_mutex_unlock(&a->lock);
	return rc;
}
