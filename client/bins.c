#include "bins.h"
#include "bin_dir.h"
#include "fs.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "link_root.h"
#include "manifest.h"
#include "scripts.h"

enum { BIN_DEPTH = 8 }; /* folders below directories.bin */

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

/* FOLDER below DIRFD: a workspace package, a link: or a slot's folder, whose commands are in
 * its package.json on disk. */
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
	/* The first of a name is it, as where the store knows them. */
	qsort(p->bin, p->nbins, sizeof(*p->bin), bin_cmp);
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

/* Whether S has commands to be made. A shared slot may have been made while an optional dependency could not be had,
 * which came now: its commands are still missing. */
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
