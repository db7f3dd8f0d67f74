#include "project.h"
#include "integrity.h"
#include "lockfile_text.h"
#include "name.h"
#include "platform.h"
#include "project_glob.h"
#include "project_impl.h"
#include "project_local.h"
#include "workspace_file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOCKFILE_MAX = 256 << 20, OUTSIDE = 1 };
extern char **environ;

void load_warn(struct load *l, str text)
{
	*arena_add(l->a, l->p->warnings.p, l->p->warnings.n) = text;
}

str load_path(struct load *l, str dir, const char *name)
{
	return arena_printf(l->a, STR_FMT "/%s", STR_ARG(dir), name);
}

int load_text(struct load *l, str path, str *out)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	int rc = project_read_file(&b, path.p, LOAD_FILE_MAX, l->e);

	*out = rc == 0 ? arena_str(l->a, buf_str(&b)) : STR_NONE;
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* ---- where ---- */

static int find_dir(struct load *l)
{
	char real[PATH_MAX];
	str dir = l->o->dir.n ? arena_str(l->a, l->o->dir) : STR(".");

	if (!realpath(dir.p, real))
		return errno == ENOENT ? err_set(l->e, ERR_NOTFOUND, "%s: no such folder", dir.p)
				       : err_os(l->e, "%s", dir.p);
	l->dir = arena_str(l->a, str_of(real));
	return 0;
}

/* Where no folder was named: the nearest one upwards that looks like a project. Source: pnpm 12.21. */
static void find_near(struct load *l)
{
	static const char *const marks[] = { "node_modules", "package.json", "package.json5", "package.yaml",
		"pnpm-workspace.yaml" };
	const str modules = STR("/node_modules");
	str up = l->dir, name;

	while (str_ends(up, modules))
		up.n -= modules.n;
	for (bool there = up.n < l->dir.n;;) {
		for (size_t i = 0; !there && i < sizeof(marks) / sizeof(*marks); i++)
			there = access(load_path(l, up, marks[i]).p, F_OK) == 0;
		if (there)
			l->dir = up.n ? arena_str(l->a, up) : STR("/");
		if (there || !str_rcut(up, '/', &up, &name))
			return;
	}
}

/* The workspace's root is the nearest folder upwards with pnpm-workspace.yaml; without one, where the user stands. */
static void find_root(struct load *l)
{
	str up = l->dir, name;

	l->p->root = l->dir;
	if (l->o->ignore_workspace)
		return;
	for (;;) {
		if (access(load_path(l, up, "pnpm-workspace.yaml").p, F_OK) == 0) {
			l->p->root = up.n ? up : STR("/");
			l->has_yaml = true;
			return;
		}
		if (!str_rcut(up, '/', &up, &name))
			return;
		up = arena_str(l->a, up);
	}
}

static int make_workspace(struct load *l)
{
	int made =
		l->has_yaml || l->o->ignore_workspace || !l->o->make_workspace ? 0 : workspace_file_make(l->dir, l->e);

	if (made > 0) {
		l->has_yaml = l->p->made_workspace = true;
		load_warn(l, STR("Created pnpm-workspace.yaml from the \"workspaces\" field in package.json."));
	}
	return made < 0 ? made : 0;
}

/* ---- manifests ---- */

static void hash_manifest(struct sha256_ctx *h, const struct project *p, str path, str text)
{
	uint64_t size[] = { path.n - p->root.n, text.n };

	sha256_update(h, sizeof(size), (const uint8_t *)size);
	sha256_update(h, path.n - p->root.n, (const uint8_t *)path.p + p->root.n);
	sha256_update(h, text.n, (const uint8_t *)text.p);
}

static int read_manifest(struct load *l, str dir, struct manifest *out, bool *there)
{
	str path = load_path(l, dir, "package.json"), text;
	int rc = load_text(l, path, &text);

	*there = text.p != NULL;
	if (rc || !*there)
		return rc;
	hash_manifest(&l->manifests, l->p, path, text);
	return manifest_parse(out, text, path, l->a, l->e);
}

