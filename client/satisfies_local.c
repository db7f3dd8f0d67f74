#include "satisfies_local.h"

#include "catalog.h"
#include "dep_path.h"
#include "match.h"
#include "name.h"
#include "project_local.h"
#include "semver.h"

struct check {
	const struct manifest *m;
	const struct lock_package *p;
	const struct lock_snapshot *s;
	const struct request *req;
	struct arena *a;
	bool frozen;
	bool published; /* from another folder than the manifest's */
};

/* The project or the folder that PATH is. */
static const struct manifest *folder_manifest(bool *published, const struct request *req, str path, struct arena *a)
{
	for (size_t i = 0; i < req->nimporters; i++) {
		const struct request_importer *im = &req->importer[i];
		str from = im->path;
		if (im->manifest.publish_directory.n)
			from = path_join(a, im->path, im->manifest.publish_directory);
		*published = !str_eq(im->path, path);
		if (!*published || str_eq(from, path))
			return &im->manifest;
	}
	*published = false;
	for (size_t i = 0; i < req->nlocal; i++) {
		if (req->local[i].is_dir && str_eq(req->local[i].path, path))
			return &req->local[i].manifest;
	}
	return NULL;
}

static str tarball_outdated(const struct lock_package *p, const struct request *req, struct arena *a)
{
	str path = str_from(p->resolution.tarball, 5);

	for (size_t i = 0; i < req->nlocal; i++) {
		const struct request_local *l = &req->local[i];
		if (!l->is_dir && str_eq(l->path, path) && !str_eq(l->integrity, p->resolution.integrity))
			return arena_printf(a, STR_FMT ": lockfile says " STR_FMT ", the file has " STR_FMT,
				STR_ARG(p->key), STR_ARG(p->resolution.integrity), STR_ARG(l->integrity));
	}
	return STR_NONE;
}

/* ---- rules of the settings that change what a manifest says ---- */

static bool overridden(const struct check *c, str alias)
{
	const struct str_map *o = &c->req->settings.overrides;

	for (size_t i = 0; i < o->n; i++) {
		str name = str_trim(selector_name(str_trim(o->p[i].k)));
		size_t group = str_find(name, ':', 0);
		if (match_one(group == SIZE_MAX ? name : str_head(name, group), alias))
			return true;
	}
	return false;
}

static bool extended(const struct check *c)
{
	const struct settings *s = &c->req->settings;

	for (size_t i = 0; i < s->nextension; i++) {
		if (str_eq(selector_name(s->extension[i].selector), c->m->name))
			return true;
	}
	return false;
}

static bool is_optional(const struct check *c, str alias)
{
	return str_map_get(c->m->optional_dependencies, alias) && !match_list(c->req->settings.ignored_optional, alias);
}

static bool is_peer(const struct check *c, str alias)
{
	return str_map_get(c->m->peer_dependencies, alias) || str_list_has(c->m->peer_optional, alias);
}

/* ---- what is locked against what is asked for ---- */

/* The specifier behind `catalog:`, if a catalog has one. */
static str spec_of(const struct check *c, str alias, str spec)
{
	const struct catalog_user u = { c->p->resolution.directory, c->a };
	struct err ignored;
	str meant = spec;

	return catalog_resolve(&c->req->settings, &meant, alias, spec, &u, &ignored) ? spec : meant;
}

static bool is_project(const struct check *c, str path)
{
	for (size_t i = 0; i < c->req->nimporters; i++) {
		if (str_eq(c->req->importer[i].path, path))
			return true;
	}
	return false;
}

/* REF under ALIAS against a path that is written from the folder of the package. A project may be linked where a copy
 * was asked for: dedupeInjectedDeps. */
static bool path_fits(const struct check *c, str alias, str spec, str ref)
{
	bool copied = str_starts(spec, STR("file:"));
	str path = str_from(spec, 5), name, version, suffix;

	if (c->published || !path.n || path.p[0] == '/' || path.p[0] == '~')
		return true;
	path = path_join(c->a, c->p->resolution.directory, path);
	if (str_starts(ref, STR("link:")))
		return !copied || is_project(c, path); /* spelt as the manifest spells it, or from the lockfile */
	dep_path_split(dep_path_from_ref(alias, ref, c->a), &name, &version, &suffix);
	return copied && str_starts(version, STR("file:")) && str_eq(str_from(version, 5), path);
}

