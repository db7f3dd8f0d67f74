/* peers_view — a tree of occurrences as one peer pass sees it: the walk's nodes, and those it makes itself. */
#pragma once
#include "peers.h"

#define OWN 0x80000000u

struct refs; /* parents by name */
struct vnode {
	uint32_t pkg;
	int32_t depth;
	bool alive, lazy, in_progress, provider, retained;
	struct kid *kid;
	uint32_t nkid;
	const struct refs *ctx; /* who its parents were when it was met as a provider */
	dpid dp;                /* NONE: not yet */
	uint32_t visited;       /* number of the call that resolved it */
	const struct pmap *peers;
	struct record *record;
};
/* One parent under a name. */
struct ref {
	atom version, alias; /* alias 0: the package's own name */
	uint32_t node, pkg;  /* the package is kept: a node's number may be used again */
	int32_t depth;
	uint32_t occurrence;
};
struct refs {
	uint32_t n;
	struct kv e[]; /* name -> number of a ref, ascending by name */
};
struct pmap {
	uint32_t n;
	struct kv e[]; /* peer name -> node, ascending by name */
};
struct miss {
	atom name, range;
	bool optional;
};
struct mmap {
	uint32_t n;
	struct miss e[]; /* ascending by name */
};
struct summary {
	uint32_t pkg; /* NONE: nothing of its own */
	const struct atomset *names;
	uint32_t nkid, mark;
	struct summary **kid;
};
struct cache_item {
	dpid dp;
	const struct pmap *resolved;
	const struct mmap *missing;
	struct summary *summary;
	struct cache_item *next;
};
/* What the final pass keeps of a node. */
struct record {
	uint32_t node;
	struct kid *edge; /* children overlaid with its own peers; sorted by alias text */
	uint32_t nedge;
	const struct atomset *transitive;
	uint64_t order;
};
struct pkg_view {
	bool pure;
	uint32_t scc, leaf, backedge; /* nodes, NONE: none */
	struct cache_item *cache, **cache_end;
};
struct peers {
	struct run *r;
	struct arena a;
	struct deppaths own_paths, *paths;
	bool discovery, draining;
	uint64_t revision, rewrites, breaks, scc_at;
	VEC(struct vnode) base;
	VEC(struct vnode) own;
	VEC(uint32_t) free_nodes;
	VEC(struct ref) ref;
	struct pkg_view *pkg;
	size_t npkg;
	VEC(uint32_t) pending; /* back-edge targets to walk */
	VEC(struct record *) record;
	uint32_t call, summary_mark;
	missing_vec missing;
	VEC(struct kv) provider;
	const struct importer *imp;
	uint32_t depth; /* of the walk, in packages */
};
extern const struct pmap pmap_none;
extern const struct mmap mmap_none;

static inline struct vnode *vnode_at(struct peers *p, uint32_t id)
{
	return id & OWN ? &p->own.p[id & ~OWN] : &p->base.p[id];
}
/* Brings the view up to date with the run's tables. */
void view_sync(struct peers *p);
/* Whether the peer walk leaves out the edge: to itself, or back inside a cycle. */
bool view_cuts(struct peers *p, uint32_t pkg, uint32_t child);
bool view_relevant(const struct peers *p, atom alias, uint32_t pkg);
uint32_t view_leaf(struct peers *p, uint32_t pkg, int32_t depth, bool *fresh);
uint32_t view_node(struct peers *p, uint32_t pkg, int32_t depth);
uint32_t view_backedge(struct peers *p, uint32_t pkg, int32_t depth);
void view_forget(struct peers *p, uint32_t node);
/* A number of the parents' pool. */
uint32_t ref_add(struct peers *p, struct ref x);
const struct ref *refs_get(const struct peers *p, const struct refs *s, atom name);
bool refs_has(const struct refs *s, atom name);

/* peers_walk.c */
struct output {
	dpid dp;
	const struct pmap *resolved;
	const struct mmap *missing;
	struct summary *summary;
	const struct pmap *installed; /* peers resolved below, for hoisting (discovery) */
};
const struct refs *peers_importer_refs(struct peers *p, const struct importer *imp, const struct refs *under);
void peers_remember_direct(struct peers *p, const struct direct *d, const struct refs *refs);
struct output peers_node(struct peers *p, uint32_t node, const struct refs *parents, const struct chain *ancestors);
void peers_drain(struct peers *p, const struct refs *parents);

/* peers.c */
/* Whether what hoisting found inside the tree counts as a provider: of IMP's direct dependencies. */
void peers_mark_providers(struct peers *p, const struct importer *imp, bool on);
/* Walks IMP's direct dependencies from number FROM on: first those that it declares, then the providers that they didn't lead to. OUT, which may
 * be NULL, gets what is found on the way. */
void peers_importer(
	struct peers *p, const struct importer *imp, uint32_t from, const struct refs *refs, struct discovery *out);

/* peers_cache.c: what a package resolved to before, and whether that holds among other parents */
const struct cache_item *peers_cache_hit(struct peers *p, const struct refs *parents, uint32_t pkg);
/* The same before its children are made. */
const struct cache_item *peers_cache_fast(struct peers *p, const struct refs *parents, uint32_t pkg);
void peers_cache_add(struct peers *p, uint32_t pkg, struct cache_item it);

/* peers_names.c: dep paths, and how providers are written in them */
dpid peers_dep_path(struct peers *p, uint32_t pkg, const struct pmap *peers);
dpid peers_provisional(struct peers *p, uint32_t node);
dpid peers_pair(struct peers *p, uint32_t node);
bool peers_link_segment(struct peers *p, uint32_t node, atom alias, dpid *out);
