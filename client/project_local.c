#include "project_local.h"
#include "catalog.h"
#include "lock_walk.h"
#include "name.h"
#include "tarball_manifest.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCALS_MAX = 10000, MANIFEST_MAX = 16 << 20, TARBALL_MAX = 1 << 30 };

int project_read_file(struct buf *out, const char *path, size_t max, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? err_set(e, ERR_NOTFOUND, "%s: not there", path)
							   : err_os(e, "%s", path);
	struct stat st;
	int rc = 0;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size < max)
		buf_reserve(out, (size_t)st.st_size + 65536); /* at once, with room to see the end */
	for (;;) {
		char *to = buf_reserve(out, 65536);
		ssize_t n = read(fd, to, out->cap - out->n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_os(e, "%s", path);
		if (n <= 0)
			break;
		out->n += (size_t)n;
		if (out->n > max) {
			rc = err_set(e, ERR_TOOBIG, "%s: larger than %zu bytes", path, max);
			break;
		}
	}
	close(fd);
	return rc;
}

struct locals {
	struct request *req;
	str root;
	struct arena *a;
	struct map seen;
	struct err *e;
};

static int read_tarball(struct locals *l, struct request_local *local, str file)
{
	struct buf bytes AUTO(buf_release) = BUF_INIT;
	struct tarball_package p;
	int rc = project_read_file(&bytes, file.p, TARBALL_MAX, l->e);

	if (rc == 0)
		rc = tarball_manifest(&p, buf_str(&bytes), file, false, l->a, l->e);
	if (rc)
		return rc;
	if (!p.has_manifest)
		return err_set(l->e, ERR_PARSE, "%s: the tarball has no package.json", file.p);
	local->manifest = p.manifest;
	local->integrity = p.integrity;
	return 0;
}

/* ---- specs ---- */

enum spec_kind { SPEC_OTHER, SPEC_FILE, SPEC_LINK };

static bool is_tarball(str path)
{
	return str_ends(path, STR(".tgz")) || str_ends(path, STR(".tar.gz")) || str_ends(path, STR(".tar"));
}

/* What a dependency's spec says: npm's rule for bare paths included. */
static enum spec_kind spec_kind(str spec, str *path)
{
	if (str_starts(spec, STR("file:"))) {
		*path = str_from(spec, 5);
		return SPEC_FILE;
	}
	if (str_starts(spec, STR("link:"))) {
		*path = str_from(spec, 5);
		return SPEC_LINK;
	}
	*path = spec;
	if (!spec_is_path(spec) && (!is_tarball(spec) || str_find(spec, ':', 0) != SIZE_MAX))
		return SPEC_OTHER;
	return is_tarball(spec) ? SPEC_FILE : SPEC_LINK; /* pnpm links a bare folder */
}

static int add_specs(struct locals *l, const struct manifest *m, str base, bool dev);

static struct request_local *new_local(struct locals *l, str path, bool is_dir)
{
	struct request_local *local = arena_add(l->a, l->req->local, l->req->nlocal);

	*local = (struct request_local){ .path = path, .is_dir = is_dir };
	return local;
}

/* A folder without a package.json is a package without dependencies that is called as the folder is. Source:
 * pnpm 12.21. */
static int read_folder(struct locals *l, struct request_local *local, str dir)
{
	struct buf text AUTO(buf_release) = BUF_INIT;
	str file = arena_printf(l->a, STR_FMT "/package.json", STR_ARG(dir));
	int rc = project_read_file(&text, file.p, MANIFEST_MAX, l->e);

	if (rc == ERR_NOTFOUND)
		return 0;
	return rc ? rc : manifest_parse_folder(&local->manifest, arena_str(l->a, buf_str(&text)), file, l->a, l->e);
}

static bool leaves_project(str path)
{
	return str_starts(path, STR("/")) || str_starts(path, STR("~/"));
}

/* What PATH in the folder BASE is. A file that is not there is none: the resolver says so, or leaves an optional
 * dependency out. */
static int add_local(struct locals *l, enum spec_kind kind, str base, str path)
{
	bool fresh;
	struct stat st;

	if (leaves_project(path) && !l->req->root.n) {
		const char *home = getenv("HOME");
		l->req->root = l->root;
		l->req->home = arena_str(l->a, str_of(home ? home : ""));
	}
	path = request_path(l->req, base, path, l->a);

	map_add(&l->seen, path, 0, &fresh);
	if (!fresh)
		return 0;
	if (l->req->nlocal == LOCALS_MAX)
		return err_set(l->e, ERR_TOOBIG, "more than %d local dependencies", LOCALS_MAX);
	str full = path_join(l->a, l->root, path);
	if (stat(full.p, &st) != 0)
		return errno == ENOENT || kind == SPEC_LINK ? 0 : err_os(l->e, "%s", full.p);
	struct request_local *local = new_local(l, path, S_ISDIR(st.st_mode));
	size_t at = l->req->nlocal - 1;
	int rc = local->is_dir ? read_folder(l, local, full) : read_tarball(l, local, full);
	if (rc || kind == SPEC_LINK)
		return rc;
	struct manifest m = l->req->local[at].manifest; /* the array may move */
	return add_specs(l, &m, local->is_dir ? path : STR("."), false);
}

