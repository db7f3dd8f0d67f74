#include "peers_view.h"
#include "pick.h"
#include "scc.h"
#include "sorted.h"
#include <stdlib.h>

/* Every occurrence that was walked and resolved some peer, numbered in the order that they were made; and which of them
 * form cycles of peers. One that took an answer over from the cache stands for the one that was walked.
 * Source: pnpm 12.21's behaviour. */
struct cycles {
	struct peers *p;
	uint32_t *node, n;           /* dense -> node */
	uint32_t *base, *own;        /* node -> dense + 1 */
	uint32_t *scc;               /* dense */
	const struct atomset *names; /* of packages in a cycle of peers */
	dpid *final;                 /* dense; NONE: not yet */
	bool *visiting;
	uint32_t depth; /* of final_of() in itself */
};

/* Itself, or the occurrence whose answer NODE took over. */
static uint32_t owner_of(struct peers *p, uint32_t node)
{
	uint32_t owner = vnode_at(p, node)->owner;
	return owner == NONE ? node : owner;
}

static uint32_t dense_of(const struct cycles *c, uint32_t node)
{
	uint32_t at = owner_of(c->p, node);
	return (at & OWN ? c->own[at & ~OWN] : c->base[at]) - 1;
}

static bool numbered(const struct vnode *v)
{
	return v->owner == NONE && v->peers && v->peers->n;
}

static int made_order(void *peers, const void *a, const void *b)
{
	uint32_t x = vnode_at(peers, *(const uint32_t *)a)->made, y = vnode_at(peers, *(const uint32_t *)b)->made;
	return x < y ? -1 : x > y;
}

static void number(struct cycles *c)
{
	struct peers *p = c->p;
	c->base = xcalloc(p->base.n + 1, sizeof(uint32_t));
	c->own = xcalloc(p->own.n + 1, sizeof(uint32_t));
	c->node = xmalloc((p->base.n + p->own.n + 1) * sizeof(uint32_t));
	for (uint32_t i = 0; i < p->base.n; i++)
		if (numbered(&p->base.p[i])) {
			c->node[c->n] = i;
			c->base[i] = ++c->n;
		}
	uint32_t first = c->n;
	for (uint32_t i = 0; i < p->own.n; i++)
		if (numbered(&p->own.p[i]))
			c->node[c->n++] = i | OWN;
	rows_sort(c->node + first, c->n - first, sizeof(*c->node), made_order, p); /* places are used again */
	for (uint32_t i = first; i < c->n; i++)
		c->own[c->node[i] & ~OWN] = i + 1;
}

static uint32_t node_degree(void *ctx, uint32_t v)
{
	struct cycles *c = ctx;
	return vnode_at(c->p, c->node[v])->peers->n;
}

static uint32_t node_target(void *ctx, uint32_t v, uint32_t i)
{
	struct cycles *c = ctx;
	return dense_of(c, vnode_at(c->p, c->node[v])->peers->e[i].v);
}

/* --- names --- */

typedef VEC(uint32_t) name_edges;
struct names {
	VEC(atom) name;
	name_edges *out;
	uint32_t *of; /* by atom: index + 1 */
};

static uint32_t name_no(struct names *g, atom a)
{
	if (!g->of[a]) {
		*vec_add(&g->name) = a;
		g->of[a] = (uint32_t)g->name.n;
	}
	return g->of[a] - 1;
}

static uint32_t name_degree(void *ctx, uint32_t v)
{
	return (uint32_t)((struct names *)ctx)->out[v].n;
}

static uint32_t name_target(void *ctx, uint32_t v, uint32_t i)
{
	return ((struct names *)ctx)->out[v].p[i];
}

static bool name_edge(struct names *g, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < g->out[from].n; i++)
		if (g->out[from].p[i] == to)
			return true;
	return false;
}

