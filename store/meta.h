/* meta — packuments: stored compiled, aged, revalidated, fetched; one fetch a name and form at a time.
 *
 * A want is answered from memory, from the index when fresh, by a conditional
 * request when stale, by a fetch otherwise; JSON is parsed and compiled on the
 * worker pool, on all cores. When the registry fails and something stale is there, that is used
 * (stale-if-error) and counted. Any thread may want; the callback runs on a
 * worker or the fetch thread, once. */
#pragma once
#include "registry.h"
#include "store.h"

struct meta;
struct meta_opts {
	int64_t max_age_ms; /* how long a record is fresh without asking; 0: always revalidate; client default: 0 within an install is at most one
				 request a name; --offline and --prefer-offline map to INT64_MAX */
	bool offline;     /* never ask the registry */
	unsigned workers; /* compile workers; 0: one per CPU */
};
struct meta_counts {
	uint64_t fetched, revalidated, from_cache, failed, stale_used, bytes;
	unsigned most_compiling; /* most compile jobs that ran at once */
};
/* A compiled packument, shared and counted. */
struct meta_record;
struct packument meta_packument(const struct meta_record *r);
void meta_record_release(struct meta_record *r);

MUST_USE int meta_new(
	struct meta **out, struct store *s, struct registry *reg, const struct meta_opts *o, struct err *e);
/* Waits for what is under way. */
void meta_free(struct meta *m);
/* R is the caller's to release; NULL on failure. */
typedef void meta_done(void *arg, struct meta_record *r, const struct err *e);
void meta_want(struct meta *m, str registry_url, str name, enum packument_form form, meta_done *done, void *arg);
struct meta_counts meta_counts(const struct meta *m);
