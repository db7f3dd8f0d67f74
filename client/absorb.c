#include "absorb_impl.h"
#include <stdlib.h>

#include "dep_path.h"
#include "lock_walk.h"
#include "match.h"
#include "pick.h"
#include "semver.h"
#include "source.h"

/* --- what a manifest declares, what an importer has --- */

size_t declared_of(struct declared *out, const struct manifest *m)
{
	size_t n = 0;
	for (size_t i = 0; i < m->optional_dependencies.n; i++)
		out[n++] = (struct declared){ m->optional_dependencies.p[i].k, m->optional_dependencies.p[i].v,
			LOCK_OPTIONAL };
	for (size_t i = 0; i < m->dependencies.n; i++)
		if (!str_map_get(m->optional_dependencies, m->dependencies.p[i].k))
			out[n++] = (struct declared){ m->dependencies.p[i].k, m->dependencies.p[i].v, LOCK_PROD };
	for (size_t i = 0; i < m->dev_dependencies.n; i++) {
		str alias = m->dev_dependencies.p[i].k;
		if (!str_map_get(m->optional_dependencies, alias) && !str_map_get(m->dependencies, alias))
			out[n++] = (struct declared){ alias, m->dev_dependencies.p[i].v, LOCK_DEV };
	}
	return n;
}

static const struct lock_direct *recorded(const struct lock_importer *im, str alias, enum lock_dep_type *group)
{
	static const enum lock_dep_type order[] = { LOCK_OPTIONAL, LOCK_PROD, LOCK_DEV };
	for (size_t o = 0; o < LOCK_NTYPES; o++)
		for (size_t i = 0; i < im->deps[order[o]].n; i++)
			if (str_eq(im->deps[order[o]].p[i].alias, alias)) {
				*group = order[o];
				return &im->deps[order[o]].p[i];
			}
	return NULL;
}

static bool records_nothing(const struct lock_importer *im)
{
	return !im || (!im->deps[LOCK_PROD].n && !im->deps[LOCK_DEV].n && !im->deps[LOCK_OPTIONAL].n);
}

/* Whether SELECTOR is of what some package, which is no project, has below it: no manifest says less for that. */
static bool below_package(const struct absorb *b, str selector)
{
	str parent, child, name, range;
	if (!str_cut(selector, '>', &parent, &child) || str_find(child, '>', 0) != SIZE_MAX)
		return false;
	parent = str_trim(parent);
	if (parent.n < 2 || parent.p[parent.n - 1] == '@') /* "a@>1": no parent */
		return false;
	name = str_cut(str_from(parent, 1), '@', &name, &range) ? str_head(parent, name.n + 1) : parent;
	if (str_find(name, '*', 0) == SIZE_MAX)
		return map_get(&b->projects, name) == MAP_NONE;
	for (size_t i = 0; i < b->req->nimporters; i++)
		if (match_one(name, b->req->importer[i].manifest.name))
			return false;
	return true;
}

/* An override decides about ALIAS in some project: what the manifest says is not what is locked. */
static bool overridden(const struct absorb *b, str alias)
{
	const struct str_map *o = &b->req->settings.overrides;
	for (size_t i = 0; i < o->n; i++) {
		str selector = o->p[i].k;
		bool pattern = str_find(selector, '*', 0) != SIZE_MAX;
		if ((pattern || str_find_str(selector, alias, 0) != SIZE_MAX) && !below_package(b, selector))
			return true;
	}
	return false;
}

bool names_folder(const struct absorb *b, const struct declared *d)
{
	return str_starts(d->spec, STR("workspace:")) || str_starts(d->spec, STR("link:")) ||
	       str_starts(d->spec, STR("file:")) || map_get(&b->projects, d->alias) != MAP_NONE;
}

/* --- choosing a version --- */

bool has_peers(const struct lock_package *p)
{
	return p->peer_dependencies.n || p->peer_optional.n;
}

