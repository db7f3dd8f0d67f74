/* What npm, pnpm, yarn and bun ask of a registry: packuments, tarballs and the few commands that need no publishing.
 * Everything that writes is refused by name. Work that may wait runs on the surface's workers. */
#include "base/clock.h"
#include "base/json.h"
#include "integrity.h"
#include "name.h"
#include "npm_rewrite.h"
#include "route.h"
#include "surface.h"
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, MAX_HOST = 255 };
enum ask { ASK_PACKUMENT, ASK_TARBALL, ASK_LATER };

/* A request that waits or streams. The loop's thread owns all but what a worker fills in between surface_run() and its
 * message; while it waits for an upstream no thread does. */
struct reg_job {
	h2o_generator_t gen; /* first: h2o gives it back to us */
	struct loop_call call;
	struct surface_task task;
	struct flight_waiter waiter;
	struct doc_waiter doc_waiter;
	struct surface_ask asks;
	_Atomic unsigned refs; /* the response; the task, or what it waits for, or whoever will send the message */
	struct arena a;
	struct surface *surface;
	struct loop *loop;
	struct reg_job *next, *prev;
	h2o_req_t *req;          /* NULL once the response has ended or the client left */
	struct reg_job **handle; /* in the request's pool: tells us that it is gone */
	enum ask ask;
	str name, version, base, rewrite, if_none_match;
	enum packument_form form;
	bool gzip, head_only, started;
	bool asked;  /* `asks` has landed */
	bool called; /* the loop has had its first message */
	struct doc *doc;
	struct doc_plain *plain; /* for who takes no gzip */
	enum doc_age age;
	struct tarball_src src;
	uint64_t at;
	unsigned generation;
	char *buf;       /* of the request's pool */
	int64_t send_ms; /* since when its peer has something to take; 0: it waits for us */
	struct err err;
	struct later later; /* and what it gave: */
	struct buf answer;
	pthread_mutex_t lock; /* both below */
	bool gone;
};

static void job_unref(struct reg_job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	doc_release(j->doc);
	doc_plain_release(j->plain);
	if (j->asks.r)
		meta_record_release(j->asks.r);
	flight_release(j->src.flight);
	if (j->src.fd >= 0 && !j->src.flight)
		close(j->src.fd);
	buf_release(&j->answer);
	pthread_mutex_destroy(&j->lock);
	struct arena a = j->a;
	free(j);
	arena_release(&a);
}

static bool job_gone(struct reg_job *j)
{
	pthread_mutex_lock(&j->lock);
	bool gone = j->gone;
	pthread_mutex_unlock(&j->lock);
	return gone;
}

/* Hands its reference to the loop, unless nobody waits there any more. */
static void job_post(struct reg_job *j)
{
	pthread_mutex_lock(&j->lock);
	bool gone = j->gone;
	if (!gone) {
		j->call.super = (h2o_multithread_message_t){ { NULL, NULL } };
		h2o_multithread_send_message(&j->loop->calls, &j->call.super);
	}
	pthread_mutex_unlock(&j->lock);
	if (gone)
		job_unref(j);
}

/* ---- the response; on the loop ---- */

static void job_end(struct reg_job *j)
{
	j->req = NULL;
	*j->handle = NULL;
	*(j->prev ? &j->prev->next : &j->loop->registry_jobs) = j->next;
	if (j->next)
		j->next->prev = j->prev;
	j->loop->njobs--;
	pthread_mutex_lock(&j->lock);
	j->gone = true;
	pthread_mutex_unlock(&j->lock);
	job_unref(j);
}

static void on_dispose(void *arg)
{
	struct reg_job *j = *(struct reg_job **)arg;

	if (!j)
		return;
	/* What waits for an upstream is to be no more than the requests that do. */
	if (!j->called && surface_doc_leave(j->surface, &j->doc_waiter))
		job_unref(j);
	job_end(j);
}

/* The last bytes of a stream, which lie in the request's pool. */
static void job_send_last(struct reg_job *j, h2o_iovec_t v, bool ok)
{
	h2o_req_t *req = j->req;
	uint64_t n = j->at;

	job_end(j);
	if (ok)
		answer_tail(req, n, v.len);
	h2o_send(req, &v, v.len ? 1 : 0, ok ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_ERROR);
}

