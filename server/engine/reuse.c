#include "reuse.h"
#include "base/vec.h"
#include "catalog.h"
#include "dep_path.h"
#include "exotic.h"
#include "lock_walk.h"
#include "metas.h"
#include "overrides.h"
#include "package.h"
#include "pick.h"
#include "prefer.h"
#include "sorted.h"

static const struct lock_snapshot *snap_at(const struct run *r, prior k)
{
	return &r->prior->snapshot[k];
}

static prior snap_find(const struct run *r, str dep_path)
{
	const struct lock_snapshot *s = lockfile_snapshot(r->prior, dep_path);
	return s ? (prior)(s - r->prior->snapshot) : NONE;
}

static prior ref_snapshot(struct run *r, str alias, str ref)
{
	str dp = dep_path_from_ref(alias, ref, &r->arena);
	return dp.p ? snap_find(r, dp) : NONE;
}

static const struct lock_package *package_of(struct run *r, prior k, str *name, str *version)
{
	str suffix;
	dep_path_split(snap_at(r, k)->key, name, version, &suffix);
	return lockfile_package(r->prior, dep_path_package_key(snap_at(r, k)->key));
}

/* As peers are matched. An empty range is a tag. */
static bool satisfies(struct run *r, atom range, atom version)
{
	const struct range *rg = sof(r, range).n ? solid_range(r, range) : NULL;
	const struct semver *v = atom_semver(&r->t, version);
	if (!rg || !v)
		return false;
	return range_has_peer(rg, v);
}

/* --- versions to prefer --- */

/* An override of a whole package that is gone takes the versions along that it had put into the lockfile. */
static bool override_gone(struct run *r, str name)
{
	return str_map_get(r->prior->head.overrides, name) && !str_map_get(overrides_resolved(r), name);
}

void reuse_prefer(struct run *r)
{
	const struct lockfile *l = r->prior;
	for (size_t i = 0; i < l->nsnapshots; i++) {
		str name, version, suffix;
		dep_path_split(l->snapshot[i].key, &name, &version, &suffix);
		atom v = atom_of(&r->t, version), n = atom_of(&r->t, name);
		if (atom_semver(&r->t, v) && !override_gone(r, name))
			preferred_locked(r, n, v);
	}
	preferred_locked_end(r);
}

/* --- importers --- */

static const struct lock_direct *direct_find(const struct lock_importer *imp, str alias)
{
	static const enum lock_dep_type order[] = { LOCK_PROD, LOCK_OPTIONAL, LOCK_DEV };
	for (int t = 0; imp && t < 3; t++)
		for (size_t i = 0; i < imp->deps[order[t]].n; i++)
			if (str_eq(imp->deps[order[t]].p[i].alias, alias))
				return &imp->deps[order[t]].p[i];
	return NULL;
}

static bool spec_unchanged(struct run *r, str alias, str recorded, str spec)
{
	str catalog = catalog_name(recorded);
	if (str_eq(recorded, spec))
		return true;
	for (size_t i = 0; catalog.n && i < r->prior->head.ncatalog; i++) {
		const struct lock_catalog_entry *c = &r->prior->head.catalog[i];
		if (str_eq(c->catalog, catalog) && str_eq(c->alias, alias) && str_eq(c->specifier, spec))
			return true;
	}
	return false;
}

static void reuse_importer(struct run *r, struct importer *imp)
{
	atom *changed = arena_new(&r->arena, atom, imp->nwanted + 1);
	size_t n = 0;
	imp->prior = lockfile_importer(r->prior, imp->req->path);
	for (uint32_t i = 0; i < imp->nwanted; i++) {
		const struct lock_direct *d = direct_find(imp->prior, sof(r, imp->wanted[i].alias));
		if (!d || !spec_unchanged(r, d->alias, d->specifier, sof(r, imp->wanted[i].spec)))
			changed[n++] = imp->wanted[i].alias;
	}
	imp->changed = atomset_of(&r->arena, changed, n);
}

