#include "reuse.h"
#include "base/vec.h"
#include "catalog.h"
#include "dep_path.h"
#include "exotic.h"
#include "metas.h"
#include "overrides.h"
#include "package.h"
#include "pick.h"
#include "prefer.h"

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
	return lockfile_package(
		r->prior, arena_printf(&r->arena, STR_FMT "@" STR_FMT, STR_ARG(*name), STR_ARG(*version)));
}

/* As peers are matched: a prerelease also counts as the release it precedes. An empty range is a tag. */
static bool satisfies(struct run *r, atom range, atom version)
{
	const struct range *rg = sof(r, range).n ? atom_range(&r->t, range) : NULL;
	const struct semver *v = atom_semver(&r->t, version);
	if (!rg || !v)
		return false;
	struct semver release = { v->major, v->minor, v->patch, STR_NONE, STR_NONE };
	return range_has(rg, v, false) || (v->pre.n && range_has(rg, &release, false));
}

/* --- does the lockfile fit --- */

static bool map_same(struct str_map a, struct str_map b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		const str *v = str_map_get(b, a.p[i].k);
		if (!v || !str_eq(*v, a.p[i].v))
			return false;
	}
	return true;
}

static bool list_same(struct str_list a, struct str_list b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (!str_list_has(b, a.p[i]))
			return false;
	return true;
}

static bool catalogs_same(const struct run *r)
{
	const struct lock_head *h = &r->prior->head;
	for (size_t i = 0; i < h->ncatalog; i++) {
		const struct lock_catalog_entry *c = &h->catalog[i];
		bool same = false;
		for (size_t k = 0; k < r->set->ncatalog && !same; k++)
			same = str_eq(r->set->catalog[k].catalog, c->catalog) &&
			       str_eq(r->set->catalog[k].alias, c->alias) &&
			       str_eq(r->set->catalog[k].specifier, c->specifier);
		if (!same)
			return false;
	}
	return true;
}

bool reuse_settings_fit(struct run *r)
{
	const struct lock_head *h = &r->prior->head;
	return str_eq(h->package_extensions_checksum, r->set->package_extensions_checksum) &&
	       list_same(h->ignored_optional, r->set->ignored_optional) &&
	       map_same(h->overrides, overrides_resolved(r)) && catalogs_same(r) &&
	       /* what is a dependency and a peer, too, is a peer alone with autoInstallPeers: the lockfile doesn't tell */
	       (h->auto_install_peers == r->set->auto_install_peers || !h->auto_install_peers);
}

/* --- versions to prefer --- */

/* An override of a whole package that is gone takes the versions along that it had put into the lockfile. */
static bool override_gone(struct run *r, str name)
{
	return str_map_get(r->prior->head.overrides, name) && !str_map_get(overrides_resolved(r), name);
}

void reuse_init(struct run *r)
{
	const struct lockfile *l = r->prior;
	r->subtree_reusable = arena_new(&r->arena, int8_t, l->nsnapshots + 1);
	r->whole = arena_new(&r->arena, prior, l->nsnapshots + 1);
	r->whole_at = arena_new(&r->arena, uint32_t, l->nsnapshots + 1);
	r->nwhole = 0;
	for (size_t i = 0; i < l->nsnapshots; i++) {
		str name, version, suffix;
		dep_path_split(l->snapshot[i].key, &name, &version, &suffix);
		atom v = atom_of(&r->t, version), n = atom_of(&r->t, name);
		if (atom_semver(&r->t, v) && !override_gone(r, name))
			preferred_locked(r, n, v);
	}
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

void reuse_importer(struct run *r, struct importer *imp)
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
	size_t cap;
	bool *seen; /* snapshots behind hashed suffixes */
};

static void locked_peers_add(struct run *r, struct locked_peers *l, str peer, str version)
{
	l->p = arena_grow(&r->arena, l->p, l->n, &l->cap, sizeof(*l->p), _Alignof(struct kv));
	l->p[l->n++] = (struct kv){ atom_of(&r->t, peer), atom_of(&r->t, version) };
}

static void locked_peers_of(struct run *r, struct locked_peers *l, prior key, unsigned depth);