static bool is_head(const h2o_req_t *req)
{
	return h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
}

/* The response starts only now: HTTP/1.1 decides then whether the connection can be kept. */
static void job_send_all(struct reg_job *j, h2o_iovec_t v)
{
	h2o_req_t *req = j->req;

	job_end(j);
	answer_bytes(req, v.base, v.len);
}

static void head(h2o_req_t *req, int status, const char *type, size_t length)
{
	req->res.status = status;
	req->res.reason = "";
	req->res.content_length = length;
	if (type)
		h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
}

static void job_send_error(struct reg_job *j)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	/* A client's credential is not at fault when it is the upstream that refuses this server. */
	int status = j->err.code == ERR_AUTH && j->ask != ASK_LATER ? 502 : err_http_status(j->err.code);

	if (status == 503)
		answer_header(j->req, "retry-after", STR("5"));
	answer_json(&b, j->err.code, str_of(j->err.msg));
	head(j->req, status, "application/json", b.n);
	job_send_all(j, h2o_strdup(&j->req->pool, b.p, b.n));
}

static void say_age(h2o_req_t *req, const struct doc *d, enum doc_age age)
{
	static const char *const name[] = { "fresh", "stale", "upstream-down" };

	if (age == DOC_FRESH && atomic_load(&d->down))
		age = DOC_UPSTREAM_DOWN;
	answer_header(req, "dray-cache", str_of(name[age]));
	if (age == DOC_UPSTREAM_DOWN)
		answer_header(req, "warning", STR("111 drayd \"Revalidation Failed\"")); /* RFC 7234 5.5.4 */
}

static bool etag_in(str list, const char *etag)
{
	return str_eq(list, STR("*")) || str_find_str(list, str_of(etag), 0) != SIZE_MAX;
}

static void doc_drop(void *held)
{
	doc_release(*(struct doc **)held);
}

static void plain_drop(void *held)
{
	doc_plain_release(*(struct doc_plain **)held);
}

/* Headers and body of D. The bytes are D's, or those of PLAIN, which is taken, for who takes no gzip; the request holds
 * either from here on: who takes nothing of a hundred answers does not make a hundred copies. */
static h2o_iovec_t doc_answer(h2o_req_t *req, struct doc *d, enum doc_age age, enum packument_form form,
	str if_none_match, bool gzip, struct doc_plain *plain)
{
	const char *type = form == PACKUMENT_FULL ? "application/json" : "application/vnd.npm.install-v1+json";

	answer_header(req, "etag", str_of(d->etag));
	answer_header(req, "cache-control", STR("private, max-age=60"));
	answer_header(req, "vary", STR("accept, accept-encoding, authorization"));
	say_age(req, d, age);
	if (plain) {
		struct doc_plain **held = h2o_mem_alloc_shared(&req->pool, sizeof(struct doc_plain *), plain_drop);
		*held = plain;
	}
	if (etag_in(if_none_match, d->etag)) {
		head(req, 304, NULL, SIZE_MAX);
		return h2o_iovec_init(NULL, 0);
	}
	head(req, 200, type, gzip ? d->n : plain ? plain->n : d->plain);
	if (!gzip)
		return h2o_iovec_init(plain ? plain->p : NULL, plain ? plain->n : 0); /* none: of HEAD */
	answer_header(req, "content-encoding", STR("gzip"));
	struct doc **held = h2o_mem_alloc_shared(&req->pool, sizeof(struct doc *), doc_drop);
	atomic_fetch_add(&d->refs, 1);
	*held = d;
	return h2o_iovec_init(d->gz, d->n);
}

/* Whether D has to be unpacked for that answer. What is rewritten has a length of its own, which HEAD tells, too. */
static bool wants_plain(const struct doc *d, bool gzip, bool head_only, str rewrite, str if_none_match)
{
	return (rewrite.n || (!gzip && !head_only)) && !etag_in(if_none_match, d->etag);
}

