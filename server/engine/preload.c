#include "preload.h"
#include <pthread.h>
#include <stdlib.h>

/* One want, from the engine's call until preload_free(). */
struct want {
	struct preload *p;
	struct want *next; /* in .ready, then in .given */
	uint32_t ticket;
	struct meta_record *record;
	struct engine_packument got;
	struct err *why; /* got.err: of thousands of wants hardly one fails, and its text is large */
};
struct preload {
	struct meta *meta;
	struct engine_io io;
	pthread_mutex_t lock;
	pthread_cond_t change;
	/* Under the lock. */
	unsigned live; /* wants that have not been answered */
	bool cancelled;
	bool abandoned; /* preload_free() was called: the last answer frees it */
	struct want *ready, **ready_end;
	/* The engine's thread only. */
	struct want *given;
	struct remote_tarballs *remote;
	bool kept_ages, kept_only;
};

static void want_free(struct want *w)
{
	if (w->record)
		meta_record_release(w->record);
	free(w->why);
	free(w);
}

static void want_ready(struct want *w)
{
	struct preload *p = w->p;

	*p->ready_end = w;
	p->ready_end = &w->next;
}

static void preload_end(struct preload *p)
{
	pthread_cond_destroy(&p->change);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static enum packument_origin origin_of(const struct meta_record *r)
{
	switch (meta_record_origin(r)) {
	case META_FETCHED:
		return PACKUMENT_FETCHED;
	case META_REVALIDATED:
		return PACKUMENT_REVALIDATED;
	case META_KEPT:
		break;
	}
	return PACKUMENT_KEPT;
}

/* From meta, on a worker or the fetch thread. The last touch of P is the unlock, unless nobody else is left. */
static void on_done(void *arg, struct meta_record *r, const struct err *e)
{
	struct want *w = arg;
	struct preload *p = w->p;

	w->record = r;
	if (r) {
		w->got.rec = meta_packument(r);
		w->got.origin = origin_of(r);
	} else {
		w->why = xmalloc(sizeof(*w->why));
		*w->why = *e;
		w->got.err = w->why;
	}
	pthread_mutex_lock(&p->lock);
	p->live--;
	bool abandoned = p->abandoned, last = abandoned && p->live == 0;
	if (!abandoned)
		want_ready(w);
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	if (abandoned)
		want_free(w);
	if (last)
		preload_end(p);
}

static void io_want(void *ctx, uint32_t ticket, str registry, str name, enum packument_form form)
{
	struct preload *p = ctx;
	struct meta_record *record = meta_peek(p->meta, registry, name, form);

	if (!record && p->kept_only)
		return;
	struct want *w = xmalloc(sizeof(*w));
	*w = (struct want){ .p = p, .ticket = ticket, .got.origin = PACKUMENT_KEPT, .record = record };
	pthread_mutex_lock(&p->lock);
	if (w->record) {
		w->got.rec = meta_packument(w->record);
		want_ready(w);
	} else {
		p->live++; /* before anybody can see it */
	}
	pthread_mutex_unlock(&p->lock);
	if (!record)
		meta_want(p->meta, registry, name, form, on_done, w);
}

static bool io_kept(
	void *ctx, struct packument *out, int64_t *checked_ms, str registry, str name, enum packument_form form)
{
	struct preload *p = ctx;
	int64_t ms;
	struct meta_record *r = meta_kept(p->meta, &ms, registry, name, form);

	if (!r)
		return false;
	struct want *w = xmalloc(sizeof(*w));
	*w = (struct want){ .p = p, .record = r };
	pthread_mutex_lock(&p->lock);
	w->next = p->given;
	p->given = w;
	pthread_mutex_unlock(&p->lock);
	*out = meta_packument(r);
	*checked_ms = p->kept_ages ? ms : 0;
	return true;
}

/* With the lock held. */
static int hand_out(struct preload *p, uint32_t *ticket, const struct engine_packument **got, uint32_t cap)
{
	uint32_t n = 0;

	for (struct want *w; n < cap && (w = p->ready); n++) {
		p->ready = w->next;
		if (!p->ready)
			p->ready_end = &p->ready;
		ticket[n] = w->ticket;
		got[n] = &w->got;
		w->next = p->given;
		p->given = w;
	}
	return (int)n;
}

/* No code for which an optional dependency is left out: somebody else may know it. */
static int undecided(struct err *e)
{
	return err_set(e, ERR_NET, "what is kept does not decide everything, and nobody is asked");
}

static int io_wait(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct preload *p = ctx;
	int rc;

	pthread_mutex_lock(&p->lock);
	while (!p->cancelled && !p->ready && p->live)
		pthread_cond_wait(&p->change, &p->lock);
	if (p->cancelled)
		rc = err_set(e, ERR_CANCELLED, "the resolution was cancelled");
	else if (!p->ready && p->kept_only)
		rc = undecided(e);
	else if (!p->ready)
		rc = err_set(e, ERR_PROTOCOL, "waiting for a packument that nobody asked for");
	else
		rc = hand_out(p, ticket, got, cap);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static int io_poll(void *ctx, uint32_t *ticket, const struct engine_packument **got, uint32_t cap, struct err *e)
{
	struct preload *p = ctx;

	pthread_mutex_lock(&p->lock);
	int rc = p->cancelled ? err_set(e, ERR_CANCELLED, "the resolution was cancelled")
			      : hand_out(p, ticket, got, cap);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static int io_remote_tarball(void *ctx, str url, struct request_local *out, struct arena *a, struct err *e)
{
	struct preload *p = ctx;

	(void)a;
	if (p->kept_only)
		return undecided(e);
	return remote_tarballs_get(out, p->remote, url, e);
}

struct preload *preload_new(struct meta *m, const struct preload_opts *o)
{
	struct preload *p = xcalloc(1, sizeof(*p));

	p->meta = m;
	p->ready_end = &p->ready;
	p->kept_ages = o->kept_ages;
	p->kept_only = o->kept_only;
	p->remote = remote_tarballs_new(&o->remote);
	p->io = (struct engine_io){ .ctx = p,
		.now_ms = o->now_ms,
		.early = o->early,
		.want = io_want,
		.kept = io_kept,
		.wait = io_wait,
		.poll = io_poll,
		.remote_tarball = io_remote_tarball };
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	return p;
}

const struct engine_io *preload_io(struct preload *p)
{
	return &p->io;
}

void preload_cancel(struct preload *p)
{
	pthread_mutex_lock(&p->lock);
	p->cancelled = true;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	remote_tarballs_cancel(p->remote);
}

static void wants_free(struct want *w)
{
	for (struct want *next; w; w = next) {
		next = w->next;
		want_free(w);
	}
}

void preload_free(struct preload *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	struct want *ready = p->ready, *given = p->given;
	struct remote_tarballs *remote = p->remote;
	bool last = p->live == 0;
	p->abandoned = true;
	pthread_mutex_unlock(&p->lock); /* P may be gone from here on */
	wants_free(ready);
	wants_free(given);
	remote_tarballs_free(remote);
	if (last)
		preload_end(p);
}

void preload_seat_init(struct preload_seat *s)
{
	*s = (struct preload_seat){ 0 };
	pthread_mutex_init(&s->lock, NULL);
}

void preload_seat_release(struct preload_seat *s)
{
	pthread_mutex_destroy(&s->lock);
}

void preload_seat_put(struct preload_seat *s, struct preload *p)
{
	pthread_mutex_lock(&s->lock);
	s->now = p;
	if (p && s->cancelled)
		preload_cancel(p);
	pthread_mutex_unlock(&s->lock);
}

void preload_seat_cancel(struct preload_seat *s)
{
	pthread_mutex_lock(&s->lock);
	s->cancelled = true;
	if (s->now)
		preload_cancel(s->now);
	pthread_mutex_unlock(&s->lock);
}
