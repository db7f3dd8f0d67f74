/* running — which plans the workers are at, for the status page and the log. Any thread. */
#pragma once
#include "base/base.h"
#include <pthread.h>

enum { RUNNING_MOST = 64 };
struct running_plan {
	char id[65], project[96];
	uint64_t begun_us; /* monotonic; 0: the seat is free */
};
struct running {
	pthread_mutex_t lock;
	struct running_plan seat[RUNNING_MOST];
};
/* All seats are free. */
void running_init(struct running *r);
void running_release(struct running *r);
/* The seat taken, or -1 when all are; past RUNNING_MOST a plan runs unseen. */
int running_enter(struct running *r, str id, str project, uint64_t begun_us);
/* SEAT as running_enter() gave it; -1 is fine. */
void running_leave(struct running *r, int seat);
/* Copies those that run, oldest first. */
size_t running_list(struct running *r, struct running_plan out[RUNNING_MOST]);
