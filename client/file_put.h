/* file_put — files of the project are replaced whole: a new one is written beside the old one and takes its name.
 *
 * A lockfile is synced, too, so that a power loss leaves the old one or the new
 * one. At the end of an install that sync waits for everything that the
 * install has written; so the bytes are written and synced early, as a
 * file without a name, of which an install that dies leaves nothing. */
#pragma once
#include "lockfile.h"
#include "pool.h"

/* Writes TEXT to PATH below DIRFD by rename. 1: written, 0: it was equal. OWN: a file that its user keeps;
 * it is synced, and a symlink in its place, perhaps to elsewhere, is refused. Of several that write at the
 * same time the last one wins. */
MUST_USE int file_put(int dirfd, const char *path, str text, bool own, struct err *e);

/* Removes what a file_put() that was killed has left beside PATH. */
void file_put_clear(int dirfd, const char *path);

struct staged;
/* Prints LF on POOL, and writes it to the file system of DIRFD, as file_put() does. Both are borrowed, and LF
 * unchanged, until the job has ended. */
struct staged *staged_lockfile(struct pool *pool, int dirfd, const struct lockfile *lf, bool own);
/* What was printed; borrowed. Its job has ended: pool_live() was 0 since. */
str staged_text(const struct staged *s);
/* file_put(); where the file system has no files without a name the bytes are written only now. */
MUST_USE int staged_put(struct staged *s, int dirfd, const char *path, struct err *e);
/* Its job has ended, or never will begin. */
void staged_free(struct staged *s);
