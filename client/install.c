/* The data path of an install, in the order in which it happens:
 *
 *	install_run    open the store, choose the source, start it
 *	on_frame       a package: is it in the store? else its bytes are asked for
 *	               a slot: does it stand already? else it is linked once its package is in the store
 *	on_fetched     bytes are in the store: the package's slots are linked
 *	on_linked      a slot is there
 *	install_turn   one round of the loop: whatever has arrived, then link_slots_parallel()
 *	install_after  root links and hoisting, shims, build scripts, lockfile and state files (last)
 */
#include "fs.h"
#include "install_impl.h"
#include "platform.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "dep_path.h"
#include "gvs.h"
#include "peer_report.h"
#include "plan_keep.h"
#include "project_local.h"
#include "remote_tarball.h"
#include "scripts.h"

uint64_t install_since(const struct install *in)
{
	return clock_us() - in->start;
}

void install_fail(struct install *in, int code, const struct err *e)
{
	if (in->failed)
		return; /* the first one is the cause */
	in->failed = true;
	in->err = *e;
	in->err.code = code;
	if (in->linker)
		linker_stop(in->linker);
}

/* ---- slots ---- */

void slot_finish(struct install *in, struct slot *s, enum slot_state state)
{
	s->state = state;
	in->done++;
}

/* pnpm's own record of the tree has this slot, made of the same parts. It is written last, so the slot is whole. */
static bool slot_adopted(struct install *in, struct slot *s)
{
	const struct lock_snapshot *was = lockfile_snapshot(&in->current, s->snap->key);
	const struct lock_package *p = lockfile_package(&in->current, s->package->f->meta.key);

	return was && p && str_eq(p->resolution.integrity, s->package->f->meta.resolution.integrity) &&
	       lock_deps_same(was->dependencies, s->snap->dependencies) &&
	       lock_deps_same(was->optional_dependencies, s->snap->optional_dependencies) && slot_stands(in->slots, s);
}

/* S stands as it was when WAS was written, and would be made of the same parts. */
static bool slot_still(const struct install *in, struct slot *s, const struct state_slot *was)
{
	return was && was->wiring == s->wiring && slot_stands(in->slots, s) && was->modules_ns == s->modules_ns &&
	       was->package_ns == s->package_ns;
}

/* A slot that an earlier install made of the same parts, and that nobody touched since, stays. */
static bool slot_kept(struct install *in, struct slot *s)
{
	s->wiring = slot_wiring(s);
	if (in->o->force)
		return false;
	if (in->shared)
		return slot_stands(in->slots, s);
	const struct state_slot *made = slots_made_find(in->made, s->dir);
	if (slot_still(in, s, made) && s->modules_ino == made->modules_ino) {
		s->bins_due = true;
		return true;
	}
	if (in->has_current) {
		bool adopted = slot_adopted(in, s);
		if (adopted) /* the record that says so may be set aside */
			slots_made_add(in->made, s);
		return adopted;
	}
	const struct state_slot *was = in->has_old ? state_slot(&in->old, s->dir) : NULL;
	s->bins_due = was && was->begun;
	return slot_still(in, s, was);
}

void slots_note_made(struct install *in, const struct slot *s)
{
	/* what is to be built may be so in part */
	if (!in->shared && !(s->builds && scripts_wanted(s->package)))
		slots_made_add(in->made, s);
}

void slot_ready(struct install *in, struct slot *s)
{
	if (!s->wiring)
		s->wiring = slot_wiring(s);
	if (!in->planned)
		in->r->slots_before_done++;
	*vec_add(&in->ready) = s;
	s->state = SLOT_LINKING;
}

static void slot_note_builds(const struct install *in, struct slot *s)
{
	s->builds = !in->o->ignore_scripts && scripts_allowed(s->package, &in->o->project->client) == BUILD_ALLOWED;
}

