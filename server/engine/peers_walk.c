#include "peers_acc.h"
#include "pick.h"
#include <stdlib.h>

/* --- parents --- */

static bool not_older(struct peers *p, atom a, atom b)
{
	const struct semver *x = atom_semver(&p->r->t, a), *y = atom_semver(&p->r->t, b);
	return x && y ? semver_cmp(x, y) >= 0 : atom_cmp(&p->r->t, a, b) >= 0;
}

/* Under one name: a dependency by its own name beats one by an alias; of two by alias the newer wins. */
static void parent_put(struct peers *p, struct acc *a, atom name, struct ref x)
{
	uint32_t at = acc_get(a, name);
	if (at != NONE) {
		const struct ref *old = &p->ref.p[at];
		if (!old->alias || old->alias == name)
			return;
		if (x.alias && x.alias != name && not_older(p, old->version, x.version))
			return;
	}
	acc_put(a, name, ref_add(p, x), true);
}

static void parent_add(struct peers *p, struct acc *a, atom alias, uint32_t node)
{
	const struct vnode *v = vnode_at(p, node);
	const struct pkg *k = pkg_at(p->r, v->pkg);
	struct ref x = { .version = k->peer_version,
		.alias = alias != k->peer_name ? alias : 0,
		.node = node,
		.pkg = v->pkg,
		.depth = v->depth };
	parent_put(p, a, alias, x);
	if (x.alias && k->kind != PKG_LINK) /* a folder serves under its alias only. Source: pnpm 12.21 */
		parent_put(p, a, k->peer_name, x);
}

const struct refs *peers_importer_refs(struct peers *p, const struct importer *imp, const struct refs *under)
{
	struct acc a;
	acc_init(&a);
	for (size_t i = 0; i < imp->direct.n; i++) {
		const struct direct *d = &imp->direct.p[i];
		if (vnode_at(p, d->node)->alive && view_relevant(p, d->alias, d->pkg))
			parent_add(p, &a, d->alias, d->node);
	}
	for (uint32_t i = 0; under && i < under->n; i++)
		acc_put(&a, under->e[i].k, under->e[i].v, false);
	const struct refs *out = acc_refs(p, &a);
	acc_release(&a);
	return out;
}

void peers_remember_direct(struct peers *p, const struct direct *d, const struct refs *refs)
{
	if (view_relevant(p, d->alias, d->pkg))
		vnode_at(p, d->node)->ctx = refs;
}

/* --- issues --- */

static void issue(struct peers *p, atom name, atom range, bool optional, const struct chain *ancestors)
{
	if (p->draining)
		return;
	*vec_add(&p->missing) = (struct missing){ name, range, peer_range(p->r, range), optional, ancestors };
}

static void remember(struct peers *p, uint32_t node, dpid dp)
{
	struct vnode *v = vnode_at(p, node);
	if (p->discovery && !v->ctx && !v->provider)
		return;
	v->dp = dp;
	v->visited = p->call;
}

static const struct chain *chain_with(struct peers *p, const struct chain *up, uint32_t pkg)
{
	for (const struct chain *c = up; c; c = c->up)
		if (c->pkg == pkg)
			return up;
	struct chain *c = arena_new(&p->a, struct chain, 1);
	*c = (struct chain){ pkg, up ? up->len + 1 : 1, up };
	return c;
}

/* --- one occurrence --- */

struct visit {
	uint32_t node, pkg;
	const struct refs *parents, *refs; /* what it was given; with its own children */
	const struct chain *ancestors;
	struct acc own;             /* refs that it adds: name -> ref */
	struct acc preview;         /* alias -> node of children that can provide peers */
	uint32_t small[64], *fresh; /* nodes made for it: in SMALL, or on the heap when they are more */
	size_t nfresh, cap_fresh;
	bool previewed;
};

static void visit_init(
	struct visit *x, uint32_t node, uint32_t pkg, const struct refs *parents, const struct chain *ancestors)
{
	x->node = node;
	x->pkg = pkg;
	x->parents = parents;
	x->refs = NULL;
	x->ancestors = ancestors;
	acc_init(&x->own);
	acc_init(&x->preview);
	x->fresh = x->small;
	x->nfresh = 0;
	x->cap_fresh = sizeof(x->small) / sizeof(*x->small);
	x->previewed = false;
}