/* DEP's spec as a manifest in BASE means it, through the catalogs. */
static str meant(const struct request *req, struct str_kv dep, str base, struct arena *a)
{
	struct err ignored;
	str spec = dep.v;

	return catalog_resolve(&req->settings, &spec, dep.k, dep.v, &(struct catalog_user){ base, a }, &ignored) ? dep.v
														 : spec;
}

static int add_map(struct locals *l, struct str_map m, str base, str who)
{
	for (size_t i = 0; i < m.n; i++) {
		str path;
		enum spec_kind kind = spec_kind(meant(l->req, m.p[i], base, l->a), &path);
		if (kind == SPEC_OTHER)
			continue;
		int rc = add_local(l, kind, base, path);
		if (rc)
			return err_ctx(l->e, STR_FMT " > " STR_FMT "@" STR_FMT, STR_ARG(who), STR_ARG(m.p[i].k),
				STR_ARG(m.p[i].v));
	}
	return 0;
}

static int add_specs(struct locals *l, const struct manifest *m, str base, bool dev)
{
	int rc = add_map(l, m->dependencies, base, base);

	if (rc == 0)
		rc = add_map(l, m->optional_dependencies, base, base);
	if (rc == 0 && dev)
		rc = add_map(l, m->dev_dependencies, base, base);
	if (rc == 0 && dev && l->req->settings.auto_install_peers)
		rc = add_map(l, m->peer_dependencies, base, base);
	return rc;
}

int project_locals(struct request *req, str root, struct arena *a, struct err *e)
{
	struct locals l = { .req = req, .root = root, .a = a, .e = e };
	int rc = 0;

	for (size_t i = 0; i < req->nimporters && rc == 0; i++)
		rc = add_specs(&l, &req->importer[i].manifest, req->importer[i].path, true);
	if (rc == 0)
		rc = add_map(&l, req->settings.overrides, STR("."), STR("overrides"));
	map_release(&l.seen);
	return rc;
}

static bool names_folder(const struct request *req, struct str_map m)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);

	for (size_t i = 0; i < m.n; i++) {
		str path;
		if (spec_kind(meant(req, m.p[i], STR("."), &a), &path) == SPEC_FILE && !is_tarball(path))
			return true;
	}
	return false;
}

bool project_copies_folders(const struct request *req)
{
	for (size_t i = 0; i < req->nimporters; i++) {
		const struct manifest *m = &req->importer[i].manifest;
		if (names_folder(req, m->dependencies) || names_folder(req, m->dev_dependencies) ||
			names_folder(req, m->optional_dependencies))
			return true;
	}
	return names_folder(req, req->settings.overrides);
}

/* ---- links that no plan has ---- */

static bool is_listed(const struct lock_importer *im, str alias)
{
	for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
		if (str_eq(at.d->alias, alias))
			return true;
	}
	return false;
}

static void direct_insert(struct lock_directs *l, struct lock_direct d)
{
	size_t at = l->n++;

	for (; at > 0 && str_cmp(l->p[at - 1].alias, d.alias) > 0; at--)
		l->p[at] = l->p[at - 1];
	l->p[at] = d;
}

static void links_add(struct lock_importer *im, enum lock_dep_type type, const struct str_map *deps,
	const struct request *req, struct arena *a)
{
	struct lock_directs l = { arena_new(a, struct lock_direct, im->deps[type].n + deps->n + 1), 0 };

	for (size_t i = 0; i < im->deps[type].n; i++)
		l.p[l.n++] = im->deps[type].p[i];
	for (size_t i = 0; i < deps->n; i++) {
		str alias = deps->p[i].k, spec = deps->p[i].v;
		if (!str_starts(spec, STR("link:")) || is_listed(im, alias))
			continue;
		str to = path_relative(a, im->path, request_path(req, im->path, str_from(spec, 5), a));
		str ref = arena_printf(a, "link:" STR_FMT, STR_ARG(to.n ? to : STR(".")));
		direct_insert(&l, (struct lock_direct){ alias, spec, ref });
	}
	im->deps[type] = l;
}

void project_links_add(struct lock_importer *im, const struct request *req, struct arena *a)
{
	const struct request_importer *of = request_importer(req, im->path);

	if (!req->settings.exclude_links_from_lockfile || !of)
		return;
	links_add(im, LOCK_OPTIONAL, &of->manifest.optional_dependencies, req, a);
	links_add(im, LOCK_PROD, &of->manifest.dependencies, req, a);
	links_add(im, LOCK_DEV, &of->manifest.dev_dependencies, req, a);
}
