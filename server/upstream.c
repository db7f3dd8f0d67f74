#include "upstream.h"
#include "addr.h"
#include "url.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum { PROBES = 3 }; /* requests let through when a pause is over: one with its redirects */

struct upstream {
	str name, url, authorization;
	struct url at;
	struct str_list scopes, aliases;
	bool is_default;
};
/* One scheme, host and port that may be asked. */
struct origin {
	struct url at;
	str text; /* "https://host:443" */
	const struct upstream *of;
	bool private_addresses;
	/* Under upstreams.lock. */
	struct upstream_health health;
	unsigned probes;
	int64_t until_ms, pause_ms;
};
struct upstreams {
	struct arena a;
	struct upstreams_opts o;
	struct upstream *up;
	size_t nup;
	struct origin *origin;
	size_t norigins;
	struct registry_auth *auth;
	size_t nauth;
	pthread_mutex_t lock;
	uint64_t denied;
};

static int64_t hook_ms(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- setting up ---- */

static str with_slash(struct arena *a, str url)
{
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	return arena_printf(a, STR_FMT "/", STR_ARG(url));
}

static struct str_list list_dup(struct arena *a, struct str_list l)
{
	struct str_list out = { arena_new(a, str, l.n), l.n };

	for (size_t i = 0; i < l.n; i++)
		out.p[i] = arena_str(a, l.p[i]);
	return out;
}

static struct origin *origin_find(const struct upstreams *u, const struct url *at)
{
	for (size_t i = 0; i < u->norigins; i++) {
		if (url_same_origin(&u->origin[i].at, at))
			return &u->origin[i];
	}
	return NULL;
}

/* An origin that several upstreams share is the first one's in figures; it may be private where one of them says so. */
static int add_origin(struct upstreams *u, const struct upstream *up, str url, bool private, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct url at;

	if (url_parse(&at, url, e) < 0)
		return err_ctx(e, "upstream " STR_FMT, STR_ARG(up->name));
	struct origin *o = origin_find(u, &at);
	if (o) {
		o->private_addresses |= private;
		return 0;
	}
	o = &u->origin[u->norigins++];
	url_put_origin(&text, &at);
	o->at = at;
	o->text = arena_str(&u->a, buf_str(&text));
	o->of = up;
	o->private_addresses = private;
	o->health = (struct upstream_health){ .name = up->name, .origin = o->text };
	return 0;
}

static const struct upstream *scope_owner(const struct upstreams *u, str scope)
{
	for (size_t i = 0; i < u->nup; i++) {
		if (str_list_has(u->up[i].scopes, scope))
			return &u->up[i];
	}
	return NULL;
}

static int check_scopes(const struct upstreams *u, const struct upstream_config *c, struct err *e)
{
	for (size_t i = 0; i < c->scopes.n; i++) {
		str s = c->scopes.p[i];
		if (s.n < 2 || s.p[0] != '@' || str_find(s, '/', 0) != SIZE_MAX)
			return err_set(e, ERR_USAGE,
				"upstream " STR_FMT ": \"" STR_FMT "\" is no scope; expected \"@name\"",
				STR_ARG(c->name), STR_ARG(s));
		const struct upstream *other = scope_owner(u, s);
		if (other)
			return err_set(e, ERR_USAGE, "scope " STR_FMT " has two upstreams, " STR_FMT " and " STR_FMT,
				STR_ARG(s), STR_ARG(other->name), STR_ARG(c->name));
	}
	for (size_t i = 0; c->is_default && i < u->nup; i++) {
		if (u->up[i].is_default)
			return err_set(e, ERR_USAGE, "two default upstreams, " STR_FMT " and " STR_FMT,
				STR_ARG(u->up[i].name), STR_ARG(c->name));
	}
	return 0;
}

/* What its text alone tells: "localhost", or an address of a private range. */
static bool host_private(str host)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char text[64];

	if (host.n > 2 && host.p[0] == '[')
		host = (str){ host.p + 1, host.n - 2 };
	if (host.n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(host));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return addr_private((const struct sockaddr *)(const void *)&in);
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		return addr_private((const struct sockaddr *)(const void *)&in6);
	return strcasecmp(text, "localhost") == 0;
}

