#include "order.h"
#include <stdlib.h>

/* One list of a manifest, wherever the package came from. */
static struct str_list one_of(struct str_list os, struct str_list cpu, struct str_list libc, enum packument_list which)
{
	if (which == PACKUMENT_OS)
		return os;
	return which == PACKUMENT_CPU ? cpu : libc;
}

static struct str_list list_of(const struct pkg *p, enum packument_list which, struct arena *a)
{
	const struct manifest *m = p->manifest;
	if (p->kind == PKG_LOCKED)
		return one_of(p->locked->os, p->locked->cpu, p->locked->libc, which);
	if (p->kind != PKG_REGISTRY && !m)
		return (struct str_list){ 0 };
	if (p->kind != PKG_REGISTRY)
		return one_of(m->os, m->cpu, m->libc, which);
	uint32_t n = packument_list_n(p->pm, p->pv, which);
	struct str_list l = { .p = arena_new(a, str, n + 1), .n = n };
	for (uint32_t i = 0; i < n; i++)
		l.p[i] = packument_list_at(p->pm, p->pv, which, i);
	return l;
}

/* npm's rule: a "!x" excludes x; otherwise one must name the platform, or "any". */
static bool admits(struct str_list want, struct str_list have, str current)
{
	bool any_positive = false, hit = false;
	struct str_list mine = have.n ? have : (struct str_list){ &current, 1 };
	if (!want.n || !mine.n || (!have.n && !current.n))
		return true;
	for (size_t i = 0; i < want.n; i++) {
		bool no = want.p[i].n && want.p[i].p[0] == '!';
		str w = no ? str_from(want.p[i], 1) : want.p[i];
		if (str_eq(w, STR("any")))
			return true;
		for (size_t k = 0; k < mine.n; k++) {
			if (!str_eq(w, mine.p[k]))
				continue;
			if (no && mine.n == 1)
				return false;
			hit = hit || !no;
		}
		any_positive = any_positive || !no;
	}
	return hit || !any_positive;
}

bool order_fits(const struct run *r, const struct pkg *p)
{
	struct arena *a = (struct arena *)&r->arena;
	const struct settings *s = r->set;
	const struct platform *here = &r->req->platform;
	return admits(list_of(p, PACKUMENT_OS, a), s->supported_os, here->os) &&
	       admits(list_of(p, PACKUMENT_CPU, a), s->supported_cpu, here->cpu) &&
	       admits(list_of(p, PACKUMENT_LIBC, a), s->supported_libc, here->libc);
}

enum group { GROUP_PROD, GROUP_DEV, GROUP_OPTIONAL, GROUP_NONE };

static bool kv_has(const struct kv *p, uint32_t n, atom k)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i].k == k)
			return true;
	return false;
}

static enum group group_of(const struct run *r, const struct importer *imp, atom alias)
{
	if (kv_has(imp->deps.opt, imp->deps.nopt, alias))
		return GROUP_OPTIONAL;
	if (kv_has(imp->deps.dep, imp->deps.ndep, alias))
		return GROUP_PROD;
	if (kv_has(imp->dev.dep, imp->dev.ndep, alias))
		return GROUP_DEV;
	/* its own peers are installed for it, and stand in the lockfile as its dependencies */
	return r->set->auto_install_peers && kv_has(imp->deps.peer, imp->deps.npeer, alias) ? GROUP_PROD : GROUP_NONE;
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
			enum group grp = group_of(r, &r->importer[i], g->direct[i].p[k].alias);
			if (grp != GROUP_NONE)
				push(&stack, g, g->direct[i].p[k].dp, grp == GROUP_OPTIONAL);
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
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].reached = false;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++) {
			enum group grp = group_of(r, &r->importer[i], g->direct[i].p[k].alias);
			/* an auto-installed peer is no dependency of the importer: whoever asked for it reaches it */
			bool in = grp == GROUP_PROD       ? q->prod
				  : grp == GROUP_DEV      ? q->dev
				  : grp == GROUP_OPTIONAL ? q->optional
							  : false;
			if (in)
				push(&stack, g, g->direct[i].p[k].dp, grp == GROUP_OPTIONAL);
		}
	while (stack.n) {
		struct step s = stack.p[--stack.n];
		struct gnode *n = &g->node.p[s.node];
		if (n->reached || (n->only_optional && !order_fits(r, pkg_at(r, n->pkg))))
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
