#include "dedupe.h"
#include "sorted.h"
#include <stdlib.h>

static uint32_t deps_count(const struct gnode *n)
{
	return n->nedge + n->peers->n;
}

/* Pairs of nodes still to compare, each only once; a pair that is reached again counts as
 * fitting, which ends cycles. */
struct pairs {
	VEC(uint64_t) all;
	size_t done;
	uint32_t *cell; /* index + 1 into ALL */
	uint32_t mask;
};

static uint32_t pair_cell(const struct pairs *q, uint64_t key)
{
	uint32_t h = (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & q->mask;
	while (q->cell[h] && q->all.p[q->cell[h] - 1] != key)
		h = (h + 1) & q->mask;
	return h;
}

static void pair_add(struct pairs *q, uint32_t larger, uint32_t smaller)
{
	uint64_t key = (uint64_t)larger << 32 | smaller;
	if (larger == smaller)
		return;
	if (q->all.n * 2 >= q->mask) {
		free(q->cell);
		q->mask = q->mask ? q->mask * 2 + 1 : 63;
		q->cell = xcalloc((size_t)q->mask + 1, sizeof(*q->cell));
		for (size_t i = 0; i < q->all.n; i++)
			q->cell[pair_cell(q, q->all.p[i])] = (uint32_t)i + 1;
	}
	uint32_t h = pair_cell(q, key);
	if (q->cell[h])
		return;
	*vec_add(&q->all) = key;
	q->cell[h] = (uint32_t)q->all.n;
}

static void redirect(struct graph *g, dpid *dp, const dpid *to)
{
	uint32_t at = *dp == NONE ? NONE : graph_find(g, *dp);
	if (at != NONE && to[at] != NONE)
		*dp = to[at];
}

/* Whether the edge L can stand in for S: it leads to the same, or to a variant of the same package, which is then asked
 * about, too. Where what S leads to is merged by TO, unless that is NULL, L must end there as well. */
static bool edge_fits(struct graph *g, const struct gedge *l, const struct gedge *s, const dpid *to, struct pairs *q)
{
	if (l->dp == s->dp && l->link == s->link)
		return true;
	dpid into = l->dp, end = s->dp;
	if (to && end != NONE) {
		redirect(g, &into, to);
		redirect(g, &end, to);
		if (into == end || end != s->dp)
			return into == end;
	}
	uint32_t a = l->dp == NONE ? NONE : graph_find(g, l->dp), b = s->dp == NONE ? NONE : graph_find(g, s->dp);
	if (a == NONE || b == NONE || g->node.p[a].pkg != g->node.p[b].pkg)
		return false;
	pair_add(q, a, b);
	return true;
}

static const struct gedge *edge_of(const struct gnode *n, atom alias)
{
	for (uint32_t i = 0; i < n->nedge; i++)
		if (n->edge[i].alias == alias)
			return &n->edge[i];
	return NULL;
}

static bool pair_fits(
	struct graph *g, const struct gnode *larger, const struct gnode *smaller, const dpid *to, struct pairs *q)
{
	if (deps_count(larger) < deps_count(smaller))
		return false;
	for (uint32_t i = 0; i < smaller->peers->n; i++)
		if (!atomset_has(larger->peers, smaller->peers->v[i]))
			return false;
	/* Source: pnpm 12.21's behaviour, also for other projects that have the same variant */
	for (uint32_t i = 0; smaller->declined && i < smaller->declined->n; i++)
		if (atomset_has(larger->peers, smaller->declined->v[i]))
			return false;
	for (uint32_t i = 0; i < smaller->nedge; i++) {
		const struct gedge *l = edge_of(larger, smaller->edge[i].alias);
		if (!l || !edge_fits(g, l, &smaller->edge[i], to, q))
			return false;
	}
	return true;
}

/* Whether LARGER can stand in for SMALLER, two nodes of one package: it has the smaller one's peers, and each child is
 * the same or one that can stand in for the smaller one's in turn, and is where TO leads, unless that is NULL. */
static bool absorbs(struct graph *g, uint32_t larger, uint32_t smaller, const dpid *to)
{
	struct pairs q = { 0 };
	bool ok = true;
	pair_add(&q, larger, smaller);
	while (ok && q.done < q.all.n) {
		uint64_t key = q.all.p[q.done++];
		ok = pair_fits(g, &g->node.p[key >> 32], &g->node.p[(uint32_t)key], to, &q);
	}
	vec_release(&q.all);
	free(q.cell);
	return ok;
}

/* Marks what the importers from number FROM to before TO reach. */
static void reach(struct graph *g, uint32_t from, uint32_t to)
{
	VEC(uint32_t) stack = VEC_INIT;
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].reached = false;
	for (uint32_t i = from; i < to; i++)
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
	vec_release(&stack);
}

