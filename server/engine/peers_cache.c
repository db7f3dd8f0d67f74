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

const struct cache_item *peers_cache_hit(struct peers *p, const struct refs *parents, uint32_t pkg)
{
	for (const struct cache_item *it = p->pkg[pkg].cache; it; it = it->next) {
		bool ok = true;
		for (uint32_t i = 0; ok && i < it->resolved->n; i++) {
			const struct ref *now = refs_get(p, parents, it->resolved->e[i].k);
			ok = now && provider_matches(p, now, it->resolved->e[i].v);
		}
		for (uint32_t i = 0; ok && i < it->missing->n; i++)
			ok = !refs_has(parents, it->missing->e[i].name);
		if (ok)
			return it;
	}
	return NULL;
}

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

/* Whether what PARENTS have is enough to refuse IT: that is what the children see, or it is unclear what they see. */
static bool parents_refuse(struct peers *p, const struct refs *parents, const struct cache_item *it)
{
	for (uint32_t i = 0; i < it->resolved->n; i++) {
		const struct ref *now = refs_get(p, parents, it->resolved->e[i].k);
		if (now && !provider_matches(p, now, it->resolved->e[i].v))
			return true;
	}
	for (uint32_t i = 0; i < it->missing->n; i++)
		if (refs_has(parents, it->missing->e[i].name))
			return true;
	return false;
}

/* Whether the package CHILD, which has no node here yet, would be the same to those beside it as CACHED. */
static bool child_matches(struct peers *p, uint32_t child, uint32_t cached)
{
	return child != NONE && child != SEVERAL && vnode_at(p, cached)->alive && vnode_at(p, cached)->pkg == child &&
	       (p->pkg[child].pure || pkg_at(p->r, child)->leaf);
}

static bool fast_match(struct peers *p, const struct refs *parents, uint32_t pkg, const struct cache_item *it)
{
	if (parents_refuse(p, parents, it)) /* most are; what is left takes a look at all edges */
		return false;
	for (uint32_t i = 0; i < it->resolved->n; i++) {
		struct kv e = it->resolved->e[i];
		uint32_t child = child_for(p, pkg, e.k);
		if (refs_has(parents, e.k) ? child != NONE : !child_matches(p, child, e.v))
			return false;
	}
	for (uint32_t i = 0; i < it->missing->n; i++)
		if (child_for(p, pkg, it->missing->e[i].name) != NONE)
			return false;
	return true;
}

const struct cache_item *peers_cache_fast(struct peers *p, const struct refs *parents, uint32_t pkg)
{
	for (const struct cache_item *it = p->pkg[pkg].cache; it; it = it->next)
		if (fast_match(p, parents, pkg, it))
			return it;
	return NULL;
}

void peers_cache_add(struct peers *p, uint32_t pkg, struct cache_item it)
{
	for (uint32_t i = 0; i < it.resolved->n; i++)
		vnode_at(p, it.resolved->e[i].v)->retained = true;
	struct cache_item *c = arena_new(&p->a, struct cache_item, 1);
	*c = it;
	struct pkg_view *v = &p->pkg[pkg];
	if (!v->cache_end)
		v->cache_end = &v->cache;
	*v->cache_end = c;
	v->cache_end = &c->next;
}