bool stands_alone(const struct absorb *b, str key)
{
	const struct lock_snapshot *s = lockfile_snapshot(b->lf, key);
	return s && !s->transitive_peers.n;
}

/* Locked versions of a name that a range takes. */
struct fits {
	str highest;
	size_t n;
	bool peers; /* some version of the name has peers */
};

/* Of a range with an empty alternative the registry tells. */
static struct fits locked_fits(const struct absorb *b, const struct declared *d)
{
	const struct range *range = any_range(d->spec) ? NULL : range_parse_apart(d->spec, false, b->a);
	struct semver v, highest = { 0 };
	struct fits out = { 0 };

	str head = arena_join(b->a, d->alias, STR("@"));
	for (size_t i = range ? lockfile_packages_from(b->lf, head) : b->lf->npackages; i < b->lf->npackages; i++) {
		const struct lock_package *p = &b->lf->package[i];
		str name, version, suffix;
		if (!str_starts(p->key, head))
			break;
		dep_path_split(p->key, &name, &version, &suffix);
		if (!str_eq(name, d->alias))
			continue;
		out.peers = out.peers || has_peers(p);
		if (!semver_parse(&v, version, false) || !range_has(range, &v, false))
			continue;
		if (!out.n++ || semver_cmp(&v, &highest) > 0) {
			highest = v;
			out.highest = version;
		}
	}
	return out;
}

/* Which end of a range a resolution mode that starts low wants, the lockfile doesn't tell. */
static bool either_end(const struct absorb *b, const struct fits *f)
{
	return f->n > 1 && b->req->settings.resolution_mode != RESOLVE_HIGHEST;
}

/* The highest locked version of D that its range takes: what resolving prefers over anything in the registry. Absent
 * where the lockfile doesn't tell: versions that have peers are tied to a place. */
static str locked_pick(const struct absorb *b, const struct declared *d)
{
	struct fits f = locked_fits(b, d);

	if (!f.n || f.peers || either_end(b, &f) ||
		!stands_alone(b, arena_printf(b->a, STR_FMT "@" STR_FMT, STR_ARG(d->alias), STR_ARG(f.highest))))
		return STR_NONE;
	return f.highest;
}

/* Whether the version that is locked as HAVE is the one that D's new range would take, too; with its
 * peers it stays where it is. */
static bool stays(const struct absorb *b, const struct declared *d, const struct lock_direct *have)
{
	struct fits f = locked_fits(b, d);
	str path = dep_path_from_ref(have->alias, have->ref, b->a), name, version, suffix;

	if (!path.n || !f.n || either_end(b, &f))
		return false;
	dep_path_split(path, &name, &version, &suffix);
	return str_eq(name, d->alias) && str_eq(version, f.highest);
}

/* --- edges --- */

void sever(struct absorb *b, str alias, str ref)
{
	str path = dep_path_from_ref(alias, ref, b->a), name = alias, version = STR_NONE, suffix;
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(b->lf, path) : NULL;
	struct semver v;

	if (s && b->cut[s - b->lf->snapshot])
		return;
	if (path.n)
		dep_path_split(path, &name, &version, &suffix);
	if (!semver_parse(&v, version, false))
		version = STR_NONE;
	map_set(&b->severed, arena_printf(b->a, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version)), 1);
	if (!s)
		return;
	b->cut[s - b->lf->snapshot] = true;
	*vec_add(&b->below) = s;
}

static void sever_below(struct absorb *b)
{
	while (b->below.n) {
		const struct lock_snapshot *s = b->below.p[--b->below.n];
		for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);)
			sever(b, at.d->alias, at.d->ref);
	}
}

/* Somebody looks for ALIAS as a peer, and finds it where it did not before. */
static bool is_peer(struct absorb *b, str alias)
{
	for (size_t i = 0; !b->peers_known && i < b->lf->npackages; i++) {
		const struct lock_package *p = &b->lf->package[i];
		for (size_t k = 0; k < p->peer_dependencies.n; k++)
			map_set(&b->peers, p->peer_dependencies.p[k].k, 1);
		for (size_t k = 0; k < p->peer_optional.n; k++)
			map_set(&b->peers, p->peer_optional.p[k], 1);
	}
	b->peers_known = true;
	return map_get(&b->peers, alias) != MAP_NONE;
}

