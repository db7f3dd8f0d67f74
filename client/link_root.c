#include "link_root.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "name.h"

struct link {
	str alias, target;
};
struct links {
	struct link *p;
	size_t n, cap;
	struct arena *a;
};

/* Mostly all but the last two folders of PATH are there, or all of it is: three calls instead of three for each folder. -1: they are not. */
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

int dir_make(int dirfd, str path, struct err *e)
{
	int fd = dir_make_last(dirfd, path);
	str part, rest = path;

	if (fd >= 0)
		return fd;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && rest.n) {
		char name[256];
		str_cut(rest, '/', &part, &rest);
		if (!part.n || str_eq(part, STR(".")))
			continue;
		if (part.n >= sizeof(name)) {
			close(fd);
			return err_set(e, ERR_TOOBIG, "folder name \"" STR_FMT "\" is too long", STR_ARG(part));
		}
		snprintf(name, sizeof(name), STR_FMT, STR_ARG(part));
		if (mkdirat(fd, name, 0777) != 0 && errno != EEXIST) {
			close(fd);
			return err_os(e, "make folder " STR_FMT, STR_ARG(path));
		}
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	return fd >= 0 ? fd : err_os(e, "open folder " STR_FMT, STR_ARG(path));
}

str importer_up(str path, struct arena *a)
{
	size_t depth = 0;

	for (str part, rest = path; rest.n;) {
		str_cut(rest, '/', &part, &rest);
		depth += part.n && !str_eq(part, STR("."));
	}
	char *p = arena_new(a, char, depth * 3 + 1);
	for (size_t i = 0; i < depth; i++)
		memcpy(p + i * 3, "../", 3);
	return (str){ p, depth * 3 };
}

size_t importer_directs(struct direct **out, const struct tree *t, const struct lock_importer *im, bool prod, bool dev,
	bool optional, struct arena *a)
{
	static const enum lock_dep_type order[] = { LOCK_PROD, LOCK_DEV, LOCK_OPTIONAL };
	const bool on[LOCK_NTYPES] = { [LOCK_PROD] = prod, [LOCK_DEV] = dev, [LOCK_OPTIONAL] = optional };
	size_t n = 0;

	struct direct *d = arena_new(a, struct direct, im->deps[0].n + im->deps[1].n + im->deps[2].n + 1);
	for (size_t g = 0; g < LOCK_NTYPES; g++) {
		const struct lock_directs *list = &im->deps[order[g]];
		for (size_t i = 0; on[order[g]] && i < list->n; i++) {
			struct tree_edge edge;
			if (!tree_edge(&edge, t, list->p[i].alias, list->p[i].ref, a) ||
				(edge.to && !slot_wanted(edge.to)))
				continue;
			d[n++] = (struct direct){ edge.alias, edge.to, edge.link, order[g] };
		}
	}
	*out = d;
	return n;
}

