/* meta_table — the packuments that meta.c has in memory: entries by name, registry and form, in the order of their use.
 *
 * Owns its entries and through them records, which are counted: who got one holds it too. All of it is guarded by
 * meta.c's lock, except what is said to be the present step's, and meta_record_hold() and meta_record_release(),
 * which any thread may call. */
#pragma once
#include "base/lru.h"
#include "meta.h"
#include <stdatomic.h>

struct meta_record {
	atomic_uint refs;
	atomic_uint origin; /* enum meta_origin */
	struct packument pk;
	uint64_t bytes[]; /* the record; 8-byte aligned */
};
/* A checked copy of the record in BYTES, or NULL with E. */
struct meta_record *meta_record_new(str bytes, struct err *e);
/* R, held once more: each hold needs its meta_record_release(). */
struct meta_record *meta_record_hold(struct meta_record *r);
/* For everybody who holds it. */
void meta_record_set_origin(struct meta_record *r, enum meta_origin origin);

struct waiter {
	meta_done *done;
	void *arg;
};
/* One name of one registry in one form. */
struct entry {
	struct meta *m;
	struct text_key {
		char *key; /* as in the index */
		size_t n;
	} id;
	char *registry, *name;
	enum packument_form form;
	struct entry *chain; /* in its bucket */
	LRU_LINKS(struct entry);
	struct meta_record *record; /* valid when !busy; while busy the stale one, of the present step */
	struct err *absent;         /* instead: the registry said that there is none. Only when !busy */
	bool busy;
	int64_t good_until; /* on clock_ms()'s clock */
	int64_t checked_ms; /* when the registry last confirmed the record (Unix time) */
	VEC(struct waiter) waiters;
	/* Of the present step. */
	enum packument_form asked_form; /* of record and validator */
	char *validator;                /* NULL or empty: none */
	unsigned broken;                /* bodies of the present fetch */
};
/* Zeroed: empty. */
struct meta_table {
	struct entry **bucket;
	size_t nbuckets, nentries;
	LRU(struct entry) by_use; /* those that are not busy */
	uint64_t memory;          /* bytes of these */
	struct buf last_registry, last_public;
};
/* Appends the key of a packument, in the index and here: "<form> <name> <registry without credentials>". */
void meta_key_put(struct buf *b, str registry, str name, enum packument_form form);
/* The same for a look-up: what is asked for comes from one registry, mostly, whose part of the
 * key the table remembers. */
void meta_table_put_key(struct meta_table *t, struct buf *b, str registry, str name, enum packument_form form);
/* Makes the key of one form that of the other. */
void meta_key_set_form(struct buf *key, enum packument_form form);
/* NULL: there is none. It stays where it is in the order of use. */
struct entry *meta_table_find(const struct meta_table *t, str key);
/* There is none under KEY yet. It is in no order. */
struct entry *meta_table_add(struct meta_table *t, str key, str registry, str name, enum packument_form form);
/* X, which is in no order, goes, and what it has of its record. */
void meta_table_drop(struct meta_table *t, struct entry *x);
/* X is the last that was used, its record or absence being known; and out of that order again. */
void meta_table_used(struct meta_table *t, struct entry *x);
void meta_table_unused(struct meta_table *t, struct entry *x);
/* Drops those not used for longest until at most TO bytes are left. */
void meta_table_shrink(struct meta_table *t, uint64_t to);
/* Nothing is busy. */
void meta_table_release(struct meta_table *t);
