#include "fetch_packs_impl.h"
#include "import_pack.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "pack_delta.h"
#include "workq.h"

void want_add(struct want_list *l, struct pack_want *w)
{
	w->next = NULL;
	if (l->tail)
		l->tail->next = w;
	else
		l->head = w;
	l->tail = w;
	l->n++;
}

void want_insert(struct want_list *l, struct pack_want *before, struct pack_want *w)
{
	struct pack_want **at = before ? &before->next : &l->head;

	w->next = *at;
	*at = w;
	if (!w->next)
		l->tail = w;
	l->n++;
}

struct pack_want *want_take(struct want_list *l)
{
	struct pack_want *w = l->head;

	if (!w)
		return NULL;
	l->head = w->next;
	if (!l->head)
		l->tail = NULL;
	l->n--;
	return w;
}

bool want_remove(struct want_list *l, struct pack_want *w)
{
	struct pack_want **at = &l->head, *before = NULL;

	for (; *at && *at != w; at = &(*at)->next)
		before = *at;
	if (!*at)
		return false;
	*at = w->next;
	if (!w->next)
		l->tail = before;
	l->n--;
	return true;
}

void want_return(struct want_list *l, struct want_list *all)
{
	if (!all->head)
		return;
	all->tail->next = l->head;
	if (!l->tail)
		l->tail = all->tail;
	l->head = all->head;
	l->n += all->n;
	*all = (struct want_list){ 0 };
}

void pack_signal(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* an eventfd of ours takes a write of 1 */
}

static int fetcher_init(struct pack_fetcher *f, struct err *e)
{
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd < 0 || f->wake < 0)
		return err_os(e, "eventfd for packs");
	if (server_url_parse(&f->url, f->o.url, &f->a, e) < 0)
		return e->code;
	f->path_get = arena_printf(&f->a, STR_FMT "/v1/packs", STR_ARG(f->url.prefix));
	f->path_find = arena_printf(&f->a, STR_FMT "/v1/packs/find", STR_ARG(f->url.prefix));
	if (f->o.token.n)
		f->authorization = arena_printf(&f->a, "Bearer " STR_FMT, STR_ARG(f->o.token));
	if (f->o.ca_file)
		f->o.ca_file = arena_str(&f->a, str_of(f->o.ca_file)).p;
	f->o.connections = f->o.connections ? f->o.connections : 8;
	f->o.connect_ms = f->o.connect_ms ? f->o.connect_ms : 1000;
	f->o.away_ms = f->o.away_ms ? f->o.away_ms : 3000;
	f->o.stall_ms = f->o.stall_ms ? f->o.stall_ms : 60000;
	f->o.stream_from = f->o.stream_from ? f->o.stream_from : 1u << 20;
	f->o.ahead = f->o.ahead ? f->o.ahead : 3u << 20;
	f->o.small_ahead = f->o.small_ahead ? f->o.small_ahead : 3u << 20;
	f->o.share_ms = f->o.share_ms ? f->o.share_ms : 200;
	f->o.max_bytes = f->o.max_bytes ? f->o.max_bytes : 12u << 20;
	return 0;
}

int pack_fetcher_new(struct pack_fetcher **out, struct pool *pool, const struct pack_fetcher_opts *o, struct err *e)
{
	struct pack_fetcher *f = xcalloc(1, sizeof(*f));

	f->o = *o;
	f->pool = pool;
	f->fd = f->wake = -1;
	f->open_last = &f->open;
	f->a = ARENA_INIT(1024);
	pthread_mutex_init(&f->lock, NULL);
	fetch_bodies_init(&f->bodies);
	if (fetcher_init(f, e) < 0 || workq_thread(&f->thread, "packs", pack_conn_run, f, e) < 0) {
		pack_fetcher_free(f);
		return e->code;
	}
	f->started = true;
	*out = f;
	return 0;
}

bool pack_possible(const struct tree_package *p, bool look_up)
{
	uint8_t key[PACKS_KEY];
	enum lock_res_kind kind = p->f->meta.resolution.kind;

	if (kind != LOCK_RES_REGISTRY && kind != LOCK_RES_TARBALL)
		return false;
	if (look_up)
		return packs_key(key, p->f->meta.resolution.integrity);
	return p->f->pack_size > 0 && p->f->pack_size <= PACK_MOST_RAW;
}

static void open_add(struct pack_fetcher *f, struct pack_want *w)
{
	w->open_link = f->open_last;
	*f->open_last = w;
	f->open_last = &w->open_next;
}

static void open_remove(struct pack_fetcher *f, struct pack_want *w)
{
	if (!w->open_link)
		return;
	*w->open_link = w->open_next;
	if (w->open_next)
		w->open_next->open_link = w->open_link;
	else
		f->open_last = w->open_link;
	w->open_link = NULL;
}

