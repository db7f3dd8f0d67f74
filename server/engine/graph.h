/* graph — the tables of one resolution, and the types that its stages share.
 *
 * A run belongs to one engine_run() on one thread. Packages, occurrences
 * ("nodes"), importers and strings are numbers into tables of the run; everything
 * lives in its arena until the run is released.
 *
 * The stages, in order: overrides and catalog (what manifests really ask for) ->
 * resolve (which packages, over pick and metas) -> hoist (peers nobody provides)
 * -> peers (which copy sees which peer: dep paths) -> dedupe -> order and
 * plan_emit (frames). */
#pragma once
#include "atoms.h"
#include "base/vec.h"
#include "engine.h"
#include "marks.h"
#include "rows.h"

#define NONE UINT32_MAX

struct kv {
	atom k, v;
};
/* For qsort: by the atoms' numbers. */
int kv_order(const void *a, const void *b);
/* The first of N pairs in no order that has K; NULL: none. */
const struct kv *kv_find(const struct kv *p, uint32_t n, atom k);
/* A child to resolve: from dependencies and optionalDependencies, sorted by alias. */
struct spec {
	atom alias, range;
	bool optional;
};
struct peer {
	atom name, range;
	bool optional;
};
/* A manifest after every hook: package extensions, ignored optionals, overrides. */
struct deps {
	struct kv *dep, *opt, *peer;
	uint32_t ndep, nopt, npeer;
	atom *peer_optional;
	uint32_t npeer_optional;
	bool bundle_all;
	const struct atomset *bundled;
};

enum pkg_kind { PKG_REGISTRY, PKG_LINK, PKG_DIRECTORY, PKG_TARBALL, PKG_LOCKED };

/* Ancestors of an occurrence, nearest first. */
struct chain {
	uint32_t pkg, len;
	const struct chain *up;
};
/* One child as recorded for a package: what every occurrence of it has. */
struct edge {
	atom alias;
	uint32_t pkg;
	bool optional;
};
/* Which occurrence decides a package's children: least (depth, importer, path). */
struct owner {
	bool set;
	int32_t depth;
	uint32_t importer;
	const struct chain *path;
};
/* What the first peer walk below a package missed: its owner's, or until that comes anybody's. See hoist.c. */
struct first_walk {
	bool known, owned;
	struct owner owner; /* whose it was, where OWNED */
	const struct atomset *names;
};
/* A snapshot of the lockfile that exists, by its position there. */
typedef uint32_t prior; /* NONE: none */

/* What walks over the graph read of each package comes first, in one cache line. */
struct pkg {
	uint32_t seen, slot; /* mark of the last walk over packages, and its place there */
	enum pkg_kind kind;
	bool leaf, recorded, optional, by_workspace; /* by_workspace: found there */
	struct edge *edge;                           /* sorted by alias */
	struct peer *peer;                           /* sorted by name; as its owner reads the manifest */
	uint32_t nedge, npeer;
	atom id;                      /* pnpm's pkgIdWithPatchHash */
	atom name, version;           /* version 0: has none of its own (link:, file:) */
	atom peer_name, peer_version; /* how peers see it */
	uint32_t leaf_node;
	struct owner owner;
	const struct atomset *shadow;     /* in force: the owner's */
	const struct atomset *rec_shadow; /* and with what EDGE was recorded */
	prior rec_prior;
	uint32_t nodes; /* first of its nodes, linked by node.next */
	struct spec *spec;
	uint32_t nspec;
	bool specs_known;
	bool asked_ahead; /* see first_pick.h */
	struct first_walk first_walk;
	atom key; /* its row under packages: */
	atom manifest_version;
	struct packument pm; /* PKG_REGISTRY */
	uint32_t pv;         /* its version there */
	int64_t published;
	uint64_t work; /* to fetch and unpack it, as pnpm ranks downloads */
	str registry;
	const struct lock_package *locked;
	const struct manifest *manifest; /* PKG_LINK, PKG_DIRECTORY, PKG_TARBALL */
	atom directory; /* PKG_LINK, PKG_DIRECTORY: from the lockfile's folder; PKG_TARBALL: path or URL */
	str integrity;
	struct deps deps;
};

struct kid {
	atom alias;
	uint32_t node;
};
/* An occurrence as the walk made it. Lazy: its children are its package's edges. */
struct node {
	uint32_t pkg, next;
	int32_t depth; /* -1: a linked folder's; INT32_MAX: a leaf's one node, before it has its place */
	bool lazy;
	struct kid *kid; /* sorted by alias */
	uint32_t nkid;
	prior key; /* the snapshot that it was in the lockfile; NONE: none */
	const struct chain *parents;
};
struct direct {
	atom alias;
	uint32_t node, pkg;
	bool provider; /* hoisted: found inside the tree */
	bool required; /* hoisted: a peer that somebody cannot do without */
};