/* S is known in full: keep it, or have it linked when its package is there. */
static int slot_start(struct install *in, struct slot *s, struct err *e)
{
	s->deferred = false;
	slot_note_builds(in, s);
	if (s->state == SLOT_FAILED) { /* before it had a name, and is counted */
		if (in->shared && slot_stands(in->slots, s)) {
			s->state = SLOT_KEPT;
			in->r->kept++;
		}
		return 0;
	}
	/* file: folders may have changed without a new version: their slots are always made anew */
	if (s->package->f->meta.resolution.kind != LOCK_RES_DIRECTORY && slot_kept(in, s)) {
		slot_finish(in, s, SLOT_KEPT);
		in->r->kept++;
		/* a project of shared slots makes few shims; each record costs a look-up */
		return in->shared && !s->package->f->meta.has_bin ? 0 : package_peek(in, s->package, e);
	}
	if (slot_want(in, s, e) < 0)
		return e->code;
	if (s->package->state == PACKAGE_READY)
		package_link(in, s->package);
	return 0;
}

static void on_linked(void *arg, struct slot *s)
{
	struct install *in = arg;

	if (in->failed)
		return;
	if (s->state == SLOT_LINKED) {
		in->done++;
		in->o->progress->added++;
		slots_note_made(in, s);
		return;
	}
	bool lost = s->err->code == ERR_NOTFOUND || s->err->code == ERR_INTEGRITY;
	bool older = s->rec.p != s->package->rec.p; /* for another slot it was fetched again since */
	if (!lost || (s->package->again && s->package->state == PACKAGE_READY && !older)) {
		install_fail(in, s->err->code, s->err);
		return;
	}
	/* The store lost or spoiled a file: fetch the package again, once. */
	if (s->package->state == PACKAGE_READY && older) {
		slot_ready(in, s);
	} else if (s->package->state == PACKAGE_READY) {
		struct err e;
		if (package_again(in, s->package, &e) < 0)
			install_fail(in, e.code, &e);
	}
}

/* ---- frames ---- */

/* Bytes are wanted before it is known whether the slot stands, except where it probably does, or where none can
 * come. */
static bool package_early(const struct install *in)
{
	return !in->has_old && !in->has_current && !(in->shared && in->o->locked) && !in->o->offline;
}

/* The same for F, which the lockfile does not have yet: no slot of it stands. */
static bool package_new(const struct install *in, const struct frame_package *f)
{
	const struct lockfile *was = in->o->req->lockfile;

	return !in->o->locked && !in->o->offline && was && !lockfile_package(was, f->meta.key);
}

/* engineStrict; what is optional and does not run here was skipped already. */
static int runs_here(struct install *in, const struct tree_package *p, struct err *e)
{
	const struct lock_package *m = &p->f->meta;
	const str *node = str_map_get(m->engines, STR("node"));
	struct runs_on on = { m->key, m->os, m->cpu, m->libc, node ? *node : STR_NONE };

	if (platform_takes(&on, in->o->req, &in->arena, e) == 0)
		return 0;
	err_ctx(e, "engineStrict");
	return e->code;
}

static int on_slot(struct install *in, const struct frame_slot *f, struct err *e)
{
	struct slot *s;

	if (tree_add_slot(&s, &in->tree, f, e) < 0 || package_note_patch(in, s->package, f->snap.key, e) < 0)
		return e->code;
	if (s->state == SLOT_SKIPPED) {
		in->done++;
		in->r->skipped++;
		return 0;
	}
	in->o->progress->total++;
	if (in->o->lockfile_only) {
		in->done++;
		return 0;
	}
	if (in->o->project->client.engine_strict && runs_here(in, s->package, e) < 0)
		return e->code;
	if (in->shared || !tree_settle(&in->tree, s, false)) { /* a shared slot's name hashes all that it leads to */
		s->deferred = true;
		*vec_add(&in->deferred) = s;
		/* Its bytes are wanted whatever its dependencies are. */
		return package_early(in) ? package_want(in, s->package, e) : 0;
	}
	return slot_start(in, s, e);
}