static int check_credential(const struct upstream *up, const struct upstream_config *c, struct err *e)
{
	if (!c->authorization.n || up->at.tls || (c->private_addresses && !c->private_assumed) ||
		host_private(up->at.host))
		return 0;
	return err_set(e, ERR_USAGE,
		"upstream " STR_FMT ": its credential would travel in clear to " STR_FMT
		"; use https, or say private-addresses = true in [upstream " STR_FMT
		"] when that is a loopback or private address in your own network",
		STR_ARG(up->name), STR_ARG(up->at.host), STR_ARG(up->name));
}

static int add_upstream(struct upstreams *u, const struct upstream_config *c, struct err *e)
{
	struct upstream *up = &u->up[u->nup];

	if (check_scopes(u, c, e) < 0)
		return e->code;
	up->name = arena_str(&u->a, c->name);
	up->url = with_slash(&u->a, c->url);
	up->scopes = list_dup(&u->a, c->scopes);
	up->aliases = (struct str_list){ arena_new(&u->a, str, c->aliases.n), c->aliases.n };
	for (size_t i = 0; i < c->aliases.n; i++)
		up->aliases.p[i] = with_slash(&u->a, c->aliases.p[i]);
	up->is_default = c->is_default;
	up->authorization = arena_str(&u->a, c->authorization);
	if (url_parse(&up->at, up->url, e) < 0) {
		if (str_find(up->url, '@', 0) == SIZE_MAX) /* else there may be a password in it */
			err_ctx(e, "\"" STR_FMT "\"", STR_ARG(str_head(up->url, 200)));
		return err_ctx(e, "upstream " STR_FMT, STR_ARG(up->name));
	}
	if (up->at.userinfo.p || up->at.query.n)
		return err_set(e, ERR_USAGE, "upstream " STR_FMT ": a URL without user, password and query is expected",
			STR_ARG(up->name));
	if (check_credential(up, c, e) < 0)
		return e->code;
	u->nup++;
	if (up->authorization.n)
		u->auth[u->nauth++] = (struct registry_auth){ up->url, up->authorization };
	int rc = add_origin(u, up, up->url, c->private_addresses, e);
	for (size_t i = 0; i < c->origins.n && rc == 0; i++)
		rc = add_origin(u, up, arena_str(&u->a, c->origins.p[i]), c->private_addresses, e);
	return rc;
}

int upstreams_new(struct upstreams **out, const struct upstreams_opts *o, struct err *e)
{
	struct upstreams *u = xcalloc(1, sizeof(*u));
	size_t origins = o->n;
	int rc = 0;

	u->o = *o;
	u->o.upstream = NULL;
	u->o.break_after = o->break_after ? o->break_after : 5;
	u->o.break_ms = o->break_ms ? o->break_ms : 5000;
	u->o.break_most_ms = o->break_most_ms ? o->break_most_ms : 120000;
	if (!o->now_ms)
		u->o.now_ms = hook_ms;
	pthread_mutex_init(&u->lock, NULL);
	for (size_t i = 0; i < o->n; i++)
		origins += o->upstream[i].origins.n;
	u->up = arena_new(&u->a, struct upstream, o->n);
	u->auth = arena_new(&u->a, struct registry_auth, o->n);
	u->origin = arena_new(&u->a, struct origin, origins);
	for (size_t i = 0; i < o->n && rc == 0; i++)
		rc = add_upstream(u, &o->upstream[i], e);
	if (rc < 0) {
		upstreams_free(u);
		return rc;
	}
	*out = u;
	return 0;
}

void upstreams_free(struct upstreams *u)
{
	if (!u)
		return;
	pthread_mutex_destroy(&u->lock);
	arena_release(&u->a);
	free(u);
}

/* ---- the breaker; under the lock ---- */

static bool breaker_lets(struct upstreams *u, struct origin *o, struct err *e)
{
	int64_t left = o->until_ms - u->o.now_ms(u->o.now_ctx);

	if (o->health.state == UPSTREAM_CLOSED)
		return true;
	if (left <= 0) { /* the pause is over, or the probes never came back */
		o->health.state = UPSTREAM_PROBING;
		o->until_ms += o->pause_ms - left;
		o->probes = PROBES;
	}
	if (o->health.state == UPSTREAM_PROBING && o->probes > 0) {
		o->probes--;
		return true;
	}
	o->health.refused++;
	err_set(e, ERR_BUSY,
		"upstream " STR_FMT " (" STR_FMT ") failed %u times in a row and is asked again in %lld ms",
		STR_ARG(o->of->name), STR_ARG(o->text), o->health.failed_in_a_row,
		(long long)(o->until_ms - u->o.now_ms(u->o.now_ctx)));
	return false;
}

