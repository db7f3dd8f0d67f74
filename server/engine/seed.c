#include "seed.h"
#include "package.h"
#include "reuse.h"
#include <stdlib.h>

void seed_settle(struct run *r, const struct seed *s, bool lazy, struct kid *kid, uint32_t nkid)
{
	struct node *n = &r->node.p[s->node];
	int32_t depth = pkg_at(r, s->pkg)->kind == PKG_LINK ? -1 : s->depth;
	if (n->key == NONE && s->key != NONE && reuse_landed(r, s->key, pkg_at(r, s->pkg)))
		n->key = s->key;
	if (n->depth > depth)
		*vec_add(&r->lowered) = s->node;
	if (s->leaf && n->depth != INT32_MAX) {
		if (n->depth > depth)
			n->depth = depth;
		return;
	}
	n->depth = depth;
	n->lazy = lazy;
	n->kid = kid;
	n->nkid = nkid;
	n->parents = s->parents;
}

bool seed_claim(struct run *r, struct seed *s, const struct importer *imp)
{
	struct pkg *p = pkg_at(r, s->pkg);
	struct owner mine = { true, s->depth, (uint32_t)(imp - r->importer), s->parents };
	s->owner = mine;
	if (p->owner.set) {
		const struct owner *o = &p->owner;
		int c = mine.depth != o->depth         ? (mine.depth < o->depth ? -1 : 1)
			: mine.importer != o->importer ? (mine.importer < o->importer ? -1 : 1)
						       : chain_cmp(r, mine.path, o->path);
		if (c >= 0) {
			s->owns = false;
			s->shadow = p->shadow;
			return false;
		}
	}
	s->owns = true;
	/* what was found below the deeper one is found anew, even where it has no children. Source: pnpm 12.21's
	 * behaviour */
	if (p->owner.set && !s->leaf && mine.depth < p->owner.depth)
		r->rewrites++;
	p->owner = mine;
	if (r->nimporter > 1)
		*vec_add(&r->importer[mine.importer].owned) = s->pkg;
	p->shadow = s->shadow;
	return true;
}

static bool still_owner(struct run *r, const struct seed *s)
{
	return owner_same(r, &pkg_at(r, s->pkg)->owner, &s->owner);
}

void seeds_claim(struct run *r, const struct importer *imp, struct seed **all, uint32_t n)
{
	uint32_t *best = xmalloc((n + 1) * sizeof(*best)), nbest = 0, mark = ++r->mark;
	for (uint32_t i = 0; i < n; i++) {
		struct seed *s = all[i];
		struct pkg *p = s->kind == SEED_PENDING ? pkg_at(r, s->pkg) : NULL;
		if (!p || p->kind == PKG_LINK)
			continue;
		if (p->seen != mark) {
			p->seen = mark;
			p->slot = nbest;
			best[nbest++] = i;
		} else if (chain_cmp(r, all[best[p->slot]]->parents, s->parents) > 0) {
			best[p->slot] = i;
		}
	}
	for (uint32_t i = 0; i < nbest; i++) {
		struct seed *s = all[best[i]];
		if (seed_claim(r, s, imp) && package_split_peers(r, pkg_at(r, s->pkg), s->shadow))
			r->breaks++;
	}
	free(best);
}

static bool pins_over(const struct pkg *p, const struct atomset *shadow, prior key)
{
	return atomset_eq(p->rec_shadow, shadow) && p->rec_prior != NONE && key == NONE;
}

static bool edges_same(const struct pkg *p, const struct edge *e, uint32_t n)
{
	if (p->nedge != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (p->edge[i].alias != e[i].alias || p->edge[i].pkg != e[i].pkg ||
			p->edge[i].optional != e[i].optional)
			return false;
	return true;
}

/* Whoever owned the package before reads what its new owner has from now on, though that be the same: peers met below
 * are news to the owner's importer alone. Source: pnpm 12.21's behaviour. */
static void others_lazy(struct run *r, uint32_t pkg, uint32_t owner_node)
{
	bool any = false;
	for (uint32_t i = pkg_at(r, pkg)->nodes; i != NONE; i = r->node.p[i].next) {
		struct node *n = &r->node.p[i];
		if (i == owner_node || n->lazy || n->depth == INT32_MAX)
			continue;
		n->lazy = true;
		any = true;
	}
	if (any)
		r->rewrites++;
}

/* Records EDGE for S's package; false where another occurrence's stays. */
static bool record(struct run *r, const struct seed *s, struct edge *edge, uint32_t n)
{
	struct pkg *p = pkg_at(r, s->pkg);
	if (!still_owner(r, s) || (p->recorded && pins_over(p, s->shadow, s->key)))
		return false;
	bool same = edges_same(p, edge, n);
	if (p->recorded && !same)
		r->breaks++;
	if (s->pkg < r->wired && !same)
		r->rewired++;
	p->recorded = true;
	p->edge = edge;
	p->nedge = n;
	p->rec_shadow = s->shadow;
	p->rec_prior = s->key;
	return true;
}

void seed_settle_children(struct run *r, const struct seed *s, const struct seed *kids, uint32_t n)
{
	struct edge *edge = arena_new(&r->arena, struct edge, n + 1);
	struct kid *kid = arena_new(&r->arena, struct kid, n + 1);
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (kids[i].kind == SEED_DROPPED)
			continue;
		edge[m] = (struct edge){ kids[i].alias, kids[i].pkg, kids[i].optional_edge };
		kid[m++] = (struct kid){ kids[i].alias, kids[i].node };
	}
	bool recorded = record(r, s, edge, m);
	seed_settle(r, s, !recorded, recorded ? kid : NULL, recorded ? m : 0);
	if (still_owner(r, s))
		others_lazy(r, s->pkg, s->node);
}

void seed_realise(struct run *r, const struct seed *s, const struct seed *kids, uint32_t n)
{
	struct kid *kid = arena_new(&r->arena, struct kid, n + 1);
	if (!still_owner(r, s))
		return;
	for (uint32_t i = 0; i < n; i++)
		kid[i] = (struct kid){ kids[i].alias, kids[i].node };
	seed_settle(r, s, false, kid, n);
	others_lazy(r, s->pkg, s->node);
}
