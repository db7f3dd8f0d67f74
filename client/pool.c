#include "pool.h"
#include <stdlib.h>

#include "fd_budget.h"
#include "workq.h"

#define POOL_DEPTH 256u /* or twice what is enough */

struct pool {
	struct workq *q;
	unsigned workers, live;
	struct job *first, **end; /* not yet pushed */
	bool last;                /* the queue knows that nothing more comes */
};

static void pool_run(void *job)
{
	struct job *j = job;

	j->run(j);
}

static bool pool_patient(const void *job)
{
	return ((const struct job *)job)->patient;
}

static void pool_drop(void *job)
{
	(void)job; /* its memory belongs to whoever made it, and the process is ending */
}

int pool_new(struct pool **out, unsigned workers, struct err *e)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->workers = workers ? workers : fd_budget_workers(workq_cpus() < 2 ? 2 : workq_cpus());
	p->end = &p->first;
	struct workq_opts o = { .name = "pool",
		.workers = p->workers,
		.depth = 2 * pool_enough(p) > POOL_DEPTH ? 2 * pool_enough(p) : POOL_DEPTH,
		.run = pool_run,
		.drop = pool_drop,
		.patient = pool_patient };
	if (workq_new(&p->q, &o, e) < 0) {
		free(p);
		return e->code;
	}
	*out = p;
	return 0;
}

unsigned pool_workers(const struct pool *p)
{
	return p->workers;
}

unsigned pool_enough(const struct pool *p)
{
	return 2u * WORKQ_FEW * p->workers;
}

static void pool_push(struct pool *p)
{
	while (p->first && (p->first->urgent ? workq_push_first(p->q, p->first) : workq_push(p->q, p->first))) {
		/* The worker may already be done with it, but done() runs on this thread only, so next is intact. */
		p->first = p->first->next;
		if (!p->first)
			p->end = &p->first;
	}
}

void pool_submit(struct pool *p, struct job *j)
{
	if (j->urgent || !p->first) {
		j->next = p->first;
		p->first = j;
		p->end = j->next ? p->end : &j->next;
	} else {
		j->next = NULL;
		*p->end = j;
		p->end = &j->next;
	}
	p->live++;
	p->last = false;
	pool_push(p);
}

void pool_last(struct pool *p)
{
	if (p->last || p->first) /* what waits for room is pushed when few are left */
		return;
	p->last = true;
	workq_last(p->q);
}

int pool_fd(const struct pool *p)
{
	return workq_fd(p->q);
}

unsigned pool_drain(struct pool *p)
{
	unsigned n = 0;

	for (struct job *j; (j = workq_pop(p->q)); n++) {
		p->live--;
		j->done(j, j->ctx);
	}
	pool_push(p);
	return n;
}

unsigned pool_live(const struct pool *p)
{
	return p->live;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	workq_free(p->q);
	free(p);
}
