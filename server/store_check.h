/* store_check — `drayd verify-store`: what a server has on disk for others, looked at as a whole.
 *
 * Every pack is hashed (its name is its digest), every file of the registry surface unpacked, whose gzip has a checksum. What is damaged is named and
 * removed, so that it is made or fetched again when it is next asked for; the index and the journal look after themselves. Also beside a
 * drayd that runs. One thread, the caller's. */
#pragma once
#include "config.h"

/* Appends a line for each damaged file, and one that sums up, to OUT. ERR_INTEGRITY: there were some. */
MUST_USE int store_check(struct buf *out, const struct config *c, struct err *e);
