#include "bin_dir.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link_root.h"
#include "name.h"
#include "prune.h"
#include "scripts.h"

void bin_dir_release(struct bin_dir *d)
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

/* The file may be one inode with the store and other trees: its mode is not ours to change, so it gets a copy,
 * unless it is one already. */
static int target_make_executable(
	int dirfd, const char *target, const struct stat *st, const struct bins_opts *o, struct err *e)
{
	char tmp[ASIDE_NAME];
	mode_t mode = (st->st_mode & 0777) | 0111;

	if (st->st_nlink == 1)
		return fchmodat(dirfd, target, mode, 0) == 0 ? 0 : err_os(e, "make %s executable", target);

	/* two workers may be at the same target; what an install that is killed leaves in the
	 * package would stay there */
	snprintf(tmp, sizeof(tmp), ASIDE "exec-%ld", (long)gettid());
	(void)unlinkat(o->vstore, tmp, 0);
	if (fs_copy(dirfd, target, o->vstore, tmp, mode, true, NULL) != 0)
		return err_os(e, "copy %s", target);
	if (renameat(o->vstore, tmp, dirfd, target) == 0)
		return 0;
	err_os(e, "make %s executable", target);
	unlinkat(o->vstore, tmp, 0);
	return e->code;
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

/* C's shim as a link to that of the slot that is kept in MADE. False: there is none, or this file
 * system makes no more of them. */
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

struct target {
	char head[512]; /* its beginning; a shim's words lie in it */
	struct stat st;
	bool there; /* not (yet): a workspace package's command that its build will make */
};

/* Reads it, and what runs it as its first line says. False: it is no file that can be read. One that is not there is
 * run by its name, as with pnpm 12.21. */
static bool target_read(struct target *t, struct shim *s, int dirfd, const struct chosen *c)
{
	AUTO(fs_close_auto) int fd = openat(dirfd, s->target.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool later = fd < 0 && errno == ENOENT && !c->from->own, file = fd >= 0 && fstat(fd, &t->st) == 0;
	ssize_t n = file && S_ISREG(t->st.st_mode) ? read(fd, t->head, sizeof(t->head)) : -1;

	if (n < 0 && !later)
		return false;
	t->there = !later;
	shim_runtime(s, (str){ t->head, later ? 0 : (size_t)n }, c->path);
	return true;
}

/* Whether what stands at NAME does as S, whose text is TEXT. */
static bool shim_stands(int dirfd, const char *name, struct buf *text, const struct shim *s, struct arena *a)
{
	struct stat st;
	AUTO(fs_close_auto) int old = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (old < 0)
		return false;
	char *was = buf_reserve(text, text->n + 1);
	if (read(old, was, text->n + 1) == (ssize_t)text->n && memcmp(was, text->p, text->n) == 0 &&
		fstat(old, &st) == 0 && (st.st_mode & 0100))
		return true;
	return shim_of_pnpm_does(dirfd, old, s, a);
}

/* 1 when the shim was written, 0 when it was right already or its target is no file that can be read. */
static int shim_put(int dirfd, const struct bin_dir *d, const struct bins_opts *o, const struct chosen *c,
	struct bins_counts *counts, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct shim s = { .target = arena_printf(d->a, STR_FMT "/" STR_FMT, STR_ARG(c->from->base), STR_ARG(c->path)) };
	struct target target;
	char name[256];

	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->command));
	if (!target_read(&target, &s, dirfd, c))
		return 0;
	/* A project's own files stay as they are. Source: pnpm 12.21. */
	bool packaged = c->from->slot || c->from->within.n;
	if (target.there && packaged && (target.st.st_mode & 0111) != 0111) {
		if (target_make_executable(dirfd, s.target.p, &target.st, o, e) < 0)
			return e->code;
		counts->chmodded++;
	}
	if (o->extend_node_path)
		s.node_path = node_path(d, c->from);
	shim_print(&text, &s);
	if (!d->fresh && shim_stands(dirfd, name, &text, &s, d->a)) {
		counts->kept++;
		return 0;
	}
	if (!d->fresh)
		remove_all(dirfd, name);
	AUTO(fs_close_auto) int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0755);
	/* whatever the umask is. Source: pnpm 12.21 */
	if (fd < 0 || fs_write_all(fd, text.p, text.n) != 0 || fstat(fd, &target.st) != 0 ||
		((target.st.st_mode & 0777) != 0755 && fchmod(fd, 0755) != 0))
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

int bin_dir_write(int dirfd, str path, struct bin_dir *d, const struct bins_opts *o, bool prune,
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
