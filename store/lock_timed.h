/* lock_timed — locks that somebody waits for with a request in hand: long waits are counted. Any thread. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Locks L; a wait of over 1 ms is counted in WAITS, which may be NULL. A lock that is free
 * costs no look at the clock. */
void lock_timed(pthread_mutex_t *l, _Atomic uint64_t *waits);
