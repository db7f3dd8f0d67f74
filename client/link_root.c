#include "link_root.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "name.h"

struct link {
	str alias, target;
};
struct links {
	struct link *p;
	size_t n;
	struct arena *a;
	const struct root_opts *o; /* NULL: of the folder of hoisted names, where every symlink is ours */
	str importer;
};
enum { WANTED = 1, WANTED_SCOPE }; /* of names in a map */

/* Mostly all but the last two folders of PATH are there, or all of it is: three calls instead of three for each
 * folder. -1: they are not. */
static int dir_make_last(int dirfd, str path)
{
	char whole[4096];
	str head, last;

	if (path.n >= sizeof(whole))
		return -1;
	snprintf(whole, sizeof(whole), STR_FMT, STR_ARG(path));
	if (mkdirat(dirfd, whole, 0777) != 0 && errno == ENOENT && str_rcut(path, '/', &head, &last)) {
		whole[head.n] = 0;
		if (mkdirat(dirfd, whole, 0777) != 0)
			return -1;
		whole[head.n] = '/';
		if (mkdirat(dirfd, whole, 0777) != 0)
			return -1;
	}
	return openat(dirfd, whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* NAME in FD. OURS: what is no folder there may go. */
static int dir_step(int fd, str name, bool ours, struct err *e)
{
	char path[256];

	if (name.n >= sizeof(path))
		return err_set(e, ERR_TOOBIG, "folder name \"" STR_FMT "\" is too long", STR_ARG(name));
	snprintf(path, sizeof(path), STR_FMT, STR_ARG(name));
	if (mkdirat(fd, path, 0777) != 0 && errno != EEXIST)
		return err_os(e, "make folder %s", path);
	int next = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (next >= 0)
		return next;
	if (errno != ENOTDIR && errno != ENOENT)
		return err_os(e, "open folder %s", path);
	if (!ours)
		return err_os(e, "%s is in the way, a folder must be there: remove it", path);
	if (unlinkat(fd, path, 0) != 0 || mkdirat(fd, path, 0777) != 0)
		return err_os(e, "replace %s by a folder", path);
	next = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return next >= 0 ? next : err_os(e, "open folder %s", path);
}

int dir_make(int dirfd, str path, struct err *e)
{
	int fd = dir_make_last(dirfd, path);
	str part, rest = path;
	bool ours = false;

	if (fd >= 0)
		return fd;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_os(e, "open folder " STR_FMT, STR_ARG(path));
	while (rest.n) {
		str_cut(rest, '/', &part, &rest);
		if (!part.n || str_eq(part, STR(".")))
			continue;
		int next = dir_step(fd, part, ours, e);
		close(fd);
		if (next < 0)
			return err_ctx(e, STR_FMT, STR_ARG(path));
		fd = next;
		ours |= str_eq(part, STR("node_modules"));
	}
	return fd;
}

static void links_add(struct links *l, str alias, str target)
{
	*arena_add(l->a, l->p, l->n) = (struct link){ alias, target };
}

static bool link_wanted(const struct map *wanted, const char *scope, const char *name)
{
	char alias[520];

	snprintf(alias, sizeof(alias), "%s%s%s", scope, *scope ? "/" : "", name);
	return map_get(wanted, str_of(alias)) != MAP_NONE;
}

/* Whether TEXT leads to a shared slot: …/links/<name>-<32 hex digits>/node_modules/… */
static bool into_shared(const char *text)
{
	const char *links = strstr(text, "/links/"), *end = links ? strstr(links, "/node_modules/") : NULL;

	return end && end - links > 7 + 33 && end[-33] == '-' && strspn(end - 32, "0123456789abcdef") == 32;
}

/* Moves NAME out of the way, beside it, as pnpm does; what an earlier install has put there stays. The folder of
 * hoisted names is an install's own: there it goes. */
static int put_aside(const struct links *l, int dirfd, const char *name, struct root_counts *c, struct err *e)
{
	enum { MOST = 100 };
	const char *slash = strchr(name, '/');
	int head = slash ? (int)(slash - name) + 1 : 0;
	char aside[300];

	if (!l->o)
		return fs_remove_tree(dirfd, name, e);

	for (unsigned i = 1; i <= MOST; i++) {
		struct stat st;
		int n = snprintf(aside, sizeof(aside), "%.*s.ignored_%s", head, name, name + head);
		if (i > 1)
			snprintf(aside + n, sizeof(aside) - (size_t)n, ".%u", i);
		int failed = renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) != 0 ? errno : 0;
		if (failed == EINVAL) /* a file system that cannot look and rename in one step */
			failed = fstatat(dirfd, aside, &st, AT_SYMLINK_NOFOLLOW) == 0 ? EEXIST
				 : renameat(dirfd, name, dirfd, aside) != 0           ? errno
										      : 0;
		if (failed == 0) {
			c->set_aside++;
			snprintf(c->set_aside_name, sizeof(c->set_aside_name), "%.250s", name);
			return 0;
		}
		errno = failed;
		if (failed != EEXIST)
			break;
	}
	return err_os(e, "%s is in the way and cannot be moved to %s: move it elsewhere", name, aside);
}

/* What stands under an unwanted name is a link, with TEXT, that is an install's to remove: into a virtual store,
 * dangling, or to a folder that was a dependency. */
static bool link_stale(const struct links *l, int fd, const char *scope, const char *name, const char *text)
{
	char alias[520];

	if (!l->o || strstr(text, ".pnpm/") || into_shared(text) || faccessat(fd, name, F_OK, 0) != 0)
		return true;
	snprintf(alias, sizeof(alias), "%s%s%s", scope, *scope ? "/" : "", name);
	return l->o->had_link && l->o->had_link(l->o->arg, l->importer, str_of(alias));
}

static int links_prune(const struct links *l, int at, const char *scope, const struct map *wanted,
	struct root_counts *c, struct err *e);

/* NAME may be a scope: what is left in it goes, too. A link, or a file, in its place would have dependencies made
 * elsewhere. 1: it was one. */
static int scope_prune(const struct links *l, int at, const struct dirent *en, const struct map *wanted,
	struct root_counts *c, struct err *e)
{
	struct stat st;

	if (en->d_name[0] != '@' || fstatat(at, en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return links_prune(l, at, en->d_name, wanted, c, e) < 0 ? e->code : 1;
	if (map_get(wanted, str_of(en->d_name)) != WANTED_SCOPE)
		return 0;
	return put_aside(l, at, en->d_name, c, e) < 0 ? e->code : 1;
}

/* Takes away what is left in SCOPE, or beside all scopes, of dependencies that went; a scope of
 * which nothing is left, too. */
static int links_prune(const struct links *l, int at, const char *scope, const struct map *wanted,
	struct root_counts *c, struct err *e)
{
	DIR *d = fs_list(at, *scope ? scope : ".");
	bool other = false;
	int code = 0;

	if (!d)
		return *scope ? 0 : err_os(e, "read node_modules");
	for (struct dirent *en; code >= 0 && (en = readdir(d));) {
		char text[4096];
		if (en->d_name[0] == '.' || (!*scope && (code = scope_prune(l, at, en, wanted, c, e)) != 0))
			continue;
		bool keep = link_wanted(wanted, scope, en->d_name);
		ssize_t n = keep ? 0 : readlinkat(dirfd(d), en->d_name, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		if (n > 0 && link_stale(l, dirfd(d), scope, en->d_name, text) && unlinkat(dirfd(d), en->d_name, 0) == 0)
			c->removed++;
		else
			other = true;
	}
	closedir(d);
	if (*scope && !other)
		unlinkat(at, scope, AT_REMOVEDIR); /* only if it is empty */
	return code < 0 ? code : 0;
}

/* Something is in the way of LINK. 1: it is right already; 0: the place is free now. */
static int link_clear(const struct links *links, int dirfd, const char *name, const struct link *l,
	struct root_counts *c, struct err *e)
{
	char text[4096];
	struct stat st;

	ssize_t n = readlinkat(dirfd, name, text, sizeof(text));
	if (n >= 0) {
		if (str_eq((str){ text, (size_t)n }, l->target))
			return 1;
		return unlinkat(dirfd, name, 0) == 0 ? 0 : err_os(e, "replace symlink %s", name);
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_os(e, "stat %s", name);
	return put_aside(links, dirfd, name, c, e);
}

static int link_put(const struct links *links, int dirfd, const struct link *l, struct root_counts *c, struct err *e)
{
	char name[256], scope[256];
	str s = name_scope(l->alias);

	snprintf(name, sizeof(name), STR_FMT, STR_ARG(l->alias));
	snprintf(scope, sizeof(scope), STR_FMT, STR_ARG(s));
	for (int tries = 0; tries < 3; tries++) {
		if (symlinkat(l->target.p, dirfd, name) == 0) {
			c->made++;
			return 0;
		}
		if (errno == ENOENT && s.n) {
			if (mkdirat(dirfd, scope, 0777) != 0)
				return err_os(e, "make folder %s", scope);
		} else if (errno == EEXIST) {
			int right = link_clear(links, dirfd, name, l, c, e);
			if (right < 0)
				return right;
			if (right) {
				c->kept++;
				return 0;
			}
		} else {
			break;
		}
	}
	return err_os(e, "make symlink %s", name);
}

static int links_apply(int dirfd, struct links *l, struct root_counts *c, struct err *e)
{
	AUTO(map_release) struct map wanted = MAP_INIT;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!name_valid(l->p[i].alias))
			return err_set(
				e, ERR_PROTOCOL, "\"" STR_FMT "\" is no name for a dependency", STR_ARG(l->p[i].alias));
		bool fresh;
		map_add(&wanted, l->p[i].alias, WANTED, &fresh);
		if (name_scope(l->p[i].alias).n)
			map_set(&wanted, name_scope(l->p[i].alias), WANTED_SCOPE);
		if (fresh) /* a name in two groups: the first group's */
			l->p[n++] = l->p[i];
	}
	l->n = n;
	if (links_prune(l, dirfd, "", &wanted, c, e) < 0)
		return e->code;
	for (size_t i = 0; i < l->n; i++) {
		if (link_put(l, dirfd, &l->p[i], c, e) < 0)
			return e->code;
	}
	return 0;
}

static const char *scope_up(str alias)
{
	return name_scope(alias).n ? "../" : "";
}

static int link_importer(
	const struct root_opts *o, const struct lock_importer *im, struct root_counts *c, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	struct links l = { .a = &a, .o = o, .importer = im->path };
	const struct tree *t = o->layout.tree;
	const struct hoist *hoist = o->layout.hoist;
	struct direct *d;
	bool is_root = str_eq(im->path, STR("."));
	str up = importer_up(im->path, &a);
	/* from its node_modules to the virtual store */
	str base = t->shared.n ? arena_printf(&a, "../" STR_FMT STR_FMT, STR_ARG(up), STR_ARG(t->shared))
		   : is_root   ? STR(".pnpm")
			       : arena_printf(&a, "../" STR_FMT "node_modules/.pnpm", STR_ARG(up));

	size_t n = importer_directs(&d, &o->layout, im, &a);
	for (size_t i = 0; i < n; i++) {
		const char *s = scope_up(d[i].alias);
		links_add(&l, d[i].alias,
			d[i].to ? arena_printf(&a, "%s" STR_FMT "/%s/node_modules/" STR_FMT, s, STR_ARG(base),
					  d[i].to->dir, STR_ARG(d[i].to->name))
				: arena_printf(&a, "%s../" STR_FMT, s, STR_ARG(d[i].link)));
	}
	for (size_t i = 0; is_root && i < hoist->n; i++) {
		const struct hoisted *h = &hoist->p[i];
		const char *s = scope_up(h->alias);
		if (h->is_public)
			links_add(&l, h->alias,
				h->to ? arena_printf(&a, "%s" STR_FMT "/%s/node_modules/" STR_FMT, s, STR_ARG(base),
						h->to->dir, STR_ARG(h->to->name))
				      : arena_printf(&a, "%s../" STR_FMT, s, STR_ARG(h->folder)));
	}
	str path = is_root ? STR("node_modules") : arena_printf(&a, STR_FMT "/node_modules", STR_ARG(im->path));
	struct stat st;
	if (l.n == 0 && fstatat(o->root, arena_str(&a, path).p, &st, 0) != 0)
		return 0; /* pnpm makes no empty folder either */
	AUTO(fs_close_auto) int fd = dir_make(o->root, path, e);
	if (fd < 0 || links_apply(fd, &l, c, e) < 0)
		return err_ctx(e, STR_FMT, STR_ARG(path));
	if (l.n == 0 && !is_root) /* nor does pnpm make an empty one; its .bin goes at the same time (bins.c) */
		unlinkat(o->root, arena_str(&a, path).p, AT_REMOVEDIR);
	return 0;
}

struct hoist_place hoist_place_project(int root, const struct tree *t, struct arena *a)
{
	return (struct hoist_place){ root, STR("node_modules/.pnpm/node_modules"),
		t->shared.n ? arena_printf(a, "../../../" STR_FMT, STR_ARG(t->shared)) : STR("..") };
}

int link_hoisted(struct root_counts *c, const struct hoist *hoist, const struct hoist_place *at, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	struct links l = { .a = &a };
	char text[8];

	for (size_t i = 0; i < hoist->n; i++) {
		const struct hoisted *h = &hoist->p[i];
		const char *s = scope_up(h->alias);
		if (!h->is_public)
			links_add(&l, h->alias,
				h->to ? arena_printf(&a, "%s" STR_FMT "/%s/node_modules/" STR_FMT, s,
						STR_ARG(at->slots), h->to->dir, STR_ARG(h->to->name))
				      : arena_printf(&a, "%s../../../" STR_FMT, s, STR_ARG(h->folder)));
	}
	struct stat st;
	/* empty when all is hoisted publicly: pnpm makes it then, too */
	if (hoist->n == 0 && fstatat(at->fd, at->path.p, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	/* a link into the store, of a time when the names were shared: what is in there is not
	 * this project's to change */
	if (readlinkat(at->fd, at->path.p, text, sizeof(text)) > 0 && unlinkat(at->fd, at->path.p, 0) != 0)
		return err_os(e, "replace symlink " STR_FMT, STR_ARG(at->path));
	AUTO(fs_close_auto) int fd = dir_make(at->fd, at->path, e);
	if (fd < 0 || links_apply(fd, &l, c, e) < 0)
		return err_ctx(e, STR_FMT, STR_ARG(at->path));
	return 0;
}

int link_root(struct root_counts *out, const struct root_opts *o, struct err *e)
{
	struct root_counts c = { 0 };

	for (size_t i = 0; i < o->layout.tree->nimporters; i++) {
		if (link_importer(o, o->layout.tree->importer[i], &c, e) < 0)
			return e->code;
	}
	*out = c;
	return 0;
}
