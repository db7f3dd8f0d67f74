/* kv — an LMDB environment with named tables, many readers and one writer thread.
 *
 * Owns the environment and the writer. Readers see memory of the map, without a
 * copy; a value lives until its read transaction ends. Writes
 * are queued (bounded in number and bytes) and committed in batches by the one
 * writer, who starts with the first of them, without waiting for the disk: a killed process loses nothing that
 * was committed, a power loss may lose the file, which is the caller's to
 * notice (store.c keeps the boot id). Tables share one tree; a table is a prefix
 * of the key. The one includer of lmdb.h.
 *
 * Threads: a struct kv may be used by all, a struct kv_read by one at a time.
 * Never open one directory twice in a process, never use one after fork: both
 * are refused with ERR_USAGE. */
#pragma once
#include "base/base.h"

struct kv;
struct kv_opts {
	size_t map_size;   /* address space; 0: 64 GiB. Never changed while open */
	unsigned depth;    /* writes in the queue; 0: 4,096 */
	size_t max_queued; /* bytes in the queue; 0: 64 MiB */
	bool readahead; /* much of it is about to be read: what is not in memory comes many pages at a time, not one */
};
/* Opens the directory PATH, which exists. ERR_IO, ERR_USAGE, ERR_PARSE for a file that LMDB cannot read. */
MUST_USE int kv_open(struct kv **out, const char *path, const struct kv_opts *o, struct err *e);
/* Commits what is queued, then closes. NULL is fine. */
void kv_close(struct kv *k);

struct kv_read;
/* A view of what is committed now; renewed, of what is committed then. ERR_IO: also when there are too many readers.
 * ERR_BUSY: one of another pid namespace has this process id. ERR_USAGE: after fork. */
MUST_USE int kv_read_begin(struct kv_read **out, struct kv *k, struct err *e);
/* What came out of it is gone. */
void kv_read_end(struct kv_read *r);
/* 1 and *out, 0 when there is none, or a negative error. Keys longer than LMDB's are kept by their SHA-256. */
MUST_USE int kv_get(str *out, struct kv_read *r, const char *table, str key, struct err *e);

/* The value of N bytes at P is about to be read, on any thread. Now and then the map's pages are let go, so
 * that a process that has read all of a large index once does not hold all of it: what a file mapping holds
 * counts as this process's memory. */
void kv_touch(struct kv *k, const void *p, size_t n);

/* Queues a write of a copy of VALUE; a VALUE of STR_NONE deletes. WAIT: blocks while the queue is full,
 * else false is returned then. */
bool kv_put(struct kv *k, const char *table, str key, str value, bool wait);
/* Queues a deletion that happens only if the value then is still the bytes of WAS. Waits for room. */
void kv_del_if(struct kv *k, const char *table, str key, str was);
/* Waits until everything queued before is committed. ERR_IO or ERR_NOSPACE: a commit since the last flush failed,
 * and what it held is lost. */
MUST_USE int kv_flush(struct kv *k, struct err *e);

/* Calls FN for each row of TABLE in R's view, in key order; a nonzero return ends it and is returned.
 * Long keys arrive hashed. */
int kv_each(struct kv_read *r, const char *table, int (*fn)(void *arg, str key, str value), void *arg, struct err *e);
struct kv_stats {
	uint64_t entries, bytes, map_size, commits; /* bytes: of the file, which never shrinks */
	uint64_t used;                              /* bytes of the pages that hold rows */
	uint64_t lost;                              /* operations whose commit failed, most often by a full disk */
};
/* Of the environment as it is now; `commits` and `lost` of this process. */
void kv_stats(struct kv *k, struct kv_stats *out);
/* Flushes, then waits for the disk. */
MUST_USE int kv_sync(struct kv *k, struct err *e);