struct locked_peers {
	struct kv *p; /* a peer's name, its version */
	uint32_t n;
	bool *seen; /* snapshots behind hashed suffixes */
};

static void locked_peers_add(struct run *r, struct locked_peers *l, str peer, str version)
{
	*arena_add(&r->arena, l->p, l->n) = (struct kv){ atom_of(&r->t, peer), atom_of(&r->t, version) };
}

static void locked_peers_of(struct run *r, struct locked_peers *l, prior key, unsigned depth);

/* A hashed suffix doesn't tell: what the snapshot, and what it depends on, have under the names of their peers. */
static void locked_peers_hashed(struct run *r, struct locked_peers *l, prior key, unsigned depth)
{
	if (!l->seen)
		l->seen = arena_new(&r->arena, bool, r->prior->nsnapshots);
	if (l->seen[key] || depth > RUN_MOST_DEPTH)
		return;
	l->seen[key] = true;
	str name, version, suffix;
	const struct lock_package *m = package_of(r, key, &name, &version);
	for (struct lock_deps_walk at = lock_deps_walk(snap_at(r, key)); m && lock_deps_next(&at);) {
		str alias = at.d->alias;
		prior c = ref_snapshot(r, alias, at.d->ref);
		if (c == NONE)
			continue;
		dep_path_split(snap_at(r, c)->key, &name, &version, &suffix);
		if (str_map_get(m->peer_dependencies, alias) || str_list_has(m->peer_optional, alias))
			locked_peers_add(r, l, alias, version);
		locked_peers_of(r, l, c, depth + 1);
	}
}

static void locked_peers_of(struct run *r, struct locked_peers *l, prior key, unsigned depth)
{
	str name, version, suffix, peer, a, b;
	bool hashed = false;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	while (dep_path_peer(&peer, &suffix)) {
		if (str_rcut(peer, '@', &a, &b) && a.n)
			locked_peers_add(r, l, a, b);
		hashed |= str_find(peer, '@', 0) == SIZE_MAX;
	}
	if (hashed)
		locked_peers_hashed(r, l, key, depth);
}

/* Each only once, in IMP's fields. */
static void locked_peers_give(struct run *r, struct locked_peers *l, struct importer *imp)
{
	atom *names = arena_new(&r->arena, atom, l->n + 1);
	uint32_t n = 0;
	if (l->n)
		qsort(l->p, l->n, sizeof(*l->p), kv_order);
	for (uint32_t i = 0; i < l->n; i++)
		if (!n || kv_order(&l->p[n - 1], &l->p[i]) != 0)
			l->p[n++] = l->p[i];
	for (uint32_t i = 0; i < n; i++)
		names[i] = l->p[i].k;
	imp->locked_peer_versions = l->p;
	imp->nlocked_peer_versions = n;
	imp->locked_peer_names = atomset_of(&r->arena, names, n);
}

void reuse_lock_peers(struct run *r, struct importer *imp)
{
	struct locked_peers l = { 0 };
	if (!r->prior)
		return;
	if (!imp->prior && r->unlocked) {
		imp->locked_peer_versions = r->unlocked->locked_peer_versions;
		imp->nlocked_peer_versions = r->unlocked->nlocked_peer_versions;
		imp->locked_peer_names = r->unlocked->locked_peer_names;
		return;
	}
	if (!imp->prior)
		r->unlocked = imp;
	for (size_t i = 0; !imp->prior && i < r->prior->nsnapshots; i++)
		locked_peers_of(r, &l, (prior)i, 0);
	for (struct lock_walk at = lock_walk(imp->prior); lock_next(&at);) {
		prior k = ref_snapshot(r, at.d->alias, at.d->ref);
		if (k != NONE)
			locked_peers_of(r, &l, k, 0);
	}
	locked_peers_give(r, &l, imp);
}

