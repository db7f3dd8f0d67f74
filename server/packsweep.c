/* Files in packs/ that the index names no more: what a better encoding had replaced, what a killed process was writing. */
#include "base/clock.h"
#include "fs.h"
#include "integrity.h"
#include "packs_impl.h"
#include <dirent.h>
#include <stdio.h>

static bool is_named(const struct packs *p, const uint8_t digest[32])
{
	for (uint32_t i = map_get(&p->by_digest, (str){ (const char *)digest, 32 }); i != MAP_NONE;
		i = p->item.p[i]->next_same) {
		if (packs_is_ready(p->item.p[i]))
			return true;
	}
	return false;
}

/* Clients that hold a plan from before the restart may still ask for it: it goes as if it were replaced now. */
static void file_look(struct packs *p, const char *shard, const char *name, int64_t until)
{
	char hex[65];
	struct pack_old old = { .until_ms = until };

	if (strlen(name) != 62 || snprintf(hex, sizeof(hex), "%.2s%.62s", shard, name) != 64 ||
		!hex_read(old.digest, 32, str_of(hex)) || is_named(p, old.digest))
		return;
	*vec_add(&p->old) = old;
}

static DIR *dir_list(int at, const char *name)
{
	int fd = fs_open_dir(at, name);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		fs_close(fd);
	return d;
}

void packsweep(struct packs *p)
{
	int64_t until = clock_ms() + (int64_t)p->o.keep_s * 1000;
	DIR *top = dir_list(p->dir, ".");

	for (struct dirent *de; top && (de = readdir(top));) {
		if (str_starts(str_of(de->d_name), STR("tmp-"))) /* packs/ is ours alone: nobody writes it */
			fs_unlink(p->dir, de->d_name, 0);
		DIR *d = de->d_name[0] == '.' || strlen(de->d_name) != 2 ? NULL : dir_list(p->dir, de->d_name);
		for (struct dirent *sub; d && (sub = readdir(d));)
			file_look(p, de->d_name, sub->d_name, until);
		if (d)
			closedir(d);
	}
	if (top)
		closedir(top);
}
