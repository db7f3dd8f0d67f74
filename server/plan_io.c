#include "plan_io.h"
#include "auth.h"
#include <stdlib.h>

struct plan_io_refusal {
	uint32_t ticket;
	struct err why;
	struct engine_packument answer;
};

static void refuse(struct plan_io *p, uint32_t ticket, const struct err *why)
{
	struct plan_io_refusal *no = xcalloc(1, sizeof(*no));

	no->ticket = ticket;
	no->why = *why;
	no->answer.err = &no->why;
	*vec_add(&p->refused) = no;
}

/* Hands out refusals that were not handed out before, CAP at most; how many. */
static uint32_t tell_refused(struct plan_io *p, uint32_t *ticket, const struct engine_packument **got, uint32_t cap)
{
	uint32_t n = 0;

	while (n < cap && p->told < p->refused.n) {
		const struct plan_io_refusal *next = p->refused.p[p->told++];
		ticket[n] = next->ticket;
		got[n++] = &next->answer;
	}
	return n;
}

static void io_want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct plan_io *p = ctx;
	struct err e;
	str url;

	if (identity_may_see(p->who, name, &e) < 0 || upstream_route(&url, p->upstreams, name, registry, &e) < 0)
		refuse(p, ticket, &e);
	else
		p->inner->want(p->inner->ctx, ticket, url, name, form);
}

static bool io_kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	const struct plan_io *p = ctx;
	struct err ignored; /* io_want() says it */
	str url;

	return identity_may_see(p->who, name, &ignored) == 0 &&
	       upstream_route(&url, p->upstreams, name, registry, &ignored) == 0 &&
	       p->inner->kept(p->inner->ctx, out, checked_ms, url, name, form);
}

static int io_wait(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct plan_io *p = ctx;
	uint32_t n = tell_refused(p, ticket, got, cap);

	return n ? (int)n : p->inner->wait(p->inner->ctx, ticket, got, cap, e);
}

static int io_poll(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct plan_io *p = ctx;
	uint32_t n = tell_refused(p, ticket, got, cap);

	return n ? (int)n : p->inner->poll(p->inner->ctx, ticket, got, cap, e);
}

static str io_tarball_url(void *ctx, str registry, str name, str url, struct arena *a)
{
	const struct plan_io *p = ctx;

	return upstream_alias_of(p->upstreams, name, registry, url, a);
}

/* The name is only known from the tarball itself: no credential goes there, and whether the client may see what it
 * holds is judged by the sink of the plan's frames. */
static int io_remote_tarball(void *ctx, str url, struct request_local *out, struct arena *a, struct err *e)
{
	const struct plan_io *p = ctx;

	if (upstream_tarball(p->upstreams, STR_NONE, url, e) < 0)
		return e->code;
	return p->inner->remote_tarball(p->inner->ctx, url, out, a, e);
}

void plan_io_over(
	struct plan_io *p, const struct engine_io *inner, const struct upstreams *u, const struct identity *who)
{
	*p = (struct plan_io){ .io = *inner, .inner = inner, .upstreams = u, .who = who };
	p->io.ctx = p;
	p->io.want = io_want;
	p->io.kept = inner->kept ? io_kept : NULL;
	p->io.wait = io_wait;
	p->io.poll = io_poll;
	p->io.tarball_url = io_tarball_url;
	p->io.remote_tarball = inner->remote_tarball ? io_remote_tarball : NULL;
}

static void cancel_preload(void *arg)
{
	preload_cancel(arg);
}

void plan_io_init(struct plan_io *p, const struct plan_io_opts *o)
{
	struct preload *preload = preload_new(o->meta, &o->preload);

	plan_io_over(p, preload_io(preload), o->upstreams, o->who);
	p->preload = preload;
	p->cancel = o->cancel;
	cancel_hook(p->cancel, cancel_preload, preload);
}

void plan_io_release(struct plan_io *p)
{
	if (p->preload) {
		cancel_hook(p->cancel, NULL, NULL);
		preload_free(p->preload);
	}
	for (size_t i = 0; i < p->refused.n; i++)
		free(p->refused.p[i]);
	vec_release(&p->refused);
}
