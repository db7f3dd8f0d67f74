/* install_shared — an install whose slots lie in the store, for all projects that want the same
 * (enableGlobalVirtualStore).
 *
 * The project holds symlinks only. Slots are named when the plan is whole, and made by one process at a time; they
 * carry their mark of being unfinished until their shims and builds are there, too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bins.h"
#include "env_document.h"
#include "fs.h"
#include "gvs.h"
#include "install_impl.h"
#include "integrity.h"
#include "link_root.h"
#include "plan_keep.h"
#include "prune.h"
#include "state.h"

int shared_slots_begin(struct install *in, struct err *e)
{
	in->slots = in->vstore;
	if (!in->o->project->client.enable_global_virtual_store)
		return 0;
	char *real = realpath(in->o->project->root.p, NULL);
	if (!real)
		return err_os(e, "find %s", in->o->project->root.p);
	in->root_path = arena_str(&in->arena, str_of(real));
	free(real);
	if (shared_open(&in->shared, in->o->store_dir, e) < 0)
		return e->code;
	/* what is made anew under other projects' feet must not count as up to date there, if this
	 * install dies before it is whole */
	if (in->o->force && shared_stamp_renew(in->shared, e) < 0)
		return e->code;
	in->slots = shared_fd(in->shared);
	in->tree.shared = path_between(&in->arena, in->root_path, shared_path(in->shared));
	return 0;
}

int shared_slots_name(struct install *in, struct err *e)
{
	struct gvs_opts go = { .root = in->root_path,
		.platform = &in->o->req->platform,
		.extend_node_path = bins_node_path(&in->o->project->client) };
	size_t n = 0;

	gvs_name(&in->tree, in->shared_key, &go);
	str *dir = arena_new(&in->arena, str, in->tree.nslots + 1);
	for (size_t i = 0; i < in->tree.nslots; i++) {
		if (in->tree.slot[i]->state != SLOT_SKIPPED) /* what fails may stand, and is needed then */
			dir[n++] = str_of(in->tree.slot[i]->dir);
	}
	return shared_record(in->shared, in->root_path, in->shared_key, dir, n, e);
}

int shared_slots_ready(struct install *in, struct err *e)
{
	size_t n = 0;
	int make = shared_make(in->shared, false, e);

	if (make < 0)
		return make;
	if (make == 0) {
		if (!in->waiting_make)
			progress_warn(in->o->progress,
				"another install is making shared slots in this store: waiting for it");
		in->waiting_make = true;
		return 0;
	}
	in->waiting_make = false;
	for (size_t i = 0; i < in->ready.n; i++) {
		struct slot *s = in->ready.p[i];
		bool fixed = s->package->f->meta.resolution.kind != LOCK_RES_DIRECTORY && !in->o->force;
		if (fixed && slot_stands(in->slots, s)) {
			slot_finish(in, s, SLOT_KEPT);
			in->r->kept++;
		} else {
			in->ready.p[n++] = s;
		}
	}
	in->ready.n = n;
	return 0;
}

/* The folder for what this project hoists: named by all that will be in it. False: it has links into the project. */
static bool hoisted_name(char out[64], const struct install *in)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint8_t digest[32];
	char hex[33];

	buf_addc(&b, bins_node_path(&in->o->project->client) ? 'n' : '-');
	for (size_t i = 0; i < in->hoist.n; i++) {
		const struct hoisted *h = &in->hoist.p[i];
		if (!h->to)
			return false;
		if (!h->is_public)
			buf_printf(&b, "\n" STR_FMT " %s", STR_ARG(h->alias), h->to->dir);
	}
	sha256(digest, b.p, b.n);
	hex_print(hex, digest, 16);
	snprintf(out, 64, "hoisted-%s", hex);
	return true;
}

/* TMP takes its place, and what stood there TMP's: other projects that lead there find one of them at any time. */
static int hoisted_put(int slots, const char *tmp, const char *name)
{
	if (renameat2(slots, tmp, slots, name, RENAME_EXCHANGE) == 0)
		return 0;
	if ((errno == EINVAL || errno == EXDEV) &&
		!remove_all(slots, name)) /* a file system that cannot exchange (all) folders */
		return -1;
	return renameat(slots, tmp, slots, name);
}

/* Made beside its place and renamed: it is there whole or not at all, and whoever comes second takes the first
 * one's, but with --force. */
static int hoisted_make(struct install *in, const struct bins_opts *bo, const char *name, struct err *e)
{
	char tmp[96], path[128];
	struct root_counts rc = { 0 };

	/* in containers that share a store several installs may have one number, and this takes no lock */
	snprintf(tmp, sizeof(tmp), ASIDE "%ld-%llx-hoisted", (long)getpid(), (unsigned long long)clock_us());
	snprintf(path, sizeof(path), "%s/node_modules", tmp);
	struct hoist_place at = { in->slots, str_of(path), STR("../..") };
	AUTO(fs_close_auto) int fd = dir_make(in->slots, at.path, e);
	if (fd < 0 || link_hoisted(&rc, &in->hoist, &at, e) < 0 || bins_hoisted(bo, &at, e) < 0) {
		remove_all(in->slots, tmp);
		return e->code;
	}
	int put = in->o->force ? hoisted_put(in->slots, tmp, name) : renameat(in->slots, tmp, in->slots, name);
	int failed = put != 0 ? errno : 0;
	remove_all(in->slots, tmp);
	if (failed && failed != EEXIST && failed != ENOTEMPTY) {
		errno = failed;
		return err_os(e, "rename %s", name);
	}
	return 0;
}

