#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *buf_reserve(struct buf *b, size_t n)
{
	size_t want;

	if (__builtin_add_overflow(b->n, n, &want))
		die_oom(n);
	if (want > b->cap) {
		size_t cap = b->cap ? b->cap : 256;
		while (cap < want)
			cap += cap / 2 + 64;
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		die_oom(0);
	vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
	va_end(again);
	b->n += (size_t)n;
}

char *buf_steal(struct buf *b, size_t *n)
{
	char *p = b->p;

	if (n)
		*n = b->n;
	*b = BUF_INIT;
	return p;
}

void buf_release(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT;
}