static void doc_send(struct reg_job *j)
{
	struct doc_plain *plain = j->plain;

	j->plain = NULL;
	job_send_all(j, doc_answer(j->req, j->doc, j->age, j->form, j->if_none_match, j->gzip, plain));
}

static void later_send(struct reg_job *j)
{
	auth_changed(j->loop->s->auth); /* without it, a second later */
	head(j->req, j->later.status, "application/json", j->answer.n);
	answer_header(j->req, "cache-control", STR("no-store"));
	job_send_all(j, h2o_strdup(&j->req->pool, j->answer.p, j->answer.n));
}

static void tarball_head(struct reg_job *j)
{
	h2o_req_t *req = j->req;

	answer_header(req, "etag", str_of(j->src.etag));
	answer_header(req, "cache-control", STR("private, max-age=31536000, immutable"));
	head(req, 200, "application/octet-stream", j->src.flight ? SIZE_MAX : j->src.size);
}

static void tarball_start(struct reg_job *j)
{
	h2o_req_t *req = j->req;

	tarball_head(j);
	j->buf = h2o_mem_alloc_pool(&req->pool, CHUNK);
	j->started = true;
	h2o_start_response(req, &j->gen);
}

static const char *flight_fault(const struct flight_state *st)
{
	if (st->own)
		return st->code == ERR_NOSPACE ? "drayd has no room for the tarball" : "drayd cannot write the tarball";
	return st->code == ERR_INTEGRITY
		       ? "the upstream's bytes have another digest than its packument states: the tarball"
		       : "the upstream did not give the tarball";
}

/* What there is; waits for the fetch when there is nothing more yet. */
static void tarball_send(struct reg_job *j)
{
	struct flight_state st = { .size = j->src.size, .ended = true };

	if (j->src.flight) {
		atomic_fetch_add(&j->refs, 1); /* the waiter's, if it comes to that */
		if (flight_look(j->src.flight, &st, j->at, &j->waiter))
			return;
		job_unref(j);
	}
	if (!j->started && st.ended && st.code < 0) {
		err_set(&j->err, st.code, "%s of " STR_FMT "@" STR_FMT, flight_fault(&st), STR_ARG(j->name),
			STR_ARG(j->version));
		job_send_error(j);
		return;
	}
	if (j->head_only) { /* a body would be taken for the next answer: h2o sends what a generator gives it */
		tarball_head(j);
		job_send_all(j, h2o_iovec_init(H2O_STRLIT("")));
		return;
	}
	if (!j->started) {
		tarball_start(j);
		j->generation = st.generation;
	}
	j->send_ms = clock_ms();
	size_t want = st.size - j->at < CHUNK ? (size_t)(st.size - j->at) : CHUNK;
	ssize_t n = want ? pread(j->src.fd, j->buf, want, (off_t)j->at) : 0;
	bool bad = n < (ssize_t)want || st.generation != j->generation || (st.ended && st.code < 0);
	j->at += n > 0 ? (uint64_t)n : 0;
	h2o_iovec_t v = h2o_iovec_init(j->buf, n > 0 ? (size_t)n : 0);
	if (bad || (st.ended && j->at == st.size))
		job_send_last(j, v, !bad);
	else
		h2o_send(j->req, &v, v.len ? 1 : 0, H2O_SEND_STATE_IN_PROGRESS);
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
	struct reg_job *j = (struct reg_job *)gen;

	(void)req;
	j->send_ms = 0;
	tarball_send(j);
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)gen;
	count_reset(req); /* the pool disposes */
}

void h_registry_tick(struct loop *l, int64_t now_ms)
{
	int64_t most = (int64_t)l->s->config->stall_s * 1000;

	for (struct reg_job *j = l->registry_jobs; j; j = j->next) {
		if (!j->send_ms || now_ms - j->send_ms < most)
			continue;
		stalled(j->req, now_ms - j->send_ms);
		j->send_ms = now_ms;
	}
}

