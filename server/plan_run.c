#include "plan_run.h"
#include "base/clock.h"
#include "integrity.h"
#include "lock_timed.h"
#include "packs_wire.h"
#include <stdio.h>
#include <stdlib.h>

enum {
	FLUSH_FRAMES = 2048,  /* sent at once when so many wait; fewer wait for company */
	WAITING_MAX = 100000, /* frames before the engine is held up */
	RENEW_MS = 60 * 1000, /* a tenth of a lease */
};

struct plan_run {
	_Atomic unsigned refs; /* who made it, the queue, each listener */
	struct server *s;
	struct cancel cancel;
	uint8_t key[32]; /* of the request and of what its sender may see */
	char id[65];     /* of the request that began it */
	uint64_t begun_us;
	struct plan_blob *renew; /* no walk at all: this plan's leases are renewed */

	/* worker */
	struct buf body;
	struct identity *who;
	uint32_t accept, protocol; /* the highest that both sides speak */
	struct buf packs;          /* keys of PACKS_KEY bytes */

	pthread_mutex_t lock; /* all below */
	pthread_cond_t taken;
	struct plan_listener *listeners;
	struct plan_writer *writer;
	unsigned waiting; /* frames put and not taken */
	unsigned frames;
	bool dead; /* nobody waits any more */
	bool failure_sent, need_lockfile;
	bool finished, complete; /* the writer has ended; everybody may know */
	int rc;                  /* of the writer */
	struct buf bytes;        /* the stream so far */
	struct err err;
};

struct plan_run *plan_run_new(struct server *s, const uint8_t key[32], str id, uint64_t begun_us)
{
	struct plan_run *r = xcalloc(1, sizeof(*r));

	atomic_init(&r->refs, 1);
	r->s = s;
	cancel_init(&r->cancel);
	memcpy(r->key, key, 32);
	snprintf(r->id, sizeof(r->id), STR_FMT, STR_ARG(id));
	r->begun_us = begun_us;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->taken, NULL);
	return r;
}

void plan_run_ref(void *run)
{
	atomic_fetch_add(&((struct plan_run *)run)->refs, 1);
}

static void body_drop(struct plan_run *r)
{
	atomic_fetch_sub(&r->s->n.plan_bodies, r->body.n);
	buf_release(&r->body);
}

