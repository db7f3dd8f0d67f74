/* source_direct — the engine in this process, over the store's packuments. */
#include <pthread.h>
#include <stdlib.h>

#include "engine.h"
#include "preload.h"
#include "source.h"

struct direct {
	struct source source;
	struct meta *meta;
	struct remote_tarballs_opts remote;
	int64_t now_ms;
	pthread_mutex_t lock;
	struct preload *preload; /* while it runs */
	bool cancelled;
};

static int direct_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct direct *d = (struct direct *)s;
	struct preload_opts o = { .now_ms = d->now_ms, .early = true, .kept_ages = true, .remote = d->remote };
	struct preload *p = preload_new(d->meta, &o);

	pthread_mutex_lock(&d->lock);
	d->preload = p;
	if (d->cancelled)
		preload_cancel(p);
	pthread_mutex_unlock(&d->lock);
	int code = engine_run(req, preload_io(p), sink, ctx, e);
	pthread_mutex_lock(&d->lock);
	d->preload = NULL;
	pthread_mutex_unlock(&d->lock);
	preload_free(p);
	return code;
}

static void direct_cancel(struct source *s)
{
	struct direct *d = (struct direct *)s;

	pthread_mutex_lock(&d->lock);
	d->cancelled = true;
	if (d->preload)
		preload_cancel(d->preload);
	pthread_mutex_unlock(&d->lock);
}

static void direct_free(struct source *s)
{
	struct direct *d = (struct direct *)s;

	pthread_mutex_destroy(&d->lock);
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
	pthread_mutex_init(&d->lock, NULL);
	return &d->source;
}
