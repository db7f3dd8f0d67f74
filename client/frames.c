#include "frames.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "workq.h"

/* Frames in a batch, and batches that may wait: about 16,000 frames, more than any plan needs while the loop is busy. */
#define BATCH_FRAMES 128u
#define BATCHES_MAX 128u

struct frames {
	struct source *source;
	const struct request *req;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct frame_batch *first, **last;
	size_t nbatches, waiting, most;
	bool ended, cancelled;
	int code, fd;
	struct err err;
};

static struct frame_batch *batch_new(void)
{
	struct frame_batch *b = xcalloc(1, sizeof(*b));

	b->arena = ARENA_INIT(32 * 1024);
	b->frame = arena_new(&b->arena, struct frame, BATCH_FRAMES);
	return b;
}

void frame_batch_free(struct frame_batch *b)
{
	if (!b)
		return;
	arena_release(&b->arena);
	free(b);
}

static void frames_wake(struct frames *q)
{
	uint64_t one = 1;

	if (write(q->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of ours takes a write of 1 */
}

/* The source thread copies under the lock: a frame takes about a microsecond, and the loop takes whole batches. */
static int frames_put(void *ctx, const struct frame *f, struct err *e)
{
	struct frames *q = ctx;

	pthread_mutex_lock(&q->lock);
	while (!q->cancelled && q->nbatches >= BATCHES_MAX)
		pthread_cond_wait(&q->room, &q->lock);
	if (q->cancelled) {
		pthread_mutex_unlock(&q->lock);
		return err_set(e, ERR_CANCELLED, "cancelled");
	}
	/* The last batch may be filled up while it waits; the loop takes it only under the lock. */
	struct frame_batch *b =
		q->first ? (struct frame_batch *)((char *)q->last - offsetof(struct frame_batch, next)) : NULL;
	if (!b || b->n == BATCH_FRAMES) {
		b = batch_new();
		*q->last = b;
		q->last = &b->next;
		if (q->nbatches++ == 0 && !q->source->lasting)
			frames_wake(q);
	}
	b->frame[b->n++] = q->source->lasting ? *f : frame_dup(f, &b->arena);
	/* A source that has all of its frames at hand never pauses between two: waking for each would cost more than it gains. */
	if (b->n == BATCH_FRAMES && q->source->lasting)
		frames_wake(q);
	if (++q->waiting > q->most)
		q->most = q->waiting;
	pthread_mutex_unlock(&q->lock);
	return 0;
}

static void *frames_run(void *arg)
{
	struct frames *q = arg;
	struct err e = { 0 };
	int code = q->source->run(q->source, q->req, frames_put, q, &e);

	pthread_mutex_lock(&q->lock);
	q->ended = true;
	q->code = code;
	q->err = e;
	frames_wake(q);
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int frames_start(struct frames **out, struct source *s, const struct request *req, struct err *e)
{
	struct frames *q = xcalloc(1, sizeof(*q));

	q->source = s;
	q->req = req;
	q->last = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->room, NULL);
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->fd < 0) {
		err_os(e, "eventfd for frames");
		goto fail;
	}
	if (workq_thread(&q->thread, s->name, frames_run, q, e) < 0)
		goto fail;
	q->started = true;
	*out = q;
	return 0;
fail:
	frames_free(q);
	return e->code;
}

int frames_fd(const struct frames *q)
{
	return q->fd;
}

struct frame_batch *frames_take(struct frames *q)
{
	uint64_t x;

	pthread_mutex_lock(&q->lock);
	struct frame_batch *b = q->first;
	if (b) {
		q->first = b->next;
		if (!q->first)
			q->last = &q->first;
		q->nbatches--;
		q->waiting -= b->n;
		pthread_cond_signal(&q->room);
	}
	if (!q->first && !q->ended && read(q->fd, &x, sizeof(x)) < 0 && errno != EAGAIN)
		abort();
	pthread_mutex_unlock(&q->lock);
	return b;
}

bool frames_ended(struct frames *q, int *code, struct err *e)
{
	pthread_mutex_lock(&q->lock);
	bool yes = q->ended && !q->first;
	if (yes) {
		*code = q->code;
		*e = q->err;
	}
	pthread_mutex_unlock(&q->lock);
	return yes;
}

size_t frames_most(const struct frames *q)
{
	return q->most;
}

void frames_free(struct frames *q)
{
	if (!q)
		return;
	if (q->started) {
		pthread_mutex_lock(&q->lock);
		q->cancelled = true;
		bool ended = q->ended;
		pthread_cond_broadcast(&q->room);
		pthread_mutex_unlock(&q->lock);
		if (!ended)
			q->source->cancel(q->source);
		pthread_join(q->thread, NULL);
	}
	for (struct frame_batch *b = q->first, *next; b; b = next) {
		next = b->next;
		frame_batch_free(b);
	}
	if (q->fd >= 0)
		close(q->fd);
	pthread_cond_destroy(&q->room);
	pthread_mutex_destroy(&q->lock);
	free(q);
}
