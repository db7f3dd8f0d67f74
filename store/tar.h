/* tar — reads an archive that arrives in pieces. The inner half of unpack.h, which states the rules.
 *
 * Understands ustar (prefix), pax (path, size, linkpath ignored), GNU long names
 * and base-256 numbers, and the old format. One thread at a time. */
#pragma once
#include "unpack.h"

struct tar;
/* What O points at is borrowed. */
struct tar *tar_new(const struct unpack_opts *o);
/* The next N bytes of the archive, in any pieces; what stands behind its end is ignored. The sink's code, ERR_PARSE,
 * ERR_TOOBIG, ERR_UNSUPPORTED. */
MUST_USE int tar_feed(struct tar *t, const uint8_t *p, size_t n, struct err *e);
/* Fails when the archive stops inside an entry, or held none. */
MUST_USE int tar_end(struct tar *t, struct err *e);
void tar_free(struct tar *t);
