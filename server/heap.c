#include "heap.h"
#include "cond_timed.h"
#include "workq.h"
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	EVERY_S = 10,
	KEPT_LEAST = 32 << 20,
	LARGE = 4 << 20, /* blocks of so many bytes are the system's again when they are freed */
};

struct heap {
	pthread_t tid;
	_Atomic uint64_t *trims;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	bool stop;
};

void heap_setup(void)
{
	unsigned cpus = workq_cpus();

	mallopt(M_ARENA_MAX, cpus > 2 ? (int)cpus : 2);
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, KEPT_LEAST);
}

/* Bytes in memory that no file backs. */
static uint64_t anonymous(void)
{
	unsigned long long size, rss = 0, shared = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu %llu %llu", &size, &rss, &shared) != 3)
		rss = shared = 0;
	if (f)
		fclose(f);
	return (rss - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct heap_sizes heap_sizes(void)
{
	struct mallinfo2 m = mallinfo2();
	uint64_t used = m.uordblks + m.hblkhd, all = anonymous();

	return (struct heap_sizes){ .used = used, .kept = used && all > used ? all - used : 0 };
}

bool heap_trim(void)
{
	struct heap_sizes s = heap_sizes();

	return s.kept > KEPT_LEAST && s.kept > s.used / 2 && malloc_trim(0) == 1;
}

static void *heap_run(void *arg)
{
	struct heap *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		if (cond_timed_wait(&h->cond, &h->lock, EVERY_S * 1000))
			continue;
		pthread_mutex_unlock(&h->lock);
		if (heap_trim())
			atomic_fetch_add(h->trims, 1);
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int heap_new(struct heap **out, _Atomic uint64_t *trims, struct err *e)
{
	struct heap *h = xcalloc(1, sizeof(*h));

	h->trims = trims;
	pthread_mutex_init(&h->lock, NULL);
	cond_timed_init(&h->cond);
	if (workq_thread(&h->tid, "heap", heap_run, h, e) < 0) {
		pthread_cond_destroy(&h->cond);
		pthread_mutex_destroy(&h->lock);
		free(h);
		return e->code;
	}
	*out = h;
	return 0;
}

void heap_free(struct heap *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->cond);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->tid, NULL);
	pthread_cond_destroy(&h->cond);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
