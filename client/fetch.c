#include "fetch.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "fetch_body.h"
#include "log.h"
#include "net_opts.h"
#include "unpack.h"

/* Requests that are with the registry's client at once: more than it sends. The others wait here,
 * where each costs a tenth. */
enum { REQUESTS = 2 * NET_TARBALLS };
/* What is not imported whole anyway goes in smaller pieces: the last one is imported when nothing
 * is left to overlap with. */
enum { PIECES_LARGE = 4 };
/* Who may go on may do so by this much at least: what a socket gives at once. */
enum { CHUNK = 64 << 10 };

/* One tarball on its way. The fetch thread owns `buf` while `at` is DOWNLOADING; the loop and
 * its job own it otherwise. */
struct fetch {
	struct job job;
	struct fetcher *f;
	struct tree_package *p;
	struct http_call *call;
	struct import *import;  /* once it goes piecewise */
	struct fetch_body buf;  /* downloaded and not yet imported */
	struct fetch_body feed; /* the piece that the pool works on */
	uint64_t piece;         /* bytes that it may hold before they are imported */
	uint64_t length;        /* of the tarball; 0: not known */
	uint64_t fed;           /* bytes of it that went to the pool */
	int priority;
	uint64_t seq;
	struct pkg rec;
	uint64_t import_us;
	unsigned tries; /* that brought a tarball which was not what it should be */
	int code;
	bool last;       /* feed is the end of it */
	bool importing;  /* its job is with the pool */
	bool blocked;    /* in f->blocked */
	struct err *err; /* of the import; NULL: none. On the heap, as thousands wait at once */
	/* under f->lock */
	bool restart; /* the registry started over: what was imported is void */
	bool paused, ended;
	bool full;      /* paused since its piece is complete, not for want of room */
	uint64_t grant; /* bytes of room that are kept for it */
	bool listed;
	bool over; /* ended, and the loop has not yet seen it */
	int end_code;
	struct err *end_err;
	struct fetch *next; /* in f->news */
};
struct fetcher {
	struct fetcher_opts o;
	struct pool *pool;
	pthread_mutex_t lock;
	struct fetch_bodies bodies;
	struct fetch *news, **last;
	int fd;
	size_t pending;
	VEC(struct fetch *) waiting; /* a heap: the next to be asked for is first */
	VEC(struct fetch *) blocked; /* paused for want of room */
	unsigned importing;
	uint64_t seq;
	unsigned asked; /* requests that have not ended */
	bool stopped;
	struct scratches {
		struct unpack_scratch *p[16];
		unsigned n;
	} spare;                   /* under the lock */
	atomic_uint_fast64_t held; /* bytes in memory */
	uint64_t granted;          /* of all grants; under the lock */
	struct fetch_counts counts;
};

int fetcher_new(struct fetcher **out, struct pool *p, const struct fetcher_opts *o, struct err *e)
{
	struct fetcher *f = xcalloc(1, sizeof(*f));

	f->o = *o;
	if (f->o.max_bytes == 0)
		f->o.max_bytes = 12u << 20;
	if (f->o.piece == 0)
		f->o.piece = 4u << 20;
	f->pool = p;
	f->last = &f->news;
	fetch_bodies_init(&f->bodies);
	pthread_mutex_init(&f->lock, NULL);
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd < 0) {
		err_os(e, "eventfd for fetches");
		fetcher_free(f);
		return e->code;
	}
	*out = f;
	return 0;
}

