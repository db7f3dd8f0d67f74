#include "heap.h"
#include <malloc.h>

enum {
	ARENAS = 2,      /* a heap for each thread would keep what each one's largest burst needed */
	LARGE = 1 << 20, /* blocks of so many bytes are the system's again when they are freed */
	KEPT = 4 << 20,  /* free bytes at a heap's end */
};

/* Without bounds of ours the first window of 32 MiB that is freed teaches malloc to lay blocks as large as that between
 * small ones that stay, and to keep twice as much that is free. */
void heap_shape(void)
{
	mallopt(M_ARENA_MAX, ARENAS);
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, KEPT);
}