static void cyclic_names(struct cycles *c)
{
	struct peers *p = c->p;
	struct names g = { 0 };
	g.of = xcalloc(p->r->t.n + 1, sizeof(uint32_t));
	for (uint32_t i = 0; i < c->n; i++) {
		const struct vnode *v = vnode_at(p, c->node[i]);
		name_no(&g, pkg_at(p->r, v->pkg)->peer_name);
		for (uint32_t k = 0; k < v->peers->n; k++)
			name_no(&g, v->peers->e[k].k);
	}
	g.out = xcalloc(g.name.n + 1, sizeof(*g.out));
	for (uint32_t i = 0; i < c->n; i++) {
		const struct vnode *v = vnode_at(p, c->node[i]);
		uint32_t from = name_no(&g, pkg_at(p->r, v->pkg)->peer_name);
		for (uint32_t k = 0; k < v->peers->n; k++) {
			uint32_t to = name_no(&g, v->peers->e[k].k);
			if (name_edge(&g, from, to))
				continue;
			*vec_add(&g.out[from]) = to;
		}
	}
	uint32_t n = (uint32_t)g.name.n, *scc = scc_find(&(struct scc_graph){ &g, n, name_degree, name_target });
	uint32_t *size = xcalloc(n + 1, sizeof(*size));
	atom *cyclic = arena_new(&p->a, atom, n + 1);
	size_t m = 0;
	for (uint32_t i = 0; i < n; i++)
		size[scc[i]]++;
	for (uint32_t i = 0; i < n; i++)
		if (size[scc[i]] > 1 || name_edge(&g, i, i))
			cyclic[m++] = g.name.p[i];
	c->names = atomset_of(&p->a, cyclic, m);
	for (uint32_t i = 0; i < n; i++)
		vec_release(&g.out[i]);
	free(g.out);
	free(g.of);
	free(scc);
	free(size);
	vec_release(&g.name);
}

static void cyc_init(struct cycles *c, struct peers *p)
{
	*c = (struct cycles){ .p = p };
	number(c);
	c->scc = scc_find(&(struct scc_graph){ c, c->n, node_degree, node_target });
	c->final = xmalloc((c->n + (size_t)1) * sizeof(*c->final));
	memset(c->final, 0xff, (c->n + (size_t)1) * sizeof(*c->final)); /* NONE */
	c->visiting = xcalloc(c->n + (size_t)1, sizeof(*c->visiting));
	cyclic_names(c);
}

static void cyc_release(struct cycles *c)
{
	free(c->base);
	free(c->own);
	free(c->node);
	free(c->scc);
	free(c->final);
	free(c->visiting);
}

/* --- final dep paths --- */

static dpid final_of(struct cycles *c, uint32_t node);

static dpid final_segment(struct cycles *c, uint32_t from, atom alias, uint32_t peer, bool *pair)
{
	struct peers *p = c->p;
	dpid out;
	if (peers_link_segment(p, peer, alias, &out))
		return out;
	uint32_t to = dense_of(c, peer);
	*pair = p->r->set->dedupe_peers || (to != NONE && c->scc[from] == c->scc[to]) || atomset_has(c->names, alias);
	return *pair ? peers_pair(p, peer) : final_of(c, peer);
}

static dpid final_of(struct cycles *c, uint32_t node)
{
	uint32_t d = dense_of(c, node);
	if (d == NONE)
		return peers_provisional(c->p, node);
	if (c->final[d] != NONE)
		return c->final[d];
	if (c->depth >= RUN_MOST_DEPTH)
		c->p->r->too_deep = vnode_at(c->p, node)->pkg + 1;
	if (c->visiting[d] || c->p->r->too_deep)
		return peers_provisional(c->p, node);
	c->visiting[d] = true;
	c->depth++;
	const struct pmap *m = vnode_at(c->p, c->node[d])->peers;
	dpid small[128], *seg = m->n > 64 ? xmalloc(2 * m->n * sizeof(*seg)) : small, *pairs = seg + m->n;
	uint32_t npair = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		bool pair = false;
		seg[i] = final_segment(c, d, m->e[i].k, m->e[i].v, &pair);
		if (pair)
			pairs[npair++] = seg[i];
	}
	dpid out = deppath_of(c->p->paths, pkg_at(c->p->r, vnode_at(c->p, node)->pkg)->id, seg, m->n);
	deppath_set_pairs(c->p->paths, out, pairs, npair);
	if (seg != small)
		free(seg);
	if (c->p->paths->dp.p[out].depth >= RUN_MOST_DEPTH)
		c->p->r->too_deep = vnode_at(c->p, node)->pkg + 1;
	c->depth--;
	c->visiting[d] = false;
	return c->final[d] = out;
}

