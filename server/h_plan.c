#include "base/clock.h"
#include "integrity.h"
#include "plan_run.h"
#include "route.h"
#include <stdlib.h>
#include <sys/socket.h>

/* A plan request's response: of a plan that is kept, or of a walk under way (plan_run.h).
 *
 * The loop's thread owns everything here. The walk tells of news by a message, one at a time; a send is in flight at
 * a time, too, and its bytes lie in `inflight` until then. A client that leaves leaves the walk, which ends when
 * nobody waits for it any more. */
struct plan_job {
	h2o_generator_t gen; /* first: h2o gives it back to us */
	h2o_multithread_message_t msg;
	struct plan_listener heard;
	_Atomic unsigned refs; /* the response, a message under way */
	struct loop *loop;
	struct plan_job *next, *prev;
	h2o_req_t *req; /* NULL once the response has ended or the client left */
	h2o_timeout_entry_t flush;
	bool headers_set, sending, joined;
	struct plan_run *run;
	size_t at; /* of its bytes, sent */
	struct buf inflight;
	struct sending sent; /* while `sending` */
	uint64_t begun_us;
};

static void job_unref(struct plan_job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	plan_run_unref(j->run);
	buf_release(&j->inflight);
	free(j);
}

/* Under the run's lock. */
static void job_post(struct plan_listener *l)
{
	struct plan_job *j = H2O_STRUCT_FROM_MEMBER(struct plan_job, heard, l);

	atomic_fetch_add(&j->refs, 1);
	j->msg = (h2o_multithread_message_t){ { NULL, NULL } };
	h2o_multithread_send_message(&j->loop->receiver, &j->msg);
}

static void count_end(struct loop *l, str id, uint64_t begun_us, bool whole, int code, const char *how)
{
	struct counts *n = &l->s->n;
	uint64_t us = clock_us() - begun_us;

	if (whole)
		histogram_add(&n->plan_last, us);
	atomic_fetch_add(!whole ? &n->plans_cancelled : code < 0 ? &n->plans_failed : &n->plans_done, 1);
	log_debug("plan", "id=" STR_FMT " us=%llu whole=%d how=%s result=%s", STR_ARG(id), (unsigned long long)us,
		whole, how, err_name(code));
}

/* The response has ended with CODE, or nobody waits for it (not WHOLE). */
static void job_end(struct plan_job *j, bool whole, int code)
{
	struct loop *l = j->loop;
	struct conn *c = req_conn(j->req);

	count_end(l, req_id(j->req), j->begun_us, whole, code, j->joined ? "joined" : "made");
	h2o_timeout_unlink(&j->flush);
	if (c)
		c->plans--;
	if (!whole)
		count_reset(j->req);
	j->req = NULL;
	*(j->prev ? &j->prev->next : &l->jobs) = j->next;
	if (j->next)
		j->next->prev = j->prev;
	l->njobs--;
	atomic_fetch_sub(&l->s->n.plans_active, 1);
	plan_run_leave(j->run, &j->heard, whole);
	job_unref(j);
}

static void set_head(h2o_req_t *req, int status, const char *type)
{
	req->res.status = status;
	req->res.reason = "";
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
}

static void run_drop(void *held)
{
	plan_run_unref(*(struct plan_run **)held);
}

/* The last bytes: they are the run's, which the request holds from here on. CODE: below 0, they say that it failed. */
static void job_send_rest(struct plan_job *j, int code)
{
	h2o_req_t *req = j->req;
	str rest = str_from(plan_run_bytes(j->run), j->at);
	struct plan_run **held = h2o_mem_alloc_shared(&req->pool, sizeof(struct plan_run *), run_drop);
	h2o_iovec_t v = h2o_iovec_init(rest.p, rest.n);

	plan_run_ref(j->run);
	*held = j->run;
	atomic_fetch_add(&j->loop->s->n.bytes_out, rest.n);
	job_end(j, true, code);
	answer_tail(req, plan_run_bytes(*held).n, rest.n);
	h2o_send(req, &v, rest.n ? 1 : 0, H2O_SEND_STATE_FINAL);
}

