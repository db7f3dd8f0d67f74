/* tar — reads an archive that arrives in pieces. The inner half of unpack.h, which states the rules.
 *
 * Understands ustar (prefix), pax (path, size, linkpath ignored), GNU long names
 * and base-256 numbers, and the old format. One thread at a time. */
#pragma once
#include "unpack.h"

struct tar;
struct tar *tar_new(const struct unpack_opts *o);
MUST_USE int tar_feed(struct tar *t, const uint8_t *p, size_t n, struct err *e);
/* Fails when the archive stops inside an entry, or held none. */
MUST_USE int tar_end(struct tar *t, struct err *e);
void tar_free(struct tar *t);