/* --- peers that a cycle hides --- */

enum { MOST_COMPARISONS = 1000 };

/* Two occurrences under comparison, and those whose comparison led here. */
struct pair {
	const struct pair *up;
	uint32_t a, b;
};

/* None for one that nothing led to: a cycle can cut off what was taken for a provider. */
static const struct pmap *peers_of(struct peers *p, uint32_t node)
{
	const struct pmap *m = vnode_at(p, owner_of(p, node))->peers;
	return m ? m : &pmap_none;
}

typedef VEC(uint32_t) id_vec;
typedef VEC(struct kv) kv_vec;
/* Peers by which the occurrences of one package differ. */
struct differing {
	bool known;
	atom *name; /* ascending by text */
	uint32_t n;
	uint32_t at;         /* how often an occurrence had grown then */
	uint32_t *pkg, npkg; /* the packages whose occurrences were compared */
};
/* By package: its occurrences, linked; how they differ. */
struct hiding {
	uint32_t *of_pkg, *next; /* dense */
	bool *bare;              /* one of them resolved no peers */
	struct differing *differ;
	uint32_t *grown, now; /* when one of them grew last; how often any did */
	uint32_t *mark, round, budget;
	id_vec compared; /* packages of this round; BUDGET: comparisons left */
	kv_vec reduced;  /* peers of one occurrence that a cycle reduces to name@version */
};

static void compare_package(struct hiding *h, uint32_t pkg)
{
	if (h->mark[pkg] == h->round)
		return;
	h->mark[pkg] = h->round;
	*vec_add(&h->compared) = pkg;
}

/* Whether two occurrences stand for the same: one package, and peers that are the same in turn. A cycle's
 * own names are no difference, though the walk cut it at another place. No budget left counts as a difference. */
static bool same_occurrence(struct peers *p, struct hiding *h, uint32_t a, uint32_t b, const struct pair *up)
{
	const struct pmap *m = peers_of(p, a), *n = peers_of(p, b);
	bool alike = vnode_at(p, a)->pkg == vnode_at(p, b)->pkg;
	if (alike)
		compare_package(h, vnode_at(p, a)->pkg);
	if (a == b || (alike && m == n))
		return true;
	if (!alike || m->n != n->n || !h->budget)
		return false;
	h->budget--;
	for (const struct pair *u = up; u; u = u->up)
		if (u->a == a && u->b == b)
			return true;
	struct pair here = { up, a, b };
	for (uint32_t i = 0; i < m->n; i++)
		if (m->e[i].k != n->e[i].k || !same_occurrence(p, h, m->e[i].v, n->e[i].v, &here))
			return false;
	return true;
}

static int by_text(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, *(const atom *)a, *(const atom *)b);
}

/* Peers by which the occurrences of one package differ, N, ascending by text. */
static atom *distinguishing(struct cycles *c, struct hiding *h, uint32_t pkg, uint32_t *n)
{
	struct peers *p = c->p;
	VEC(atom) names = VEC_INIT;
	const struct pmap *b = h->bare[pkg] ? &pmap_none : vnode_at(p, c->node[h->of_pkg[pkg]])->peers;
	compare_package(h, pkg);
	for (uint32_t i = h->of_pkg[pkg]; i != NONE; i = h->next[i]) {
		const struct pmap *a = vnode_at(p, c->node[i])->peers;
		uint32_t x = 0, y = 0;
		while (a != b && (x < a->n || y < b->n)) {
			atom na = x < a->n ? a->e[x].k : UINT32_MAX, nb = y < b->n ? b->e[y].k : UINT32_MAX;
			h->budget = MOST_COMPARISONS;
			if (na != nb || !same_occurrence(p, h, a->e[x].v, b->e[y].v, NULL))
				*vec_add(&names) = na < nb ? na : nb;
			x += na <= nb;
			y += nb <= na;
		}
	}
	rows_sort(names.p, names.n, sizeof(*names.p), by_text, p->r);
	atom *out = arena_new(&p->a, atom, names.n + 1);
	*n = 0;
	for (size_t i = 0; i < names.n; i++)
		if (!i || names.p[i] != names.p[i - 1])
			out[(*n)++] = names.p[i];
	vec_release(&names);
	return out;
}