/* Under the lock. */
static void fetch_tell(struct fetch *x)
{
	struct fetcher *f = x->f;
	uint64_t one = 1;

	if (x->listed)
		return;
	x->listed = true;
	x->next = NULL;
	bool wake = f->news == NULL;
	*f->last = x;
	f->last = &x->next;
	if (wake && write(f->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of ours takes a write of 1 */
}

/* On the fetch thread, as the next. */
static void fetch_length(void *arg, uint64_t n)
{
	struct fetch *x = arg;

	pthread_mutex_lock(&x->f->lock);
	x->length = n;
	x->piece = n > x->f->o.piece ? x->f->o.piece / PIECES_LARGE : x->f->o.piece;
	fetch_body_reserve(&x->buf, &x->f->bodies, n < x->piece ? (size_t)n : (size_t)x->piece);
	pthread_mutex_unlock(&x->f->lock);
}

/* Under the lock: what it did not need is others'. */
static void grant_end(struct fetch *x)
{
	x->f->granted -= x->grant;
	x->grant = 0;
}

/* Under the lock: may N bytes more be held? A first piece that has more than the limit may, alone. */
static bool has_room(struct fetch *x, size_t n)
{
	struct fetcher *f = x->f;
	uint64_t held = atomic_load(&f->held);

	return n <= x->grant || held + f->granted - x->grant + n <= f->o.max_bytes || held + f->granted - x->grant == 0;
}

/* On the fetch thread; must not block for long. */
static ptrdiff_t fetch_data(void *arg, const void *p, size_t n)
{
	struct fetch *x = arg;
	struct fetcher *f = x->f;
	ptrdiff_t took = (ptrdiff_t)n;

	pthread_mutex_lock(&f->lock);
	x->full = x->buf.n > 0 && x->buf.n + n > x->piece;
	if (!p) { /* a retry begins: from the start */
		atomic_fetch_sub(&f->held, x->buf.n);
		x->buf.n = 0;
		x->restart = true;
	} else if (x->full || !has_room(x, n)) {
		grant_end(x);
		x->paused = true;
		took = 0;
		fetch_tell(x);
	} else {
		uint64_t used = n < x->grant ? n : x->grant;
		x->grant -= used;
		f->granted -= used;
		fetch_body_add(&x->buf, &f->bodies, p, n);
		uint64_t held = atomic_fetch_add(&f->held, n) + n;
		if (held > f->counts.most_bytes)
			f->counts.most_bytes = held;
	}
	pthread_mutex_unlock(&f->lock);
	return took;
}

static void fetch_end(void *arg, int code, uint64_t bytes, const struct err *e)
{
	struct fetch *x = arg;

	pthread_mutex_lock(&x->f->lock);
	grant_end(x);
	x->ended = x->over = true;
	x->call = NULL;
	x->end_code = code;
	if (code < 0)
		x->end_err = err_copy(e);
	x->f->counts.bytes += bytes;
	fetch_tell(x);
	pthread_mutex_unlock(&x->f->lock);
}

static struct import_opts fetch_import_opts(const struct tree_package *p)
{
	return (struct import_opts){
		.key = p->key,
		.sri = p->f->meta.resolution.integrity,
		.name = p->f->name,
		.version = p->f->version,
	};
}

static struct unpack_scratch *scratch_take(struct fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	struct unpack_scratch *s = f->spare.n ? f->spare.p[--f->spare.n] : NULL;
	pthread_mutex_unlock(&f->lock);
	return s ? s : unpack_scratch_new();
}

static void scratch_give(struct fetcher *f, struct unpack_scratch *s)
{
	pthread_mutex_lock(&f->lock);
	if (f->spare.n < sizeof(f->spare.p) / sizeof(*f->spare.p)) {
		f->spare.p[f->spare.n++] = s;
		s = NULL;
	}
	pthread_mutex_unlock(&f->lock);
	unpack_scratch_free(s);
}

/* On a pool thread: all of the tarball, or the next piece of it. */
static void fetch_import(struct job *job)
{
	struct fetch *x = (struct fetch *)job;
	uint64_t start = clock_us();
	struct import_opts o = fetch_import_opts(x->p);
	struct err e = { 0 };

	x->code = 0;
	if (!x->import && x->last) {
		o.scratch = scratch_take(x->f);
		x->code = import_tarball(x->f->o.store, &o, x->feed.p, x->feed.n, &x->rec, &e);
		scratch_give(x->f, o.scratch);
	} else {
		if (!x->import)
			x->code = import_begin(&x->import, x->f->o.store, &o, &e);
		if (x->code == 0 && x->feed.n)
			x->code = import_feed(x->import, x->feed.p, x->feed.n, &e);
		if (x->code == 0 && x->last) {
			x->code = import_end(x->import, &x->rec, &e);
			if (x->code == 0)
				x->import = NULL;
		}
	}
	if (x->code < 0) {
		e.code = e.code ? e.code : x->code;
		x->err = err_copy(&e);
		import_abort(x->import);
		x->import = NULL;
	}
	x->import_us += clock_us() - start;
}

/* X ends here: no news of it is left behind. */
static void fetch_forget(struct fetch *x)
{
	struct fetcher *f = x->f;

	pthread_mutex_lock(&f->lock);
	f->asked -= x->over;
	for (struct fetch **at = &f->news; x->listed && *at; at = &(*at)->next) {
		if (*at != x)
			continue;
		*at = x->next;
		x->listed = false;
		if (f->last == &x->next)
			f->last = at;
		break;
	}
	pthread_mutex_unlock(&f->lock);
}

static void blocked_remove(struct fetch *x)
{
	struct fetcher *f = x->f;

	for (size_t i = 0; x->blocked; i++) {
		if (f->blocked.p[i] == x) {
			f->blocked.p[i] = f->blocked.p[--f->blocked.n];
			x->blocked = false;
		}
	}
}

static void fetch_finish(struct fetch *x, int code, const struct err *e)
{
	struct fetcher *f = x->f;
	struct tree_package *p = x->p;
	struct err err = { 0 };

	if (code < 0)
		err = *e; /* it may be in X, which ends here */
	fetch_forget(x);
	blocked_remove(x);
	f->pending--;
	f->counts.import_us += x->import_us;
	import_abort(x->import);
	atomic_fetch_sub(&f->held, x->buf.n + x->feed.n);
	fetch_body_release(&x->buf, &f->bodies);
	fetch_body_release(&x->feed, &f->bodies);
	if (code == 0) {
		f->counts.tarballs++;
		p->rec = x->rec;
		p->owned = true;
		p->cold = true;
		p->state = PACKAGE_READY;
	} else {
		p->state = PACKAGE_IDLE;
	}
	free(x->err);
	free(x->end_err);
	free(x);
	f->o.done(f->o.arg, p, code, &err);
}

/* ---- what came is not what it should be ---- */

static void waiting_add(struct fetcher *f, struct fetch *x);
static void fetch_more(struct fetcher *f);

/* A tarball that was damaged on its way, or put together from two answers that do not belong together, is asked for
 * anew, from its first byte, as often as a download that breaks off. True: it is. */
static bool fetch_anew(struct fetch *x)
{
	struct fetcher *f = x->f;

	if ((x->code != ERR_INTEGRITY && x->code != ERR_PARSE) || x->tries >= registry_retries(f->o.registry))
		return false;
	log_info("fetch", "%s; asked for again", x->err->msg);
	fetch_forget(x);
	blocked_remove(x);
	atomic_fetch_sub(&f->held, x->buf.n + x->feed.n);
	fetch_body_release(&x->buf, &f->bodies);
	fetch_body_release(&x->feed, &f->bodies);
	free(x->err);
	free(x->end_err);
	struct fetch fresh = {
		.job = x->job, .f = f, .p = x->p, .piece = f->o.piece, .priority = x->priority, .seq = x->seq
	};
	fresh.import_us = x->import_us;
	fresh.tries = x->tries + 1;
	*x = fresh;
	waiting_add(f, x);
	fetch_more(f);
	return true;
}

/* The import said no, and nothing of X is under way any more. */
static void fetch_refused(struct fetch *x)
{
	size_t n = strlen(x->err->msg);

	if (fetch_anew(x))
		return;
	if (x->tries && n < sizeof(x->err->msg))
		snprintf(x->err->msg + n, sizeof(x->err->msg) - n, " (%u attempts)", x->tries + 1);
	fetch_finish(x, x->code, x->err);
}

static void fetch_step(struct fetch *x, bool force);
static void unblock(struct fetcher *f);

static void fetch_imported(struct job *job, void *ctx)
{
	struct fetch *x = (struct fetch *)job;
	struct fetcher *f = ctx;

	atomic_fetch_sub(&f->held, x->feed.n);
	fetch_body_release(&x->feed, &f->bodies);
	x->importing = false;
	f->importing--;
	if (x->rec.p) {
		fetch_finish(x, 0, NULL);
		unblock(f);
		return;
	}
	/* A call is valid until its done has returned, and that takes the lock. */
	pthread_mutex_lock(&f->lock);
	bool resume = x->code == 0 && x->paused, cancel = x->code < 0 && x->call;
	if (resume)
		x->paused = false;
	if (resume && x->call)
		http_resume(f->o.http, x->call);
	if (cancel)
		http_cancel(f->o.http, x->call); /* its end is told in time */
	pthread_mutex_unlock(&f->lock);
	if (x->code < 0 && !cancel)
		fetch_refused(x);
	else if (!cancel)
		fetch_step(x, false);
	unblock(f);
}

/* On the loop, nothing of X being on the pool. FORCE: what there is of it goes, although its piece is not complete. */
static void fetch_step(struct fetch *x, bool force)
{
	struct fetcher *f = x->f;

	pthread_mutex_lock(&f->lock);
	bool ended = x->ended, go = ended || (x->paused && (x->full || force)), restart = x->restart;
	bool block = x->paused && !go;
	x->restart = false;
	if (go) {
		x->feed = x->buf;
		x->buf = (struct fetch_body){ 0 };
	}
	pthread_mutex_unlock(&f->lock);
	if (restart && x->import) {
		import_abort(x->import);
		x->import = NULL;
		x->fed = 0;
	}
	if (block && !x->blocked) {
		*vec_add(&f->blocked) = x;
		x->blocked = true;
	}
	if (!go)
		return;
	blocked_remove(x);
	if (x->code < 0) { /* the import failed before the download ended */
		fetch_refused(x);
		return;
	}
	if (ended && x->end_code < 0) {
		fetch_finish(x, x->end_code, x->end_err);
		return;
	}
	if (!ended)
		f->counts.pieces++;
	x->fed += x->feed.n;
	x->last = ended;
	x->importing = true;
	f->importing++;
	pool_submit(f->pool, &x->job);
}

/* ---- room for what is downloaded ---- */

static bool before(const struct fetch *a, const struct fetch *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->seq < b->seq;
}

/* Under the lock: what X still lacks until it can be imported, as a whole or a piece. */
static uint64_t lacks(const struct fetch *x)
{
	uint64_t left = x->length > x->fed ? x->length - x->fed : x->piece;
	uint64_t whole = left < x->piece ? left : x->piece;

	return whole > x->buf.n + CHUNK ? whole - x->buf.n : CHUNK;
}

/* The blocked one that has to go on: the most work. */
static struct fetch *blocked_first(struct fetcher *f)
{
	struct fetch *x = f->blocked.p[0];

	for (size_t i = 1; i < f->blocked.n; i++) {
		if (before(f->blocked.p[i], x))
			x = f->blocked.p[i];
	}
	return x;
}

/* Under the lock: the blocked one that is best imported as far as it is: one that goes in pieces anyway, and of those
 * the one that holds most. */
static struct fetch *blocked_fullest(struct fetcher *f)
{
	struct fetch *x = f->blocked.p[0];

	for (size_t i = 1; i < f->blocked.n; i++) {
		struct fetch *y = f->blocked.p[i];
		bool xp = x->import || x->length > f->o.piece, yp = y->import || y->length > f->o.piece;
		if (y->buf.n && (!x->buf.n || yp > xp || (yp == xp && y->buf.n > x->buf.n)))
			x = y;
	}
	return x->buf.n ? x : NULL;
}

/* Downloads that stopped for want of room go on in it, with as much as they lack: in whole tarballs, where the
 * network is faster than the workers. These are never left without work for that: then something incomplete goes, so
 * that there is room again. */
static void unblock(struct fetcher *f)
{
	while (f->blocked.n) {
		struct fetch *x = blocked_first(f);
		pthread_mutex_lock(&f->lock);
		uint64_t taken = atomic_load(&f->held) + f->granted, want = lacks(x);
		bool go = x->ended || taken + want <= f->o.max_bytes || taken == 0;
		if (go && !x->ended) {
			x->grant = want;
			f->granted += want;
			x->paused = false;
			if (x->call)
				http_resume(f->o.http, x->call);
		}
		pthread_mutex_unlock(&f->lock);
		if (!go)
			break;
		blocked_remove(x);
	}
	while (f->blocked.n && f->importing < pool_workers(f->pool)) {
		pthread_mutex_lock(&f->lock);
		struct fetch *x = blocked_fullest(f);
		pthread_mutex_unlock(&f->lock);
		if (!x)
			break;
		fetch_step(x, true);
	}
}

/* ---- asking, what is most work first ---- */

static void waiting_add(struct fetcher *f, struct fetch *x)
{
	size_t at = f->waiting.n;

	*vec_add(&f->waiting) = x;
	for (; at > 0 && before(x, f->waiting.p[(at - 1) / 2]); at = (at - 1) / 2)
		f->waiting.p[at] = f->waiting.p[(at - 1) / 2];
	f->waiting.p[at] = x;
}

static struct fetch *waiting_take(struct fetcher *f)
{
	struct fetch **p = f->waiting.p, *first = p[0], *last = p[--f->waiting.n];
	size_t n = f->waiting.n, at = 0;

	for (size_t kid = 1; kid < n; at = kid, kid = 2 * at + 1) {
		if (kid + 1 < n && before(p[kid + 1], p[kid]))
			kid++;
		if (!before(p[kid], last))
			break;
		p[at] = p[kid];
	}
	p[at] = last;
	return first;
}

static void fetch_ask(struct fetcher *f, struct fetch *x)
{
	struct registry_tarball t = {
		.url = x->p->f->url,
		.name = x->p->f->name,
		.priority = x->priority,
		.data = fetch_data,
		.length = fetch_length,
		.done = fetch_end,
		.arg = x,
	};

	f->asked++;
	pthread_mutex_lock(&f->lock);
	struct http_call *call = registry_tarball(f->o.registry, &t);
	if (!x->ended)
		x->call = call;
	pthread_mutex_unlock(&f->lock);
}

static void fetch_more(struct fetcher *f)
{
	while (!f->stopped && f->asked < REQUESTS && f->waiting.n)
		fetch_ask(f, waiting_take(f));
}

void fetch_package(struct fetcher *f, struct tree_package *p)
{
	struct fetch *x = xcalloc(1, sizeof(*x));
	uint64_t size = p->f->unpacked_size / 1000 + 3u * (uint64_t)p->f->file_count;

	x->f = f;
	x->p = p;
	x->job = (struct job){ .run = fetch_import, .done = fetch_imported, .ctx = f };
	x->priority = size > 1000000 ? 1000000 : (int)size;
	x->seq = f->seq++;
	x->piece = f->o.piece;
	p->state = PACKAGE_COMING;
	f->pending++;
	waiting_add(f, x);
	fetch_more(f);
}

int fetcher_fd(const struct fetcher *f)
{
	return f->fd;
}

static struct fetch *fetch_next(struct fetcher *f)
{
	uint64_t count;

	pthread_mutex_lock(&f->lock);
	struct fetch *x = f->news;
	if (x) {
		f->news = x->next;
		x->listed = false;
		f->asked -= x->over;
		x->over = false;
	}
	if (!f->news) {
		f->last = &f->news;
		if (read(f->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			abort();
	}
	pthread_mutex_unlock(&f->lock);
	return x;
}

void fetcher_drain(struct fetcher *f)
{
	for (struct fetch *x; (x = fetch_next(f));) {
		if (!x->importing)
			fetch_step(x, false);
	}
	unblock(f);
	fetch_more(f);
}

size_t fetcher_pending(const struct fetcher *f)
{
	return f->pending;
}

struct fetch_counts fetcher_counts(struct fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	struct fetch_counts n = f->counts;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fetcher_stop(struct fetcher *f)
{
	f->stopped = true;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	for (size_t i = 0; i < f->waiting.n; i++)
		free(f->waiting.p[i]);
	vec_release(&f->waiting);
	vec_release(&f->blocked);
	fetch_bodies_release(&f->bodies);
	while (f->spare.n)
		unpack_scratch_free(f->spare.p[--f->spare.n]);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