static void visit_release(struct visit *x)
{
	acc_release(&x->own);
	acc_release(&x->preview);
	if (x->fresh != x->small)
		free(x->fresh);
}

static void fresh_put(struct visit *x, uint32_t node)
{
	if (x->nfresh == x->cap_fresh) {
		uint32_t *more = xmalloc(2 * x->cap_fresh * sizeof(*more));
		memcpy(more, x->fresh, x->nfresh * sizeof(*more));
		if (x->fresh != x->small)
			free(x->fresh);
		x->fresh = more;
		x->cap_fresh *= 2;
	}
	x->fresh[x->nfresh++] = node;
}

static void preview(struct peers *p, struct visit *x)
{
	const struct vnode *v = vnode_at(p, x->node);
	const struct pkg *k = pkg_at(p->r, v->pkg);
	if (!v->lazy) {
		for (uint32_t i = 0; i < v->nkid; i++)
			if (vnode_at(p, v->kid[i].node)->alive &&
				view_relevant(p, v->kid[i].alias, vnode_at(p, v->kid[i].node)->pkg))
				acc_put(&x->preview, v->kid[i].alias, v->kid[i].node, true);
		return;
	}
	int32_t depth = v->depth + 1;
	x->previewed = true;
	for (uint32_t i = 0; i < k->nedge; i++) {
		const struct edge *e = &k->edge[i];
		if (!view_relevant(p, e->alias, e->pkg) || view_cuts(p, x->pkg, e->pkg))
			continue;
		bool fresh = true;
		uint32_t n =
			pkg_at(p->r, e->pkg)->leaf ? view_leaf(p, e->pkg, depth, &fresh) : view_node(p, e->pkg, depth);
		if (fresh)
			fresh_put(x, n);
		acc_put(&x->preview, e->alias, n, true);
	}
}

static bool kept(const struct output *out, uint32_t node)
{
	for (uint32_t i = 0; out && i < out->resolved->n; i++)
		if (out->resolved->e[i].v == node)
			return true;
	for (uint32_t i = 0; out && out->installed && i < out->installed->n; i++)
		if (out->installed->e[i].v == node)
			return true;
	return false;
}

static void forget_preview(struct peers *p, struct visit *x, const struct output *out)
{
	for (size_t i = 0; x->previewed && i < x->nfresh; i++)
		if (!kept(out, x->fresh[i]))
			view_forget(p, x->fresh[i]);
}

static bool refs_match(struct peers *p, const struct ref *a, const struct ref *b)
{
	return a->version == b->version && a->alias == b->alias &&
	       pkg_at(p->r, a->pkg)->peer_name == pkg_at(p->r, b->pkg)->peer_name;
}

/* X's parents, and its own children in the place of those of their names. */
static const struct refs *refs_own_first(struct peers *p, struct visit *x)
{
	struct acc all;
	acc_init(&all);
	acc_fill(&all, x->parents->e, x->parents->n);
	for (uint32_t i = 0; i < x->own.n; i++)
		acc_put(&all, acc_at(&x->own)[i].k, acc_at(&x->own)[i].v, true);
	const struct refs *out = acc_refs(p, &all);
	acc_release(&all);
	return out;
}

/* Whether INHERITED serves below X as OWN, X's child of that name, would. *OWN_FIRST: refs_own_first(), or NULL as long
 * as nobody needed it. */
static bool inherited_serves(struct peers *p, struct visit *x, const struct ref *inherited, const struct ref *own,
	const struct refs **own_first)
{
	if (!refs_match(p, inherited, own))
		return false;
	if (inherited->node == own->node)
		return true;
	if (!*own_first)
		*own_first = refs_own_first(p, x);
	return !peers_break_diamond(p, x->pkg, x->node, *own_first, inherited, own);
}

