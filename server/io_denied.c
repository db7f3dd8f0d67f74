#include "io_denied.h"
#include <stdlib.h>

struct io_denial {
	uint32_t ticket;
	struct err why;
	struct engine_packument answer;
};

void io_denied_release(struct io_denied *d)
{
	for (size_t i = 0; i < d->all.n; i++)
		free(d->all.p[i]);
	vec_release(&d->all);
}

void io_denied_add(struct io_denied *d, uint32_t ticket, const struct err *why)
{
	struct io_denial *n = xcalloc(1, sizeof(*n));

	n->ticket = ticket;
	n->why = *why;
	n->answer.err = &n->why;
	*vec_add(&d->all) = n;
}

uint32_t io_denied_tell(struct io_denied *d, uint32_t *ticket, const struct engine_packument **got, uint32_t cap)
{
	uint32_t n = 0;

	while (n < cap && d->told < d->all.n) {
		const struct io_denial *next = d->all.p[d->told++];
		ticket[n] = next->ticket;
		got[n++] = &next->answer;
	}
	return n;
}
