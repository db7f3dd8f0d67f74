#include "registry.h"
#include "url.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#define DEFAULT_MAX_TARBALL ((uint64_t)1 << 30)
/* A download that brought this much before it broke off has not failed: it goes on, however often that happens. */
#define PROGRESS ((uint64_t)1 << 20)

struct credential {
	struct url url;
	_Atomic(const str *) authorization; /* replaced whole: other threads read it */
};
struct registry {
	struct http *http;
	struct registry_opts o;
	struct arena text;
	struct credential *credential;
	size_t ncredentials;
	uint64_t random; /* fetch thread only */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned live; /* requests under way */
};

/* A request and its attempts. */
struct job {
	struct registry *r;
	str url, name, base;
	struct arena text;
	unsigned attempt; /* that failed so far */
	bool sent_credential;
	registry_packument_done *packument_done;
	void (*modified_done)(void *arg, int64_t ms);
	struct registry_tarball tarball;
	uint64_t at, best; /* bytes of the tarball that are there; that were when an attempt failed */
	void *arg;
	/* What `again` found of the last attempt, for `done`. */
	bool judged;
	int verdict;
	struct err *why; /* made when it ends: thousands wait at once */
};

/* ---- URLs and credentials ---- */

/* "<registry>/@scope%2fname" */
static void put_packument_url(struct buf *out, str registry_url, str name)
{
	while (registry_url.n && registry_url.p[registry_url.n - 1] == '/')
		registry_url.n--;
	buf_add(out, registry_url);
	buf_addc(out, '/');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '/')
			buf_add(out, STR("%2f"));
		else
			buf_addc(out, name.p[i]);
	}
}

str registry_authorization(const struct registry *r, str url)
{
	const struct credential *best = NULL;
	struct url u;
	struct err e;

	if (url_parse(&u, url, &e) < 0 || url_has_dots(&u))
		return STR_NONE;
	for (size_t i = 0; i < r->ncredentials; i++) {
		const struct credential *c = &r->credential[i];
		if (url_same_origin(&u, &c->url) && url_path_below(u.path, c->url.path) &&
			(!best || c->url.path.n > best->url.path.n))
			best = c;
	}
	return best ? *atomic_load(&best->authorization) : STR_NONE;
}

