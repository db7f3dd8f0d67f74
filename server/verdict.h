/* verdict — drayd judges a lockfile by its project's policies, for clients that install from it.
 *
 * The check is the engine's (policy.h); a verdict that is fine is kept in the index ("verdicts"), so a lockfile that
 * many clients use is looked up once. On a plan's worker. */
#pragma once
#include "auth.h"
#include "meta.h"
#include "request.h"
#include "server.h"
#include "upstream.h"

struct verdict_opts {
	struct store *store;
	struct meta *meta;
	struct upstreams *upstreams;
	int64_t now_ms;
};
/* Sends HELLO, VERDICT and DONE. ERR_POLICY for an entry that WHO may not see. */
MUST_USE int verdict_send(const struct verdict_opts *o, const struct request *r, const struct identity *who,
	struct cancel *c, frame_sink *sink, void *ctx, struct err *e);
