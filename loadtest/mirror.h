/* mirror — a registry frozen on disk, for measuring.
 *
 * Recording: what is missing is asked of the upstream once and kept (packuments in
 * both forms, whichever was asked for, and tarballs), so a project is recorded by installing it through
 * the mirror. Frozen: what is missing is a 404 and counted as a miss, and a
 * run with a miss is a failed run. Serves HTTP/1.1 and h2c on loopback from
 * memory-mapped files; tarball URLs in packuments are put behind the base URL
 * that the request came by (its Host header), so that a relay in front works.
 *
 * Runs in a process of its own with one event loop; counts are in memory
 * shared with the benchmark. */
#pragma once
#include "base/base.h"

struct mirror_counts {
	uint64_t requests, misses, bytes;
	char last_miss[512];
};
struct mirror_opts {
	const char *dir;              /* where it is kept; made when recording; outlives mirror_new() only */
	str upstream;                 /* registry URL with trailing slash; empty: frozen */
	uint16_t port;                /* 0: any */
	struct mirror_counts *counts; /* shared memory, written by the mirror */
	/* Shared memory, read by the mirror: of a million answers, how many are a 503 (after which the same is served
	 * when it is asked again). NULL: none. */
	const _Atomic uint32_t *error_ppm;
	/* Shared memory: which of them are, begun anew with a number that is put here; the mirror takes it away.
	 * NULL: the same in every run. */
	_Atomic uint64_t *error_seed;
};
struct mirror;
/* Binds; *port is the bound one. ERR_NOTFOUND: frozen, and nothing was ever recorded in o->dir. */
MUST_USE int mirror_new(struct mirror **out, const struct mirror_opts *o, uint16_t *port, struct err *e);
/* Serves until STOP_FD is readable. ERR_IO. */
MUST_USE int mirror_run(struct mirror *m, int stop_fd, struct err *e);
void mirror_free(struct mirror *m);
/* The file below a mirror's folder that holds PATH: KIND is "full" or "corgi" (abbreviated; packuments by name) or
 * "tarball". "/" becomes "!", which names and versions do not have. In A; a NUL follows. */
str mirror_file(const char *kind, str path, struct arena *a);