static bool differing_stands(const struct hiding *h, const struct differing *d)
{
	for (uint32_t i = 0; d->known && d->at != h->now && i < d->npkg; i++)
		if (h->grown[d->pkg[i]] > d->at)
			return false;
	return d->known;
}

/* The same as they are now: occurrences grow one after the other. */
static const struct differing *differ_of(struct cycles *c, struct hiding *h, uint32_t pkg)
{
	struct differing *d = &h->differ[pkg];
	if (differing_stands(h, d))
		return d;
	h->round++;
	h->compared.n = 0;
	d->name = distinguishing(c, h, pkg, &d->n);
	d->known = true;
	d->at = h->now;
	d->npkg = (uint32_t)h->compared.n;
	d->pkg = arena_new(&c->p->a, uint32_t, d->npkg);
	memcpy(d->pkg, h->compared.p, d->npkg * sizeof(*d->pkg));
	return d;
}

static bool collapses(struct cycles *c, uint32_t from, atom alias, uint32_t peer)
{
	uint32_t to = dense_of(c, peer);
	return to != NONE && (c->scc[from] == c->scc[to] || atomset_has(c->names, alias));
}

/* MORE into M: those that it lacks. */
static const struct pmap *pmap_with(struct peers *p, const struct pmap *m, const struct kv *more, uint32_t n)
{
	struct pmap *out = arena_alloc(&p->a, 1, sizeof(*out) + (m->n + n) * sizeof(struct kv), _Alignof(struct pmap));
	memcpy(out->e, m->e, m->n * sizeof(struct kv));
	out->n = m->n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = out->n++;
		for (; at && out->e[at - 1].k > more[i].k; at--)
			out->e[at] = out->e[at - 1];
		out->e[at] = more[i];
	}
	return out;
}

static void transitive_add(struct peers *p, struct vnode *v, const struct kv *more, uint32_t n)
{
	const struct pkg *k = pkg_at(p->r, v->pkg);
	if (!v->record)
		return;
	atom *t = arena_new(&p->a, atom, v->record->transitive->n + (size_t)n);
	size_t m = v->record->transitive->n;
	memcpy(t, v->record->transitive->v, m * sizeof(*t));
	for (uint32_t i = 0; i < n; i++)
		if (!pkg_has_peer(k, more[i].k))
			t[m++] = more[i].k;
	v->record->transitive = atomset_of(&p->r->arena, t, m);
}

static bool resolved_none(const struct vnode *v)
{
	return v->alive && v->peers && !v->peers->n;
}

static void hiding_init(struct hiding *h, const struct cycles *c)
{
	size_t npkg = c->p->r->pkg.n;
	h->of_pkg = xmalloc((npkg + 1) * sizeof(*h->of_pkg));
	h->next = xmalloc((c->n + (size_t)1) * sizeof(*h->next));
	h->differ = xcalloc(npkg + 1, sizeof(*h->differ));
	memset(h->of_pkg, 0xff, (npkg + 1) * sizeof(*h->of_pkg)); /* NONE */
	h->bare = xcalloc(npkg + 1, sizeof(*h->bare));
	h->grown = xcalloc(npkg + 1, sizeof(*h->grown));
	h->mark = xcalloc(npkg + 1, sizeof(*h->mark));
	h->now = h->round = h->budget = 0;
	memset(&h->compared, 0, sizeof(h->compared));
	memset(&h->reduced, 0, sizeof(h->reduced));
	for (uint32_t i = 0; i < c->p->base.n; i++)
		if (resolved_none(&c->p->base.p[i]))
			h->bare[c->p->base.p[i].pkg] = true;
	for (uint32_t i = 0; i < c->p->own.n; i++)
		if (resolved_none(&c->p->own.p[i]))
			h->bare[c->p->own.p[i].pkg] = true;
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t pkg = vnode_at(c->p, c->node[i])->pkg;
		h->next[i] = h->of_pkg[pkg];
		h->of_pkg[pkg] = i;
	}
}

static void hiding_release(struct hiding *h)
{
	free(h->of_pkg);
	free(h->next);
	free(h->bare);
	free(h->differ);
	free(h->grown);
	free(h->mark);
	vec_release(&h->compared);
	vec_release(&h->reduced);
}