/* The range of "npm:NAME@RANGE" or a jsr: specifier, else SPEC. */
static atom range_in(struct run *r, atom alias, atom spec, str name)
{
	str s = sof(r, spec), head, tail;
	if (exotic_jsr(r, &head, &tail, sof(r, alias), s) && str_eq(head, name))
		return atom_of(&r->t, tail);
	if (!str_starts(s, STR("npm:")) || !str_rcut(str_from(s, 4), '@', &head, &tail) || !str_eq(head, name))
		return spec;
	return atom_of(&r->t, tail);
}

/* The names for which some project asks for a version that the lockfile doesn't have. */
static const struct atomset *asked_anew(struct run *r)
{
	VEC(atom) v = VEC_INIT;
	for (uint32_t i = 0; i < r->nimporter; i++) {
		const struct importer *imp = &r->importer[i];
		for (uint32_t k = 0; k < imp->nwanted; k++) {
			const struct wanted *w = &imp->wanted[k];
			if (!w->peer && atomset_has(imp->changed, w->alias) && atom_range(&r->t, w->spec) &&
				!reuse_has_satisfying(r, w))
				*vec_add(&v) = w->alias;
		}
	}
	const struct atomset *out = atomset_of(&r->arena, v.p, v.n);
	vec_release(&v);
	return out;
}

/* The version that D is in the lockfile; 0: none. */
static atom direct_version(struct run *r, const struct lock_direct *d)
{
	prior k = ref_snapshot(r, d->alias, d->ref);
	return k == NONE ? 0 : reuse_version(r, k);
}

static int asking_order(const void *a, const void *b)
{
	const struct asking *x = a, *y = b;
	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	if (x->spec != y->spec)
		return x->spec < y->spec ? -1 : 1;
	return (x->locked > y->locked) - (x->locked < y->locked);
}

/* Names that some project has as a peer of its own. */
static const struct atomset *own_peers(struct run *r)
{
	VEC(atom) v = VEC_INIT;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < r->importer[i].nwanted; k++)
			if (r->importer[i].wanted[k].peer)
				*vec_add(&v) = r->importer[i].wanted[k].alias;
	const struct atomset *out = atomset_of(&r->arena, v.p, v.n);
	vec_release(&v);
	return out;
}

static void asking_collect(struct run *r)
{
	const struct atomset *peers = own_peers(r);
	for (uint32_t i = 0; peers->n && i < r->nimporter; i++) {
		const struct importer *imp = &r->importer[i];
		for (uint32_t k = 0; k < imp->nwanted; k++) {
			const struct wanted *w = &imp->wanted[k];
			if (w->peer || !atomset_has(peers, w->alias) || !valid_range(r, w->spec))
				continue;
			const struct lock_direct *d = direct_find(imp->prior, sof(r, w->alias));
			atom was = d ? direct_version(r, d) : 0;
			if (was && !range_has(atom_range(&r->t, w->spec), atom_semver(&r->t, was), false))
				was = 0;
			*arena_add(&r->arena, r->asking, r->nasking) = (struct asking){ w->alias, w->spec, was };
		}
	}
	if (r->nasking)
		qsort(r->asking, r->nasking, sizeof(*r->asking), asking_order);
	uint32_t n = 0; /* many projects ask for the same */
	for (uint32_t i = 0; i < r->nasking; i++)
		if (!n || asking_order(&r->asking[n - 1], &r->asking[i]) != 0)
			r->asking[n++] = r->asking[i];
	r->nasking = n;
}

void reuse_init(struct run *r)
{
	r->subtree_reusable = arena_new(&r->arena, int8_t, r->prior->nsnapshots + 1);
	r->whole = arena_new(&r->arena, prior, r->prior->nsnapshots + 1);
	r->whole_at = arena_new(&r->arena, uint32_t, r->prior->nsnapshots + 1);
	r->nwhole = 0;
	for (uint32_t i = 0; i < r->nimporter; i++)
		reuse_importer(r, &r->importer[i]);
	r->moved = asked_anew(r);
	asking_collect(r);
}

/* Whether W, a project's own peer, stays WAS, which its range OWN takes. What other projects depend on decides, as far
 * as OWN takes what they have, or may take what they ask for anew: none of them may name another version, and the peer
 * is what one of them has by a range, or all their ranges take it. Source: pnpm 12.21's behaviour. */
