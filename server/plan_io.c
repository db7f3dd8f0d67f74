#include "plan_io.h"

static void io_want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct plan_io *p = ctx;
	struct err e;
	str url;

	if (upstream_route(&url, p->upstreams, name, registry, &e) < 0)
		io_denied_add(&p->refused, ticket, &e);
	else
		p->inner->want(p->inner->ctx, ticket, url, name, form);
}

static bool io_kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	struct plan_io *p = ctx;
	struct err ignored; /* io_want() says it */
	str url;

	return upstream_route(&url, p->upstreams, name, registry, &ignored) == 0 &&
	       p->inner->kept(p->inner->ctx, out, checked_ms, url, name, form);
}

static int io_wait(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct plan_io *p = ctx;
	uint32_t n = io_denied_tell(&p->refused, ticket, got, cap);

	return n ? (int)n : p->inner->wait(p->inner->ctx, ticket, got, cap, e);
}

static int io_poll(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct plan_io *p = ctx;
	uint32_t n = io_denied_tell(&p->refused, ticket, got, cap);

	return n ? (int)n : p->inner->poll(p->inner->ctx, ticket, got, cap, e);
}

static str io_tarball_url(void *ctx, str registry, str name, str url, struct arena *a)
{
	const struct plan_io *p = ctx;

	return upstream_alias_of(p->upstreams, name, registry, url, a);
}

/* The name is only known from the tarball itself: no credential goes there. */
static int io_remote_tarball(void *ctx, str url, struct request_local *out, struct arena *a, struct err *e)
{
	const struct plan_io *p = ctx;

	if (upstream_tarball(p->upstreams, STR_NONE, url, e) < 0)
		return e->code;
	return p->inner->remote_tarball(p->inner->ctx, url, out, a, e);
}

void plan_io_init(struct plan_io *p, const struct engine_io *inner, const struct upstreams *u)
{
	*p = (struct plan_io){ .io = *inner, .inner = inner, .upstreams = u };
	p->io.ctx = p;
	p->io.want = io_want;
	p->io.kept = inner->kept ? io_kept : NULL;
	p->io.wait = io_wait;
	p->io.poll = io_poll;
	p->io.tarball_url = io_tarball_url;
	p->io.remote_tarball = inner->remote_tarball ? io_remote_tarball : NULL;
	p->io.pack_of = NULL; /* its context would be the inner one's */
}

void plan_io_release(struct plan_io *p)
{
	io_denied_release(&p->refused);
}
