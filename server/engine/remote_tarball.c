#include "remote_tarball.h"
#include "tarball_manifest.h"
#include <pthread.h>
#include <stdlib.h>

enum { MOST_BYTES = 256 << 20, URLS_MAX = 10000 };

/* A download. Waited for by the engine's thread, filled by the fetch thread; who leaves last frees it. */
struct download {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct buf bytes; /* the fetch thread's until `done` */
	bool done, stop;  /* stop: nobody wants it any more */
	bool left;        /* nobody waits any more */
	int code;
	struct err err;
};
/* One URL that was read. */
struct answer {
	struct answer *next;
	str url;
	struct request_local local;
	int code;
	struct err err;
};
struct remote_tarballs {
	struct remote_tarballs_opts o;
	struct arena arena;
	struct answer *first;
	size_t n;
	pthread_mutex_t lock; /* the two below */
	bool cancelled;
	struct download *now;
};

static void download_free(struct download *d)
{
	pthread_cond_destroy(&d->change);
	pthread_mutex_destroy(&d->lock);
	buf_release(&d->bytes);
	free(d);
}

static ptrdiff_t on_data(void *arg, const void *p, size_t n)
{
	struct download *d = arg;

	pthread_mutex_lock(&d->lock);
	bool stop = d->stop;
	pthread_mutex_unlock(&d->lock);
	if (!p)
		buf_clear(&d->bytes);
	else
		buf_add(&d->bytes, (str){ p, n });
	return stop ? -1 : (ptrdiff_t)n;
}

static void on_done(void *arg, int code, uint64_t bytes, const struct err *e)
{
	struct download *d = arg;

	(void)bytes;
	pthread_mutex_lock(&d->lock);
	d->done = true;
	d->code = code;
	if (code < 0)
		d->err = *e;
	bool left = d->left;
	pthread_cond_broadcast(&d->change);
	pthread_mutex_unlock(&d->lock);
	if (left)
		download_free(d);
}

struct remote_tarballs *remote_tarballs_new(const struct remote_tarballs_opts *o)
{
	struct remote_tarballs *r = xcalloc(1, sizeof(*r));

	r->o = *o;
	r->arena = ARENA_INIT(0);
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void remote_tarballs_free(struct remote_tarballs *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	arena_release(&r->arena);
	free(r);
}

void remote_tarballs_cancel(struct remote_tarballs *r)
{
	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	if (r->now) {
		pthread_mutex_lock(&r->now->lock);
		r->now->stop = true;
		pthread_cond_broadcast(&r->now->change);
		pthread_mutex_unlock(&r->now->lock);
	}
	pthread_mutex_unlock(&r->lock);
}

/* False: cancelled before it began. */
static bool watch(struct remote_tarballs *r, struct download *d)
{
	pthread_mutex_lock(&r->lock);
	bool go = !r->cancelled;
	r->now = go ? d : NULL;
	pthread_mutex_unlock(&r->lock);
	return go;
}

/* The bytes of URL. *OUT is the caller's on success. */
static int download(struct buf *out, struct remote_tarballs *r, str url, struct err *e)
{
	struct download *d = xcalloc(1, sizeof(*d));
	struct registry_tarball t = { .url = url,
		.name = url,
		.max_body = r->o.max_bytes ? r->o.max_bytes : MOST_BYTES,
		.priority = 1 << 30, /* the resolution waits for it */
		.data = on_data,
		.done = on_done,
		.arg = d };

	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->change, NULL);
	d->bytes = BUF_INIT;
	if (!watch(r, d)) {
		download_free(d);
		return err_set(e, ERR_CANCELLED, "the resolution was cancelled");
	}
	registry_tarball(r->o.registry, &t);
	pthread_mutex_lock(&d->lock);
	while (!d->done && !d->stop)
		pthread_cond_wait(&d->change, &d->lock);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_lock(&r->lock); /* from here on nobody touches D for the cancelling */
	r->now = NULL;
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_lock(&d->lock);
	bool done = d->done;
	d->left = !done;
	int code = done ? d->code : ERR_CANCELLED;
	if (code < 0 && done)
		*e = d->err;
	pthread_mutex_unlock(&d->lock);
	if (!done)
		return err_set(e, ERR_CANCELLED, "the resolution was cancelled");
	if (code == 0) {
		*out = d->bytes;
		d->bytes = BUF_INIT;
	}
	download_free(d);
	return code;
}

/* Into the store: what the plan's frame will ask for is there then. A store that cannot take it is left to
 * the install, which says so. */
static void keep(struct remote_tarballs *r, const struct request_local *l, const struct buf *b)
{
	struct import_opts o = {
		.key = l->integrity, .sri = l->integrity, .name = l->manifest.name, .version = l->manifest.version
	};
	struct err ignored;

	if (import_tarball(r->o.store, &o, b->p, b->n, NULL, &ignored) == 0)
		store_flush(r->o.store);
}

static int read_one(struct request_local *out, struct remote_tarballs *r, str url, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct tarball_package p;

	if (!r->o.registry)
		return err_set(e, ERR_UNSUPPORTED, "tarball URLs cannot be resolved here");
	if (r->o.offline)
		return err_set(e, ERR_NOTFOUND, STR_FMT " is not in the lockfile and --offline forbids to fetch it",
			STR_ARG(url));
	if (r->n == URLS_MAX)
		return err_set(e, ERR_TOOBIG, "more than %d dependencies are tarball URLs", URLS_MAX);
	int rc = download(&b, r, url, e);
	if (rc == 0)
		rc = tarball_manifest(&p, buf_str(&b), url, true, &r->arena, e);
	if (rc)
		return rc;
	if (p.has_manifest && !p.manifest.name.n)
		return err_set(e, ERR_PARSE, STR_FMT ": its package.json has no name", STR_ARG(url));
	out->manifest = p.manifest;
	out->integrity = p.integrity;
	if (r->o.store)
		keep(r, out, &b);
	return 0;
}

int remote_tarballs_get(struct request_local *out, struct remote_tarballs *r, str url, struct err *e)
{
	struct answer *a = r->first;

	while (a && !str_eq(a->url, url))
		a = a->next;
	if (!a) {
		a = arena_new(&r->arena, struct answer, 1);
		*a = (struct answer){ .next = r->first, .url = arena_str(&r->arena, url) };
		a->code = read_one(&a->local, r, a->url, &a->err);
		r->first = a;
		r->n++;
	}
	if (a->code < 0) {
		*e = a->err;
		return a->code;
	}
	*out = a->local;
	return 0;
}
