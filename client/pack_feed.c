/* Packs that are unpacked through a window of memory, one at a time: large ones while they arrive, so that neither the
 * link waits for the unpacking nor the memory holds them. */
#include "base/clock.h"
#include "fetch_packs_impl.h"
#include "import_pack.h"
#include "pack_stream.h"
#include <stdlib.h>

void feed_new(struct pack_want *w)
{
	struct pack_fetcher *f = w->f;
	struct pack_feed *x = xcalloc(1, sizeof(*x));

	x->w = w;
	w->feed = x;
	pthread_mutex_lock(&f->lock);
	x->all_next = f->all;
	f->all = x;
	pthread_mutex_unlock(&f->lock);
}

/* It may have ended before its news was read. */
static void feed_unlink(struct pack_fetcher *f, struct pack_feed *x)
{
	struct pack_feed **all = &f->all, **told = &f->told;

	while (*all != x)
		all = &(*all)->all_next;
	*all = x->all_next;
	while (*told && *told != x)
		told = &(*told)->told_next;
	if (*told)
		*told = x->told_next;
}

/* -- what has arrived ------------------------------------------------------------------ */

static void body_move(struct pack_blocks *to, struct fetch_body *b)
{
	if (b->n == 0)
		return;
	struct pack_block *k = xcalloc(1, sizeof(*k));
	k->b = *b;
	*(to->tail ? &to->tail->next : &to->head) = k;
	to->tail = k;
	to->n += b->n;
	*b = (struct fetch_body){ 0 };
}

static void blocks_move(struct pack_blocks *to, struct pack_blocks *from)
{
	if (!from->head)
		return;
	*(to->tail ? &to->tail->next : &to->head) = from->head;
	to->tail = from->tail;
	to->n += from->n;
	*from = (struct pack_blocks){ 0 };
}

static void block_drop(struct pack_fetcher *f, struct pack_blocks *l)
{
	struct pack_block *k = l->head;

	l->n -= k->b.n;
	l->head = k->next;
	if (!l->head)
		l->tail = NULL;
	fetch_body_release(&k->b, &f->bodies);
	free(k);
}

static void blocks_free(struct pack_fetcher *f, struct pack_blocks *l)
{
	while (l->head)
		block_drop(f, l);
}

/* A quarter of what may be ahead, so that what waits in a block does not stop the rest. */
static size_t block_size(const struct pack_fetcher *f)
{
	return f->o.ahead / 4 < FEED_BLOCK ? f->o.ahead / 4 + 1 : FEED_BLOCK;
}

size_t feed_add(struct pack_want *w, const void *p, size_t n, bool *full)
{
	size_t size = block_size(w->f), room = size - w->come.n, take = n < room ? n : room;

	fetch_body_reserve(&w->come, &w->f->bodies, size);
	fetch_body_add(&w->come, &w->f->bodies, p, take);
	*full = take == room;
	return take;
}

static void feed_free(struct pack_fetcher *f, struct pack_feed *x)
{
	pthread_mutex_lock(&f->lock);
	feed_unlink(f, x);
	pthread_mutex_unlock(&f->lock);
	pack_import_free(x->import);
	blocks_free(f, &x->inbox);
	blocks_free(f, &x->piece);
	free(x);
}

void want_free(struct pack_want *w)
{
	if (w->feed)
		feed_free(w->f, w->feed);
	fetch_body_release(&w->come, &w->f->bodies);
	fetch_body_release(&w->body, &w->f->bodies);
	free(w);
}

void feed_give(struct pack_want *w, enum pack_end end, const struct err *why)
{
	struct pack_feed *x = w->feed;

	body_move(&x->inbox, &w->come);
	x->end = end;
	x->why = why ? *why : (struct err){ 0 };
	if (!x->told) {
		x->told_next = w->f->told;
		w->f->told = x;
	}
	x->told = true;
}

/* -- a job ---------------------------------------------------------------------------- */

static int feed_open(struct pack_feed *x)
{
	struct pack_want *w = x->w;
	const struct frame_package *fp = w->p->f;
	struct import_opts o = {
		.key = w->p->key, .sri = fp->meta.resolution.integrity, .name = fp->name, .version = fp->version
	};

	if (!w->f->window)
		w->f->window = pack_scratch_new();
	o.pack_scratch = w->f->window;
	return pack_import_new(&x->import, w->f->o.store, &o, w->has_base ? &w->base.rec : NULL, &w->err);
}

