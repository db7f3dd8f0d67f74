#include "access_io.h"

static void want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct access_io *p = ctx;
	struct err e;

	if (identity_may_see(p->who, name, &e) == 0) {
		p->inner->want(p->inner->ctx, ticket, registry, name, form);
		return;
	}
	io_denied_add(&p->denied, ticket, &e);
}

static bool kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	struct access_io *p = ctx;
	struct err ignored; /* want() says it */

	return identity_may_see(p->who, name, &ignored) == 0 &&
	       p->inner->kept(p->inner->ctx, out, checked_ms, registry, name, form);
}

static int wait_any(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct access_io *p = ctx;
	uint32_t n = io_denied_tell(&p->denied, ticket, got, cap);

	return n ? (int)n : p->inner->wait(p->inner->ctx, ticket, got, cap, e);
}

static int poll_any(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct access_io *p = ctx;
	uint32_t n = io_denied_tell(&p->denied, ticket, got, cap);

	return n ? (int)n : p->inner->poll(p->inner->ctx, ticket, got, cap, e);
}

static str tarball_url(void *ctx, str registry, str name, str url, struct arena *a)
{
	const struct access_io *p = ctx;

	return p->inner->tarball_url(p->inner->ctx, registry, name, url, a);
}

/* What it holds is judged when its name is known: by the sink of the plan's frames. */
static int remote_tarball(void *ctx, str url, struct request_local *out, struct arena *a, struct err *e)
{
	const struct access_io *p = ctx;

	return p->inner->remote_tarball(p->inner->ctx, url, out, a, e);
}

void access_io_init(struct access_io *p, const struct engine_io *inner, const struct identity *who)
{
	*p = (struct access_io){ .inner = inner, .who = who };
	p->io = *inner;
	p->io.ctx = p;
	p->io.want = want;
	p->io.kept = inner->kept ? kept : NULL;
	p->io.wait = wait_any;
	p->io.poll = poll_any;
	p->io.tarball_url = inner->tarball_url ? tarball_url : NULL;
	p->io.remote_tarball = inner->remote_tarball ? remote_tarball : NULL;
	p->io.pack_of = NULL; /* its context would be the inner one's; the daemon's has none */
}

void access_io_release(struct access_io *p)
{
	io_denied_release(&p->denied);
}
