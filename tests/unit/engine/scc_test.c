/* Two nodes share a component exactly if each is reached from the other: compared with a search from every node of
 * graphs made by a generator. */
#include "scc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

enum { NODES = 24 };
struct made {
	uint32_t n, degree[NODES], to[NODES][NODES];
	bool reached[NODES][NODES];
};

static uint32_t degree(void *ctx, uint32_t v)
{
	return ((struct made *)ctx)->degree[v];
}

static uint32_t target(void *ctx, uint32_t v, uint32_t i)
{
	return ((struct made *)ctx)->to[v][i];
}

static void reach(struct made *m, uint32_t from, uint32_t at)
{
	if (m->reached[from][at])
		return;
	m->reached[from][at] = true;
	for (uint32_t i = 0; i < m->degree[at]; i++)
		if (m->to[at][i] != UINT32_MAX)
			reach(m, from, m->to[at][i]);
}

/* Each edge with a chance of one in SPARSE. */
static void make(struct made *m, uint32_t n, uint32_t seed, uint32_t sparse)
{
	*m = (struct made){ .n = n };
	for (uint32_t v = 0; v < n; v++)
		for (uint32_t w = 0; w < n; w++) {
			seed = seed * 1664525u + 1013904223u;
			if ((seed >> 8) % sparse == 0)
				m->to[v][m->degree[v]++] = (seed >> 24) % 16 == 0 ? UINT32_MAX : w;
		}
	for (uint32_t v = 0; v < n; v++)
		reach(m, v, v);
}

static void test_made_graphs(void **state)
{
	struct made m;
	unsigned cycles = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 400; seed++) {
		make(&m, seed % (NODES + 1), seed, 4 + seed % 29);
		uint32_t *scc = scc_find(&(struct scc_graph){ &m, m.n, degree, target });
		for (uint32_t v = 0; v < m.n; v++)
			for (uint32_t w = 0; w < m.n; w++) {
				bool one = m.reached[v][w] && m.reached[w][v];
				assert_int_equal(scc[v] == scc[w], one);
				cycles += one && v != w;
			}
		free(scc);
	}
	assert_true(cycles > 1000); /* the graphs are not all without cycles, or one */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_made_graphs) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