static int on_importer(struct install *in, const struct frame_importer *f, struct err *e)
{
	struct frame_importer *whole = arena_new(&in->tree.arena, struct frame_importer, 1);

	if (!request_importer(in->o->req, f->importer.path))
		return err_set(e, ERR_PROTOCOL, "plan: " STR_FMT " is no project of this workspace",
			STR_ARG(f->importer.path));
	*whole = *f;
	project_links_add(&whole->importer, in->o->req, &in->tree.arena);
	tree_add_importer(&in->tree, whole);
	return 0;
}

static int on_warning(struct install *in, const struct frame_warning *f, struct err *e)
{
	if (f->kind == WARN_AGE_EXCLUDED && project_age_strict(in->o->project))
		return err_set(e, ERR_POLICY,
			STR_FMT ": " STR_FMT
				" (%llu minutes); list it under minimumReleaseAgeExclude to take it anyway",
			STR_ARG(f->package), STR_ARG(f->text),
			(unsigned long long)in->o->req->settings.minimum_release_age);
	if (f->kind == WARN_AGE_EXCLUDED) {
		*vec_add(&in->young) = f->package;
		return 0;
	}
	if (f->kind == WARN_DEPRECATED) {
		in->o->progress->deprecated++;
		progress_event(in->o->progress, "deprecated", "\"package\":\"" STR_FMT "\"", STR_ARG(f->package));
	} else {
		progress_warn(in->o->progress, STR_FMT "%s" STR_FMT, STR_ARG(f->package), f->package.n ? ": " : "",
			STR_ARG(f->text));
	}
	return 0;
}

static int on_hello(struct install *in, const struct frame_hello *f, struct err *e)
{
	uint8_t mine[32];

	if (f->protocol < PLAN_PROTOCOL_MIN || f->protocol > PLAN_PROTOCOL)
		return err_set(e, ERR_PROTOCOL, STR_FMT " speaks protocol %u, this dray %u to %u", STR_ARG(f->server),
			f->protocol, PLAN_PROTOCOL_MIN, PLAN_PROTOCOL);
	in->r->plan_cached = f->cached;
	in->kept_plan = in->kept_source && source_kept_used(in->kept_source);
	if (in->kept_plan)
		in->r->source = "direct";
	settings_digest(mine, &in->o->req->settings);
	if (memcmp(mine, f->settings_digest, sizeof(mine)) != 0)
		return err_set(e, ERR_PROTOCOL,
			STR_FMT " did not honour all settings of this project; nothing was changed",
			STR_ARG(f->server));
	return 0;
}

static int on_frame(struct install *in, const struct frame *f, struct err *e)
{
	struct tree_package *p;

	if (!in->r->t.first_frame)
		in->r->t.first_frame = install_since(in);
	if (in->lock)
		plan_lockfile_add(in->lock, f);
	switch (f->kind) {
	case FRAME_HELLO:
		return on_hello(in, &f->hello, e);
	case FRAME_PACKAGE:
		if (tree_add_package(&p, &in->tree, &f->package, e) < 0)
			return e->code;
		in->o->progress->resolved += !f->package.skip;
		/* With a tree already there its slot may stand, and no bytes are needed. */
		if (in->o->lockfile_only || f->package.skip)
			return 0;
		return package_early(in) || package_new(in, &f->package) ? package_want(in, p, e) : 0;
	case FRAME_SLOT:
		return on_slot(in, &f->slot, e);
	case FRAME_IMPORTER:
		return on_importer(in, &f->importer, e);
	case FRAME_LOCK_HEAD:
		in->tree.head = &f->lock_head;
		return 0;
	case FRAME_WARNING:
		return on_warning(in, &f->warning, e);
	case FRAME_PEER_ISSUE:
		*vec_add(&in->peer_issue) = f->peer_issue;
		return 0;
	case FRAME_VERDICT:
		return verdict_judge(in, &f->verdict, e);
	case FRAME_DONE:
		in->r->plan = f->done;
		return 0;
	case FRAME_FAILURE: /* its text is the source's error, too */
		return 0;
	}
	return err_set(e, ERR_PROTOCOL, "plan: frame of unknown kind %d", (int)f->kind);
}