/* What the children see: the parents, and the node's own children that can be peers. */
static void extend_refs(struct peers *p, struct visit *x)
{
	const struct refs *base = x->parents;
	for (uint32_t i = 0; i < x->preview.n; i++) {
		struct kv k = acc_at(&x->preview)[i];
		if (vnode_at(p, k.v)->alive)
			parent_add(p, &x->own, k.k, k.v);
	}
	x->refs = base;
	if (!x->own.n)
		return;
	struct acc a;
	acc_init(&a);
	const struct refs *own_first = NULL;
	acc_fill(&a, base->e, base->n);
	for (uint32_t i = 0; i < x->own.n; i++) {
		struct kv k = acc_at(&x->own)[i];
		const struct ref *old = refs_get(p, base, k.k);
		if (!old) {
			acc_put(&a, k.k, k.v, true);
			continue;
		}
		if (inherited_serves(p, x, old, &p->ref.p[k.v], &own_first))
			continue;
		struct ref shadowing = p->ref.p[k.v];
		shadowing.occurrence = old->occurrence + 1;
		acc_put(&a, k.k, ref_add(p, shadowing), true);
	}
	x->refs = acc_refs(p, &a);
	acc_release(&a);
	for (uint32_t i = 0; i < x->own.n; i++)
		vnode_at(p, p->ref.p[acc_at(&x->own)[i].v].node)->ctx = x->refs;
}

static bool own_miss(const struct pkg *k, struct miss m)
{
	for (uint32_t i = 0; i < k->npeer; i++)
		if (k->peer[i].name == m.name && k->peer[i].range == m.range && k->peer[i].optional == m.optional)
			return true;
	return false;
}

/* What is met below is news to the importer whose walk met it first. Source: pnpm 12.21's behaviour. */
static struct output from_cache(struct peers *p, struct visit *x, const struct cache_item *it)
{
	forget_preview(p, x, NULL);
	if (it->missing->n) {
		struct chain *c = arena_new(&p->a, struct chain, 1);
		*c = (struct chain){ x->pkg, x->ancestors ? x->ancestors->len + 1 : 1, x->ancestors };
		for (uint32_t i = 0; i < it->missing->n; i++) {
			struct miss m = it->missing->e[i];
			issue(p, m.name, m.range, m.optional, own_miss(pkg_at(p->r, x->pkg), m) ? x->ancestors : c);
		}
	}
	remember(p, x->node, it->dp);
	struct vnode *v = vnode_at(p, x->node);
	v->peers = it->resolved;
	v->owner = it->owner == x->node ? NONE : it->owner;
	v->in_progress = false;
	return (struct output){ it->dp, it->resolved, it->missing, it->summary, &pmap_none };
}

struct below {
	struct acc external, installed;
	VEC(struct miss) miss; /* ascending by name, all different */
	VEC(struct summary *) sum;
};

static void below_init(struct below *b)
{
	acc_init(&b->external);
	acc_init(&b->installed);
	memset(&b->miss, 0, sizeof(b->miss));
	memset(&b->sum, 0, sizeof(b->sum));
}

static void below_release(struct below *b)
{
	acc_release(&b->external);
	acc_release(&b->installed);
	vec_release(&b->miss);
	vec_release(&b->sum);
}

/* Every range that a name is missed in: a project that takes the answer over looks for one version that fits them all,
 * as the one that was walked did. Source: pnpm 12.21's behaviour. */
static void miss_put(struct below *b, struct miss m)
{
	size_t i = 0, n = b->miss.n;
	for (size_t half; n > 1; n -= half) {
		half = n / 2;
		i += b->miss.p[i + half - 1].name < m.name ? half : 0;
	}
	i += n && b->miss.p[i].name < m.name;
	for (; i < b->miss.n && b->miss.p[i].name == m.name; i++)
		if (b->miss.p[i].range == m.range && b->miss.p[i].optional == m.optional)
			return;
	struct miss *end = vec_add(&b->miss);
	memmove(b->miss.p + i + 1, b->miss.p + i, (size_t)(end - (b->miss.p + i)) * sizeof(m));
	b->miss.p[i] = m;
}

static void fold(struct peers *p, const struct visit *x, struct below *b, const struct output *o)
{
	if (o->summary) {
		uint32_t i = 0;
		while (i < b->sum.n && b->sum.p[i] != o->summary)
			i++;
		if (i == b->sum.n)
			*vec_add(&b->sum) = o->summary;
	}
	/* what is met below an occurrence that shares another's children is no news to the importer */
	bool shared = vnode_at(p, x->node)->lazy;
	for (uint32_t i = 0; !shared && o->installed && i < o->installed->n; i++)
		acc_put(&b->installed, o->installed->e[i].k, o->installed->e[i].v, true);
	for (uint32_t i = 0; i < o->resolved->n; i++)
		if (!view_has_child(p, x->pkg, x->node, o->resolved->e[i].k))
			acc_put(&b->external, o->resolved->e[i].k, o->resolved->e[i].v, true);
	for (uint32_t i = 0; i < o->missing->n; i++)
		miss_put(b, o->missing->e[i]);
}

