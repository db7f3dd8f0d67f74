#include "package.h"
#include "base/path.h"
#include "catalog.h"
#include "dep_path.h"
#include "name.h"
#include "overrides.h"
#include "patches.h"
#include "pick.h"
#include "sorted.h"
#include "workspace.h"

/* --- manifests --- */

static struct kv *kvs_of(struct run *r, struct str_map m, uint32_t *n)
{
	struct kv *p = arena_new(&r->arena, struct kv, m.n + 1);
	*n = (uint32_t)m.n;
	for (size_t i = 0; i < m.n; i++)
		p[i] = (struct kv){ atom_of(&r->t, m.p[i].k), atom_of(&r->t, m.p[i].v) };
	return p;
}

static atom *atoms_from(struct run *r, struct str_list l)
{
	atom *p = arena_new(&r->arena, atom, l.n + 1);
	for (size_t i = 0; i < l.n; i++)
		p[i] = atom_of(&r->t, l.p[i]);
	return p;
}

void deps_of_manifest(struct run *r, struct deps *d, struct deps *dev, const struct manifest *m)
{
	*d = (struct deps){ .bundle_all = m->bundle_all };
	d->dep = kvs_of(r, m->dependencies, &d->ndep);
	d->opt = kvs_of(r, m->optional_dependencies, &d->nopt);
	d->peer = kvs_of(r, m->peer_dependencies, &d->npeer);
	d->peer_optional = atoms_from(r, m->peer_optional);
	d->npeer_optional = (uint32_t)m->peer_optional.n;
	d->bundled = atomset_of(&r->arena, atoms_from(r, m->bundled), m->bundled.n);
	if (dev) {
		*dev = (struct deps){ 0 };
		dev->dep = kvs_of(r, m->dev_dependencies, &dev->ndep);
	}
}

static struct kv *kvs_of_packument(struct run *r, struct packument p, uint32_t v, enum packument_map which, uint32_t *n)
{
	*n = packument_map_n(p, v, which);
	struct kv *out = arena_new(&r->arena, struct kv, *n + 1);
	for (uint32_t i = 0; i < *n; i++) {
		str k, s;
		packument_map_at(p, v, which, i, &k, &s);
		out[i] = (struct kv){ atom_of(&r->t, k), atom_of(&r->t, s) };
	}
	return out;
}

/* What a published package has by a path inside itself is a link into its own folder; SPEC itself where it is none, or
 * a tarball, or all of the package. Source: pnpm 12.8's behaviour. */
