#include "workspace.h"
#include "base/map.h"
#include "base/vec.h"
#include "name.h"
#include "package.h"
#include "pick.h"

struct ws_package {
	atom name, version;
	const struct request_importer *imp;
	uint32_t next; /* of the same name, in the request's order; MAP_NONE: none */
};
struct workspace {
	VEC(struct ws_package) p;
	struct map named;           /* the first of each name */
	struct map local, importer; /* by path */
};

void workspace_init(struct run *r)
{
	struct workspace *w = r->workspace = xcalloc(1, sizeof(*w));
	for (size_t i = 0; i < r->req->nimporters; i++) {
		const struct request_importer *m = &r->req->importer[i];
		map_add(&w->importer, m->path, (uint32_t)i, NULL);
		if (m->manifest.name.n)
			*vec_add(&w->p) = (struct ws_package){ atom_of(&r->t, m->manifest.name),
				m->manifest.version.n ? atom_of(&r->t, m->manifest.version)
						      : atom_of(&r->t, STR("0.0.0")),
				m, MAP_NONE };
	}
	for (size_t i = w->p.n; i-- > 0;) {
		str name = w->p.p[i].imp->manifest.name;
		w->p.p[i].next = map_get(&w->named, name);
		map_set(&w->named, name, (uint32_t)i);
	}
	for (size_t i = 0; i < r->req->nlocal; i++)
		map_add(&w->local, r->req->local[i].path, (uint32_t)i, NULL);
}

void workspace_release(struct run *r)
{
	if (!r->workspace)
		return;
	vec_release(&r->workspace->p);
	map_release(&r->workspace->named);
	map_release(&r->workspace->local);
	map_release(&r->workspace->importer);
	free(r->workspace);
}

const struct manifest *workspace_manifest(const struct run *r, str path, str *integrity)
{
	*integrity = STR_NONE;
	uint32_t at = map_get(&r->workspace->local, path);
	if (at != MAP_NONE) {
		*integrity = r->req->local[at].integrity;
		return &r->req->local[at].manifest;
	}
	at = map_get(&r->workspace->importer, path);
	return at == MAP_NONE ? NULL : &r->req->importer[at].manifest;
}

bool workspace_injected(const struct manifest *m, str alias)
{
	for (size_t i = 0; m && i < m->ndependencies_meta; i++)
		if (m->dependencies_meta[i].injected == META_INJECTED && str_eq(m->dependencies_meta[i].alias, alias))
			return true;
	return false;
}

/* --- workspace packages --- */

bool workspace_any(str s)
{
	return !s.n || str_eq(s, STR("*")) || str_eq(s, STR("^")) || str_eq(s, STR("~"));
}

static bool names_prerelease(str s)
{
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] == '-' && s.p[i - 1] >= '0' && s.p[i - 1] <= '9')
			return true;
	return false;
}

/* The next project called NAME after P (NULL: the first one); NULL: there is none. */
static const struct ws_package *ws_next(struct run *r, const struct ws_package *p, atom name)
{
	uint32_t i = p ? p->next : map_get(&r->workspace->named, sof(r, name));
	return i == MAP_NONE ? NULL : &r->workspace->p.p[i];
}

/* Of several with one name and version the last counts. Source: pnpm 12.21's behaviour. */
static const struct ws_package *ws_pick(struct run *r, atom name, atom fetch, enum spec_type type, bool *known)
{
	const struct ws_package *best = NULL;
	const struct semver *best_v = NULL;
	str want = sof(r, fetch);
	bool any = type == SPEC_TAG || workspace_any(want);
	const struct range *rg = any ? NULL : atom_range(&r->t, fetch);
	*known = false;
	for (const struct ws_package *p = NULL; (p = ws_next(r, p, name));) {
		*known = true;
		const struct semver *v = atom_semver(&r->t, p->version);
		if (type == SPEC_VERSION) {
			const struct semver *exact = atom_semver(&r->t, fetch);
			if (p->version == fetch || (v && exact && semver_cmp(v, exact) == 0))
				best = p;
			continue;
		}
		if (!v && !best_v && (any || p->version == fetch))
			best = p; /* what is no version satisfies "*", and itself */
		if (!v || (!any && (!rg || !range_has(rg, v, false) || (v->pre.n && !names_prerelease(want)))))
			continue;
		if (!best_v || p->version == best->version || semver_cmp(v, best_v) > 0) {
			best = p;
			best_v = v;
		}
	}
	return best;
}