static bool peer_stays(struct run *r, const struct wanted *w, const struct range *own, atom was)
{
	bool shared = false, fits = true;
	for (uint32_t i = atom_lower_bound(r->asking, r->nasking, w->alias);
		i < r->nasking && r->asking[i].name == w->alias; i++) {
		const struct asking *o = &r->asking[i];
		if (o->locked ? !range_has(own, atom_semver(&r->t, o->locked), false)
			      : !range_intersects(own, atom_range(&r->t, o->spec), false))
			continue;
		const struct semver *one = atom_semver(&r->t, o->spec);
		if (one && semver_cmp(one, atom_semver(&r->t, was)) != 0)
			return false;
		shared |= !one && o->locked == was;
		fits &= range_has(atom_range(&r->t, o->spec), atom_semver(&r->t, was), false);
	}
	return shared || fits;
}

/* Whether ALIAS, IMP's own peer, is a catalog's to decide. It then stays what it is while it fits, like any other
 * dependency. Source: pnpm 12.21's behaviour. */
static bool catalog_peer(const struct importer *imp, str alias)
{
	const str *said = str_map_get(imp->req->manifest.peer_dependencies, alias);
	return said && catalog_name(*said).n;
}

prior reuse_direct_was(struct run *r, const struct importer *imp, atom alias)
{
	const struct lock_direct *d = direct_find(imp->prior, sof(r, alias));
	return d ? ref_snapshot(r, d->alias, d->ref) : NONE;
}

atom reuse_direct_version(struct run *r, const struct importer *imp, atom alias, atom name)
{
	prior k = r->prior ? reuse_direct_was(r, imp, alias) : NONE;
	str locked, version;
	return k != NONE && package_of(r, k, &locked, &version) && str_eq(locked, sof(r, name)) ? reuse_version(r, k)
												: 0;
}

prior reuse_direct(struct run *r, const struct importer *imp, const struct wanted *w)
{
	atom alias = w->alias, spec = w->spec;
	const struct lock_direct *d = direct_find(imp->prior, sof(r, alias));
	prior k = d ? ref_snapshot(r, d->alias, d->ref) : NONE;
	str name, version;
	if (k == NONE || !package_of(r, k, &name, &version) || override_gone(r, name))
		return NONE;
	/* unlike below: a prerelease that the range doesn't name goes, though nothing else changed.
	 * Source: pnpm 12.21's behaviour */
	atom range = range_in(r, alias, spec, name);
	const struct range *rg = sof(r, range).n ? solid_range(r, range) : NULL;
	const struct semver *v = atom_semver(&r->t, atom_of(&r->t, version));
	if (!rg || !v || !range_has(rg, v, false))
		return NONE;
	return !w->peer || catalog_peer(imp, sof(r, alias)) || peer_stays(r, w, rg, atom_of(&r->t, version)) ? k : NONE;
}

prior reuse_child(struct run *r, prior parent, atom alias, atom spec)
{
	prior k = reuse_dep(r, parent, alias);
	atom version = k == NONE || override_gone(r, sof(r, alias)) ? 0 : reuse_version(r, k);
	return version && satisfies(r, spec, version) ? k : NONE;
}

prior reuse_dep(struct run *r, prior key, atom alias)
{
	const struct lock_dep *d = lock_snapshot_dep(snap_at(r, key), sof(r, alias));
	return d ? ref_snapshot(r, d->alias, d->ref) : NONE;
}

bool reuse_plain(struct run *r, prior key)
{
	str name, version, suffix, peer;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	return !dep_path_peer(&peer, &suffix);
}

bool reuse_landed(struct run *r, prior key, const struct pkg *p)
{
	str name, version, suffix;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	str k = sof(r, p->key);
	return k.n == name.n + 1 + version.n && str_starts(k, name) && str_ends(k, version);
}