/* A hashed suffix doesn't tell: what the snapshot, and what it depends on, have under the names of their peers. */
static void locked_peers_hashed(struct run *r, struct locked_peers *l, prior key, unsigned depth)
{
	str name, version, suffix;
	const struct lock_package *m = package_of(r, key, &name, &version);
	const struct lock_snapshot *s = snap_at(r, key);
	const struct lock_deps maps[] = { s->dependencies, s->optional_dependencies };
	if (!l->seen)
		l->seen = arena_new(&r->arena, bool, r->prior->nsnapshots);
	if (l->seen[key] || depth > RUN_MOST_DEPTH)
		return;
	l->seen[key] = true;
	for (int k = 0; m && k < 2; k++)
		for (size_t i = 0; i < maps[k].n; i++) {
			str alias = maps[k].p[i].alias;
			prior c = ref_snapshot(r, alias, maps[k].p[i].ref);
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
	str name, version, suffix;
	bool hashed = false;
	dep_path_split(snap_at(r, key)->key, &name, &version, &suffix);
	for (size_t i = 0; i < suffix.n; i++) {
		if (suffix.p[i] != '(')
			continue;
		size_t end = i + 1;
		while (end < suffix.n && suffix.p[end] != '(' && suffix.p[end] != ')')
			end++;
		str seg = { suffix.p + i + 1, end - i - 1 }, a, b;
		if (str_rcut(seg, '@', &a, &b) && a.n)
			locked_peers_add(r, l, a, b);
		hashed |= seg.n && str_find(seg, '@', 0) == SIZE_MAX && !str_starts(seg, STR("patch_hash="));
	}
	if (hashed)
		locked_peers_hashed(r, l, key, depth);
}

/* Peers that the locked dep paths of this importer's direct dependencies name. */
void reuse_lock_peers(struct run *r, struct importer *imp)
{
	struct locked_peers l = { 0 };
	if (!r->prior)
		return;
	if (!imp->prior) {
		for (size_t i = 0; i < r->prior->nsnapshots; i++)
			locked_peers_of(r, &l, (prior)i, 0);
	} else {
		for (int t = 0; t < LOCK_NTYPES; t++)
			for (size_t i = 0; i < imp->prior->deps[t].n; i++) {
				const struct lock_direct *d = &imp->prior->deps[t].p[i];
				prior k = ref_snapshot(r, d->alias, d->ref);
				if (k != NONE)
					locked_peers_of(r, &l, k, 0);
			}
	}
	atom *names = arena_new(&r->arena, atom, l.n + 1);
	for (uint32_t i = 0; i < l.n; i++)
		names[i] = l.p[i].k;
	imp->locked_peer_versions = l.p;
	imp->nlocked_peer_versions = l.n;
	imp->locked_peer_names = atomset_of(&r->arena, names, l.n);
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

static bool moves(struct run *r, const struct importer *imp, const struct wanted *w)
{
	return !w->peer && atomset_has(imp->changed, w->alias) && atom_range(&r->t, w->spec) &&
	       !reuse_has_satisfying(r, w);
}

static bool changed_peer(struct run *r, const struct importer *imp, const struct wanted *w)
{
	(void)r;
	return w->peer && atomset_has(imp->changed, w->alias);
}

static bool by_number(struct run *r, const struct importer *imp, const struct wanted *w)
{
	(void)imp;
	return atom_semver(&r->t, w->spec) != NULL;
}

static const struct atomset *aliases_where(
	struct run *r, bool (*is)(struct run *, const struct importer *, const struct wanted *))
{
	VEC(atom) v = VEC_INIT;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < r->importer[i].nwanted; k++)
			if (is(r, &r->importer[i], &r->importer[i].wanted[k]))
				*vec_add(&v) = r->importer[i].wanted[k].alias;
	const struct atomset *out = atomset_of(&r->arena, v.p, v.n);
	vec_release(&v);
	return out;
}

/* A project's own peer whose range changed stays what it was where another project has the same and none asks for a version of it by
 * number; else it is chosen as a new one is. Source: pnpm 12.21's behaviour. */
static void peers_stay(struct run *r)
{
	const struct atomset *peers = aliases_where(r, changed_peer);
	if (!peers->n)
		return;
	const struct atomset *numbered = aliases_where(r, by_number);
	VEC(struct kv) had = VEC_INIT;
	for (uint32_t i = 0; i < peers->n; i++)
		for (uint32_t k = 0; k < r->nimporter && !atomset_has(numbered, peers->v[i]); k++) {
			const struct lock_direct *d = direct_find(r->importer[k].prior, sof(r, peers->v[i]));
			if (d)
				*vec_add(&had) = (struct kv){ peers->v[i], atom_of(&r->t, d->ref) };
		}
	if (had.n)
		qsort(had.p, had.n, sizeof(*had.p), kv_order);
	struct kv *out = arena_new(&r->arena, struct kv, had.n + 1);
	uint32_t n = 0;
	for (size_t i = 1; i < had.n; i++)
		if (!kv_order(&had.p[i - 1], &had.p[i]) && (!n || kv_order(&out[n - 1], &had.p[i])))
			out[n++] = had.p[i];
	r->peers_stay = out;
	r->npeers_stay = n;
	vec_release(&had);
}

void reuse_peers_move(struct run *r)
{
	atom *moved = arena_new(&r->arena, atom, 64);
	uint32_t n = 0;
	size_t cap = 64;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < r->importer[i].nwanted; k++) {
			const struct wanted *w = &r->importer[i].wanted[k];
			if (!moves(r, &r->importer[i], w))
				continue;
			moved = arena_grow(&r->arena, moved, n, &cap, sizeof(*moved), _Alignof(atom));
			moved[n++] = w->alias;
		}
	r->moved = atomset_of(&r->arena, moved, n);
	peers_stay(r);
}

