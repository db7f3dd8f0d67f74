#include "fetch_body.h"
#include <stdlib.h>
#include <sys/mman.h>

#define UNIT ((size_t)64 << 10)
#define REGION (FETCH_UNITS * UNIT)
enum { LARGEST = 7 }; /* log2 of the units of the largest block in the region */

void fetch_bodies_init(struct fetch_bodies *s)
{
	*s = (struct fetch_bodies){ 0 };
	for (unsigned i = 0; i < FETCH_UNITS; i += 1u << LARGEST)
		s->size[i] = LARGEST;
	pthread_mutex_init(&s->lock, NULL);
}

void fetch_bodies_release(struct fetch_bodies *s)
{
	if (s->region)
		munmap(s->region, REGION);
	pthread_mutex_destroy(&s->lock);
}

static void *pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die_oom(n);
	return p;
}

/* log2 of the units that have room for N bytes; more than LARGEST: a block of the region has not. */
static unsigned size_for(size_t n)
{
	unsigned k = 0;

	while (k <= LARGEST && UNIT << k < n)
		k++;
	return k;
}

/* The first unit of a block of size K, or FETCH_UNITS: of the smallest free ones that are large enough the
 * lowest, split. Under the lock. */
static unsigned buddy_take(struct fetch_bodies *s, unsigned k)
{
	unsigned best = FETCH_UNITS;

	for (unsigned i = 0; i < FETCH_UNITS; i += 1u << s->size[i]) {
		if (!s->used[i] && s->size[i] >= k && (best == FETCH_UNITS || s->size[i] < s->size[best]))
			best = i;
	}
	if (best == FETCH_UNITS)
		return best;
	while (s->size[best] > k) {
		unsigned half = --s->size[best];
		s->size[best + (1u << half)] = (uint8_t)half;
	}
	s->used[best] = true;
	return best;
}

static void buddy_give(struct fetch_bodies *s, unsigned at)
{
	s->used[at] = false;
	for (unsigned k = s->size[at]; k < LARGEST; k++) {
		unsigned other = at ^ (1u << k);
		if (s->used[other] || s->size[other] != k)
			return;
		at &= ~(1u << k);
		s->size[at] = (uint8_t)(k + 1);
	}
}

/* A block for CAP bytes, which become what it has. */
static void *block_take(struct fetch_bodies *s, size_t *cap)
{
	unsigned k = size_for(*cap), at = FETCH_UNITS;

	pthread_mutex_lock(&s->lock);
	if (k <= LARGEST && !s->region)
		s->region = pages(REGION);
	if (k <= LARGEST)
		at = buddy_take(s, k);
	pthread_mutex_unlock(&s->lock);
	*cap = k <= LARGEST ? UNIT << k : *cap;
	return at < FETCH_UNITS ? s->region + at * UNIT : pages(*cap);
}

static void block_give(struct fetch_bodies *s, char *p, size_t cap)
{
	pthread_mutex_lock(&s->lock);
	bool ours = s->region && (uintptr_t)p - (uintptr_t)s->region < REGION;
	if (ours)
		buddy_give(s, (unsigned)((size_t)(p - s->region) / UNIT));
	pthread_mutex_unlock(&s->lock);
	if (!ours)
		munmap(p, cap);
}

void fetch_body_release(struct fetch_body *b, struct fetch_bodies *s)
{
	if (b->cap < UNIT)
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
	if (want < UNIT / 2)
		to.p = xmalloc(to.cap);
	else
		to.p = block_take(s, &to.cap);
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