/* Whether V has the peer E, or is to get it with MORE, or is that package itself. */
static bool peer_known(struct peers *p, const struct vnode *v, const struct kv *e, const kv_vec *more)
{
	return (e->k == pkg_at(p->r, v->pkg)->peer_name && vnode_at(p, e->v)->pkg == v->pkg) ||
	       pmap_find(v->peers, e->k) || kv_find(more->p, (uint32_t)more->n, e->k);
}

/* What PEER of occurrence AT, which a cycle reduces to name@version, hides. */
static void hidden_by(struct cycles *c, struct hiding *h, uint32_t at, const struct vnode *peer, kv_vec *more)
{
	const struct vnode *v = vnode_at(c->p, c->node[at]);
	const struct differing *differ = differ_of(c, h, peer->pkg);
	for (uint32_t i = 0; i < differ->n; i++) {
		const struct kv *hidden = pmap_find(peer->peers, differ->name[i]);
		if (hidden && !peer_known(c->p, v, hidden, more))
			*vec_add(more) = *hidden;
	}
}

static int kv_by_text(void *run, const void *a, const void *b)
{
	return by_text(run, &((const struct kv *)a)->k, &((const struct kv *)b)->k);
}

/* What the peers of occurrence AT hide, and what these hide in turn. Under one name it is what the first peer by name
 * hides, whatever order the packages came in. */
static void hidden_peers(struct cycles *c, struct hiding *h, uint32_t at, kv_vec *more)
{
	struct peers *p = c->p;
	const struct pmap *m = vnode_at(p, c->node[at])->peers;
	more->n = h->reduced.n = 0;
	for (uint32_t i = 0; i < m->n; i++)
		if (collapses(c, at, m->e[i].k, m->e[i].v))
			*vec_add(&h->reduced) = m->e[i];
	rows_sort(h->reduced.p, h->reduced.n, sizeof(*h->reduced.p), kv_by_text, p->r);
	for (size_t i = 0; i < h->reduced.n; i++)
		hidden_by(c, h, at, vnode_at(p, owner_of(p, h->reduced.p[i].v)), more);
	for (size_t i = 0; i < more->n; i++)
		if (collapses(c, at, more->p[i].k, more->p[i].v))
			hidden_by(c, h, at, vnode_at(p, owner_of(p, more->p[i].v)), more);
}

/* Adds to occurrence AT what its peers hide; whether there was something. */
static bool unhide_at(struct cycles *c, struct hiding *h, uint32_t at, kv_vec *more)
{
	struct vnode *v = vnode_at(c->p, c->node[at]);
	hidden_peers(c, h, at, more);
	if (!more->n)
		return false;
	v->peers = pmap_with(c->p, v->peers, more->p, (uint32_t)more->n);
	transitive_add(c->p, v, more->p, (uint32_t)more->n);
	h->grown[v->pkg] = ++h->now;
	return true;
}

/* A peer that a cycle reduces to name@version takes along the peers by which that package's occurrences differ; without
 * them two dependents of different occurrences would have one dep path. One occurrence after the other, as they were
 * made, and again until nothing is added: those that come later meet what was added to the earlier ones.
 * Source: pnpm 12.21's behaviour. */
static void unhide(struct cycles *c)
{
	struct hiding h;
	kv_vec more = VEC_INIT;
	hiding_init(&h, c);
	for (bool again = true; again;) {
		again = false;
		for (uint32_t i = 0; i < c->n; i++)
			again |= unhide_at(c, &h, i, &more);
	}
	hiding_release(&h);
	vec_release(&more);
}

/* --- the graph --- */

uint32_t graph_find(const struct graph *g, dpid dp)
{
	return dp < g->nof ? g->of[dp] - 1 : NONE;
}

void graph_release(struct graph *g)
{
	vec_release(&g->node);
	free(g->of);
	*g = (struct graph){ 0 };
}

static bool edge_optional(const struct pkg *k, atom alias)
{
	for (uint32_t i = 0; i < k->nedge; i++)
		if (k->edge[i].alias == alias && k->edge[i].optional)
			return true;
	for (uint32_t i = 0; i < k->npeer; i++)
		if (k->peer[i].name == alias && k->peer[i].optional)
			return true;
	return kv_find(k->deps.opt, k->deps.nopt, alias) != NULL;
}

