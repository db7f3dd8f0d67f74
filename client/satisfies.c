/* satisfies — whether a lockfile fits the manifests and settings, so that no resolver is needed. Pure.
 * Source: pnpm's satisfiesPackageManifest, getOutdatedLockfileSetting. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dep_path.h"
#include "dependencies_meta.h"
#include "lock_walk.h"
#include "match.h"
#include "overrides.h"
#include "project_names.h"
#include "satisfies_local.h"
#include "semver.h"
#include "source.h"

struct check {
	const struct lockfile *lf;
	const struct request *req;
	struct projects_hooked meant;
	struct project_names names;
	struct arena *a;
	bool frozen;
	VEC(str) found;
};
enum { DIFFERENCES_MAX = 10000 };

PRINTF_LIKE(2, 3)
static void differ(struct check *c, const char *fmt, ...)
{
	va_list ap;
	char text[1024];

	if (c->found.n >= DIFFERENCES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*vec_add(&c->found) = arena_str(c->a, str_of(text));
}

static str or_none(const str *v)
{
	return v ? *v : STR("none");
}

/* What LOCKED and WANTED, maps under the setting NAME, do not agree in. */
static void maps_differ(struct check *c, const char *name, struct str_map locked, struct str_map wanted)
{
	for (size_t i = 0; i < locked.n; i++) {
		const str *v = str_map_get(wanted, locked.p[i].k);
		if (!v || !str_eq(*v, locked.p[i].v))
			differ(c, "%s > " STR_FMT ": lockfile says " STR_FMT ", settings say " STR_FMT, name,
				STR_ARG(locked.p[i].k), STR_ARG(locked.p[i].v), STR_ARG(or_none(v)));
	}
	for (size_t i = 0; i < wanted.n; i++) {
		if (!str_map_get(locked, wanted.p[i].k))
			differ(c, "%s > " STR_FMT ": lockfile says none, settings say " STR_FMT, name,
				STR_ARG(wanted.p[i].k), STR_ARG(wanted.p[i].v));
	}
}

/* The lockfile holds the entries that are used: others may come and go. */
static void catalogs_differ(struct check *c)
{
	const struct settings *s = &c->req->settings;

	for (size_t i = 0; i < c->lf->head.ncatalog; i++) {
		const struct lock_catalog_entry *l = &c->lf->head.catalog[i];
		const str *v = NULL;
		for (size_t k = 0; k < s->ncatalog; k++) {
			if (str_eq(s->catalog[k].catalog, l->catalog) && str_eq(s->catalog[k].alias, l->alias))
				v = &s->catalog[k].specifier;
		}
		if (!v || !str_eq(*v, l->specifier))
			differ(c,
				"catalogs > " STR_FMT " > " STR_FMT ": lockfile says " STR_FMT
				", settings say " STR_FMT,
				STR_ARG(l->catalog), STR_ARG(l->alias), STR_ARG(l->specifier), STR_ARG(or_none(v)));
	}
}

static void patches_differ(struct check *c)
{
	const struct settings *s = &c->req->settings;
	struct str_map wanted = { .p = arena_new(c->a, struct str_kv, s->npatch + 1), .n = s->npatch };

	for (size_t i = 0; i < s->npatch; i++)
		wanted.p[i] = (struct str_kv){ s->patch[i].selector, s->patch[i].hash };
	maps_differ(c, "patchedDependencies", c->lf->head.patched, wanted);
}

static void flag_differs(struct check *c, const char *name, bool locked, bool wanted)
{
	if (locked != wanted)
		differ(c, "%s: lockfile says %s, settings say %s", name, locked ? "true" : "false",
			wanted ? "true" : "false");
}

static void settings_differ(struct check *c)
{
	const struct settings *s = &c->req->settings;
	const struct lock_head *h = &c->lf->head;

	if (!h->no_settings) {
		flag_differs(c, "autoInstallPeers", h->auto_install_peers, s->auto_install_peers);
		flag_differs(
			c, "excludeLinksFromLockfile", h->exclude_links_from_lockfile, s->exclude_links_from_lockfile);
	}
	flag_differs(c, "dedupePeers", h->dedupe_peers, s->dedupe_peers);
	flag_differs(c, "injectWorkspacePackages", h->inject_workspace_packages, s->inject_workspace_packages);
	if (lock_suffix_max(h) != s->peers_suffix_max_length)
		differ(c, "peersSuffixMaxLength: lockfile says %u, settings say %u", lock_suffix_max(h),
			s->peers_suffix_max_length);
	maps_differ(c, "overrides", h->overrides, c->meant.overrides);
	if (!str_eq(h->package_extensions_checksum, s->package_extensions_checksum))
		differ(c, "packageExtensions: lockfile has checksum " STR_FMT ", settings have " STR_FMT,
			STR_ARG(h->package_extensions_checksum.n ? h->package_extensions_checksum : STR("none")),
			STR_ARG(s->package_extensions_checksum.n ? s->package_extensions_checksum : STR("none")));
	if (h->pnpmfile_checksum.n)
		differ(c, "pnpmfileChecksum: the lockfile was made with hooks, which dray does not run");
	if (!str_list_same(h->ignored_optional, s->ignored_optional))
		differ(c, "ignoredOptionalDependencies: lockfile lists %zu, settings list %zu, or others",
			h->ignored_optional.n, s->ignored_optional.n);
	catalogs_differ(c);
	patches_differ(c);
}

