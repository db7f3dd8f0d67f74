#include "scc.h"
#include "base/arena.h"
#include <stdlib.h>

#define NOWHERE UINT32_MAX

/* A node on the way down, and its next edge. */
struct step {
	uint32_t v, at;
};
struct tarjan {
	const struct scc_graph *g;
	uint32_t *index, *low, *scc;
	uint32_t *open, nopen; /* nodes whose component is not complete */
	bool *is_open;
	uint32_t next, nscc;
	struct step *down;
	uint32_t ndown;
};

static void enter(struct tarjan *t, uint32_t v)
{
	t->index[v] = t->low[v] = t->next++;
	t->open[t->nopen++] = v;
	t->is_open[v] = true;
	t->down[t->ndown++] = (struct step){ v, 0 };
}

static void follow(struct tarjan *t, uint32_t from, uint32_t to)
{
	if (to == NOWHERE)
		return;
	if (t->index[to] == NOWHERE)
		enter(t, to);
	else if (t->is_open[to] && t->index[to] < t->low[from])
		t->low[from] = t->index[to];
}

static void leave(struct tarjan *t, uint32_t v)
{
	if (t->low[v] == t->index[v]) {
		uint32_t m;
		do {
			m = t->open[--t->nopen];
			t->is_open[m] = false;
			t->scc[m] = t->nscc;
		} while (m != v);
		t->nscc++;
	}
	t->ndown--;
	if (t->ndown && t->low[v] < t->low[t->down[t->ndown - 1].v])
		t->low[t->down[t->ndown - 1].v] = t->low[v];
}

uint32_t *scc_find(const struct scc_graph *g)
{
	size_t n = (size_t)g->n + 1;
	struct tarjan t = { .g = g,
		.index = xmalloc(n * sizeof(*t.index)),
		.low = xmalloc(n * sizeof(*t.low)),
		.scc = xmalloc(n * sizeof(*t.scc)),
		.open = xmalloc(n * sizeof(*t.open)),
		.is_open = xcalloc(n, sizeof(*t.is_open)),
		.down = xmalloc(n * sizeof(*t.down)) };

	memset(t.index, 0xff, n * sizeof(*t.index)); /* NOWHERE */
	for (uint32_t root = 0; root < g->n; root++) {
		if (t.index[root] == NOWHERE)
			enter(&t, root);
		while (t.ndown) {
			struct step *s = &t.down[t.ndown - 1];
			if (s->at < g->degree(g->ctx, s->v))
				follow(&t, s->v, g->target(g->ctx, s->v, s->at++));
			else
				leave(&t, s->v);
		}
	}
	free(t.index);
	free(t.low);
	free(t.open);
	free(t.is_open);
	free(t.down);
	return t.scc;
}
