/* draw — pseudo-random numbers that are the same in every run: which answer fails, which request comes next.
 *
 * xorshift64* (Vigna 2014) and FNV-1a. Not for secrets. Pure; a state belongs to one thread. */
#pragma once
#include "base/str.h"

/* What a state begins with where nobody says otherwise; never 0. */
#define DRAW_SEED 88172645463325252u

/* What one begins with that is to be the Nth of several. */
static inline uint64_t draw_seed(uint32_t n)
{
	return (DRAW_SEED ^ n * 0x9E3779B97F4A7C15u) | 1;
}

/* 53 bits. */
static inline uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717u) >> 11;
}

/* From 0 up to, but not including, 1. */
static inline double draw_share(uint64_t *state)
{
	return (double)draw(state) / 9007199254740992.0;
}

/* 64 bits of S, the same on every machine. */
static inline uint64_t draw_of(str s)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 1099511628211u;
	return h;
}
