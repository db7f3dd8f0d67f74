/* install_after — what follows when all slots are there: links of the project, shims, build scripts,
 * and what is written last. */
#include <errno.h>
#include <poll.h>

#include "bins.h"
#include "finish.h"
#include "install_impl.h"
#include "link_root.h"
#include "plan_keep.h"
#include "prune.h"
#include "scripts.h"

void install_hoist(struct install *in)
{
	layout_hoist(&in->hoist, &in->tree, in->o->project, in->o->req, &in->arena);
}

static int install_root(struct install *in, struct err *e)
{
	struct root_opts ro = { .root = in->root,
		.layout = layout_of(&in->tree, &in->hoist, in->o->req, &in->arena),
		.had_link = in->made_vstore ? NULL : vstore_had_link,
		.arg = in };
	struct root_counts rc;

	if (link_root(&rc, &ro, e) < 0)
		return e->code;
	if (rc.set_aside)
		progress_warn(in->o->progress, "moved %u folder(s) that were in the way aside, as .ignored_* (%s)",
			rc.set_aside, rc.set_aside_name);
	in->r->t.root = install_since(in);
	return 0;
}

/* The privately hoisted names and their commands: in the project, or in the store, where all projects that hoist the
 * same have them in common. */
static int install_hoisted(struct install *in, const struct bins_opts *bo, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct root_counts rc = { 0 };
	int shared = shared_slots_hoist(in, bo, e);

	if (shared != 0)
		return shared < 0 ? shared : 0;
	struct hoist_place at = hoist_place_project(in->root, &in->tree, &a);
	if (link_hoisted(&rc, &in->hoist, &at, e) < 0)
		return e->code;
	return bins_hoisted(bo, &at, e);
}

static struct bins_opts bins_opts_of(struct install *in, bool again)
{
	enum import_method how = in->o->project->client.import_method;

	return (struct bins_opts){ .root = in->root,
		.again = again,
		.link = how == IMPORT_AUTO || how == IMPORT_HARDLINK,
		.vstore = in->slots,
		.layout = layout_of(&in->tree, &in->hoist, in->o->req, &in->arena),
		.extend_node_path = bins_node_path(&in->o->project->client),
		.peers_listed = in->o->req->settings.auto_install_peers };
}

/* The links of the project are this thread's, while workers make the shims: neither needs the other. The hoisted
 * commands' folder lies among the hoisted links. */