void plan_run_unref(struct plan_run *r)
{
	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	body_drop(r);
	plan_writer_free(r->writer);
	buf_release(&r->bytes);
	buf_release(&r->packs);
	identity_release(r->who);
	plan_blob_release(r->renew);
	cancel_release(&r->cancel);
	pthread_cond_destroy(&r->taken);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- listeners; on their loops ---- */

/* Under the lock. */
static void post_all(struct plan_run *r)
{
	for (struct plan_listener *l = r->listeners; l; l = l->next) {
		if (!l->posted) {
			l->posted = true;
			l->post(l);
		}
	}
}

void plan_run_listen(struct plan_run *r, struct plan_listener *l)
{
	lock_timed(&r->lock, &r->s->n.lock_waits);
	l->prev = NULL;
	l->next = r->listeners;
	if (l->next)
		l->next->prev = l;
	r->listeners = l;
	pthread_mutex_unlock(&r->lock);
}

void plan_run_heard(struct plan_run *r, struct plan_listener *l)
{
	lock_timed(&r->lock, &r->s->n.lock_waits);
	l->posted = false;
	pthread_mutex_unlock(&r->lock);
}

void plan_run_leave(struct plan_run *r, struct plan_listener *l, bool whole)
{
	bool last = !whole && plan_cache_leave(r->s->cache, r);

	lock_timed(&r->lock, &r->s->n.lock_waits);
	*(l->prev ? &l->prev->next : &r->listeners) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	if (last) {
		r->dead = true;
		pthread_cond_broadcast(&r->taken);
	}
	pthread_mutex_unlock(&r->lock);
	if (last)
		cancel_set(&r->cancel);
}

void plan_run_take(struct plan_run_state *st, struct plan_run *r, struct buf *out, size_t *at, bool now)
{
	struct err ignored; /* rc says it: the stream is cut */

	lock_timed(&r->lock, &r->s->n.lock_waits);
	if (!r->finished && !r->failure_sent && r->rc == 0 && (r->waiting >= FLUSH_FRAMES || (now && r->waiting))) {
		r->rc = plan_writer_take(r->writer, &r->bytes, false, &ignored);
		r->waiting = 0;
		pthread_cond_broadcast(&r->taken);
	}
	/* Between the last frame and its being kept nothing is sent, so that who has the whole plan and asks again
	 * finds it; nor is a failure before its walk is not to be found any more, so that who asks again begins one. */
	if (!r->finished && *at < r->bytes.n) {
		buf_add(out, str_from(buf_str(&r->bytes), *at));
		*at = r->bytes.n;
	}
	*st = (struct plan_run_state){ .complete = r->complete,
		.waits = !r->finished && r->waiting,
		.frames = r->frames,
		.err = &r->err,
		.need_lockfile = r->need_lockfile,
		.rc = r->rc };
	pthread_mutex_unlock(&r->lock);
}

str plan_run_bytes(const struct plan_run *r)
{
	return buf_str(&r->bytes);
}

/* ---- the walk; on a worker ---- */

static int run_sink(void *ctx, const struct frame *f, struct err *e)
{
	struct plan_run *r = ctx;
	struct frame hello;
	int rc = 0;

	if (f->kind == FRAME_HELLO && f->hello.protocol == PLAN_PROTOCOL) {
		hello = *f;
		hello.hello.protocol = r->protocol;
		f = &hello;
	}
	if (f->kind == FRAME_PACKAGE && !f->package.skip && r->accept & PLAN_ACCEPT_PACKS) {
		uint8_t key[PACKS_KEY];
		if (packs_key(key, f->package.meta.resolution.integrity))
			buf_add(&r->packs, (str){ (const char *)key, PACKS_KEY });
	}
	lock_timed(&r->lock, &r->s->n.lock_waits);
	while (!r->dead && r->rc == 0 && r->waiting >= WAITING_MAX)
		pthread_cond_wait(&r->taken, &r->lock);
	if (r->dead)
		rc = err_set(e, ERR_CANCELLED, "the client left");
	else if (r->rc < 0) /* nothing is taken any more */
		rc = err_set(e, r->rc, "the plan could not be encoded");
	else
		rc = plan_writer_add(r->writer, f, e);
	if (rc == 0) {
		r->waiting++;
		r->frames++;
		r->failure_sent |= f->kind == FRAME_FAILURE;
		post_all(r);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* Fills in the lockfile. 1: the client must send its text. */
static int run_lockfile(const struct backend *b, struct plan_request *q, struct arena *a, struct err *e)
{
	if (!q->has_lockfile)
		return 0;
	if (q->req.lockfile_text.n && b->lockfile_keep)
		b->lockfile_keep(b->ctx, q->lockfile_sha256, q->req.lockfile_text);
	if (!q->req.lockfile_text.n &&
		(!b->lockfile || !b->lockfile(b->ctx, &q->req.lockfile_text, q->lockfile_sha256, a)))
		return 1;
	struct lockfile *lf = arena_new(a, struct lockfile, 1);
	if (lockfile_parse(lf, q->req.lockfile_text, STR("pnpm-lock.yaml"), a, e) < 0)
		return e->code;
	q->req.lockfile = lf;
	return 0;
}

static int run_plan(struct plan_run *r, struct plan_request *q, struct arena *a, struct err *e)
{
	const struct backend *b = r->s->backend;
	int rc = run_lockfile(b, q, a, e);

	if (rc == 1) {
		lock_timed(&r->lock, &r->s->n.lock_waits);
		r->need_lockfile = true;
		pthread_mutex_unlock(&r->lock);
		return err_set(e, ERR_NOTFOUND, "need: lockfile");
	}
	return rc < 0 ? rc : b->plan(b->ctx, q, r->who, a, &r->cancel, run_sink, r, e);
}

static int run_resolve(struct plan_run *r, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(256 * 1024);
	struct plan_request q;

	if (cancel_is_set(&r->cancel))
		return err_set(e, ERR_CANCELLED, "the client left");
	if (request_decode(&q, buf_str(&r->body), &a, e) < 0)
		return e->code;
	body_drop(r);
	r->accept = q.accept;
	if (q.accept & PLAN_ACCEPT_COLUMNS)
		plan_writer_columns(r->writer);
	r->protocol = q.protocol < PLAN_PROTOCOL ? q.protocol : PLAN_PROTOCOL;
	str project = q.req.nimporters ? q.req.importer[0].manifest.name : STR_NONE;
	int seat = running_enter(&r->s->running, str_of(r->id), project, r->begun_us);
	int rc = run_plan(r, &q, &a, e);
	running_leave(&r->s->running, seat);
	return rc;
}

/* The walk has ended: what is left is taken here, so that the plan is whole before anybody is told. */
static void run_finish(struct plan_run *r, int rc, const struct err *e)
{
	struct err why = *e;

	lock_timed(&r->lock, &r->s->n.lock_waits);
	if (rc == 0 && r->rc < 0)
		rc = err_set(&why, r->rc, "the plan could not be encoded");
	if (r->frames && plan_writer_take(r->writer, &r->bytes, true, &why) < 0)
		rc = r->rc = why.code;
	r->finished = true;
	if (rc < 0)
		r->err = why;
	pthread_mutex_unlock(&r->lock);
}

static struct plan_blob *run_blob(const struct plan_run *r)
{
	struct plan_blob *b = xmalloc(sizeof(*b) + r->bytes.n);

	atomic_init(&b->refs, 1);
	atomic_init(&b->renewed_ms, clock_ms());
	b->n = r->bytes.n;
	memcpy(b->bytes, r->bytes.p, r->bytes.n);
	b->npacks = r->packs.n / PACKS_KEY;
	b->packs = xmalloc(r->packs.n + 1);
	memcpy(b->packs, r->packs.n ? r->packs.p : "", r->packs.n);
	return b;
}

/* First it is not to be found any more, or as a kept plan; then everybody may know. */
static void run_land(struct plan_run *r)
{
	struct plan_blob *b = r->err.code < 0 || !r->bytes.n ? NULL : run_blob(r);

	plan_cache_end(r->s->cache, r->key, r, b);
	plan_blob_release(b);
	lock_timed(&r->lock, &r->s->n.lock_waits);
	r->complete = true;
	post_all(r);
	pthread_mutex_unlock(&r->lock);
}

static void run_walk(struct plan_run *r)
{
	struct counts *n = &r->s->n;
	struct err e = { 0 };
	uint64_t from = clock_us();

	histogram_add(&n->plan_wait, from - r->begun_us);
	atomic_fetch_add(&n->plans_running, 1);
	r->writer = plan_writer_new(PLAN_LEVEL); /* nobody takes before the first frame */
	int rc = run_resolve(r, &e);
	atomic_fetch_sub(&n->plans_running, 1);
	histogram_add(&n->plan_resolve, clock_us() - from);
	if (rc < 0 && r->frames && !r->failure_sent) {
		struct err ignored = { 0 };
		struct frame f = { .kind = FRAME_FAILURE, .failure = { .code = rc, .text = str_of(e.msg) } };
		/* What fails here is that nobody listens, or that the writer failed: the stream is cut either way. */
		if (run_sink(r, &f, &ignored) < 0)
			log_debug("plan", "failure_unsent=%s", err_name(ignored.code));
	}
	run_finish(r, rc, &e);
	run_land(r);
}

static void run_renew(const struct plan_run *r)
{
	const struct backend *b = r->s->backend;

	b->renew(b->ctx, r->renew->packs, r->renew->npacks);
}

void plan_run_work(void *run)
{
	struct plan_run *r = run;

	if (r->renew)
		run_renew(r);
	else
		run_walk(r);
}

void plan_run_drop(void *run)
{
	plan_run_unref(run);
}

int plan_run_start(struct plan_run *r, str body, struct identity *who, struct err *e)
{
	buf_add(&r->body, body);
	atomic_fetch_add(&r->s->n.plan_bodies, r->body.n);
	r->who = identity_ref(who);
	plan_run_ref(r);
	if (workq_push(r->s->plans, r))
		return 0;
	/* Whoever joined in the meantime is refused as well. */
	err_set(e, ERR_BUSY, "too many plans are waiting (plan-queue)");
	run_finish(r, e->code, e);
	run_land(r);
	plan_run_unref(r);
	return e->code;
}

void plan_run_renew(struct server *s, struct plan_blob *b)
{
	static const uint8_t none[32];
	int64_t last = atomic_load(&b->renewed_ms), now = clock_ms();

	if (!b->npacks || !s->backend->renew || now - last < RENEW_MS ||
		!atomic_compare_exchange_strong(&b->renewed_ms, &last, now))
		return;
	struct plan_run *r = plan_run_new(s, none, STR("renew"), 0);
	atomic_fetch_add(&b->refs, 1);
	r->renew = b;
	if (!workq_push(s->plans, r)) {
		atomic_store(&b->renewed_ms, last); /* busy: the next hit tries again */
		plan_run_unref(r);
	}
}