/* A worker has an answer, or a flight more bytes. */
static void on_call(struct loop_call *call)
{
	struct reg_job *j = H2O_STRUCT_FROM_MEMBER(struct reg_job, call, call);

	j->called = true;
	if (j->req) {
		if (j->err.code < 0)
			job_send_error(j);
		else if (j->ask == ASK_LATER)
			later_send(j);
		else if (j->ask == ASK_TARBALL)
			tarball_send(j);
		else
			doc_send(j);
	}
	job_unref(j);
}

static void on_wake(struct flight_waiter *w)
{
	job_post(H2O_STRUCT_FROM_MEMBER(struct reg_job, waiter, w));
}

void h_registry_abandon(struct loop *l)
{
	for (struct reg_job *j = l->registry_jobs; j; j = j->next) {
		pthread_mutex_lock(&j->lock);
		j->gone = true;
		pthread_mutex_unlock(&j->lock);
	}
}

/* ---- on a worker ---- */

static void job_done(struct reg_job *j, int rc)
{
	if (rc == 0)
		j->err.code = 0;
	job_post(j);
}

static void doc_done(struct reg_job *j, int rc)
{
	if (rc == 0 && wants_plain(j->doc, j->gzip, j->head_only, j->rewrite, j->if_none_match))
		rc = doc_plain_new(&j->plain, j->surface, j->doc, j->rewrite, j->name, &j->err);
	job_done(j, rc);
}

static void on_doc(struct doc_waiter *w, struct doc *d, enum doc_age age, const struct err *e)
{
	struct reg_job *j = H2O_STRUCT_FROM_MEMBER(struct reg_job, doc_waiter, w);

	j->doc = d;
	j->age = age;
	if (!d)
		j->err = *e;
	if (job_gone(j))
		job_unref(j);
	else
		doc_done(j, d ? 0 : j->err.code);
}

static void doc_run(struct reg_job *j)
{
	int rc = surface_doc(&j->doc, &j->age, j->surface, j->name, j->form, j->base, &j->doc_waiter, &j->err);

	if (rc != SURFACE_ASKS) /* else it may be gone */
		doc_done(j, rc);
}

static void on_asked(struct surface_ask *k)
{
	struct reg_job *j = H2O_STRUCT_FROM_MEMBER(struct reg_job, asks, k);

	j->asked = true;
	if (!surface_run(j->surface, &j->task))
		job_done(j, err_set(&j->err, ERR_BUSY, "too many requests wait for the registry's workers"));
}

static void tarball_run(struct reg_job *j)
{
	int rc =
		surface_tarball(&j->src, j->surface, j->name, j->version, j->base, j->asked ? &j->asks : NULL, &j->err);

	if (rc == SURFACE_ASKS && j->asked) /* what the upstream says now is not old */
		rc = err_set(&j->err, ERR_NOTFOUND, "package " STR_FMT " has no version " STR_FMT, STR_ARG(j->name),
			STR_ARG(j->version));
	if (rc == SURFACE_ASKS)
		rc = surface_ask(j->surface, &j->asks, j->name, &j->err) < 0 ? j->err.code : SURFACE_ASKS;
	if (rc != SURFACE_ASKS) /* else it may be gone */
		job_done(j, rc);
}

static void task_run(struct surface_task *t)
{
	struct reg_job *j = H2O_STRUCT_FROM_MEMBER(struct reg_job, task, t);

	if (j->ask != ASK_LATER && job_gone(j)) /* while it waited for this thread */
		job_unref(j);
	else if (j->ask == ASK_LATER)
		job_done(j, j->later.work(&j->later, &j->answer, &j->err));
	else if (j->ask == ASK_TARBALL)
		tarball_run(j);
	else
		doc_run(j);
}

static void task_drop(struct surface_task *t)
{
	job_unref(H2O_STRUCT_FROM_MEMBER(struct reg_job, task, t));
}

/* ---- requests ---- */

static str header_of(h2o_req_t *req, const h2o_token_t *token)
{
	ssize_t i = h2o_find_header(&req->headers, token, -1);

	return i < 0 ? STR_NONE : (str){ req->headers.entries[i].value.base, req->headers.entries[i].value.len };
}

