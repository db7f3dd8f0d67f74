/* heap — what drayd's allocator holds, and giving back what it keeps without need.
 *
 * glibc makes up to eight heaps a CPU, each as large as the largest burst that any thread had in it, and gives little
 * of it back: a server of 60 threads keeps several times what it uses, and more the longer it runs. So there are few
 * heaps (heap_setup), and a thread looks every ten seconds whether more is kept than is of use to the next request, and
 * gives that back (heap_new). Any thread may call. */
#pragma once
#include "base/base.h"
#include <stdatomic.h>

/* Before any thread is started: as many heaps as CPUs, two at least, that keep what a plan took for the next one. */
void heap_setup(void);

struct heap_sizes {
	uint64_t used; /* bytes that were allocated and not freed; 0: the allocator does not tell (sanitizers) */
	/* Bytes of memory that nobody's data is in: free, but not the system's again; thread stacks included. */
	uint64_t kept;
};
/* Of all heaps, now. Takes each heap's lock for a moment. */
struct heap_sizes heap_sizes(void);

/* Gives back what is free when KEPT is over 32 MiB and over half of what is used: true. The thread does
 * it by itself; for tests. */
bool heap_trim(void);

struct heap;
/* TRIMS counts the times that memory was given back; it outlives the heap. */
MUST_USE int heap_new(struct heap **out, _Atomic uint64_t *trims, struct err *e);
void heap_free(struct heap *h); /* NULL is fine */
