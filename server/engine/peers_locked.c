#include "base/map.h"
#include "dedupe.h"
#include "dep_path.h"
#include "peers_view.h"
#include "pick.h"
#include "reuse.h"

/* What served a package as a peer when the lockfile was written serves it again, where that is still in the tree and in
 * the peer's range: the projects' other packages may see another version. Only what has no peers of its own: its copies
 * don't differ. Source: pnpm 12.21's behaviour. */

static const struct pmap *resolved_of(const struct vnode *v)
{
	return v->alive ? v->peers : NULL;
}

/* The first node that is what a snapshot was, if it has no peers. */
static uint32_t *providers_of(struct peers *p)
{
	uint32_t *at = arena_new(&p->r->arena, uint32_t, p->r->prior->nsnapshots + 1);
	memset(at, 0xff, (p->r->prior->nsnapshots + 1) * sizeof(*at)); /* NONE */
	for (uint32_t i = 0; i < p->base.n; i++) {
		const struct vnode *v = &p->base.p[i];
		if (v->key != NONE && at[v->key] == NONE && resolved_of(v))
			at[v->key] = i;
	}
	for (size_t k = 0; k < p->r->prior->nsnapshots; k++)
		if (at[k] != NONE && (p->base.p[at[k]].peers->n || !reuse_plain(p->r, (prior)k)))
			at[k] = NONE;
	return at;
}

/* What LOCKED has for the peer NAME of NODE; NONE: nothing. */
static uint32_t provider_of(struct peers *p, const uint32_t *locked, uint32_t node, atom name)
{
	prior was = reuse_dep(p->r, vnode_at(p, node)->key, name);
	return was == NONE ? NONE : locked[was];
}

/* Whether NODE was resolved to another provider than LOCKED has for it. */
static bool moved(struct peers *p, const uint32_t *locked, uint32_t node)
{
	const struct vnode *v = vnode_at(p, node);
	const struct pkg *k = pkg_at(p->r, v->pkg);
	if (v->key == NONE || !k->npeer || !resolved_of(v))
		return false;
	for (uint32_t i = 0; i < k->npeer; i++) {
		uint32_t was = provider_of(p, locked, node, k->peer[i].name);
		if (was == NONE)
			continue;
		const struct kv *now = pmap_find(v->peers, k->peer[i].name);
		if (!now || vnode_at(p, now->v)->pkg != vnode_at(p, was)->pkg ||
			vnode_at(p, now->v)->peers != &pmap_none)
			return true;
	}
	return false;
}

const uint32_t *peers_locked_providers(struct peers *p)
{
	const uint32_t *locked = providers_of(p);
	for (uint32_t i = 0; i < p->base.n; i++)
		if (moved(p, locked, i))
			return locked;
	return NULL;
}

bool peers_locked_here(const struct peers *p, uint32_t node)
{
	return p->locked && !(node & OWN) && p->base.p[node].key != NONE && pkg_at(p->r, p->base.p[node].pkg)->npeer;
}

/* What IMP's manifest says of ALIAS; NULL: nothing. */
static const struct wanted *declared(const struct importer *imp, atom alias)
{
	for (uint32_t i = 0; i < imp->nwanted; i++)
		if (imp->wanted[i].alias == alias)
			return &imp->wanted[i];
	return NULL;
}

/* Whether D came to IMP since the lockfile was written, or moved and is a dependency of IMP's own. What IMP has as a
 * peer and what was hoisted for those that need it serves who has no provider from before, unless LOCKED, that
 * provider, has dependencies of its own, and the new one has none or is not in the lockfile. Source: pnpm 12.21's
 * behaviour. */
static bool is_anew(struct peers *p, const struct importer *imp, const struct direct *d, const struct pkg *locked)
{
	const struct pkg *now = pkg_at(p->r, d->pkg);
	prior key = vnode_at(p, d->node)->key;
	if (imp != p->imp || d->provider)
		return key == NONE && !(d->required && locked->leaf);
	const struct wanted *w = declared(imp, d->alias);
	if (w && !w->peer)
		return key == NONE || reuse_direct_was(p->r, imp, d->alias) != key;
	if (w ? key == NONE : !d->required)
		return key == NONE;
	return !locked->leaf && (now->leaf || !lockfile_package(p->r->prior, sof(p->r, now->key)));
}

/* Whether IMP has NODE under another name than PEER, or anew. */
static bool direct_wins(struct peers *p, const struct importer *imp, uint32_t node, atom peer, const struct pkg *locked)
{
	for (size_t i = 0; imp && i < imp->direct.n; i++) {
		const struct direct *d = &imp->direct.p[i];
		if (d->node == node && (d->alias != peer || is_anew(p, imp, d, locked)))
			return true;
	}
	return false;
}

/* Whether NODE is a child of PARENT that came, or moved, since the lockfile was written. */
static bool child_wins(struct peers *p, uint32_t parent, uint32_t node)
{
	const struct vnode *v = vnode_at(p, parent);
	if ((parent & OWN) || p->r->node.p[parent].lazy)
		return false;
	for (uint32_t i = 0; i < v->nkid; i++) {
		if (v->kid[i].node != node)
			continue;
		prior was = v->key == NONE ? NONE : reuse_dep(p->r, v->key, v->kid[i].alias);
		if (was == NONE || vnode_at(p, node)->key != was)
			return true;
	}
	return false;
}