static void breaker_failed(struct upstreams *u, struct origin *o)
{
	o->health.failures++;
	if (++o->health.failed_in_a_row < u->o.break_after || o->health.state == UPSTREAM_OPEN)
		return;
	bool probe = o->health.state == UPSTREAM_PROBING;
	o->pause_ms = probe ? o->pause_ms * 2 : u->o.break_ms;
	if (o->pause_ms > u->o.break_most_ms)
		o->pause_ms = u->o.break_most_ms;
	o->until_ms = u->o.now_ms(u->o.now_ctx) + o->pause_ms;
	o->health.state = UPSTREAM_OPEN;
	o->health.opened++;
}

static void breaker_answered(struct origin *o)
{
	o->health.answers++;
	o->health.failed_in_a_row = 0;
	o->health.state = UPSTREAM_CLOSED;
}

/* ---- callbacks of store/http and store/registry; on the fetch thread ---- */

static bool allow(void *ctx, str text, struct err *e)
{
	struct upstreams *u = ctx;
	struct url at;

	if (url_parse(&at, text, e) < 0)
		return false;
	struct origin *o = at.userinfo.p ? NULL : origin_find(u, &at);
	pthread_mutex_lock(&u->lock);
	bool ok = o && breaker_lets(u, o, e);
	u->denied += !o;
	pthread_mutex_unlock(&u->lock);
	if (!o)
		err_set(e, ERR_POLICY, "this server may not fetch from there: the origin is not among its upstreams");
	return ok;
}

static bool allow_private(void *ctx, str text)
{
	struct url at;
	struct err e;

	if (url_parse(&at, text, &e) < 0)
		return false;
	const struct origin *o = origin_find(ctx, &at);
	return o && o->private_addresses;
}

static void observe(void *ctx, str text, long status, int code)
{
	struct upstreams *u = ctx;
	struct url at;
	struct err e;

	if (url_parse(&at, text, &e) < 0 || code == ERR_BUSY || code == ERR_POLICY || code == ERR_CANCELLED)
		return; /* it was not asked */
	struct origin *o = origin_find(u, &at);
	if (!o)
		return;
	pthread_mutex_lock(&u->lock);
	if (status >= 500 ||
		(code < 0 && (status == 0 || code == ERR_TIMEOUT || (code == ERR_NET && status / 100 == 2))))
		breaker_failed(u, o);
	else
		breaker_answered(o);
	pthread_mutex_unlock(&u->lock);
}

void upstreams_guard(struct upstreams *u, struct http_opts *o)
{
	o->private_addresses = false;
	o->allow = allow;
	o->allow_private = allow_private;
	o->allow_ctx = u;
}

void upstreams_credentials(struct upstreams *u, struct registry_opts *o)
{
	o->auth = u->auth;
	o->nauth = u->nauth;
	o->auth_hint = STR("this server's operator sets credentials for its upstreams");
	o->observe = observe;
	o->observe_ctx = u;
}

/* ---- routes ---- */

static const struct upstream *owner_of(const struct upstreams *u, str name)
{
	str scope, rest;

	if (name.n && name.p[0] == '@') {
		str_cut(name, '/', &scope, &rest);
		const struct upstream *up = scope_owner(u, scope);
		if (up)
			return up;
	}
	for (size_t i = 0; i < u->nup; i++) {
		if (u->up[i].is_default)
			return &u->up[i];
	}
	return NULL;
}

static bool means(const struct upstream *up, str asked)
{
	while (asked.n && asked.p[asked.n - 1] == '/')
		asked.n--;
	if (str_eq(str_head(up->url, up->url.n - 1), asked))
		return true;
	for (size_t i = 0; i < up->aliases.n; i++) {
		if (str_eq(str_head(up->aliases.p[i], up->aliases.p[i].n - 1), asked))
			return true;
	}
	return false;
}