static struct gedge *edges_of(struct cycles *c, const struct record *rec)
{
	struct peers *p = c->p;
	struct gedge *e = arena_new(&p->r->arena, struct gedge, rec->nedge + 1);
	const struct pkg *k = pkg_at(p->r, vnode_at(p, rec->node)->pkg);
	for (uint32_t i = 0; i < rec->nedge; i++) {
		const struct pkg *to = pkg_at(p->r, vnode_at(p, rec->edge[i].node)->pkg);
		e[i] = (struct gedge){
			.alias = rec->edge[i].alias, .dp = NONE, .optional = edge_optional(k, rec->edge[i].alias)
		};
		if (to->kind == PKG_LINK)
			e[i].link = to->directory;
		else
			e[i].dp = final_of(c, rec->edge[i].node);
	}
	return e;
}

/* How well a child's suffix fits its parent's peers: segments that the parent lacks, and that it has. */
static void suffix_fit(
	struct cycles *c, const struct graph *g, dpid child, const struct atomset *have, uint32_t *lacks, uint32_t *has)
{
	const struct atomset *names;
	*lacks = *has = 0;
	if (child == NONE || !deppath_peer_names(c->p->paths, child, &names))
		return;
	uint32_t at = graph_find(g, child);
	const struct atomset *inherited = at == NONE ? &atomset_none : g->node.p[at].transitive;
	for (uint32_t i = 0; i < names->n; i++) {
		if (atomset_has(have, names->v[i]))
			(*has)++;
		else if (!atomset_has(inherited, names->v[i]))
			(*lacks)++;
	}
}

static bool preferred(struct cycles *c, const struct graph *g, dpid now, dpid candidate, const struct atomset *have)
{
	uint32_t lacks0, has0, lacks1, has1;
	suffix_fit(c, g, now, have, &lacks0, &has0);
	suffix_fit(c, g, candidate, have, &lacks1, &has1);
	if (lacks0 != lacks1)
		return lacks1 < lacks0;
	return !lacks1 && has1 > has0;
}

static void merge(struct cycles *c, struct graph *g, struct gnode *n, const struct gedge *e, uint32_t ne)
{
	struct run *r = c->p->r;
	const struct atomset *have = NULL;
	for (uint32_t i = 0, k = 0; i < ne; i++) {
		while (k < n->nedge && atom_cmp(&r->t, n->edge[k].alias, e[i].alias) < 0)
			k++;
		if (k < n->nedge && n->edge[k].alias == e[i].alias) {
			if (n->edge[k].dp == e[i].dp)
				continue;
			if (!have) {
				const struct atomset *names;
				atom self = pkg_at(r, n->pkg)->peer_name;
				deppath_peer_names(c->p->paths, n->dp, &names);
				have = atomset_union(&r->arena, names, atomset_of(&r->arena, &self, 1));
			}
			if (preferred(c, g, n->edge[k].dp, e[i].dp, have))
				n->edge[k].dp = e[i].dp;
			continue;
		}
		struct gedge *q = arena_new(&r->arena, struct gedge, n->nedge + 1);
		memcpy(q, n->edge, k * sizeof(*q));
		q[k] = e[i];
		memcpy(q + k + 1, n->edge + k, (n->nedge - k) * sizeof(*q));
		n->edge = q;
		n->nedge++;
	}
}

void graph_grow(struct graph *g)
{
	size_t n = g->paths->dp.n;
	if (n <= g->nof)
		return;
	g->of = xrealloc(g->of, (n + 1) * sizeof(*g->of));
	memset(g->of + g->nof, 0, (n - g->nof) * sizeof(*g->of));
	g->nof = n;
}

