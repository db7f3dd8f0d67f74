/* fetch_body — the bytes of a download that are in memory.
 *
 * Large ones have blocks of their own: they come on the fetch thread, go on a worker, and live for moments between
 * small things that stay, which is what a heap is worst at. The blocks are parts of one region, split and joined
 * as buddies and the lowest first, so that the same pages are used over and over: fresh ones cost as much as
 * filling them. What it has no room for gets pages of its own. A body is a value, used by one thread at a time;
 * the blocks are any thread's. */
#pragma once
#include "base/base.h"
#include <pthread.h>

enum { FETCH_UNITS = 256 }; /* of 64 KiB */
struct fetch_bodies {
	pthread_mutex_t lock;
	char *region;              /* NULL until something is large */
	uint8_t size[FETCH_UNITS]; /* at a block's first unit: log2 of its units */
	bool used[FETCH_UNITS];    /* there */
};
/* Takes no memory. Released when no body has a block any more. */
void fetch_bodies_init(struct fetch_bodies *s);
void fetch_bodies_release(struct fetch_bodies *s);

struct fetch_body {
	char *p;
	size_t n, cap;
};
/* Room for WANT bytes in all, if it is not there. */
void fetch_body_reserve(struct fetch_body *b, struct fetch_bodies *s, size_t want);
/* Behind what is there, in room that doubles where it is short. */
void fetch_body_add(struct fetch_body *b, struct fetch_bodies *s, const void *p, size_t n);
void fetch_body_release(struct fetch_body *b, struct fetch_bodies *s);
