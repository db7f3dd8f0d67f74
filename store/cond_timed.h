/* cond_timed — waits on a condition that have an end, by the monotonic clock: a wall clock that is put back keeps
 * nobody asleep. Any thread. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* As pthread_cond_init(); C may be waited for with the functions of pthread.h, too. */
void cond_timed_init(pthread_cond_t *c);
/* Waits for C, MS at most, with L held. False: that time is over. As with pthread_cond_wait(), true says
 * nothing of what L guards. */
bool cond_timed_wait(pthread_cond_t *c, pthread_mutex_t *l, int64_t ms);
