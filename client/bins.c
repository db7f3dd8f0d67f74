#include "bins.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "link_root.h"
#include "manifest.h"
#include "name.h"
#include "prune.h"
#include "scripts.h"

enum { BIN_DEPTH = 8 }; /* folders below directories.bin */

/* A package whose commands go into one .bin folder. */
struct source_pkg {
	str name;                /* decides ownership of a command */
	const struct slot *slot; /* NULL: a folder outside the virtual store */
	str base;                /* from the .bin folder to the package */
	struct pkg_bin *bin;
	size_t nbins;
	bool hoisted;
	str within; /* node_modules it was bundled in, from the virtual store */
	bool own;   /* of the slot whose .bin this is: only what is there, as with pnpm */
};
struct chosen {
	str command, path;
	size_t at; /* in the package's list */
	const struct source_pkg *from;
};
/* A command has the same text in the .bin of all slots whose names have as many folders: it is written once, and linked from there. By target, command
 * and whether the slot's name has a scope: the id of a slot that has it, +1. */
struct made {
	uint32_t *first; /* by slot id: its first command in AT */
	atomic_uint *at;
};
struct bin_dir {
	struct arena *a;
	VEC(struct source_pkg) pkg;
	VEC(struct chosen) chosen;
	str to_vstore;           /* from the .bin folder to the virtual store */
	str hoisted;             /* from there to the hoisted packages; empty: not for a slot that projects share */
	bool fresh;              /* nothing can be there yet */
	const struct slot *slot; /* whose .bin it is; NULL: no slot's */
	const struct made *made; /* NULL: each shim is written by itself */
};
struct bins_job {
	struct job job;
	struct bins *b;
	const struct hoist_place *hoisted; /* this folder's commands, or an importer's, or slots' */
	const struct lock_importer *importer;
	struct slot **slot;
	size_t n;
	struct bins_counts counts;
	struct err err;
};
struct bins {
	struct bins_opts o;
	struct made made;
	struct bins_counts counts;
	struct err err;
};

static void bin_dir_release(struct bin_dir *d)
{
	vec_release(&d->pkg);
	vec_release(&d->chosen);
}

/* Names that may become files of .bin: encodeURIComponent leaves them alone, and neither "." nor "..". */
static bool command_safe(str s)
{
	if (str_eq(s, STR("$")))
		return true;
	if (!s.n || s.n > 200 || str_eq(s, STR(".")) || str_eq(s, STR("..")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!plain && (!c || !strchr("-_.!~*'()", c)))
			return false;
	}
	return true;
}

static bool owns(str command, str package)
{
	static const struct {
		str command, package;
	} more[] = { { STR_INIT("npx"), STR_INIT("npm") }, { STR_INIT("pn"), STR_INIT("pnpm") },
		{ STR_INIT("pn"), STR_INIT("@pnpm/exe") }, { STR_INIT("pnpm"), STR_INIT("@pnpm/exe") },
		{ STR_INIT("pnpx"), STR_INIT("pnpm") }, { STR_INIT("pnpx"), STR_INIT("@pnpm/exe") },
		{ STR_INIT("pnx"), STR_INIT("pnpm") }, { STR_INIT("pnx"), STR_INIT("@pnpm/exe") } };

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		if (str_eq(more[i].command, command) && str_eq(more[i].package, package))
			return true;
	}
	return str_eq(command, package);
}

/* Direct before hoisted, owner before others, then the lesser name: pnpm's order. */
static bool wins(str command, const struct source_pkg *was, const struct source_pkg *now)
{
	if (was->hoisted != now->hoisted)
		return was->hoisted;
	bool a = owns(command, was->name), b = owns(command, now->name);
	return a != b ? b : str_cmp(now->name, was->name) < 0;
}

static void add_folder(struct bin_dir *d, int dirfd, str folder, str base, const struct slot *s, bool hoisted);

static void add_slot(struct bin_dir *d, int vstore, const struct slot *s, str base, bool hoisted)
{
	if (s->package->state != PACKAGE_READY) { /* kept, and the store does not have it */
		add_folder(d, vstore, slot_package_dir(s, d->a), base, s, hoisted);
		return;
	}
	*vec_add(&d->pkg) = (struct source_pkg){ .name = s->name,
		.slot = s,
		.base = base,
		.bin = s->package->bin,
		.nbins = s->package->nbins,
		.hoisted = hoisted };
}