static int importer_cmp(const void *a, const void *b)
{
	return str_cmp(
		(*(const struct lock_importer *const *)a)->path, (*(const struct lock_importer *const *)b)->path);
}

/* A patch that nothing needs any more is an error, so that it is noticed, unless allowUnusedPatches. Source: pnpm. */
static int patches_check(const struct install *in, struct err *e)
{
	const struct settings *s = &in->o->req->settings;

	for (size_t i = 0; i < s->npatch && !s->allow_unused_patches && !in->o->locked; i++) {
		bool used = false;
		for (size_t k = 0; k < in->tree.npackages && !used; k++) {
			const struct patch *p = in->tree.package[k]->patch;
			used = p && (p == &s->patch[i] || str_eq(p->hash, s->patch[i].hash));
		}
		if (!used)
			return err_set(e, ERR_USAGE,
				"patchedDependencies > " STR_FMT
				": nothing in the plan is patched by it; remove it, or set allowUnusedPatches: true",
				STR_ARG(s->patch[i].selector));
	}
	return 0;
}

/* The plan is whole: what waited for that goes on. */
static int on_planned(struct install *in, struct err *e)
{
	in->planned = true;
	in->r->t.last_frame = install_since(in);
	in->o->progress->planned = true;
	qsort(in->tree.importer, in->tree.nimporters, sizeof(*in->tree.importer), importer_cmp);
	for (size_t i = 0; i < in->deferred.n; i++) {
		tree_settle(&in->tree, in->deferred.p[i], true);
		slot_note_builds(in, in->deferred.p[i]);
	}
	if (in->shared && shared_slots_name(in, e) < 0)
		return e->code;
	for (size_t i = 0; i < in->deferred.n; i++) {
		if (slot_start(in, in->deferred.p[i], e) < 0)
			return e->code;
	}
	in->deferred.n = 0;
	if (patches_check(in, e) < 0)
		return e->code;
	tree_reach(&in->tree, in->o->req->prod, in->o->req->dev, in->o->req->optional);
	if (in->lock && in->o->project->client.lockfile && !in->o->lockfile_only)
		in->staged = staged_lockfile(in->pool, in->root, plan_lockfile_get(in->lock), true);
	/* a resolver in this process has ended: its memory is the packages' now */
	if (!in->o->locked && !in->o->source)
		meta_forget(in->meta);
	if (!in->o->locked && (!in->o->source || in->kept_plan))
		malloc_trim(0);
	return verdict_planned(in, e);
}

static void link_ready(struct install *in)
{
	if (in->ready.n && !in->failed)
		link_slots_parallel(in->linker, in->ready.p, in->ready.n);
	in->ready.n = 0;
}

/* Bytes and finished jobs that have arrived. */
static void take_bytes(struct install *in)
{
	if (in->fetcher && !in->failed)
		fetcher_drain(in->fetcher);
	if (in->packs && !in->failed)
		pack_fetcher_drain(in->packs);
	pool_drain(in->pool);
}

static void take_frames(struct install *in)
{
	struct err e = { 0 };
	int code = 0;

	for (struct frame_batch *b; (b = frames_take(in->frames));) {
		b->next = in->batches;
		in->batches = b;
		for (size_t i = 0; code == 0 && !in->failed && i < b->n; i++)
			code = on_frame(in, b->frame[i], &e);
		if (code < 0)
			install_fail(in, code, &e);
		/* A plan that is at hand comes faster than it is looked at: nobody idles until its end, and what
		 * arrives meanwhile is imported. */
		if (in->fetcher || in->packs)
			take_bytes(in);
		if (!in->shared && pool_live(in->pool) < 2 * pool_workers(in->pool))
			link_ready(in);
	}
	if (!in->planned && !in->failed && frames_ended(in->frames, &code, &e)) {
		if (code == 0)
			code = on_planned(in, &e);
		if (code < 0)
			install_fail(in, code, &e);
	}
}

