#include "cond_timed.h"
#include <errno.h>
#include <time.h>

void cond_timed_init(pthread_cond_t *c)
{
	pthread_condattr_t mono;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(c, &mono);
	pthread_condattr_destroy(&mono);
}

bool cond_timed_wait(pthread_cond_t *c, pthread_mutex_t *l, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return pthread_cond_timedwait(c, l, &until) != ETIMEDOUT;
}