/* Which group pnpm writes ALIAS of M in: optional over prod over dev; with autoInstallPeers the
 * project's own peers are prod. */
static bool wanted(const struct manifest *m, enum lock_dep_type g, size_t i, str *alias, str *spec)
{
	const struct str_map *from[] = { [LOCK_PROD] = &m->dependencies,
		[LOCK_DEV] = &m->dev_dependencies,
		[LOCK_OPTIONAL] = &m->optional_dependencies };
	bool is_peer = g == LOCK_PROD && i >= m->dependencies.n;
	const struct str_kv *kv = is_peer ? &m->peer_dependencies.p[i - m->dependencies.n] : &from[g]->p[i];

	*alias = kv->k;
	*spec = kv->v;
	if (g == LOCK_OPTIONAL)
		return true;
	if (str_map_get(m->optional_dependencies, kv->k))
		return false;
	if (is_peer)
		return !str_map_get(m->dependencies, kv->k) && !str_map_get(m->dev_dependencies, kv->k);
	return g == LOCK_PROD || !str_map_get(m->dependencies, kv->k);
}

static const struct lock_direct *direct_find(struct lock_directs d, str alias)
{
	for (size_t i = 0; i < d.n; i++) {
		if (str_eq(d.p[i].alias, alias))
			return &d.p[i];
	}
	return NULL;
}

/* A version of a registry's package that is not in the range beside it: a merge leaves such lines. No range at all
 * takes prereleases, too, as the resolver does (engine/pick.c); any other only those that it names. */
static bool version_left(struct check *c, const struct lock_direct *d)
{
	size_t open = str_find(d->ref, '(', 0);
	str version = open == SIZE_MAX ? d->ref : str_head(d->ref, open), spec = d->specifier;
	struct semver v;

	bool fits = str_eq(spec, version) || str_eq(spec, STR("*")) || !str_trim(spec).n;
	if (!fits && spec.n == version.n + 1 && (spec.p[0] == '^' || spec.p[0] == '~'))
		fits = str_ends(spec, version);
	if (fits)
		return false; /* most are like that */
	const struct range *range = semver_parse(&v, version, false) ? range_parse_apart(spec, false, c->a) : NULL;
	return range && !range_has(range, &v, false);
}

/* ALIAS of the lockfile's group G: does the manifest still ask for it there? */
static bool still_wanted(const struct manifest *m, enum lock_dep_type g, size_t n, str alias)
{
	for (size_t i = 0; i < n; i++) {
		str name, spec;
		if (wanted(m, g, i, &name, &spec) && str_eq(name, alias))
			return true;
	}
	return false;
}

static const char *const group_names[] = {
	[LOCK_PROD] = "dependencies", [LOCK_DEV] = "devDependencies", [LOCK_OPTIONAL] = "optionalDependencies"
};

/* What the manifest in PATH asks for in G, against D, what the lockfile has for it, or NULL. */
static void direct_differs(
	struct check *c, str path, enum lock_dep_type g, const struct lock_direct *d, const struct str_kv *want)
{
	if (!d || !str_eq(d->specifier, want->v))
		differ(c, STR_FMT " > %s > " STR_FMT ": lockfile says " STR_FMT ", package.json says " STR_FMT,
			STR_ARG(path), group_names[g], STR_ARG(want->k), STR_ARG(d ? d->specifier : STR("none")),
			STR_ARG(want->v));
	else if (version_left(c, d))
		differ(c, STR_FMT " > %s > " STR_FMT ": lockfile has " STR_FMT ", which is not in " STR_FMT,
			STR_ARG(path), group_names[g], STR_ARG(want->k), STR_ARG(d->ref), STR_ARG(want->v));
}

static void group_differs(
	struct check *c, const struct request_importer *im, const struct lock_importer *l, enum lock_dep_type g)
{
	const struct manifest *m = &im->manifest;
	const size_t sizes[] = { [LOCK_PROD] = m->dependencies.n +
					       (c->req->settings.auto_install_peers ? m->peer_dependencies.n : 0),
		[LOCK_DEV] = m->dev_dependencies.n,
		[LOCK_OPTIONAL] = m->optional_dependencies.n };
	struct lock_directs locked = l->deps[g];
	size_t n = 0;

