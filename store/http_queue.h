/* http_queue — requests that wait for their turn: by priority, first come first served, bounded in all and per host.
 *
 * Part of http.c, on its thread only. A host that nobody has reached yet gets
 * one request at first, so that a burst asks the resolver once and not a
 * hundred times. */
#pragma once
#include "base/base.h"

struct http_host;
/* Sits in a request. */
struct http_wait {
	int priority;
	uint64_t seq; /* order of arrival */
	size_t at;    /* place in the host's heap */
	struct http_host *host;
	bool holdable; /* does not start while q->hold; set before http_queue_add() */
	void *call;
};
struct http_queue {
	VEC(struct http_host *) hosts;
	unsigned max_active, max_per_host;
	bool keep_room; /* no host takes more than three quarters of what the others have left */
	bool hold;      /* none that is holdable starts; the others of its host do */
	unsigned active, most_active, waiting;
};

/* Puts W under the host KEY (copied). LIMITED hosts take max_per_host at a time, others max_active; all less
 * where there is keep_room. */
void http_queue_add(struct http_queue *q, struct http_wait *w, str key, bool limited);
/* The next that may start, counted as active; NULL when none may. */
struct http_wait *http_queue_take(struct http_queue *q);
/* W is waiting and gives up. */
void http_queue_drop(struct http_queue *q, struct http_wait *w);
/* W was active and is over. */
void http_queue_end(struct http_queue *q, struct http_wait *w);
/* W's host has been reached (or cannot be): from now on as many as its limit. */
void http_queue_reached(struct http_wait *w);
/* Any that waits, or NULL. */
struct http_wait *http_queue_any(struct http_queue *q);
void http_queue_release(struct http_queue *q);