/* Whether a peer of a project's own, which was D and has another range now, stays what it was. */
static bool peer_stays(struct run *r, const struct lock_direct *d)
{
	const struct kv key = { atom_of(&r->t, d->alias), atom_of(&r->t, d->ref) };
	return r->npeers_stay && bsearch(&key, r->peers_stay, r->npeers_stay, sizeof(key), kv_order);
}

prior reuse_direct(struct run *r, const struct importer *imp, const struct wanted *w)
{
	atom alias = w->alias, spec = w->spec;
	const struct lock_direct *d = direct_find(imp->prior, sof(r, alias));
	prior k = d ? ref_snapshot(r, d->alias, d->ref) : NONE;
	str name, version;
	if (k == NONE || !package_of(r, k, &name, &version) || override_gone(r, name))
		return NONE;
	if (w->peer && (atomset_has(r->moved, alias) || (atomset_has(imp->changed, alias) && !peer_stays(r, d))))
		return NONE;
	/* unlike below: a prerelease that the range doesn't name goes, though nothing else changed. Source: pnpm 12.21's behaviour */
	atom range = range_in(r, alias, spec, name);
	const struct range *rg = sof(r, range).n ? atom_range(&r->t, range) : NULL;
	const struct semver *v = atom_semver(&r->t, atom_of(&r->t, version));
	return rg && v && range_has(rg, v, false) ? k : NONE;
}

