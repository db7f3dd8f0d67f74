#include "prune.h"
#include "fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool remove_all(int at, const char *name)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return false;
	DIR *d = fs_list(at, name);
	if (!d)
		return false;
	for (struct dirent *en; (en = readdir(d));) {
		if (strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0)
			remove_all(dirfd(d), en->d_name);
	}
	closedir(d);
	return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

void prune_vstore(int vstore, const struct tree *t, uint64_t *removed)
{
	AUTO(map_release) struct map wanted = MAP_INIT;
	DIR *d = fs_list(vstore, ".");

	if (!d)
		return;
	for (size_t i = 0; i < t->nslots; i++) {
		if (slot_wanted(t->slot[i]))
			map_set(&wanted, str_of(t->slot[i]->dir), 1);
	}
	for (struct dirent *en; (en = readdir(d));) {
		const char *n = en->d_name;
		bool old = strncmp(n, ".dray-old-", 10) == 0;
		if (en->d_type != DT_DIR || strcmp(n, "node_modules") == 0 || (n[0] == '.' && !old))
			continue;
		if (map_get(&wanted, str_of(n)) == MAP_NONE && remove_all(dirfd(d), n))
			*removed += !old;
	}
	closedir(d);
}

void prune_made(int vstore, const struct tree *t)
{
	for (size_t i = 0; i < t->nslots; i++) {
		if (t->slot[i]->state == SLOT_LINKED)
			remove_all(vstore, t->slot[i]->dir);
	}
}