void graph_prune(struct run *r, struct graph *g)
{
	reach(g, 0, r->nimporter);
	for (size_t i = 0; i < g->node.n; i++)
		if (!g->node.p[i].reached)
			g->node.p[i].dropped = true;
}

/* --- variants that do without a peer on purpose --- */

/* Of NAMES, the peers of its own that N has not got. */
static void decline(struct run *r, struct gnode *n, const struct atomset *names)
{
	const struct pkg *p = pkg_at(r, n->pkg);
	const struct atomset *had = n->declined ? n->declined : &atomset_none;
	for (uint32_t i = 0; i < p->npeer; i++) {
		atom peer = p->peer[i].name;
		if (atomset_has(names, peer) && !edge_of(n, peer) && !atomset_has(had, peer))
			had = atomset_union(&r->arena, had, atomset_of(&r->arena, &peer, 1));
	}
	if (had->n)
		n->declined = had;
}

/* Below importer AT, in which no version of some peer would have taken what is there. */
static void decline_below(struct run *r, struct graph *g, uint32_t at)
{
	reach(g, at, at + 1);
	for (size_t i = 0; i < g->node.n; i++)
		if (g->node.p[i].reached)
			decline(r, &g->node.p[i], r->importer[at].declined);
}

static void decline_all(struct run *r, struct graph *g)
{
	for (size_t i = 0; i < g->node.n; i++)
		g->node.p[i].declined = NULL;
	for (uint32_t i = 0; i < r->nimporter; i++)
		if (r->importer[i].declined)
			decline_below(r, g, i);
}

/* --- injected --- */

/* Whether E, a child of an injected copy, is what the project itself has. pnpm compares links as they are written, the
 * copy's from the lockfile's folder and the project's from its own (AT_ROOT: the same one): two links below a nested
 * project never match. A variant that can stand in for the copy's is the same. Source: pnpm 12.21's behaviour. */
static bool served(struct graph *g, const struct gdirects *target, bool at_root, const struct gedge *e)
{
	for (uint32_t i = 0; i < target->n; i++) {
		const struct gdirect *d = &target->p[i];
		if (d->alias != e->alias)
			continue;
		if (d->dp == e->dp && d->link == e->link)
			return d->dp != NONE || at_root;
		uint32_t a = d->dp == NONE ? NONE : graph_find(g, d->dp),
			 b = e->dp == NONE ? NONE : graph_find(g, e->dp);
		return a != NONE && b != NONE && g->node.p[a].pkg == g->node.p[b].pkg && absorbs(g, a, b, NULL);
	}
	return false;
}

/* Whether D is a copy of a project, all of whose children the project itself has. */
static bool copy_served(struct run *r, struct graph *g, const struct gdirect *d)
{
	const struct pkg *p = pkg_at(r, d->pkg);
	uint32_t at = d->dp == NONE || p->kind != PKG_DIRECTORY ? NONE : graph_find(g, d->dp);
	const struct importer *of = at == NONE ? NULL : importer_at(r, sof(r, p->directory));
	bool all = of != NULL;
	for (uint32_t i = 0; all && i < g->node.p[at].nedge; i++)
		all = served(g, &g->direct[of - r->importer], of == root_importer(r), &g->node.p[at].edge[i]);
	return all;
}

void dedupe_injected(struct run *r, struct graph *g)
{
	VEC(struct gdirect *) hit = VEC_INIT;
	if (r->set->dedupe_peer_dependents)
		decline_all(r, g);
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++) {
			struct gdirect *d = &g->direct[i].p[k];
			if (copy_served(r, g, d))
				*vec_add(&hit) = d;
		}
	for (size_t i = 0; i < hit.n; i++) {
		hit.p[i]->link = pkg_at(r, hit.p[i]->pkg)->directory;
		hit.p[i]->dp = NONE;
	}
	if (hit.n)
		graph_prune(r, g);
	vec_release(&hit);
}

/* --- peer variants --- */

struct group {
	uint32_t *v; /* graph nodes */
	uint32_t n;
};

