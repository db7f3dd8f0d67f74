/* clock — time for measuring (monotonic) and the wall clock, as numbers. */
#pragma once
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static inline int64_t clock_ms(void)
{
	return (int64_t)(clock_us() / 1000u);
}

static inline int64_t clock_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What has a later time was written after now. The reverse may not hold: Linux stamps files by the tick, unless
 * they are looked at (6.13 and later), so that the coarse clock, which they were stamped from, may be behind
 * what was written before. */
static inline int64_t clock_file_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_wall_s(void)
{
	return clock_wall_ms() / 1000;
}
