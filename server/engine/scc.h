/* scc — strongly connected components of a graph of numbers. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Of nodes 0 to N - 1: how many edges V has, and where its I-th leads; UINT32_MAX: nowhere. */
struct scc_graph {
	void *ctx;
	uint32_t n;
	uint32_t (*degree)(void *ctx, uint32_t v);
	uint32_t (*target)(void *ctx, uint32_t v, uint32_t i);
};
/* The number of each node's component, which two share if each is reached from the other. The caller frees it. By
 * Tarjan's algorithm, without recursion. */
uint32_t *scc_find(const struct scc_graph *g);
