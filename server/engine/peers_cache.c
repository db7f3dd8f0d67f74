#include "peers_view.h"

static const struct refs_digest *digest_of(const struct peers *p, const struct refs *s)
{
	struct refs_digest *d = s->digest;
	if (d->peer_names == p->r->peer_names)
		return d;
	*d = (struct refs_digest){ .peer_names = p->r->peer_names, .deepest = INT32_MIN };
	for (uint32_t i = 0; i < s->n; i++) {
		const struct ref *x = &p->ref.p[s->e[i].v];
		if (!is_peer_name(p->r, s->e[i].k))
			continue;
		d->packages = (d->packages ^ ((uint64_t)s->e[i].k << 32 | x->pkg)) * UINT64_C(0x9E3779B97F4A7C15);
		d->packages ^= d->packages >> 29;
		d->hiding |= x->occurrence > 0;
		d->deepest = x->depth > d->deepest ? x->depth : d->deepest;
	}
	return d;
}

/* Whether two providers stood in the same peer context when they were met. */
static bool contexts_match(const struct peers *p, const struct refs *cached, const struct refs *now)
{
	if (!cached || !now)
		return false;
	if (cached == now)
		return true;
	const struct refs_digest *x_all = digest_of(p, cached), *y_all = digest_of(p, now);
	if (x_all->packages != y_all->packages)
		return false;
	bool plain = !x_all->hiding && !y_all->hiding;
	uint32_t i = 0, k = 0;
	for (;; i++, k++) {
		while (i < cached->n && !is_peer_name(p->r, cached->e[i].k))
			i++;
		while (k < now->n && !is_peer_name(p->r, now->e[k].k))
			k++;
		if (i == cached->n || k == now->n)
			return i == cached->n && k == now->n;
		const struct ref *x = &p->ref.p[cached->e[i].v], *y = &p->ref.p[now->e[k].v];
		if (cached->e[i].k != now->e[k].k || x->pkg != y->pkg)
			return false;
		if (!plain && y->depth != y_all->deepest && !p->pkg[x->pkg].pure)
			return false;
	}
}

static bool provider_matches(struct peers *p, const struct ref *now, uint32_t cached)
{
	if (now->node == cached)
		return true;
	const struct vnode *c = vnode_at(p, cached), *n = vnode_at(p, now->node);
	if (c->dp != NONE && c->dp == n->dp)
		return true;
	if (!c->alive || !n->alive || c->pkg != n->pkg)
		return false;
	return p->pkg[c->pkg].pure || contexts_match(p, c->ctx, n->ctx);
}

/* --- what is known of a package --- */

/* An answer, and the packages that it has under its group's names. */
struct cached {
	struct cache_item it;
	uint64_t packages;          /* hash of their ids */
	uint32_t order;             /* among all of the package */
	struct cached *next, *last; /* of the same packages; LAST of the first of them */
	uint32_t node[];            /* what IT resolved: hundreds are passed over for one that holds */
};
/* Answers of one package that looked for the same names, and found the same of them. */
struct cache_group {
	struct cache_group *next;
	const struct pmap *resolved; /* for its names */
	const struct mmap *missing;
	struct cached **cell; /* the first of its packages; MASK + 1 of them, open addressing */
	uint32_t n, mask;
};

static uint64_t packages_add(const struct peers *p, uint64_t hash, uint32_t pkg)
{
	hash = (hash ^ pkg_at(p->r, pkg)->id) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 29;
}

static struct cached **cell_of(const struct cache_group *g, uint64_t packages)
{
	uint32_t at = (uint32_t)(packages >> 32) & g->mask;
	while (g->cell[at] && g->cell[at]->packages != packages)
		at = (at + 1) & g->mask;
	return &g->cell[at];
}

static bool same_names(const struct cache_group *g, const struct cache_item *it)
{
	bool same = g->resolved->n == it->resolved->n && g->missing->n == it->missing->n;
	for (uint32_t i = 0; same && i < it->resolved->n; i++)
		same = g->resolved->e[i].k == it->resolved->e[i].k;
	for (uint32_t i = 0; same && i < it->missing->n; i++)
		same = g->missing->e[i].name == it->missing->e[i].name;
	return same;
}

static struct cache_group *group_of(struct peers *p, struct pkg_view *v, const struct cache_item *it)
{
	struct cache_group **g = &v->cache;
	while (*g && !same_names(*g, it))
		g = &(*g)->next;
	if (!*g) {
		*g = arena_new(&p->a, struct cache_group, 1);
		**g = (struct cache_group){ .resolved = it->resolved, .missing = it->missing };
	}
	return *g;
}

static void group_grow(struct peers *p, struct cache_group *g)
{
	struct cache_group old = *g;
	g->mask = old.cell ? 2 * old.mask + 1 : 3;
	g->cell = arena_new(&p->a, struct cached *, g->mask + (size_t)1);
	for (uint32_t i = 0; old.cell && i <= old.mask; i++)
		if (old.cell[i])
			*cell_of(g, old.cell[i]->packages) = old.cell[i];
}

