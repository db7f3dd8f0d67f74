/* workq — the one place that starts threads. A bounded queue of jobs, N
 * workers, and a done list that the owner drains from its event loop.
 *
 * A job has one owner at a time: caller, queue, worker, queue, caller. run()
 * touches only its job. A job counts as live before a worker can see it.
 * Nothing else may call pthread_create, except workq_thread() for the few
 * threads that are no pool (the fetch thread, the index writer, server loops). */
#pragma once
#include "base/base.h"
#include <pthread.h>

/* Jobs left for each worker that are few: none idles before an owner of patient jobs has brought more. */
enum { WORKQ_FEW = 4 };

struct workq;
struct workq_opts {
	const char *name;        /* thread name, at most 15 bytes */
	unsigned workers;        /* 0: one per CPU */
	unsigned depth;          /* jobs in the queue plus undrained; full means wait */
	void (*run)(void *job);  /* on a worker, no lock held; cannot fail: put the err in the job */
	void (*drop)(void *job); /* for jobs never run */
	/* On a worker, after run(): whether what follows this job may wait. Then the owner is woken when few are left,
	 * when none is left to begin, and when all have ended. NULL: none is such. */
	bool (*patient)(const void *job);
};
/* Starts its threads. ERR_IO: there is no descriptor, or no thread. */
MUST_USE int workq_new(struct workq **out, const struct workq_opts *o, struct err *e);
MUST_USE bool workq_push(struct workq *q, void *job); /* false: full; the job is still yours */
/* Likewise, before all that nobody has begun. */
MUST_USE bool workq_push_first(struct workq *q, void *job);
/* No job is brought before all that are here have ended, and been popped: until the next push the owner is woken for
 * patient ones when all have ended, and not before. */
void workq_last(struct workq *q);
void *workq_pop(struct workq *q);    /* oldest finished job, yours again; NULL if none */
int workq_fd(const struct workq *q); /* readable: workq_pop() may have something */
void workq_free(struct workq *q);    /* joins workers, drops the rest */

/* A named thread of its own, all signals blocked. Join it with pthread_join(). */
MUST_USE int workq_thread(pthread_t *out, const char *name, void *(*fn)(void *), void *arg, struct err *e);
/* CPUs this process may use. */
unsigned workq_cpus(void);
