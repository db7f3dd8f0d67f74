/* plan_io — the packuments of one plan, named by the client's registry URLs and fetched by this server's.
 *
 * A client may know an upstream by another URL (an alias): a mirror in its
 * network, a proxy. Wraps the engine's io: what it wants of an alias is asked of
 * the upstream, and tarball URLs below the upstream's base come out below the
 * client's, so that plan and lockfile are what a direct install makes. One
 * plan, the engine's thread. */
#pragma once
#include "io_denied.h"
#include "upstream.h"

struct plan_io {
	struct engine_io io; /* for engine_run() */
	const struct engine_io *inner;
	const struct upstreams *upstreams;
	struct io_denied refused; /* names that this server takes from another registry than the client */
};
/* P stays where it is, INNER and U outlive it. */
void plan_io_init(struct plan_io *p, const struct engine_io *inner, const struct upstreams *u);
void plan_io_release(struct plan_io *p);