/* ---- the loop ---- */

static bool install_idle(const struct install *in)
{
	bool busy = pool_live(in->pool) > 0;

	if (in->failed)
		return !busy; /* downloads are cancelled, jobs under way end */
	return in->planned && in->done == in->tree.nslots && !busy && !verdict_pending(in) &&
	       (!in->fetcher || fetcher_pending(in->fetcher) == 0) &&
	       (!in->packs || pack_fetcher_pending(in->packs) == 0);
}

/* Nothing is known that would bring a job to the pool but what runs there; and that brings none. */
static bool pool_has_all(const struct install *in)
{
	return in->planned && in->ready.n == 0 && !linker_brings(in->linker) && !in->waiting_make &&
	       (!in->fetcher || fetcher_pending(in->fetcher) == 0) &&
	       (!in->packs || pack_fetcher_pending(in->packs) == 0);
}

/* Waits until something is to be taken, or to be shown. */
static int install_wait(struct install *in, struct err *e)
{
	struct pollfd fd[6] = {
		{ .fd = in->planned ? -1 : frames_fd(in->frames), .events = POLLIN },
		{ .fd = pool_fd(in->pool), .events = POLLIN },
		{ .fd = in->fetcher && !in->failed ? fetcher_fd(in->fetcher) : -1, .events = POLLIN },
		{ .fd = in->failed ? -1 : in->o->cancel_fd, .events = POLLIN },
		{ .fd = in->packs && !in->failed ? pack_fetcher_fd(in->packs) : -1, .events = POLLIN },
		{ .fd = in->failed ? -1 : verdict_fd(in), .events = POLLIN },
	};

	/* nobody may wake it while there is enough to link: what is made meanwhile is to be written down */
	int wait = in->waiting_make ? 20 : in->o->progress->tty ? 100 : SLOTS_MADE_MS, late = packages_wait_ms(in);

	if (pool_has_all(in))
		pool_last(in->pool);
	if (poll(fd, 6, late > 0 && late < wait ? late : wait) < 0)
		return errno == EINTR ? 0 : err_os(e, "poll");
	if (fd[3].revents)
		return err_set(e, ERR_CANCELLED, "interrupted; the next install completes what is missing");
	return 0;
}

/* Whatever has arrived: frames, the verdict, bytes, finished jobs. */
static void install_take(struct install *in)
{
	if (!in->planned)
		take_frames(in);
	if (!in->failed)
		verdict_drain(in);
	take_bytes(in);
	if (in->made)
		slots_made_write(in->made, false);
	packages_meanwhile(in);
}

static void install_show(struct install *in)
{
	struct progress *p = in->o->progress;

	if (p->tty)
		p->bytes = (in->fetcher ? fetcher_counts(in->fetcher).bytes : 0) +
			   (in->packs ? pack_fetcher_counts(in->packs).bytes : 0);
	progress_update(p);
}

static void install_turn(struct install *in)
{
	struct err e;

	if (install_wait(in, &e) < 0)
		install_fail(in, e.code, &e);
	install_take(in);
	if (in->shared && in->ready.n && !in->failed && shared_slots_ready(in, &e) < 0)
		install_fail(in, e.code, &e);
	if (!in->waiting_make)
		link_ready(in);
	install_early(in);
	install_show(in);
}

/* ---- before and after ---- */

static int fd_of(int dirfd, const char *path, struct err *e)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_os(e, "open folder %s", path);
}

static struct source *source_choose(struct install *in, struct err *e)
{
	struct meta_opts mo = { .offline = in->o->offline,
		.max_age_ms = in->o->offline || in->o->prefer_offline ? INT64_MAX : 0 };