struct tree_package *pack_take(struct pack_fetcher *f, bool deltas)
{
	for (struct pack_want *w = f->open, *next; w; w = next) {
		unsigned open = WANT_OPEN;
		next = w->open_next;
		if (!deltas && w->has_base)
			continue;
		open_remove(f, w);
		if (!atomic_compare_exchange_strong(&w->fate, &open, WANT_TAKEN))
			continue;
		f->pending--;
		f->unanswered++;
		w->p->state = PACKAGE_IDLE;
		w->p->awaits = NULL;
		return w->p;
	}
	return NULL;
}

size_t pack_fetcher_unanswered(const struct pack_fetcher *f)
{
	return f->unanswered;
}

void pack_fetch(struct pack_fetcher *f, struct tree_package *p, bool look_up, const struct pack_base_of *base)
{
	struct pack_want *w = xcalloc(1, sizeof(*w));

	w->f = f;
	w->p = p;
	if (look_up && !p->f->pack_size)
		open_add(f, w);
	if (base) {
		w->base = *base;
		w->has_base = true;
		w->awaits = !base->rec.p;
		p->awaits = w->awaits ? w : NULL;
	}
	w->size = look_up || base ? 0 : p->f->pack_size;
	memcpy(w->digest, p->f->pack, 32);
	packs_key(w->key, p->f->meta.resolution.integrity);
	p->state = PACKAGE_COMING;
	f->pending++;
	pthread_mutex_lock(&f->lock);
	bool first = f->in.n == 0;
	want_add(&f->in, w);
	pthread_mutex_unlock(&f->lock);
	if (first)
		pack_signal(f->wake);
}

void pack_base_comes(struct tree_package *p, struct pkg rec)
{
	struct pack_want *w = p->awaits;

	if (!w)
		return;
	struct pack_fetcher *f = w->f;
	p->awaits = NULL;
	pthread_mutex_lock(&f->lock);
	w->base.rec = rec;
	w->awaits = false;
	bool found = want_remove(&f->parked, w);
	if (found)
		want_add(&f->in, w);
	pthread_mutex_unlock(&f->lock);
	if (found)
		pack_signal(f->wake);
}

bool pack_base_lost(struct tree_package *p)
{
	struct pack_want *w = p->awaits;

	if (!w)
		return false;
	struct pack_fetcher *f = w->f;
	p->awaits = NULL;
	p->state = PACKAGE_IDLE;
	f->pending--;
	open_remove(f, w);
	pthread_mutex_lock(&f->lock);
	bool found = want_remove(&f->parked, w);
	w->left = !found; /* then the thread has it, and hands it back */
	pthread_mutex_unlock(&f->lock);
	if (found)
		want_free(w);
	return true;
}

/* -- importing -------------------------------------------------------------------- */

enum { UNPACKING_MAX = 12 << 20, SPARE_MAX = 4 << 20 };

static struct pack_scratch *scratch_take(struct pack_fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	struct pack_scratch *s = f->spare.n ? f->spare.p[--f->spare.n] : NULL;
	pthread_mutex_unlock(&f->lock);
	return s ? s : pack_scratch_new();
}

static void scratch_give(struct pack_fetcher *f, struct pack_scratch *s)
{
	uint64_t sum = pack_scratch_bytes(s);

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < f->spare.n; i++)
		sum += pack_scratch_bytes(f->spare.p[i]);
	if (f->spare.n < sizeof(f->spare.p) / sizeof(*f->spare.p) && sum <= SPARE_MAX) {
		f->spare.p[f->spare.n++] = s;
		s = NULL;
	}
	pthread_mutex_unlock(&f->lock);
	pack_scratch_free(s);
}

/* No job has one. */
static void scratches_free(struct pack_fetcher *f)
{
	while (f->spare.n)
		pack_scratch_free(f->spare.p[--f->spare.n]);
	pack_scratch_free(f->window);
	f->window = NULL;
}

static void want_import(struct job *job)
{
	struct pack_want *w = (struct pack_want *)job;
	const struct frame_package *fp = w->p->f;
	uint64_t start = clock_us();
	struct import_opts o = { .key = w->p->key,
		.sri = fp->meta.resolution.integrity,
		.name = fp->name,
		.version = fp->version,
		.pack_scratch = scratch_take(w->f) };

	w->delta = w->has_base && pack_is_delta(w->body.p, w->body.n);
	w->code = w->delta ? import_delta(
				     w->f->o.store, &o, w->base.rec, w->digest, w->body.p, w->body.n, &w->rec, &w->err)
			   : import_pack(w->f->o.store, &o, w->digest, w->body.p, w->body.n, &w->rec, &w->err);
	scratch_give(w->f, o.pack_scratch);
	w->import_us = clock_us() - start;
}

