/* install_vstore — node_modules/.pnpm of an install: made, locked so that two installs take turns, what an earlier
 * install says of it, and taken away again by an install that fails. */
#include "fs.h"
#include "install_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_put.h"
#include "finish.h"
#include "link_root.h"
#include "lock_walk.h"
#include "partial.h"
#include "pnpm_state.h"
#include "prune.h"

enum { LOCK_MAX = 256 << 20, WAIT_MS = 20 };

/* Reads node_modules/.pnpm/lock.yaml, what the tree holds, or NAME in its stead. One that cannot be
 * read is as good as none. */
static bool current_read(struct lockfile *out, struct install *in, const char *name)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct err e;

	if (fs_read_file(&b, in->vstore, name, LOCK_MAX, &e) < 0 || b.n == 0)
		return false;
	return lockfile_parse(out, arena_str(&in->arena, buf_str(&b)), STR("node_modules/.pnpm/lock.yaml"), &in->arena,
		       &e) == 0;
}

/* What the tree held before, or NULL. An install that was killed, or failed, has set the record of it aside. */
static const struct lockfile *was_open(struct install *in)
{
	if (!in->was_read) {
		in->was_read = true;
		in->has_was = current_read(&in->was, in, "lock.yaml") || current_read(&in->was, in, ASIDE_LOCK) ||
			      current_read(&in->was, in, ASIDE_WAS);
	}
	return in->has_was ? &in->was : NULL;
}

bool vstore_had_link(void *arg, str importer, str alias)
{
	const struct lockfile *was = was_open(arg);
	const struct lock_importer *im = was ? lockfile_importer(was, importer) : NULL;

	for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
		if (str_eq(at.d->alias, alias) && str_starts(at.d->ref, STR("link:")))
			return true;
	}
	return false;
}

/* The projects that were not asked for stay in the tree as they are. With fewer groups than all they are not looked at,
 * as their own groups would be cut down, too. */
static void partial_open(struct install *in)
{
	const struct request *q = in->o->req;
	bool others = !in->made_vstore && q->prod && q->dev && q->optional;

	partial_lockfile(
		&in->merged, in->o->project, in->o->selected, q->lockfile, others ? was_open(in) : NULL, &in->arena);
	in->req.lockfile = &in->merged;
}

/* What cannot be read to its end may hold something. */
static bool dir_empty(int dirfd)
{
	DIR *d = fs_list(dirfd, ".");
	bool empty = d != NULL;

	errno = 0;
	for (struct dirent *en; empty && (en = readdir(d));)
		empty = strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0;
	empty = empty && errno == 0;
	if (d)
		closedir(d);
	return empty;
}

/* An install removes what it does not know in there. So it is a folder of this project's: a link would lead to what is
 * another's, and is given up; an install that fails puts it back. */
static int vstore_own(struct install *in, struct err *e)
{
	static const char path[] = "node_modules/.pnpm";
	char to[PATH_MAX];
	ssize_t n = readlinkat(in->root, path, to, sizeof(to));

	if (n >= 0) {
		in->vstore_link = arena_str(&in->arena, (str){ to, (size_t)n });
		if (unlinkat(in->root, path, 0) != 0)
			return err_os(e, "remove the symlink %s/%s", in->o->project->root.p, path);
		progress_warn(in->o->progress,
			"%s was a symlink to %.*s: a folder takes its place, and what it leads to is left alone", path,
			(int)n, to);
	}
	in->vstore = dir_make(in->root, str_of(path), e);
	return in->vstore < 0 ? e->code : 0;
}

/* Until it is this install's, or the user has had enough. */
static int vstore_wait(const struct install *in, struct err *e)
{
	bool said = false;

	while (flock(in->vstore, LOCK_EX | LOCK_NB) != 0) {
		struct pollfd fd = { .fd = in->o->cancel_fd, .events = POLLIN };
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_os(e, "lock %s/node_modules/.pnpm", in->o->project->root.p);
		if (!said)
			progress_warn(in->o->progress, "another install is at work in %s: waiting for it",
				in->o->project->root.p);
		said = true;
		if (poll(&fd, 1, WAIT_MS) > 0)
			return err_set(e, ERR_CANCELLED, "interrupted while another install was at work in %s",
				in->o->project->root.p);
	}
	return 0;
}

