/* link_slot — one slot: <virtual store>/<folder>/node_modules/{<name>, dependencies as symlinks}.
 *
 * Owns nothing between calls. Runs on pool threads, one slot at a time each.
 * The slot's node_modules is made with the sticky bit, which is taken off as
 * the last step: a folder that has it, or has no node_modules, was interrupted
 * and is made anew. A killed process needs no sync for that. */
#include "fs.h"
#include "link.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dep_path.h"
#include "name.h"
#include "prune.h"

/* Longest "<dir>/node_modules/@scope/name" and symlink text: dir is at most 255 bytes, a name 214. */
#define SLOT_PATH 1024

/* PART, N of them, one after another as a string in OUT: snprintf() takes longer than most of the calls that get the
 * paths. False: it does not fit. */
static bool join(char *out, size_t room, const str *part, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (part[i].n >= room - at)
			return false;
		memcpy(out + at, part[i].p, part[i].n);
		at += part[i].n;
	}
	out[at] = 0;
	return true;
}

static int64_t mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

str slot_package_dir(const struct slot *s, struct arena *a)
{
	return arena_printf(a, "%s/node_modules/" STR_FMT, s->dir, STR_ARG(s->name));
}

bool slot_stands(int vstore, struct slot *s)
{
	char path[SLOT_PATH];
	struct stat st;

	snprintf(path, sizeof(path), "%s/node_modules", s->dir);
	if (fstatat(vstore, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) || (st.st_mode & S_ISVTX))
		return false;
	int64_t modules_ns = mtime_ns(&st);
	uint64_t modules_ino = st.st_ino;
	snprintf(path, sizeof(path), "%s/node_modules/" STR_FMT, s->dir, STR_ARG(s->name));
	if (fstatat(vstore, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
		return false;
	s->modules_ns = modules_ns;
	s->modules_ino = modules_ino;
	s->package_ns = mtime_ns(&st);
	return true;
}

bool slot_stands_still(int vstore, struct slot *s)
{
	char path[SLOT_PATH];
	struct stat st;

	bool there = join(path, sizeof(path), (str[]){ str_of(s->dir), STR("/node_modules") }, 2) &&
		     fstatat(vstore, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
		     !(st.st_mode & S_ISVTX);
	/* A package's folder that was taken away or put there changes that time, but not below a scope. */
	if (there && mtime_ns(&st) == s->modules_ns && !name_scope(s->name).n)
		return true;
	return there && slot_stands(vstore, s);
}

/* The mode of a node_modules that is whole: what mkdir() gave it, a group that is inherited included. */
static mode_t finished(const struct stat *st)
{
	return st->st_mode & 07777 & ~(mode_t)S_ISVTX;
}

int slot_publish(int vstore, const struct slot *s, struct err *e)
{
	char path[SLOT_PATH];
	struct stat st;

	snprintf(path, sizeof(path), "%s/node_modules", s->dir);
	if (fstatat(vstore, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || fchmodat(vstore, path, finished(&st), 0) != 0)
		return err_os(e, "finish folder %s", s->dir);
	if (s->replaced) {
		char old[ASIDE_NAME];
		slot_aside(old, s);
		remove_all(vstore, old);
	}
	return 0;
}

static uint64_t mix(uint64_t h, str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u; /* FNV-1a: stored, so it must not depend on the machine */
	return (h ^ 0xff) * 0x100000001b3u;
}

static uint64_t mix_deps(uint64_t h, struct lock_deps d)
{
	for (size_t i = 0; i < d.n; i++)
		h = mix(mix(h, d.p[i].alias), d.p[i].ref);
	return mix(h, STR(";"));
}

uint64_t slot_wiring(const struct slot *s)
{
	uint64_t h = mix(mix(0xcbf29ce484222325u, s->snap->key), s->package->key);

	h = mix_deps(mix_deps(h, s->snap->dependencies), s->snap->optional_dependencies);
	for (size_t i = 0; i < s->absent.n; i++)
		h = mix(h, s->absent.p[i]);
	return mix(h, s->builds ? STR("builds") : STR("plain"));
}

/* Several workers may do it at the same time; none goes on before it is done. */
static int record_aside(const struct linker_opts *o, struct err *e)
{
	if (atomic_load(o->record_aside))
		return 0;
	if (renameat(o->vstore, "lock.yaml", o->vstore, ASIDE_LOCK) != 0 && errno != ENOENT)
		return err_os(e, "rename lock.yaml");
	atomic_store(o->record_aside, true);
	return 0;
}

/* What stands where S is to be is set aside: prune removes it. In a project the record of what its slots are made of
 * goes first: if this install dies, and S is wanted again as it was, nobody takes from there that it is. */
static int slot_replace(const struct linker_opts *o, struct slot *s, struct err *e)
{
	char old[ASIDE_NAME];

	if (s->begun) { /* by this install: the store had lost a file */
		remove_all(o->vstore, s->dir);
		return 0;
	}
	if (!o->unfinished && record_aside(o, e) < 0)
		return e->code;
	slot_aside(old, s);
	s->replaced = set_aside(o->vstore, s->dir, old) == 0;
	if (!s->replaced && errno != EXDEV)
		return err_os(e, "replace folder %s", s->dir);
	s->begun = true;
	s->lost = !s->replaced;
	if (s->lost && !slot_remove(o->vstore, s->dir))
		return err_os(e, "replace folder %s", s->dir);
	return 0;
}

/* Makes the folders down to node_modules and opens that. */
static int slot_begin(const struct linker_opts *o, struct slot *s, struct err *e)
{
	char path[SLOT_PATH];

	if (mkdirat(o->vstore, s->dir, 0777) != 0) {
		if (errno != EEXIST)
			return err_os(e, "make folder %s", s->dir);
		if (slot_replace(o, s, e) < 0)
			return e->code;
		if (mkdirat(o->vstore, s->dir, 0777) != 0)
			return err_os(e, "replace folder %s", s->dir);
	}
	s->begun = true;
	if (!join(path, sizeof(path), (str[]){ str_of(s->dir), STR("/node_modules") }, 2))
		return err_set(e, ERR_TOOBIG, "folder %.100s… is longer than %d bytes", s->dir, SLOT_PATH);
	if (mkdirat(o->vstore, path, 01777) != 0)
		return err_os(e, "make folder %s", path);
	int fd = openat(o->vstore, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : err_os(e, "open folder %s", path);
}

/* "@scope" of NAME as a folder in DIRFD; LAST is the scope made there before: names come sorted,
 * so one is asked for once. */
static int make_scope(int dirfd, str name, str *last, struct err *e)
{
	char scope[256];
	str s = name_scope(name);

	if (!s.n || str_eq(s, *last))
		return 0;
	snprintf(scope, sizeof(scope), STR_FMT, STR_ARG(s));
	if (mkdirat(dirfd, scope, 0777) != 0 && errno != EEXIST)
		return err_os(e, "make folder %s", scope);
	*last = s;
	return 0;
}

/* A folder of the project (file:, injected) is linked file by file from where it lies, as pnpm does: an edit there is
 * seen here. 1: done; 0: this file system cannot, DIRFD may hold a part; negative: error. */
static int folder_link(
	const struct linker_opts *o, const struct slot *s, int dirfd, struct slot_stats *stats, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct pkg p = s->rec;
	str dir = arena_str(&a, s->package->f->meta.resolution.directory);

	AUTO(fs_close_auto) int from = openat(o->root, dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return err_os(e, "open folder %s", dir.p);
	for (uint32_t i = 0; i < pkg_ndirs(p); i++) {
		str sub = arena_str(&a, pkg_dir(p, i));
		if (mkdirat(dirfd, sub.p, 0777) != 0)
			return err_os(e, "make folder %s", sub.p);
		stats->files.dirs++;
	}
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		const uint8_t *sha;
		uint64_t size;
		bool exec;
		str path;
		pkg_file(p, i, &path, &size, &exec, &sha);
		path = arena_str(&a, path);
		if (linkat(from, path.p, dirfd, path.p, 0) == 0)
			stats->files.links++;
		else if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP)
			return 0; /* another file system, no hard links, somebody else's file, too many links */
		else
			return err_os(e, "link %s/%s", dir.p, path.p);
	}
	return 1;
}

/* Everything below DIRFD goes. */
static void folder_clear(int dirfd)
{
	DIR *d = fs_list(dirfd, ".");

	for (struct dirent *en; d && (en = readdir(d));) {
		if (strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0)
			remove_all(dirfd, en->d_name);
	}
	if (d)
		closedir(d);
}

static int slot_files(const struct linker_opts *o, const struct tree *t, const struct slot *s, int modules,
	struct slot_stats *stats, int64_t *package_ns, struct err *e)
{
	char name[256];
	struct stat st;
	str none = STR_NONE;

	if (!join(name, sizeof(name), &s->name, 1))
		return err_set(
			e, ERR_TOOBIG, "name " STR_FMT " is longer than %zu bytes", STR_ARG(s->name), sizeof(name));
	if (make_scope(modules, s->name, &none, e) < 0)
		return e->code;
	if (mkdirat(modules, name, 0777) != 0)
		return err_os(e, "make folder %s", name);
	AUTO(fs_close_auto) int fd = openat(modules, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_os(e, "open folder %s", name);
	bool builds = s->builds && (pkg_flags(s->rec) & (PKG_HAS_INSTALL_SCRIPT | PKG_HAS_BINDING_GYP));
	enum pkg_import_method method = builds ? PKG_COPY : o->method; /* scripts write into their package */
	int linked = 0;
	if (s->package->f->meta.resolution.kind == LOCK_RES_DIRECTORY && !builds && method != PKG_COPY) {
		linked = folder_link(o, s, fd, stats, e);
		if (linked < 0)
			return e->code;
		if (!linked)
			folder_clear(fd);
	}
	/* shared slots wait until all that they reach is known: long enough for another process to spoil a file */
	bool fresh = s->fresh && !t->shared.n;
	if (!linked && store_link(o->store, s->rec, fresh, fd, method, &stats->files, e) < 0)
		return e->code;
	if (fstat(fd, &st) != 0)
		return err_os(e, "stat folder %s", name);
	*package_ns = mtime_ns(&st);
	return 0;
}

/* One dependency beside the package, relative, as pnpm writes it. */
static int slot_dep(const struct linker_opts *o, const struct tree *t, const struct slot *s, const struct lock_dep *d,
	int modules, str *scope, struct arena *a, struct err *e)
{
	char link[256], target[SLOT_PATH];
	str name = STR_NONE;

	if (str_eq(d->alias, s->name) || str_list_has(s->absent, d->alias))
		return 0;
	if (!name_valid(d->alias))
		return err_set(e, ERR_PROTOCOL, "dependency \"" STR_FMT "\" is no name", STR_ARG(d->alias));
	str up = name_scope(d->alias).n ? STR("../../../") : STR("../../"),
	    dir = tree_dir_of(t, d->alias, d->ref, &name, a);
	if (!dir.n && !str_starts(d->ref, STR("link:")))
		return 0; /* not in the plan */
	str inside = dep_path_inside(d->ref);
	if (inside.p && !path_safe(inside))
		return err_set(e, ERR_PROTOCOL, STR_FMT ": \"" STR_FMT "\" is no folder inside the package",
			STR_ARG(d->alias), STR_ARG(d->ref));
	str in_slot[] = { up, dir, STR("/node_modules/"), name };
	str in_package[] = { name_scope(d->alias).n ? STR("../") : STR(""), s->name, STR("/"), inside };
	str folder[] = { up, o->vstore_to_root, STR("/"), str_from(d->ref, dir.n ? 0 : strlen("link:")) };
	const str *to = dir.n ? in_slot : inside.p ? in_package : folder;
	if (!join(target, sizeof(target), to, 4) || !join(link, sizeof(link), &d->alias, 1))
		return err_set(
			e, ERR_TOOBIG, "symlink for " STR_FMT " is longer than %d bytes", STR_ARG(d->alias), SLOT_PATH);
	if (make_scope(modules, d->alias, scope, e) < 0)
		return e->code;
	if (symlinkat(target, modules, link) != 0)
		return err_os(e, "make symlink %s", link);
	return 1;
}

static int slot_deps(const struct linker_opts *o, const struct tree *t, const struct slot *s, int modules,
	uint64_t *symlinks, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	const struct lock_deps *list[] = { &s->snap->dependencies, &s->snap->optional_dependencies };
	str scope = STR_NONE;

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < list[k]->n; i++) {
			int made = slot_dep(o, t, s, &list[k]->p[i], modules, &scope, &a, e);
			if (made < 0)
				return made;
			*symlinks += (unsigned)made;
		}
	}
	return 0;
}

int slot_link(
	const struct linker_opts *o, const struct tree *t, struct slot *s, struct slot_stats *stats, struct err *e)
{
	struct stat st;
	int64_t package_ns = 0;

	AUTO(fs_close_auto) int modules = slot_begin(o, s, e);
	if (modules < 0)
		goto fail;
	if (slot_deps(o, t, s, modules, &stats->symlinks, e) < 0)
		goto fail;
	if (slot_files(o, t, s, modules, stats, &package_ns, e) < 0)
		goto fail;
	if (fstat(modules, &st) != 0 || (!o->unfinished && fchmod(modules, finished(&st)) != 0)) {
		err_os(e, "finish folder %s", s->dir);
		goto fail;
	}
	s->modules_ns = mtime_ns(&st);
	s->modules_ino = st.st_ino;
	s->package_ns = package_ns;
	return 0;
fail:
	return err_ctx(e, "slot " STR_FMT, STR_ARG(s->snap->key));
}
