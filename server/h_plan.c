#include "integrity.h"
#include "plan_cache.h"
#include "route.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A plan request from its body to its last byte.
 *
 * The loop's thread owns `req` and everything about the response; a worker
 * owns request, arena and the engine's run. Between them: `lock`, with the
 * writer that the worker puts frames into and the loop takes bytes from, one
 * send in flight. A client that leaves sets `gone`: no message is sent any
 * more, the worker is cancelled and the last reference frees. */
struct plan_job {
	h2o_generator_t gen; /* first: h2o gives it back to us */
	h2o_multithread_message_t msg;
	_Atomic unsigned refs; /* the response, the queue, a message under way */
	struct cancel cancel;

	/* loop's thread */
	struct loop *loop;
	struct plan_job *next, *prev;
	h2o_req_t *req; /* NULL once the response has ended or the client left */
	h2o_timeout_entry_t flush;
	bool headers_set, sending;
	struct buf inflight;
	int64_t send_ms;
	uint64_t begun_us;
	bool first_sent;
	char id[65]; /* the request's */

	/* worker */
	struct buf body;
	struct identity *who;
	uint8_t key[32]; /* SHA-256 of the body and of what `who` may see */

	pthread_mutex_t lock;
	pthread_cond_t taken;
	struct plan_writer *writer;
	unsigned waiting; /* frames put and not taken */
	bool posted, gone, failure_sent;
	bool finished, complete; /* the writer has ended; the loop may send the rest */
	unsigned frames;
	int status;     /* of the response when no frame was sent and err.code is set */
	struct err err; /* why it ended, when it failed */
	bool need_lockfile;
	struct buf whole, tail; /* what was taken so far, for the cache; what the worker took last, for the loop */
	struct plan_blob *blob; /* the whole plan, somebody else's */
};

enum {
	FLUSH_FRAMES = 256,   /* sent at once when so many wait; fewer wait for the timer */
	WAITING_MAX = 100000, /* frames before the engine is held up */
	STALL_MS = 300 * 1000,
};

static void job_body_drop(struct plan_job *j)
{
	atomic_fetch_sub(&j->loop->s->n.plan_bodies, j->body.n);
	buf_release(&j->body);
}

