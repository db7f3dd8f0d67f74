/* satisfies — whether a lockfile fits the manifests and settings, so that no resolver is needed. Pure.
 * Source: pnpm's satisfiesPackageManifest, getOutdatedLockfileSetting. */
#include "source.h"

struct check {
	const struct lockfile *lf;
	const struct request *req;
	str *why;
	struct arena *a;
};

static bool no(const struct check *c, str why)
{
	*c->why = why;
	return false;
}

static bool list_same(struct str_list a, struct str_list b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (!str_list_has(b, a.p[i]))
			return false;
	}
	return true;
}

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

static bool catalogs_fit(const struct check *c)
{
	const struct settings *s = &c->req->settings;

	for (size_t i = 0; i < c->lf->head.ncatalog; i++) {
		const struct lock_catalog_entry *l = &c->lf->head.catalog[i];
		bool found = false;
		for (size_t k = 0; k < s->ncatalog && !found; k++)
			found = str_eq(s->catalog[k].catalog, l->catalog) && str_eq(s->catalog[k].alias, l->alias) &&
				str_eq(s->catalog[k].specifier, l->specifier);
		if (!found)
			return no(c, arena_printf(c->a, "catalog entry " STR_FMT " has changed", STR_ARG(l->alias)));
	}
	return true;
}

static bool patches_fit(const struct check *c)
{
	const struct settings *s = &c->req->settings;

	if (s->npatch != c->lf->head.patched.n)
		return no(c, STR("patchedDependencies have changed"));
	for (size_t i = 0; i < s->npatch; i++) {
		const str *hash = str_map_get(c->lf->head.patched, s->patch[i].selector);
		if (!hash || !str_eq(*hash, s->patch[i].hash))
			return no(c, STR("patchedDependencies have changed"));
	}
	return true;
}

static bool settings_fit(const struct check *c)
{
	const struct settings *s = &c->req->settings;
	const struct lock_head *h = &c->lf->head;
	uint32_t max = h->peers_suffix_max_length ? h->peers_suffix_max_length : 1000;

	if (h->auto_install_peers != s->auto_install_peers)
		return no(c, STR("autoInstallPeers has changed"));
	if (h->exclude_links_from_lockfile != s->exclude_links_from_lockfile)
		return no(c, STR("excludeLinksFromLockfile has changed"));
	if (h->dedupe_peers != s->dedupe_peers)
		return no(c, STR("dedupePeers has changed"));
	if (h->inject_workspace_packages != s->inject_workspace_packages)
		return no(c, STR("injectWorkspacePackages has changed"));
	if (max != (s->peers_suffix_max_length ? s->peers_suffix_max_length : 1000))
		return no(c, STR("peersSuffixMaxLength has changed"));
	if (!map_same(h->overrides, s->overrides))
		return no(c, STR("overrides have changed"));
	if (!str_eq(h->package_extensions_checksum, s->package_extensions_checksum))
		return no(c, STR("packageExtensions have changed"));
	if (h->pnpmfile_checksum.n)
		return no(c, STR("it was made with a pnpmfile"));
	if (!list_same(h->ignored_optional, s->ignored_optional))
		return no(c, STR("ignoredOptionalDependencies have changed"));
	return catalogs_fit(c) && patches_fit(c);
}

/* Which group pnpm writes ALIAS of M in: optional over prod over dev; with autoInstallPeers the project's own peers are prod. */
static bool wanted(
	const struct check *c, const struct manifest *m, enum lock_dep_type g, size_t i, str *alias, str *spec)
{
	const struct str_map *from[] = { [LOCK_PROD] = &m->dependencies,
		[LOCK_DEV] = &m->dev_dependencies,
		[LOCK_OPTIONAL] = &m->optional_dependencies };
	bool is_peer = g == LOCK_PROD && i >= m->dependencies.n;
	const struct str_kv *kv = is_peer ? &m->peer_dependencies.p[i - m->dependencies.n] : &from[g]->p[i];

	*alias = kv->k;
	*spec = kv->v;
	if (g == LOCK_OPTIONAL)
		return !str_list_has(c->req->settings.ignored_optional, kv->k);
	if (str_map_get(m->optional_dependencies, kv->k) && !str_list_has(c->req->settings.ignored_optional, kv->k))
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

/* An override rewrites what the manifest says before it is locked. */
static bool overridden(const struct check *c, str alias, str spec)
{
	const struct str_map *o = &c->req->settings.overrides;

	for (size_t i = 0; i < o->n; i++) {
		if (str_starts(o->p[i].k, alias) && str_eq(o->p[i].v, spec))
			return true;
	}
	return false;
}

static bool group_fits(
	const struct check *c, const struct request_importer *im, const struct lock_importer *l, enum lock_dep_type g)
{
	static const char *const names[] = {
		[LOCK_PROD] = "dependencies", [LOCK_DEV] = "devDependencies", [LOCK_OPTIONAL] = "optionalDependencies"
	};
	const struct manifest *m = &im->manifest;
	const size_t sizes[] = { [LOCK_PROD] = m->dependencies.n +
					       (c->req->settings.auto_install_peers ? m->peer_dependencies.n : 0),
		[LOCK_DEV] = m->dev_dependencies.n,
		[LOCK_OPTIONAL] = m->optional_dependencies.n };
	struct lock_directs locked = l ? l->deps[g] : (struct lock_directs){ 0 };
	size_t n = 0;

	for (size_t i = 0; i < sizes[g]; i++) {
		str alias, spec;
		if (!wanted(c, m, g, i, &alias, &spec))
			continue;
		const struct lock_direct *d = direct_find(locked, alias);
		if (!d && c->req->settings.exclude_links_from_lockfile && str_starts(spec, STR("link:")))
			continue;
		if (!d)
			return no(c, arena_printf(c->a, STR_FMT ": " STR_FMT "@" STR_FMT " was added to %s",
					     STR_ARG(im->path), STR_ARG(alias), STR_ARG(spec), names[g]));
		if (!str_eq(d->specifier, spec) && !overridden(c, alias, d->specifier))
			return no(c,
				arena_printf(c->a, STR_FMT ": " STR_FMT " is locked for " STR_FMT ", %s says " STR_FMT,
					STR_ARG(im->path), STR_ARG(alias), STR_ARG(d->specifier), names[g],
					STR_ARG(spec)));
		n++;
	}
	if (n != locked.n)
		return no(c, arena_printf(c->a, STR_FMT ": %s of the lockfile has %zu entries more than package.json",
				     STR_ARG(im->path), names[g], locked.n - n));
	return true;
}

bool lockfile_satisfies(const struct lockfile *lf, const struct request *req, str *why, struct arena *a)
{
	struct check c = { lf, req, why, a };

	if (!settings_fit(&c))
		return false;
	for (size_t i = 0; i < req->nimporters; i++) {
		const struct lock_importer *l = lockfile_importer(lf, req->importer[i].path);
		for (int g = 0; g < LOCK_NTYPES; g++) {
			if (!group_fits(&c, &req->importer[i], l, (enum lock_dep_type)g))
				return false;
		}
	}
	for (size_t i = 0; i < lf->nimporters; i++) {
		bool found = false;
		for (size_t k = 0; k < req->nimporters && !found; k++)
			found = str_eq(lf->importer[i].path, req->importer[k].path);
		if (!found)
			return no(&c, arena_printf(a, "project " STR_FMT " is gone", STR_ARG(lf->importer[i].path)));
	}
	return true;
}
