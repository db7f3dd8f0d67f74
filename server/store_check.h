/* store_check — `drayd verify-store`: what a server has on disk for others, looked at as a whole.
 *
 * Every pack and every tarball of the registry surface is hashed, in pieces: its name comes of its digest. What is no
 * tarball of its name has to be a packument, whose gzip has a checksum (its first line, the validator, has none). What
 * is damaged is named and then removed, so that it is made or fetched again when it is next asked for; what cannot be
 * read is named and stays. The index and the journal look after themselves. Also beside a drayd that runs. One thread,
 * the caller's; may be killed at any time. */
#pragma once
#include "config.h"

/* Writes to OUT a line for each file that is damaged (before it goes) or not read, as they are found, and one that sums
 * up. ERR_INTEGRITY: there were damaged ones; ERR_IO: none, but something could not be read, or OUT takes no more. */
MUST_USE int store_check(const struct config *c, int out, struct err *e);