/* Preferred versions of one name. */
enum selector_kind { SEL_VERSION, SEL_RANGE, SEL_TAG };
struct selector {
	atom spec;
	enum selector_kind kind;
	uint32_t weight;
};
struct selectors {
	struct selector *p;
	uint32_t n;
	bool direct; /* some manifest of the workspace asks for it */
};
/* By atom of the name. */
struct selector_table {
	struct selectors *p;
	size_t n;
};
/* What is preferred of a name where VERSION of it doesn't count as locked. */
struct unlocked_version {
	atom name, version;
	const struct selectors *preferred;
};
/* What an importer's own manifest and the lockfile prefer of a name that the manifest has. */
struct own_preferred {
	atom name;
	struct selectors preferred;
};
/* Versions that one level of the tree resolved, for the levels below. */
struct level {
	const struct level *up;
	struct kv *p; /* name -> version, sorted by name */
	uint32_t n;
	/* A bit for each name, by its number: most levels are seen not to have a name without a search. */
	uint64_t mask;
	bool shared_only; /* it tells projects' choices apart (first_pick.h), and prefers nothing */
	bool direct;      /* a project's own dependencies: heavier than the levels below it */
};
/* Aliases visible to a level: those of the levels above it. */
struct scope {
	const struct scope *up;
	const struct atomset *names;
};

struct missing {
	atom name, raw, wanted;
	bool optional;
	const struct chain *ancestors;
};
typedef VEC(struct missing) missing_vec;
struct wanted {
	atom alias, spec;
	bool optional, injected;
	bool peer; /* the importer's own peer dependency, and no dependency besides */
};

struct importer {
	const struct request_importer *req;
	atom path;
	struct deps deps, dev; /* after hooks; dev.dep holds devDependencies */
	struct wanted *wanted;
	uint32_t nwanted;
	VEC(struct direct) direct;
	struct kv *direct_versions; /* resolved versions of direct dependencies by name */
	uint32_t ndirect_versions;
	const struct level *level; /* of those under their own names: what is hoisted later resolves below it */
	struct own_preferred *own; /* sorted by name */
	uint32_t nown;
	const struct atomset *changed; /* direct aliases whose specifier the lockfile doesn't know */
	const struct lock_importer *prior;
	/* hoisting */
	VEC(atom) aliases; /* what is a direct dependency, declared or hoisted; ascending */
	missing_vec missing;
	VEC(uint32_t) owned;         /* packages whose children it has decided at some time: see struct owner */
	struct kv *optional_missing; /* (name, range) pairs, by kv_order */
	uint32_t noptional_missing;
	/* Optional peers not hoisted because they don't take what is there; NULL: none. */
	const struct atomset *declined;
	const struct atomset *locked_peer_names;
	struct kv *locked_peer_versions; /* by kv_order */
	uint32_t nlocked_peer_versions;
	bool converged;
	uint64_t converged_rewrites, walked_rewrites;
	uint32_t walked;
	uint32_t reached;  /* how many of DIRECT resolve_reach.c has followed */
	bool subdep_rules; /* hoisted peers resolve as transitive dependencies do */
};

/* A package as it was first met, for first_pick.h. */
struct ahead {
	uint32_t pkg;
	prior key;
	const struct atomset *shadow;
};
/* Packages in a chain, each needing the next as a dependency or, in a dep path, as a peer: walks go down it by
 * recursion, and a worker's stack is 8 MiB. */
enum { RUN_MOST_DEPTH = 3000 };

/* A dependency that some project asks for anew, and its version. */
struct bumped {
	atom name, version;
};
/* Projects' dependency on NAME, by SPEC; LOCKED is its version in the lockfile, 0: none that SPEC takes. */
struct asking {
	atom name, spec, locked;
};
/* A package that is reachable, for hoisting: they are looked through once for each missing peer. */
struct reached_pkg {
	uint32_t pkg, next; /* of the same name: its place + 1; 0: none */
};

struct run {
	struct arena arena;
	struct atoms t;
	const struct request *req;
	const struct settings *set;
	const struct engine_io *io;
	frame_sink *sink;
	void *sink_ctx;
	const struct lockfile *prior; /* pins edges; NULL: none */
	bool reuse_subtrees;
	int8_t *subtree_reusable; /* by snapshot: 0 unknown, 1 yes, -1 no */
	prior *whole;             /* snapshots on the way to finding that out */
	uint32_t *whole_at;       /* by snapshot that is on it: its place, from 1 */
	uint32_t nwhole;

	VEC(struct pkg *) pkg;
	struct rows made;    /* packages by packument and version, see package_of_registry() */
	uint32_t *pkg_of_id; /* by atom */
	size_t npkg_of_id;
	VEC(struct node) node;
	VEC(uint32_t) lowered;     /* nodes whose depth became less than it was, in the order in which that happened */
	struct importer *importer; /* sorted by path */
	uint32_t nimporter;

	bool *is_peer_name; /* by atom: some package declares a peer of this name */
	size_t nis_peer_name;
	uint32_t peer_names; /* how many there are */
	uint64_t revision;   /* changes whenever packages or edges came */
	/* How often an owner took a package over from another occurrence of it, or stood above the one before: what was
	 * found below it is to be found anew. */
	uint64_t rewrites;
	uint64_t breaks; /* how often what was known of a package no longer holds */

