/* source_direct — the engine in this process, over the store's packuments. */
#include <stdlib.h>

#include "engine.h"
#include "preload.h"
#include "source.h"

struct direct {
	struct source source;
	struct meta *meta;
	struct remote_tarballs_opts remote;
	int64_t now_ms;
	struct preload_seat seat;
};

static int direct_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct direct *d = (struct direct *)s;
	struct preload_opts o = { .now_ms = d->now_ms, .early = true, .kept_ages = true, .remote = d->remote };
	struct preload *p = preload_new(d->meta, &o);

	preload_seat_put(&d->seat, p);
	int code = engine_run(req, preload_io(p), sink, ctx, e);
	preload_seat_put(&d->seat, NULL);
	preload_free(p);
	return code;
}

static void direct_cancel(struct source *s)
{
	preload_seat_cancel(&((struct direct *)s)->seat);
}

static void direct_free(struct source *s)
{
	struct direct *d = (struct direct *)s;

	preload_seat_release(&d->seat);
	free(d);
}

struct source *source_direct_new(struct meta *meta, const struct remote_tarballs_opts *remote, int64_t now_ms)
{
	struct direct *d = xcalloc(1, sizeof(*d));

	d->source =
		(struct source){ .run = direct_run, .cancel = direct_cancel, .free = direct_free, .name = "direct" };
	d->meta = meta;
	d->remote = *remote;
	d->now_ms = now_ms;
	preload_seat_init(&d->seat);
	return &d->source;
}