static void job_unref(struct plan_job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	plan_writer_free(j->writer);
	buf_release(&j->inflight);
	job_body_drop(j);
	buf_release(&j->whole);
	buf_release(&j->tail);
	plan_blob_release(j->blob);
	identity_release(j->who);
	cancel_release(&j->cancel);
	pthread_cond_destroy(&j->taken);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

/* ---- worker ---- */

/* Under the lock: tells the loop, unless it knows already or nobody listens. */
static void job_post(struct plan_job *j)
{
	if (j->posted || j->gone)
		return;
	j->posted = true;
	atomic_fetch_add(&j->refs, 1);
	j->msg = (h2o_multithread_message_t){ { NULL, NULL } };
	h2o_multithread_send_message(&j->loop->receiver, &j->msg);
}

static int job_sink(void *ctx, const struct frame *f, struct err *e)
{
	struct plan_job *j = ctx;
	int rc = 0;

	pthread_mutex_lock(&j->lock);
	while (!j->gone && j->waiting >= WAITING_MAX)
		pthread_cond_wait(&j->taken, &j->lock);
	if (j->gone)
		rc = err_set(e, ERR_CANCELLED, "the client left");
	else
		rc = plan_writer_add(j->writer, f, e);
	if (rc == 0) {
		j->waiting++;
		j->frames++;
		j->failure_sent |= f->kind == FRAME_FAILURE;
		job_post(j);
	}
	pthread_mutex_unlock(&j->lock);
	return rc;
}

/* Fills in the lockfile. 1: the client must send its text. */
static int job_lockfile(const struct backend *b, struct plan_request *r, struct arena *a, struct err *e)
{
	if (!r->has_lockfile)
		return 0;
	if (r->req.lockfile_text.n && b->lockfile_keep)
		b->lockfile_keep(b->ctx, r->lockfile_sha256, r->req.lockfile_text);
	if (!r->req.lockfile_text.n &&
		(!b->lockfile || !b->lockfile(b->ctx, &r->req.lockfile_text, r->lockfile_sha256, a)))
		return 1;
	struct lockfile *lf = arena_new(a, struct lockfile, 1);
	if (lockfile_parse(lf, r->req.lockfile_text, STR("pnpm-lock.yaml"), a, e) < 0)
		return e->code;
	r->req.lockfile = lf;
	return 0;
}

static int job_plan(struct plan_job *j, const struct backend *b, struct plan_request *r, struct arena *a, struct err *e)
{
	int rc = job_lockfile(b, r, a, e);

	if (rc == 1) {
		j->need_lockfile = true;
		return err_set(e, ERR_NOTFOUND, "need: lockfile");
	}
	return rc < 0 ? rc : b->plan(b->ctx, r, j->who, a, &j->cancel, job_sink, j, e);
}

static int job_resolve(struct plan_job *j, struct err *e)
{
	const struct backend *b = j->loop->s->backend;
	AUTO(arena_release) struct arena a = ARENA_INIT(256 * 1024);
	struct plan_request r;

	if (cancel_is_set(&j->cancel))
		return err_set(e, ERR_CANCELLED, "the client left");
	if (request_decode(&r, buf_str(&j->body), &a, e) < 0)
		return e->code;
	job_body_drop(j);
	str project = r.req.nimporters ? r.req.importer[0].manifest.name : STR_NONE;
	int seat = running_enter(&j->loop->s->running, str_of(j->id), project, j->begun_us);
	int rc = job_plan(j, b, &r, &a, e);
	running_leave(&j->loop->s->running, seat);
	return rc;
}

/* The end of a job's own run: what is left is taken here, so that the plan is whole before anybody is told. */
static void job_finish(struct plan_job *j, int rc, const struct err *e)
{
	struct err why = *e;

	pthread_mutex_lock(&j->lock);
	if (j->frames && plan_writer_take(j->writer, &j->tail, true, &why) < 0 && rc == 0)
		rc = why.code;
	buf_add(&j->whole, buf_str(&j->tail));
	j->finished = true;
	if (rc < 0)
		j->err = why;
	pthread_mutex_unlock(&j->lock);
}

static void job_tell(struct plan_job *j)
{
	pthread_mutex_lock(&j->lock);
	j->complete = true;
	job_post(j);
	pthread_mutex_unlock(&j->lock);
}

/* The same for a job that waited for another's run. */
static void job_follow(struct plan_job *j, struct plan_blob *b, const struct err *why, bool need_lockfile)
{
	pthread_mutex_lock(&j->lock);
	if (b) {
		atomic_fetch_add(&b->refs, 1);
		j->blob = b;
	} else {
		j->err = *why;
		j->need_lockfile = need_lockfile;
	}
	j->complete = true;
	job_post(j);
	pthread_mutex_unlock(&j->lock);
	job_unref(j); /* the flight's */
}

/* The flight that J led ends. A leader whose client left hands over; one that failed fails its waiters with its own error. */
static void job_land(struct plan_job *j, int rc)
{
	struct server *s = j->loop->s;
	struct plan_waiters w;
	struct plan_blob *b;
	struct err busy;

	err_set(&busy, ERR_BUSY, "too many plans are waiting (plan-queue)");
	for (struct plan_job *next; rc == ERR_CANCELLED && (next = plan_cache_handover(s->cache, j->key));) {
		if (!cancel_is_set(&next->cancel) && workq_push(s->plans, next))
			return; /* the flight's reference is the queue's now */
		job_follow(next, NULL, &busy, false);
	}
	if (rc == ERR_CANCELLED)
		return;
	plan_cache_end(s->cache, j->key, rc < 0 ? STR_NONE : buf_str(&j->whole), &b, &w);
	for (size_t i = 0; i < w.n; i++)
		job_follow(w.p[i], b, &j->err, j->need_lockfile);
	plan_blob_release(b);
	free(w.p);
}

void h_plan_run(void *job)
{
	struct plan_job *j = job;
	struct counts *n = &j->loop->s->n;
	struct err e = { 0 };
	uint64_t from = metrics_now_us();

	histogram_add(&n->plan_wait, from - j->begun_us);
	atomic_fetch_add(&n->plans_running, 1);
	int rc = job_resolve(j, &e);
	atomic_fetch_sub(&n->plans_running, 1);
	histogram_add(&n->plan_resolve, metrics_now_us() - from);
	if (rc < 0 && j->frames && !j->failure_sent) {
		struct err ignored = { 0 };
		struct frame f = { .kind = FRAME_FAILURE, .failure = { .code = rc, .text = str_of(e.msg) } };
		/* What fails here is that nobody listens, or that the writer failed: the stream is cut either way. */
		if (job_sink(j, &f, &ignored) < 0)
			log_debug("plan", "failure_unsent=%s", err_name(ignored.code));
	}
	job_finish(j, rc, &e);
	/* First the flight, so that a client that has its answer and asks again finds the plan, or no trace of the failure. */
	job_land(j, j->err.code < 0 && cancel_is_set(&j->cancel) ? ERR_CANCELLED : j->err.code);
	job_tell(j);
}

void h_plan_drop(void *job)
{
	job_unref(job);
}

/* ---- loop ---- */

static void job_count(struct plan_job *j, bool whole)
{
	struct counts *n = &j->loop->s->n;
	uint64_t us = metrics_now_us() - j->begun_us;

	if (whole)
		histogram_add(&n->plan_last, us);
	else
		atomic_fetch_add(&n->resets, 1);
	if (!whole)
		atomic_fetch_add(&n->plans_cancelled, 1);
	else if (j->err.code)
		atomic_fetch_add(&n->plans_failed, 1);
	else
		atomic_fetch_add(&n->plans_done, 1);
	log_debug("plan", "id=%s us=%llu frames=%u whole=%d result=%s", j->id, (unsigned long long)us, j->frames, whole,
		err_name(j->err.code));
}

/* The response has ended or nobody waits for it. */
static void job_end(struct plan_job *j, bool whole)
{
	struct loop *l = j->loop;
	struct conn *c = req_conn(j->req);

	job_count(j, whole);
	h2o_timeout_unlink(&j->flush);
	if (c)
		c->plans--;
	if (c && !whole) {
		c->resets += c->resets != UINT32_MAX;
		conn_check(j->req, c);
	}
	j->req = NULL;
	*(j->prev ? &j->prev->next : &l->jobs) = j->next;
	if (j->next)
		j->next->prev = j->prev;
	l->njobs--;
	atomic_fetch_sub(&l->s->n.plans_active, 1);
	pthread_mutex_lock(&j->lock);
	j->gone = true;
	pthread_cond_broadcast(&j->taken);
	pthread_mutex_unlock(&j->lock);
	if (!whole)
		cancel_set(&j->cancel);
	job_unref(j);
}

static void job_headers(struct plan_job *j, int status, const char *type)
{
	h2o_req_t *req = j->req;

	req->res.status = status;
	req->res.reason = "";
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
	j->headers_set = true;
}

/* The last send: its bytes must outlive us, so they go to the request's pool. */
static void job_send_last(struct plan_job *j, str bytes)
{
	h2o_req_t *req = j->req;
	h2o_iovec_t v = h2o_strdup(&req->pool, bytes.p, bytes.n);

	job_end(j, true);
	h2o_send(req, &v, 1, H2O_SEND_STATE_FINAL);
}

static void job_send_error(struct plan_job *j)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	if (j->need_lockfile) {
		atomic_fetch_add(&j->loop->s->n.lockfiles_needed, 1);
		answer_header(j->req, "dray-need", STR("lockfile"));
		job_headers(j, 428, "application/json");
	} else {
		job_headers(j, err_http_status(j->err.code), "application/json");
	}
	answer_json(&b, j->err.code, str_of(j->err.msg));
	job_send_last(j, buf_str(&b));
}

