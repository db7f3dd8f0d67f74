#include "dedupe.h"
#include <stdlib.h>

static uint32_t deps_count(const struct gnode *n)
{
	return n->nedge + n->peers->n;
}

static bool has_child(const struct gnode *n, const struct gedge *e)
{
	for (uint32_t i = 0; i < n->nedge; i++)
		if (n->edge[i].dp == e->dp && n->edge[i].link == e->link)
			return true;
	return false;
}

/* Whether LARGER can stand in for SMALLER, both of one package. */
static bool absorbs(const struct gnode *larger, const struct gnode *smaller)
{
	if (deps_count(larger) < deps_count(smaller))
		return false;
	for (uint32_t i = 0; i < smaller->nedge; i++)
		if (!has_child(larger, &smaller->edge[i]))
			return false;
	for (uint32_t i = 0; i < smaller->peers->n; i++)
		if (!atomset_has(larger->peers, smaller->peers->v[i]))
			return false;
	return true;
}

static void prune(struct run *r, struct graph *g)
{
	VEC(uint32_t) stack = VEC_INIT;
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].reached = false;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++)
			if (g->direct[i].p[k].dp != NONE)
				*vec_add(&stack) = g->direct[i].p[k].dp;
	while (stack.n) {
		uint32_t at = graph_find(g, stack.p[--stack.n]);
		if (at == NONE || g->node.p[at].reached)
			continue;
		g->node.p[at].reached = true;
		for (uint32_t k = 0; k < g->node.p[at].nedge; k++)
			if (g->node.p[at].edge[k].dp != NONE)
				*vec_add(&stack) = g->node.p[at].edge[k].dp;
	}
	for (size_t i = 0; i < g->node.n; i++)
		if (!g->node.p[i].reached)
			g->node.p[i].dropped = true;
	vec_release(&stack);
}

/* --- injected --- */

static uint32_t importer_at(const struct run *r, str path)
{
	for (uint32_t i = 0; i < r->nimporter; i++)
		if (str_eq(r->importer[i].req->path, path))
			return i;
	return NONE;
}

static bool served(struct graph *g, const struct gdirects *target, const struct gedge *e)
{
	for (uint32_t i = 0; i < target->n; i++) {
		const struct gdirect *d = &target->p[i];
		if (d->alias != e->alias)
			continue;
		if (d->dp == e->dp && d->link == e->link)
			return true;
		uint32_t a = d->dp == NONE ? NONE : graph_find(g, d->dp),
			 b = e->dp == NONE ? NONE : graph_find(g, e->dp);
		return a != NONE && b != NONE && g->node.p[a].pkg == g->node.p[b].pkg &&
		       absorbs(&g->node.p[a], &g->node.p[b]);
	}
	return false;
}

void dedupe_injected(struct run *r, struct graph *g)
{
	bool any = false;
	VEC(struct gdirect *) hit = VEC_INIT;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++) {
			struct gdirect *d = &g->direct[i].p[k];
			uint32_t at = d->dp == NONE ? NONE : graph_find(g, d->dp);
			const struct pkg *p = pkg_at(r, d->pkg);
			uint32_t to =
				at == NONE || p->kind != PKG_DIRECTORY ? NONE : importer_at(r, sof(r, p->directory));
			if (to == NONE)
				continue;
			bool all = true;
			for (uint32_t j = 0; all && j < g->node.p[at].nedge; j++)
				all = served(g, &g->direct[to], &g->node.p[at].edge[j]);
			if (all)
				*vec_add(&hit) = d;
		}
	for (size_t i = 0; i < hit.n; i++) {
		hit.p[i]->link = pkg_at(r, hit.p[i]->pkg)->directory;
		hit.p[i]->dp = NONE;
		any = true;
	}
	vec_release(&hit);
	if (any)
		prune(r, g);
}

/* --- peer variants --- */

struct variant {
	uint32_t node;
	struct graph *g;
};
struct group {
	uint32_t *v; /* graph nodes */
	uint32_t n;
};

static int by_size(struct graph *g, uint32_t a, uint32_t b)
{
	uint32_t x = deps_count(&g->node.p[a]), y = deps_count(&g->node.p[b]);
	if (x != y)
		return x < y ? -1 : 1;
	return str_cmp(deppath_text(g->paths, g->node.p[a].dp), deppath_text(g->paths, g->node.p[b].dp));
}

