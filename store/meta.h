/* meta — packuments: stored compiled, aged, revalidated, fetched; one fetch a name and form at a time.
 *
 * A want is answered from memory, from the index when fresh, by a conditional
 * request when stale, by a fetch otherwise; bodies are decoded and compiled on the
 * worker pool, on all cores. When the registry fails and something stale is there, that is used
 * (stale-if-error) and counted. Any thread may want; the callback runs on a
 * worker or the fetch thread, once, with no lock held. A full record answers an abbreviated want.
 *
 * Index table "meta": key "<form> <name> <registry>", value: header, validator, record; table "meta-age": when a record
 * was last confirmed. Neither ever holds a credential. */
#pragma once
#include "registry.h"
#include "store.h"

struct meta;
struct meta_opts {
	/* How long a record is fresh without asking. 0: what the index has is always revalidated, and what this
	 * object has confirmed once stays good for its life: within an install at most one request a name.
	 * --prefer-offline maps to INT64_MAX. */
	int64_t max_age_ms;
	int64_t absent_ms; /* how long it is remembered that a registry has no such package; 0: not at all */
	bool offline;      /* never ask the registry; any age will do */
	unsigned workers;  /* compile workers; 0: one per CPU */
	/* Bytes fetched that wait to be compiled, past which no more packuments are asked for, and no large ones read;
	 * 0: 2 MiB. What has begun comes on top: http_hold() says how much that may be. */
	size_t max_pending;
	_Atomic uint64_t *lock_waits; /* for the table, of over 1 ms, are counted here; may be NULL */
	size_t memory; /* bytes of records kept for later wants, least recently used go first; 0: 512 MiB */
};
struct meta_counts {
	uint64_t fetched, revalidated, from_cache, failed, stale_used, bytes;
	uint64_t pending, most_pending; /* bytes fetched that wait to be compiled: now, and at most */
	unsigned most_compiling;        /* most compile jobs that ran at once */
	uint64_t put_dropped;           /* index writes that the store's queue had no room for */
	uint64_t memory;                /* bytes of records kept now */
	uint64_t absent;                /* wants answered with what was remembered: there is no such package */
};
/* A compiled packument, shared and counted. 8-byte aligned. */
struct meta_record;
/* The record itself, borrowed as long as R is held. */
struct packument meta_packument(const struct meta_record *r);
/* How it got here when it was last settled: kept and fresh enough (or stale and the registry silent),
 * confirmed by a 304, fetched. */
enum meta_origin { META_KEPT = 0, META_REVALIDATED, META_FETCHED };
enum meta_origin meta_record_origin(const struct meta_record *r);
void meta_record_release(struct meta_record *r);

/* S may be NULL: nothing is kept on disk. */
MUST_USE int meta_new(
	struct meta **out, struct store *s, struct registry *reg, const struct meta_opts *o, struct err *e);
/* Waits for what is under way (http_stop() cuts that short). NULL is fine; never from a callback. */
void meta_free(struct meta *m);
/* R is the caller's to release; NULL on failure. */
typedef void meta_done(void *arg, struct meta_record *r, const struct err *e);
/* DONE is called exactly once, maybe before this returns. Nothing is copied of ARG; the strings are. */
void meta_want(struct meta *m, str registry_url, str name, enum packument_form form, meta_done *done, void *arg);
/* What memory has and meta_want() would answer without asking, at once; NULL when there is nothing.
 * The caller's to release. */
struct meta_record *meta_peek(struct meta *m, str registry_url, str name, enum packument_form form);
/* What the index has, however old: for what does not change, as a version's digest. Reads the disk, asks nobody, and is
 * not kept in memory; NULL when there is nothing. The caller's to release. */
struct meta_record *meta_look(struct meta *m, str registry_url, str name, enum packument_form form);
/* What memory or the index has, however old, without asking anybody; *CHECKED_MS: when the registry last confirmed
 * it (Unix time). Reads the disk. NULL when there is nothing. The caller's to release. A later meta_want() asks
 * unless it is still fresh. */
struct meta_record *meta_kept(
	struct meta *m, int64_t *checked_ms, str registry_url, str name, enum packument_form form);
/* Gives the memory of all records back that nobody holds: later wants go to the index, and are revalidated
 * as if they were the first. */
void meta_forget(struct meta *m);
/* When a row of the index table "meta" was fetched (Unix time, ms); 0: it is none. */
int64_t meta_row_ms(str value);
/* So far. Any thread. */
struct meta_counts meta_counts(const struct meta *m);