void peers_cache_add(struct peers *p, uint32_t pkg, struct cache_item it)
{
	struct pkg_view *v = &p->pkg[pkg];
	struct cache_group *g = group_of(p, v, &it);
	size_t size = sizeof(struct cached) + it.resolved->n * sizeof(uint32_t);
	struct cached *c = arena_alloc(&p->a, 1, size, _Alignof(struct cached));
	*c = (struct cached){ .it = it, .order = v->ncached++, .last = c };
	for (uint32_t i = 0; i < it.resolved->n; i++) {
		c->node[i] = it.resolved->e[i].v;
		struct vnode *n = vnode_at(p, it.resolved->e[i].v);
		n->retained = true;
		c->packages = packages_add(p, c->packages, n->pkg);
	}
	if (2 * (g->n + 1) > g->mask)
		group_grow(p, g);
	struct cached **at = cell_of(g, c->packages);
	if (*at) {
		(*at)->last = (*at)->last->next = c;
	} else {
		*at = c;
		g->n++;
	}
}

/* --- whether it holds --- */

#define SEVERAL (NONE - 1) /* no enumerator holds it */

/* The one child of PKG that provides NAME to the others, a package; NONE, SEVERAL. */
static uint32_t child_for(struct peers *p, uint32_t pkg, atom name)
{
	const struct pkg *k = pkg_at(p->r, pkg);
	uint32_t child = NONE;
	for (uint32_t i = 0; i < k->nedge && child != SEVERAL; i++) {
		const struct edge *e = &k->edge[i];
		if ((e->alias == name || pkg_at(p->r, e->pkg)->peer_name == name) && !view_cuts(p, pkg, e->pkg))
			child = child == NONE ? e->pkg : SEVERAL;
	}
	return child;
}

/* Whether the package CHILD, which has no node here yet, can be the same to those beside it as one that has. */
static bool child_serves(const struct peers *p, uint32_t child)
{
	return child != NONE && child != SEVERAL && (p->pkg[child].pure || pkg_at(p->r, child)->leaf);
}

/* Who looks for an answer. CHILDREN: PARENTS are without its own children, who have no nodes yet. */
struct asker {
	const struct refs *parents;
	uint32_t pkg;
	bool children;
};

enum { FEW = 32 }; /* of what an answer of G resolved, those that are looked up once for all answers */

/* Whether what the asker has under G's names is what C has. NOW: the first FEW of it. */
static bool providers_match(struct peers *p, const struct asker *q, const struct cache_group *g, const struct cached *c,
	const struct ref *const *now)
{
	for (uint32_t i = 0; i < g->resolved->n; i++) {
		const struct ref *x = i < FEW ? now[i] : refs_get(p, q->parents, g->resolved->e[i].k);
		const struct vnode *v = vnode_at(p, c->node[i]);
		if (x ? !provider_matches(p, x, c->node[i])
		      : !v->alive || v->pkg != child_for(p, q->pkg, g->resolved->e[i].k))
			return false;
	}
	return true;
}

/* Whether it is clear what the asker's children see under G's names: what the parents have, or, where those have
 * nobody, a child of its own; and nobody where G has nobody. */
static bool children_clear(struct peers *p, const struct asker *q, const struct cache_group *g)
{
	for (uint32_t i = 0; i < g->resolved->n; i++)
		if (refs_has(q->parents, g->resolved->e[i].k) && child_for(p, q->pkg, g->resolved->e[i].k) != NONE)
			return false;
	for (uint32_t i = 0; i < g->missing->n; i++)
		if (child_for(p, q->pkg, g->missing->e[i].name) != NONE)
			return false;
	return true;
}

/* The first answer of G that holds, and came before BEST (NULL: any); else BEST. */
static const struct cached *group_find(
	struct peers *p, const struct asker *q, const struct cache_group *g, const struct cached *best)
{
	uint64_t packages = 0;
	const struct ref *all[FEW];
	for (uint32_t i = 0; i < g->missing->n; i++)
		if (refs_has(q->parents, g->missing->e[i].name))
			return best;
	for (uint32_t i = 0; i < g->resolved->n; i++) {
		const struct ref *now = refs_get(p, q->parents, g->resolved->e[i].k);
		uint32_t pkg = NONE;
		if (i < FEW)
			all[i] = now;
		if (now)
			pkg = vnode_at(p, now->node)->pkg;
		else if (q->children)
			pkg = child_for(p, q->pkg, g->resolved->e[i].k);
		if (!now && !child_serves(p, pkg))
			return best;
		packages = packages_add(p, packages, pkg);
	}
	const struct cached *c = *cell_of(g, packages);
	while (c && (!best || c->order < best->order) && !providers_match(p, q, g, c, all))
		c = c->next;
	if (!c || (best && c->order > best->order))
		return best;
	return q->children && !children_clear(p, q, g) ? best : c;
}

static const struct cache_item *cache_find(struct peers *p, const struct asker *q)
{
	const struct cached *best = NULL;
	for (const struct cache_group *g = p->pkg[q->pkg].cache; g; g = g->next)
		best = group_find(p, q, g, best);
	return best ? &best->it : NULL;
}

const struct cache_item *peers_cache_hit(struct peers *p, const struct refs *parents, uint32_t pkg)
{
	return cache_find(p, &(struct asker){ parents, pkg, false });
}

const struct cache_item *peers_cache_fast(struct peers *p, const struct refs *parents, uint32_t pkg)
{
	return cache_find(p, &(struct asker){ parents, pkg, true });
}
