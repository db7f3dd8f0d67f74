#include "dep_path.h"
#include "lock_walk.h"
#include "metas.h"
#include "overrides.h"
#include "package.h"
#include "pick.h"
#include "plan_emit.h"
#include "rewrite_impl.h"

bool version_in_range(struct run *r, str version, str spec)
{
	const struct semver *v = atom_semver(&r->t, atom_of(&r->t, version));
	const struct range *rg = spec.n ? atom_range(&r->t, atom_of(&r->t, spec)) : NULL;
	return v && rg && range_has(rg, v, false);
}

/* --- what moves --- */

static const struct lock_snapshot *snap_at(const struct rewrite *x, prior k)
{
	return &x->from->snapshot[k];
}

static prior snap_of(struct rewrite *x, str alias, str ref)
{
	str path = dep_path_from_ref(alias, ref, &x->r->arena);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(x->from, path) : NULL;
	return s ? (prior)(s - x->from->snapshot) : NONE;
}

static void edges_collect(struct rewrite *x)
{
	x->edge.n = 0;
	for (size_t i = 0; i < x->from->nimporters; i++)
		for (struct lock_walk at = lock_walk(&x->from->importer[i]); lock_next(&at);)
			*vec_add(&x->edge) = (struct edge_at){ at.d->alias, snap_of(x, at.d->alias, at.d->ref) };
	for (size_t i = 0; i < x->from->nsnapshots; i++)
		for (struct lock_deps_walk at = lock_deps_walk(&x->from->snapshot[i]); lock_deps_next(&at);)
			*vec_add(&x->edge) = (struct edge_at){ at.d->alias, snap_of(x, at.d->alias, at.d->ref) };
}

static void peers_collect(struct rewrite *x)
{
	for (size_t i = 0; i < x->from->npackages; i++) {
		const struct lock_package *p = &x->from->package[i];
		for (size_t k = 0; k < p->peer_dependencies.n; k++)
			map_set(&x->peers, p->peer_dependencies.p[k].k, 1);
		for (size_t k = 0; k < p->peer_optional.n; k++)
			map_set(&x->peers, p->peer_optional.p[k], 1);
	}
	for (size_t i = 0; i < x->from->nsnapshots; i++)
		for (size_t k = 0; k < x->from->snapshot[i].transitive_peers.n; k++)
			map_set(&x->peers, x->from->snapshot[i].transitive_peers.p[k], 1);
}

static bool is_peer(const struct rewrite *x, str name)
{
	return map_get(&x->peers, name) != MAP_NONE;
}

/* The move of NAME, of any kind, or NULL. */
static struct move *move_named(const struct rewrite *x, str name)
{
	uint32_t i = map_get(&x->names, name);
	return i == MAP_NONE ? NULL : &x->move.p[i];
}

/* The move that gives NAME another version, + 1; 0: none. */
static uint32_t mover(const struct rewrite *x, str name)
{
	const struct move *m = move_named(x, name);
	return m && m->to ? (uint32_t)(m - x->move.p) + 1 : 0;
}

static bool plain(const struct lock_package *p)
{
	const struct lock_resolution *q = &p->resolution;
	return !p->peer_dependencies.n && !p->peer_optional.n && !p->extra.n &&
	       (q->kind == LOCK_RES_REGISTRY || (q->kind == LOCK_RES_TARBALL && q->integrity.n && !q->git_hosted));
}

static bool movable(struct rewrite *x, const struct edge_at *d, const struct move *m)
{
	str name, version, suffix;
	if (d->to == NONE)
		return false;
	const struct lock_snapshot *s = snap_at(x, d->to);
	dep_path_split(s->key, &name, &version, &suffix);
	atom v = atom_of(&x->r->t, version);
	const struct lock_package *p = lockfile_package(x->from, s->key);
	return str_eq(name, d->alias) && !suffix.n && atom_semver(&x->r->t, v) && (!m->from || m->from == v) && p &&
	       !s->optional && !s->extra.n && plain(p);
}