static bool header_safe(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

static const str *value_new(struct registry *r, str authorization)
{
	str *v = arena_new(&r->text, str, 1);

	*v = arena_str(&r->text, authorization);
	return v;
}

static int add_credential(struct registry *r, const struct registry_auth *a, struct err *e)
{
	struct credential *c = &r->credential[r->ncredentials];
	AUTO(buf_release) struct buf shown = BUF_INIT;

	if (url_parse(&c->url, arena_str(&r->text, a->url), e) < 0)
		return err_ctx(e, "credential");
	url_put_public(&shown, a->url);
	if (!header_safe(a->authorization))
		return err_set(e, ERR_USAGE, "the credential for " STR_FMT " has a line break or control character",
			STR_ARG(buf_str(&shown)));
	atomic_init(&c->authorization, value_new(r, a->authorization));
	r->ncredentials++;
	return 0;
}

int registry_new(struct registry **out, struct http *h, const struct registry_opts *o, struct err *e)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	struct timespec now;

	r->http = h;
	r->o = *o;
	if (r->o.retries == 0)
		r->o.retries = 2;
	if (o->no_retries)
		r->o.retries = 0;
	r->o.retry_min_ms = o->retry_min_ms ? o->retry_min_ms : 1000;
	r->o.retry_max_ms = o->retry_max_ms ? o->retry_max_ms : 60000;
	r->o.user_agent = arena_str(&r->text, o->user_agent.n ? o->user_agent : STR("dray/" DRAY_VERSION));
	r->o.auth_hint = arena_str(&r->text, o->auth_hint);
	clock_gettime(CLOCK_REALTIME, &now);
	r->random = (uint64_t)now.tv_nsec * 2654435761u + (uintptr_t)r + 1;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
	r->credential = arena_new(&r->text, struct credential, o->nauth);
	int rc = header_safe(r->o.user_agent) ? 0 : err_set(e, ERR_USAGE, "the user agent has a control character");
	for (size_t i = 0; i < o->nauth && rc == 0; i++)
		rc = add_credential(r, &o->auth[i], e);
	if (rc < 0) {
		registry_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

unsigned registry_retries(const struct registry *r)
{
	return r->o.retries;
}

bool registry_reauthorize(struct registry *r, str url, str authorization)
{
	for (size_t i = 0; i < r->ncredentials && header_safe(authorization); i++) {
		struct credential *c = &r->credential[i];
		struct url u;
		struct err e;
		bool same = url_parse(&u, url, &e) == 0 && url_same_origin(&u, &c->url) &&
			    url_path_below(u.path, c->url.path) && url_path_below(c->url.path, u.path);
		if (!same)
			continue;
		/* The old value stays until the end: a request may be reading it. */
		if (!str_eq(*atomic_load(&c->authorization), authorization))
			atomic_store(&c->authorization, value_new(r, authorization));
		return true;
	}
	return false;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	while (r->live)
		pthread_cond_wait(&r->idle, &r->lock);
	pthread_mutex_unlock(&r->lock);
	pthread_cond_destroy(&r->idle);
	pthread_mutex_destroy(&r->lock);
	arena_release(&r->text);
	free(r);
}

/* ---- jobs ---- */

static struct job *job_new(struct registry *r, str name)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->r = r;
	j->text.chunk_size = 1024;
	j->name = arena_str(&j->text, name);
	pthread_mutex_lock(&r->lock);
	r->live++;
	pthread_mutex_unlock(&r->lock);
	return j;
}

static void job_free(struct job *j)
{
	struct registry *r = j->r;

	arena_release(&j->text);
	free(j->why);
	free(j);
	pthread_mutex_lock(&r->lock);
	if (--r->live == 0)
		pthread_cond_broadcast(&r->idle);
	pthread_mutex_unlock(&r->lock);
}

/* RFC 9110 5.6.7, the form that servers must send. */
static bool http_date(struct tm *out, str s)
{
	char text[64];

	memset(out, 0, sizeof(*out));
	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", out);
	return end && !*end;
}

static void put_headers(struct buf *b, struct job *j, const char *accept, str validator)
{
	struct tm tm;

	str auth = registry_authorization(j->r, j->url);

	buf_printf(b, "User-Agent: " STR_FMT "\nAccept: %s\n", STR_ARG(j->r->o.user_agent), accept);
	j->sent_credential = auth.n > 0;
	if (auth.n)
		buf_printf(b, "Authorization: " STR_FMT "\n", STR_ARG(auth));
	if (validator.n && header_safe(validator))
		buf_printf(b, "%s: " STR_FMT "\n", http_date(&tm, validator) ? "If-Modified-Since" : "If-None-Match",
			STR_ARG(validator));
}

/* ---- retries ---- */

/* Seconds or an HTTP date (RFC 9110 10.2.3), as milliseconds from now; -1 when there is none. */
static int64_t retry_after_ms(str s)
{
	uint64_t n;
	struct tm tm;

	if (str_u64(s, &n))
		return n < 1000000 ? (int64_t)n * 1000 : INT32_MAX;
	if (!http_date(&tm, s))
		return -1;
	int64_t ms = ((int64_t)timegm(&tm) - (int64_t)time(NULL)) * 1000;
	return ms > 0 ? ms : 0;
}

/* xorshift64*: to spread retries, not for secrets. */
static uint64_t draw(struct registry *r)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return r->random * 2685821657736338717u;
}