prior reuse_child(struct run *r, prior parent, atom alias, atom spec)
{
	const struct lock_snapshot *s = snap_at(r, parent);
	str a = sof(r, alias);
	const struct lock_deps maps[] = { s->dependencies, s->optional_dependencies };
	for (int m = 0; m < 2; m++)
		for (size_t i = 0; i < maps[m].n; i++)
			if (str_eq(maps[m].p[i].alias, a)) {
				prior k = ref_snapshot(r, a, maps[m].p[i].ref);
				if (override_gone(r, a))
					return NONE;
				return k != NONE && reuse_version(r, k) && satisfies(r, spec, reuse_version(r, k))
					       ? k
					       : NONE;
			}
	return NONE;
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
	if (valid_range(r, w->spec))
		return reuse_version(r, key);
	if (!str_starts(s, STR("npm:")) || range_in(r, w->alias, w->spec, name) == w->spec)
		return 0;
	return atom_fmt(&r->t, "npm:" STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
}

static bool depends_on_changed(const struct run *r, const struct importer *imp, prior key)
{
	const struct lock_snapshot *s = snap_at(r, key);
	const struct lock_deps maps[] = { s->dependencies, s->optional_dependencies };
	for (int m = 0; imp->changed->n && m < 2; m++)
		for (size_t i = 0; i < maps[m].n; i++)
			if (atomset_has(imp->changed, atom_of((struct atoms *)&r->t, maps[m].p[i].alias)))
				return true;
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

static bool whole_deps(struct run *r, const struct lock_deps *deps, unsigned depth, uint32_t *low);

/* Tarjan's strongly connected components: a cycle is taken over whole. Returns the least index that KEY reaches on the stack; leaves KEY
 * open where that is another's. */
static uint32_t whole_visit(struct run *r, prior key, unsigned depth)
{
	const struct lock_snapshot *s = snap_at(r, key);
	uint32_t at = r->nwhole, low = at + 1;
	r->whole[r->nwhole++] = key;
	r->whole_at[key] = low;
	/* deeper than that, it is resolved anew, where the depth is an error with a name */
	bool yes = depth <= RUN_MOST_DEPTH && lone_reusable(r, key) && whole_deps(r, &s->dependencies, depth, &low) &&
		   whole_deps(r, &s->optional_dependencies, depth, &low);
	if (!yes || low == at + 1)
		whole_close(r, at, yes);
	return yes ? low : at + 1;
}

static bool whole_deps(struct run *r, const struct lock_deps *deps, unsigned depth, uint32_t *low)
{
	for (size_t i = 0; i < deps->n; i++) {
		prior c = ref_snapshot(r, deps->p[i].alias, deps->p[i].ref);
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
/* Looked at for each snapshot there is, at most: guessing must not cost more than what it guesses at, however many projects there are. */
enum { FORESEE_EDGES = 8 };

struct foresight {
	struct arena a;
	const struct importer *imp;
	uint8_t *seen; /* a snapshot each */
	prior *todo;
	size_t n, left; /* edges that may still be looked at */
};

/* Whoever depends on what is RESOLVED anew is asked for; of a snapshot that is otherwise taken over only what its own dependencies moved. */
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
	if (version.n && version.p[0] >= '0' && version.p[0] <= '9') /* not a URL, nor a folder */
		(void)metas_get(r->metas, atom_of(&r->t, name), optional, &p, &why);
}

static void foresee_below(struct run *r, struct foresight *f)
{
	while (f->n) {
		prior k = f->todo[--f->n];
		const struct lock_snapshot *s = snap_at(r, k);
		for (size_t i = 0; i < s->dependencies.n; i++)
			foresee_dep(r, f, &s->dependencies.p[i], false, f->seen[k]);
		for (size_t i = 0; i < s->optional_dependencies.n; i++)
			foresee_dep(r, f, &s->optional_dependencies.p[i], true, f->seen[k]);
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

static bool is_peer_of(const struct pkg *p, atom name)
{
	for (uint32_t i = 0; i < p->npeer; i++)
		if (p->peer[i].name == name)
			return true;
	return false;
}

uint32_t reuse_kids(struct run *r, prior key, const struct pkg *p, struct reuse_kid **out)
{
	const struct lock_snapshot *s = snap_at(r, key);
	const struct lock_deps maps[] = { s->dependencies, s->optional_dependencies };
	struct reuse_kid *k = arena_new(&r->arena, struct reuse_kid, maps[0].n + maps[1].n + 1);
	uint32_t n = 0;
	for (int m = 0; m < 2; m++)
		for (size_t i = 0; i < maps[m].n; i++) {
			atom alias = atom_of(&r->t, maps[m].p[i].alias);
			prior c = ref_snapshot(r, maps[m].p[i].alias, maps[m].p[i].ref);
			if (is_peer_of(p, alias) || str_list_has(s->transitive_peers, maps[m].p[i].alias) || c == NONE)
				continue;
			uint32_t at = n++;
			for (; at && atom_cmp(&r->t, k[at - 1].alias, alias) > 0; at--)
				k[at] = k[at - 1];
			k[at] = (struct reuse_kid){ alias, c, m == 1 };
		}
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
	for (size_t i = 0; rg && i < r->prior->npackages; i++) {
		str n, v, suffix;
		dep_path_split(r->prior->package[i].key, &n, &v, &suffix);
		const struct semver *sv = str_eq(n, name) ? atom_semver(&r->t, atom_of(&r->t, v)) : NULL;
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
	const struct lock_deps maps[] = { s->dependencies, s->optional_dependencies };
	struct str_list own = { .p = arena_new(&r->arena, str, maps[0].n + maps[1].n + 1) };
	suffix = str_from(s->key, name.n + 1 + version.n);
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < maps[k].n; i++) {
			str alias = maps[k].p[i].alias;
			bool peer = str_map_get(m->peer_dependencies, alias) != NULL ||
				    str_list_has(m->peer_optional, alias);
			if (peer && !suffix_has(suffix, alias))
				own.p[own.n++] = alias;
		}
	return package_of_lock(r, out, m, name, version, own, fresh, e);
}
