/* index_limit — keeps what a server's index remembers within bounds: compiled packuments, lockfiles
 * that clients sent or plans made, verdicts.
 *
 * A thread looks once a minute; past the limit the rows that were longest unused go, down to nine tenths, but
 * none that was used within ten minutes. Rows are chosen in one read transaction and deleted by the store's
 * writer, in batches. What went is fetched, or asked for, again. Packages' records of the store are not its
 * business: a server imports none. */
#pragma once
#include "store.h"

struct index_limit;
/* MAX_BYTES of pages in use. S outlives it. */
MUST_USE int index_limit_new(struct index_limit **out, struct store *s, uint64_t max_bytes, struct err *e);
void index_limit_free(struct index_limit *l);
/* One pass as of NOW_MS (Unix time): rows that went. The thread does it by itself; for tests. */
size_t index_limit_pass(struct index_limit *l, int64_t now_ms);
/* Rows that went, since start. */
uint64_t index_limit_evicted(struct index_limit *l);

/* Lockfiles by their SHA-256. FIND copies the text into A; KEEP writes one that is not there, and is dropped when
 * the store's writer has no room (false). Both are uses of it. */
bool index_lockfile_find(str *out, struct store *s, const uint8_t sha256[32], int64_t now_ms, struct arena *a);
bool index_lockfile_keep(struct store *s, const uint8_t sha256[32], str text, int64_t now_ms);