int shared_slots_hoist(struct install *in, const struct bins_opts *bo, struct err *e)
{
	static const char place[] = "node_modules/.pnpm/node_modules";
	char name[64], path[96], was[4096];
	struct stat st;

	if (!in->shared || !in->hoist.n || !hoisted_name(name, in))
		return 0;
	snprintf(path, sizeof(path), "%s/node_modules", name);
	if ((in->o->force || fstatat(in->slots, path, &st, AT_SYMLINK_NOFOLLOW) != 0) &&
		hoisted_make(in, bo, name, e) < 0)
		return e->code;
	str target = arena_printf(&in->arena, "../../" STR_FMT "/%s", STR_ARG(in->tree.shared), path);
	ssize_t n = readlinkat(in->root, place, was, sizeof(was));
	if (n > 0 && str_eq(target, (str){ was, (size_t)n }))
		return 1;
	remove_all(in->root, place);
	if (symlinkat(target.p, in->root, place) != 0)
		return err_os(e, "make symlink %s", place);
	return 1;
}

int shared_slots_publish(struct install *in, struct err *e)
{
	for (size_t i = 0; in->shared && i < in->tree.nslots; i++) {
		const struct slot *s = in->tree.slot[i];
		if (s->state == SLOT_LINKED && slot_publish(in->slots, s, e) < 0)
			return e->code;
	}
	return 0;
}

int shared_slots_end(struct install *in, struct err *e)
{
	if (in->shared)
		return shared_record_end(in->shared, in->root_path, e);
	char *real = realpath(in->o->project->root.p, NULL);
	if (real)
		shared_forget(in->store, str_of(real));
	free(real);
	return 0;
}

/* Whether a pin of pnpm's should have come into the lockfile and could not be made: it is tried again, and said
 * again. */
static bool unpinned(const struct install *in)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct env_pin pin;

	return in->o->keep->image == PLAN_IMAGE &&
	       env_document_wanted(&pin, &in->o->req->importer[0].manifest, in->o->env_document, &a);
}

/* Scripts of the project run with every install, and folders outside the store are not of one content for ever. */
static bool image_fits(const struct install *in)
{
	static const char *const stages[] = { "preinstall", "install", "postinstall", "preprepare", "prepare",
		"postprepare" };
	const struct request *r = in->o->req;

	if (!in->o->project->client.lockfile || !in->made_vstore || r->nimporters != 1 || r->nlocal ||
		r->settings.npatch || in->r->ignored_builds.n || in->young.n ||
		!in->o->project->client.optimistic_repeat_install)
		return false;
	if (unpinned(in))
		return false;
	for (size_t i = 0; !in->o->ignore_scripts && i < sizeof(stages) / sizeof(stages[0]); i++) {
		if (str_map_get(r->importer[0].manifest.scripts, str_of(stages[i])))
			return false;
	}
	for (size_t i = 0; i < in->tree.nslots; i++) {
		const struct slot *s = in->tree.slot[i];
		/* without an integrity it is the registry's address that says what a package is */
		if (s->state == SLOT_FAILED || !s->package->f->meta.resolution.integrity.n ||
			s->package->f->meta.resolution.kind == LOCK_RES_DIRECTORY)
			return false;
	}
	return true;
}

void shared_slots_image(struct install *in)
{
	struct image im = { .shared = in->tree.shared };
	const struct plan_keep *k = in->o->keep;
	AUTO(buf_release) struct buf room = BUF_INIT;
	uint8_t digest[32], key[32];
	struct err e = { 0 };

	if (!image_fits(in))
		return;
	str lockfile = plan_keep_lockfile(digest, in, &room);
	im.slot = arena_new(&in->arena, struct image_slot, in->tree.nslots + 1);
	for (size_t i = 0; i < in->tree.nslots; i++) {
		const struct slot *s = in->tree.slot[i];
		if (slot_wanted(s))
			im.slot[im.nslots++] =
				(struct image_slot){ str_of(s->dir), arena_str(&in->arena, s->name), s->modules_ns };
	}
	im.packages = tree_used(&in->tree);
	memcpy(im.record, in->shared_key, sizeof(im.record));
	plan_key(key, k->base, k->image, digest);
	im.lockfile = lockfile;
	if (image_scan(&im, in->root, &in->arena, &e) != 1 || image_keep(&im, in->o->store_dir, key, &e) < 0)
		progress_event(in->o->progress, "image", "\"kept\":false");
}
