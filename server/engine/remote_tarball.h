/* remote_tarball — what a dependency that is a tarball's URL turns out to be: its package.json and
 * digest, after one download.
 *
 * Belongs to a preload, whose engine thread asks and waits; the bytes come on the fetch thread. A URL is read once a
 * run. With a store the package is put into it on the way, so that an install need not download it again. */
#pragma once
#include "registry.h"
#include "request.h"
#include "store.h"

struct remote_tarballs;
struct remote_tarballs_opts {
	struct registry *registry; /* borrowed; NULL: every URL is refused */
	struct store *store;       /* borrowed; NULL: the bytes are not kept */
	uint64_t max_bytes;        /* of one tarball, as it is held in memory; 0: 256 MiB */
	bool offline;
};
/* Asks for nothing yet. */
struct remote_tarballs *remote_tarballs_new(const struct remote_tarballs_opts *o);
/* A download under way is left to itself. NULL is fine. */
void remote_tarballs_free(struct remote_tarballs *r);
/* Whoever waits in remote_tarballs_get(), now or later, gets ERR_CANCELLED. Any thread. */
void remote_tarballs_cancel(struct remote_tarballs *r);

/* Blocks until URL is read. *OUT, whose strings live as long as R: manifest and integrity; path empty; without a name
 * where the tarball has no package.json. A failure is given again without another request. One thread. */
MUST_USE int remote_tarballs_get(struct request_local *out, struct remote_tarballs *r, str url, struct err *e);