static atom inside(struct run *r, atom spec)
{
	str s = sof(r, spec);
	if (!str_starts(s, STR("file:")))
		return spec;
	s = str_from(s, 5);
	char *plain = arena_new(&r->arena, char, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		plain[i] = s.p[i] == '\\' ? '/' : s.p[i];
	str path = { plain, s.n };
	bool drive = path.n > 1 && path.p[1] == ':';
	if (!path.n || drive || path.p[0] == '/' || path.p[0] == '~' || workspace_tarball(path))
		return spec;
	path = path_join(&r->arena, STR("."), path);
	if (str_eq(path, STR(".")) || str_eq(path, STR("..")) || str_starts(path, STR("../")))
		return spec;
	return atom_fmt(&r->t, "link:" DEP_PATH_INSIDE STR_FMT, STR_ARG(path));
}

static void deps_inside(struct run *r, struct deps *d)
{
	for (uint32_t i = 0; i < d->ndep; i++)
		d->dep[i].v = inside(r, d->dep[i].v);
	for (uint32_t i = 0; i < d->nopt; i++)
		d->opt[i].v = inside(r, d->opt[i].v);
}

static atom *atoms_of_packument(struct run *r, struct packument p, uint32_t v, enum packument_list which, uint32_t *n)
{
	*n = packument_list_n(p, v, which);
	atom *out = arena_new(&r->arena, atom, *n + 1);
	for (uint32_t i = 0; i < *n; i++)
		out[i] = atom_of(&r->t, packument_list_at(p, v, which, i));
	return out;
}

struct str_list package_list(struct run *r, const struct pkg *p, enum packument_list which)
{
	uint32_t n = packument_list_n(p->pm, p->pv, which);
	struct str_list l = { .p = n ? arena_new(&r->arena, str, n) : NULL, .n = n };
	for (uint32_t i = 0; i < n; i++)
		l.p[i] = packument_list_at(p->pm, p->pv, which, i);
	return l;
}

static void deps_of_packument(struct run *r, struct deps *d, struct packument p, uint32_t v)
{
	uint32_t nbundled;
	*d = (struct deps){ .bundle_all = packument_bundle_all(p, v) };
	d->dep = kvs_of_packument(r, p, v, PACKUMENT_DEPS, &d->ndep);
	d->opt = kvs_of_packument(r, p, v, PACKUMENT_OPTIONAL, &d->nopt);
	d->peer = kvs_of_packument(r, p, v, PACKUMENT_PEERS, &d->npeer);
	d->peer_optional = atoms_of_packument(r, p, v, PACKUMENT_PEER_OPTIONAL, &d->npeer_optional);
	atom *bundled = atoms_of_packument(r, p, v, PACKUMENT_BUNDLED, &nbundled);
	d->bundled = atomset_of(&r->arena, bundled, nbundled);
	deps_inside(r, d);
}

/* --- peers and children --- */

static bool scope_has(const struct scope *s, atom name)
{
	for (; s; s = s->up)
		if (atomset_has(s->names, name))
			return true;
	return false;
}

const struct atomset *package_shadowed(struct run *r, const struct pkg *p, const struct scope *scope)
{
	const struct deps *d = &p->deps;
	if (!d->npeer)
		return &atomset_none;
	atom small[64], *hit = d->npeer <= 64 ? small : arena_new(&r->arena, atom, d->npeer);
	size_t n = 0;
	for (uint32_t i = 0; i < d->npeer; i++)
		if (kv_find(d->dep, d->ndep, d->peer[i].k) &&
			((r->set->auto_install_peers && !deps_peer_optional(d, d->peer[i].k)) ||
				scope_has(scope, d->peer[i].k)))
			hit[n++] = d->peer[i].k;
	return atomset_of(&r->arena, hit, n);
}

static int peer_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct peer *)a)->name, ((const struct peer *)b)->name);
}

static bool own_dep(const struct pkg *p, const struct atomset *shadow, atom name)
{
	const struct deps *d = &p->deps;
	return name == p->name || name == p->peer_name || kv_find(d->opt, d->nopt, name) ||
	       (kv_find(d->dep, d->ndep, name) && !atomset_has(shadow, name));
}

bool package_through_catalogs(const struct pkg *p)
{
	return p->by_workspace && p->kind == PKG_DIRECTORY;
}

/* What PEER of P's asks for: for "catalog:" of a project's copy what stands there; the lockfile has it as it is
 * written. Source: pnpm 12.21's behaviour. */
static atom peer_meant(struct run *r, const struct pkg *p, struct kv peer)
{
	str spec = sof(r, peer.v);
	struct err ignored;
	const struct catalog_user u = { sof(r, p->directory), &r->arena };
	if (!package_through_catalogs(p) || !catalog_name(spec).n ||
		catalog_resolve(r->set, &spec, sof(r, peer.k), spec, &u, &ignored))
		return peer.v;
	return atom_of(&r->t, spec);
}

