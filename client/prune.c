#include "prune.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool remove_all(int at, const char *name)
{
	struct err ignored;

	return fs_remove_tree(at, name, &ignored) == 0;
}

void slot_aside(char out[ASIDE_NAME], const struct slot *s)
{
	snprintf(out, ASIDE_NAME, ASIDE "%ld-%u", (long)getpid(), s->id);
}

int set_aside(int vstore, const char *name, const char *to)
{
	if (renameat(vstore, name, vstore, to) == 0)
		return 0;
	/* in a container every install may have the same number */
	if ((errno != ENOTEMPTY && errno != EEXIST && errno != EISDIR && errno != ENOTDIR) || !remove_all(vstore, to))
		return -1;
	return renameat(vstore, name, vstore, to);
}

static bool is_folder(int dirfd, const struct dirent *en)
{
	struct stat st;

	if (en->d_type != DT_UNKNOWN)
		return en->d_type == DT_DIR;
	return fs_stat(dirfd, en->d_name, &st) == 0 && S_ISDIR(st.st_mode);
}

bool slot_remove(int vstore, const char *dir)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/node_modules", dir);
	if (fstatat(vstore, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
		fchmodat(vstore, path, (st.st_mode & 0777) | S_ISVTX, 0) != 0)
		return false;
	return remove_all(vstore, dir);
}

static bool prune_slot(int vstore, const char *name)
{
	static const char old[] = ASIDE "pruned";

	if (set_aside(vstore, name, old) == 0)
		return remove_all(vstore, old);
	return errno == EXDEV && slot_remove(vstore, name);
}

/* What is set aside, but for the records of what the tree held: those are needed until there is a new one. */
static bool is_aside(const char *name)
{
	return strncmp(name, ASIDE, sizeof(ASIDE) - 1) == 0 && strcmp(name, ASIDE_LOCK) != 0 &&
	       strcmp(name, ASIDE_WAS) != 0;
}

void prune_vstore(int vstore, const struct tree *t, uint64_t *removed)
{
	AUTO(map_release) struct map wanted = MAP_INIT;
	DIR *d = fs_list(vstore, ".");

	if (!d)
		return;
	for (size_t i = 0; t && i < t->nslots; i++) {
		if (slot_wanted(t->slot[i]))
			map_set(&wanted, str_of(t->slot[i]->dir), 1);
	}
	for (struct dirent *en; (en = readdir(d));) {
		const char *n = en->d_name;
		if (is_aside(n))
			remove_all(vstore, n);
		else if (t && n[0] != '.' && strcmp(n, "node_modules") != 0 &&
			 map_get(&wanted, str_of(n)) == MAP_NONE && is_folder(vstore, en))
			*removed += prune_slot(vstore, n);
	}
	closedir(d);
}

void prune_links(int vstore)
{
	DIR *d = fs_list(vstore, ".");
	struct stat st;

	for (struct dirent *en; d && (en = readdir(d));) {
		bool may = en->d_type == DT_LNK || en->d_type == DT_UNKNOWN;
		if (may && strcmp(en->d_name, "node_modules") != 0 && fs_stat(vstore, en->d_name, &st) == 0 &&
			S_ISLNK(st.st_mode))
			fs_unlink(vstore, en->d_name, 0);
	}
	if (d)
		closedir(d);
}

bool prune_made(int vstore, const struct tree *t)
{
	bool whole = true;

	for (size_t i = 0; i < t->nslots; i++) {
		const struct slot *s = t->slot[i];
		char old[ASIDE_NAME];
		if (!s->begun)
			continue;
		slot_aside(old, s);
		if (!remove_all(vstore, s->dir) || s->lost ||
			(s->replaced && renameat(vstore, old, vstore, s->dir) != 0))
			whole = false; /* the next install makes it anew */
	}
	return whole;
}