	if (in->o->locked)
		return in->own_source = source_locked_new(&in->req, in->o->keep ? in->o->keep->mark : NULL);
	if (in->o->source)
		return in->own_source = in->kept_source = source_kept_new(
			       in->store, in->o->offline || in->o->prefer_offline, in->o->source, in->wall_ms);
	if (install_net(in, e) < 0 || meta_new(&in->meta, in->store, in->registry, &mo, e) < 0)
		return NULL;
	struct remote_tarballs_opts ro = {
		.registry = in->registry, .store = in->o->lockfile_only ? NULL : in->store, .offline = in->o->offline
	};
	return in->own_source = source_direct_new(in->meta, &ro, in->wall_ms);
}

static enum pkg_import_method import_method(enum import_method m)
{
	switch (m) {
	case IMPORT_AUTO:
		return PKG_AUTO;
	case IMPORT_HARDLINK:
		return PKG_HARDLINK;
	case IMPORT_COPY:
		return PKG_COPY;
	case IMPORT_CLONE:
	case IMPORT_CLONE_OR_COPY:
		return PKG_CLONE;
	}
	return PKG_AUTO;
}

/* The files that decide whether there is anything to do, as they are before anything of the tree is changed. */
static void watch_begin(struct install *in)
{
	struct str_list watch = in->o->watch;

	in->watched = arena_new(&in->arena, struct state_watch, watch.n + 1);
	for (size_t i = 0; i < watch.n; i++) {
		in->watched[i].path = watch.p[i];
		state_stat(&in->watched[i], in->root, in->o->began_ns);
	}
}

static void linker_begin(struct install *in)
{
	struct linker_opts lo = { .vstore = in->slots,
		.root = in->root,
		.vstore_to_root =
			in->shared ? path_between(&in->arena, shared_path(in->shared), in->root_path) : STR("../.."),
		.unfinished = in->shared != NULL,
		.store = in->store,
		.method = import_method(in->o->project->client.import_method),
		.done = on_linked,
		.arg = in };

	in->linker = linker_new(in->pool, &in->tree, &lo);
}

/* The source is at work when it returns. */
static int source_begin(struct install *in, struct err *e)
{
	struct source *s = source_choose(in, e);

	if (!s || (!in->o->offline && packages_expected(in, e) < 0))
		return e->code;
	if (s->name)
		in->r->source = s->name;
	if (!in->o->locked) {
		in->lock = plan_lockfile_new();
		plan_lockfile_environment(in->lock, in->o->env_document);
	}
	return frames_start(&in->frames, s, &in->req, e);
}

static int install_open(struct install *in, struct err *e)
{
	struct store_opts so = { .verify = in->o->verify, .readahead = true };

	in->root = fd_of(AT_FDCWD, in->o->project->root.p, e);
	if (in->root < 0)
		return e->code;
	watch_begin(in);
	if (store_open(&in->store, in->o->store_dir, &so, e) < 0 || store_read_begin(&in->read, in->store, e) < 0 ||
		pool_new(&in->pool, 0, e) < 0)
		return e->code;
	if (!in->o->lockfile_only && (vstore_open(in, e) < 0 || shared_slots_begin(in, e) < 0))
		return e->code;
	linker_begin(in);
	if (source_begin(in, e) < 0)
		return e->code;
	if (in->o->source && !in->o->locked) /* until the server answers nothing else is to be done */
		store_expect_writes(in->store);
	return verdict_open(in, e);
}

/* After it nothing comes from the network, and nobody asks it for anything. */
static void network_end(struct install *in)
{
	frames_free(in->frames);
	verdict_stop(in);
	pack_fetcher_stop(in->packs);
	/* A plan that failed leaves packuments on their way, and their workers may still ask for more: those requests
	 * must find the fetch thread alive, to be told that it is over. */
	if (in->fetcher)
		fetcher_stop(in->fetcher);
	if (in->http)
		http_stop(in->http);
	meta_free(in->meta);
	verdict_release(in);
	http_free(in->http); /* no callback after this */
	if (in->fetcher)
		fetcher_drain(in->fetcher);
}

