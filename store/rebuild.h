/* rebuild — the index anew from what each package says of itself.
 *
 * Every package's directory holds its record a second time, in a file with a
 * digest of its own. After an end of the machine that nobody saw coming the
 * index is not to be trusted, as LMDB may be torn; the packages are still
 * there, but some of their bytes may not be. So their rows come back with a
 * mark, and store_link() hashes what is marked before its first use. */
#pragma once
#include "store_impl.h"

/* The file beside 0, 1, 2, … */
#define STORE_RECORD "record"

/* Puts P's record into its directory, open as FD, before that is published. */
MUST_USE int store_record_write(int fd, struct pkg p, struct err *e);
/* Puts a marked row for each directory of pkgs/ that has a whole record, and waits for the commit.
 * Others are left for prune. */
MUST_USE int store_rebuild(size_t *packages, struct store *s, struct err *e);