static void job_first(struct plan_job *j)
{
	if (!j->first_sent)
		histogram_add(&j->loop->s->n.plan_first, metrics_now_us() - j->begun_us);
	j->first_sent = true;
}

static void blob_drop(void *held)
{
	plan_blob_release(*(struct plan_blob **)held);
}

/* A plan that another request has made. A thousand clients share its bytes: the request holds the blob, not a copy. */
static void job_send_blob(struct plan_job *j)
{
	job_first(j);
	answer_header(j->req, "dray-plan", STR("cached"));
	job_headers(j, 200, PLAN_CONTENT_TYPE);
	atomic_fetch_add(&j->loop->s->n.bytes_out, j->blob->n);
	struct plan_blob **held = h2o_mem_alloc_shared(&j->req->pool, sizeof(*held), blob_drop);
	*held = j->blob;
	atomic_fetch_add(&j->blob->refs, 1);
	h2o_req_t *req = j->req;
	h2o_iovec_t v = h2o_iovec_init(j->blob->bytes, j->blob->n);
	job_end(j, true);
	h2o_send(req, &v, 1, H2O_SEND_STATE_FINAL);
}

/* Takes what the writer has and sends it, when no send is in flight. */
static void job_send(struct plan_job *j, bool timer)
{
	struct err e = { 0 };
	bool complete;
	int rc = 0;

	if (!j->req || j->sending)
		return;
	pthread_mutex_lock(&j->lock);
	complete = j->complete;
	unsigned waiting = j->waiting;
	bool now = complete || (!j->finished && (waiting >= FLUSH_FRAMES || (timer && waiting)));
	if (now && j->frames) {
		buf_clear(&j->inflight);
		if (complete) {
			buf_add(&j->inflight, buf_str(&j->tail));
		} else {
			rc = plan_writer_take(j->writer, &j->inflight, false, &e);
			buf_add(&j->whole, buf_str(&j->inflight));
		}
		j->waiting = 0;
		pthread_cond_broadcast(&j->taken);
	}
	pthread_mutex_unlock(&j->lock);
	if (!now) {
		if (waiting && !h2o_timeout_is_linked(&j->flush))
			h2o_timeout_link(j->loop->ctx.loop, &j->loop->flush, &j->flush);
		return;
	}
	if (complete && !j->frames && j->err.code) {
		job_send_error(j);
		return;
	}
	if (j->blob) {
		job_send_blob(j);
		return;
	}
	if (!j->headers_set)
		job_headers(j, 200, PLAN_CONTENT_TYPE);
	job_first(j);
	atomic_fetch_add(&j->loop->s->n.bytes_out, j->inflight.n);
	if (complete) {
		job_send_last(j, buf_str(&j->inflight));
		return;
	}
	h2o_iovec_t v = h2o_iovec_init(j->inflight.p, j->inflight.n);
	j->sending = true;
	j->send_ms = server_clock_ms();
	h2o_send(j->req, &v, 1, rc < 0 ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_IN_PROGRESS);
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
	struct plan_job *j = (struct plan_job *)gen;

	(void)req;
	j->sending = false;
	job_send(j, false);
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)req;
	job_end((struct plan_job *)gen, false);
}