static void sort_by_size(struct graph *g, uint32_t *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t k = i; k && by_size(g, v[k - 1], v[k]) > 0; k--) {
			uint32_t x = v[k];
			v[k] = v[k - 1];
			v[k - 1] = x;
		}
}

/* One greedy round over a group; fills TO by graph node. Leaves in the group what did not take part. */
static bool collapse(struct graph *g, struct group *grp, dpid *to)
{
	uint32_t n = grp->n, left = n;
	uint32_t *cur = xmalloc((n + 1) * sizeof(*cur)), *rest = xmalloc((n + 1) * sizeof(*rest));
	bool *took = xcalloc(g->node.n + 1, sizeof(*took)), any = false;
	memcpy(cur, grp->v, n * sizeof(*cur));
	sort_by_size(g, cur, n);
	while (left) {
		uint32_t largest = cur[--left], m = 0;
		while (left) {
			uint32_t c = cur[--left];
			if (absorbs(&g->node.p[largest], &g->node.p[c])) {
				to[c] = g->node.p[largest].dp;
				took[c] = took[largest] = any = true;
			} else {
				rest[m++] = c;
			}
		}
		memcpy(cur, rest, m * sizeof(*cur));
		left = m;
		sort_by_size(g, cur, left);
	}
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!took[grp->v[i]])
			grp->v[m++] = grp->v[i];
	grp->n = m;
	free(cur);
	free(rest);
	free(took);
	return any;
}

static void redirect(struct graph *g, dpid *dp, const dpid *to)
{
	uint32_t at = *dp == NONE ? NONE : graph_find(g, *dp);
	if (at != NONE && to[at] != NONE)
		*dp = to[at];
}

static uint32_t groups_of(struct run *r, struct graph *g, struct group **out)
{
	uint32_t *count = xcalloc(r->pkg.n + 1, sizeof(*count)), n = 0;
	for (size_t i = 0; i < g->node.n; i++)
		if (!g->node.p[i].dropped)
			count[g->node.p[i].pkg]++;
	struct group *grp = xcalloc(r->pkg.n + 1, sizeof(*grp));
	uint32_t *slot = xcalloc(r->pkg.n + 1, sizeof(*slot));
	for (size_t i = 0; i < g->node.n; i++) {
		uint32_t p = g->node.p[i].pkg;
		if (g->node.p[i].dropped || count[p] < 2)
			continue;
		if (!slot[p]) {
			grp[n].v = arena_new(&r->arena, uint32_t, count[p]);
			slot[p] = ++n;
		}
		struct group *q = &grp[slot[p] - 1];
		q->v[q->n++] = (uint32_t)i;
	}
	free(count);
	free(slot);
	*out = grp;
	return n;
}

void dedupe_peer_dependents(struct run *r, struct graph *g)
{
	struct group *grp;
	uint32_t n = groups_of(r, g, &grp);
	dpid *all = xmalloc((g->node.n + 1) * sizeof(*all)), *to = xmalloc((g->node.n + 1) * sizeof(*to));
	bool any = false;
	memset(all, 0xff, (g->node.n + 1) * sizeof(*all));
	for (bool again = n > 0; again;) {
		uint32_t before = n, m = 0;
		bool some = false;
		memset(to, 0xff, (g->node.n + 1) * sizeof(*to));
		for (uint32_t i = 0; i < n; i++) {
			some |= collapse(g, &grp[i], to);
			if (grp[i].n)
				grp[m++] = grp[i];
		}
		n = m;
		for (size_t i = 0; i < g->node.n; i++)
			if (to[i] != NONE)
				all[i] = to[i];
		any = any || some;
		again = some && n != before;
		for (size_t i = 0; again && i < g->node.n; i++)
			for (uint32_t k = 0; k < g->node.p[i].nedge; k++)
				redirect(g, &g->node.p[i].edge[k].dp, to);
	}
	for (uint32_t i = 0; any && i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++)
			redirect(g, &g->direct[i].p[k].dp, all);
	if (any)
		prune(r, g);
	free(all);
	free(to);
	free(grp);
}