static uint32_t ws_package(
	struct run *r, const struct importer *imp, const struct ws_package *p, const struct wanted *w, bool *fresh)
{
	const struct manifest *m = &p->imp->manifest;
	str dir = p->imp->path;
	if (m->publish_directory.n && m->publish_link_directory)
		dir = path_join(&r->arena, dir, m->publish_directory);
	struct package_local l = { .manifest = m,
		.name = p->name,
		.alias = w->alias,
		.directory = atom_copy(&r->t, dir),
		.by_workspace = true };
	if (r->set->inject_workspace_packages || w->injected) {
		l.kind = PKG_DIRECTORY;
		l.raw = atom_fmt(&r->t, "file:" STR_FMT, STR_ARG(str_eq(dir, STR(".")) ? STR_NONE : dir));
		l.id = atom_fmt(&r->t, STR_FMT "@" STR_FMT, SA(r, p->name), SA(r, l.raw));
	} else {
		l.kind = PKG_LINK;
		l.raw = atom_fmt(&r->t, "link:" STR_FMT, STR_ARG(path_relative(&r->arena, imp->req->path, dir)));
		l.id = atom_fmt(&r->t, "link:" STR_FMT, STR_ARG(dir));
	}
	return package_of_manifest(r, &l, fresh);
}

static int ws_resolve(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w, str spec,
	bool *fresh, struct err *e)
{
	/* workspace:^, workspace:alias@^, workspace:1.x: as npm would read it */
	str name, version, body = str_from(spec, 10);
	struct reg_spec s = { .name = w->alias };
	if (body.n > 1 && str_rcut(str_from(body, 1), '@', &name, &version)) {
		s.name = atom_copy(&r->t, str_head(body, name.n + 1));
		body = version;
	}
	atom bare = workspace_any(body) ? atom_of(&r->t, STR("*")) : atom_copy(&r->t, body);
	bool known;
	if (!reg_spec_parse(r, &s, s.name, bare))
		return err_set(e, ERR_USAGE, "invalid workspace: specifier \"" STR_FMT "\" of " STR_FMT, STR_ARG(spec),
			SA(r, w->alias));
	const struct ws_package *p = ws_pick(r, s.name, s.fetch, s.type, &known);
	if (p) {
		*out = ws_package(r, imp, p, w, fresh);
		return LOCAL_FOUND;
	}
	if (!known)
		return err_set(e, ERR_NOTFOUND,
			"in " STR_FMT ": \"" STR_FMT "@" STR_FMT
			"\" is a dependency but the workspace has no package named \"" STR_FMT "\"",
			STR_ARG(imp->req->path), SA(r, w->alias), STR_ARG(spec), SA(r, s.name));
	AUTO(buf_release) struct buf b = BUF_INIT;
	for (p = NULL; (p = ws_next(r, p, s.name));)
		buf_printf(&b, " " STR_FMT, SA(r, p->version));
	return err_set(e, ERR_NOMATCH,
		"in " STR_FMT ": no version of " STR_FMT " in the workspace satisfies " STR_FMT "; available:" STR_FMT,
		STR_ARG(imp->req->path), SA(r, s.name), STR_ARG(spec), STR_ARG(buf_str(&b)));
}

bool workspace_preferred(struct run *r, const struct reg_spec *spec)
{
	bool known;
	return r->set->prefer_workspace_packages && ws_pick(r, spec->name, spec->fetch, spec->type, &known);
}

bool workspace_instead(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct reg_spec *spec, atom version, bool *fresh)
{
	bool known;
	const struct ws_package *best = ws_pick(r, spec->name, spec->fetch, spec->type, &known);
	if (!known)
		return false;
	for (const struct ws_package *p = NULL; version && (p = ws_next(r, p, spec->name));)
		if (p->version == version) {
			*out = ws_package(r, imp, p, w, fresh);
			return true;
		}
	if (!best)
		return false;
	const struct semver *mine = atom_semver(&r->t, best->version),
			    *theirs = version ? atom_semver(&r->t, version) : NULL;
	if (version && !r->set->prefer_workspace_packages && !(mine && theirs && semver_cmp(mine, theirs) > 0))
		return false;
	*out = ws_package(r, imp, best, w, fresh);
	return true;
}

