/* import_pack — a pack into the store: what import_tarball() does, from fewer bytes and without hashing them again.
 *
 * The same files, record and publishing as from the tarball that the pack was
 * built of. Several at once, each on a thread of its own. */
#pragma once
#include "store.h"

/* The N bytes at P must be the pack with DIGEST. O->sri is the tarball's and is not checked here: who names the pack
 * vouches for it. Nothing is visible unless 0 is returned; *OUT as import_end() has it. ERR_INTEGRITY: other bytes than
 * promised; ERR_PARSE, ERR_TOOBIG, ERR_UNSUPPORTED: as pack_unpack(). */
MUST_USE int import_pack(struct store *s, const struct import_opts *o, const uint8_t digest[32], const void *p,
	size_t n, struct pkg *out, struct err *e);
/* The same from a delta against BASE, a record of the store's that its caller keeps valid. ERR_INTEGRITY also where
 * BASE is not what the delta was made against, or was spoiled: the whole package has to be fetched. */
MUST_USE int import_delta(struct store *s, const struct import_opts *o, struct pkg base, const uint8_t digest[32],
	const void *p, size_t n, struct pkg *out, struct err *e);

/* The same while the bytes arrive, pack or (BASE, else NULL) delta. Any thread, one at a time. Nothing is visible
 * before pack_import_end(), which wants the digest; after an error it can only be freed, and what was written goes. */
struct pack_import;
MUST_USE int pack_import_new(
	struct pack_import **out, struct store *s, const struct import_opts *o, const struct pkg *base, struct err *e);
/* The next N bytes of it, in any pieces. After an error only pack_import_free() may follow. */
MUST_USE int pack_import_add(struct pack_import *pi, const void *p, size_t n, struct err *e);
MUST_USE int pack_import_end(struct pack_import *pi, const uint8_t digest[32], struct pkg *out, struct err *e);
/* Whether it turned out to be a delta. */
bool pack_import_is_delta(const struct pack_import *pi);
/* NULL is fine. */
void pack_import_free(struct pack_import *pi);