bool package_split_peers(struct run *r, struct pkg *p, const struct atomset *shadow)
{
	const struct deps *d = &p->deps;
	struct peer *out = arena_new(&r->arena, struct peer, d->npeer + d->npeer_optional + 1);
	uint32_t n = 0;
	for (uint32_t i = 0; i < d->npeer; i++)
		if (!own_dep(p, shadow, d->peer[i].k))
			out[n++] = (struct peer){ d->peer[i].k, peer_meant(r, p, d->peer[i]), false };
	for (uint32_t i = 0; i < d->npeer_optional; i++) {
		uint32_t k = 0;
		if (own_dep(p, shadow, d->peer_optional[i]))
			continue;
		while (k < n && out[k].name != d->peer_optional[i])
			k++;
		if (k == n)
			out[n++] = (struct peer){ d->peer_optional[i], atom_of(&r->t, STR("*")), true };
		out[k].optional = true;
	}
	rows_sort(out, n, sizeof(*out), peer_order, r);
	bool same = n == p->npeer;
	for (uint32_t i = 0; same && i < n; i++)
		same = out[i].name == p->peer[i].name && out[i].range == p->peer[i].range &&
		       out[i].optional == p->peer[i].optional;
	if (same)
		return false;
	p->peer = out;
	p->npeer = n;
	for (uint32_t i = 0; i < n; i++)
		peer_name_add(r, out[i].name);
	return true;
}

static int spec_order(void *run, const void *x, const void *y)
{
	const struct run *r = run;
	const struct spec *a = x, *b = y;
	int c = atom_cmp(&r->t, a->alias, b->alias);
	return c ? c : atom_cmp(&r->t, a->range, b->range);
}

static int alias_check(struct run *r, const struct pkg *p, atom alias, struct err *e)
{
	str s = sof(r, alias);
	if (r->t.rec[alias].is_name || name_valid(s)) {
		r->t.rec[alias].is_name = true;
		return 0;
	}
	return err_set(e, ERR_PARSE, STR_FMT " has a dependency with an invalid name: \"" STR_FMT "\"", SA(r, p->id),
		STR_ARG(str_head(s, 200)));
}

int package_specs(struct run *r, struct pkg *p, struct err *e)
{
	const struct deps *d = &p->deps;
	if (p->specs_known)
		return 0;
	struct spec *out = arena_new(&r->arena, struct spec, d->ndep + d->nopt + 1);
	uint32_t n = 0;
	for (uint32_t i = 0; i < d->ndep; i++) {
		int rc = alias_check(r, p, d->dep[i].k, e);
		if (rc)
			return rc;
		if (!d->bundle_all && !atomset_has(d->bundled, d->dep[i].k))
			out[n++] = (struct spec){ d->dep[i].k, d->dep[i].v, false };
	}
	uint32_t nplain = n;
	for (uint32_t i = 0; i < d->nopt; i++) {
		int rc = alias_check(r, p, d->opt[i].k, e);
		if (rc)
			return rc;
		if (atomset_has(d->bundled, d->opt[i].k) || (d->bundle_all && kv_find(d->dep, d->ndep, d->opt[i].k)))
			continue;
		uint32_t k = 0;
		while (k < nplain && out[k].alias != d->opt[i].k)
			k++;
		if (k < nplain)
			out[k].optional = true;
		else
			out[n++] = (struct spec){ d->opt[i].k, d->opt[i].v, true };
	}
	rows_sort(out, n, sizeof(*out), spec_order, r);
	p->spec = out;
	p->nspec = n;
	p->specs_known = true; /* whoever only asks ahead ignores a failure: it is met again */
	return 0;
}

/* --- patches --- */

static int patched_id(struct run *r, atom *id, atom key, str name, atom version, struct err *e)
{
	const struct patch *p;
	int rc = patch_of(&p, r->set, name, version ? sof(r, version) : STR_NONE, &r->arena, e);
	if (rc)
		return rc;
	*id = p ? atom_fmt(&r->t, STR_FMT "(patch_hash=" STR_FMT ")", SA(r, key), STR_ARG(p->hash)) : key;
	return 0;
}

