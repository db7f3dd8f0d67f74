/* peers — which copy of a package sees which peers, and so its dep path.
 *
 * Walks the tree of occurrences depth first with the parents that could provide a
 * peer; a package whose subtree needs nobody is pure and its dep path is its id; the
 * others are cached by package and reused where the parents agree. Cycles among
 * packages are cut at the same edges everywhere, so that no result depends on where
 * the walk entered. Peers that are not there are reported: hoist.c installs them. */
#pragma once
#include "deppath.h"

struct peers;
/* DISCOVERY: only who misses what and who provides what; keeps its caches between calls. */
struct peers *peers_new(struct run *r, bool discovery);
void peers_free(struct peers *p);

/* Missing names per package, from one walk: see hoist.c. */
struct missing_of {
	uint32_t pkg;
	const struct atomset *names;
};
struct discovery {
	missing_vec missing;           /* its ancestors: until packages or edges come */
	VEC(struct direct) provider;   /* alias and node found inside the tree */
	VEC(struct missing_of) by_pkg; /* its names: likewise */
};
/* Walks IMP's direct dependencies from number FROM on. */
void peers_discover(struct peers *p, struct importer *imp, uint32_t from, struct discovery *out);
void discovery_release(struct discovery *d);

struct gedge {
	atom alias;
	dpid dp; /* NONE: link */
	atom link;
	bool optional;
};
/* One entry of the result: a package under a peer context. */
struct gnode {
	uint32_t pkg;
	dpid dp;
	struct gedge *edge; /* sorted by alias text */
	uint32_t nedge;
	const struct atomset *transitive, *peers; /* names: inherited; resolved */
	const struct atomset *declined;           /* peers that it does without on purpose; NULL: none */
	int32_t depth;
	uint64_t order;
	bool reached, only_optional, dropped;
	bool elsewhere; /* only optional, and found not to run here */
};
struct gdirect {
	atom alias;
	dpid dp;   /* NONE: link */
	atom link; /* path from the lockfile's folder */
	uint32_t pkg;
};
struct gdirects {
	struct gdirect *p; /* sorted by alias text */
	uint32_t n;
};
struct graph {
	struct deppaths *paths;
	VEC(struct gnode) node;
	uint32_t *of; /* by dpid: index + 1 */
	size_t nof;
	struct gdirects *direct; /* by importer */
};
/* The final walk over all importers. The graph lives in the run's arena; PATHS must outlive it. */
void peers_graph(struct run *r, struct deppaths *paths, struct graph *out);
void graph_release(struct graph *g);
/* Within a cycle of peers one dep path can stand for a package with either variant of a child: it keeps the one that
 * the lockfile has, while that is still in G and all its children are the packages that they were. Source: pnpm
 * 12.20 */
void peers_locked_links(struct run *r, struct graph *g);
/* The node of DP, an index; NONE: the graph has none. */
uint32_t graph_find(const struct graph *g, dpid dp);
/* Room in the table behind graph_find() for every dep path that exists. */
void graph_grow(struct graph *g);
