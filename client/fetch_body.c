#include "fetch_body.h"
#include <stdlib.h>
#include <sys/mman.h>

#define SMALLEST ((size_t)64 << 10)
#define LARGEST (SMALLEST << (FETCH_BODY_CLASSES - 1))
/* Bytes of free blocks that are kept. */
#define KEPT ((size_t)4 << 20)

/* The class of blocks of CAP bytes, or of the smallest that have room for as many; FETCH_BODY_CLASSES: larger than any. */
static unsigned class_of(size_t cap)
{
	unsigned k = 0;

	while (k < FETCH_BODY_CLASSES && SMALLEST << k < cap)
		k++;
	return k;
}

void fetch_bodies_init(struct fetch_bodies *s)
{
	*s = (struct fetch_bodies){ 0 };
	pthread_mutex_init(&s->lock, NULL);
}

void fetch_bodies_release(struct fetch_bodies *s)
{
	for (unsigned k = 0; k < FETCH_BODY_CLASSES; k++) {
		for (void *p = s->block[k], *next; p; p = next) {
			memcpy(&next, p, sizeof(next));
			munmap(p, SMALLEST << k);
		}
	}
	pthread_mutex_destroy(&s->lock);
}

static void *block_take(struct fetch_bodies *s, size_t cap)
{
	unsigned k = class_of(cap);
	void *p = NULL;

	pthread_mutex_lock(&s->lock);
	if (k < FETCH_BODY_CLASSES && s->block[k]) {
		p = s->block[k];
		memcpy(&s->block[k], p, sizeof(void *));
		s->kept -= cap;
	}
	pthread_mutex_unlock(&s->lock);
	if (p)
		return p;
	p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die_oom(cap);
	return p;
}

static void block_give(struct fetch_bodies *s, void *p, size_t cap)
{
	unsigned k = class_of(cap);

	pthread_mutex_lock(&s->lock);
	bool keep = k < FETCH_BODY_CLASSES && s->kept + cap <= KEPT;
	if (keep) {
		memcpy(p, &s->block[k], sizeof(void *));
		s->block[k] = p;
		s->kept += cap;
	}
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		munmap(p, cap);
}

void fetch_body_release(struct fetch_body *b, struct fetch_bodies *s)
{
	if (b->cap < SMALLEST)
		free(b->p);
	else
		block_give(s, b->p, b->cap);
	*b = (struct fetch_body){ 0 };
}

void fetch_body_reserve(struct fetch_body *b, struct fetch_bodies *s, size_t want)
{
	if (want <= b->cap)
		return;
	struct fetch_body to = { .n = b->n, .cap = want };
	if (want < SMALLEST / 2) {
		to.p = xmalloc(to.cap);
	} else {
		to.cap = want <= LARGEST ? SMALLEST << class_of(want) : want;
		to.p = block_take(s, to.cap);
	}
	if (b->n)
		memcpy(to.p, b->p, b->n);
	fetch_body_release(b, s);
	*b = to;
}

void fetch_body_add(struct fetch_body *b, struct fetch_bodies *s, const void *p, size_t n)
{
	if (b->n + n > b->cap)
		fetch_body_reserve(b, s, b->n + n > 2 * b->cap ? b->n + n : 2 * b->cap);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}