static void on_flush(h2o_timeout_entry_t *entry)
{
	job_send(H2O_STRUCT_FROM_MEMBER(struct plan_job, flush, entry), true);
}

void h_plan_message(h2o_multithread_message_t *m)
{
	struct plan_job *j = H2O_STRUCT_FROM_MEMBER(struct plan_job, msg, m);

	pthread_mutex_lock(&j->lock);
	j->posted = false;
	pthread_mutex_unlock(&j->lock);
	job_send(j, false);
	job_unref(j);
}

void h_plan_tick(struct loop *l, int64_t now_ms)
{
	for (struct plan_job *j = l->jobs; j; j = j->next) {
		if (!j->sending || now_ms - j->send_ms < STALL_MS)
			continue;
		h2o_socket_t *sock = j->req->conn->callbacks->get_socket(j->req->conn);
		log_warn("abuse", "what=stalled-window ms=%lld", (long long)(now_ms - j->send_ms));
		atomic_fetch_add(&l->s->n.abusive, 1);
		j->send_ms = now_ms;
		if (sock)
			shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
	}
}

void h_plan_abandon(struct loop *l)
{
	for (struct plan_job *j = l->jobs; j; j = j->next) {
		pthread_mutex_lock(&j->lock);
		j->gone = true;
		pthread_cond_broadcast(&j->taken);
		pthread_mutex_unlock(&j->lock);
		cancel_set(&j->cancel);
	}
}

/* Takes WHO. */
static struct plan_job *job_new(h2o_req_t *req, struct identity *who)
{
	struct loop *l = req_loop(req);
	struct plan_job *j = xcalloc(1, sizeof(*j));

	j->gen = (h2o_generator_t){ on_proceed, on_stop };
	atomic_init(&j->refs, 2); /* the response and the queue */
	cancel_init(&j->cancel);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->taken, NULL);
	j->loop = l;
	j->req = req;
	j->flush.cb = on_flush;
	j->writer = plan_writer_new(6);
	j->begun_us = metrics_now_us();
	snprintf(j->id, sizeof(j->id), STR_FMT, STR_ARG(req_id(req)));
	buf_add(&j->body, (str){ req->entity.base, req->entity.len });
	atomic_fetch_add(&l->s->n.plan_bodies, j->body.n);
	j->who = who;
	uint8_t parts[64];
	sha256(parts, j->body.p, j->body.n);
	memcpy(parts + 32, who->rights, 32);
	sha256(j->key, parts, sizeof(parts));
	return j;
}