/* D, of which the lockfile has nothing in this importer. */
static bool edge_new(struct absorb *b, struct lock_direct *out, const struct declared *d)
{
	if (names_folder(b, d) || overridden(b, d->alias) || is_peer(b, d->alias))
		return false;
	str version = locked_pick(b, d);
	const struct str_map *time = &b->lf->head.time;
	if (!version.n || (time->n && !str_map_get(*time, arena_printf(b->a, STR_FMT "@" STR_FMT, STR_ARG(d->alias),
								  STR_ARG(version)))))
		return false;
	*out = (struct lock_direct){ d->alias, d->spec, version };
	b->regraded = true;
	return true;
}

/* D, which the lockfile has as HAVE in GROUP. */
static bool edge_kept(struct absorb *b, struct lock_direct *out, const struct declared *d,
	const struct lock_direct *have, enum lock_dep_type group)
{
	struct semver v;

	*out = *have;
	if (group != d->group && (group == LOCK_OPTIONAL || d->group == LOCK_OPTIONAL))
		b->regraded = true;
	if (str_eq(have->specifier, d->spec))
		return true;
	if (overridden(b, d->alias))
		return false;
	if (stays(b, d, have)) {
		out->specifier = d->spec;
		return true;
	}
	if (!semver_parse(&v, have->ref, false))
		return false;
	str version = locked_pick(b, d);
	if (!version.n)
		return false;
	if (!str_eq(version, have->ref))
		sever(b, d->alias, have->ref);
	out->specifier = d->spec;
	out->ref = version;
	return true;
}

static bool importer_absorb(struct absorb *b, struct lock_importer *out, const struct request_importer *im)
{
	const struct manifest *m = &im->manifest;
	const struct lock_importer *have = lockfile_importer(b->lf, im->path);
	size_t most = m->dependencies.n + m->dev_dependencies.n + m->optional_dependencies.n;
	struct declared *d = arena_new(b->a, struct declared, most + 1);
	size_t n = declared_of(d, m), kept = 0, was = 0;
	enum lock_dep_type group = LOCK_PROD;

	if (!have && (!n || m->ndependencies_meta || m->publish_directory.n))
		return false;
	*out = have ? *have : (struct lock_importer){ .path = im->path };
	for (int g = 0; g < LOCK_NTYPES; g++) {
		out->deps[g] = (struct lock_directs){ arena_new(b->a, struct lock_direct, n + 1), 0 };
		was += have ? have->deps[g].n : 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct lock_directs *to = &out->deps[d[i].group];
		const struct lock_direct *old = records_nothing(have) ? NULL : recorded(have, d[i].alias, &group);
		if (old && d[i].group == LOCK_OPTIONAL && absorb_ignores(b, d[i].alias))
			continue;
		if (!(old ? edge_kept(b, &to->p[to->n], &d[i], old, group) : edge_new(b, &to->p[to->n], &d[i])))
			return false;
		to->n++;
		kept += old != NULL;
	}
	for (struct lock_walk at = lock_walk(kept == was ? NULL : have); lock_next(&at);)
		if (!recorded(out, at.d->alias, &group))
			sever(b, at.d->alias, at.d->ref);
	return true;
}

/* --- projects that are gone --- */

static bool links_into(const struct absorb *b, const struct lock_importer *im, const struct map *gone)
{
	for (struct lock_walk at = lock_walk(im); lock_next(&at);)
		if (str_starts(at.d->ref, STR("link:")) &&
			map_get(gone, path_join(b->a, im->path, str_from(at.d->ref, 5))) != MAP_NONE)
			return true;
	return false;
}

