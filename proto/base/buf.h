/* buf — bytes that grow at the end, on the heap.
 *
 * For output whose size is not known: text to print, a record to store, a
 * body to send. Owns its memory; buf_release() frees it. One thread at a time. */
#pragma once
#include "base/arena.h"

struct buf {
	char *p;
	size_t n, cap;
};
#define BUF_INIT ((struct buf){ 0 })

/* Room for N more bytes; returns where they go. Add to b->n what was used. */
char *buf_reserve(struct buf *b, size_t n);
static inline void buf_add(struct buf *b, str s)
{
	if (s.n) {
		memcpy(s.n <= b->cap - b->n ? b->p + b->n : buf_reserve(b, s.n), s.p, s.n);
		b->n += s.n;
	}
}
static inline void buf_addc(struct buf *b, char c)
{
	*(b->n < b->cap ? b->p + b->n : buf_reserve(b, 1)) = c;
	b->n++;
}
/* Appends what printf makes of its arguments; a NUL that is not counted follows. */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* What it holds, borrowed until the next change. */
static inline str buf_str(const struct buf *b)
{
	return (str){ b->p, b->n };
}
/* Empty, memory kept. */
static inline void buf_clear(struct buf *b)
{
	b->n = 0;
}
/* Hands the bytes to the caller (free() them) and empties B. */
char *buf_steal(struct buf *b, size_t *n);
void buf_release(struct buf *b);
