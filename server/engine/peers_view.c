#include "peers_view.h"
#include "scc.h"
#include <stdlib.h>

const struct pmap pmap_none = { 0 };
const struct mmap mmap_none = { 0 };

const struct kv *pmap_find(const struct pmap *m, atom name)
{
	for (uint32_t i = 0; i < m->n && m->e[i].k <= name; i++)
		if (m->e[i].k == name)
			return &m->e[i];
	return NULL;
}

struct peers *peers_new(struct run *r, bool discovery)
{
	struct peers *p = xcalloc(1, sizeof(*p));
	p->r = r;
	p->discovery = discovery;
	p->a = ARENA_INIT(256u << 10);
	p->scc_at = UINT64_MAX; /* of no revision */
	deppaths_init(&p->own_paths, r);
	p->paths = &p->own_paths;
	return p;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	vec_release(&p->base);
	vec_release(&p->own);
	vec_release(&p->free_nodes);
	vec_release(&p->ref);
	vec_release(&p->pending);
	vec_release(&p->record);
	vec_release(&p->missing);
	vec_release(&p->above);
	marks_release(&p->met);
	free(p->pkg);
	deppaths_release(&p->own_paths);
	arena_release(&p->a);
	free(p);
}

/* Nothing of the walks before holds any more, and nothing but what is emptied here led to it. */
static void view_reset(struct peers *p)
{
	arena_release(&p->a);
	p->base.n = p->own.n = p->free_nodes.n = p->pending.n = p->ref.n = 0;
	p->npkg = p->scc_n = p->nscc = 0;
	p->scc_at = UINT64_MAX;
}

/* Nodes of the graph are the packages from scc_n on. */
static uint32_t edge_count(void *peers, uint32_t v)
{
	const struct peers *p = peers;
	return pkg_at(p->r, p->scc_n + v)->nedge;
}

static uint32_t edge_to(void *peers, uint32_t v, uint32_t i)
{
	const struct peers *p = peers;
	uint32_t to = pkg_at(p->r, p->scc_n + v)->edge[i].pkg;
	return to < p->scc_n ? UINT32_MAX : to - p->scc_n;
}

/* Packages that came since lead to earlier ones, and none of those to them, unless one was rewired. */
static void find_cycles(struct peers *p)
{
	struct run *r = p->r;
	uint32_t n = (uint32_t)p->npkg, had = p->nscc;
	if (p->scc_rewired != r->rewired)
		p->scc_n = p->nscc = had = 0;
	uint32_t *scc = scc_find(&(struct scc_graph){ p, n - p->scc_n, edge_count, edge_to });
	for (uint32_t i = p->scc_n; i < n; i++) {
		uint32_t c = had + scc[i - p->scc_n];
		p->pkg[i].scc = c;
		p->nscc = c < p->nscc ? p->nscc : c + 1;
	}
	free(scc);
	p->scc_n = n;
	p->scc_rewired = r->rewired;
	r->wired = r->wired < n ? n : r->wired;
}

static void packages_sync(struct peers *p)
{
	size_t n = p->r->pkg.n;
	if (n > p->npkg) {
		p->pkg = xrealloc(p->pkg, (n + 1) * sizeof(*p->pkg));
		for (size_t i = p->npkg; i < n; i++)
			p->pkg[i] = (struct pkg_view){ .scc = NONE, .leaf = NONE, .backedge = NONE };
		p->npkg = n;
	}
}

void view_sync(struct peers *p)
{
	struct run *r = p->r;
	if (p->base.n && (p->rewrites != r->rewrites || p->breaks != r->breaks))
		view_reset(p);
	p->rewrites = r->rewrites;
	p->breaks = r->breaks;
	packages_sync(p);
	for (; p->lowered < r->lowered.n; p->lowered++) {
		uint32_t i = r->lowered.p[p->lowered];
		if (i < p->base.n && p->base.p[i].depth > r->node.p[i].depth)
			p->base.p[i].depth = r->node.p[i].depth;
	}
	for (size_t i = p->base.n; i < r->node.n; i++) {
		const struct node *n = &r->node.p[i];
		*vec_add(&p->base) = (struct vnode){ .pkg = n->pkg,
			.depth = n->depth,
			.alive = n->depth != INT32_MAX,
			.lazy = n->lazy,
			.kid = n->kid,
			.nkid = n->nkid,
			.key = n->key,
			.owner = NONE,
			.dp = NONE };
	}
	if (p->scc_at != r->revision) {
		find_cycles(p);
		p->scc_at = r->revision;
	}
}