atom reuse_version(struct run *r, prior key)
{
	str name, version, suffix;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	atom v = atom_of(&r->t, version);
	return atom_semver(&r->t, v) ? v : 0;
}

atom reuse_spec(struct run *r, atom alias, prior key)
{
	str name, version, suffix;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	if (!reuse_version(r, key) || str_eq(name, sof(r, alias)))
		return reuse_version(r, key);
	return atom_fmt(&r->t, "npm:" STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
}

atom reuse_pin(struct run *r, const struct wanted *w, prior key)
{
	str s = sof(r, w->spec), name, version, suffix;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	if (!reuse_version(r, key))
		return 0;
	/* asked first: of "npm:a@1 || 2", too, the last alternative is a range */
	if (!str_starts(s, STR("npm:")))
		return valid_range(r, w->spec) ? reuse_version(r, key) : 0;
	if (range_in(r, w->alias, w->spec, name) == w->spec)
		return 0;
	return atom_fmt(&r->t, "npm:" STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
}

/* Whether D, of a package below IMP, may move along with what another project bumps. */
static bool may_move_along(struct run *r, const struct importer *imp, const struct lock_dep *d, atom alias)
{
	atom any = atom_of(&r->t, STR("*"));
	if (!r->nbumped || !resolve_bumped_to(r, imp, alias, 0, any))
		return false;
	prior k = ref_snapshot(r, d->alias, d->ref);
	atom version = k == NONE ? 0 : reuse_version(r, k);
	return version && resolve_bumped_to(r, imp, alias, version, any);
}

static bool depends_on_changed(struct run *r, const struct importer *imp, prior key)
{
	if (!imp->changed->n && !r->nbumped)
		return false;
	for (struct lock_deps_walk at = lock_deps_walk(snap_at(r, key)); lock_deps_next(&at);) {
		atom alias = atom_of(&r->t, at.d->alias);
		if (atomset_has(imp->changed, alias) || may_move_along(r, imp, at.d, alias))
			return true;
	}
	return false;
}

/* A package with peers is resolved anew, and whatever has one below it. Source: pnpm 12.21's behaviour. */
static bool lone_reusable(struct run *r, prior key)
{
	str name, version;
	const struct lock_package *m = package_of(r, key, &name, &version);
	return m && !m->peer_dependencies.n && !m->peer_optional.n && atom_semver(&r->t, atom_of(&r->t, version)) &&
	       (m->resolution.kind == LOCK_RES_REGISTRY ||
		       (m->resolution.kind == LOCK_RES_TARBALL && m->resolution.integrity.n &&
			       !m->resolution.git_hosted));
}

/* What was met since the snapshot at FROM of the stack depends on one another, and is taken over or not as one. */
static void whole_close(struct run *r, uint32_t from, bool yes)
{
	while (r->nwhole > from)
		r->subtree_reusable[r->whole[--r->nwhole]] = yes ? 1 : -1;
}

static bool whole_deps(struct run *r, prior key, unsigned depth, uint32_t *low);

/* Tarjan's strongly connected components: a cycle is taken over whole. Returns the least index that KEY reaches on the
 * stack; leaves KEY open where that is another's. */
static uint32_t whole_visit(struct run *r, prior key, unsigned depth)
{
	uint32_t at = r->nwhole, low = at + 1;
	r->whole[r->nwhole++] = key;
	r->whole_at[key] = low;
	/* deeper than that, it is resolved anew, where the depth is an error with a name */
	bool yes = depth <= RUN_MOST_DEPTH && lone_reusable(r, key) && whole_deps(r, key, depth, &low);
	if (!yes || low == at + 1)
		whole_close(r, at, yes);
	return yes ? low : at + 1;
}

static bool whole_deps(struct run *r, prior key, unsigned depth, uint32_t *low)
{
	for (struct lock_deps_walk at = lock_deps_walk(snap_at(r, key)); lock_deps_next(&at);) {
		prior c = ref_snapshot(r, at.d->alias, at.d->ref);
		if (c == NONE)
			return false;
		if (!r->subtree_reusable[c]) {
			uint32_t reached = r->whole_at[c] ? r->whole_at[c] : whole_visit(r, c, depth + 1);
			*low = reached < *low ? reached : *low;
		}
		if (r->subtree_reusable[c] < 0)
			return false;
	}
	return true;
}

static bool whole(struct run *r, prior key)
{
	if (!r->subtree_reusable[key])
		(void)whole_visit(r, key, 0);
	return r->subtree_reusable[key] > 0;
}

bool reuse_subtree(struct run *r, const struct importer *imp, prior key)
{
	return !depends_on_changed(r, imp, key) && whole(r, key);
}

/* What is known of a snapshot. */
enum { UNSEEN, TAKEN_OVER, RESOLVED };
/* Looked at for each snapshot there is, at most: guessing must not cost more than what it guesses at, however
 * many projects there are. */
enum { FORESEE_EDGES = 8 };

struct foresight {
	struct arena a;
	const struct importer *imp;
	uint8_t *seen; /* a snapshot each */
	prior *todo;
	size_t n, left; /* edges that may still be looked at */
};

/* Whoever depends on what is RESOLVED anew is asked for; of a snapshot that is otherwise taken over only what
 * its own dependencies moved. */
static void foresee_dep(struct run *r, struct foresight *f, const struct lock_dep *d, bool optional, uint8_t how)
{
	struct packument p;
	const struct err *why;
	str name, version, suffix;
	if (!f->left)
		return;
	f->left--;
	str dp = dep_path_from_ref(d->alias, d->ref, &f->a);
	prior k = dp.p ? snap_find(r, dp) : NONE;
	if (k == NONE || f->seen[k] >= how)
		return;
	f->seen[k] = how;
	f->todo[f->n++] = k;
	if (how == TAKEN_OVER && reuse_subtree(r, f->imp, k))
		return;
	dep_path_split(snap_at(r, k)->key, &name, &version, &suffix);
	if (version.n && version.p[0] >= '0' && version.p[0] <= '9') { /* not a URL, nor a folder */
		struct reg_spec s = { atom_of(&r->t, name), atom_of(&r->t, version), SPEC_VERSION };
		(void)metas_get_for(r->metas, &s, &(struct pick_opts){ .cutoff = r->cutoff }, optional, &p, &why);
	}
}

static void foresee_below(struct run *r, struct foresight *f)
{
	while (f->n) {
		prior k = f->todo[--f->n];
		for (struct lock_deps_walk at = lock_deps_walk(snap_at(r, k)); lock_deps_next(&at);)
			foresee_dep(r, f, at.d, at.optional, f->seen[k]);
	}
}

static void foresee_importer(struct run *r, struct foresight *f, const struct importer *imp)
{
	/* What one project takes over another may not. */
	for (size_t i = 0; i < r->prior->nsnapshots; i++)
		if (f->seen[i] == TAKEN_OVER)
			f->seen[i] = UNSEEN;
	f->left -= f->left < r->prior->nsnapshots / 8 ? f->left : r->prior->nsnapshots / 8;
	f->imp = imp;
	for (uint32_t i = 0; i < imp->nwanted; i++) {
		const struct wanted *w = &imp->wanted[i];
		const struct lock_direct *d = direct_find(imp->prior, sof(r, w->alias));
		bool taken = d && r->reuse_subtrees && reuse_direct(r, imp, w) != NONE;
		if (d)
			foresee_dep(r, f, &(struct lock_dep){ d->alias, d->ref }, w->optional,
				taken ? TAKEN_OVER : RESOLVED);
	}
	foresee_below(r, f);
}

void reuse_foresee(struct run *r)
{
	size_t n = r->prior->nsnapshots;
	struct foresight f = { .a = ARENA_INIT(0), .left = FORESEE_EDGES * n };
	f.seen = arena_new(&f.a, uint8_t, n);
	f.todo = arena_new(&f.a, prior, 2 * n); /* each once as taken over and once as resolved */
	for (uint32_t i = 0; i < r->nimporter && f.left; i++) {
		const struct importer *imp = &r->importer[i];
		if (imp->prior && (imp->changed->n || !r->reuse_subtrees))
			foresee_importer(r, &f, imp);
	}
	arena_release(&f.a);
}

static int kid_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct reuse_kid *)a)->alias, ((const struct reuse_kid *)b)->alias);
}