static void job_send_error(struct plan_job *j, const struct plan_run_state *st)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	h2o_req_t *req = j->req;
	int status = st->need_lockfile ? 428 : err_http_status(st->err->code);

	if (st->need_lockfile) {
		atomic_fetch_add(&j->loop->s->n.lockfiles_needed, 1);
		answer_header(req, "dray-need", STR("lockfile"));
	}
	if (status == 429 || status == 503)
		answer_header(req, "retry-after", STR("1"));
	answer_json(&b, st->err->code, str_of(st->err->msg));
	set_head(req, status, "application/json");
	h2o_iovec_t v = h2o_strdup(&req->pool, b.p, b.n);
	job_end(j, true, st->err->code);
	h2o_send(req, &v, 1, H2O_SEND_STATE_FINAL);
}

/* The stream has no end that could be sent. h2o tells nobody when it has reset it. */
static void job_send_broken(struct plan_job *j, int code)
{
	h2o_req_t *req = j->req;

	job_end(j, true, code);
	h2o_send(req, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void job_first(struct plan_job *j)
{
	if (j->headers_set)
		return;
	histogram_add(&j->loop->s->n.plan_first, clock_us() - j->begun_us);
	if (j->joined)
		answer_header(j->req, "dray-plan", STR("joined"));
	set_head(j->req, 200, PLAN_CONTENT_TYPE);
	j->headers_set = true;
}

/* Sends what there is, when no send is in flight. NOW: even if it is little. */
static void job_send(struct plan_job *j, bool now)
{
	struct plan_run_state st;

	if (!j->req || j->sending)
		return;
	buf_clear(&j->inflight);
	plan_run_take(&st, j->run, &j->inflight, &j->at, now);
	if (st.complete && !st.frames && st.err->code < 0) {
		job_send_error(j, &st);
		return;
	}
	if (!st.complete && !j->inflight.n && st.rc == 0) {
		if (st.waits && !h2o_timeout_is_linked(&j->flush))
			h2o_timeout_link(j->loop->ctx.loop, &j->loop->flush, &j->flush);
		return;
	}
	job_first(j);
	if (st.complete && st.rc == 0) {
		job_send_rest(j, st.err->code);
		return;
	}
	if (st.rc < 0) {
		job_send_broken(j, st.rc);
		return;
	}
	h2o_iovec_t v = h2o_iovec_init(j->inflight.p, j->inflight.n);
	atomic_fetch_add(&j->loop->s->n.bytes_out, v.len);
	j->sending = true;
	send_begin(&j->sent, v.len);
	h2o_send(j->req, &v, 1, H2O_SEND_STATE_IN_PROGRESS);
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
	job_end((struct plan_job *)gen, false, ERR_CANCELLED);
}

static void on_flush(h2o_timeout_entry_t *entry)
{
	job_send(H2O_STRUCT_FROM_MEMBER(struct plan_job, flush, entry), true);
}

void h_plan_message(h2o_multithread_message_t *m)
{
	struct plan_job *j = H2O_STRUCT_FROM_MEMBER(struct plan_job, msg, m);

	plan_run_heard(j->run, &j->heard);
	job_send(j, false);
	job_unref(j);
}

void stalled(h2o_req_t *req, int64_t ms)
{
	h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);

	log_warn("abuse", "what=stalled-window ms=%lld", (long long)ms);
	atomic_fetch_add(&req_loop(req)->s->n.abusive, 1);
	if (sock)
		shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
}

void h_plan_tick(struct loop *l, int64_t now_ms)
{
	for (struct plan_job *j = l->jobs; j; j = j->next) {
		if (j->sending)
			send_check(&j->sent, j->req, now_ms);
	}
}

void h_plan_abandon(struct loop *l)
{
	for (struct plan_job *j = l->jobs; j; j = j->next)
		plan_run_leave(j->run, &j->heard, false);
}

/* ---- a request ---- */

static void plan_key(uint8_t key[32], const h2o_req_t *req, const struct identity *who)
{
	uint8_t parts[64];

	sha256(parts, req->entity.base, req->entity.len);
	memcpy(parts + 32, who->rights, 32);
	sha256(key, parts, sizeof(parts));
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

static void blob_drop(void *held)
{
	plan_blob_release(*(struct plan_blob **)held);
}

/* A plan that is kept. A thousand clients share its bytes: the request holds the blob, not a copy. Takes B. */
static int plan_send_kept(h2o_req_t *req, struct plan_blob *b, uint64_t begun_us)
{
	struct loop *l = req_loop(req);
	struct plan_blob **held = h2o_mem_alloc_shared(&req->pool, sizeof(struct plan_blob *), blob_drop);

	*held = b;
	plan_run_renew(l->s, b);
	atomic_fetch_add(&l->s->n.plans, 1);
	atomic_fetch_add(&l->s->n.plans_cached, 1);
	atomic_fetch_add(&l->s->n.bytes_out, b->n);
	h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("dray-plan"), 0, NULL, H2O_STRLIT("cached"));
	set_head(req, 200, PLAN_CONTENT_TYPE);
	req->res.content_length = b->n;
	histogram_add(&l->s->n.plan_first, clock_us() - begun_us);
	answer_bytes(req, b->bytes, b->n);
	count_end(l, req_id(req), begun_us, true, 0, "cached");
	return 0;
}

/* Takes a reference of RUN. */
static struct plan_job *job_new(h2o_req_t *req, struct plan_run *run, uint64_t begun_us)
{
	struct loop *l = req_loop(req);
	struct plan_job *j = xcalloc(1, sizeof(*j));

	j->gen = (h2o_generator_t){ on_proceed, on_stop };
	atomic_init(&j->refs, 1);
	j->loop = l;
	j->req = req;
	j->flush.cb = on_flush;
	j->heard.post = job_post;
	j->run = run;
	j->begun_us = begun_us;
	j->next = l->jobs;
	if (l->jobs)
		l->jobs->prev = j;
	l->jobs = j;
	l->njobs++;
	atomic_fetch_add(&l->s->n.plans, 1);
	atomic_fetch_add(&l->s->n.plans_active, 1);
	plan_run_listen(run, &j->heard);
	return j;
}

static int plan_refuse(h2o_req_t *req)
{
	atomic_fetch_add(&req_loop(req)->s->n.plans_refused, 1);
	return answer_status(req, 503, ERR_BUSY, "too many plans are waiting (plan-queue)");
}

/* What is not kept: a walk that is under way, or one that begins. */
static int plan_walk(h2o_req_t *req, const uint8_t key[32], struct identity *who, uint64_t begun_us)
{
	struct server *s = req_loop(req)->s;
	struct conn *c = req_conn(req);
	struct plan_run *own = plan_run_new(s, key, req_id(req), begun_us);
	struct plan_blob *kept;
	struct err e;
	void *joined;
	enum plan_enter how = plan_cache_enter(s->cache, key, own, &kept, &joined);

	if (how != PLAN_LEAD)
		plan_run_unref(own);
	if (how == PLAN_HIT)
		return plan_send_kept(req, kept, begun_us);
	if (how == PLAN_FULL)
		return plan_refuse(req);
	if (how == PLAN_LEAD && plan_run_start(own, (str){ req->entity.base, req->entity.len }, who, &e) < 0) {
		plan_run_unref(own);
		return plan_refuse(req);
	}
	struct plan_job *j = job_new(req, how == PLAN_LEAD ? own : joined, begun_us);
	j->joined = how == PLAN_JOIN;
	if (c)
		c->plans++;
	atomic_fetch_add(j->joined ? &s->n.plans_joined : &s->n.plans_missed, 1);
	/* The response starts now, though nothing may be sent: only so does h2o tell us that the client left. */
	h2o_start_response(req, &j->gen);
	job_send(j, false); /* what came before we listened */
	return 0;
}

int h_plan(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	AUTO(identity_drop) struct identity *who = NULL;
	uint64_t begun_us = clock_us();
	uint8_t key[32];

	if (!plan_admit(req, s, req_conn(req)) || !admit(&who, req))
		return 0;
	plan_key(key, req, who);
	struct plan_blob *kept = plan_cache_hit(s->cache, key);
	return kept ? plan_send_kept(req, kept, begun_us) : plan_walk(req, key, who, begun_us);
}
