/* bytes — little runs of binary: numbers as they lie in memory, names with their length in front and a NUL behind.
 *
 * For files that one machine writes for itself (state, image). A cursor's
 * `bad` sticks, so a reader asks once at the end. */
#pragma once
#include "base/base.h"

struct cursor {
	const char *p, *end;
	bool bad;
};

static inline const char *take(struct cursor *c, size_t n)
{
	const char *p = c->p;

	if (c->bad || n > (size_t)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return p;
}

static inline uint64_t take_u64(struct cursor *c)
{
	uint64_t v = 0;
	const char *p = take(c, sizeof(v));

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

/* A text of at most MAX bytes with its NUL behind it; borrows. */
static inline str take_text(struct cursor *c, uint64_t max)
{
	uint64_t n = take_u64(c);
	const char *p = n <= max ? take(c, n + 1) : NULL;

	if (!p || p[n] != 0) {
		c->bad = true;
		return STR_NONE;
	}
	return (str){ p, n };
}

static inline str take_name(struct cursor *c)
{
	return take_text(c, 4095);
}

static inline void put_u64(struct buf *b, uint64_t v)
{
	buf_add(b, (str){ (const char *)&v, sizeof(v) });
}

static inline void put_name(struct buf *b, str s)
{
	put_u64(b, s.n);
	buf_add(b, s);
	buf_addc(b, 0);
}