uint32_t reuse_kids(struct run *r, prior key, const struct pkg *p, struct reuse_kid **out)
{
	const struct lock_snapshot *s = snap_at(r, key);
	size_t most = s->dependencies.n + s->optional_dependencies.n;
	struct reuse_kid *k = arena_new(&r->arena, struct reuse_kid, most + 1);
	uint32_t n = 0;
	for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);) {
		atom alias = atom_of(&r->t, at.d->alias);
		prior c = ref_snapshot(r, at.d->alias, at.d->ref);
		if (!pkg_has_peer(p, alias) && !str_list_has(s->transitive_peers, at.d->alias) && c != NONE)
			k[n++] = (struct reuse_kid){ alias, c, at.optional };
	}
	rows_sort(k, n, sizeof(*k), kid_order, r);
	*out = k;
	return n;
}

bool reuse_has_satisfying(struct run *r, const struct wanted *w)
{
	str s = sof(r, w->spec), name = sof(r, w->alias), range = s;
	if (!r->prior)
		return false;
	if (str_starts(s, STR("npm:"))) {
		str rest = str_from(s, 4), head, tail;
		name = rest;
		range = STR("*");
		if (rest.n > 1 && str_rcut(str_from(rest, 1), '@', &head, &tail)) {
			name = str_head(rest, head.n + 1);
			range = tail;
		}
	}
	str jsr_name, jsr_range;
	if (exotic_jsr(r, &jsr_name, &jsr_range, sof(r, w->alias), s)) {
		name = jsr_name;
		range = jsr_range;
	}
	const struct range *rg = atom_range(&r->t, atom_of(&r->t, range));
	str key = arena_join(&r->arena, name, STR("@"));
	for (size_t i = lockfile_packages_from(r->prior, key); rg && i < r->prior->npackages; i++) {
		str n, v, suffix;
		if (!str_starts(r->prior->package[i].key, key))
			break;
		dep_path_split(r->prior->package[i].key, &n, &v, &suffix);
		const struct semver *sv = atom_semver(&r->t, atom_of(&r->t, v));
		if (sv && range_has(rg, sv, false))
			return true;
	}
	return false;
}