static int feed_import(struct pack_feed *x)
{
	struct pack_want *w = x->w;
	const struct pack_block *k = x->piece.head;

	if (!x->import && feed_open(x) < 0)
		return w->err.code;
	if (k && pack_import_add(x->import, k->b.p, k->b.n, &w->err) < 0)
		return w->err.code;
	if ((k && k->next) || x->after == PACK_COMES)
		return 0;
	w->delta = pack_import_is_delta(x->import);
	return pack_import_end(x->import, w->digest, &w->rec, &w->err);
}

/* The blocks that are there, each of which makes room for another; after what was wrong the rest is dropped. */
static void feed_run(struct job *job)
{
	struct pack_feed *x = (struct pack_feed *)job;
	struct pack_want *w = x->w;
	uint64_t start = clock_us();

	do {
		size_t n = x->piece.head ? x->piece.head->b.n : 0;
		if (w->code == 0 && x->after != PACK_ABSENT)
			w->code = feed_import(x);
		if (x->piece.head)
			block_drop(w->f, &x->piece);
		atomic_fetch_add(&x->fed, n);
		pack_signal(w->f->wake);
	} while (x->piece.head);
	if (w->code < 0 || x->after != PACK_COMES) {
		pack_import_free(x->import);
		x->import = NULL;
	}
	w->import_us += clock_us() - start;
}

/* -- the loop's ------------------------------------------------------------------------- */

static void feed_go(struct pack_feed *x);

static void feed_next(struct pack_fetcher *f)
{
	struct pack_feed *x = f->feeds;

	f->feed = x;
	if (!x)
		return;
	f->feeds = x->next;
	x->queued = false;
	feed_go(x);
}

static void feed_end(struct pack_feed *x)
{
	struct pack_want *w = x->w;
	struct pack_fetcher *f = w->f;
	bool ready = w->code == 0 && x->after == PACK_ARRIVED;

	if (x->after == PACK_ARRIVED)
		atomic_fetch_sub(&f->held, w->hold);
	else if (w->code == 0)
		w->err = x->why;
	pack_signal(f->wake);
	feed_next(f);
	want_end(w, ready);
}

static void feed_done(struct job *job, void *ctx)
{
	struct pack_feed *x = (struct pack_feed *)job;

	(void)ctx;
	x->busy = false;
	if (x->after != PACK_COMES)
		feed_end(x);
	else
		feed_go(x);
}

/* X has the window: its next piece, if there is one, goes to the pool. */
static void feed_go(struct pack_feed *x)
{
	struct pack_want *w = x->w;
	struct pack_fetcher *f = w->f;

	if (x->busy || !f->started)
		return;
	pthread_mutex_lock(&f->lock);
	blocks_move(&x->piece, &x->inbox);
	x->after = x->end;
	pthread_mutex_unlock(&f->lock);
	if (x->piece.n == 0 && x->after == PACK_COMES)
		return;
	if (atomic_load(&x->fed) == 0 && x->piece.head)
		w->tarball = pack_tarball_bytes(x->piece.head->b.p, x->piece.head->b.n);
	x->busy = true;
	x->job = (struct job){ .run = feed_run, .done = feed_done, .ctx = f, .urgent = true };
	pool_submit(f->pool, &x->job);
}

/* Now, or when the others before it are through. */
static void feed_want(struct pack_feed *x)
{
	struct pack_fetcher *f = x->w->f;
	struct pack_feed **at = &f->feeds;

	if (!f->feed)
		f->feed = x;
	if (f->feed == x) {
		feed_go(x);
		return;
	}
	if (x->queued)
		return;
	while (*at)
		at = &(*at)->next;
	*at = x;
	x->next = NULL;
	x->queued = true;
}

static struct pack_feed *told_take(struct pack_fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	struct pack_feed *x = f->told;
	if (x) {
		f->told = x->told_next;
		x->told = false;
	}
	pthread_mutex_unlock(&f->lock);
	return x;
}

void feeds_go(struct pack_fetcher *f)
{
	for (struct pack_feed *x; (x = told_take(f));)
		feed_want(x);
}

void feed_whole(struct pack_want *w)
{
	if (!w->feed)
		feed_new(w);
	body_move(&w->feed->inbox, &w->body);
	w->feed->end = PACK_ARRIVED;
	feed_want(w->feed);
}