static void choose(struct bin_dir *d)
{
	for (size_t i = 0; i < d->pkg.n; i++) {
		const struct source_pkg *p = &d->pkg.p[i];
		for (size_t k = 0; k < p->nbins; k++) {
			size_t at = 0;
			if (!command_safe(p->bin[k].command) || str_find(p->bin[k].path, '\n', 0) != SIZE_MAX)
				continue;
			while (at < d->chosen.n && !str_eq(d->chosen.p[at].command, p->bin[k].command))
				at++;
			if (at == d->chosen.n)
				*vec_add(&d->chosen) = (struct chosen){ p->bin[k].command, p->bin[k].path, k, p };
			else if (wins(p->bin[k].command, d->chosen.p[at].from, p))
				d->chosen.p[at] = (struct chosen){ p->bin[k].command, p->bin[k].path, k, p };
		}
	}
}

static struct str_list node_path(const struct bin_dir *d, const struct source_pkg *p)
{
	struct str_list l = { .p = arena_new(d->a, str, 3), .n = 0 };

	if (p->within.n) {
		l.p[l.n++] = arena_printf(d->a, STR_FMT "/node_modules", STR_ARG(p->base));
		l.p[l.n++] = arena_printf(d->a, STR_FMT "/" STR_FMT, STR_ARG(d->to_vstore), STR_ARG(p->within));
	} else if (p->slot) {
		l.p[l.n++] = arena_printf(d->a, STR_FMT "/%s/node_modules/" STR_FMT "/node_modules",
			STR_ARG(d->to_vstore), p->slot->dir, STR_ARG(p->slot->name));
		l.p[l.n++] = arena_printf(d->a, STR_FMT "/%s/node_modules", STR_ARG(d->to_vstore), p->slot->dir);
	}
	if (d->hoisted.n)
		l.p[l.n++] = d->hoisted;
	return l;
}

/* The file may be one inode with the store and other trees: its mode is not ours to change, so it gets a copy, unless it is one already. */
static int target_make_executable(int dirfd, const char *target, const struct stat *st, struct err *e)
{
	char tmp[1100], part[65536];
	mode_t mode = (st->st_mode & 0777) | 0755;
	ssize_t n = 0;

	if (st->st_nlink == 1)
		return fchmodat(dirfd, target, mode, 0) == 0 ? 0 : err_os(e, "make %s executable", target);

	snprintf(tmp, sizeof(tmp), "%s.dray-%ld", target, (long)gettid()); /* two workers may be at the same target */
	AUTO(fs_close_auto) int in = openat(dirfd, target, O_RDONLY | O_CLOEXEC);
	AUTO(fs_close_auto) int out = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (in < 0 || out < 0)
		return err_os(e, "copy %s", target);
	while ((n = read(in, part, sizeof(part))) > 0) {
		if (fs_write_all(out, part, (size_t)n) != 0)
			return err_os(e, "copy %s", target);
	}
	if (n < 0 || fchmod(out, mode) != 0 || renameat(dirfd, tmp, dirfd, target) != 0)
		return err_os(e, "make %s executable", target);
	return 0;
}