/* What gone projects had ends; false where a project that stays links to one. */
static bool projects_gone(struct absorb *b)
{
	AUTO(map_release) struct map gone = MAP_INIT;

	for (size_t i = 0; i < b->lf->nimporters; i++)
		if (!request_importer(b->req, b->lf->importer[i].path))
			map_set(&gone, b->lf->importer[i].path, 1);
	for (size_t i = 0; gone.n && i < b->lf->nimporters; i++) {
		const struct lock_importer *im = &b->lf->importer[i];
		bool stays = map_get(&gone, im->path) == MAP_NONE;
		if (stays && links_into(b, im, &gone))
			return false;
		for (struct lock_walk at = lock_walk(stays ? NULL : im); lock_next(&at);)
			sever(b, at.d->alias, at.d->ref);
	}
	return true;
}

/* --- the graph that is left --- */

enum reached { REACHED_NOT = 0, REACHED_OPTIONAL = 1, REACHED_ALWAYS = 2 };
struct reach {
	struct absorb *b;
	uint8_t *how; /* by snapshot */
	VEC(uint32_t) todo;
};

static void reach(struct reach *r, str alias, str ref, enum reached how)
{
	str path = dep_path_from_ref(alias, ref, r->b->a);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(r->b->lf, path) : NULL;
	size_t i = s ? (size_t)(s - r->b->lf->snapshot) : 0;

	if (!s || r->how[i] >= how)
		return;
	r->how[i] = (uint8_t)how;
	*vec_add(&r->todo) = (uint32_t)i;
}

static void reach_all(struct reach *r)
{
	const struct lockfile *out = r->b->out;
	for (size_t i = 0; i < out->nimporters; i++)
		for (struct lock_walk at = lock_walk(&out->importer[i]); lock_next(&at);)
			reach(r, at.d->alias, at.d->ref, at.group == LOCK_OPTIONAL ? REACHED_OPTIONAL : REACHED_ALWAYS);
	while (r->todo.n) {
		uint32_t i = r->todo.p[--r->todo.n];
		for (struct lock_deps_walk at = lock_deps_walk(&r->b->lf->snapshot[i]); lock_deps_next(&at);)
			reach(r, at.d->alias, at.d->ref, at.optional ? REACHED_OPTIONAL : (enum reached)r->how[i]);
	}
}

/* Whether the suffix of KEY names nothing that was severed: with that gone, the key would be another. */
static bool key_stays(const struct absorb *b, str key)
{
	str name, version, suffix, peer;

	dep_path_split(key, &name, &version, &suffix);
	while (dep_path_peer(&peer, &suffix)) {
		size_t at = str_find(peer, '@', 1);
		if (at == SIZE_MAX || map_get(&b->severed, peer) != MAP_NONE ||
			map_get(&b->severed, str_head(peer, at + 1)) != MAP_NONE)
			return false;
	}
	return true;
}

/* Drops what nothing reaches and says anew what only optional dependencies reach; false where a
 * key would have to change. */
static bool graph_settle(struct absorb *b)
{
	struct reach r = { .b = b, .how = xcalloc(b->lf->nsnapshots + 1, 1) };
	AUTO(map_release) struct map kept = MAP_INIT;
	struct lockfile *out = b->out;
	bool same = true;

	reach_all(&r);
	out->snapshot = arena_new(b->a, struct lock_snapshot, b->lf->nsnapshots + 1);
	out->nsnapshots = 0;
	for (size_t i = 0; i < b->lf->nsnapshots; i++) {
		struct lock_snapshot *s = &out->snapshot[out->nsnapshots];
		*s = b->lf->snapshot[i];
		if (b->severed.n && r.how[i] == REACHED_NOT)
			continue;
		s->optional = r.how[i] == REACHED_OPTIONAL;
		same = same && (!b->severed.n || key_stays(b, s->key));
		map_set(&kept, dep_path_package_key(s->key), 1);
		out->nsnapshots++;
	}
	out->package = arena_new(b->a, struct lock_package, b->lf->npackages + 1);
	out->npackages = 0;
	for (size_t i = 0; i < b->lf->npackages; i++)
		if (!b->severed.n || map_get(&kept, b->lf->package[i].key) != MAP_NONE)
			out->package[out->npackages++] = b->lf->package[i];
	free(r.how);
	vec_release(&r.todo);
	return same;
}