static bool moves_settle(struct rewrite *x)
{
	for (size_t i = 0; i < x->move.n; i++) {
		bool fresh;
		map_add(&x->names, x->move.p[i].name, (uint32_t)i, &fresh);
		if (!fresh || (!x->move.p[i].to && is_peer(x, x->move.p[i].name)))
			return false;
	}
	x->move_of = arena_new(&x->r->arena, uint32_t, x->from->nsnapshots + 1);
	for (size_t i = 0; i < x->edge.n; i++) {
		const struct edge_at *d = &x->edge.p[i];
		uint32_t m = mover(x, d->alias);
		if (m && !movable(x, d, &x->move.p[m - 1]))
			return false;
		if (m)
			x->move_of[d->to] = m;
	}
	for (size_t i = 0; i < x->edge.n; i++) /* an alias leads there, too */
		if (x->edge.p[i].to != NONE && x->move_of[x->edge.p[i].to] && !mover(x, x->edge.p[i].alias))
			return false;
	return true;
}

/* Where snapshot K goes: the move, or NULL where it has that version already. */
static struct move *goes(const struct rewrite *x, prior k)
{
	str name, version, suffix;
	if (k == NONE || !x->move_of[k])
		return NULL;
	struct move *m = &x->move.p[x->move_of[k] - 1];
	dep_path_split(snap_at(x, k)->key, &name, &version, &suffix);
	return str_eq(version, sof(x->r, m->to)) ? NULL : m;
}

/* --- what the registry says --- */

static bool safe(const struct pkg *p)
{
	return !p->deps.npeer && !p->deps.npeer_optional && !packument_deprecated(p->pm, p->pv).n &&
	       !packument_bundle_all(p->pm, p->pv) && !packument_list_n(p->pm, p->pv, PACKUMENT_BUNDLED) &&
	       packument_integrity(p->pm, p->pv).n;
}

/* 1: M's version can be had and put in place; 0: not. */
static int move_fetch(struct rewrite *x, struct move *m, struct err *e)
{
	struct run *r = x->r;
	struct reg_spec spec = { atom_of(&r->t, m->name), m->to, SPEC_VERSION };
	struct pick_opts o = { .cutoff = r->cutoff };
	enum meta_state st;
	struct packument p;
	const struct err *why;
	bool young = false;
	while ((st = metas_get_for(r->metas, &spec, &o, false, &p, &why)) == META_WAITING) {
		int rc = metas_wait(r->metas, e);
		if (rc)
			return rc;
	}
	uint32_t v = st == META_HERE ? pick_version(r, p, &spec, &o, &young) : NONE;
	if (v == NONE || young)
		return 0;
	package_read(r, &m->pkg, p, v, settings_registry(r->set, m->name));
	m->only = arena_new(&r->arena, struct only, m->pkg.deps.ndep + m->pkg.deps.nopt + 1);
	return safe(&m->pkg);
}

static int moves_fetch(struct rewrite *x, struct err *e)
{
	for (size_t k = 0; k < x->from->nsnapshots; k++) {
		struct move *m = goes(x, (prior)k);
		if (m)
			m->needed = true;
	}
	for (size_t i = 0; i < x->move.n; i++) {
		int rc = x->move.p[i].needed ? move_fetch(x, &x->move.p[i], e) : 1;
		if (rc <= 0)
			return rc;
	}
	return 1;
}

/* --- the copy --- */

/* Whether M is about dependencies of NAME (absent: a project) in VERSION. */
static bool applies(struct run *r, const struct move *m, str name, str version)
{
	if (!m->parent)
		return true;
	return name.n && str_eq(name, sof(r, m->parent)) &&
	       (!m->parent_range || version_in_range(r, version, sof(r, m->parent_range)));
}

static bool removed(const struct rewrite *x, str alias, str name, str version)
{
	const struct move *m = move_named(x, alias);
	return m && !m->to && applies(x->r, m, name, version);
}