/* Two paths from .bin: the same folder, or the same text where there is none. */
static bool same_place(int dirfd, str a, str b, struct arena *arena)
{
	struct stat x, y;

	if (str_eq(a, b))
		return true;
	return fstatat(dirfd, arena_str(arena, a).p, &x, 0) == 0 && fstatat(dirfd, arena_str(arena, b).p, &y, 0) == 0 &&
	       x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* pnpm's own shim that does what S does may stay: the tools take turns in one tree. */
static bool shim_of_pnpm_does(int dirfd, int old, const struct shim *s, struct arena *a)
{
	char text[16384];
	struct shim was;
	struct stat st;
	ssize_t n = pread(old, text, sizeof(text), 0);

	if (n <= 0 || (size_t)n == sizeof(text) || !shim_of_pnpm(&was, (str){ text, (size_t)n }, a) ||
		!str_eq(was.target, s->target) || !str_eq(was.program, s->program) || !str_eq(was.args, s->args) ||
		was.node_path.n != s->node_path.n)
		return false;
	for (size_t i = 0; i < s->node_path.n; i++) {
		if (!same_place(dirfd, was.node_path.p[i], s->node_path.p[i], a))
			return false;
	}
	return fstat(old, &st) == 0 && (st.st_mode & 0100);
}

/* Where it is kept which slot has C already, in the same words; NULL: nowhere. */
static atomic_uint *made_place(const struct bin_dir *d, const struct chosen *c)
{
	const struct slot *to = c->from->slot;

	if (!d->made || !d->fresh || !to || c->from->own || to->package->state != PACKAGE_READY)
		return NULL;
	if (d->slot->builds && scripts_wanted(d->slot->package))
		return NULL; /* its scripts write into their package, and so they may there */
	return &d->made->at[2 * (d->made->first[to->id] + c->at) + (name_scope(d->slot->name).n > 0)];
}

/* C's shim as a link to that of the slot that is kept in MADE. False: there is none, or this file system makes no more of them. */
static bool shim_link(int dirfd, const struct bins_opts *o, const struct chosen *c, const atomic_uint *made)
{
	char path[1400], name[256];
	unsigned id = atomic_load(made);

	if (!id)
		return false;
	const struct slot *s = o->layout.tree->slot[id - 1];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->command));
	int n = snprintf(
		path, sizeof(path), "%s/node_modules/" STR_FMT "/node_modules/.bin/%s", s->dir, STR_ARG(s->name), name);
	return n > 0 && (size_t)n < sizeof(path) && linkat(o->vstore, path, dirfd, name, 0) == 0;
}

/* 1 when the shim was written, 0 when it was right already or its target is no file that can be read. One that is not there (yet) gets a shim by
 * its name, as with pnpm 12.21. */
static int shim_put(int dirfd, const struct bin_dir *d, const struct bins_opts *o, const struct chosen *c,
	struct bins_counts *counts, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct shim s = { .target = arena_printf(d->a, STR_FMT "/" STR_FMT, STR_ARG(c->from->base), STR_ARG(c->path)) };
	char head[512], name[256];
	struct stat st;
	bool there;

	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->command));
	{
		AUTO(fs_close_auto) int fd = openat(dirfd, s.target.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		bool later = fd < 0 && errno == ENOENT &&
			     !c->from->own; /* a workspace package's command that its build will make */
		ssize_t n = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, head, sizeof(head)) : -1;
		if (n < 0 && !later)
			return 0;
		there = !later;
		shim_runtime(&s, (str){ head, there ? (size_t)n : 0 }, c->path);
	}
	bool packaged =
		c->from->slot || c->from->within.n; /* a project's own files stay as they are, as with pnpm 12.21 */
	if (there && packaged && !(st.st_mode & 0111)) {
		if (target_make_executable(dirfd, s.target.p, &st, e) < 0)
			return e->code;
		counts->chmodded++;
	}
	if (o->extend_node_path)
		s.node_path = node_path(d, c->from);
	shim_print(&text, &s);
	if (!d->fresh) {
		AUTO(fs_close_auto) int old = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		char *was = old >= 0 ? buf_reserve(&text, text.n + 1) : NULL;
		if (was && read(old, was, text.n + 1) == (ssize_t)text.n && memcmp(was, text.p, text.n) == 0 &&
			fstat(old, &st) == 0 && (st.st_mode & 0100)) {
			counts->kept++;
			return 0;
		}
		if (old >= 0 && shim_of_pnpm_does(dirfd, old, &s, d->a)) {
			counts->kept++;
			return 0;
		}
		remove_all(dirfd, name);
	}
	AUTO(fs_close_auto) int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0777);
	if (fd < 0 || fs_write_all(fd, text.p, text.n) != 0)
		return err_os(e, "write .bin/%s", name);
	counts->written++;
	return 1;
}

