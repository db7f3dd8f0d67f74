#include "frames.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "workq.h"

/* Frames in a batch, and batches that may wait: about 16,000 frames, more than any plan needs while the loop is
 * busy. */
#define BATCH_FRAMES 128u
#define BATCHES_MAX 128u

struct frames {
	struct source *source;
	const struct request *req;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct frame_batch *filling; /* the source's thread's own, of a lasting source */
	struct frame_batch *first, **last;
	size_t nbatches, waiting;
	bool ended, cancelled;
	int code, fd;
	struct err err;
};

static struct frame_batch *batch_new(void)
{
	struct frame_batch *b = xcalloc(1, sizeof(*b));

	b->arena = ARENA_INIT(32 * 1024);
	b->frame = arena_new(&b->arena, const struct frame *, BATCH_FRAMES);
	return b;
}

void frame_batch_free(struct frame_batch *b)
{
	if (!b)
		return;
	arena_release(&b->arena);
	free(b);
}

/* Without the lock, which the loop takes as soon as it is awake. It may be told of a batch that it has taken
 * already. */
static void frames_wake(const struct frames *q)
{
	uint64_t one = 1;

	if (write(q->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of ours takes a write of 1 */
}

/* Three of four frames are of kinds that need a quarter of the union's room, and batches are
 * kept until the install ends. */
static size_t frame_bytes(enum frame_kind kind)
{
	switch (kind) {
	case FRAME_SLOT:
		return offsetof(struct frame, slot) + sizeof(struct frame_slot);
	case FRAME_IMPORTER:
		return offsetof(struct frame, importer) + sizeof(struct frame_importer);
	case FRAME_WARNING:
		return offsetof(struct frame, warning) + sizeof(struct frame_warning);
	default:
		return sizeof(struct frame);
	}
}

static void batch_add(struct frame_batch *b, const struct frame *f)
{
	size_t n = frame_bytes(f->kind);
	void *copy = arena_alloc(&b->arena, 1, n, _Alignof(struct frame));

	b->frame[b->n++] = memcpy(copy, f, n);
}

/* Under the lock. True: the loop knows of none and must be woken. */
static bool batch_publish(struct frames *q, struct frame_batch *b)
{
	bool wake = q->nbatches == 0;

	*q->last = b;
	q->last = &b->next;
	q->nbatches++;
	q->waiting += b->n;
	return wake;
}

/* Under the lock. */
static int room_wait(struct frames *q, struct err *e)
{
	while (!q->cancelled && q->nbatches >= BATCHES_MAX)
		pthread_cond_wait(&q->room, &q->lock);
	return q->cancelled ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}

/* A lasting source has all of its frames at hand and never pauses between two: whole batches are handed over, so the
 * lock is taken and the loop woken once for each. */
static int put_lasting(struct frames *q, const struct frame *f, struct err *e)
{
	if (!q->filling)
		q->filling = batch_new();
	batch_add(q->filling, f);
	if (q->filling->n < BATCH_FRAMES)
		return 0;
	pthread_mutex_lock(&q->lock);
	int code = room_wait(q, e);
	bool wake = code == 0 && batch_publish(q, q->filling);
	if (code == 0)
		q->filling = NULL;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		frames_wake(q);
	return code;
}

/* The source thread copies under the lock: a frame takes about a microsecond, and the loop takes whole batches. */
static int put_copied(struct frames *q, const struct frame *f, struct err *e)
{
	bool wake = false;

	pthread_mutex_lock(&q->lock);
	int code = room_wait(q, e);
	if (code == 0) {
		/* The last batch may be filled up while it waits; the loop takes it only under the lock. */
		struct frame_batch *b =
			q->first ? (struct frame_batch *)((char *)q->last - offsetof(struct frame_batch, next)) : NULL;
		if (!b || b->n == BATCH_FRAMES) {
			b = batch_new();
			wake = batch_publish(q, b);
		}
		struct frame copy = frame_dup(f, &b->arena);
		batch_add(b, &copy);
		q->waiting++;
	}
	pthread_mutex_unlock(&q->lock);
	if (wake)
		frames_wake(q);
	return code;
}

static int frames_put(void *ctx, const struct frame *f, struct err *e)
{
	struct frames *q = ctx;

	return q->source->lasting ? put_lasting(q, f, e) : put_copied(q, f, e);
}

static void *frames_run(void *arg)
{
	struct frames *q = arg;
	struct err e = { 0 };
	int code = q->source->run(q->source, q->req, frames_put, q, &e);

	pthread_mutex_lock(&q->lock);
	if (q->filling)
		batch_publish(q, q->filling);
	q->filling = NULL;
	q->ended = true;
	q->code = code;
	q->err = e;
	pthread_mutex_unlock(&q->lock);
	frames_wake(q);
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
