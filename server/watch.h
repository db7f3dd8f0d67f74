/* watch — a thread that says so when an event loop is blocked, or a stage of the stop takes longer than it may.
 *
 * A loop beats once a turn and states what it is at; the thread compares clocks a few times a second. It
 * only reports a blocked loop; a stage past its bound ends the process, since whoever stops a server waits for it. */
#pragma once
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>

/* One loop's; embedded in it. Its loop writes, the watch reads. */
struct watch_slot {
	_Atomic int64_t beat_ms; /* 0: not started, or ended */
	pthread_mutex_t lock;    /* what */
	char what[112];          /* of the last thing that was begun; kept when it has ended */
	bool within;
	int64_t reported_ms; /* the beat that was reported; the watch's */
};
struct watch;
struct watch_opts {
	struct watch_slot **slot; /* the list is copied; the slots outlive the watch */
	size_t n;
	int64_t limit_ms;          /* a beat older than this is reported; 0: 1,500 */
	_Atomic uint64_t *blocked; /* counted here; may be NULL */
};
void watch_slot_init(struct watch_slot *s);
void watch_slot_release(struct watch_slot *s);
/* Once a turn of the loop. */
void watch_beat(struct watch_slot *s);
void watch_rest(struct watch_slot *s); /* no beats any more */
/* The loop is at WHAT (cut to 40 bytes), for the request ID, until watch_leave(). */
void watch_enter(struct watch_slot *s, str what, str id);
void watch_leave(struct watch_slot *s);

/* Starts the thread that looks at O's slots, which are borrowed. */
MUST_USE int watch_new(struct watch **out, const struct watch_opts *o, struct err *e);
void watch_free(struct watch *w);
/* From now on the process has BOUND_MS for NAME (static), else it ends with status 1. A new stage, or
 * watch_free(), ends the last one. */
void watch_stage(struct watch *w, const char *name, int64_t bound_ms);