/* --- folders and tarballs --- */

bool workspace_tarball(str s)
{
	return str_ends(s, STR(".tgz")) || str_ends(s, STR(".tar.gz")) || str_ends(s, STR(".tar"));
}

static bool has_scheme(str s)
{
	size_t colon = str_find(s, ':', 0);
	return colon != SIZE_MAX && str_find(s, '/', 0) > colon;
}

static bool is_path(str s)
{
	return spec_is_path(s) || (workspace_tarball(s) && !has_scheme(s));
}

static str local_path(str s)
{
	if (str_starts(s, STR("workspace:")))
		return str_from(s, 10);
	return str_starts(s, STR("file:")) || str_starts(s, STR("link:")) ? str_from(s, 5) : s;
}

static int local_missing(struct run *r, const struct wanted *w, str path, struct err *e)
{
	return err_set(e, ERR_NOTFOUND, "could not install " STR_FMT " from \"" STR_FMT "\": it does not exist",
		SA(r, w->alias), STR_ARG(path));
}

static str base_name(str path)
{
	str head, tail;
	return str_rcut(path, '/', &head, &tail) ? tail : path;
}

int workspace_resolve(struct run *r, uint32_t *out, const struct importer *imp, atom files, atom links,
	const struct wanted *w, bool *fresh, struct err *e)
{
	str s = sof(r, w->spec), integrity;
	bool file = str_starts(s, STR("file:")), link = str_starts(s, STR("link:")),
	     ws = str_starts(s, STR("workspace:"));
	if (ws && !str_starts(s, STR("workspace:.")))
		return ws_resolve(r, out, imp, w, s, fresh, e);
	if (str_starts(s, STR("path:")))
		return err_set(e, ERR_USAGE,
			"path: is no protocol of dependencies; write link: for a folder or file: for a tarball");
	if (!file && !link && !ws && !is_path(s))
		return LOCAL_NONE;
	bool tarball = !ws && !link && workspace_tarball(s);
	str path = request_path(r->req, sof(r, file ? files : links), local_path(s), &r->arena);
	const struct manifest *m = workspace_manifest(r, path, &integrity);
	bool copy = file || (!link && (tarball || w->injected || (ws && r->set->inject_workspace_packages)));
	atom d = atom_copy(&r->t, path);
	if (copy && !m)
		return local_missing(r, w, path, e);
	str name_s = m && m->name.n ? m->name : base_name(path);
	if (tarball && !(m && m->name.n))
		return err_set(
			e, ERR_PARSE, "can't install \"" STR_FMT "\": its package.json has no name", STR_ARG(path));
	if (copy && !name_valid(name_s))
		return err_set(e, ERR_UNSUPPORTED,
			"could not install " STR_FMT " from \"" STR_FMT "\": its name, \"" STR_FMT
			"\", is none: write \"name\" or \"@scope/name\" into its package.json",
			SA(r, w->alias), STR_ARG(path), STR_ARG(str_head(name_s, 200)));
	atom name = atom_copy(&r->t, name_s);
	if (tarball && copy) {
		struct request_local *l = arena_new(&r->arena, struct request_local, 1);
		*l = (struct request_local){ .path = path, .integrity = integrity, .manifest = *m };
		atom raw = atom_fmt(&r->t, "file:" STR_FMT, STR_ARG(path));
		int rc = package_of_tarball(r, out, name, raw, d, l, NULL, fresh, e);
		return rc ? rc : LOCAL_FOUND;
	}
	struct package_local l = {
		.kind = copy ? PKG_DIRECTORY : PKG_LINK, .manifest = m, .name = name, .directory = d
	};
	if (copy) {
		l.raw = atom_fmt(&r->t, "file:" STR_FMT, STR_ARG(path));
		l.id = atom_fmt(&r->t, STR_FMT "@" STR_FMT, SA(r, name), SA(r, l.raw));
		l.integrity = integrity;
		l.by_workspace = ws && map_get(&r->workspace->importer, path) != MAP_NONE;
	} else {
		l.raw = atom_fmt(&r->t, "link:" STR_FMT, STR_ARG(path_relative(&r->arena, imp->req->path, path)));
		l.id = atom_fmt(&r->t, "link:" STR_FMT, STR_ARG(path));
	}
	*out = package_of_manifest(r, &l, fresh);
	return LOCAL_FOUND;
}
