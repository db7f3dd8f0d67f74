/* marks — which of many small numbers (atoms, places) were met since a beginning, and a number for each: the few that
 * are met are all that it costs. One use at a time. */
#pragma once
#include "base/arena.h"
#include <stdlib.h>

struct mark {
	uint32_t met; /* in which use */
	uint32_t at;  /* what is noted; 0 when it is met first */
};
struct marks {
	struct mark *p;
	size_t n;
	uint32_t use;
};

static inline void marks_begin(struct marks *m)
{
	m->use++;
}

/* What is noted for I, valid until the next call; *FRESH: I was not met before. */
static inline uint32_t *marks_meet(struct marks *m, uint32_t i, bool *fresh)
{
	if (i >= m->n) {
		size_t n = (size_t)i + i / 2 + 64;
		m->p = xrealloc(m->p, n * sizeof(*m->p));
		memset(m->p + m->n, 0, (n - m->n) * sizeof(*m->p));
		m->n = n;
	}
	*fresh = m->p[i].met != m->use;
	if (*fresh)
		m->p[i] = (struct mark){ .met = m->use };
	return &m->p[i].at;
}

static inline void marks_release(struct marks *m)
{
	free(m->p);
	*m = (struct marks){ 0 };
}
