/* verify_folder — a package's folder against its record: which files differ. Any thread; reads only. */
#pragma once
#include "store.h"

enum { VERIFY_LISTED = 20 }; /* of a folder; the rest is counted */
struct difference {
	char path[512]; /* cut at its end where it is longer */
	const char *what;
};
struct differences {
	struct difference *d;     /* the first VERIFY_LISTED; NULL when there are none */
	uint64_t n, files, bytes; /* differences; compared */
	bool absent;              /* there is no such folder */
};
void differences_release(struct differences *d);
/* PATH is copied, WHAT is a constant. Past VERIFY_LISTED it is only counted. */
void difference_add(struct differences *out, str path, const char *what);
/* Compares what is below PATH in DIRFD with P. node_modules/.bin below it is not looked at: commands of dependencies
 * are made there. ERR_IO: it cannot be read. */
MUST_USE int verify_folder(struct differences *out, int dirfd, const char *path, struct pkg p, struct err *e);
