/* fetch_body — the bytes of a download that are in memory.
 *
 * Large ones have blocks of their own: they come on the fetch thread, go on a worker, and live for moments between small things
 * that stay, which is what a heap is worst at. Some blocks are kept for those that follow, since fresh pages cost as much as filling them. A body is a
 * value, used by one thread at a time; the blocks are any thread's. */
#pragma once
#include "base/base.h"
#include <pthread.h>

enum { FETCH_BODY_CLASSES = 8 };
struct fetch_bodies {
	pthread_mutex_t lock;
	void *block[FETCH_BODY_CLASSES]; /* lists of those that are free, by size: 64 KiB, 128 KiB, … */
	size_t kept;                     /* bytes of them */
};
void fetch_bodies_init(struct fetch_bodies *s);
void fetch_bodies_release(struct fetch_bodies *s);

struct fetch_body {
	char *p;
	size_t n, cap;
};
/* Room for WANT bytes in all, if it is not there. */
void fetch_body_reserve(struct fetch_body *b, struct fetch_bodies *s, size_t want);
void fetch_body_add(struct fetch_body *b, struct fetch_bodies *s, const void *p, size_t n);
void fetch_body_release(struct fetch_body *b, struct fetch_bodies *s);
