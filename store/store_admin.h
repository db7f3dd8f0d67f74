/* store_admin — looking after a store: what "dray store status, verify, prune" do, and making it survive a power loss.
 *
 * All of them may run beside installs of this and other processes. */
#pragma once
#include "shared.h"
#include "store.h"

struct store_status {
	uint64_t packages, files, bytes; /* bytes of contents; a file counts once for each package */
	uint64_t index_entries, index_bytes;
	bool synced; /* nothing would be set aside if the machine went down now */
};
/* Adds up the records; looks at no file of a package. */
MUST_USE int store_status(struct store_status *out, struct store *s, struct err *e);

/* Rows of the index and the bytes of the pages that hold them, without looking at them. */
void store_index_size(struct store *s, uint64_t *entries, uint64_t *bytes);
/* Writes to the index that a full disk did not take. */
uint64_t store_index_lost(struct store *s);

struct store_verify_opts {
	bool full; /* hash every file; otherwise those whose size or time differ */
	bool drop; /* take spoiled packages out of the index, so that they are fetched again */
	/* Called for each spoiled package; may be NULL. */
	void (*report)(void *arg, struct pkg p, const struct err *why);
	void *arg;
};
struct store_verify_result {
	uint64_t packages, files, bytes, bad;
};
/* 0 also when packages are bad: OUT counts them. */
MUST_USE int store_verify(
	struct store_verify_result *out, struct store *s, const struct store_verify_opts *o, struct err *e);

/* REC, a copy of a record: where it has CRCs, they are replaced by the SHA-256 of what its files hold now, to be
 * compared with another record. A file that is gone counts as empty. */
MUST_USE int store_rehash(struct store *s, uint8_t *rec, size_t n, struct err *e);

/* Calls FN with each record, without a read transaction; a nonzero return ends it and is returned. */
int store_each(struct store *s, int (*fn)(void *arg, str key, struct pkg p), void *arg, struct err *e);

struct store_prune_opts {
	uint64_t min_age; /* seconds; packages stored more recently are kept */
	bool dry_run;
	/* Called before a package is removed; false keeps it. May be NULL. */
	bool (*unused)(void *arg, struct pkg p);
	void *arg;
};
struct store_prune_result {
	uint64_t packages, files, bytes; /* removed, or what would be */
	uint64_t kept;
	struct shared_pruned shared; /* slots, before packages: a slot's files keep its package */
	uint64_t orphans;            /* directories that no index row names: left by killed imports or replaced */
	uint64_t plans;              /* kept plans and images (kept.h) that nobody used for a week */
	/* Whether the store was ours alone, so that fresh orphans could be told from imports in progress. */
	bool orphans_all;
};
/* Removes packages that no tree links to (none of their files has a second name), and orphans: all of them when no
 * other process has the store open, else those that are an hour old. Row first, then directory: an install that still
 * sees the row finds the files gone, gets ERR_NOTFOUND from store_link() and fetches again. A package whose trees are
 * all copies looks unused. */
MUST_USE int store_prune(
	struct store_prune_result *out, struct store *s, const struct store_prune_opts *o, struct err *e);

/* Waits until all of it is on disk. *DONE (may be NULL): whether the store is marked so, which it is not while other
 * processes have it open. No import of this process may be under way. */
MUST_USE int store_sync(struct store *s, bool *done, struct err *e);