/* Jobs point into the install: all of them end first. */
static void jobs_end(struct install *in)
{
	while (in->pool && pool_live(in->pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(in->pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(in->pool);
	}
	if (in->failed)
		vstore_undo(in);
	pool_free(in->pool);
}

static void store_end(struct install *in)
{
	shared_close(in->shared);
	slots_made_free(in->made);
	if (in->store)
		store_close(in->store);
	if (in->vstore >= 0)
		close(in->vstore);
	if (in->root >= 0)
		close(in->root);
}

static void install_close(struct install *in)
{
	network_end(in);
	jobs_end(in);
	registry_free(in->registry);
	fetcher_free(in->fetcher);
	pack_fetcher_free(in->packs);
	pack_pairs_release(&in->pairs);
	linker_free(in->linker);
	if (in->own_source)
		in->own_source->free(in->own_source);
	staged_free(in->staged);
	early_free(in->early);
	plan_lockfile_free(in->lock);
	if (in->read)
		store_read_end(in->read);
	tree_release(&in->tree);
	if (in->has_old)
		state_release(&in->old);
	for (struct frame_batch *b = in->batches, *next; b; b = next) {
		next = b->next;
		frame_batch_free(b);
	}
	vec_release(&in->ready);
	vec_release(&in->deferred);
	for (size_t i = 0; i < in->lost_rec.n; i++)
		free((void *)(uintptr_t)in->lost_rec.p[i].p);
	vec_release(&in->lost_rec);
	vec_release(&in->young);
	vec_release(&in->peer_issue);
	arena_release(&in->arena);
	store_end(in);
}

/* From the plan's first frame to the finished tree. */
static void install_go(struct install *in)
{
	while (!in->failed && !install_idle(in))
		install_turn(in);
	packages_unanswered(in);
	if (!in->failed && install_after(in, &in->err) < 0)
		in->failed = true;
	if (!in->failed) {
		packages_end(in);
		verdict_finish(in);
	}
	if (!in->failed || in->req.settings.strict_peer_dependencies)
		peer_issues_say(in->o->progress, in->peer_issue.p, in->peer_issue.n);
}

static void counts_take(struct install_result *out, const struct install *in)
{
	out->packages = tree_used(&in->tree);
	out->slots = in->tree.nslots;
	if (in->fetcher) {
		struct fetch_counts fc = fetcher_counts(in->fetcher);
		out->fetched_bytes = fc.bytes;
		out->import_us = fc.import_us;
		out->tarballs = fc.tarballs;
	}
	if (in->packs) {
		struct pack_counts pc = pack_fetcher_counts(in->packs);
		out->packs = pc.packs;
		out->deltas = pc.deltas;
		out->packs_saved = pc.saved;
		out->pack_bytes = pc.bytes;
		out->packs_absent = pc.absent;
		out->packs_refused = pc.refused;
		out->pack_requests = pc.requests;
		out->import_us += pc.import_us;
	}
}

int install_run(struct install_result *out, const struct install_opts *o, struct err *e)
{
	struct install in = { .o = o,
		.r = out,
		.start = clock_us(),
		.wall_ms = clock_wall_ms(),
		.root = -1,
		.vstore = -1,
		.slots = -1,
		.arena = ARENA_INIT(64 * 1024) };

	*out = (struct install_result){ .arena = ARENA_INIT(4096), .source = "none" };
	in.req = *o->req;
	tree_init(&in.tree);
	in.tree.max_dir = o->project->client.virtual_store_dir_max_length;
	if (install_open(&in, &in.err) < 0)
		in.failed = true;
	install_go(&in);
	counts_take(out, &in);
	install_close(&in);
	out->t.end = install_since(&in);
	if (in.failed) {
		*e = in.err;
		return e->code < 0 ? e->code : (e->code = ERR_IO);
	}
	if (out->ignored_builds.n && o->project->client.strict_dep_builds)
		return err_set(e, ERR_BUILDS,
			"%zu package(s) want to run build scripts and are not listed under allowBuilds",
			out->ignored_builds.n);
	return 0;
}

void install_result_release(struct install_result *r)
{
	arena_release(&r->arena);
}
