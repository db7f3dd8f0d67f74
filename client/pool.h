/* pool — the install's worker pool: imports, links and shims go through one bounded set of threads.
 *
 * A job is a struct whose first member is struct job. run() works on a pool
 * thread and touches nothing but its job; done() is called on the thread that
 * drains the pool, the install's loop. What does not fit into the work queue
 * waits in a list of the pool; the owner of the jobs bounds how many there are. */
#pragma once
#include "base/base.h"

struct job {
	void (*run)(struct job *j);
	void (*done)(struct job *j, void *ctx); /* may free J and submit others */
	void *ctx;
	struct job *next;
	/* done(), and what is next, may wait until few jobs are left, or none; run() makes a
	 * job that failed impatient. */
	bool patient;
	bool urgent; /* goes before all that no worker has begun */
};

struct pool;
/* WORKERS 0: one per CPU, or what fd_budget.h leaves, and two at least, so that a link can always overlap with
 * another. */
MUST_USE int pool_new(struct pool **out, unsigned workers, struct err *e);
/* How many threads it has. */
unsigned pool_workers(const struct pool *p);
/* Jobs to have here at once, at least, for no worker to idle while more of them are brought. */
unsigned pool_enough(const struct pool *p);
/* J is the pool's until its done(). Never waits, and never refuses. */
void pool_submit(struct pool *p, struct job *j);
/* Nothing is submitted before all jobs have ended, and done() of patient ones that are here submits nothing: with
 * those pool_fd() is readable only then. Forgotten with the next job: one that comes all the same is only late. */
void pool_last(struct pool *p);
/* Readable when pool_drain() has something to do. */
int pool_fd(const struct pool *p);
/* Calls done() of every finished job. Returns how many. */
unsigned pool_drain(struct pool *p);
/* Jobs submitted whose done() has not been called. */
unsigned pool_live(const struct pool *p);
/* Waits for jobs that run; jobs that have not started get neither run() nor done(): wait for pool_live() == 0 first
 * unless the process is about to end. */
void pool_free(struct pool *p);