static int refuse_other_manifests(struct load *l, str dir)
{
	static const char *const names[] = { "package.yaml", "package.json5" };

	for (size_t i = 0; i < 2; i++) {
		if (access(load_path(l, dir, names[i]).p, F_OK) == 0)
			return err_set(l->e, ERR_UNSUPPORTED, "%s/%s: dray reads package.json only", dir.p, names[i]);
	}
	return 0;
}

static void warn_ignored_fields(struct load *l, str path, const struct manifest *m)
{
	struct buf keys AUTO(buf_release) = BUF_INIT;

	if (m->has_pnpm) {
		for (size_t i = 0; i < m->pnpm_keys.n; i++)
			buf_printf(&keys, "%s\"pnpm." STR_FMT "\"", i ? ", " : "", STR_ARG(m->pnpm_keys.p[i]));
		load_warn(l, arena_printf(l->a,
				     "The \"pnpm\" field in " STR_FMT
				     " is not read. The following keys were ignored: " STR_FMT
				     ". Put them into pnpm-workspace.yaml.",
				     STR_ARG(path), STR_ARG(buf_str(&keys))));
	}
	str pm = m->package_manager;
	if (pm.n && !str_starts(pm, STR("pnpm@")) && !str_eq(l->p->client.pm_on_fail, STR("ignore")))
		load_warn(l, arena_printf(l->a,
				     STR_FMT " names " STR_FMT " as its package manager; dray installs as pnpm does",
				     STR_ARG(path), STR_ARG(str_head(pm, 60))));
	if (m->has_resolutions)
		load_warn(l, arena_printf(l->a,
				     "The \"resolutions\" field in " STR_FMT
				     " is ignored; use overrides in pnpm-workspace.yaml.",
				     STR_ARG(path)));
	if (m->workspaces.n && !l->w.has_packages)
		load_warn(l, arena_printf(l->a,
				     "The \"workspaces\" field in " STR_FMT
				     " is ignored; list the folders under packages in pnpm-workspace.yaml.",
				     STR_ARG(path)));
}

static int add_importer(struct load *l, str path, const struct manifest *m)
{
	struct project *p = l->p;
	size_t i = p->req.nimporters++;

	if (m->runtime.n)
		return err_set(l->e, ERR_UNSUPPORTED,
			STR_FMT "/package.json asks for the runtime " STR_FMT
				" with onFail: download, which dray does not install: use pnpm, or another onFail",
			STR_ARG(path), STR_ARG(m->runtime));
	p->req.importer[i] = (struct request_importer){ .path = path, .manifest = *m };
	p->importer[i] = (struct project_importer){ .path = path, .dir = path_join(l->a, p->root, path) };
	return 0;
}

static int read_root(struct load *l, bool alone)
{
	struct manifest m = { 0 };
	bool there;
	int rc = read_manifest(l, l->p->root, &m, &there);

	if (rc)
		return rc;
	if (there) {
		warn_ignored_fields(l, STR("package.json"), &m);
		return add_importer(l, STR("."), &m);
	}
	rc = refuse_other_manifests(l, l->p->root);
	/* a workspace may have no projects. Source: pnpm 12.21 */
	return rc || !alone || l->has_yaml ? rc : err_set(l->e, ERR_NOTFOUND, "no package.json in %s", l->p->root.p);
}

static int read_importer(struct load *l, str dir)
{
	struct manifest m = { 0 };
	bool there;
	str at = path_join(l->a, l->p->root, dir);
	int rc = read_manifest(l, at, &m, &there);

	return rc ? rc : there ? add_importer(l, dir, &m) : refuse_other_manifests(l, at);
}

