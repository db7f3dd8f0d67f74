#include "running.h"
#include <stdio.h>
#include <stdlib.h>

void running_init(struct running *r)
{
	*r = (struct running){ 0 };
	pthread_mutex_init(&r->lock, NULL);
}

void running_release(struct running *r)
{
	pthread_mutex_destroy(&r->lock);
}

int running_enter(struct running *r, str id, str project, uint64_t begun_us)
{
	int at = 0;

	pthread_mutex_lock(&r->lock);
	while (at < RUNNING_MOST && r->seat[at].begun_us)
		at++;
	if (at < RUNNING_MOST) {
		struct running_plan *p = &r->seat[at];
		snprintf(p->id, sizeof(p->id), STR_FMT, STR_ARG(id));
		snprintf(p->project, sizeof(p->project), STR_FMT, STR_ARG(project));
		p->begun_us = begun_us ? begun_us : 1;
	}
	pthread_mutex_unlock(&r->lock);
	return at < RUNNING_MOST ? at : -1;
}

void running_leave(struct running *r, int seat)
{
	if (seat < 0)
		return;
	pthread_mutex_lock(&r->lock);
	r->seat[seat].begun_us = 0;
	pthread_mutex_unlock(&r->lock);
}

static int older_first(const void *a, const void *b)
{
	const struct running_plan *x = a, *y = b;

	return (x->begun_us > y->begun_us) - (x->begun_us < y->begun_us);
}

size_t running_list(struct running *r, struct running_plan out[RUNNING_MOST])
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < RUNNING_MOST; i++) {
		if (r->seat[i].begun_us)
			out[n++] = r->seat[i];
	}
	pthread_mutex_unlock(&r->lock);
	qsort(out, n, sizeof(*out), older_first);
	return n;
}