uint32_t package_find(struct run *r, atom name, atom version)
{
	atom id, key = atom_fmt(&r->t, STR_FMT "@" STR_FMT, SA(r, name), SA(r, version));
	struct err ignored;
	return patched_id(r, &id, key, sof(r, name), version, &ignored) ? NONE : pkg_find(r, id);
}

/* --- packages --- */

enum { FILE_WORK = 3000 }; /* bytes that are as much work as one more file is. Source: pnpm 12 ranks downloads so */

bool deps_none(const struct deps *d)
{
	return !d->ndep && !d->nopt && !d->npeer && !d->npeer_optional;
}

static atom name_at_version(struct run *r, str name, str version)
{
	char small[480];
	if (name.n + version.n + 1 > sizeof small)
		return atom_fmt(&r->t, STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
	memcpy(small, name.p, name.n);
	small[name.n] = '@';
	memcpy(small + name.n + 1, version.p, version.n);
	return atom_copy(&r->t, (str){ small, name.n + version.n + 1 });
}

struct made {
	const uint8_t *packument;
	uint32_t version, pkg;
};

static bool made_taken(const void *row)
{
	return ((const struct made *)row)->packument;
}

static uint64_t made_hash(const void *row)
{
	const struct made *m = row;
	return ((uint64_t)(uintptr_t)m->packument ^ m->version) * 0x9E3779B97F4A7C15u;
}

static bool made_same(const void *row, const void *key)
{
	const struct made *a = row, *b = key;
	return a->packument == b->packument && a->version == b->version;
}

static const struct rows_kind made_kind = { sizeof(struct made), 1024, made_taken, made_hash, made_same };

/* As it is written: without build metadata, and without a "v" in front. */
static str version_text(struct run *r, struct packument pm, uint32_t v)
{
	struct semver sv;
	str text = packument_version(pm, v);
	packument_semver(pm, v, &sv);
	bool other = sv.build.n || (text.n && (text.p[0] == 'v' || text.p[0] == '='));
	return other ? semver_print(&sv, &r->arena) : text;
}

/* All of P but its id. */
static void registry_fill(struct run *r, struct pkg *p, struct packument pm, uint32_t v, str registry, str text)
{
	str name = packument_name(pm);
	p->kind = PKG_REGISTRY;
	p->key = name_at_version(r, name, text);
	p->name = p->peer_name = atom_of(&r->t, name);
	p->version = p->peer_version = p->manifest_version = atom_of(&r->t, text);
	p->pm = pm;
	p->pv = v;
	p->registry = registry;
	p->published = packument_time(pm, v);
	p->work = packument_unpacked_size(pm, v) + FILE_WORK * (uint64_t)packument_file_count(pm, v);
	p->specs_known = false;
	deps_of_packument(r, &p->deps, pm, v);
	deps_hooks(r, &p->deps, NULL, p->name, p->version, NULL);
}

void package_read(struct run *r, struct pkg *out, struct packument pm, uint32_t v, str registry)
{
	*out = (struct pkg){ 0 };
	registry_fill(r, out, pm, v, registry, version_text(r, pm, v));
}

int package_of_registry(
	struct run *r, uint32_t *out, struct packument pm, uint32_t v, str registry, bool *fresh, struct err *e)
{
	const struct made *made = rows_find(&r->made, &made_kind, &(struct made){ pm.p, v, NONE });
	if (made) {
		*out = made->pkg;
		*fresh = false;
		return 0;
	}
	str name = packument_name(pm), text = version_text(r, pm, v);
	atom key = name_at_version(r, name, text), id = key;
	if (r->set->npatch) {
		int rc = patched_id(r, &id, key, name, atom_of(&r->t, text), e);
		if (rc)
			return rc;
	}
	*out = pkg_find(r, id);
	*fresh = *out == NONE;
	if (!*fresh && pkg_at(r, *out)->kind != PKG_LOCKED)
		return 0;
	if (*fresh)
		*out = pkg_add(r, id);
	/* one that was taken over from the lockfile gets its manifest after all */
	struct pkg *p = pkg_at(r, *out);
	registry_fill(r, p, pm, v, registry, text);
	if (*fresh)
		p->leaf = deps_none(&p->deps);
	bool first;
	rows_slot(&r->made, &made_kind, &(struct made){ pm.p, v, *out }, &first, &r->arena);
	return 0;
}

uint32_t package_of_manifest(struct run *r, const struct package_local *l, bool *fresh)
{
	uint32_t at = pkg_find(r, l->id);
	*fresh = at == NONE;
	if (!*fresh)
		return at;
	at = pkg_add(r, l->id);
	struct pkg *p = pkg_at(r, at);
	p->kind = l->kind;
	p->key = l->id;
	p->name = l->name;
	p->peer_name = l->name ? l->name : l->alias ? l->alias : l->raw;
	p->peer_version = l->raw;
	p->manifest = l->manifest;
	p->manifest_version = l->manifest && l->manifest->version.n ? atom_of(&r->t, l->manifest->version) : 0;
	p->directory = l->directory;
	p->integrity = l->integrity;
	p->by_workspace = l->by_workspace;
	if (l->manifest && l->kind != PKG_LINK) {
		deps_of_manifest(r, &p->deps, NULL, l->manifest);
		if (l->kind == PKG_TARBALL)
			deps_inside(r, &p->deps);
		deps_hooks(r, &p->deps, NULL, p->name, p->manifest_version, NULL);
	} else {
		p->deps.bundled = &atomset_none;
	}
	p->leaf = l->kind == PKG_LINK || deps_none(&p->deps);
	return at;
}

int package_of_tarball(struct run *r, uint32_t *out, atom name, atom raw, atom directory, const struct request_local *l,
	const struct lock_package *locked, bool *fresh, struct err *e)
{
	atom key = atom_fmt(&r->t, STR_FMT "@" STR_FMT, SA(r, name), SA(r, raw)), id;
	atom version = l->manifest.version.n ? atom_of(&r->t, l->manifest.version) : 0;
	int rc = patched_id(r, &id, key, sof(r, name), version, e);
	if (rc)
		return rc;
	struct package_local x = { .kind = PKG_TARBALL,
		.id = id,
		.raw = raw,
		.manifest = &l->manifest,
		.name = name,
		.directory = directory,
		.integrity = l->integrity };
	*out = package_of_manifest(r, &x, fresh);
	struct pkg *p = pkg_at(r, *out);
	p->key = key;
	if (*fresh)
		p->locked = locked;
	return 0;
}

int package_of_lock(struct run *r, uint32_t *out, const struct lock_package *m, str name, str version,
	struct str_list own, bool *fresh, struct err *e)
{
	atom v = atom_of(&r->t, version), key = name_at_version(r, name, version), id;
	int rc = patched_id(r, &id, key, name, v, e);
	if (rc)
		return rc;
	*out = pkg_find(r, id);
	*fresh = *out == NONE;
	if (!*fresh)
		return 0;
	*out = pkg_add(r, id);
	struct pkg *p = pkg_at(r, *out);
	p->kind = PKG_LOCKED;
	p->key = key;
	p->name = p->peer_name = atom_of(&r->t, name);
	p->version = p->peer_version = p->manifest_version = v;
	p->locked = m;
	p->registry = settings_registry(r->set, name);
	p->deps.bundled = &atomset_none;
	p->deps.peer = kvs_of(r, m->peer_dependencies, &p->deps.npeer);
	p->deps.peer_optional = atoms_from(r, m->peer_optional);
	p->deps.npeer_optional = (uint32_t)m->peer_optional.n;
	p->deps.dep = arena_new(&r->arena, struct kv, own.n + 1);
	for (size_t i = 0; i < own.n; i++)
		p->deps.dep[p->deps.ndep++] = (struct kv){ atom_of(&r->t, own.p[i]), atom_of(&r->t, STR("*")) };
	return 0;
}
