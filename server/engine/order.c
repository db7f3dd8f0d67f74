#include "order.h"
#include "installable.h"
#include "package.h"
#include <stdlib.h>

static str node_of(const struct pkg *p)
{
	uint32_t n = packument_map_n(p->pm, p->pv, PACKUMENT_ENGINES);
	str key, range;

	for (uint32_t i = 0; i < n; i++) {
		packument_map_at(p->pm, p->pv, PACKUMENT_ENGINES, i, &key, &range);
		if (str_eq(key, STR("node")))
			return range;
	}
	return STR_NONE;
}

/* Where P runs, wherever the package came from. */
static struct runs_on runs_on(struct run *r, const struct pkg *p)
{
	const struct manifest *m = p->manifest;
	const struct lock_package *l = p->kind == PKG_LOCKED ? p->locked : NULL;
	str name = sof(r, p->name);

	if (p->kind == PKG_REGISTRY)
		return (struct runs_on){ name, package_list(r, p, PACKUMENT_OS), package_list(r, p, PACKUMENT_CPU),
			package_list(r, p, PACKUMENT_LIBC), node_of(p) };
	if (!l && !m)
		return (struct runs_on){ .name = name };
	const str *node = str_map_get(l ? l->engines : m->engines, STR("node"));
	return (struct runs_on){ name, l ? l->os : m->os, l ? l->cpu : m->cpu, l ? l->libc : m->libc,
		node ? *node : STR_NONE };
}

/* Whether it is installed here where it is optional. */
static bool fits(struct run *r, const struct pkg *p)
{
	struct runs_on on = runs_on(r, p);

	return installable_on(&on, &r->req->platform, r->set, true, &r->arena) == INSTALLABLE_YES;
}

struct step {
	uint32_t node;
	bool optional;
};
typedef VEC(struct step) step_vec;

static void push(step_vec *s, const struct graph *g, dpid dp, bool optional)
{
	uint32_t at = dp == NONE ? NONE : graph_find(g, dp);
	if (at != NONE)
		*vec_add(s) = (struct step){ at, optional };
}

/* Two bits a node: 1 reached optionally, 2 reached otherwise. */
static void mark_optional(struct run *r, struct graph *g)
{
	step_vec stack = VEC_INIT;
	uint8_t *seen = xcalloc(g->node.n + 1, 1);
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++) {
			enum lock_dep_type type;
			/* what is only hoisted is no dependency of the importer: whoever asked for it reaches it */
			if (importer_declares(r, &r->importer[i], g->direct[i].p[k].alias, &type))
				push(&stack, g, g->direct[i].p[k].dp, type == LOCK_OPTIONAL);
		}
	while (stack.n) {
		struct step s = stack.p[--stack.n];
		uint8_t bit = s.optional ? 1 : 2;
		if (seen[s.node] & bit)
			continue;
		seen[s.node] |= bit;
		const struct gnode *n = &g->node.p[s.node];
		for (uint32_t k = 0; k < n->nedge; k++)
			push(&stack, g, n->edge[k].dp, s.optional || n->edge[k].optional);
	}
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].only_optional = seen[i] ? !(seen[i] & 2) : pkg_at(r, g->node.p[i].pkg)->optional;
	vec_release(&stack);
	free(seen);
}

static void mark_wanted(struct run *r, struct graph *g)
{
	step_vec stack = VEC_INIT;
	const struct request *q = r->req;
	const bool wanted[LOCK_NTYPES] = { [LOCK_PROD] = q->prod, [LOCK_DEV] = q->dev, [LOCK_OPTIONAL] = q->optional };
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].reached = g->node.p[i].elsewhere = false;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++) {
			enum lock_dep_type type;
			if (importer_declares(r, &r->importer[i], g->direct[i].p[k].alias, &type) && wanted[type])
				push(&stack, g, g->direct[i].p[k].dp, type == LOCK_OPTIONAL);
		}
	while (stack.n) {
		struct step s = stack.p[--stack.n];
		struct gnode *n = &g->node.p[s.node];
		if (n->reached || n->elsewhere)
			continue;
		n->elsewhere = n->only_optional && !fits(r, pkg_at(r, n->pkg));
		if (n->elsewhere)
			continue;
		n->reached = true;
		for (uint32_t k = 0; k < n->nedge; k++)
			if (!n->edge[k].optional || q->optional)
				push(&stack, g, n->edge[k].dp, n->edge[k].optional);
	}
	vec_release(&stack);
}

void order_mark(struct run *r, struct graph *g)
{
	mark_optional(r, g);
	mark_wanted(r, g);
}

struct ranked {
	uint64_t work;
	str text;
	uint32_t node;
	bool suffixed;
};

static int rank_order(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->suffixed != b->suffixed)
		return a->suffixed ? 1 : -1;
	if (a->work != b->work)
		return a->work > b->work ? -1 : 1;
	return str_cmp(a->text, b->text);
}

uint32_t *order_nodes(struct run *r, struct graph *g, uint32_t *n)
{
	struct ranked *k = xmalloc((g->node.n + 1) * sizeof(*k));
	uint32_t *out = arena_new(&r->arena, uint32_t, g->node.n + 1);
	*n = 0;
	for (uint32_t i = 0; i < g->node.n; i++) {
		const struct gnode *q = &g->node.p[i];
		const struct pkg *p = pkg_at(r, q->pkg);
		if (q->dropped)
			continue;
		uint64_t work = p->kind == PKG_REGISTRY ? p->work : 0;
		k[(*n)++] = (struct ranked){ work, deppath_text(g->paths, q->dp), i, g->paths->dp.p[q->dp].nseg > 0 };
	}
	qsort(k, *n, sizeof(*k), rank_order);
	for (uint32_t i = 0; i < *n; i++)
		out[i] = k[i].node;
	free(k);
	return out;
}