/* A dependency ALIAS of NAME in VERSION (absent: of a project) in the copy, *REF being what it leads to; false: it is
 * removed. */
static bool ref_move(struct rewrite *x, str *ref, str alias, str name, str version)
{
	if (removed(x, alias, name, version))
		return false;
	const struct move *m = goes(x, snap_of(x, alias, *ref));
	if (m && applies(x->r, m, name, version))
		*ref = sof(x->r, m->to);
	return true;
}

static struct lock_directs directs_copy(struct rewrite *x, struct lock_directs old)
{
	struct lock_directs out = { .p = arena_new(&x->r->arena, struct lock_direct, old.n + 1) };
	for (size_t i = 0; i < old.n; i++) {
		struct lock_direct d = old.p[i];
		if (ref_move(x, &d.ref, d.alias, STR_NONE, STR_NONE))
			out.p[out.n++] = d;
	}
	return out;
}

static struct lock_deps deps_copy(struct rewrite *x, struct lock_deps old, str name, str version)
{
	struct lock_deps out = { .p = arena_new(&x->r->arena, struct lock_dep, old.n + 1) };
	for (size_t i = 0; i < old.n; i++) {
		struct lock_dep d = old.p[i];
		if (ref_move(x, &d.ref, d.alias, name, version))
			out.p[out.n++] = d;
	}
	return out;
}

static void importers_copy(struct rewrite *x)
{
	x->out.importer = arena_new(&x->r->arena, struct lock_importer, x->from->nimporters + 1);
	for (size_t i = 0; i < x->from->nimporters; i++) {
		struct lock_importer *to = &x->out.importer[i];
		*to = x->from->importer[i];
		for (int t = 0; t < LOCK_NTYPES; t++)
			to->deps[t] = directs_copy(x, to->deps[t]);
	}
}

/* The one locked version of NAME that RANGE takes, if there is just one and it needs nobody. */
static prior only_one(struct rewrite *x, str name, str range)
{
	prior found = NONE;
	if (is_peer(x, name) || move_named(x, name))
		return NONE;
	str head = arena_join(&x->r->arena, name, STR("@"));
	for (size_t i = lockfile_snapshots_from(x->from, head); i < x->from->nsnapshots; i++) {
		const struct lock_snapshot *s = &x->from->snapshot[i];
		str n, version, suffix;
		if (!str_starts(s->key, head))
			break;
		dep_path_split(s->key, &n, &version, &suffix);
		const struct lock_package *p = str_eq(n, name) && !suffix.n ? lockfile_package(x->from, s->key) : NULL;
		if (!p || !version_in_range(x->r, version, range) || s->optional || s->extra.n ||
			s->transitive_peers.n || !plain(p))
			continue;
		if (found != NONE)
			return NONE;
		found = (prior)i;
	}
	return found;
}

/* One group of what a new version depends on. */
struct kids {
	const struct kv *want; /* alias and range, N of them */
	uint32_t n;
	struct only *only;       /* of each, what was found where the old version had nothing */
	const struct kv *others; /* names that are another group's */
	uint32_t nothers;
	struct lock_deps had; /* by the old version */
};

/* The I-th of G in M's new version. */
static bool kid_keep(struct rewrite *x, struct lock_deps *out, const struct kids *g, uint32_t i, const struct move *m)
{
	struct run *r = x->r;
	str alias = sof(r, g->want[i].k), range = sof(r, g->want[i].v), name, version, suffix;
	struct only *only = &g->only[i];
	if (removed(x, alias, m->name, sof(r, m->to)))
		return true;
	const struct lock_dep *d = lock_dep_find(g->had, alias);
	if (!d && !only->asked)
		*only = (struct only){ only_one(x, alias, range), true };
	prior k = d ? snap_of(x, alias, d->ref) : only->at;
	if (k == NONE)
		return false;
	const struct move *to = goes(x, k);
	dep_path_split(snap_at(x, k)->key, &name, &version, &suffix);
	if (to)
		version = sof(r, to->to);
	if (!version_in_range(r, version, range))
		return false;
	out->p[out->n++] = (struct lock_dep){ alias, to || !d ? version : d->ref };
	return true;
}

