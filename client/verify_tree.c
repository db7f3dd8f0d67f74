/* Which packages a tree is made of: its lockfile as a plan, as an install would take it. */
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bins.h"
#include "gvs.h"
#include "patch_stage.h"
#include "scripts.h"
#include "shared.h"
#include "source.h"
#include "verify_impl.h"

static int on_frame(void *arg, const struct frame *f, struct err *e)
{
	struct verify *v = arg;
	struct tree_package *p;
	struct slot *s;

	if (f->kind != FRAME_PACKAGE && f->kind != FRAME_SLOT && f->kind != FRAME_IMPORTER)
		return 0;
	struct frame *own = arena_new(&v->a, struct frame, 1);
	*own = *f; /* what it points at is the lockfile's, or the source's */
	if (f->kind == FRAME_IMPORTER) {
		tree_add_importer(&v->tree, &own->importer);
		return 0;
	}
	if (f->kind == FRAME_PACKAGE)
		return tree_add_package(&p, &v->tree, &own->package, e);
	if (tree_add_slot(&s, &v->tree, &own->slot, e) < 0)
		return e->code;
	return s->package->patch ? 0 : patch_find(&s->package->patch, &v->o->req->settings, s->snap->key, e);
}

static size_t wanted_slots(const struct tree_package *p)
{
	size_t n = 0;

	for (const struct slot *s = p->slots; s; s = s->next)
		n += s->state != SLOT_SKIPPED;
	return n;
}

static void package_add(struct verify *v, const struct tree_package *p)
{
	const struct lock_resolution *r = &p->f->meta.resolution;
	size_t n = wanted_slots(p), at = 0;

	if (n == 0)
		return;
	if (r->kind == LOCK_RES_DIRECTORY || r->kind == LOCK_RES_GIT || !p->f->url.n) {
		verify_unchecked(v, p->f->meta.key,
			r->kind == LOCK_RES_DIRECTORY ? "a folder of the project"
			: r->kind == LOCK_RES_GIT     ? "a git repository"
						      : "not from a registry");
		return;
	}
	if (!r->integrity.n) {
		verify_unchecked(v, p->f->meta.key, "the lockfile has no checksum of its tarball");
		return;
	}
	struct verify_package *vp = verify_add(v, p->f, n);
	vp->t.patch = p->patch;
	for (const struct slot *s = p->slots; s; s = s->next) {
		if (s->state == SLOT_SKIPPED)
			continue;
		vp->place[at++] = (struct place){ .path = arena_printf(&v->a, STR_FMT "/%s/node_modules/" STR_FMT,
							  STR_ARG(v->slots), s->dir, STR_ARG(s->name)),
			.optional = s->snap->optional };
	}
}

/* Folders of the virtual store that the lockfile knows nothing of. Where slots are shared no slot lies there; those in
 * the store that this project does not have are others'. */
static int extra_find(struct verify *v, struct err *e)
{
	struct map known = { 0 };
	DIR *d = fs_list(v->root, "node_modules/.pnpm/."); /* may be a link: what it leads to */

	if (!d)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "there is no node_modules/.pnpm in " STR_FMT,
						 STR_ARG(v->o->project->root))
				       : err_os(e, "read node_modules/.pnpm");
	for (size_t i = 0; i < v->tree.nslots; i++) {
		if (v->tree.slot[i]->state != SLOT_SKIPPED && !v->shared)
			map_set(&known, str_of(v->tree.slot[i]->dir), 0);
	}
	for (struct dirent *de; (de = readdir(d));) {
		str name = str_of(de->d_name);
		if (name.p[0] == '.' || str_eq(name, STR("node_modules")) || str_eq(name, STR("lock.yaml")) ||
			map_get(&known, name) != MAP_NONE)
			continue;
		verify_extra(v, arena_printf(&v->a, "node_modules/.pnpm/" STR_FMT, STR_ARG(name)),
			"not in the lockfile, or not for this platform and these groups");
	}
	closedir(d);
	map_release(&known);
	return 0;
}

/* The names of shared slots, as the install gave them that made this tree. */
static int shared_name(struct verify *v, struct err *e)
{
	const struct verify_opts *o = v->o;
	uint8_t key[32];

	if (access(arena_printf(&v->a, "%s/links", o->shared_store).p, F_OK) != 0)
		return err_set(e, ERR_NOTFOUND, "there are no shared slots in the store %s", o->shared_store);
	char *real = realpath(o->project->root.p, NULL);
	if (!real)
		return err_os(e, "find %s", o->project->root.p);
	str root = arena_str(&v->a, str_of(real));
	free(real);
	if (shared_open(&v->shared, o->shared_store, e) < 0)
		return e->code;
	v->slots = v->tree.shared = path_between(&v->a, root, shared_path(v->shared));
	for (size_t i = 0; i < v->tree.nslots; i++) {
		struct slot *s = v->tree.slot[i];
		tree_settle(&v->tree, s, true);
		s->builds =
			!o->req->ignore_scripts && scripts_allowed(s->package, &o->project->client) == BUILD_ALLOWED;
	}
	gvs_name(&v->tree, key,
		&(struct gvs_opts){ .root = root,
			.platform = &o->req->platform,
			.extend_node_path = bins_node_path(&o->project->client) });
	return 0;
}

int verify_tree(struct verify *v, struct err *e)
{
	const struct verify_opts *o = v->o;

	if (o->project->lockfile_broken.code < 0) {
		*e = o->project->lockfile_broken;
		return e->code;
	}
	if (!o->project->has_lockfile)
		return err_set(e, ERR_NOTFOUND, "there is no %s to compare with", o->project->lockfile_path.p);
	v->tree.max_dir = o->project->client.virtual_store_dir_max_length;
	v->locked = source_locked_new(o->req, NULL);
	v->slots = STR("node_modules/.pnpm");
	if (v->locked->run(v->locked, o->req, on_frame, v, e) < 0 || (o->shared_store && shared_name(v, e) < 0) ||
		extra_find(v, e) < 0)
		return e->code;
	for (size_t i = 0; i < v->tree.npackages; i++)
		package_add(v, v->tree.package[i]);
	verify_links(v);
	return 0;
}