static void build(struct cycles *c, struct graph *g)
{
	struct peers *p = c->p;
	for (size_t i = 0; i < p->record.n; i++)
		final_of(c, p->record.p[i]->node);
	if (p->r->too_deep) /* and nothing goes down the paths that there are */
		return;
	graph_grow(g);
	/* inherited peers of every variant first: the choice between children reads them */
	for (size_t i = 0; i < p->record.n; i++) {
		const struct record *rec = p->record.p[i];
		dpid dp = final_of(c, rec->node);
		if (graph_find(g, dp) == NONE) {
			const struct pmap *m = vnode_at(p, rec->node)->peers;
			atom *v = arena_new(&p->r->arena, atom, m->n + 1);
			for (uint32_t k = 0; k < m->n; k++)
				v[k] = m->e[k].k;
			*vec_add(&g->node) = (struct gnode){ .pkg = vnode_at(p, rec->node)->pkg,
				.dp = dp,
				.transitive = &atomset_none,
				.peers = atomset_of(&p->r->arena, v, m->n),
				.order = UINT64_MAX };
			g->of[dp] = (uint32_t)g->node.n;
		}
		struct gnode *n = &g->node.p[graph_find(g, dp)];
		n->transitive = atomset_union(&p->r->arena, n->transitive, rec->transitive);
	}
	for (size_t i = 0; i < p->record.n; i++) {
		const struct record *rec = p->record.p[i];
		struct gedge *e = edges_of(c, rec);
		graph_grow(g);
		struct gnode *n = &g->node.p[graph_find(g, final_of(c, rec->node))];
		if (n->order == UINT64_MAX) {
			n->order = rec->order;
			n->edge = e;
			n->nedge = rec->nedge;
		} else {
			merge(c, g, n, e, rec->nedge);
		}
	}
}

static int direct_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct gdirect *)a)->alias, ((const struct gdirect *)b)->alias);
}

static void direct_of(struct cycles *c, struct graph *g, uint32_t i)
{
	struct run *r = c->p->r;
	struct importer *imp = &r->importer[i];
	struct gdirect *out = arena_new(&r->arena, struct gdirect, imp->direct.n + 1);
	uint32_t n = 0;
	for (size_t k = 0; k < imp->direct.n; k++) {
		const struct direct *d = &imp->direct.p[k];
		const struct pkg *p = pkg_at(r, d->pkg);
		struct gdirect x = { .alias = d->alias, .dp = NONE, .pkg = d->pkg };
		if (p->kind == PKG_LINK)
			x.link = p->directory;
		else
			x.dp = final_of(c, d->node);
		out[n++] = x;
	}
	rows_sort(out, n, sizeof(*out), direct_order, r);
	uint32_t to = 0;
	for (uint32_t k = 0; k < n; k++) { /* of two under one name the later one stands */
		to -= to && out[to - 1].alias == out[k].alias;
		out[to++] = out[k];
	}
	g->direct[i] = (struct gdirects){ out, to };
}

/* With resolvePeersFromWorkspaceRoot the others see what the root has, too. */
static void walk_importers(struct peers *p)
{
	struct run *r = p->r;
	const struct importer *at_root = r->set->resolve_peers_from_workspace_root ? root_importer(r) : NULL;
	for (uint32_t i = 0; i < r->nimporter; i++)
		peers_mark_providers(p, &r->importer[i], true);
	p->at_root = at_root;
	const struct refs *root = at_root ? peers_importer_refs(p, at_root, NULL) : NULL;
	for (uint32_t i = 0; i < r->nimporter; i++) {
		const struct importer *imp = &r->importer[i];
		p->imp = imp;
		peers_importer(p, imp, 0, peers_importer_refs(p, imp, imp == at_root ? NULL : root), NULL);
		p->missing.n = 0;
	}
}

static struct peers *walk_all(struct run *r, struct deppaths *paths, const uint32_t *locked)
{
	struct peers *p = peers_new(r, false);
	p->paths = paths;
	p->locked = locked;
	view_sync(p);
	p->call = 1;
	walk_importers(p);
	return p;
}

void peers_graph(struct run *r, struct deppaths *paths, struct graph *g)
{
	*g = (struct graph){ .paths = paths, .direct = arena_new(&r->arena, struct gdirects, r->nimporter + 1) };
	struct peers *p = walk_all(r, paths, NULL);
	const uint32_t *locked = r->prior && !r->too_deep ? peers_locked_providers(p) : NULL;
	if (locked) {
		peers_free(p);
		p = walk_all(r, paths, locked);
	}
	struct cycles c;
	cyc_init(&c, p);
	if (!r->set->dedupe_peers)
		unhide(&c);
	build(&c, g);
	for (uint32_t i = 0; i < r->nimporter; i++)
		direct_of(&c, g, i);
	graph_grow(g);
	cyc_release(&c);
	peers_free(p);
}