/* Of two graph nodes. */
static int by_text(void *graph, const void *a, const void *b)
{
	struct graph *g = graph;
	dpid x = g->node.p[*(const uint32_t *)a].dp, y = g->node.p[*(const uint32_t *)b].dp;
	return str_cmp(deppath_text(g->paths, x), deppath_text(g->paths, y));
}

static int by_size(void *graph, const void *a, const void *b)
{
	const struct graph *g = graph;
	uint32_t x = deps_count(&g->node.p[*(const uint32_t *)a]), y = deps_count(&g->node.p[*(const uint32_t *)b]);
	return x != y ? (x < y ? -1 : 1) : by_text(graph, a, b);
}

/* One greedy round over a group; fills TO by graph node. */
static void collapse(struct graph *g, const struct group *grp, dpid *to)
{
	uint32_t n = grp->n, left = n;
	uint32_t *cur = xmalloc((n + 1) * sizeof(*cur)), *rest = xmalloc((n + 1) * sizeof(*rest));
	memcpy(cur, grp->v, n * sizeof(*cur));
	rows_sort(cur, n, sizeof(*cur), by_size, g);
	while (left) {
		uint32_t largest = cur[--left], m = 0;
		while (left) {
			uint32_t c = cur[--left];
			if (absorbs(g, largest, c, NULL))
				to[c] = g->node.p[largest].dp;
			else
				rest[m++] = c;
		}
		memcpy(cur, rest, m * sizeof(*cur));
		left = m;
		rows_sort(cur, left, sizeof(*cur), by_size, g);
	}
	free(cur);
	free(rest);
}

/* Takes back what TO merges where something below the smaller variant is merged into another than what the larger one
 * has there. Source: pnpm 12.21's behaviour. */
static void take_back(struct graph *g, const struct group *grp, uint32_t n, dpid *to)
{
	for (bool again = true; again;) {
		again = false;
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t k = 0; k < grp[i].n; k++) {
				uint32_t at = grp[i].v[k];
				if (to[at] == NONE || absorbs(g, graph_find(g, to[at]), at, to))
					continue;
				to[at] = NONE;
				again = true;
			}
	}
}

/* Leaves in the group what did not take part. TOOK, by graph node, is all false before and after. */
static bool left_over(struct graph *g, struct group *grp, const dpid *to, bool *took)
{
	bool any = false;
	uint32_t n = grp->n, m = 0;
	for (uint32_t i = 0; i < n; i++)
		if (to[grp->v[i]] != NONE)
			took[grp->v[i]] = took[graph_find(g, to[grp->v[i]])] = any = true;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = grp->v[i];
		if (!took[k])
			grp->v[m++] = k;
		took[k] = false;
	}
	grp->n = m;
	return any;
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

/* --- names after variants that are gone --- */

struct namer {
	struct run *r;
	struct graph *g;
	const dpid *collapsed; /* by graph node */
	dpid *name;            /* by dep path, of one that none stands in for; NONE: not yet */
	dpid *moved;           /* by dep path, a node's: its new one; NONE: it stays */
	bool *naming;
	size_t n;
};

static dpid name_of(struct namer *m, dpid dp)
{
	struct deppaths *paths = m->g->paths;
	uint32_t at = graph_find(m->g, dp);
	if (at != NONE && m->collapsed[at] != NONE)
		dp = m->collapsed[at];
	if (dp >= m->n || m->naming[dp])
		return dp;
	if (m->name[dp] != NONE)
		return m->name[dp];
	m->naming[dp] = true;
	uint32_t n = paths->dp.p[dp].nseg;
	dpid *seg = xmalloc((n + 1) * sizeof(*seg));
	bool renamed = false;
	for (uint32_t i = 0; i < n; i++) {
		dpid old = paths->dp.p[dp].seg[i];
		seg[i] = deppath_pair(paths, dp, old) ? old : name_of(m, old);
		renamed = renamed || seg[i] != old;
	}
	dpid out = renamed ? deppath_of(paths, paths->dp.p[dp].base, seg, n) : dp;
	free(seg);
	m->naming[dp] = false;
	return m->name[dp] = out;
}