static struct output deferred(
	struct peers *p, const struct visit *x, const struct edge *e, const struct chain *chain, int32_t depth)
{
	uint32_t pkg = e->pkg, node = acc_get(&x->preview, e->alias);
	bool fresh = false;
	if (node == NONE) {
		const struct pkg *k = pkg_at(p->r, pkg);
		if (p->pkg[pkg].pure && !k->npeer)
			return (struct output){ deppath_of(p->paths, k->id, NULL, 0), &pmap_none, &mmap_none, NULL,
				&pmap_none };
		const struct cache_item *it = k->leaf ? NULL : peers_cache_fast(p, x->refs, pkg);
		if (it && !it->missing->n)
			return (struct output){ it->dp, it->resolved, it->missing, it->summary, &pmap_none };
		fresh = true;
		node = k->leaf ? view_leaf(p, pkg, depth, &fresh) : view_node(p, pkg, depth);
	}
	struct output o = peers_node(p, node, x->refs, chain);
	if (fresh && !vnode_at(p, node)->ctx && !kept(&o, node))
		view_forget(p, node);
	return o;
}

static void realise(struct peers *p, struct visit *x)
{
	struct vnode *v = vnode_at(p, x->node);
	if (!v->lazy)
		return;
	const struct pkg *k = pkg_at(p->r, x->pkg);
	struct kid *kid = arena_new(&p->a, struct kid, k->nedge + 1);
	uint32_t n = 0;
	int32_t depth = v->depth + 1;
	for (uint32_t i = 0; i < k->nedge; i++) {
		const struct edge *e = &k->edge[i];
		if (view_cuts(p, x->pkg, e->pkg)) {
			if (e->pkg != x->pkg)
				kid[n++] = (struct kid){ e->alias, view_backedge(p, e->pkg, depth) };
			continue;
		}
		bool fresh;
		uint32_t node = acc_get(&x->preview, e->alias);
		if (node == NONE)
			node = pkg_at(p->r, e->pkg)->leaf ? view_leaf(p, e->pkg, depth, &fresh)
							  : view_node(p, e->pkg, depth);
		struct vnode *c = vnode_at(p, node);
		if (c->depth > depth)
			c->depth = depth;
		kid[n++] = (struct kid){ e->alias, node };
	}
	v = vnode_at(p, x->node);
	v->lazy = false;
	v->kid = kid;
	v->nkid = n;
}

/* X's edges, at DEPTH, whose aliases the children see somebody under (NAMED), or not; they have no nodes. */
static void walk_edges(
	struct peers *p, struct visit *x, struct below *b, const struct chain *chain, int32_t depth, bool named)
{
	const struct pkg *k = pkg_at(p->r, x->pkg);
	for (uint32_t i = 0; i < k->nedge; i++) {
		const struct edge *e = &k->edge[i];
		if (refs_has(x->refs, e->alias) != named || view_cuts(p, x->pkg, e->pkg))
			continue;
		struct output o = deferred(p, x, e, chain, depth);
		fold(p, x, b, &o);
	}
}

/* The same where they have nodes. */
static void walk_kids(struct peers *p, struct visit *x, struct below *b, const struct chain *chain, bool named)
{
	for (uint32_t i = 0; i < vnode_at(p, x->node)->nkid; i++) {
		struct kid k = vnode_at(p, x->node)->kid[i];
		if (refs_has(x->refs, k.alias) != named || view_cuts(p, x->pkg, vnode_at(p, k.node)->pkg))
			continue;
		struct output o = peers_node(p, k.node, x->refs, chain);
		fold(p, x, b, &o);
	}
}

static void walk_children(struct peers *p, struct visit *x, struct below *b)
{
	const struct chain *chain = chain_with(p, x->ancestors, x->pkg);
	bool lazy = p->discovery && vnode_at(p, x->node)->lazy;
	int32_t depth = vnode_at(p, x->node)->depth + 1;
	if (!lazy)
		realise(p, x);
	for (int pass = 0; pass < 2; pass++)
		if (lazy)
			walk_edges(p, x, b, chain, depth, pass == 0);
		else
			walk_kids(p, x, b, chain, pass == 0);
}

