#include "base/vec.h"

void *vec_grow(void *p, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 8, bytes;

	if (__builtin_mul_overflow(more, size, &bytes))
		die_oom(SIZE_MAX);
	*cap = more;
	return xrealloc(p, bytes);
}