int64_t registry_backoff_ms(uint64_t random, unsigned attempt, int64_t min_ms, int64_t max_ms)
{
	int64_t ms = attempt < 20 ? min_ms << attempt : max_ms;

	if (ms > max_ms)
		ms = max_ms;
	return ms / 2 + (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

static int64_t backoff_ms(struct registry *r, unsigned attempt, str retry_after)
{
	int64_t ms = retry_after_ms(retry_after), most = r->o.retry_max_ms;

	if (ms < 0)
		return registry_backoff_ms(draw(r), attempt, r->o.retry_min_ms, most);
	return ms < most ? ms : most;
}

static bool transient_status(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static int64_t job_again(struct job *j, bool transient, const struct http_response *res)
{
	struct registry *r = j->r;

	/* One that came further than any before did not fail. */
	if (transient && !res->hopeless && j->tarball.done && res->status / 100 == 2 && j->at >= j->best + PROGRESS) {
		j->best = j->at;
		return backoff_ms(r, 0, STR_NONE);
	}
	if (!transient || res->hopeless || j->attempt >= r->o.retries)
		return -1;
	return backoff_ms(r, j->attempt++, res->retry_after);
}

static void observe(struct job *j, const struct http_response *res, int code)
{
	if (j->r->o.observe)
		j->r->o.observe(j->r->o.observe_ctx, j->url, res->status, code);
}

/* ---- errors in words ---- */

static void name_auth(struct job *j, long status, struct err *e)
{
	AUTO(buf_release) struct buf shown = BUF_INIT;

	url_put_public(&shown, j->base);
	str key = buf_str(&shown), scope = STR_NONE, rest;
	str_cut(key, ':', &rest, &key);
	if (j->name.n && j->name.p[0] == '@')
		str_cut(j->name, '/', &scope, &rest);
	err_set(e, ERR_AUTH, "the registry " STR_FMT " refused " STR_FMT " (%ld): %s%s" STR_FMT "; ",
		STR_ARG(buf_str(&shown)), STR_ARG(j->name), status,
		j->sent_credential ? "the credential that is set for it is not accepted"
				   : "no credential is set for it",
		scope.n ? ", scope " : "", STR_ARG(scope));
	size_t n = strlen(e->msg);
	if (j->r->o.auth_hint.n)
		snprintf(e->msg + n, sizeof(e->msg) - n, STR_FMT, STR_ARG(j->r->o.auth_hint));
	else
		snprintf(e->msg + n, sizeof(e->msg) - n, "put \"" STR_FMT "%s:_authToken=...\" into .npmrc",
			STR_ARG(key), str_ends(key, STR("/")) ? "" : "/");
}

/* A complete response with another status than 2xx and 304. */
static int name_status(struct job *j, long status, struct err *e)
{
	AUTO(buf_release) struct buf shown = BUF_INIT, url = BUF_INIT;

	url_put_public(&shown, j->base);
	url_put_public(&url, j->url);
	if (status == 404 && !j->tarball.done)
		return err_set(e, ERR_NOTFOUND, "package \"" STR_FMT "\" is not in the registry " STR_FMT,
			STR_ARG(j->name), STR_ARG(buf_str(&shown)));
	if (status == 404 || status == 410)
		return err_set(e, ERR_NOTFOUND, STR_FMT " of " STR_FMT " is not there (%ld)", STR_ARG(buf_str(&url)),
			STR_ARG(j->name), status);
	if (status == 401 || status == 403) {
		name_auth(j, status, e);
		return e->code;
	}
	return err_set(e, ERR_NET, "GET " STR_FMT " for " STR_FMT ": the registry answered %ld (%u attempt%s)",
		STR_ARG(buf_str(&url)), STR_ARG(j->name), status, j->attempt + 1, j->attempt ? "s" : "");
}

/* A transfer that failed: E already has method, URL and reason. */
static int name_failure(struct job *j, int code, const struct err *from, struct err *e)
{
	*e = *from;
	if (code == ERR_CANCELLED)
		return code;
	size_t n = strlen(e->msg);
	if (j->attempt && n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - n, " (%u attempts)", j->attempt + 1);
	return err_ctx(e, "package " STR_FMT, STR_ARG(j->name));
}

/* ---- what an attempt came to ---- */

static bool says(str header, const char *word)
{
	str head, rest;

	str_cut(header, ';', &head, &rest);
	head = str_trim(head);
	return head.n == strlen(word) && strncasecmp(head.p, word, head.n) == 0;
}

static bool is_gzip(const struct http_response *res)
{
	return says(res->content_encoding, "gzip") || says(res->content_encoding, "x-gzip");
}

/* Whether the body may be a packument, by what its headers say. */
static int check_body(struct job *j, const struct http_response *res, struct err *e)
{
	AUTO(buf_release) struct buf shown = BUF_INIT;
	int rc = 0;

	if (says(res->content_type, "text/html"))
		rc = err_set(e, ERR_PARSE, "the answer is HTML, not JSON; is this a registry?");
	else if (res->content_encoding.n && !is_gzip(res) && !says(res->content_encoding, "identity"))
		rc = err_set(e, ERR_UNSUPPORTED,
			"the answer has the content encoding \"" STR_FMT "\", which was not asked for",
			STR_ARG(str_head(res->content_encoding, 40)));
	if (rc == 0)
		return 0;
	url_put_public(&shown, j->url);
	return err_ctx(e, "package " STR_FMT ": GET " STR_FMT, STR_ARG(j->name), STR_ARG(buf_str(&shown)));
}

/* What a finished attempt came to: 0, or a code with E filled. *transient: another attempt may help. */
static int attempt_verdict(struct job *j, int code, const struct http_response *res, const struct err *from,
	bool *transient, struct err *e)
{
	*transient = code == ERR_NET || code == ERR_TIMEOUT;
	if (code != 0)
		return name_failure(j, code, from, e);
	if (j->packument_done && res->status == 304)
		return 0;
	*transient = transient_status(res->status);
	if (res->status / 100 != 2)
		return name_status(j, res->status, e);
	int rc = j->packument_done ? check_body(j, res, e) : 0;
	*transient = rc == ERR_PARSE;
	return rc;
}

static struct err *why_of(struct job *j)
{
	if (!j->why)
		j->why = xcalloc(1, sizeof(*j->why));
	return j->why;
}

static int64_t attempt_again(void *arg, int code, const struct http_response *res, str body, struct err *e)
{
	struct job *j = arg;
	bool transient;

	(void)body;
	j->judged = true;
	j->verdict = attempt_verdict(j, code, res, e, &transient, why_of(j));
	observe(j, res, j->verdict);
	return j->verdict == 0 ? -1 : job_again(j, transient, res);
}

/* The verdict on the last attempt, of which `again` may not have been told. */
static int last_verdict(struct job *j, int code, const struct http_response *res, const struct err *from)
{
	bool transient;

	if (!j->judged || code == ERR_CANCELLED)
		j->verdict = attempt_verdict(j, code, res, from, &transient, why_of(j));
	return j->verdict;
}

/* ---- packuments ---- */

static int64_t max_age_of(str cache_control)
{
	size_t at = cache_control.n ? str_find_str(cache_control, STR("max-age="), 0) : SIZE_MAX;
	uint64_t n;

	if (at == SIZE_MAX)
		return -1;
	str digits = str_from(cache_control, at + 8);
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			digits.n = i;
	}
	return str_u64(digits, &n) && n <= INT32_MAX ? (int64_t)n : -1;
}

static void packument_done(void *arg, int code, const struct http_response *res, str body, const struct err *from)
{
	struct job *j = arg;
	int rc = last_verdict(j, code, res, from);

	if (rc < 0) {
		j->packument_done(j->arg, rc, NULL, why_of(j));
	} else {
		struct registry_packument p = {
			.not_modified = res->status == 304,
			.raw = body,
			.memory = res->memory,
			.gzip = is_gzip(res),
			.validator = res->etag.n ? res->etag : res->last_modified,
			.max_age_s = max_age_of(res->cache_control),
		};
		j->packument_done(j->arg, 0, &p, why_of(j));
	}
	job_free(j);
}

/* Before most tarballs: they cannot be known without. */
enum { PACKUMENT_PRIORITY = 1000 };
/* Registries that know no abbreviated form answer with the full one. */
static const char *const packument_accept[] = {
	[PACKUMENT_ABBREVIATED] = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
	[PACKUMENT_FULL] = "application/json; q=1.0, */*"
};

void registry_packument(struct registry *r, str registry_url, str name, enum packument_form form, str validator,
	bool holdable, registry_packument_done *done, void *arg)
{
	AUTO(buf_release) struct buf url = BUF_INIT, headers = BUF_INIT;
	struct job *j = job_new(r, name);

	j->base = arena_str(&j->text, registry_url);
	j->packument_done = done;
	j->arg = arg;
	put_packument_url(&url, registry_url, name);
	j->url = arena_str(&j->text, buf_str(&url));
	put_headers(&headers, j, packument_accept[form], validator);
	buf_add(&headers, STR("Accept-Encoding: gzip\n"));
	http_start(r->http, &(struct http_request){ .url = j->url,
				    .headers = buf_str(&headers),
				    .max_body = PACKUMENT_MAX_JSON,
				    .version = HTTP_VERSION_2,
				    .priority = PACKUMENT_PRIORITY,
				    .small = true,
				    .holdable = holdable,
				    .again = attempt_again,
				    .done = packument_done,
				    .arg = j });
}

void registry_hold(struct registry *r, bool held)
{
	http_hold(r->http, held);
}

/* ---- when a packument changed ---- */

static void modified_done(void *arg, int code, const struct http_response *res, str body, const struct err *e)
{
	struct job *j = arg;
	struct tm tm;

	(void)body, (void)e;
	bool known = code == 0 && res->status / 100 == 2 && http_date(&tm, res->last_modified);
	j->modified_done(j->arg, known ? (int64_t)timegm(&tm) * 1000 : 0);
	job_free(j);
}

void registry_modified(struct registry *r, str registry_url, str name, void (*done)(void *arg, int64_t ms), void *arg)
{
	AUTO(buf_release) struct buf url = BUF_INIT, headers = BUF_INIT;
	struct job *j = job_new(r, name);

	j->modified_done = done;
	j->arg = arg;
	put_packument_url(&url, registry_url, name);
	j->url = arena_str(&j->text, buf_str(&url));
	put_headers(&headers, j, packument_accept[PACKUMENT_ABBREVIATED], STR_NONE);
	buf_add(&headers, STR("Accept-Encoding: gzip\n"));
	http_start(r->http, &(struct http_request){ .url = j->url,
				    .method = STR("HEAD"),
				    .headers = buf_str(&headers),
				    .version = HTTP_VERSION_2,
				    .priority = PACKUMENT_PRIORITY,
				    .small = true,
				    .done = modified_done,
				    .arg = j });
}

/* ---- tarballs ---- */

static void tarball_done(void *arg, int code, const struct http_response *res, str body, const struct err *from)
{
	struct job *j = arg;
	int rc = last_verdict(j, code, res, from);

	(void)body;
	j->tarball.done(j->tarball.arg, rc, res->received, why_of(j));
	job_free(j);
}

static ptrdiff_t tarball_data(void *arg, const void *p, size_t n)
{
	struct job *j = arg;
	ptrdiff_t took = j->tarball.data(j->tarball.arg, p, n);

	if (!p)
		j->at = 0; /* it starts over */
	else if (took > 0)
		j->at += (uint64_t)took;
	return took;
}

static void tarball_length(void *arg, uint64_t n)
{
	struct job *j = arg;

	j->tarball.length(j->tarball.arg, n);
}

/* The head of URL up to its path's slash, for messages about credentials. */
static str origin_of(str url)
{
	struct url u;
	struct err e;

	if (url_parse(&u, url, &e) < 0)
		return url;
	size_t end = (size_t)(u.host.p + u.host.n - url.p);
	while (end < url.n && !strchr("/?#", url.p[end]))
		end++;
	return str_head(url, end);
}

struct http_call *registry_tarball(struct registry *r, const struct registry_tarball *t)
{
	AUTO(buf_release) struct buf headers = BUF_INIT;
	struct job *j = job_new(r, t->name);

	j->tarball = *t;
	j->url = arena_str(&j->text, t->url);
	j->base = origin_of(j->url);
	put_headers(&headers, j, "*/*", STR_NONE);
	return http_start(
		r->http, &(struct http_request){ .url = j->url,
				 .headers = buf_str(&headers),
				 .max_body = t->max_body ? t->max_body : DEFAULT_MAX_TARBALL,
				 .version = HTTP_VERSION_1, /* one CDN, many connections: faster than one shared */
				 .priority = t->priority,
				 .data = tarball_data,
				 .length = t->length ? tarball_length : NULL,
				 .resume = true,
				 .again = attempt_again,
				 .done = tarball_done,
				 .arg = j });
}