/* Edges that only GONE has go to KEPT. */
static void edges_join(struct run *r, struct gnode *kept, const struct gnode *gone)
{
	struct gedge *e = arena_new(&r->arena, struct gedge, kept->nedge + gone->nedge + 1);
	uint32_t n = 0, i = 0, k = 0;
	while (i < kept->nedge || k < gone->nedge) {
		int c = i == kept->nedge   ? 1
			: k == gone->nedge ? -1
					   : atom_cmp(&r->t, kept->edge[i].alias, gone->edge[k].alias);
		e[n++] = c <= 0 ? kept->edge[i] : gone->edge[k];
		i += c <= 0;
		k += c >= 0;
	}
	kept->edge = e;
	kept->nedge = n;
	kept->transitive = atomset_union(&r->arena, kept->transitive, gone->transitive);
}

static void rename_edge(const struct namer *m, dpid *dp)
{
	if (*dp != NONE && *dp < m->n && m->moved[*dp] != NONE)
		*dp = m->moved[*dp];
}

/* Gives node AT its new dep path; one that another node has already takes its edges over. */
static bool rekey(struct namer *m, uint32_t at, dpid to)
{
	struct graph *g = m->g;
	uint32_t other = graph_find(g, to);
	if (other == NONE || g->node.p[other].dropped || g->node.p[other].dp != to) {
		g->node.p[at].dp = to;
		g->of[to] = at + 1;
		return false;
	}
	edges_join(m->r, &g->node.p[other], &g->node.p[at]);
	g->node.p[at].dropped = true;
	return true;
}

/* A dep path whose suffix names a collapsed variant names the one that stands in for it from now on. */
static void rename_survivors(struct run *r, struct graph *g, const dpid *collapsed)
{
	struct namer m = { .r = r, .g = g, .collapsed = collapsed, .n = g->paths->dp.n };
	m.name = xmalloc((m.n + 1) * sizeof(*m.name));
	m.moved = xmalloc((m.n + 1) * sizeof(*m.moved));
	m.naming = xcalloc(m.n + 1, sizeof(*m.naming));
	memset(m.name, 0xff, (m.n + 1) * sizeof(*m.name));
	memset(m.moved, 0xff, (m.n + 1) * sizeof(*m.moved));
	VEC(uint32_t) moved = VEC_INIT;
	bool merged = false;
	for (uint32_t i = 0; i < g->node.n; i++) {
		dpid old = g->node.p[i].dp, to = g->node.p[i].dropped ? old : name_of(&m, old);
		if (to == old)
			continue;
		m.moved[old] = to; /* a merged one that an edge still names is there, too */
		*vec_add(&moved) = i;
	}
	rows_sort(moved.p, moved.n, sizeof(*moved.p), by_text, g);
	graph_grow(g);
	for (size_t i = 0; i < moved.n; i++)
		merged |= rekey(&m, moved.p[i], m.moved[g->node.p[moved.p[i]].dp]);
	for (size_t i = 0; moved.n && i < g->node.n; i++)
		for (uint32_t k = 0; k < g->node.p[i].nedge; k++)
			rename_edge(&m, &g->node.p[i].edge[k].dp);
	for (uint32_t i = 0; moved.n && i < r->nimporter; i++)
		for (uint32_t k = 0; k < g->direct[i].n; k++)
			rename_edge(&m, &g->direct[i].p[k].dp);
	if (merged)
		graph_prune(r, g);
	vec_release(&moved);
	free(m.name);
	free(m.moved);
	free(m.naming);
}

void dedupe_peer_dependents(struct run *r, struct graph *g)
{
	struct group *grp;
	uint32_t n = groups_of(r, g, &grp);
	dpid *all = xmalloc((g->node.n + 1) * sizeof(*all)), *to = xmalloc((g->node.n + 1) * sizeof(*to));
	bool any = false, *took = xcalloc(g->node.n + 1, sizeof(*took));
	if (n)
		decline_all(r, g);
	memset(all, 0xff, (g->node.n + 1) * sizeof(*all));
	for (bool again = n > 0; again;) {
		uint32_t before = n, m = 0;
		bool some = false;
		memset(to, 0xff, (g->node.n + 1) * sizeof(*to));
		for (uint32_t i = 0; i < n; i++)
			collapse(g, &grp[i], to);
		take_back(g, grp, n, to);
		for (uint32_t i = 0; i < n; i++) {
			some |= left_over(g, &grp[i], to, took);
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
	if (any) {
		graph_prune(r, g);
		rename_survivors(r, g, all);
	}
	free(all);
	free(to);
	free(took);
	free(grp);
}