/* The root first, then the others by path: "." sorts before all names of folders. */
static int read_importers(struct load *l)
{
	struct project *p = l->p;
	struct str_list dirs = { 0 };
	int rc = l->w.has_packages ? project_glob(&dirs, p->root, l->w.packages, l->a, l->e) : 0;

	if (rc)
		return rc;
	p->is_workspace = l->has_yaml && l->w.has_packages;
	if (l->has_yaml) {
		str *only = arena_new(l->a, str, 1);
		*only = STR(".");
		p->patterns = l->w.has_packages ? l->w.packages : (struct str_list){ only, 1 };
	}
	p->req.importer = arena_new(l->a, struct request_importer, dirs.n + 1);
	p->importer = arena_new(l->a, struct project_importer, dirs.n + 1);
	rc = read_root(l, !dirs.n);
	for (size_t i = 0; rc == 0 && i < dirs.n; i++) {
		if (!str_eq(dirs.p[i], STR(".")))
			rc = read_importer(l, dirs.p[i]);
	}
	return rc;
}

/* Which importer the user stands in: the one whose folder it is, or the nearest above. False: in a project that the
 * workspace does not list. */
static bool find_current(struct load *l)
{
	struct project *p = l->p;
	size_t best = 0;

	p->current = STR(".");
	for (size_t i = 0; i < p->req.nimporters; i++) {
		str dir = p->importer[i].dir;
		bool inside = str_eq(l->dir, dir) || (str_starts(l->dir, dir) && l->dir.p[dir.n] == '/');
		if (inside && dir.n >= best) {
			best = dir.n;
			p->current = p->importer[i].path;
		}
	}
	return best == l->dir.n || str_eq(l->dir, p->root) || access(load_path(l, l->dir, "package.json").p, F_OK) != 0;
}

/* ---- lockfile and machine ---- */

static int read_lockfile(struct load *l)
{
	struct project *p = l->p;

	p->lockfile_path = load_path(l, p->root, "pnpm-lock.yaml");
	if (!p->client.lockfile)
		return 0;
	int rc = project_read_file(&p->lockfile_bytes, p->lockfile_path.p, LOCKFILE_MAX, l->e);
	if (rc == ERR_NOTFOUND)
		return 0;
	if (rc == 0) {
		buf_addc(&p->lockfile_bytes, 0); /* so that an empty file has bytes, too */
		p->lockfile_text = (str){ p->lockfile_bytes.p, p->lockfile_bytes.n - 1 };
	}
	return rc || l->o->unparsed ? rc : project_lockfile(p, l->e);
}

void project_lockfile_is(struct project *p, const struct lockfile *lf)
{
	p->lockfile = *lf;
	p->env_document = p->lockfile.env_document;
	p->has_lockfile = !p->lockfile.absent;
	if (p->has_lockfile) {
		p->req.lockfile = &p->lockfile;
		p->req.lockfile_text = p->lockfile_text;
	}
}

int project_lockfile(struct project *p, struct err *e)
{
	struct lockfile lf;

	if (!p->lockfile_text.p)
		return 0;
	int rc = lockfile_parse(&lf, p->lockfile_text, p->lockfile_path, &p->arena, e);
	if (rc && !lockfile_conflicted(p->lockfile_text)) {
		p->lockfile_broken = *e;
		p->lockfile_broken.code = rc;
		return 0;
	}
	if (rc == 0)
		project_lockfile_is(p, &lf);
	return rc;
}

bool project_manifests_same(const struct project *p)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(4096);
	struct sha256_ctx h;
	uint8_t now[32];
	struct err e;

	sha256_init(&h);
	for (size_t i = 0; i < p->req.nimporters; i++) {
		struct buf b AUTO(buf_release) = BUF_INIT;
		str path = arena_printf(&a, STR_FMT "/package.json", STR_ARG(p->importer[i].dir));
		if (project_read_file(&b, path.p, LOAD_FILE_MAX, &e) != 0)
			return false;
		hash_manifest(&h, p, path, buf_str(&b));
	}
	sha256_digest(&h, SHA256_DIGEST_SIZE, now);
	return memcmp(now, p->manifests, sizeof(now)) == 0;
}