/* Whether REF may stand for ALIAS@SPEC. Of tags and URLs only a resolver knows: they may. */
static bool ref_fits(const struct check *c, str alias, str spec, str ref)
{
	str wanted = alias, name, version, suffix;
	struct semver v;

	spec = spec_of(c, alias, spec);
	if (str_starts(spec, STR("file:")) || str_starts(spec, STR("link:")))
		return path_fits(c, alias, spec, ref);
	if (str_starts(spec, STR("npm:"))) {
		str rest = str_from(spec, 4);
		size_t at = rest.n ? str_find(rest, '@', 1) : SIZE_MAX;
		wanted = str_head(rest, at == SIZE_MAX ? rest.n : at);
		spec = at == SIZE_MAX ? STR("*") : str_from(rest, at + 1);
	}
	const struct range *range = range_parse_apart(spec, true, c->a);
	if (!range)
		return true;
	str path = dep_path_from_ref(alias, ref, c->a);
	if (!path.p)
		return true; /* a link: linkWorkspacePackages decides */
	dep_path_split(path, &name, &version, &suffix);
	return !semver_parse(&v, version, true) || (str_eq(name, wanted) && range_has(range, &v, true));
}

static str said(const struct check *c, str alias, str locked, str asked)
{
	return arena_printf(c->a, STR_FMT " > " STR_FMT ": lockfile says " STR_FMT ", package.json says " STR_FMT,
		STR_ARG(c->s->key), STR_ARG(alias), STR_ARG(locked.n ? locked : STR("none")),
		STR_ARG(asked.n ? asked : STR("none")));
}

static str group_outdated(const struct check *c, bool optional)
{
	struct str_map asked = optional ? c->m->optional_dependencies : c->m->dependencies;
	struct lock_deps locked = optional ? c->s->optional_dependencies : c->s->dependencies;

	for (size_t i = 0; i < asked.n; i++) {
		str alias = asked.p[i].k;
		const struct lock_dep *d = lock_dep_find(locked, alias);
		if (is_optional(c, alias) != optional || overridden(c, alias) || is_peer(c, alias))
			continue;
		bool may_miss = (optional && c->frozen) || c->m->bundle_all || str_list_has(c->m->bundled, alias);
		if (d ? !ref_fits(c, alias, asked.p[i].v, d->ref) : !may_miss)
			return said(c, alias, d ? d->ref : STR_NONE, asked.p[i].v);
	}
	for (size_t i = 0; i < locked.n && !extended(c); i++) {
		str alias = locked.p[i].alias;
		if (!is_peer(c, alias) && (!str_map_get(asked, alias) || is_optional(c, alias) != optional))
			return said(c, alias, locked.p[i].ref, STR_NONE);
	}
	return STR_NONE;
}

static bool is_own(const struct check *c, str alias)
{
	return str_map_get(c->m->dependencies, alias) || str_map_get(c->m->optional_dependencies, alias);
}

static str peers_outdated(const struct check *c)
{
	struct str_map asked = c->m->peer_dependencies, locked = c->p->peer_dependencies;

	if (extended(c))
		return STR_NONE;
	for (size_t i = 0; i < asked.n; i++) {
		str alias = asked.p[i].k;
		const str *v = str_map_get(locked, alias);
		if (is_own(c, alias) || overridden(c, alias))
			continue;
		/* catalog: and workspace: are locked as what they mean. */
		bool ruled = str_find(asked.p[i].v, ':', 0) != SIZE_MAX;
		if (!v || (!ruled && !str_eq(*v, asked.p[i].v)))
			return said(c, alias, v ? *v : STR_NONE, asked.p[i].v);
		if (str_list_has(c->m->peer_optional, alias) != str_list_has(c->p->peer_optional, alias))
			return arena_printf(c->a,
				STR_FMT " > " STR_FMT ": lockfile and package.json differ in peerDependenciesMeta",
				STR_ARG(c->s->key), STR_ARG(alias));
	}
	for (size_t i = 0; i < locked.n; i++) {
		if (!is_peer(c, locked.p[i].k))
			return said(c, locked.p[i].k, locked.p[i].v, STR_NONE);
	}
	return STR_NONE;
}

str local_outdated(const struct lock_package *p, const struct lock_snapshot *s, const struct request *req, bool frozen,
	struct arena *a)
{
	if (p->resolution.kind != LOCK_RES_DIRECTORY)
		return str_starts(p->resolution.tarball, STR("file:")) ? tarball_outdated(p, req, a) : STR_NONE;
	struct check c = { .p = p, .s = s, .req = req, .a = a, .frozen = frozen };
	c.m = folder_manifest(&c.published, req, p->resolution.directory, a);
	if (!c.m)
		return STR_NONE;
	str why = group_outdated(&c, false);
	if (!why.n)
		why = group_outdated(&c, true);
	return why.n ? why : peers_outdated(&c);
}
