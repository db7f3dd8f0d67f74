/* surface_impl — what surface.c, surface_doc.c and surface_tarball.c share. */
#pragma once
#include "lock_timed.h"
#include "surface.h"
#include "workq.h"
#include <pthread.h>

enum { DOC_BUCKETS = 4096, FLIGHTS_MOST = 256, ABSENT_MOST = 4096 };
#define DOC_MEMORY ((size_t)256 << 20)
#define FLIGHT_MEMORY ((uint64_t)256 << 20) /* of tarballs that a full disk does not take */

/* One fetch of a packument; who comes later waits for it. */
struct doc_flight {
	uint8_t key[32];
	unsigned waiters;
	bool ended;
	int code;
	struct err err;
	struct doc *doc;
	enum doc_age age;
};
/* That there is no such package, for a while. */
struct absent {
	uint8_t key[32];
	int64_t until_ms;
};
struct surface {
	struct surface_opts o;
	struct blobs *blobs;
	struct workq *work, *asking;
	pthread_t drain, scan;
	int stop_fd; /* eventfd */
	bool draining, scanning;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t landed;
	struct doc *bucket[DOC_BUCKETS];
	size_t doc_bytes;
	VEC(struct doc_flight *) doc_flight;
	struct absent absent[ABSENT_MOST];
	VEC(struct flight *) flight;
	bool closing;      /* no flight begins any more */
	unsigned fetching; /* flights that the fetch thread has still to end; `landed` tells of each */
	struct surface_counts n;
	_Atomic uint64_t flight_memory; /* without the lock */
};
/* SHA-256 of the parts, each with its length. */
void surface_key(uint8_t out[32], const char *kind, str a, str b, str c);
/* surface_doc.c: the lock is held. */
struct doc *doc_find(struct surface *s, const uint8_t key[32]);
void docs_free(struct surface *s);
void flights_free(struct surface *s);
