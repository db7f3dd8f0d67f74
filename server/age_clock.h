/* age_clock — Unix time for what is told by its age: the wall clock's when it starts, and from then on that of a clock
 * which nobody sets. A wall clock that is put back would make what is new look longest unused, and what was made a
 * moment before fresh for as long as it takes to come by again. What an earlier run noted of a later time only puts it
 * forward. Its owner's lock guards it. */
#pragma once
#include "base/clock.h"

struct age_clock {
	int64_t ahead_ms; /* of clock_ms() */
};

static inline void age_clock_start(struct age_clock *c)
{
	c->ahead_ms = clock_wall_ms() - clock_ms();
}

static inline int64_t age_clock_s(const struct age_clock *c)
{
	return (c->ahead_ms + clock_ms()) / 1000;
}

/* It is not before THEN, which somebody noted. Returns the seconds by which it was put forward, 0 for none. */
static inline int64_t age_clock_pass(struct age_clock *c, int64_t then_s)
{
	int64_t by = then_s - age_clock_s(c);

	if (by <= 0)
		return 0;
	c->ahead_ms += by * 1000;
	return by;
}
