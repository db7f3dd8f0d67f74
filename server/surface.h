/* surface — what npm clients read of this server: packuments and tarballs, from its caches or its upstreams.
 *
 * Packuments (surface_doc.c, surface_fetch.c) are kept as received, on disk, and in memory as they are sent: rewritten
 * (npm_rewrite.h) and compressed. One fetch at a time for each; stale ones are sent while they are asked for again, or
 * because the upstream is down; that there is none is remembered for a while. Tarballs (surface_tarball.c) are found by
 * the integrity that the packument states, fetched once however many wait, read while they arrive, and kept when they
 * have that digest. Whether a name may be seen is the caller's business. surface_doc() and surface_tarball() block on
 * the disk: for workers. Nothing here blocks on an upstream: who has to wait for one leaves word, and is told. Of each
 * upstream so many packuments are asked for at a time, and so many wait in its line, whatever the others do. */
#pragma once
#include "base/lru.h"
#include "blobs.h"
#include "integrity.h"
#include "meta.h"
#include "upstream.h"
#include <stdatomic.h>

struct surface;
struct surface_opts {
	const char *dir; /* the server's; registry/ is made in it */
	struct registry *registry;
	struct upstreams *upstreams;
	struct meta *meta;            /* for what is known of a tarball when its packument was not asked for here */
	_Atomic uint64_t *lock_waits; /* for its tables, of over 1 ms, are counted here; may be NULL */
	uint64_t max_bytes;
	int64_t fresh_ms; /* of a packument */
};
/* Makes registry/ and starts its threads, one of which looks at what is kept there. What O points at is borrowed, but
 * for its strings. ERR_IO. */
MUST_USE int surface_new(struct surface **out, const struct surface_opts *o, struct err *e);
/* http_stop() cuts short what is under way. */
void surface_free(struct surface *s);

/* Runs on one of the surface's threads; false: too many wait. DROP instead when the surface ends before. */
struct surface_task {
	void (*run)(struct surface_task *t);
	void (*drop)(struct surface_task *t);
};
MUST_USE bool surface_run(struct surface *s, struct surface_task *t);
/* Of surface_doc() and surface_tarball(): an upstream has to be waited for. */
enum { SURFACE_ASKS = 1 };

/* A packument as it is sent. Shared and counted; does not change. */
struct doc {
	_Atomic unsigned refs;
	char etag[40];      /* of the bytes below, quoted */
	char *gz;           /* JSON, gzip */
	size_t n, plain;    /* bytes of gz; of the JSON */
	_Atomic int64_t at; /* monotonic ms: last confirmed */
	char *validator;
	uint8_t *record; /* compiled: versions' tarballs and digests */
	size_t nrecord;
	uint8_t key[32];  /* of name, form and base */
	struct doc *next; /* of those in memory: in its bucket */
	LRU_LINKS(struct doc);
	atomic_bool down; /* at the last try the upstream failed */
};
enum doc_age { DOC_FRESH = 0, DOC_STALE, DOC_UPSTREAM_DOWN };
/* Whose packuments BASE gets. Each base has documents of its own, but there are places for eight: where the server is
 * reached by whatever name a client writes, past them (a place is free when nobody asked by its base for ten minutes)
 * it gets those of another, to be rewritten by doc_plain_new(). *OUT lies in TO. */
enum { SURFACE_BASE_MAX = 300 };
void surface_base(str *out, struct surface *s, str base, char to[SURFACE_BASE_MAX]);
/* One who waits for a packument; part of a larger struct. All but `landed` is the surface's. */
struct doc_waiter {
	/* Once, on a thread of the surface's or the one that frees it: D is the callee's to
	 * release; NULL: E says why. */
	void (*landed)(struct doc_waiter *w, struct doc *d, enum doc_age age, const struct err *e);
	struct doc_waiter *next, *prev;
	struct doc_flight *flight;
};
/* SURFACE_ASKS: W is told, and maybe was before this returns; OUT and AGE are as they were. Without W nobody is asked.
 * ERR_BUSY: too many wait for that upstream. */