/* What M's new version depends on, as far as the lockfile tells; false where it doesn't. */
static bool kids_keep(struct rewrite *x, struct lock_deps *out, const struct kids *g, const struct move *m)
{
	struct run *r = x->r;
	*out = (struct lock_deps){ .p = arena_new(&r->arena, struct lock_dep, g->n + 1) };
	for (size_t i = 0; i < g->had.n; i++) {
		atom k = atom_of(&r->t, g->had.p[i].alias);
		bool here = kv_find(g->want, g->n, k) && !kv_find(g->others, g->nothers, k);
		if (is_peer(x, g->had.p[i].alias) && !here)
			return false;
	}
	for (uint32_t i = 0; i < g->n; i++)
		if (!kv_find(g->others, g->nothers, g->want[i].k) && !kid_keep(x, out, g, i, m))
			return false;
	return true;
}

/* Adds M's row, or finds it; false where the copy has another one there. */
static bool snapshot_put(struct rewrite *x, struct move *m, const struct lock_snapshot *s)
{
	const struct lock_snapshot *old = lockfile_snapshot(x->from, s->key);
	if (!old && !m->row) {
		x->out.snapshot[x->out.nsnapshots++] = *s;
		m->row = x->out.nsnapshots;
		return true;
	}
	/* the copy begins with the rows that it is made from, in their order */
	const struct lock_snapshot *o = &x->out.snapshot[old ? (size_t)(old - x->from->snapshot) : m->row - 1];
	return lock_deps_same(o->dependencies, s->dependencies) &&
	       lock_deps_same(o->optional_dependencies, s->optional_dependencies) &&
	       str_list_same(o->transitive_peers, s->transitive_peers) && o->optional == s->optional;
}

static bool package_put(struct rewrite *x, struct move *m)
{
	if (m->packaged)
		return true;
	struct lock_package row = plan_row(x->r, &m->pkg);
	const struct lock_package *o = lockfile_package(x->from, row.key);
	m->packaged = true;
	if (o)
		return plain(o) && !o->deprecated.n && !o->bundled.n && !o->bundle_all &&
		       str_eq(o->resolution.integrity, row.resolution.integrity);
	x->out.package[x->out.npackages++] = row;
	return true;
}

static bool snapshot_move(struct rewrite *x, prior k, struct move *m)
{
	const struct lock_snapshot *old = snap_at(x, k);
	const struct deps *d = &m->pkg.deps;
	struct lock_snapshot s = *old;
	s.key = sof(x->r, m->pkg.key);
	struct kids dep = { .want = d->dep,
		.n = d->ndep,
		.only = m->only,
		.others = d->opt,
		.nothers = d->nopt,
		.had = old->dependencies };
	struct kids opt = {
		.want = d->opt, .n = d->nopt, .only = m->only + d->ndep, .had = old->optional_dependencies
	};
	return kids_keep(x, &s.dependencies, &dep, m) && kids_keep(x, &s.optional_dependencies, &opt, m) &&
	       snapshot_put(x, m, &s) && package_put(x, m);
}

static bool rows_copy(struct rewrite *x)
{
	struct arena *a = &x->r->arena;
	x->out.snapshot = arena_new(a, struct lock_snapshot, 2 * x->from->nsnapshots + 1);
	x->out.package = arena_new(a, struct lock_package, x->from->npackages + x->move.n + 1);
	x->out.nsnapshots = 0;
	for (size_t i = 0; i < x->from->nsnapshots; i++) {
		struct lock_snapshot *s = &x->out.snapshot[x->out.nsnapshots++];
		str name, version, suffix;
		*s = x->from->snapshot[i];
		dep_path_split(s->key, &name, &version, &suffix);
		s->dependencies = deps_copy(x, s->dependencies, name, version);
		s->optional_dependencies = deps_copy(x, s->optional_dependencies, name, version);
	}
	memcpy(x->out.package, x->from->package, x->from->npackages * sizeof(*x->out.package));
	for (size_t i = 0; i < x->from->nsnapshots; i++) {
		struct move *m = goes(x, (prior)i);
		if (m && !snapshot_move(x, (prior)i, m))
			return false;
	}
	return true;
}