/* Whether what REFS have under PEER is newer than LOCKED, what the lockfile has, which then has no say. */
static bool current_wins(struct peers *p, const struct refs *refs, atom peer, const struct pkg *locked)
{
	const struct ref *now = refs_get(p, refs, peer);
	if (!now)
		return true;
	uint32_t node = now->node;
	if (direct_wins(p, p->imp, node, peer, locked) ||
		(p->at_root != p->imp && direct_wins(p, p->at_root, node, peer, locked)))
		return true;
	for (size_t i = 0; i < p->above.n; i++)
		if (child_wins(p, p->above.p[i], node))
			return true;
	return false;
}

static const struct refs *refs_with(struct peers *p, const struct refs *refs, atom name, uint32_t ref)
{
	struct refs *out = refs_new(p, refs->n + 1);
	uint32_t n = 0;
	for (uint32_t i = 0; i < refs->n && refs->e[i].k < name; i++)
		out->e[n++] = refs->e[i];
	uint32_t rest = n;
	out->e[n++] = (struct kv){ name, ref };
	if (rest < refs->n && refs->e[rest].k == name)
		rest++;
	while (rest < refs->n)
		out->e[n++] = refs->e[rest++];
	out->n = n;
	return out;
}

const struct refs *peers_locked_refs(struct peers *p, uint32_t node, const struct refs *refs)
{
	const struct pkg *k = pkg_at(p->r, vnode_at(p, node)->pkg);
	const struct refs *out = refs;
	for (uint32_t i = 0; i < k->npeer; i++) {
		uint32_t was = provider_of(p, p->locked, node, k->peer[i].name);
		const struct vnode *v = was == NONE ? NULL : vnode_at(p, was);
		const struct pkg *provider = v ? pkg_at(p->r, v->pkg) : NULL;
		if (!v || (v->peers && v->peers->n) || current_wins(p, refs, k->peer[i].name, provider))
			continue;
		const struct range *range = atom_range(&p->r->t, peer_range(p->r, k->peer[i].range));
		const struct semver *version = provider->version ? atom_semver(&p->r->t, provider->version) : NULL;
		if (!range || !version || !range_has_peer(range, version))
			continue;
		const struct ref x = {
			.version = provider->peer_version, .node = was, .pkg = v->pkg, .depth = v->depth
		};
		out = refs_with(p, out, k->peer[i].name, ref_add(p, x));
	}
	return out;
}

/* --- links in cycles --- */

static str locked_path(struct run *r, const struct lock_snapshot *s, atom alias)
{
	const struct lock_dep *d = lock_snapshot_dep(s, sof(r, alias));
	return d ? dep_path_from_ref(d->alias, d->ref, &r->arena) : STR_NONE;
}

/* Whether PATH is of the same package as DP. */
static bool same_package(const struct graph *g, str path, dpid dp)
{
	str base = sof(g->paths->r, g->paths->dp.p[dp].base);
	return str_starts(path, base) && (path.n == base.n || path.p[base.n] == '(');
}

/* Whether N depends on the packages that S does, in whatever variants. */
static bool same_packages(struct run *r, const struct graph *g, const struct gnode *n, const struct lock_snapshot *s)
{
	if (n->nedge != s->dependencies.n + s->optional_dependencies.n)
		return false;
	for (uint32_t i = 0; i < n->nedge; i++)
		if (n->edge[i].dp == NONE || !same_package(g, locked_path(r, s, n->edge[i].alias), n->edge[i].dp))
			return false;
	return true;
}

static void nodes_by_text(struct map *out, const struct graph *g)
{
	for (uint32_t i = 0; i < g->node.n; i++)
		if (!g->node.p[i].dropped)
			map_add(out, deppath_text(g->paths, g->node.p[i].dp), i, NULL);
}

/* The dep path of PKG that is PATH; NONE: the graph has none. NODES, empty at first, are the graph's by their text. */
static dpid variant_of(const struct graph *g, struct map *nodes, uint32_t pkg, str path)
{
	if (!nodes->n)
		nodes_by_text(nodes, g);
	uint32_t at = map_get(nodes, path);
	return at != MAP_NONE && g->node.p[at].pkg == pkg ? g->node.p[at].dp : NONE;
}

/* Leads N's edges to the variants that S has; whether one moved. */
static bool links_keep(
	struct run *r, struct graph *g, struct map *nodes, struct gnode *n, const struct lock_snapshot *s)
{
	bool moved = false;
	for (uint32_t i = 0; i < n->nedge; i++) {
		struct gedge *e = &n->edge[i];
		uint32_t now = graph_find(g, e->dp);
		str was = locked_path(r, s, e->alias);
		if (now == NONE || str_eq(was, deppath_text(g->paths, e->dp)))
			continue;
		dpid dp = variant_of(g, nodes, g->node.p[now].pkg, was);
		moved = moved || dp != NONE;
		e->dp = dp == NONE ? e->dp : dp;
	}
	return moved;
}

void peers_locked_links(struct run *r, struct graph *g)
{
	AUTO(map_release) struct map nodes = MAP_INIT;
	bool moved = false;
	for (size_t i = 0; r->prior && !r->set->dedupe_peers && i < g->node.n; i++) {
		struct gnode *n = &g->node.p[i];
		const struct lock_snapshot *s = n->dropped || !g->paths->dp.p[n->dp].nseg
							? NULL
							: lockfile_snapshot(r->prior, deppath_text(g->paths, n->dp));
		if (s && same_packages(r, g, n, s))
			moved |= links_keep(r, g, &nodes, n, s);
	}
	if (moved)
		graph_prune(r, g);
}