static bool catalog_used(const struct absorb *b, const struct lock_catalog_entry *c)
{
	for (size_t i = 0; i < b->out->nimporters; i++) {
		enum lock_dep_type group;
		const struct lock_direct *d = recorded(&b->out->importer[i], c->alias, &group);
		if (!d || !str_starts(d->specifier, STR("catalog:")))
			continue;
		str name = str_trim(str_from(d->specifier, 8));
		if (str_eq(name.n ? name : STR("default"), c->catalog))
			return true;
	}
	return false;
}

static void catalogs_settle(struct absorb *b)
{
	struct lock_head *h = &b->out->head;
	h->catalog = arena_new(b->a, struct lock_catalog_entry, b->lf->head.ncatalog + 1);
	h->ncatalog = 0;
	for (size_t i = 0; i < b->lf->head.ncatalog; i++)
		if (catalog_used(b, &b->lf->head.catalog[i]))
			h->catalog[h->ncatalog++] = b->lf->head.catalog[i];
}

/* Publish times are of direct dependencies only. */
static void times_settle(struct absorb *b)
{
	AUTO(map_release) struct map direct = MAP_INIT;
	struct str_map *time = &b->out->head.time;

	for (size_t i = 0; time->n && i < b->out->nimporters; i++)
		for (struct lock_walk at = lock_walk(&b->out->importer[i]); lock_next(&at);) {
			str path = dep_path_from_ref(at.d->alias, at.d->ref, b->a);
			if (path.n)
				map_set(&direct, dep_path_package_key(path), 1);
		}
	*time = (struct str_map){ .p = arena_new(b->a, struct str_kv, b->lf->head.time.n + 1) };
	for (size_t i = 0; i < b->lf->head.time.n; i++)
		if (map_get(&direct, b->lf->head.time.p[i].k) != MAP_NONE)
			time->p[time->n++] = b->lf->head.time.p[i];
}

/* --- all of it --- */

static bool absorb(struct absorb *b)
{
	const struct request *req = b->req;
	struct lockfile *out = b->out;
	struct str_list why;

	if (!projects_gone(b))
		return false;
	out->importer = arena_new(b->a, struct lock_importer, req->nimporters + 1);
	out->nimporters = 0;
	for (size_t i = 0; i < req->nimporters; i++)
		if (!importer_absorb(b, &out->importer[out->nimporters++], &req->importer[i]))
			return false;
	sever_below(b);
	if ((b->severed.n || b->regraded) && !graph_settle(b))
		return false;
	if (b->severed.n) {
		catalogs_settle(b);
		times_settle(b);
	}
	return patches_absorb(b) && settings_absorb(b) && patches_stay(b) &&
	       lockfile_satisfies(out, req, false, &why, b->a);
}

bool lockfile_absorb(struct lockfile *out, const struct lockfile *lf, const struct request *req, struct arena *a)
{
	struct lockfile made = *lf, base = *lf;
	struct absorb b = {
		.lf = &base, .req = req, .a = a, .out = &made, .cut = xcalloc(lf->nsnapshots + 1, sizeof(bool))
	};

	for (size_t i = 0; i < req->nimporters; i++)
		if (req->importer[i].manifest.name.n)
			map_set(&b.projects, req->importer[i].manifest.name, 1);
	bool ok = ignored_absorb(&b, &base) && absorb(&b);
	map_release(&b.projects);
	map_release(&b.peers);
	map_release(&b.severed);
	map_release(&b.repatched);
	vec_release(&b.below);
	free(b.cut);
	if (ok)
		*out = made;
	return ok;
}
