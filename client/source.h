/* source — where a plan comes from: the one object in which a server install and a direct one differ.
 *
 * A source is run on a thread of its own and calls the sink there; the
 * install's event loop takes the frames from a bounded queue. */
#pragma once
#include "plan.h"

struct source {
	/* Sends the whole plan to SINK; returns 0 after DONE, or a negative code with *e. */
	int (*run)(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e);
	/* Makes run() return ERR_CANCELLED soon; any thread. */
	void (*cancel)(struct source *s);
	void (*free)(struct source *s);
	const char *name; /* "locked", "server", "direct" */
};
