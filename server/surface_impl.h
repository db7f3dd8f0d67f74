/* surface_impl — what surface.c, surface_doc.c, surface_fetch.c and surface_tarball.c share. */
#pragma once
#include "lock_timed.h"
#include "surface.h"
#include "workq.h"
#include <pthread.h>

/* Bases of tarballs' URLs that packuments are kept for, and how long one that is not asked for
 * any more keeps its place. */
enum { HOSTS_MOST = 8, HOST_MAX = SURFACE_BASE_MAX, HOST_MS = 10 * 60 * 1000 };
enum { DOC_BUCKETS = 4096, DOC_FLIGHT_BUCKETS = 256, FLIGHTS_MOST = 256, ABSENT_MOST = 4096, ASKED_MOST = 64 };
#define DOC_MEMORY ((size_t)256 << 20)
#define PLAIN_MOST ((uint64_t)256 << 20)  /* of packuments that are sent without gzip */
#define KEEP_MEMORY ((uint64_t)128 << 20) /* of both that wait to be kept */
/* Of tarballs that arrive or wait to be kept, and of one alone; past either it goes to the disk at
 * once, unless that is full. */
#define FLIGHT_MEMORY ((uint64_t)256 << 20)
#define FLIGHT_HELD ((uint64_t)16 << 20)

/* What is asked of one upstream; lives as long as the surface. */
struct doc_flight;
struct doc_line {
	struct doc_flight *first, *last;
};
struct doc_upstream {
	str url;
	struct doc_upstream *next;
	struct doc_line line,
		later;           /* those that wait; `later`: nobody waits for them, so they come after all others */
	unsigned waiting, asked; /* waiting: in both */
	unsigned resolver;       /* asked of the resolver: surface_ask() */
};
/* That there is no such package, for a while. */
struct absent {
	uint8_t key[32];
	int64_t until_ms;
};
struct doc_host {
	char base[HOST_MAX]; /* "": a place that is free */
	int64_t used_ms;
};
struct surface {
	struct surface_opts o;
	struct blobs *blobs;
	struct workq *work, *making, *keeping; /* making: of packuments that came; keeping: what came, on disk */
	pthread_t drain, scan;
	int stop_fd; /* eventfd */
	bool draining, scanning;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t landed;
	struct doc *bucket[DOC_BUCKETS];
	LRU(struct doc) by_use;
	size_t doc_bytes;
	struct doc_flight *doc_flight[DOC_FLIGHT_BUCKETS];
	struct doc_upstream *up;
	struct absent absent[ABSENT_MOST];
	struct doc_host host[HOSTS_MOST];
	VEC(struct flight *) flight;
	unsigned flying;   /* of these, that are being fetched */
	bool closing;      /* nothing is asked for any more */
	unsigned fetching; /* what the fetch thread, or the resolver, has still to end; `landed` tells of each */
	struct surface_counts n;
	/* Without the lock. KEEPS: what is to be kept, and is not yet. */
	_Atomic uint64_t flight_memory, plain, keep_memory, keeps;
};
/* On a maker; on a keeper, who may wait for the disk for as long as that takes: then false, and
 * what is not kept is counted. */
MUST_USE bool surface_run_making(struct surface *s, struct surface_task *t);
MUST_USE bool surface_run_keeping(struct surface *s, struct surface_task *t);
/* Under the lock. */
struct doc_upstream *surface_upstream(struct surface *s, str url);
/* SHA-256 of the parts, each with its length. */
void surface_key(uint8_t out[32], const char *kind, str a, str b, str c);
/* surface_doc.c: the lock is held. */
struct doc *doc_find(struct surface *s, const uint8_t key[32]);
/* D, which is in memory, is used. */
void doc_used(struct surface *s, struct doc *d);
/* Takes a reference of its own. */
void docs_add(struct surface *s, struct doc *d);
void doc_remove(struct surface *s, const uint8_t key[32]);
/* No lock, what follows. JSON as received → a document. */
MUST_USE int doc_make(
	struct doc **out, const uint8_t key[32], str json, str validator, str name, str base, struct err *e);
/* As received, on disk. */
enum { MAX_VALIDATOR = 1000 };
struct kept {
	struct buf file;
	str validator, json; /* into file, and plain */
	struct buf plain;
};
void kept_release(struct kept *k);
bool kept_read(struct kept *k, struct surface *s, const uint8_t key[32]);
/* What the upstream named it by, when it was kept; empty: it did not, or nothing is kept. */
void kept_validator(char out[MAX_VALIDATOR + 1], struct surface *s, const uint8_t key[32]);
bool kept_write(struct surface *s, const uint8_t key[32], str validator, str raw, bool gzip);
/* surface_fetch.c. When closing: who waits in a line is told that nothing comes. Takes the lock. */
void docs_close(struct surface *s);
void docs_free(struct surface *s);
void flights_free(struct surface *s);
