#include "verdict_heads.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct head {
	struct verdict_heads *h;
	struct head *next;
	uint32_t ticket;
	int64_t modified;
};
struct verdict_heads {
	struct policy_heads io;
	struct registry *registry;
	struct arena a;
	struct map planned; /* "name@version" */
	size_t nplanned;
	pthread_mutex_t lock;
	pthread_cond_t change;
	/* under the lock */
	struct head *ready;
	unsigned live;
	bool cancelled;
};

static str key_of(char *room, size_t cap, str name, str version)
{
	int n = snprintf(room, cap, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));

	return n > 0 && (size_t)n < cap ? (str){ room, (size_t)n } : STR_NONE;
}

static bool io_planned(void *ctx, str name, str version)
{
	const struct verdict_heads *h = ctx;
	char room[600];
	str key = key_of(room, sizeof(room), name, version);

	return key.n && map_get(&h->planned, key) != MAP_NONE;
}

/* On the fetch thread. The last touch of H is the unlock. */
static void on_modified(void *arg, int64_t ms)
{
	struct head *x = arg;
	struct verdict_heads *h = x->h;

	x->modified = ms;
	pthread_mutex_lock(&h->lock);
	x->next = h->ready;
	h->ready = x;
	h->live--;
	pthread_cond_broadcast(&h->change);
	pthread_mutex_unlock(&h->lock);
}

static void io_want(void *ctx, uint32_t ticket, str registry, str name)
{
	struct verdict_heads *h = ctx;
	struct head *x = xcalloc(1, sizeof(*x));

	*x = (struct head){ .h = h, .ticket = ticket };
	pthread_mutex_lock(&h->lock);
	h->live++; /* before anybody can see it */
	pthread_mutex_unlock(&h->lock);
	registry_modified(h->registry, registry, name, on_modified, x);
}

static int io_wait(void *ctx, uint32_t *ticket, int64_t *modified, struct err *e)
{
	struct verdict_heads *h = ctx;
	struct head *x = NULL;

	pthread_mutex_lock(&h->lock);
	while (!h->cancelled && !h->ready && h->live)
		pthread_cond_wait(&h->change, &h->lock);
	if (!h->cancelled && h->ready) {
		x = h->ready;
		h->ready = x->next;
	}
	pthread_mutex_unlock(&h->lock);
	if (!x)
		return err_set(e, ERR_CANCELLED, "the check of the lockfile was cancelled");
	*ticket = x->ticket;
	*modified = x->modified;
	free(x);
	return 0;
}

struct verdict_heads *verdict_heads_new(struct registry *r)
{
	struct verdict_heads *h = xcalloc(1, sizeof(*h));

	h->registry = r;
	h->a = ARENA_INIT(64 * 1024);
	h->io = (struct policy_heads){ h, io_planned, io_want, io_wait };
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->change, NULL);
	return h;
}

void verdict_heads_plan(struct verdict_heads *h, str name, str version)
{
	char room[600];
	str key = key_of(room, sizeof(room), name, version);

	if (!key.n || map_get(&h->planned, key) != MAP_NONE)
		return; /* one that is so long is looked up */
	map_set(&h->planned, arena_str(&h->a, key), 1);
	h->nplanned++;
}

size_t verdict_heads_planned(const struct verdict_heads *h)
{
	return h->nplanned;
}

const struct policy_heads *verdict_heads_io(const struct verdict_heads *h)
{
	return &h->io;
}

void verdict_heads_cancel(struct verdict_heads *h)
{
	pthread_mutex_lock(&h->lock);
	h->cancelled = true;
	pthread_cond_broadcast(&h->change);
	pthread_mutex_unlock(&h->lock);
}

void verdict_heads_free(struct verdict_heads *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	while (h->live)
		pthread_cond_wait(&h->change, &h->lock);
	pthread_mutex_unlock(&h->lock);
	for (struct head *x = h->ready, *next; x; x = next) {
		next = x->next;
		free(x);
	}
	map_release(&h->planned);
	arena_release(&h->a);
	pthread_cond_destroy(&h->change);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