/* --- what nothing reaches any more --- */

struct reach {
	struct rewrite *x;
	bool *seen;
	VEC(size_t) todo;
};

static void reach_ref(struct reach *h, str alias, str ref)
{
	struct lockfile *lf = &h->x->out;
	str path = dep_path_from_ref(alias, ref, &h->x->r->arena);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(lf, path) : NULL;
	if (!s || h->seen[s - lf->snapshot])
		return;
	h->seen[s - lf->snapshot] = true;
	*vec_add(&h->todo) = (size_t)(s - lf->snapshot);
}

static void rows_prune(struct rewrite *x)
{
	struct lockfile *lf = &x->out;
	struct reach h = { .x = x, .seen = xcalloc(lf->nsnapshots + 1, sizeof(bool)) };
	AUTO(map_release) struct map kept = MAP_INIT;
	size_t n = 0;
	for (size_t i = 0; i < lf->nimporters; i++)
		for (struct lock_walk at = lock_walk(&lf->importer[i]); lock_next(&at);)
			reach_ref(&h, at.d->alias, at.d->ref);
	while (h.todo.n) {
		const struct lock_snapshot *s = &lf->snapshot[h.todo.p[--h.todo.n]];
		for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);)
			reach_ref(&h, at.d->alias, at.d->ref);
	}
	for (size_t i = 0; i < lf->nsnapshots; i++)
		if (h.seen[i]) {
			map_set(&kept, dep_path_package_key(lf->snapshot[i].key), 1);
			lf->snapshot[n++] = lf->snapshot[i];
		}
	lf->nsnapshots = n;
	n = 0;
	for (size_t i = 0; i < lf->npackages; i++)
		if (map_get(&kept, lf->package[i].key) != MAP_NONE)
			lf->package[n++] = lf->package[i];
	lf->npackages = n;
	free(h.seen);
	vec_release(&h.todo);
}

int moves_apply(struct rewrite *x, struct err *e)
{
	x->edge.n = 0;
	map_release(&x->peers);
	map_release(&x->names);
	x->peers = x->names = MAP_INIT;
	edges_collect(x);
	peers_collect(x);
	if (!moves_settle(x))
		return 0;
	int rc = moves_fetch(x, e);
	if (rc <= 0)
		return rc;
	importers_copy(x);
	if (!rows_copy(x))
		return 0;
	lockfile_sort(&x->out);
	rows_prune(x);
	return 1;
}

/* --- overrides --- */

/* The highest locked version of NAME in RANGE, 0: none. */
static atom locked_highest(struct rewrite *x, str name, str range)
{
	struct run *r = x->r;
	atom best = 0;
	str head = arena_join(&r->arena, name, STR("@"));
	for (size_t i = lockfile_packages_from(x->from, head); i < x->from->npackages; i++) {
		str n, version, suffix;
		if (!str_starts(x->from->package[i].key, head))
			break;
		dep_path_split(x->from->package[i].key, &n, &version, &suffix);
		if (!str_eq(n, name) || !version_in_range(r, version, range))
			continue;
		atom v = atom_of(&r->t, version);
		if (!best || semver_cmp(atom_semver(&r->t, v), atom_semver(&r->t, best)) > 0)
			best = v;
	}
	return best;
}