	for (size_t i = 0; i < sizes[g]; i++) {
		struct str_kv want;
		if (!wanted(m, g, i, &want.k, &want.v))
			continue;
		const struct lock_direct *d = direct_find(locked, want.k);
		if (!d && c->req->settings.exclude_links_from_lockfile && str_starts(want.v, STR("link:")))
			continue;
		if (!d && c->frozen && g == LOCK_OPTIONAL)
			continue; /* one that nobody could get is not in the lockfile */
		n += d != NULL;
		direct_differs(c, im->path, g, d, &want);
	}
	for (size_t i = 0; n != locked.n && i < locked.n; i++) {
		if (!still_wanted(m, g, sizes[g], locked.p[i].alias))
			differ(c, STR_FMT " > %s > " STR_FMT ": lockfile says " STR_FMT ", package.json says none",
				STR_ARG(im->path), group_names[g], STR_ARG(locked.p[i].alias),
				STR_ARG(locked.p[i].specifier));
	}
}

/* dependenciesMeta and publishConfig.directory, which decide how other projects see this one and it them. */
static void meta_differs(struct check *c, const struct request_importer *im, const struct lock_importer *l)
{
	const struct manifest *m = &im->manifest;
	const struct str_list *locked[] = {
		[META_EMPTY] = &l->meta_empty, [META_INJECTED] = &l->injected, [META_NOT_INJECTED] = &l->not_injected
	};
	const str *text = str_map_get(l->extra, STR(DEPENDENCIES_META_KEY));
	bool same =
		text ? str_eq(*text, m->meta_text)
		     : !m->meta_text.n && m->ndependencies_meta == l->meta_empty.n + l->injected.n + l->not_injected.n;

	for (size_t i = 0; same && !text && i < m->ndependencies_meta; i++)
		same = str_list_has(*locked[m->dependencies_meta[i].injected], m->dependencies_meta[i].alias);
	if (!same)
		differ(c, STR_FMT " > dependenciesMeta: lockfile and package.json differ", STR_ARG(im->path));
	if (!str_eq(m->publish_directory, l->publish_directory))
		differ(c, STR_FMT " > publishConfig.directory: lockfile says " STR_FMT ", package.json says " STR_FMT,
			STR_ARG(im->path), STR_ARG(l->publish_directory.n ? l->publish_directory : STR("none")),
			STR_ARG(m->publish_directory.n ? m->publish_directory : STR("none")));
	if ((m->publish_directory.n && !m->publish_link_directory) != l->publish_unlinked)
		differ(c, STR_FMT " > publishConfig.linkDirectory: lockfile says %s, package.json says %s",
			STR_ARG(im->path), l->publish_unlinked ? "false" : "true",
			l->publish_unlinked ? "true" : "false");
}

/* Whether some project called NAME has a version in RANGE; true also where none is called so. */
static bool project_in_range(const struct check *c, str name, const struct range *range)
{
	bool any = false;
	for (uint32_t i = project_named(&c->names, name); i != MAP_NONE; i = c->names.next[i]) {
		struct semver v;
		if (!semver_parse(&v, c->req->importer[i].manifest.version, true))
			continue;
		if (range_has(range, &v, true))
			return true;
		any = true;
	}
	return !any;
}

/* Locked links to projects whose version has left the range that the manifest asks for. */
static void links_differ(struct check *c, const struct request_importer *im, const struct lock_importer *l)
{
	for (struct lock_walk at = lock_walk(l); lock_next(&at);) {
		if (!str_starts(at.d->ref, STR("link:")) || !str_starts(at.d->specifier, STR("workspace:")))
			continue;
		const struct range *range = range_parse_apart(str_from(at.d->specifier, 10), true, c->a);
		if (range && !project_in_range(c, at.d->alias, range))
			differ(c, STR_FMT " > " STR_FMT ": lockfile says " STR_FMT ", the project has another version",
				STR_ARG(im->path), STR_ARG(at.d->alias), STR_ARG(at.d->specifier));
	}
}

/* Whether M asks for anything but peers and what ignoredOptionalDependencies drops. */
static bool asks_for_any(const struct check *c, const struct manifest *m)
{
	const struct str_map *from[] = { &m->dependencies, &m->optional_dependencies };
	const struct str_list ignored = c->req->settings.ignored_optional;

	for (size_t g = 0; g < 2; g++) {
		for (size_t i = 0; i < from[g]->n; i++) {
			str alias = from[g]->p[i].k;
			if (!str_map_get(m->optional_dependencies, alias) || !match_list(ignored, alias))
				return true;
		}
	}
	return m->dev_dependencies.n > 0;
}