	struct selector_table preferred, locked; /* see prefer.h */
	struct unlocked_version *unlocked_of;    /* by name; what projects' own peers follow that leave a version */
	uint32_t nunlocked_of;
	/* The first project that the lockfile doesn't know: the others take over the same. */
	const struct importer *unlocked;
	/* Names for which some project asks for a version that the lockfile doesn't have. */
	const struct atomset *moved;
	struct asking *asking; /* what projects ask for that is another's own peer; by name */
	uint32_t nasking;
	struct bumped *bumped; /* by name; see resolve_bumped() */
	uint32_t nbumped;
	struct rows pick;        /* choices made, see pick.c */
	struct rows first;       /* what projects share, see first_pick.c */
	VEC(struct ahead) ahead; /* packages whose dependencies are still to be asked for ahead */
	/* resolve_reach.c */
	VEC(struct reached_pkg) reached;
	bool *reached_is; /* by package */
	size_t nreached_is;
	uint32_t *reached_first; /* by atom of the name: the place of one of them + 1 */
	size_t nreached_first;
	uint64_t reached_at, reached_rewired; /* REVISION and REWIRED then */
	const struct importer *reached_of;
	uint32_t wired;   /* packages below this number were followed to what they lead to */
	uint64_t rewired; /* how often one of those came to lead to something else */
	uint32_t mark;
	struct marks met;     /* atoms, in whatever a function looks through */
	struct marks weighed; /* versions of the packument at hand, while one is chosen */

	int64_t cutoff;        /* newest publish time that minimumReleaseAge lets through; 0: none */
	int64_t subdep_cutoff; /* the same for transitive dependencies */
	bool lowest_direct, time_based;
	/* "name@version" of what time_cutoff() chose: what has a publish time in the lockfile. */
	const struct atomset *timed;
	struct metas *metas;
	struct overrides *overrides;
	struct extender *extender;
	struct workspace *workspace;
	VEC(struct frame_warning) warning;
	struct doom *doom; /* see doom.h */
	size_t ndoom;
	uint32_t too_deep;  /* a package + 1 in a chain of more than RUN_MOST_DEPTH; 0: there is none */
	uint32_t *frame_of; /* by atom of a package's id: its PACKAGE frame + 1 */
	size_t nframe_of;
	uint32_t npackage_frames;
	bool hello_sent;
	uint32_t early_at; /* packages below were looked at for being sent early */
	uint32_t *young;   /* packages taken although younger than the cutoff */
	size_t nyoung;
};

static inline struct pkg *pkg_at(struct run *r, uint32_t i)
{
	return r->pkg.p[i];
}
static inline str sof(const struct run *r, atom x)
{
	return atom_str(&r->t, x);
}
#define SA(r, x) STR_ARG(sof((r), (x)))

/* The package known by ID, or NONE. */
uint32_t pkg_find(const struct run *r, atom id);
/* A new, zeroed package under ID. */
uint32_t pkg_add(struct run *r, atom id);
/* A new occurrence of PKG at DEPTH, without children yet: its number. */
uint32_t node_add(struct run *r, uint32_t pkg, int32_t depth);
/* Whether P wants NAME as a peer, as its owner reads the manifest. */
bool pkg_has_peer(const struct pkg *p, atom name);
/* Makes room for index AT in an array of *N rows of SIZE bytes, one by atom; new ones are zero.
 * Returns its place; the heap's. */
void *by_atom(void *p, size_t *n, atom at, size_t size);
/* Where IMP's manifest declares ALIAS, and in which group of the lockfile: optional before prod before dev; then its
 * own peers, which autoInstallPeers installs for it. NULL: nowhere, it was only hoisted. */
const struct kv *importer_declares(
	const struct run *r, const struct importer *imp, atom alias, enum lock_dep_type *type);
/* The project in PATH, or NULL. They are sorted by it. */
const struct importer *importer_at(const struct run *r, str path);
/* The one in ".". */
const struct importer *root_importer(const struct run *r);
/* Whether any package met so far wants NAME as a peer, as peer_name_add() was told. */
bool is_peer_name(const struct run *r, atom name);
void peer_name_add(struct run *r, atom name);
/* UP (NULL: none) and PKG below it. */
const struct chain *chain_push(struct run *r, const struct chain *up, uint32_t pkg);
/* Order of two parent paths, from the root, by package id. */
int chain_cmp(struct run *r, const struct chain *a, const struct chain *b);
/* Whether it is one and the same occurrence. */
bool owner_same(struct run *r, const struct owner *a, const struct owner *b);
/* "importer > a@1.0.0 > b@^2", in the run's arena. */
str chain_text(struct run *r, const struct importer *imp, const struct chain *c, atom alias, atom spec);
/* Fails for PKG, which is in a chain of more packages than RUN_MOST_DEPTH. */
int run_too_deep(struct run *r, uint32_t pkg, struct err *e);
/* For the plan's warnings, sent with its end; the strings are borrowed for the run. */
void run_warn(struct run *r, enum warning_kind kind, str package, str text);