MUST_USE int surface_doc(struct doc **out, enum doc_age *age, struct surface *s, str name, enum packument_form form,
	str base, struct doc_waiter *w, struct err *e);
/* True: W waited, and is told nothing any more. Any thread. */
bool surface_doc_leave(struct surface *s, struct doc_waiter *w);
/* The same when it is fresh in memory; else NULL. Never blocks. */
struct doc *surface_doc_peek(struct surface *s, str name, enum packument_form form, str base);
/* Frees it with the last one who holds it. NULL is fine. */
void doc_release(struct doc *d);
/* D's JSON, for who takes no gzip; at most 256 MiB of these at a time, or one. BASE, unless it is empty: with this one
 * in its tarballs' URLs, of package NAME. ERR_BUSY. Slow for large ones: for workers. */
struct doc_plain {
	struct surface *s;
	size_t n, held; /* held: counted */
	char p[];
};
MUST_USE int doc_plain_new(
	struct doc_plain **out, struct surface *s, const struct doc *d, str base, str name, struct err *e);
void doc_plain_release(struct doc_plain *p);

/* A tarball that is there, or is being fetched. */
struct flight;
struct tarball_src {
	int fd; /* the caller's to close, unless there is a flight, whose it is: as long as it is held */
	uint64_t size;
	struct flight *flight; /* NULL: whole; else the caller's to release */
	char etag[132];        /* quoted digest */
};
/* What the resolver knows of a package, once it has asked; part of a larger struct. All but `landed` is the surface's,
 * and R the owner's to release. */
struct surface_ask {
	void (*landed)(struct surface_ask *k); /* once, on any thread; maybe before surface_ask() returns */
	struct meta_record *r;                 /* NULL: ERR says why */
	struct err err;
	struct surface *s;
	struct doc_upstream *up;
};
/* ERR_BUSY: too many wait for that upstream; nobody is told. */
MUST_USE int surface_ask(struct surface *s, struct surface_ask *k, str name, struct err *e);
/* SURFACE_ASKS: it takes an answer of surface_ask() to tell. ASKED: one that has landed, or NULL. */
MUST_USE int surface_tarball(struct tarball_src *out, struct surface *s, str name, str version, str base,
	const struct surface_ask *asked, struct err *e);

/* The name in registry/ of a tarball that has this digest. */
void surface_tarball_name(uint8_t out[32], const struct digest *d);

/* How far a flight has come. */
struct flight_state {
	uint64_t size;
	bool ended;
	unsigned generation; /* changes when bytes that may have been read turned out to be others */
	int code;            /* once it has ended */
	bool own;            /* code < 0: it is not the upstream's fault, but this machine takes no more */
};
/* Told once, on the fetch thread, when there is more than AT or it has ended. */
struct flight_waiter {
	void (*wake)(struct flight_waiter *w);
	struct flight_waiter *next;
};
/* The state; W waits when AT is all there is. True: it waits. */
bool flight_look(struct flight *f, struct flight_state *out, uint64_t at, struct flight_waiter *w);
/* It goes on, and is kept, without anybody who reads it. NULL is fine. */
void flight_release(struct flight *f);

struct surface_counts {
	uint64_t docs, doc_hits, doc_fetched, doc_revalidated, doc_stale, doc_down, doc_absent;
	uint64_t tarball_hits, tarball_fetched, tarball_joined, tarball_failed, tarball_unkept, doc_unkept;
	uint64_t doc_rewritten;            /* for bases that have no place */
	uint64_t doc_pending, plain_bytes; /* now */
};
/* Since start but where it says now. Any thread. */
struct surface_counts surface_counts(struct surface *s);
/* Appends Prometheus text. */
void surface_metrics(struct surface *s, struct buf *out);