/* Whether the dep path's own suffix (not that of a peer in it) has NAME; a hashed one might. */
static bool suffix_has(str suffix, str name)
{
	size_t depth = 0;
	for (size_t i = 0; i < suffix.n; i++) {
		if (suffix.p[i] == ')')
			depth--;
		if (suffix.p[i] != '(' || depth++)
			continue;
		str seg = str_from(suffix, i + 1);
		if (str_find(str_head(seg, 33), '@', 0) == SIZE_MAX && seg.n > 32 && seg.p[32] == ')')
			return true;
		if (str_starts(seg, name) && seg.n > name.n && seg.p[name.n] == '@')
			return true;
	}
	return false;
}

int reuse_package(struct run *r, uint32_t *out, prior key, bool *fresh, struct err *e)
{
	str name, version, suffix;
	const struct lock_package *m = package_of(r, key, &name, &version);
	const struct lock_snapshot *s = snap_at(r, key);
	size_t most = s->dependencies.n + s->optional_dependencies.n;
	struct str_list own = { .p = arena_new(&r->arena, str, most + 1) };
	suffix = str_from(s->key, name.n + 1 + version.n);
	for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);) {
		str alias = at.d->alias;
		bool peer = str_map_get(m->peer_dependencies, alias) || str_list_has(m->peer_optional, alias);
		if (peer && !suffix_has(suffix, alias))
			own.p[own.n++] = alias;
	}
	return package_of_lock(r, out, m, name, version, own, fresh, e);
}