/* Shims in .bin that nobody wants any more: ours or pnpm's, known by their last line. */
static void shims_prune(int dirfd, const struct bin_dir *d, struct bins_counts *counts)
{
	AUTO(map_release) struct map wanted = MAP_INIT;
	DIR *dir = fs_list(dirfd, ".");

	if (!dir)
		return;
	for (size_t i = 0; i < d->chosen.n; i++)
		map_set(&wanted, d->chosen.p[i].command, 1);
	for (struct dirent *en; (en = readdir(dir));) {
		char text[16384];
		if (en->d_name[0] == '.' || map_get(&wanted, str_of(en->d_name)) != MAP_NONE)
			continue;
		AUTO(fs_close_auto) int f = openat(dirfd, en->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		ssize_t n = f >= 0 ? read(f, text, sizeof(text)) : -1;
		if (n > 0 && str_find_str((str){ text, (size_t)n }, STR("\n# cmd-shim-target="), 0) != SIZE_MAX &&
			unlinkat(dirfd, en->d_name, 0) == 0)
			counts->removed++;
	}
	closedir(dir);
}

/* Makes PATH, below DIRFD, the .bin folder that D describes. */
static int bin_dir_write(int dirfd, str path, struct bin_dir *d, const struct bins_opts *o, bool prune,
	struct bins_counts *counts, struct err *e)
{
	struct stat st;

	choose(d);
	if (!d->chosen.n && (d->fresh || fstatat(dirfd, arena_str(d->a, path).p, &st, 0) != 0))
		return 0;
	AUTO(fs_close_auto) int fd = dir_make(dirfd, path, e);
	if (fd < 0)
		return e->code;
	for (size_t i = 0; i < d->chosen.n; i++) {
		atomic_uint *made = made_place(d, &d->chosen.p[i]);
		if (made && shim_link(fd, o, &d->chosen.p[i], made)) {
			counts->linked++;
			continue;
		}
		int put = shim_put(fd, d, o, &d->chosen.p[i], counts, e);
		if (put < 0)
			return err_ctx(e, STR_FMT, STR_ARG(path));
		if (made && put)
			atomic_store(made, d->slot->id + 1);
	}
	if (prune)
		shims_prune(fd, d, counts);
	if (!d->chosen.n) /* only if it is empty */
		unlinkat(dirfd, arena_str(d->a, path).p, AT_REMOVEDIR);
	return 0;
}

static bool has_bin(const struct slot *s)
{
	if (!slot_wanted(s))
		return false;
	return s->package->state == PACKAGE_READY ? s->package->nbins > 0 : s->package->f->meta.has_bin;
}

/* S, by its place in the virtual store, where it has commands. */
static void add_dep(struct bin_dir *d, int vstore, const struct slot *s, bool hoisted)
{
	if (has_bin(s))
		add_slot(d, vstore, s,
			arena_printf(d->a, STR_FMT "/%s/node_modules/" STR_FMT, STR_ARG(d->to_vstore), s->dir,
				STR_ARG(s->name)),
			hoisted);
}

static void add_slot_deps(struct bin_dir *d, const struct bins *b, const struct slot *s, struct lock_deps deps)
{
	for (size_t i = 0; i < deps.n; i++) {
		struct tree_edge edge;
		if (!str_list_has(s->absent, deps.p[i].alias) &&
			tree_edge(&edge, b->o.layout.tree, deps.p[i].alias, deps.p[i].ref, d->a) && edge.to)
			add_dep(d, b->o.vstore, edge.to, false);
	}
}

/* Those that are hoisted publicly, or those that are not. */
static void add_hoisted(struct bin_dir *d, const struct bins_opts *o, bool is_public)
{
	for (size_t i = 0; i < o->layout.hoist->n; i++) {
		const struct hoisted *h = &o->layout.hoist->p[i];
		if (h->is_public == is_public && h->to)
			add_dep(d, o->vstore, h->to, true);
	}
}

/* Packages that a tarball brings in its own node_modules are nobody's slots: their commands are found on disk. */
static void add_bundled(struct bin_dir *d, const struct bins *b, str package, const char *scope)
{
	str dir = arena_printf(d->a, STR_FMT "/node_modules%s%s", STR_ARG(package), *scope ? "/" : "", scope);
	DIR *list = fs_list(b->o.vstore, dir.p);

	for (struct dirent *en; list && (en = readdir(list));) {
		if (en->d_name[0] == '.')
			continue;
		if (!*scope && en->d_name[0] == '@') {
			add_bundled(d, b, package, en->d_name);
			continue;
		}
		str name = arena_printf(d->a, "%s%s%s", scope, *scope ? "/" : "", en->d_name);
		add_folder(d, b->o.vstore, arena_printf(d->a, STR_FMT "/%s", STR_ARG(dir), en->d_name),
			arena_printf(d->a, "../" STR_FMT, STR_ARG(name)), NULL, false);
		if (d->pkg.n && d->pkg.p[d->pkg.n - 1].base.n == name.n + 3)
			d->pkg.p[d->pkg.n - 1].within = arena_printf(d->a, STR_FMT "/node_modules", STR_ARG(package));
	}
	if (list)
		closedir(list);
}

static int slot_bins(const struct bins *b, struct slot *s, struct bins_counts *counts, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(bin_dir_release)
	struct bin_dir d = { .a = &a,
		.fresh = s->state == SLOT_LINKED && !b->o.again,
		.slot = s,
		.made = b->made.at ? &b->made : NULL };
	bool scoped = s->name.p[0] == '@';

	/* from <slot>/node_modules/<name>/node_modules/.bin to the virtual store */
	d.to_vstore = scoped ? STR("../../../../../..") : STR("../../../../..");
	add_slot_deps(&d, b, s, s->snap->dependencies);
	add_slot_deps(&d, b, s, s->snap->optional_dependencies);
	size_t others = d.pkg.n;
	if (has_bin(s))
		add_slot(&d, b->o.vstore, s, STR("../.."), false);
	if (d.pkg.n > others)
		d.pkg.p[others].own = true;
	bool bundles = s->package->f->meta.bundle_all || s->package->f->meta.bundled.n;
	if (!d.pkg.n && !bundles)
		return 0;
	str package = slot_package_dir(s, &a);
	if (bundles)
		add_bundled(&d, b, package, "");
	if (!d.pkg.n)
		return 0;
	if (!b->o.layout.tree->shared.n)
		d.hoisted = arena_printf(&a, STR_FMT "/node_modules", STR_ARG(d.to_vstore));
	d.fresh = d.fresh && !(s->package->flags & PKG_HAS_BUNDLED);
	str path = arena_printf(&a, STR_FMT "/node_modules/.bin", STR_ARG(package));
	if (bin_dir_write(b->o.vstore, path, &d, &b->o, false, counts, e) < 0)
		return err_ctx(e, "slot " STR_FMT, STR_ARG(s->snap->key));
	slot_stands(b->o.vstore, s); /* its package's folder has changed */
	return 0;
}

static int bin_cmp(const void *a, const void *b)
{
	return str_cmp(((const struct pkg_bin *)a)->path, ((const struct pkg_bin *)b)->path);
}

/* Files below SUB of the folder AT as commands, as directories.bin wants it. Links are not followed. */
static void add_files(struct source_pkg *p, int at, str sub, unsigned depth, struct arena *a)
{
	DIR *d = fs_list(at, sub.n ? sub.p : ".");

	for (struct dirent *en; d && (en = readdir(d));) {
		struct stat st;
		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0 ||
			strcmp(en->d_name, "node_modules") == 0 ||
			fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		str path = arena_printf(a, "%s%s%s", sub.n ? sub.p : "", sub.n ? "/" : "", en->d_name), head, base;
		if (S_ISDIR(st.st_mode) && depth < BIN_DEPTH)
			add_files(p, at, path, depth + 1, a);
		if (!S_ISREG(st.st_mode))
			continue;
		*arena_add(a, p->bin, p->nbins) =
			(struct pkg_bin){ str_rcut(path, '/', &head, &base) ? base : path, path };
	}
	if (d)
		closedir(d);
}

/* FOLDER below DIRFD: a workspace package, a link: or a slot's folder, whose commands are in its package.json on disk. */
static void add_folder(struct bin_dir *d, int dirfd, str folder, str base, const struct slot *s, bool hoisted)
{
	struct manifest m;
	struct err ignored;

	str path = arena_printf(d->a, STR_FMT "/package.json", STR_ARG(folder));
	AUTO(fs_close_auto) int fd = openat(dirfd, path.p, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > 16 * 1024 * 1024)
		return;
	char *text = arena_new(d->a, char, (size_t)st.st_size + 1);
	ssize_t n = read(fd, text, (size_t)st.st_size);
	if (n <= 0 || manifest_parse(&m, (str){ text, (size_t)n }, path, d->a, &ignored) < 0 ||
		(!m.bin.n && !m.directories_bin.n))
		return;
	struct source_pkg *p = vec_add(&d->pkg);
	*p = (struct source_pkg){ .name = m.name, .slot = s, .base = base, .nbins = m.bin.n, .hoisted = hoisted };
	p->bin = arena_new(d->a, struct pkg_bin, m.bin.n);
	for (size_t i = 0; i < m.bin.n; i++) {
		str file = m.bin.p[i].v;
		while (str_starts(file, STR("./")))
			file = str_from(file, 2);
		p->bin[i] = (struct pkg_bin){ m.bin.p[i].k, file };
	}
	if (m.bin.n)
		return;
	AUTO(fs_close_auto) int dir = openat(dirfd, arena_str(d->a, folder).p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	str sub = m.directories_bin;
	while (str_starts(sub, STR("./")))
		sub = str_from(sub, 2);
	while (str_ends(sub, STR("/")))
		sub = str_head(sub, sub.n - 1);
	if (dir >= 0 && (!sub.n || str_eq(sub, STR(".")) || path_safe(sub)))
		add_files(p, dir, str_eq(sub, STR(".")) ? STR_NONE : arena_str(d->a, sub), 0, d->a);
	qsort(p->bin, p->nbins, sizeof(*p->bin),
		bin_cmp); /* the first of a name is it, as where the store knows them */
}

/* The commands of what a direct dependency has as peers are the importer's, too, where nobody of its own has them: with
 * autoInstallPeers they count as listed there. As observed of pnpm 12.21. */
static void add_peers(struct bin_dir *d, const struct bins *b, const struct slot *s)
{
	for (size_t i = 0; i < s->snap->dependencies.n; i++) {
		const struct lock_dep *dep = &s->snap->dependencies.p[i];
		struct tree_edge edge;
		if (str_map_get(s->package->f->meta.peer_dependencies, dep->alias) &&
			tree_edge(&edge, b->o.layout.tree, dep->alias, dep->ref, d->a) && edge.to)
			add_dep(d, b->o.vstore, edge.to, true);
	}
}

static int importer_bins(
	const struct bins *b, const struct lock_importer *im, struct bins_counts *counts, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	AUTO(bin_dir_release) struct bin_dir d = { .a = &a };
	bool is_root = str_eq(im->path, STR("."));
	struct direct *direct;
	str up = importer_up(im->path, &a);

	str pnpm = is_root ? STR("../.pnpm") : arena_printf(&a, "../../" STR_FMT "node_modules/.pnpm", STR_ARG(up));
	d.to_vstore = b->o.layout.tree->shared.n ? arena_printf(&a, "../../" STR_FMT STR_FMT, STR_ARG(up),
							   STR_ARG(b->o.layout.tree->shared))
						 : pnpm;
	d.hoisted = arena_printf(&a, STR_FMT "/node_modules", STR_ARG(pnpm));
	size_t n = importer_directs(&direct, &b->o.layout, im, &a);
	for (size_t i = 0; i < n; i++) {
		if (direct[i].to && b->o.peers_listed)
			add_peers(&d, b, direct[i].to);
		if (direct[i].to)
			add_dep(&d, b->o.vstore, direct[i].to, false);
		else
			add_folder(&d, b->o.root,
				arena_printf(&a, STR_FMT "/" STR_FMT, STR_ARG(im->path), STR_ARG(direct[i].link)),
				arena_printf(&a, "../../" STR_FMT, STR_ARG(direct[i].link)), NULL, false);
	}
	if (is_root)
		add_hoisted(&d, &b->o, true);
	str path =
		is_root ? STR("node_modules/.bin") : arena_printf(&a, STR_FMT "/node_modules/.bin", STR_ARG(im->path));
	if (bin_dir_write(b->o.root, path, &d, &b->o, true, counts, e) < 0)
		return e->code;
	if (!is_root && !n) /* link_root.c: nothing comes into it now; whoever is last takes it */
		unlinkat(b->o.root, arena_printf(&a, STR_FMT "/node_modules", STR_ARG(im->path)).p, AT_REMOVEDIR);
	return 0;
}

static int hoisted_bins(
	const struct bins_opts *o, const struct hoist_place *at, struct bins_counts *counts, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(16 * 1024);
	AUTO(bin_dir_release)
	struct bin_dir d = { .a = &a,
		.to_vstore = arena_printf(&a, "../" STR_FMT, STR_ARG(at->slots)),
		.hoisted = STR("../../node_modules") };

	add_hoisted(&d, o, false);
	return bin_dir_write(at->fd, arena_printf(&a, STR_FMT "/.bin", STR_ARG(at->path)), &d, o, true, counts, e);
}

int bins_hoisted(const struct bins_opts *o, const struct hoist_place *at, struct err *e)
{
	struct bins_counts counts = { 0 };

	return hoisted_bins(o, at, &counts, e);
}

static int bins_job_write(struct bins_job *j)
{
	if (j->hoisted && hoisted_bins(&j->b->o, j->hoisted, &j->counts, &j->err) < 0)
		return j->err.code;
	if (j->importer && importer_bins(j->b, j->importer, &j->counts, &j->err) < 0)
		return j->err.code;
	for (size_t i = 0; i < j->n; i++) {
		if (slot_bins(j->b, j->slot[i], &j->counts, &j->err) < 0)
			return j->err.code;
	}
	return 0;
}

static void bins_job_run(struct job *job)
{
	job->patient = bins_job_write((struct bins_job *)job) >= 0;
}

static void bins_add_counts(struct bins *b, const struct bins_counts *c)
{
	b->counts.written += c->written;
	b->counts.linked += c->linked;
	b->counts.kept += c->kept;
	b->counts.removed += c->removed;
	b->counts.chmodded += c->chmodded;
}

static void bins_job_done(struct job *job, void *ctx)
{
	struct bins_job *j = (struct bins_job *)job;
	struct bins *b = ctx;

	bins_add_counts(b, &j->counts);
	if (j->err.code < 0 && b->err.code == 0)
		b->err = j->err;
	free(j);
}

static struct bins_job *job_new(struct bins *b, size_t slots)
{
	struct bins_job *j = xcalloc(1, sizeof(*j) + slots * sizeof(struct slot *));

	j->job = (struct job){ .run = bins_job_run, .done = bins_job_done, .ctx = b, .patient = true };
	j->b = b;
	j->slot = (struct slot **)(j + 1);
	return j;
}

bool bins_node_path(const struct client_settings *c)
{
	return c->extend_node_path && c->hoist && c->hoist_pattern.n > 0;
}

static bool leads_to_new(const struct tree *t, struct lock_deps deps, struct arena *a)
{
	struct tree_edge edge;

	for (size_t i = 0; i < deps.n; i++) {
		if (tree_edge(&edge, t, deps.p[i].alias, deps.p[i].ref, a) && edge.to &&
			edge.to->state == SLOT_LINKED && edge.to->snap->optional)
			return true;
	}
	return false;
}

/* Whether S has commands to be made. A shared slot may have been made while an optional dependency could not be had, which came now: its
 * commands are still missing. */
static bool wants_bins(const struct bins *b, const struct slot *s, struct arena *a)
{
	const struct tree *t = b->o.layout.tree;

	if (s->state != SLOT_KEPT || !t->shared.n)
		return s->state == SLOT_LINKED || (s->state == SLOT_KEPT && s->bins_due);
	return leads_to_new(t, s->snap->dependencies, a) || leads_to_new(t, s->snap->optional_dependencies, a);
}

static void made_init(struct made *m, const struct tree *t)
{
	size_t n = 0;

	m->first = xcalloc(t->nslots + 1, sizeof(*m->first));
	for (size_t i = 0; i < t->nslots; i++) {
		m->first[i] = (uint32_t)n;
		n += t->slot[i]->package->state == PACKAGE_READY ? t->slot[i]->package->nbins : 0;
	}
	m->at = xcalloc(2 * n, sizeof(*m->at));
}

struct bins *bins_start(struct pool *p, const struct bins_opts *o, const struct hoist_place *hoisted)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct bins *b = xcalloc(1, sizeof(*b));
	const struct tree *t = o->layout.tree;
	size_t share = t->nslots / (8u * pool_workers(p)) + 1;

	b->o = *o;
	if (o->link && !o->again)
		made_init(&b->made, t);
	if (hoisted) {
		struct bins_job *j = job_new(b, 0);
		j->hoisted = hoisted;
		pool_submit(p, &j->job);
	}
	for (size_t i = 0; i < t->nimporters; i++) {
		struct bins_job *j = job_new(b, 0);
		j->importer = t->importer[i];
		pool_submit(p, &j->job);
	}
	for (size_t from = 0; from < t->nslots; from += share) {
		struct bins_job *j = job_new(b, share);
		for (size_t i = from; i < t->nslots && i < from + share; i++) {
			if (wants_bins(b, t->slot[i], &a))
				j->slot[j->n++] = t->slot[i];
		}
		if (j->n)
			pool_submit(p, &j->job);
		else
			free(j);
	}
	return b;
}

int bins_finish(struct bins *b, struct bins_counts *out, struct err *e)
{
	int code = b->err.code;

	if (code < 0)
		*e = b->err;
	else
		*out = b->counts;
	free(b->made.first);
	free(b->made.at);
	free(b);
	return code;
}