/* Override I, which was WAS (NULL: was not) and is NOW. */
static bool override_move(struct rewrite *x, size_t i, const str *was, str now)
{
	struct run *r = x->r;
	struct override_selector s = override_selector(r, i);
	struct move m = { .name = sof(r, s.name), .parent = s.parent, .parent_range = s.parent_range };
	if (s.range || s.converge || s.some)
		return false;
	if (!str_eq(now, STR("-"))) {
		atom to = atom_of(&r->t, now);
		m.to = atom_semver(&r->t, to) ? to : locked_highest(x, m.name, now);
		m.from = was ? atom_of(&r->t, *was) : 0;
		if (!m.to || (m.from && !atom_semver(&r->t, m.from)))
			return false;
	}
	*vec_add(&x->move) = m;
	return true;
}

/* Whether one of the first N overrides that CHANGED is about the same package as another. */
static bool names_twice(struct rewrite *x, const bool *changed, size_t n)
{
	AUTO(map_release) struct map count = MAP_INIT;
	for (size_t i = 0; i < n; i++) {
		bool fresh;
		str name = sof(x->r, override_selector(x->r, i).name);
		map_add(&count, name, 1, &fresh);
		if (!fresh)
			map_set(&count, name, 2);
	}
	for (size_t i = 0; i < n; i++)
		if (changed[i] && map_get(&count, sof(x->r, override_selector(x->r, i).name)) > 1)
			return true;
	return false;
}

/* Notes the moves of overrides that are not what they were; false where something else changed,
 * too. *SAME: nothing did. */
static bool overrides_move(struct rewrite *x, bool *same)
{
	struct str_map now = overrides_resolved(x->r), was = x->from->head.overrides;
	AUTO(map_release) struct map old = MAP_INIT;
	bool *changed = arena_new(&x->r->arena, bool, now.n + 1), ok = true;
	uint32_t stay = 0;
	*same = true;
	for (size_t i = 0; i < was.n; i++)
		map_add(&old, was.p[i].k, (uint32_t)i, NULL);
	for (size_t i = 0; i < now.n; i++) {
		uint32_t at = map_get(&old, now.p[i].k);
		const str *before = at == MAP_NONE ? NULL : &was.p[at].v;
		stay += before != NULL;
		changed[i] = !before || !str_eq(*before, now.p[i].v);
		*same = *same && !changed[i];
		ok = ok && (!changed[i] || override_move(x, i, before, now.p[i].v));
	}
	*same = *same && stay == old.n;
	return ok && stay == old.n && x->move.n > 0 && !names_twice(x, changed, now.n);
}

/* --- all of it --- */

static int overrides_step(struct rewrite *x, bool patched, struct err *e)
{
	bool same;
	x->move.n = 0;
	bool moves = overrides_move(x, &same);
	if (same)
		return 1;
	if (patched || !moves)
		return 0;
	int rc = moves_apply(x, e);
	x->out.head.overrides = overrides_resolved(x->r);
	return rc;
}

int rewrite_prior(struct run *r, const struct lockfile **out, struct err *e)
{
	const struct lock_head *h = &r->prior->head;
	struct rewrite x = { .r = r, .from = r->prior, .out = *r->prior };
	*out = NULL;
	/* What is a dependency and a peer, too, is a peer alone with autoInstallPeers: the lockfile doesn't tell. Nor
	 * does it tell what the hooks that it was made with changed. */
	if (h->pnpmfile_checksum.n || !str_eq(h->package_extensions_checksum, r->set->package_extensions_checksum) ||
		!str_list_same(h->ignored_optional, r->set->ignored_optional) ||
		(h->auto_install_peers && !r->set->auto_install_peers))
		return 0;
	int rc = catalogs_step(&x, r->set->npatch > 0, e);
	struct lockfile *made = arena_new(&r->arena, struct lockfile, 2);
	if (rc > 0) {
		made[0] = x.out;
		x.from = &made[0];
		rc = overrides_step(&x, r->set->npatch > 0, e);
	}
	if (rc > 0) {
		made[1] = x.out;
		*out = &made[1];
	}
	vec_release(&x.move);
	vec_release(&x.edge);
	map_release(&x.peers);
	map_release(&x.names);
	return rc < 0 ? rc : 0;
}