static const struct mmap *mmap_copy(struct peers *p, const struct miss *m, uint32_t n)
{
	if (!n)
		return &mmap_none;
	struct mmap *out = arena_alloc(&p->a, 1, sizeof(*out) + n * sizeof(*m), _Alignof(struct mmap));
	out->n = n;
	memcpy(out->e, m, n * sizeof(*m));
	return out;
}

static struct summary *summarise(struct peers *p, uint32_t pkg, struct below *b)
{
	if (p->r->nimporter < 2 || !p->discovery)
		return NULL;
	if (!b->miss.n && b->sum.n == 0)
		return NULL;
	if (!b->miss.n && b->sum.n == 1)
		return b->sum.p[0];
	struct summary *s = arena_new(&p->a, struct summary, 1);
	*s = (struct summary){ .pkg = NONE, .names = &atomset_none, .nkid = (uint32_t)b->sum.n };
	s->kid = arena_new(&p->a, struct summary *, b->sum.n + 1);
	if (b->sum.n)
		memcpy(s->kid, b->sum.p, b->sum.n * sizeof(*s->kid));
	if (b->miss.n) {
		atom *v = arena_new(&p->a, atom, b->miss.n);
		for (uint32_t i = 0; i < b->miss.n; i++)
			v[i] = b->miss.p[i].name;
		s->pkg = pkg;
		s->names = atomset_of(&p->a, v, b->miss.n);
	}
	return s;
}

/* Its own peers, from the parents and its own children. */
static void own_peers(struct peers *p, struct visit *x, struct below *b, struct acc *own)
{
	const struct pkg *k = pkg_at(p->r, x->pkg);
	for (uint32_t i = 0; i < k->npeer; i++) {
		struct peer want = k->peer[i];
		const struct ref *found = refs_get(p, x->refs, want.name);
		if (found) {
			acc_put(own, want.name, found->node, true);
			continue;
		}
		miss_put(b, (struct miss){ want.name, want.range, want.optional });
		issue(p, want.name, want.range, want.optional, x->ancestors);
	}
}

static void edges_put(struct peers *p, struct kid *e, uint32_t *n, struct kid k)
{
	uint32_t i = 0;
	while (i < *n && atom_cmp(&p->r->t, e[i].alias, k.alias) < 0)
		i++;
	if (i < *n && e[i].alias == k.alias) {
		e[i] = k;
		return;
	}
	memmove(e + i + 1, e + i, (*n - i) * sizeof(*e));
	e[i] = k;
	(*n)++;
}

static void record_node(
	struct peers *p, struct visit *x, struct acc *own, const struct pmap *resolved, const struct mmap *missing)
{
	const struct pkg *k = pkg_at(p->r, x->pkg);
	uint32_t nkid = vnode_at(p, x->node)->nkid, n = nkid;
	struct record *rec = arena_new(&p->a, struct record, 1);
	struct kid *edge = arena_new(&p->a, struct kid, nkid + own->n + 1);
	for (uint32_t i = 0; i < nkid; i++) {
		struct kid c = vnode_at(p, x->node)->kid[i];
		uint32_t cp = vnode_at(p, c.node)->pkg;
		if (vnode_at(p, c.node)->dp == NONE && view_cuts(p, x->pkg, cp))
			c.node = view_backedge(p, cp, vnode_at(p, x->node)->depth + 1);
		edge[i] = c;
	}
	for (uint32_t i = 0; i < own->n; i++)
		edges_put(p, edge, &n, (struct kid){ acc_at(own)[i].k, acc_at(own)[i].v });
	atom *t = arena_new(&p->a, atom, resolved->n + missing->n + 1);
	size_t nt = 0;
	for (uint32_t i = 0; i < resolved->n + missing->n; i++) {
		atom name = i < resolved->n ? resolved->e[i].k : missing->e[i - resolved->n].name;
		if (!pkg_has_peer(k, name))
			t[nt++] = name;
	}
	*rec = (struct record){ x->node, edge, n, atomset_of(&p->r->arena, t, nt), p->record.n };
	vnode_at(p, x->node)->record = rec;
	*vec_add(&p->record) = rec;
}

/* What it tells its parent: without the peers that are its own children. */
static const struct pmap *external_of(struct peers *p, const struct visit *x, const struct pmap *all)
{
	struct acc a;
	acc_init(&a);
	for (uint32_t i = 0; i < all->n; i++)
		if (!view_has_child(p, x->pkg, x->node, all->e[i].k))
			acc_put(&a, all->e[i].k, all->e[i].v, true);
	const struct pmap *out = a.n == all->n ? all : acc_pmap(p, &a);
	acc_release(&a);
	return out;
}

