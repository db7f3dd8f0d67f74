/* fsimage — a fresh file system for each benchmark: ext4 with a journal on a loop device.
 *
 * Deleting on a file system without a journal slows the creation of inodes for
 * minutes, so a benchmark neither deletes during a round nor uses a file system
 * where somebody just did: it makes a new image, moves old trees aside, and
 * drops the image as a whole. Needs root; without it, falls back to a plain
 * directory and says what that does to timings. */
#pragma once
#include "base/base.h"

struct fsimage {
	char *image, *mount; /* mount: where to work */
	bool mounted;
};
/* Makes DIR/NAME.ext4 of SIZE bytes (sparse) mounted at DIR/NAME. *why gets the reason when it is only a directory.
 * What a killed run left there is unmounted, or moved aside, first: callers hold a lock on DIR. */
MUST_USE int fsimage_make(
	struct fsimage *out, const char *dir, const char *name, uint64_t size, struct buf *why, struct err *e);
/* Unmounts and unlinks the image; a plain directory is left for the caller's rm. NULL fields are fine. */
void fsimage_drop(struct fsimage *f);