int upstream_route(str *url, const struct upstreams *u, str name, str asked, struct err *e)
{
	AUTO(buf_release) struct buf shown = BUF_INIT;
	const struct upstream *up = owner_of(u, name);

	if (!up)
		return err_set(e, ERR_POLICY, "this server has no upstream for package " STR_FMT, STR_ARG(name));
	if (asked.n && !means(up, asked)) {
		url_put_public(&shown, asked);
		return err_set(e, ERR_POLICY,
			"package " STR_FMT " is asked from " STR_FMT ", but this server takes it from upstream " STR_FMT
			" (" STR_FMT "); use that registry, or --direct",
			STR_ARG(name), STR_ARG(buf_str(&shown)), STR_ARG(up->name), STR_ARG(up->url));
	}
	*url = up->url;
	return 0;
}

/* URL with the base FROM replaced by TO; both with trailing slash. */
static str rebase(str url, str from, str to, struct arena *a)
{
	return arena_printf(a, STR_FMT STR_FMT, STR_ARG(to), STR_ARG(str_from(url, from.n)));
}

str upstream_alias_of(const struct upstreams *u, str name, str asked, str url, struct arena *a)
{
	const struct upstream *up = owner_of(u, name);

	if (!up || !means(up, asked) || str_eq(up->url, asked) || !str_starts(url, up->url))
		return url;
	return rebase(url, up->url, str_ends(asked, STR("/")) ? asked : with_slash(a, asked), a);
}

str upstream_of_alias(const struct upstreams *u, str name, str url, struct arena *a)
{
	const struct upstream *up = owner_of(u, name);

	for (size_t i = 0; up && i < up->aliases.n; i++) {
		if (str_starts(url, up->aliases.p[i]))
			return rebase(url, up->aliases.p[i], up->url, a);
	}
	return url;
}

/* Whose credential store/registry will send to AT: the longest prefix counts, as there. NULL: none. */
static const struct upstream *credential_of(const struct upstreams *u, const struct url *at)
{
	const struct upstream *best = NULL;

	for (size_t i = 0; i < u->nup && !url_has_dots(at); i++) {
		const struct upstream *up = &u->up[i];
		if (up->authorization.n && url_same_origin(&up->at, at) && url_path_below(at->path, up->at.path) &&
			(!best || up->at.path.n > best->at.path.n))
			best = up;
	}
	return best;
}

int upstream_tarball(const struct upstreams *u, str name, str url, struct err *e)
{
	AUTO(buf_release) struct buf shown = BUF_INIT;
	const struct upstream *own = name.n ? owner_of(u, name) : NULL;
	struct url at;

	if (url_parse(&at, url, e) < 0)
		return err_set(e, ERR_POLICY, "the tarball of " STR_FMT " has a malformed URL", STR_ARG(name));
	url_put_public(&shown, url);
	if (at.userinfo.p || !origin_find(u, &at))
		return err_set(e, ERR_POLICY,
			"the tarball " STR_FMT " " STR_FMT " is at an origin that is not among this server's upstreams",
			STR_ARG(name), STR_ARG(buf_str(&shown)));
	const struct upstream *credential = credential_of(u, &at);
	if (credential && credential != own)
		return err_set(e, ERR_POLICY,
			"the tarball " STR_FMT " " STR_FMT
			" is at an upstream that needs a credential and that this package does not come from",
			STR_ARG(name), STR_ARG(buf_str(&shown)));
	return 0;
}

/* ---- figures ---- */

bool upstream_health(struct upstreams *u, size_t i, struct upstream_health *out)
{
	if (i >= u->norigins)
		return false;
	pthread_mutex_lock(&u->lock);
	*out = u->origin[i].health;
	int64_t left = u->origin[i].until_ms - u->o.now_ms(u->o.now_ctx);
	out->retry_in_ms = out->state == UPSTREAM_OPEN && left > 0 ? left : 0;
	pthread_mutex_unlock(&u->lock);
	return true;
}

uint64_t upstreams_denied(struct upstreams *u)
{
	pthread_mutex_lock(&u->lock);
	uint64_t n = u->denied;
	pthread_mutex_unlock(&u->lock);
	return n;
}
