/* blobs — files that a server keeps for as long as there is room: tarballs, packuments.
 *
 * Owns <dir>/<2 hex>/<62 hex> by SHA-256 of a name, and <dir>/tmp. A file appears whole, synced and renamed. What was
 * longest unused goes first when the limit is passed, in one pass down to nine tenths of it, but never what was written
 * within the last minute, and what was used within ten minutes only when such files are over a quarter of the limit (a
 * pass that frees too little is made again after five seconds at the earliest); when something was last used is its
 * mtime, so that the order survives a restart (to an hour). Finding asks the file system, so that a start does not wait
 * for the scan of what is there, which a thread of the caller's makes. Any thread. */
#pragma once
#include "base/base.h"
#include <stdatomic.h>

struct blobs;
/* LOCK_WAITS: where waits of over 1 ms for the table are counted, or NULL. */
MUST_USE int blobs_new(
	struct blobs **out, const char *dir, uint64_t max_bytes, _Atomic uint64_t *lock_waits, struct err *e);
void blobs_free(struct blobs *b);
/* Takes stock of what earlier runs left; blocks, once. Cut short by blobs_stop(). */
void blobs_scan(struct blobs *b);
/* blobs_scan() returns soon. Any thread. */
void blobs_stop(struct blobs *b);

/* A descriptor and the size; -1: it is not there. */
int blobs_open(struct blobs *b, const uint8_t key[32], uint64_t *size);
/* A new file in tmp to write into, and its name there for blobs_keep() or blobs_drop(). */
MUST_USE int blobs_temp(struct blobs *b, int *fd, char name[32], struct err *e);
/* Syncs and publishes it, and evicts what is too much. FD stays the caller's. Blocks on the disk. */
MUST_USE int blobs_keep(struct blobs *b, const uint8_t key[32], int fd, const char *name, struct err *e);
/* The file NAME in tmp is not kept. */
void blobs_drop(struct blobs *b, const char *name);
/* A small one in one call. */
MUST_USE int blobs_put(struct blobs *b, const uint8_t key[32], str bytes, struct err *e);
/* One pass, as of NOW (Unix time), if there is too much; files that went. For tests: keeping does it by itself. */
size_t blobs_evict(struct blobs *b, int64_t now);
/* Calls FN before each file that an eviction unlinks. For tests. */
void blobs_on_unlink(struct blobs *b, void (*fn)(void *arg), void *arg);
/* Calls FN in each pass, when it has looked at all files and not chosen yet. For tests. */
void blobs_on_choice(struct blobs *b, void (*fn)(void *arg), void *arg);
/* It is not there any more; who has it open reads on. */
void blobs_remove(struct blobs *b, const uint8_t key[32]);

struct blobs_counts {
	uint64_t files, bytes, evicted, evicted_young; /* young: unused for less than a day */
	uint64_t passes;                               /* over all files, in search of what may go */
};
/* FILES and BYTES now, once blobs_scan() is through; the others since start. */
struct blobs_counts blobs_counts(struct blobs *b);
