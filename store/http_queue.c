#include "http_queue.h"

/* Hosts without work are kept up to this many, to remember that they were reached. */
#define HOSTS_KEPT 64

struct http_host {
	char *key;
	VEC(struct http_wait *) heap;
	unsigned active;
	bool limited, reached;
};

static bool before(const struct http_wait *a, const struct http_wait *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->seq < b->seq;
}

static void heap_set(struct http_host *h, size_t at, struct http_wait *w)
{
	h->heap.p[at] = w;
	w->at = at;
}

static void heap_up(struct http_host *h, size_t at)
{
	struct http_wait *w = h->heap.p[at];

	for (; at > 0 && before(w, h->heap.p[(at - 1) / 2]); at = (at - 1) / 2)
		heap_set(h, at, h->heap.p[(at - 1) / 2]);
	heap_set(h, at, w);
}

static void heap_down(struct http_host *h, size_t at)
{
	struct http_wait *w = h->heap.p[at];

	for (;;) {
		size_t kid = 2 * at + 1;
		if (kid + 1 < h->heap.n && before(h->heap.p[kid + 1], h->heap.p[kid]))
			kid++;
		if (kid >= h->heap.n || !before(h->heap.p[kid], w))
			break;
		heap_set(h, at, h->heap.p[kid]);
		at = kid;
	}
	heap_set(h, at, w);
}

static void heap_remove(struct http_host *h, size_t at)
{
	struct http_wait *last = h->heap.p[--h->heap.n];

	if (at == h->heap.n)
		return;
	heap_set(h, at, last);
	heap_up(h, at);
	heap_down(h, last->at);
}

static void host_free(struct http_host *h)
{
	vec_release(&h->heap);
	free(h->key);
	free(h);
}

static void forget_idle_hosts(struct http_queue *q)
{
	for (size_t i = q->hosts.n; i-- > 0 && q->hosts.n > HOSTS_KEPT;) {
		if (q->hosts.p[i]->active == 0 && q->hosts.p[i]->heap.n == 0) {
			host_free(q->hosts.p[i]);
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
	*vec_add(&w->host->heap) = w;
	w->at = w->host->heap.n - 1;
	heap_up(w->host, w->at);
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

struct http_wait *http_queue_take(struct http_queue *q)
{
	struct http_wait *best = NULL;

	if (q->active >= q->max_active)
		return NULL;
	for (size_t i = 0; i < q->hosts.n; i++) {
		struct http_host *h = q->hosts.p[i];
		bool held = q->hold && h->heap.n && h->heap.p[0]->small;
		if (h->heap.n && !held && has_room(q, h) && (!best || before(h->heap.p[0], best)))
			best = h->heap.p[0];
	}
	if (!best)
		return NULL;
	heap_remove(best->host, 0);
	best->host->active++;
	q->waiting--;
	if (++q->active > q->most_active)
		q->most_active = q->active;
	return best;
}

void http_queue_drop(struct http_queue *q, struct http_wait *w)
{
	heap_remove(w->host, w->at);
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
		if (q->hosts.p[i]->heap.n)
			return q->hosts.p[i]->heap.p[0];
	}
	return NULL;
}

void http_queue_release(struct http_queue *q)
{
	for (size_t i = 0; i < q->hosts.n; i++)
		host_free(q->hosts.p[i]);
	vec_release(&q->hosts);
}
