/* plan_io — the packuments of one plan, as its client may have them.
 *
 * The engine's io over a preload of its own. A client may know an upstream by another URL (an alias): a mirror in its
 * network, a proxy. What it wants of an alias is asked of the upstream, and tarball URLs below the upstream's base come
 * out below the client's, so that plan and lockfile are what a direct install makes. A name that is kept from the
 * client, or that this server takes from another registry, is answered with ERR_POLICY and nothing of it is fetched, so
 * that neither the plan nor an error's text tells of its versions. The engine meets that error where it needs the
 * packument; one that was only foreseen troubles nobody. One plan, the engine's thread. */
#pragma once
#include "preload.h"
#include "server.h"
#include "upstream.h"

struct plan_io {
	struct engine_io io; /* for engine_run() */
	const struct engine_io *inner;
	const struct upstreams *upstreams;
	const struct identity *who;
	VEC(struct plan_io_refusal *) refused; /* kept until the end: the engine borrows */
	size_t told;                           /* of them */
	struct preload *preload;
	struct cancel *cancel;
};
struct plan_io_opts {
	struct meta *meta;
	struct preload_opts preload;
	const struct upstreams *upstreams;
	const struct identity *who;
	struct cancel *cancel; /* cancels what the preload waits for */
};
/* P stays where it is; what O points at outlives it. */
void plan_io_init(struct plan_io *p, const struct plan_io_opts *o);
/* The same over INNER, without a preload. */
void plan_io_over(
	struct plan_io *p, const struct engine_io *inner, const struct upstreams *u, const struct identity *who);
void plan_io_release(struct plan_io *p);
