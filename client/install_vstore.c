/* install_vstore — node_modules/.pnpm of an install: made, locked so that two installs take turns, what an earlier install says of it, and taken away
 * again by an install that fails. */
#include "fs.h"
#include "install_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link_root.h"
#include "partial.h"
#include "pnpm_state.h"
#include "prune.h"

/* Reads node_modules/.pnpm/lock.yaml, what the tree holds. One that cannot be read is as good as none: slots are made anew. */
static bool current_open(struct install *in)
{
	struct stat st;
	struct err e;

	AUTO(fs_close_auto) int fd = openat(in->vstore, "lock.yaml", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > 256 * 1024 * 1024)
		return false;
	char *text = arena_new(&in->arena, char, (size_t)st.st_size + 1);
	ssize_t n = read(fd, text, (size_t)st.st_size);
	return n > 0 && lockfile_parse(&in->current, (str){ text, (size_t)n }, STR("node_modules/.pnpm/lock.yaml"),
				&in->arena, &e) == 0;
}

/* The projects that were not asked for stay in the tree as they are. With fewer groups than all they are not looked at, as
 * their own groups would be cut down, too. */
static void partial_open(struct install *in)
{
	const struct request *q = in->o->req;
	bool others = !in->made_vstore && q->prod && q->dev && q->optional;
	bool have = others && (in->has_current || current_open(in));

	partial_lockfile(
		&in->merged, in->o->project, in->o->selected, q->lockfile, have ? &in->current : NULL, &in->arena);
	in->req.lockfile = &in->merged;
}

static bool dir_empty(int dirfd)
{
	DIR *d = fs_list(dirfd, ".");
	bool empty = d != NULL;

	for (struct dirent *en; empty && (en = readdir(d));)
		empty = strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0;
	if (d)
		closedir(d);
	return empty;
}

/* One that had to wait may find the folder filled,
 * or taken away by an install that failed. */
static int vstore_lock(struct install *in, struct err *e)
{
	struct stat st, is;

	for (;;) {
		in->vstore = dir_make(in->root, STR("node_modules/.pnpm"), e);
		if (in->vstore < 0)
			return e->code;
		if (flock(in->vstore, LOCK_EX | LOCK_NB) != 0) {
			progress_warn(in->o->progress, "another install is at work in %s: waiting for it",
				in->o->project->root.p);
			if (flock(in->vstore, LOCK_EX) != 0)
				return err_os(e, "lock %s/node_modules/.pnpm", in->o->project->root.p);
		}
		if (fstat(in->vstore, &is) == 0 && fstatat(in->root, "node_modules/.pnpm", &st, 0) == 0 &&
			st.st_ino == is.st_ino && st.st_dev == is.st_dev)
			break;
		close(in->vstore);
	}
	in->made_vstore = dir_empty(in->vstore);
	return 0;
}

int vstore_open(struct install *in, struct err *e)
{
	if (vstore_lock(in, e) < 0)
		return e->code;
	in->has_old = !in->made_vstore && state_read(&in->old, in->root);
	if (!in->made_vstore && !in->has_old)
		in->has_current = current_open(in);
	if (in->o->selected)
		partial_open(in);
	if (!in->made_vstore) {
		state_forget(in->root);
		/* pnpm trusts its file without looking at the tree: it must not vouch for what changes now */
		in->pnpm_state = pnpm_state_take(in->root, &in->arena);
	}
	return 0;
}

/* An install that failed before anything of the project pointed at its slots leaves nothing behind that was not there before:
 * the store keeps what was downloaded. One that was interrupted keeps its slots, too: the next one goes on from there. */
void vstore_undo(struct install *in)
{
	if (in->vstore < 0 || in->finishing || (in->planned && in->err.code == ERR_CANCELLED))
		return;
	prune_made(in->slots, &in->tree);
	if (in->made_vstore && remove_all(in->root, "node_modules/.pnpm"))
		unlinkat(in->root, "node_modules", AT_REMOVEDIR); /* only if it is empty */
}
