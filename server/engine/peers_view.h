/* peers_view — a tree of occurrences as one peer pass sees it: the walk's nodes, and those it makes itself.
 *
 * Shared by the files of the pass: peers.c (an importer), peers_walk.c (an occurrence), peers_diamond.c, peers_cache.c,
 * peers_locked.c, peers_names.c, peers_final.c (the final graph). Nodes are numbers: those of the run as they are, the
 * pass's own with the bit OWN. Maps, chains and records live in the pass's arena until peers_free(), or until
 * view_sync() finds that what was known of the run no longer holds. */
#pragma once
#include "peers.h"

#define OWN 0x80000000u

struct refs; /* parents by name */
struct vnode {
	uint32_t pkg;
	int32_t depth;    /* as of struct node */
	bool alive;       /* in the tree, and not forgotten */
	bool lazy;        /* its children are its package's edges, and have no nodes yet */
	bool in_progress; /* the walk is below it */
	bool provider;    /* a hoisted direct dependency, which is walked only if nothing led to it */
	bool retained;    /* a cache item names it: never forgotten */
	struct kid *kid;
	uint32_t nkid;
	prior key;              /* the snapshot that it was in the lockfile */
	const struct refs *ctx; /* who its parents were when it was met as a provider */
	uint32_t owner;         /* the occurrence whose answer it took over from the cache; NONE: it was walked */
	uint32_t made;          /* its number among those that the pass made */
	dpid dp;                /* NONE: not yet */
	uint32_t visited;       /* number of the call that resolved it */
	const struct pmap *peers;
	struct record *record; /* of the final pass */
};
/* One parent under a name. */
struct ref {
	atom version, alias; /* alias 0: the package's own name */
	uint32_t node, pkg;  /* the package is kept: a node's number may be used again */
	int32_t depth;
	uint32_t occurrence; /* how many parents of this name it hides */
};
/* What is compared of refs: those whose names are of peers. */
struct refs_digest {
	uint32_t peer_names; /* the run's, as of when this was found out; 0: there was none */
	uint64_t packages;   /* hash of their names and packages */
	bool hiding;         /* one of them hides another */
	int32_t deepest;     /* the greatest depth among them, where there are any */
};
struct refs {
	uint32_t n;
	struct refs_digest *digest; /* peers_cache.c's */
	struct kv e[];              /* name -> number of a ref, ascending by name */
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
	struct miss e[]; /* ascending by name, all different */
};
/* What a package, and those below it, miss: a graph, since packages share what is below them. */
struct summary {
	uint32_t pkg; /* NONE: nothing of its own */
	const struct atomset *names;
	uint32_t nkid, mark; /* mark: of the last flattening */
	struct summary **kid;
};
/* What a package resolved to among some parents. */
struct cache_item {
	uint32_t owner; /* the occurrence that was walked */
	dpid dp;
	const struct pmap *resolved;
	const struct mmap *missing;
	struct summary *summary;
};
struct cache_group; /* peers_cache.c */
/* What the final pass keeps of a node. */
struct record {
	uint32_t node;
	struct kid *edge; /* children overlaid with its own peers; sorted by alias text */
	uint32_t nedge;
	const struct atomset *transitive;
	uint64_t order;
};
struct pkg_view {
	bool pure;               /* neither it nor anything below it looks for peers */
	uint32_t scc;            /* its cycle's number */
	uint32_t leaf, backedge; /* nodes, NONE: none */
	struct cache_group *cache;
	uint32_t ncached;
};
struct peers {
	struct run *r;
	struct arena a;
	struct deppaths own_paths, *paths;
	bool discovery; /* see peers_new() */
	bool draining;  /* back edges are walked: what they miss was met before */
	/* the run's, as of the last view_sync(), and as of the cycles: its revision, and what was rewired */
	uint64_t rewrites, breaks, scc_at, scc_rewired;
	size_t lowered;       /* how many of the run's LOWERED were looked at */
	uint32_t nscc, scc_n; /* cycles, and the packages whose cycle is known */
	VEC(struct vnode) base;
	VEC(struct vnode) own;
	VEC(uint32_t) free_nodes;
	uint32_t made; /* nodes that the pass made so far */
	VEC(struct ref) ref;
	struct pkg_view *pkg;
	size_t npkg;
	VEC(uint32_t) pending; /* back-edge targets to walk */
	VEC(struct record *) record;
	uint32_t call, summary_mark; /* numbers of walks over importers: visited, marks of summaries */
	missing_vec missing;
	VEC(uint32_t) above; /* nodes that the walk is below */
	struct marks met;    /* packages below one of them */
	uint32_t depth;      /* of the walk, in packages */
	/* peers_locked.c */
	const uint32_t *locked; /* by snapshot: the node that serves as it did; NULL: the lockfile has no say */
	const struct importer *imp, *at_root; /* the walk is in; the root, where the others see what it has */
};
extern const struct pmap pmap_none;
extern const struct mmap mmap_none;
/* NULL: nobody is NAME. */
const struct kv *pmap_find(const struct pmap *m, atom name);

static inline struct vnode *vnode_at(struct peers *p, uint32_t id)
{
	return id & OWN ? &p->own.p[id & ~OWN] : &p->base.p[id];
}
/* Brings the view up to date with the run's tables. */
void view_sync(struct peers *p);
/* Whether the peer walk leaves out the edge: to itself, or back inside a cycle. */
bool view_cuts(struct peers *p, uint32_t pkg, uint32_t child);
/* Whether PKG, as its occurrence NODE or (NONE) by itself, has a child under ALIAS that the walk goes down to; one that
 * it leaves out serves nobody: a peer of that name is met further up. Source: pnpm 12.21's behaviour. */