/* The path without query, %XX decoded; lives as long as REQ. False: malformed, or a NUL in it. */
static bool path_decode(str *out, h2o_req_t *req)
{
	size_t n = req->query_at == SIZE_MAX ? req->path.len : req->query_at;

	return npm_unescape(out, h2o_mem_alloc_pool(&req->pool, n + 1), (str){ req->path.base, n });
}

/* How the client reaches this server: "http://host:port/". False: its Host is none. */
static bool base_of(str *out, h2o_req_t *req)
{
	const struct config *c = req_loop(req)->s->config;
	h2o_iovec_t host = req->authority;

	*out = c->public_url;
	if (out->n)
		return true;
	/* Who names none gets the one that h2o has for all. */
	const h2o_iovec_t *none = &req->hostconf->authority.hostport;
	if (h2o_memis(host.base, host.len, none->base, none->len))
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char x = host.base[i];
		if (!(x >= '0' && x <= '9') && !((x | 0x20) >= 'a' && (x | 0x20) <= 'z') && !strchr(".-:[]_", x))
			return false;
	}
	if (host.len == 0 || host.len > MAX_HOST)
		return false;
	h2o_iovec_t v = h2o_concat(&req->pool, req->scheme->name, h2o_iovec_init(H2O_STRLIT("://")), host,
		h2o_iovec_init(H2O_STRLIT("/")));
	*out = (str){ v.base, v.len };
	return true;
}

static bool wants_short(h2o_req_t *req)
{
	return str_find_str(header_of(req, H2O_TOKEN_ACCEPT), STR("application/vnd.npm.install-v1+json"), 0) !=
	       SIZE_MAX;
}

/* Of which package and version; with the URLs of BASE, or, unless that is empty, REWRITE instead. */
struct wanted {
	str name, version, base, rewrite;
};

/* Takes D. */
static int doc_now(
	h2o_req_t *req, struct surface *s, struct doc *d, const struct wanted *w, enum packument_form form, bool gzip)
{
	str match = header_of(req, H2O_TOKEN_IF_NONE_MATCH);
	struct doc_plain *plain = NULL;
	struct err e;

	if (wants_plain(d, gzip, is_head(req), w->rewrite, match) &&
		doc_plain_new(&plain, s, d, w->rewrite, w->name, &e) < 0) {
		answer_error(req, &e);
	} else {
		h2o_iovec_t v = doc_answer(req, d, DOC_FRESH, form, match, gzip, plain);
		answer_bytes(req, v.base, v.len);
	}
	doc_release(d);
	return 0;
}

/* Two references: the response's, the task's. */
static struct reg_job *job_new(h2o_req_t *req, struct surface *s, enum ask ask)
{
	struct reg_job *j = xcalloc(1, sizeof(*j));

	j->a.chunk_size = 1024;
	j->gen = (h2o_generator_t){ on_proceed, on_stop };
	j->call.run = on_call;
	j->task = (struct surface_task){ task_run, task_drop };
	j->waiter.wake = on_wake;
	j->doc_waiter.landed = on_doc;
	j->asks.landed = on_asked;
	atomic_init(&j->refs, 2);
	pthread_mutex_init(&j->lock, NULL);
	j->surface = s;
	j->src.fd = -1;
	j->ask = ask;
	j->loop = req_loop(req);
	return j;
}

static int job_start(struct reg_job *j, h2o_req_t *req)
{
	if (!surface_run(j->surface, &j->task)) {
		job_unref(j);
		job_unref(j);
		return answer_status(req, 503, ERR_BUSY, "too many requests wait for the registry's workers");
	}
	j->req = req;
	j->next = j->loop->registry_jobs;
	if (j->next)
		j->next->prev = j;
	j->loop->registry_jobs = j;
	j->loop->njobs++;
	j->handle = h2o_mem_alloc_shared(&req->pool, sizeof(struct reg_job *), on_dispose);
	*j->handle = j;
	return 0;
}

int h_registry_later(h2o_req_t *req, const struct later *l)
{
	const struct backend *b = req_loop(req)->s->backend;
	struct reg_job *j = job_new(req, b->surface(b->ctx), ASK_LATER);

	j->later = *l;
	j->later.name = arena_str(&j->a, l->name);
	j->later.tokens = arena_str(&j->a, l->tokens);
	return job_start(j, req);
}

