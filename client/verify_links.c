/* The symlinks of a tree: each dependency of each slot, and of each project, leads to the slot that the lockfile says,
 * and nothing else stands beside a package. Commands in .bin and what is hoisted are not looked at. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dep_path.h"
#include "fs.h"
#include "layout.h"
#include "verify_impl.h"

/* One node_modules with symlinks. */
struct links {
	struct verify *v;
	str path;          /* from the lockfile's folder */
	struct map wanted; /* aliases that may stand there */
	struct arena a;
};

static void report(struct links *l, str alias, const char *what)
{
	verify_extra(l->v, arena_printf(&l->v->a, STR_FMT "/" STR_FMT, STR_ARG(l->path), STR_ARG(alias)), what);
}

/* ALIAS must be a symlink, and what it leads to the folder TARGET. MAY_LACK: or not be there at all. */
static void link_check(struct links *l, str alias, const char *target, bool may_lack)
{
	struct stat link, is, should;
	const char *at = arena_printf(&l->a, STR_FMT "/" STR_FMT, STR_ARG(l->path), STR_ARG(alias)).p;
	int root = l->v->root;

	map_set(&l->wanted, alias, 0);
	if (fstatat(root, at, &link, AT_SYMLINK_NOFOLLOW) != 0) {
		if (!may_lack)
			report(l, alias, errno == ENOENT ? "missing symlink" : "cannot be read");
		return;
	}
	if (!S_ISLNK(link.st_mode)) {
		report(l, alias, "not a symlink");
		return;
	}
	bool there = fstatat(root, target, &should, 0) == 0;
	if (fstatat(root, at, &is, 0) != 0) {
		if (there) /* what is not there is named by itself */
			report(l, alias, "symlink that leads nowhere");
	} else if (!there || is.st_dev != should.st_dev || is.st_ino != should.st_ino) {
		report(l, alias, "symlink to another package");
	}
}

static const char *slot_path(struct links *l, const struct slot *s)
{
	return arena_printf(&l->a, STR_FMT "/%s/node_modules/" STR_FMT, STR_ARG(l->v->slots), s->dir, STR_ARG(s->name))
		.p;
}

/* What stands in SCOPE ("" or "@scope/") and nobody asked for. */
static void extra_find(struct links *l, const char *scope)
{
	const char *path = arena_printf(&l->a, STR_FMT "/%s", STR_ARG(l->path), scope).p;
	DIR *d = fs_list(l->v->root, path);

	for (struct dirent *de; d && (de = readdir(d));) {
		str name = arena_printf(&l->a, "%s%s", scope, de->d_name);
		if (de->d_name[0] == '.')
			continue;
		if (!*scope && de->d_name[0] == '@')
			extra_find(l, arena_printf(&l->a, "%s/", de->d_name).p);
		else if (map_get(&l->wanted, name) == MAP_NONE)
			report(l, name, "extra: no dependency of that name");
	}
	if (d)
		closedir(d);
}

/* Where E, of S by REF, leads. */
static const char *edge_path(struct links *l, const struct slot *s, const struct tree_edge *e, str ref)
{
	str inside = dep_path_inside(ref);

	if (e->to)
		return slot_path(l, e->to);
	return inside.p ? arena_printf(&l->a, "%s/" STR_FMT, slot_path(l, s), STR_ARG(inside)).p
			: arena_str(&l->a, e->link).p;
}

static void slot_check(struct verify *v, const struct slot *s)
{
	struct links l = { .v = v, .a = ARENA_INIT(1 << 12) };
	const struct lock_deps *list[] = { &s->snap->dependencies, &s->snap->optional_dependencies };
	struct stat st;

	l.path = arena_printf(&l.a, STR_FMT "/%s/node_modules", STR_ARG(v->slots), s->dir);
	/* A slot that is not there is reported as such, or may be missing. */
	if (fstatat(v->root, l.path.p, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		map_set(&l.wanted, s->name, 0);
		for (size_t k = 0; k < 2; k++) {
			for (size_t i = 0; i < list[k]->n; i++) {
				struct tree_edge edge;
				const struct lock_dep *d = &list[k]->p[i];
				if (!tree_edge(&edge, &v->tree, d->alias, d->ref, &l.a) ||
					(edge.to && !slot_wanted(edge.to)))
					continue;
				link_check(&l, d->alias, edge_path(&l, s, &edge, d->ref),
					edge.to && edge.to->snap->optional);
			}
		}
		extra_find(&l, "");
	}
	map_release(&l.wanted);
	arena_release(&l.a);
}

/* A project's own folder may hold what its user put there, and what is hoisted to it: only its
 * dependencies are looked at. */
static void importer_check(struct verify *v, const struct layout *layout, const struct lock_importer *im)
{
	struct links l = { .v = v, .a = ARENA_INIT(1 << 12) };
	struct direct *d;
	bool here = str_eq(im->path, STR("."));

	l.path = here ? STR("node_modules") : arena_printf(&l.a, STR_FMT "/node_modules", STR_ARG(im->path));
	size_t n = importer_directs(&d, layout, im, &l.a);
	for (size_t i = 0; i < n; i++) {
		if (d[i].to)
			link_check(&l, d[i].alias, slot_path(&l, d[i].to), d[i].to->snap->optional);
	}
	map_release(&l.wanted);
	arena_release(&l.a);
}

void verify_links(struct verify *v)
{
	struct hoist hoist = { 0 };

	if (v->o->req->settings.dedupe_direct_deps)
		layout_hoist(&hoist, &v->tree, v->o->project, v->o->req, &v->a);
	struct layout layout = layout_of(&v->tree, &hoist, v->o->req, &v->a);
	for (size_t i = 0; i < v->tree.nslots; i++) {
		if (slot_wanted(v->tree.slot[i]))
			slot_check(v, v->tree.slot[i]);
	}
	for (size_t i = 0; i < v->tree.nimporters; i++)
		importer_check(v, &layout, v->tree.importer[i]);
}