static inline bool view_has_child(struct peers *p, uint32_t pkg, uint32_t node, atom alias)
{
	const struct vnode *v = node == NONE ? NULL : vnode_at(p, node);
	const struct pkg *k = pkg_at(p->r, pkg);
	for (uint32_t i = 0; v && !v->lazy && i < v->nkid; i++)
		if (v->kid[i].alias == alias)
			return !view_cuts(p, pkg, vnode_at(p, v->kid[i].node)->pkg);
	for (uint32_t i = 0; (!v || v->lazy) && i < k->nedge; i++)
		if (k->edge[i].alias == alias)
			return !view_cuts(p, pkg, k->edge[i].pkg);
	return false;
}
/* Whether PKG under ALIAS could be somebody's peer. */
bool view_relevant(const struct peers *p, atom alias, uint32_t pkg);
/* A new node of PKG's. */
uint32_t view_node(struct peers *p, uint32_t pkg, int32_t depth);
/* The one node of a package without dependencies and peers. *fresh: it was made now. */
uint32_t view_leaf(struct peers *p, uint32_t pkg, int32_t depth, bool *fresh);
/* The one node by which edges back into a cycle name PKG; a new one waits for peers_drain(). */
uint32_t view_backedge(struct peers *p, uint32_t pkg, int32_t depth);
/* NODE led to nothing: its number may be used again, unless it is retained. */
void view_forget(struct peers *p, uint32_t node);
/* A number of the parents' pool; it stays what it is. */
uint32_t ref_add(struct peers *p, struct ref x);
/* Of N names, to be filled in. */
struct refs *refs_new(struct peers *p, uint32_t n);
/* NULL: nobody of that name. Until the next ref_add(). */
const struct ref *refs_get(const struct peers *p, const struct refs *s, atom name);
/* Whether somebody of that NAME is among them. */
bool refs_has(const struct refs *s, atom name);

/* peers_walk.c: what an occurrence tells its parent */
struct output {
	dpid dp;
	const struct pmap *resolved;
	const struct mmap *missing;
	struct summary *summary;
	const struct pmap *installed; /* peers resolved below, for hoisting (discovery) */
};
/* What IMP's direct dependencies offer to all below it; a name that none of them has is UNDER's (may be NULL). */
const struct refs *peers_importer_refs(struct peers *p, const struct importer *imp, const struct refs *under);
/* D, where it can be a peer, was met among REFS. */
void peers_remember_direct(struct peers *p, const struct direct *d, const struct refs *refs);
/* Resolves NODE among PARENTS. ANCESTORS: packages above it, for messages; NULL: none. Past RUN_MOST_DEPTH
 * the run's too_deep is set. */
struct output peers_node(struct peers *p, uint32_t node, const struct refs *parents, const struct chain *ancestors);
/* Resolves the back edges' nodes that wait. */
void peers_drain(struct peers *p, const struct refs *parents);

/* peers_diamond.c: whether two packages that meet again below see the same */
/* Whether something below PKG, at NODE, would get two versions of a peer if PKG shared the INHERITED provider and not
 * OWN, its child. WITH_OWN: its parents, and in their places its children. */
bool peers_break_diamond(struct peers *p, uint32_t pkg, uint32_t node, const struct refs *with_own,
	const struct ref *inherited, const struct ref *own);

/* peers.c */
/* Whether what hoisting found inside the tree counts as a provider: of IMP's direct dependencies. */
void peers_mark_providers(struct peers *p, const struct importer *imp, bool on);
/* Walks IMP's direct dependencies from number FROM on: first those that it declares, then the providers that they
 * didn't lead to. OUT, which may be NULL, gets what is found on the way. */
void peers_importer(
	struct peers *p, const struct importer *imp, uint32_t from, const struct refs *refs, struct discovery *out);

/* peers_cache.c: what a package resolved to before, and whether that holds among other parents */
/* PARENTS: with its own children. NULL: it has to be walked. */
const struct cache_item *peers_cache_hit(struct peers *p, const struct refs *parents, uint32_t pkg);
/* The same before its children are made. */
const struct cache_item *peers_cache_fast(struct peers *p, const struct refs *parents, uint32_t pkg);
/* IT, copied, answers for PKG from now on, after those that are there; what it resolved to is retained. */
void peers_cache_add(struct peers *p, uint32_t pkg, struct cache_item it);

/* peers_locked.c: the providers that the lockfile has */
/* By snapshot, the node in P, which has been walked, that is what the snapshot was, and has no peers; in P's run. NULL:
 * all that could go back to the lockfile's providers has them anyway. */
const uint32_t *peers_locked_providers(struct peers *p);
/* REFS, as NODE's own peers and its children are to see them. */
const struct refs *peers_locked_refs(struct peers *p, uint32_t node, const struct refs *refs);
/* Whether that may be other than REFS. */
bool peers_locked_here(const struct peers *p, uint32_t node);

/* peers_names.c: dep paths, and how providers are written in them */
dpid peers_dep_path(struct peers *p, uint32_t pkg, const struct pmap *peers);
/* NODE's dep path, or while it has none its package's id. */
dpid peers_provisional(struct peers *p, uint32_t node);
/* name@version, without peers of its own. */
dpid peers_pair(struct peers *p, uint32_t node);
/* A folder's segment, by its path; false: NODE is none. */
bool peers_link_segment(struct peers *p, uint32_t node, atom alias, dpid *out);
