#include "lock_timed.h"
#include "base/clock.h"

void lock_timed(pthread_mutex_t *l, _Atomic uint64_t *waits)
{
	if (pthread_mutex_trylock(l) == 0)
		return;
	uint64_t from = clock_us();
	pthread_mutex_lock(l);
	if (waits && clock_us() - from > 1000)
		atomic_fetch_add_explicit(waits, 1, memory_order_relaxed);
}