static int install_links(struct install *in, bool again, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct hoist_place at = hoist_place_project(in->root, &in->tree, &a);
	bool hoisted = in->shared || early_hoisted(in);
	struct root_counts rc = { 0 };
	struct bins_counts bc;
	struct err why = { 0 };

	if (!again && !early_hoisted(in))
		install_hoist(in);
	struct bins_opts bo = bins_opts_of(in, again);
	struct bins *b = bins_start(in->pool, &bo, hoisted && !in->shared ? &at : NULL);
	int linked = again ? 0 : install_root(in, &why);
	if (linked == 0 && !hoisted)
		linked = link_hoisted(&rc, &in->hoist, &at, &why);
	pool_last(in->pool);
	while (pool_live(in->pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(in->pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(in->pool);
	}
	int code = bins_finish(b, &bc, e);
	if (code == 0 && linked < 0) {
		*e = why;
		code = linked;
	}
	if (code == 0 && !hoisted)
		code = bins_hoisted(&bo, &at, e);
	in->r->t.bins = install_since(in);
	return code;
}

static struct scripts_opts scripts_opts_of(const struct install *in)
{
	return (struct scripts_opts){ .project = in->o->project,
		.vstore = in->slots,
		.tree = &in->tree,
		.selected = in->o->selected,
		.ignore = in->o->ignore_scripts,
		.progress = in->o->progress,
		.cancel_fd = in->o->cancel_fd };
}

/* Slots got their commands, which changed the times of their folders. Scripts may run for long, and whoever gives up
 * on one kills the install. */
static void install_made(struct install *in)
{
	struct scripts_opts so = scripts_opts_of(in);

	for (size_t i = 0; i < in->tree.nslots; i++) {
		struct slot *s = in->tree.slot[i];
		if (s->state == SLOT_LINKED || (s->state == SLOT_KEPT && s->bins_due))
			slots_note_made(in, s);
	}
	slots_made_write(in->made, scripts_due(&so));
}

/* Dependencies build first; what they made may be commands, so shims are looked at again; then
 * the projects' own scripts. */
static int install_scripts(struct install *in, struct err *e)
{
	struct scripts_opts so = scripts_opts_of(in);
	struct scripts_counts sc;

	int code = scripts_build(&in->r->ignored_builds, &sc, &so, &in->r->arena, e);
	if (code == 0 && sc.built)
		code = install_links(in, true, e);
	if (code == 0 && in->shared) { /* what projects share is made once, after the builds that may bring commands */
		struct bins_opts bo = bins_opts_of(in, sc.built > 0);
		code = install_hoisted(in, &bo, e);
	}
	if (code == 0)
		code = scripts_projects(&so, e);
	in->r->t.scripts = install_since(in);
	return code;
}

/* Nothing of it is needed: a plan that cannot be written costs the next install a parse. */
static void install_keep(struct install *in)
{
	if (!plan_keep_put(in))
		progress_event(in->o->progress, "plan", "\"kept\":false");
	if (in->shared)
		shared_slots_image(in);
}

static int install_finish(struct install *in, struct err *e)
{
	uint8_t key[32];
	struct finish_opts fo = { .project = in->o->project,
		.root_fd = in->root,
		.tree = &in->tree,
		.hoist = &in->hoist,
		.req = in->o->req,
		.lockfile = in->lock ? plan_lockfile_get(in->lock) : in->req.lockfile,
		.staged = in->staged,
		.current = early_current(in),
		.write_lockfile = (in->lock || in->o->moved) && in->o->project->client.lockfile && !in->o->unwritten,
		.lockfile_only = in->o->lockfile_only,
		.catalog_prune = in->o->catalog_prune && !in->o->unwritten,
		.just_written = { in->o->just_written, in->o->just_excluded },
		.ignore_scripts = in->o->ignore_scripts,
		.store_dir = in->o->store_dir,
		.ignored_builds = in->r->ignored_builds,
		.young = { in->young.p, in->young.n },
		.progress = in->o->progress,
		.settings_hash = in->o->settings_hash,
		.watched = in->watched,
		.nwatched = in->o->watch.n,
		.stamp = in->shared ? shared_stamp(in->shared) : STR_NONE,
		.filtered = in->o->selected != NULL,
		.pnpm_state = in->pnpm_state,
		.policy_key = key };

	if (in->o->want_lockfile) {
		AUTO(buf_release) struct buf b = BUF_INIT;
		lockfile_print(&b, fo.lockfile);
		in->r->lockfile_text = arena_str(&in->r->arena, buf_str(&b));
	}
	if (!in->o->lockfile_only)
		prune_vstore(in->vstore, in->o->selected ? NULL : &in->tree, &in->r->pruned);
	struct written w = { 0 };
	int code = finish_write(&w, &fo, e);
	in->r->lockfile_written = w.lockfile;
	in->r->workspace_written = w.workspace;
	in->r->excluded.p = arena_new(&in->r->arena, str, in->young.n + 1);
	for (; in->r->excluded.n < in->young.n; in->r->excluded.n++)
		in->r->excluded.p[in->r->excluded.n] = arena_str(&in->r->arena, in->young.p[in->r->excluded.n]);
	if (code == 0 && fo.write_lockfile)
		verdict_made(in, key);
	if (code == 0 && !in->o->lockfile_only)
		code = shared_slots_end(in, e);
	if (code == 0 && in->o->keep && !in->o->lockfile_only && !in->o->selected)
		install_keep(in);
	in->r->t.finish = install_since(in);
	return code;
}

/* The store's files take space of their own in this tree: nobody is to be surprised. */
static void say_refused(const struct install *in)
{
	const struct link_counts *c = &in->r->link;
	const char *how = c->clones ? "cloned" : "copied";

	if (c->refused == EXDEV)
		progress_say(in->o->progress, "the store %s is on another file system than the project: files are %s",
			in->o->store_dir, how);
	else if (c->refused)
		progress_say(in->o->progress, "hard links from the store %s are refused (%s): files are %s",
			in->o->store_dir, strerror(c->refused), how);
	else if (c->misfits > c->links) /* not a few that somebody has changed: another umask made the store */
		progress_say(in->o->progress,
			"the store %s was made with another umask: %llu files, which its modes do not fit, are %s",
			in->o->store_dir, (unsigned long long)c->misfits, how);
}

int install_after(struct install *in, struct err *e)
{
	in->finishing = true;
	in->r->t.linked = install_since(in);
	in->r->link = linker_counts(in->linker);
	say_refused(in);
	if (in->o->lockfile_only)
		return install_finish(in, e);
	if (install_links(in, false, e) < 0)
		return e->code;
	install_made(in);
	if (install_scripts(in, e) < 0 || shared_slots_publish(in, e) < 0)
		return e->code;
	return install_finish(in, e);
}
