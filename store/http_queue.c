#include "http_queue.h"

/* Hosts without work are kept up to this many, to remember that they were reached. */
#define HOSTS_KEPT 64

struct heap {
	VEC(struct http_wait *) of;
};
struct http_host {
	char *key;
	struct heap heap[2]; /* those that may always start, and the holdable */
	unsigned active;
	bool limited, reached;
};

static bool before(const struct http_wait *a, const struct http_wait *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->seq < b->seq;
}

static void heap_set(struct heap *h, size_t at, struct http_wait *w)
{
	h->of.p[at] = w;
	w->at = at;
}

static void heap_up(struct heap *h, size_t at)
{
	struct http_wait *w = h->of.p[at];

	for (; at > 0 && before(w, h->of.p[(at - 1) / 2]); at = (at - 1) / 2)
		heap_set(h, at, h->of.p[(at - 1) / 2]);
	heap_set(h, at, w);
}

static void heap_down(struct heap *h, size_t at)
{
	struct http_wait *w = h->of.p[at];

	for (;;) {
		size_t kid = 2 * at + 1;
		if (kid + 1 < h->of.n && before(h->of.p[kid + 1], h->of.p[kid]))
			kid++;
		if (kid >= h->of.n || !before(h->of.p[kid], w))
			break;
		heap_set(h, at, h->of.p[kid]);
		at = kid;
	}
	heap_set(h, at, w);
}

static void heap_remove(struct heap *h, size_t at)
{
	struct http_wait *last = h->of.p[--h->of.n];

	if (at == h->of.n)
		return;
	heap_set(h, at, last);
	heap_up(h, at);
	heap_down(h, last->at);
}

/* Where W waits. */
static struct heap *heap_of(const struct http_wait *w)
{
	return &w->host->heap[w->holdable];
}

static void host_free(struct http_host *h)
{
	vec_release(&h->heap[false].of);
	vec_release(&h->heap[true].of);
	free(h->key);
	free(h);
}

static void forget_idle_hosts(struct http_queue *q)
{
	for (size_t i = q->hosts.n; i-- > 0 && q->hosts.n > HOSTS_KEPT;) {
		struct http_host *h = q->hosts.p[i];
		if (h->active == 0 && h->heap[false].of.n == 0 && h->heap[true].of.n == 0) {
			host_free(h);
			q->hosts.p[i] = q->hosts.p[--q->hosts.n];
		}
	}
}

static struct http_host *host_of(struct http_queue *q, str key)
{
	for (size_t i = 0; i < q->hosts.n; i++) {
		if (str_eq(str_of(q->hosts.p[i]->key), key))
			return q->hosts.p[i];
	}
	if (q->hosts.n >= HOSTS_KEPT)
		forget_idle_hosts(q);
	struct http_host *h = xcalloc(1, sizeof(*h));
	h->key = xstrndup(key);
	return *vec_add(&q->hosts) = h;
}

void http_queue_add(struct http_queue *q, struct http_wait *w, str key, bool limited)
{
	w->host = host_of(q, key);
	w->host->limited = limited;
	struct heap *heap = heap_of(w);
	*vec_add(&heap->of) = w;
	w->at = heap->of.n - 1;
	heap_up(heap, w->at);
	q->waiting++;
}

static bool has_room(const struct http_queue *q, const struct http_host *h)
{
	unsigned left = q->max_active - (q->active - h->active);

	if (h->active == 0)
		return true;
	if (!h->reached || (q->keep_room && h->active >= left - left / 4))
		return false;
	return !h->limited || h->active < q->max_per_host;
}

/* The first of H that is not held, or NULL. */
static struct http_wait *first(const struct http_queue *q, const struct http_host *h)
{
	struct http_wait *w = h->heap[false].of.n ? h->heap[false].of.p[0] : NULL;
	struct http_wait *other = h->heap[true].of.n && !q->hold ? h->heap[true].of.p[0] : NULL;

	return !w || (other && before(other, w)) ? other : w;
}

struct http_wait *http_queue_take(struct http_queue *q)
{
	struct http_wait *best = NULL;

	if (q->active >= q->max_active)
		return NULL;
	for (size_t i = 0; i < q->hosts.n; i++) {
		struct http_host *h = q->hosts.p[i];
		struct http_wait *w = first(q, h);
		if (w && has_room(q, h) && (!best || before(w, best)))
			best = w;
	}
	if (!best)
		return NULL;
	heap_remove(heap_of(best), 0);
	best->host->active++;
	q->waiting--;
	if (++q->active > q->most_active)
		q->most_active = q->active;
	return best;
}

void http_queue_drop(struct http_queue *q, struct http_wait *w)
{
	heap_remove(heap_of(w), w->at);
	q->waiting--;
	w->host = NULL;
}

void http_queue_end(struct http_queue *q, struct http_wait *w)
{
	w->host->active--;
	q->active--;
	w->host = NULL;
}

void http_queue_reached(struct http_wait *w)
{
	w->host->reached = true;
}

struct http_wait *http_queue_any(struct http_queue *q)
{
	for (size_t i = 0; i < q->hosts.n; i++) {
		for (int k = 0; k < 2; k++) {
			if (q->hosts.p[i]->heap[k].of.n)
				return q->hosts.p[i]->heap[k].of.p[0];
		}
	}
	return NULL;
}

void http_queue_release(struct http_queue *q)
{
	for (size_t i = 0; i < q->hosts.n; i++)
		host_free(q->hosts.p[i]);
	vec_release(&q->hosts);
}
