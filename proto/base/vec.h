/* vec — a growing array of one type, on the heap.
 *
 *	VEC(struct job *) jobs = VEC_INIT;
 *	*vec_add(&jobs) = j;
 *	for (size_t i = 0; i < jobs.n; i++) use(jobs.p[i]);
 *	vec_release(&jobs);
 *
 * vec_add() returns a pointer to one more element, not zeroed; pointers into
 * the array die with the next vec_add(). */
#pragma once
#include "base/arena.h"
#include <stdlib.h>

#define VEC(type)                                                                                                      \
	struct {                                                                                                       \
		type *p;                                                                                               \
		size_t n, cap;                                                                                         \
	}
#define VEC_INIT                                                                                                       \
	{                                                                                                              \
		0                                                                                                      \
	}
#define vec_add(v)                                                                                                     \
	((v)->n == (v)->cap ? (void)((v)->p = vec_grow((v)->p, &(v)->cap, sizeof(*(v)->p))) : (void)0,                 \
		&(v)->p[(v)->n++])
#define vec_release(v) (free((v)->p), (v)->p = NULL, (v)->n = (v)->cap = 0)

/* For vec_add(): the array P with *CAP larger, at least 16, by half each time. Aborts where memory ends. */
void *vec_grow(void *p, size_t *cap, size_t size);