static int package_start(h2o_req_t *req, struct surface *s, enum ask ask, const struct wanted *w)
{
	enum packument_form form = wants_short(req) ? PACKUMENT_ABBREVIATED : PACKUMENT_FULL;
	bool gzip =
		!w->rewrite.n && str_find_str(header_of(req, H2O_TOKEN_ACCEPT_ENCODING), STR("gzip"), 0) != SIZE_MAX;
	struct doc *d = ask == ASK_PACKUMENT ? surface_doc_peek(s, w->name, form, w->base) : NULL;

	if (d && (gzip || d->plain < 256 * 1024))
		return doc_now(req, s, d, w, form, gzip);
	doc_release(d);
	struct reg_job *j = job_new(req, s, ask);
	j->form = form;
	j->gzip = gzip;
	j->head_only = is_head(req);
	j->name = arena_str(&j->a, w->name);
	j->version = arena_str(&j->a, w->version);
	j->base = arena_str(&j->a, w->base);
	j->rewrite = arena_str(&j->a, w->rewrite);
	j->if_none_match = arena_str(&j->a, header_of(req, H2O_TOKEN_IF_NONE_MATCH));
	return job_start(j, req);
}

static int get_package(h2o_req_t *req, struct surface *s, const struct identity *who, str path)
{
	str name = path, file = STR_NONE, version = STR_NONE, asked, base;
	char home[SURFACE_BASE_MAX];
	size_t at = str_find_str(path, STR("/-/"), 0);
	struct err e;

	if (at != SIZE_MAX) {
		name = str_head(path, at);
		file = str_from(path, at + 3);
	}
	if (!name_valid(name)) {
		size_t slash = str_find(name, '/', name.n && name.p[0] == '@' ? str_find(name, '/', 0) + 1 : 0);
		if (at == SIZE_MAX && slash != SIZE_MAX && name_valid(str_head(name, slash)))
			return answer_status(req, 404, ERR_UNSUPPORTED,
				"single versions are not served here; ask for the package's packument");
		return answer_status(req, 404, ERR_NOTFOUND, "no such path, and no package's name");
	}
	if (identity_may_see(who, name, &e) < 0) {
		answer_error(req, &e);
		return 0;
	}
	if (file.n && !npm_tarball_version(&version, name, file))
		return answer_status(
			req, 404, ERR_NOTFOUND, "no such tarball: a package's file is called <name>-<version>.tgz");
	if (!base_of(&asked, req))
		return answer_status(
			req, 400, ERR_USAGE, "the Host of the request is none; set public-url on the server");
	base = asked;
	if (!req_loop(req)->s->config->public_url.n)
		surface_base(&base, s, asked, home);
	struct wanted w = { name, version, base, str_eq(base, asked) ? STR_NONE : asked };
	return package_start(req, s, file.n ? ASK_TARBALL : ASK_PACKUMENT, &w);
}

bool h_registry_wants(h2o_req_t *req)
{
	return wants_short(req);
}

int h_registry(h2o_req_t *req)
{
	const struct backend *b = req_loop(req)->s->backend;
	struct surface *s = b->surface ? b->surface(b->ctx) : NULL;
	AUTO(identity_drop) struct identity *who = NULL;
	bool get = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) || is_head(req);
	str path;

	if (!s)
		return answer_status(req, 404, ERR_NOTFOUND, "no such path");
	if (!path_decode(&path, req))
		return answer_status(req, 400, ERR_USAGE, "the path is malformed");
	path = str_from(path, 1);
	if (h_login_wants(path))
		return h_login(req, path);
	if (!admit(&who, req))
		return 0;
	if (str_starts(path, STR("-/")))
		return h_own(req, who, path);
	if (!get)
		return answer_status(req, 405, ERR_UNSUPPORTED,
			"this server publishes nothing: packages, dist-tags, owners and deprecations are changed at "
			"the registry itself");
	return get_package(req, s, who, path);
}