/* A project that the lockfile doesn't have fits where it asks for nothing, by package.json or packageExtensions. Its
 * own peers don't count, autoInstallPeers or not; what overrides remove and excludeLinksFromLockfile leaves out does.
 * Source: pnpm 12.21. */
static void importer_missing(struct check *c, size_t i)
{
	const struct request_importer *im = &c->req->importer[i];

	if (asks_for_any(c, &im->manifest) || asks_for_any(c, &c->meant.importer[i].manifest))
		differ(c, STR_FMT ": the workspace has this project, the lockfile does not", STR_ARG(im->path));
}

static void importers_differ(struct check *c)
{
	for (size_t i = 0; i < c->req->nimporters; i++) {
		const struct lock_importer *l = lockfile_importer(c->lf, c->req->importer[i].path);
		if (!l) {
			importer_missing(c, i);
			continue;
		}
		for (int g = 0; g < LOCK_NTYPES; g++)
			group_differs(c, &c->meant.importer[i], l, (enum lock_dep_type)g);
		meta_differs(c, &c->req->importer[i], l);
		links_differ(c, &c->req->importer[i], l);
	}
	for (size_t i = 0; !c->frozen && i < c->lf->nimporters; i++) {
		if (!request_importer(c->req, c->lf->importer[i].path))
			differ(c, STR_FMT ": the lockfile has this project, the workspace does not",
				STR_ARG(c->lf->importer[i].path));
	}
}

/* Folders and tarballs outside the registry: also those to which only another such folder leads. */
static void locals_differ(struct check *c)
{
	const struct lockfile *lf = c->lf;
	bool any = false;

	for (size_t i = 0; i < lf->npackages && !any; i++)
		any = lf->package[i].resolution.kind == LOCK_RES_DIRECTORY ||
		      str_starts(lf->package[i].resolution.tarball, STR("file:"));
	for (size_t i = 0; any && i < lf->nsnapshots; i++) {
		const struct lock_package *p = lockfile_package(lf, dep_path_package_key(lf->snapshot[i].key));
		str why = p ? local_outdated(p, &lf->snapshot[i], c->req, c->frozen, c->a) : STR_NONE;
		if (why.n)
			differ(c, STR_FMT, STR_ARG(why));
	}
}

bool lockfile_satisfies(
	const struct lockfile *lf, const struct request *req, bool frozen, struct str_list *why, struct arena *a)
{
	struct check c = { .lf = lf, .req = req, .a = a, .frozen = frozen };
	struct err e;

	project_names_init(&c.names, req, a);
	if (projects_hooks(&c.meant, req, a, &e) < 0) {
		differ(&c, "%s", e.msg); /* the resolver's to report where it is asked */
	} else {
		settings_differ(&c);
		importers_differ(&c);
		locals_differ(&c);
	}
	*why = (struct str_list){ arena_new(a, str, c.found.n + 1), c.found.n };
	for (size_t i = 0; i < c.found.n; i++)
		why->p[i] = c.found.p[i];
	vec_release(&c.found);
	project_names_release(&c.names);
	return why->n == 0;
}

struct reach {
	const struct lockfile *lf;
	struct arena a;
	bool *seen; /* by snapshot */
	VEC(uint32_t) todo;
};

static int reach(struct reach *w, str alias, str ref, struct err *e)
{
	str path = dep_path_from_ref(alias, ref, &w->a);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(w->lf, path) : NULL;

	if (!s)
		return path.n ? lockfile_no_entry(path, e) : 0;
	size_t i = (size_t)(s - w->lf->snapshot);
	if (!w->seen[i]) {
		w->seen[i] = true;
		*vec_add(&w->todo) = (uint32_t)i;
	}
	return 0;
}

static int reach_deps(struct reach *w, struct lock_deps d, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; i < d.n && !rc; i++)
		rc = reach(w, d.p[i].alias, d.p[i].ref, e);
	return rc;
}

int lockfile_whole(const struct lockfile *lf, struct err *e)
{
	struct reach w = { .lf = lf, .a = ARENA_INIT(64 * 1024), .seen = xcalloc(lf->nsnapshots + 1, sizeof(bool)) };
	int rc = 0;

	for (size_t i = 0; i < lf->nimporters && !rc; i++)
		for (struct lock_walk at = lock_walk(&lf->importer[i]); !rc && lock_next(&at);)
			rc = reach(&w, at.d->alias, at.d->ref, e);
	while (w.todo.n && !rc) {
		const struct lock_snapshot *s = &lf->snapshot[w.todo.p[--w.todo.n]];
		rc = reach_deps(&w, s->dependencies, e);
		if (!rc)
			rc = reach_deps(&w, s->optional_dependencies, e);
	}
	free(w.seen);
	vec_release(&w.todo);
	arena_release(&w.a);
	return rc;
}