/* One that had to wait may find the folder filled,
 * or taken away by an install that failed. */
static int vstore_lock(struct install *in, struct err *e)
{
	struct stat st, is;

	for (;;) {
		if (vstore_own(in, e) < 0)
			return e->code;
		int waited = vstore_wait(in, e);
		if (waited == 0 && fstat(in->vstore, &is) == 0 &&
			fstatat(in->root, "node_modules/.pnpm", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_ino == is.st_ino && st.st_dev == is.st_dev)
			break;
		close(in->vstore); /* another's */
		in->vstore = -1;
		if (waited < 0)
			return waited;
	}
	in->made_vstore = dir_empty(in->vstore);
	return 0;
}

/* What a hand or another tool has put where an install's own files and folders are: these names are nobody else's. */
static void places_clear(const struct install *in)
{
	static const struct {
		const char *path;
		mode_t type;
	} place[] = { { "node_modules/.modules.yaml", S_IFREG }, { "node_modules/.dray-state", S_IFREG },
		{ "node_modules/.dray-state.tmp", S_IFREG }, { "node_modules/.pnpm-workspace-state-v1.json", S_IFREG },
		{ "node_modules/.pnpm/lock.yaml", S_IFREG }, { "node_modules/.bin", S_IFDIR } };
	struct stat st;

	for (size_t i = 0; i < sizeof(place) / sizeof(place[0]); i++) {
		if (fstatat(in->root, place[i].path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			(st.st_mode & S_IFMT) != place[i].type)
			remove_all(in->root, place[i].path); /* what stays is met again, by whoever writes there */
	}
	file_put_clear(in->root, "pnpm-lock.yaml");
	file_put_clear(in->root, "pnpm-workspace.yaml");
}

int vstore_open(struct install *in, struct err *e)
{
	if (vstore_lock(in, e) < 0)
		return e->code;
	places_clear(in);
	if (!in->made_vstore)
		prune_links(in->vstore);
	if (!in->made_vstore)
		(void)renameat(in->vstore, ASIDE_LOCK, in->vstore, ASIDE_WAS); /* an install was killed */
	in->has_old = !in->made_vstore && state_read(&in->old, in->root);
	if (!in->made_vstore && !in->has_old)
		in->has_current = current_read(&in->current, in, "lock.yaml");
	in->made = slots_made_open(in->vstore);
	if (in->o->selected)
		partial_open(in);
	if (!in->made_vstore) {
		state_forget(in->root);
		/* pnpm trusts its file without looking at the tree: it must not vouch for what changes now */
		in->pnpm_state = pnpm_state_take(in->root, &in->arena);
	}
	return 0;
}

/* An install that failed before anything of the project pointed at its slots leaves the tree as it was
 * before: the store keeps what was downloaded. One that was interrupted takes no time for that: the next
 * one makes what is missing. */
void vstore_undo(struct install *in)
{
	if (in->vstore < 0 && in->vstore_link.n) /* it could not be opened */
		(void)symlinkat(in->vstore_link.p, in->root, "node_modules/.pnpm");
	if (in->vstore < 0)
		return;
	if (in->finishing || (in->planned && in->err.code == ERR_CANCELLED)) {
		if (!in->shared)
			finish_failed(&in->tree, in->root);
		return;
	}
	bool whole = prune_made(in->slots, &in->tree);
	if (!in->made_vstore) {
		if (in->made)
			slots_made_undo(in->made);
		if (whole) /* all slots are what it says again */
			(void)renameat(in->vstore, ASIDE_LOCK, in->vstore, "lock.yaml");
	} else if (remove_all(in->root, "node_modules/.pnpm")) {
		if (in->vstore_link.n)
			(void)symlinkat(in->vstore_link.p, in->root, "node_modules/.pnpm");
		unlinkat(in->root, "node_modules", AT_REMOVEDIR); /* only if it is empty */
	}
}