void want_end(struct pack_want *w, bool ready)
{
	struct pack_fetcher *f = w->f;
	struct tree_package *p = w->p;
	struct err e = w->err;

	open_remove(f, w);
	f->pending--;
	pthread_mutex_lock(&f->lock);
	f->counts.import_us += w->import_us;
	f->counts.saved += ready && w->tarball > w->size ? w->tarball - w->size : 0;
	f->counts.deltas += ready && w->delta;
	*(ready ? &f->counts.packs : e.code ? &f->counts.refused : &f->counts.absent) += 1;
	pthread_mutex_unlock(&f->lock);
	if (ready) {
		p->rec = w->rec;
		p->owned = p->cold = true;
	}
	p->state = ready ? PACKAGE_READY : PACKAGE_IDLE;
	p->awaits = NULL;
	want_free(w);
	if (f->pending == 0)
		scratches_free(f);
	if (ready)
		f->o.done(f->o.arg, p);
	else
		f->o.absent(f->o.arg, p, e.code ? &e : NULL);
}

/* Of one that the loop took back: only what became of the server is news. */
static void want_drop(struct pack_want *w)
{
	struct pack_fetcher *f = w->f;
	struct err e = w->err;

	f->unanswered -= !w->left;
	want_free(w);
	if (e.code)
		f->o.absent(f->o.arg, NULL, &e);
}

static void want_imported(struct job *job, void *ctx);

/* What unpacking takes is known beforehand: the pool gets so many that their sum is bounded, one at least. Those that
 * take a window are apart: pack_feed.c. */
static void imports_start(struct pack_fetcher *f)
{
	for (struct pack_want *w; (w = f->waiting.head);) {
		if (!f->started || (f->unpacking > 0 && f->unpacking + w->raw > UNPACKING_MAX))
			return;
		f->unpacking += w->raw;
		want_take(&f->waiting);
		w->job = (struct job){ .run = want_import, .done = want_imported, .ctx = f };
		pool_submit(f->pool, &w->job);
	}
}

static void want_imported(struct job *job, void *ctx)
{
	struct pack_want *w = (struct pack_want *)job;
	struct pack_fetcher *f = ctx;

	atomic_fetch_sub(&f->held, w->hold);
	pack_signal(f->wake);
	f->unpacking -= w->raw;
	want_end(w, w->code == 0);
	imports_start(f);
}

void pack_fetcher_drain(struct pack_fetcher *f)
{
	struct want_list got;
	uint64_t count;

	if (read(f->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	pthread_mutex_lock(&f->lock);
	got = f->news;
	f->news = (struct want_list){ 0 };
	pthread_mutex_unlock(&f->lock);
	for (struct pack_want *w; (w = want_take(&got));) {
		if (w->left || atomic_load(&w->fate) == WANT_TAKEN) {
			want_drop(w);
			continue;
		}
		if (!w->arrived) {
			want_end(w, false);
			continue;
		}
		w->raw = pack_memory(w->body.p, w->body.n);
		w->tarball = pack_tarball_bytes(w->body.p, w->body.n);
		if (w->raw > PACK_PIECE)
			feed_whole(w);
		else
			want_add(&f->waiting, w);
	}
	imports_start(f);
	feeds_go(f);
}

int pack_fetcher_fd(const struct pack_fetcher *f)
{
	return f->fd;
}

size_t pack_fetcher_pending(const struct pack_fetcher *f)
{
	return f->pending;
}

struct pack_counts pack_fetcher_counts(struct pack_fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	struct pack_counts n = f->counts;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void pack_fetcher_stop(struct pack_fetcher *f)
{
	if (!f || !f->started)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	pack_signal(f->wake);
	pthread_join(f->thread, NULL);
	f->started = false;
}

static void list_free(struct want_list *l)
{
	for (struct pack_want *w; (w = want_take(l));)
		want_free(w);
}

void pack_fetcher_free(struct pack_fetcher *f)
{
	if (!f)
		return;
	pack_fetcher_stop(f);
	list_free(&f->in);
	list_free(&f->parked);
	list_free(&f->news);
	list_free(&f->waiting);
	while (f->all)
		want_free(f->all->w);
	scratches_free(f);
	if (f->fd >= 0)
		close(f->fd);
	if (f->wake >= 0)
		close(f->wake);
	fetch_bodies_release(&f->bodies);
	pthread_mutex_destroy(&f->lock);
	arena_release(&f->a);
	free(f);
}