static bool content_type_is(h2o_req_t *req, const char *type)
{
	ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_TYPE, -1);

	return i >= 0 &&
	       h2o_memis(req->headers.entries[i].value.base, req->headers.entries[i].value.len, type, strlen(type));
}

/* Whether the request may become a job; answers it when not. */
static bool plan_admit(h2o_req_t *req, struct server *s, const struct conn *c)
{
	struct err e = { 0 };

	if (!content_type_is(req, PLAN_REQUEST_TYPE))
		answer_status(req, 415, ERR_USAGE, "expected content-type: " PLAN_REQUEST_TYPE);
	else if (req->entity.len == 0)
		answer_status(req, 400, ERR_PROTOCOL, "a plan request without a body");
	else if (req->entity.len > s->config->max_body_mib << 20) {
		err_set(&e, ERR_TOOBIG, "body of %zu bytes, this server takes %llu MiB (max-body)", req->entity.len,
			(unsigned long long)s->config->max_body_mib);
		answer_error(req, &e);
	} else if (c && c->plans >= s->config->plans_per_client) {
		atomic_fetch_add(&s->n.plans_refused, 1);
		answer_status(
			req, 429, ERR_BUSY, "too many plans at the same time on this connection (plans-per-client)");
	} else if (atomic_load(&s->n.plan_bodies) + req->entity.len > s->config->max_bodies_mib << 20) {
		atomic_fetch_add(&s->n.plans_refused, 1);
		answer_status(req, 503, ERR_BUSY, "too many bytes of plan requests in memory (max-bodies)");
	} else {
		return true;
	}
	return false;
}

/* The queue is full: whoever joined in the meantime is refused with the leader. */
static void plan_refuse_flight(struct server *s, struct plan_job *j)
{
	struct plan_waiters w;
	struct plan_blob *none;

	err_set(&j->err, ERR_BUSY, "too many plans are waiting (plan-queue)");
	plan_cache_end(s->cache, j->key, STR_NONE, &none, &w);
	for (size_t i = 0; i < w.n; i++)
		job_follow(w.p[i], NULL, &j->err, false);
	free(w.p);
}

int h_plan(h2o_req_t *req)
{
	struct loop *l = req_loop(req);
	struct server *s = l->s;
	struct conn *c = req_conn(req);

	struct identity *who;

	answer_header(req, "dray-protocol", STR("1"));
	if (!plan_admit(req, s, c) || !admit(&who, req))
		return 0;
	struct plan_job *j = job_new(req, who);
	enum plan_enter how = plan_cache_enter(s->cache, j->key, j, &j->blob);
	if (how == PLAN_FULL || (how == PLAN_LEAD && !workq_push(s->plans, j))) {
		if (how == PLAN_LEAD)
			plan_refuse_flight(s, j);
		job_unref(j);
		job_unref(j);
		atomic_fetch_add(&s->n.plans_refused, 1);
		answer_status(req, 503, ERR_BUSY, "too many plans are waiting (plan-queue)");
		return 0;
	}
	j->next = l->jobs;
	if (l->jobs)
		l->jobs->prev = j;
	l->jobs = j;
	l->njobs++;
	if (c)
		c->plans++;
	atomic_fetch_add(&s->n.plans, 1);
	atomic_fetch_add(&s->n.plans_active, 1);
	if (how == PLAN_LEAD)
		atomic_fetch_add(&s->n.plans_missed, 1);
	if (how == PLAN_HIT)
		atomic_fetch_add(&s->n.plans_cached, 1);
	if (how == PLAN_WAIT)
		atomic_fetch_add(&s->n.plans_joined, 1);
	/* The response starts now, though nothing is sent: only so does h2o tell us that the client left. */
	h2o_start_response(req, &j->gen);
	if (how == PLAN_HIT) {
		j->complete = true; /* nobody else knows this job yet */
		job_unref(j);       /* no queue, no flight */
		job_send(j, false);
	}
	return 0;
}