bool view_cuts(struct peers *p, uint32_t pkg, uint32_t child)
{
	if (pkg == child)
		return true;
	return p->pkg[pkg].scc == p->pkg[child].scc &&
	       atom_cmp(&p->r->t, pkg_at(p->r, child)->id, pkg_at(p->r, pkg)->id) <= 0;
}

bool view_relevant(const struct peers *p, atom alias, uint32_t pkg)
{
	return is_peer_name(p->r, alias) || is_peer_name(p->r, pkg_at(p->r, pkg)->peer_name);
}

uint32_t view_node(struct peers *p, uint32_t pkg, int32_t depth)
{
	struct vnode v = { .pkg = pkg,
		.depth = depth,
		.alive = true,
		.lazy = true,
		.key = NONE,
		.owner = NONE,
		.made = p->made++,
		.dp = NONE };
	if (p->free_nodes.n) {
		uint32_t at = p->free_nodes.p[--p->free_nodes.n];
		p->own.p[at] = v;
		return at | OWN;
	}
	*vec_add(&p->own) = v;
	return ((uint32_t)p->own.n - 1) | OWN;
}

uint32_t view_leaf(struct peers *p, uint32_t pkg, int32_t depth, bool *fresh)
{
	uint32_t base = pkg_at(p->r, pkg)->leaf_node, *own = &p->pkg[pkg].leaf;
	*fresh = false;
	if (*own != NONE && vnode_at(p, *own)->alive)
		return *own;
	if (base != NONE && base < p->base.n && p->base.p[base].alive)
		return base;
	*fresh = true;
	return *own = view_node(p, pkg, depth);
}

uint32_t view_backedge(struct peers *p, uint32_t pkg, int32_t depth)
{
	bool fresh;
	if (pkg_at(p->r, pkg)->leaf)
		return view_leaf(p, pkg, depth, &fresh);
	uint32_t *at = &p->pkg[pkg].backedge;
	if (*at != NONE && vnode_at(p, *at)->alive)
		return *at;
	uint32_t n = view_node(p, pkg, depth);
	p->pkg[pkg].backedge = n;
	*vec_add(&p->pending) = n;
	return n;
}

void view_forget(struct peers *p, uint32_t node)
{
	struct vnode *v = vnode_at(p, node);
	if (v->retained)
		return;
	v->alive = false;
	v->ctx = NULL;
	v->dp = NONE;
	v->visited = 0;
	if (p->pkg[v->pkg].leaf == node)
		p->pkg[v->pkg].leaf = NONE;
	if (node & OWN)
		*vec_add(&p->free_nodes) = node & ~OWN;
}

uint32_t ref_add(struct peers *p, struct ref x)
{
	*vec_add(&p->ref) = x;
	return (uint32_t)p->ref.n - 1;
}

struct refs *refs_new(struct peers *p, uint32_t n)
{
	struct refs *s = arena_alloc(&p->a, 1, sizeof(*s) + n * sizeof(struct kv), _Alignof(struct refs));
	s->n = n;
	s->digest = arena_new(&p->a, struct refs_digest, 1);
	return s;
}

/* NAME's place, or where it is not; without a branch that depends on what is compared: nobody could foresee it. */
static const struct kv *refs_find(const struct refs *s, atom name)
{
	const struct kv *e = s->e;
	for (uint32_t n = s->n, half; n > 1; n -= half) {
		half = n / 2;
		e += e[half].k <= name ? half : 0;
	}
	return e;
}

const struct ref *refs_get(const struct peers *p, const struct refs *s, atom name)
{
	const struct kv *e = refs_find(s, name);
	return s->n && e->k == name ? &p->ref.p[e->v] : NULL;
}

bool refs_has(const struct refs *s, atom name)
{
	return s->n && refs_find(s, name)->k == name;
}