/* To ALL what of FROM is not X's own package. */
static void peers_put(struct peers *p, const struct visit *x, struct acc *all, struct acc *from)
{
	atom self = pkg_at(p->r, x->pkg)->peer_name;
	for (uint32_t i = 0; i < from->n; i++) {
		struct kv k = acc_at(from)[i];
		if (k.k != self || vnode_at(p, k.v)->pkg != x->pkg)
			acc_put(all, k.k, k.v, true);
	}
}

static struct output resolve_here(struct peers *p, struct visit *x)
{
	struct below b;
	below_init(&b);
	struct acc own;
	acc_init(&own);
	walk_children(p, x, &b);
	struct summary *sum = summarise(p, x->pkg, &b);
	own_peers(p, x, &b, &own);
	struct acc all;
	acc_init(&all);
	peers_put(p, x, &all, &b.external);
	peers_put(p, x, &all, &own);
	for (uint32_t i = 0; p->discovery && i < own.n; i++)
		acc_put(&b.installed, acc_at(&own)[i].k, acc_at(&own)[i].v, true);
	const struct pmap *resolved = acc_pmap(p, &all);
	const struct mmap *missing = mmap_copy(p, b.miss.p, (uint32_t)b.miss.n);
	dpid dp = peers_dep_path(p, x->pkg, resolved);
	remember(p, x->node, dp);
	struct vnode *v = vnode_at(p, x->node);
	v->peers = resolved;
	v->owner = NONE;
	if (!resolved->n && !missing->n)
		p->pkg[x->pkg].pure = true;
	else
		peers_cache_add(p, x->pkg, (struct cache_item){ x->node, dp, resolved, missing, sum });
	if (!p->discovery)
		record_node(p, x, &own, resolved, missing);
	vnode_at(p, x->node)->in_progress = false;
	struct output out = { dp, external_of(p, x, resolved), missing, sum,
		p->discovery ? acc_pmap(p, &b.installed) : &pmap_none };
	acc_release(&own);
	acc_release(&all);
	below_release(&b);
	if (p->discovery)
		forget_preview(p, x, &out);
	return out;
}

struct output peers_node(struct peers *p, uint32_t node, const struct refs *parents, const struct chain *ancestors)
{
	struct vnode *v = vnode_at(p, node);
	const struct pkg *k = pkg_at(p->r, v->pkg);
	if (v->depth == -1 || (p->pkg[v->pkg].pure && !k->npeer)) {
		dpid dp = deppath_of(p->paths, k->id, NULL, 0);
		remember(p, node, dp);
		vnode_at(p, node)->peers = &pmap_none;
		return (struct output){ dp, &pmap_none, &mmap_none, NULL, &pmap_none };
	}
	if (p->depth >= RUN_MOST_DEPTH)
		p->r->too_deep = v->pkg + 1;
	if (v->in_progress || p->r->too_deep)
		return (struct output){ deppath_of(p->paths, k->id, NULL, 0), &pmap_none, &mmap_none, NULL,
			&pmap_none };
	struct visit x;
	visit_init(&x, node, v->pkg, parents, ancestors);
	v->in_progress = true;
	bool own_view = peers_locked_here(p, node);
	const struct cache_item *it = v->lazy && !own_view ? peers_cache_fast(p, parents, v->pkg) : NULL;
	if (it)
		return from_cache(p, &x, it);
	preview(p, &x);
	extend_refs(p, &x);
	if (own_view)
		x.refs = peers_locked_refs(p, node, x.refs);
	it = peers_cache_hit(p, x.refs, x.pkg);
	p->depth++;
	*vec_add(&p->above) = node;
	struct output out = it ? from_cache(p, &x, it) : resolve_here(p, &x);
	p->above.n--;
	p->depth--;
	visit_release(&x);
	return out;
}

void peers_drain(struct peers *p, const struct refs *parents)
{
	p->draining = true;
	while (p->pending.n) {
		uint32_t n = p->pending.p[--p->pending.n];
		if (vnode_at(p, n)->visited != p->call)
			peers_node(p, n, parents, NULL);
	}
	p->draining = false;
}