static void links_add(struct links *l, str alias, str target)
{
	l->p = arena_grow(l->a, l->p, l->n, &l->cap, sizeof(*l->p), _Alignof(struct link));
	l->p[l->n++] = (struct link){ alias, target };
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

/* Takes away what is left of dependencies that went: symlinks into a virtual store, and dangling ones; ALL: every symlink. */
static int links_prune(int at, const char *scope, const struct map *wanted, bool all, uint64_t *removed, struct err *e)
{
	DIR *d = fs_list(at, *scope ? scope : ".");
	bool other = false;

	if (!d)
		return *scope ? 0 : err_os(e, "read node_modules");
	const int fd = dirfd(d);
	for (struct dirent *en; (en = readdir(d));) {
		char text[4096];
		if (en->d_name[0] == '.')
			continue;
		if (!*scope && en->d_name[0] == '@' && en->d_type != DT_LNK) {
			if (links_prune(at, en->d_name, wanted, all, removed, e) < 0)
				break;
			continue;
		}
		if (link_wanted(wanted, scope, en->d_name)) {
			other = true;
			continue;
		}
		ssize_t n = readlinkat(fd, en->d_name, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		if (n > 0 &&
			(all || strstr(text, ".pnpm/") || into_shared(text) ||
				faccessat(fd, en->d_name, F_OK, 0) != 0) &&
			unlinkat(fd, en->d_name, 0) == 0)
			(*removed)++;
		else
			other = true;
	}
	closedir(d);
	if (*scope && !other)
		unlinkat(at, scope, AT_REMOVEDIR); /* only if it is empty */
	return 0;
}

/* Something is in the way of LINK. 1: it is right already; 0: the place is free now. */
static int link_clear(int dirfd, const char *name, const struct link *l, struct root_counts *c, struct err *e)
{
	char text[4096], aside[300];
	struct stat st;

	ssize_t n = readlinkat(dirfd, name, text, sizeof(text));
	if (n >= 0) {
		if (str_eq((str){ text, (size_t)n }, l->target))
			return 1;
		return unlinkat(dirfd, name, 0) == 0 ? 0 : err_os(e, "replace symlink %s", name);
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_os(e, "stat %s", name);
	const char *slash = strchr(name, '/');
	int head = slash ? (int)(slash - name) + 1 : 0;
	snprintf(aside, sizeof(aside), "%.*s.ignored_%s", head, name, name + head);
	if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) != 0)
		return err_os(e, "%s is in the way and cannot be moved to %s", name, aside);
	c->set_aside++;
	snprintf(c->set_aside_name, sizeof(c->set_aside_name), "%.250s", name);
	return 0;
}

static int link_put(int dirfd, const struct link *l, struct root_counts *c, struct err *e)
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
			int right = link_clear(dirfd, name, l, c, e);
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

static int links_apply(int dirfd, struct links *l, bool all, struct root_counts *c, struct err *e)
{
	AUTO(map_release) struct map wanted = MAP_INIT;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!name_valid(l->p[i].alias))
			return err_set(
				e, ERR_PROTOCOL, "\"" STR_FMT "\" is no name for a dependency", STR_ARG(l->p[i].alias));
		bool fresh;
		map_add(&wanted, l->p[i].alias, 1, &fresh);
		if (fresh) /* a name in two groups: the first group's */
			l->p[n++] = l->p[i];
	}
	l->n = n;
	if (links_prune(dirfd, "", &wanted, all, &c->removed, e) < 0)
		return e->code;
	for (size_t i = 0; i < l->n; i++) {
		if (link_put(dirfd, &l->p[i], c, e) < 0)
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
	struct links l = { .a = &a };
	struct direct *d;
	bool is_root = str_eq(im->path, STR("."));
	str up = importer_up(im->path, &a);
	/* from its node_modules to the virtual store */
	str base = o->tree->shared.n ? arena_printf(&a, "../" STR_FMT STR_FMT, STR_ARG(up), STR_ARG(o->tree->shared))
		   : is_root         ? STR(".pnpm")
				     : arena_printf(&a, "../" STR_FMT "node_modules/.pnpm", STR_ARG(up));

	size_t n = importer_directs(&d, o->tree, im, o->prod, o->dev, o->optional, &a);
	for (size_t i = 0; i < n; i++) {
		const char *s = scope_up(d[i].alias);
		links_add(&l, d[i].alias,
			d[i].to ? arena_printf(&a, "%s" STR_FMT "/%s/node_modules/" STR_FMT, s, STR_ARG(base),
					  d[i].to->dir, STR_ARG(d[i].to->name))
				: arena_printf(&a, "%s../" STR_FMT, s, STR_ARG(d[i].link)));
	}
	for (size_t i = 0; is_root && i < o->hoist->n; i++) {
		const struct hoisted *h = &o->hoist->p[i];
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
	if (fd < 0 || links_apply(fd, &l, false, c, e) < 0)
		return err_ctx(e, STR_FMT, STR_ARG(path));
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
	/* a link into the store, of a time when the names were shared: what is in there is not this project's to change */
	if (readlinkat(at->fd, at->path.p, text, sizeof(text)) > 0 && unlinkat(at->fd, at->path.p, 0) != 0)
		return err_os(e, "replace symlink " STR_FMT, STR_ARG(at->path));
	AUTO(fs_close_auto) int fd = dir_make(at->fd, at->path, e);
	if (fd < 0 || links_apply(fd, &l, true, c, e) < 0)
		return err_ctx(e, STR_FMT, STR_ARG(at->path));
	return 0;
}

int link_root(struct root_counts *out, const struct root_opts *o, struct err *e)
{
	struct root_counts c = { 0 };

	for (size_t i = 0; i < o->tree->nimporters; i++) {
		if (link_importer(o, o->tree->importer[i], &c, e) < 0)
			return e->code;
	}
	*out = c;
	return 0;
}
