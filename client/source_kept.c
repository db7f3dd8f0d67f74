/* source_kept — the engine over what the store has kept of packuments, and another source where that does not
 * decide. */
#include <stdatomic.h>
#include <stdlib.h>

#include "engine.h"
#include "preload.h"
#include "source.h"

struct kept {
	struct source source;
	struct source *other;
	struct store *store;
	int64_t now_ms;
	bool any_age;
	atomic_bool used; /* the frames are the engine's */
	struct preload_seat seat;
};

struct kept_sink {
	struct kept *k;
	frame_sink *sink;
	void *ctx;
};

/* The engine sends nothing before all is decided; a failure is said by the other source, or there is none. */
static int kept_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct kept_sink *s = ctx;

	if (f->kind == FRAME_FAILURE && !atomic_load(&s->k->used))
		return 0;
	atomic_store(&s->k->used, true);
	return s->sink(s->ctx, f, e);
}

static int kept_try(struct kept *k, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	/* asks nobody, so it needs no registry; the worker has nothing to do */
	struct meta_opts mo = { .workers = 1, .max_age_ms = k->any_age ? INT64_MAX : 0 };
	struct preload_opts o = { .now_ms = k->now_ms, .kept_ages = true, .kept_only = true };
	struct kept_sink s = { k, sink, ctx };
	struct meta *meta;

	if (meta_new(&meta, k->store, NULL, &mo, e) < 0)
		return e->code;
	struct preload *p = preload_new(meta, &o);
	preload_seat_put(&k->seat, p);
	int code = engine_run(req, preload_io(p), kept_frame, &s, e);
	preload_seat_put(&k->seat, NULL);
	preload_free(p);
	meta_free(meta);
	return code;
}

static int kept_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct kept *k = (struct kept *)s;
	int code = kept_try(k, req, sink, ctx, e);

	if (code == 0 || code == ERR_CANCELLED || atomic_load(&k->used))
		return code;
	*e = (struct err){ 0 };
	return k->other->run(k->other, req, sink, ctx, e);
}

static void kept_cancel(struct source *s)
{
	struct kept *k = (struct kept *)s;

	preload_seat_cancel(&k->seat);
	k->other->cancel(k->other);
}

static void kept_free(struct source *s)
{
	struct kept *k = (struct kept *)s;

	preload_seat_release(&k->seat);
	free(k);
}

struct source *source_kept_new(struct store *store, bool any_age, struct source *other, int64_t now_ms)
{
	struct kept *k = xcalloc(1, sizeof(*k));

	k->source = (struct source){ .run = kept_run, .cancel = kept_cancel, .free = kept_free, .name = other->name };
	k->other = other;
	k->store = store;
	k->any_age = any_age;
	k->now_ms = now_ms;
	preload_seat_init(&k->seat);
	return &k->source;
}

bool source_kept_used(const struct source *s)
{
	return atomic_load(&((const struct kept *)s)->used);
}
