/* import_pack — a pack into the store: what import_tarball() does, from fewer bytes and without hashing them again.
 *
 * The same files, record and publishing as from the tarball that the pack was
 * built of. Several at once, each on a thread of its own. */
#pragma once
#include "store.h"

/* The N bytes at P must be the pack with DIGEST. O->sri is the tarball's and is not checked here: who names the pack vouches
 * for it. Nothing is visible unless 0 is returned; *OUT as import_end() has it. ERR_INTEGRITY: other bytes than promised;
 * ERR_PARSE, ERR_TOOBIG, ERR_UNSUPPORTED: as pack_unpack(). */
MUST_USE int import_pack(struct store *s, const struct import_opts *o, const uint8_t digest[32], const void *p,
	size_t n, struct pkg *out, struct err *e);
/* The same from a delta against BASE, a record of the store's that its caller keeps valid. ERR_INTEGRITY also where BASE is not what the delta
 * was made against, or was spoiled: the whole package has to be fetched. */
MUST_USE int import_delta(struct store *s, const struct import_opts *o, struct pkg base, const uint8_t digest[32],
	const void *p, size_t n, struct pkg *out, struct err *e);