/* What the projects themselves say of the node they run on: a warning, or with engineStrict an error. */
static int check_engines(struct load *l)
{
	struct project *p = l->p;
	struct arena scratch AUTO(arena_release) = ARENA_INIT(4096);
	struct err why;

	for (size_t i = 0; i < p->req.nimporters; i++) {
		const str *node = str_map_get(p->req.importer[i].manifest.engines, STR("node"));
		struct runs_on on = { .name = p->importer[i].dir, .node = node ? *node : STR_NONE };
		if (platform_takes(&on, &p->req, &scratch, &why) == 0)
			continue;
		if (p->client.engine_strict)
			return err_set(l->e, why.code, "%s", why.msg);
		load_warn(l, arena_str(l->a, str_of(why.msg)));
	}
	return 0;
}

/* ---- all of it ---- */

static int load_all(struct load *l)
{
	struct project *p = l->p;
	int rc = find_dir(l);

	if (rc)
		return rc;
	p->base = l->dir;
	if (!l->o->dir.n)
		find_near(l);
	find_root(l);
	if ((rc = make_workspace(l)) || (rc = load_settings(l)))
		return rc;
	if (p->client.no_tree.n && !l->o->lockfile_only)
		return err_set(l->e, ERR_UNSUPPORTED, STR_FMT, STR_ARG(p->client.no_tree));
	if ((rc = read_importers(l)))
		return rc;
	if (!find_current(l) && !l->o->whole_workspace)
		return OUTSIDE;
	if ((rc = read_lockfile(l)) || (rc = project_locals(&p->req, p->root, l->a, l->e)))
		return rc;
	platform_here(&p->req.platform, p->client.node_version, l->env, l->a);
	if ((rc = check_engines(l)))
		return rc;
	p->req.prod = p->req.dev = p->req.optional = true;
	p->req.ignore_scripts = p->client.ignore_scripts;
	return 0;
}

static int load(struct project *p, const struct project_opts *o, struct err *e)
{
	*p = (struct project){ .arena = ARENA_INIT(256 * 1024) };
	struct load l = { .p = p, .o = o, .a = &p->arena, .env = o->env ? o->env : environ, .e = e };

	sha256_init(&l.manifests);
	int rc = load_all(&l);
	sha256_digest(&l.manifests, SHA256_DIGEST_SIZE, p->manifests);
	return rc;
}

/* A project in a workspace's folder that is none of its packages stands for itself. Source: pnpm 12.21. */
int project_load(struct project *p, const struct project_opts *o, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct project_opts own = *o;
	int rc = load(p, o, e);

	if (rc != OUTSIDE)
		return rc;
	str around = arena_printf(&a, STR_FMT "/pnpm-workspace.yaml", STR_ARG(p->root));
	project_release(p);
	own.ignore_workspace = true;
	if ((rc = load(p, &own, e)) == 0)
		p->around = arena_str(&p->arena, around);
	return rc;
}

void project_release(struct project *p)
{
	buf_release(&p->lockfile_bytes);
	arena_release(&p->arena);
	*p = (struct project){ 0 };
}

/* KEY of allowBuilds: a name, or name@1.0.0 || 2.0.0. */
static bool build_key_takes(str key, str name, str version)
{
	str key_name, rest;

	name_split(key, &key_name, &rest);
	if (!str_eq(key_name, name))
		return false;
	while (rest.p && rest.n) {
		str one;
		size_t at = str_find_str(rest, STR("||"), 0);
		one = str_trim(str_head(rest, at == SIZE_MAX ? rest.n : at));
		rest = at == SIZE_MAX ? STR_NONE : str_from(rest, at + 2);
		if (str_eq(one, version))
			return true;
		if (!rest.n)
			return false;
	}
	return true;
}

int project_may_build(const struct client_settings *c, str name, str version)
{
	int says = -1;

	if (c->dangerously_allow_all_builds)
		return 1;
	for (size_t i = 0; i < c->nallow_build; i++) {
		if (build_key_takes(c->allow_build[i].key, name, version))
			says = c->allow_build[i].allow && says != 0;
	}
	return says;
}

bool project_age_strict(const struct project *p)
{
	return p->client.age_strict_set ? p->client.age_strict : p->req.settings.minimum_release_age_set;
}
