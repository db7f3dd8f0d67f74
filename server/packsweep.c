/* Files in packs/ that the index names no more: what a better encoding had replaced, what a
 * killed process was writing. */
#include "base/clock.h"
#include "fs.h"
#include "integrity.h"
#include "packs_impl.h"
#include <dirent.h>
#include <stdio.h>

bool packs_is_named(const struct packs *p, const uint8_t digest[32])
{
	for (uint32_t i = map_get(&p->by_digest, (str){ (const char *)digest, 32 }); i != MAP_NONE;
		i = p->item.p[i]->next_same) {
		if (packs_is_ready(p->item.p[i]))
			return true;
	}
	return false;
}

typedef VEC(struct pack_old) files;

static void shard_read(files *f, int dir, const char *shard)
{
	DIR *d = strlen(shard) == 2 ? fs_list(dir, shard) : NULL;
	struct pack_old old = { 0 };
	char hex[65];

	for (struct dirent *de; d && (de = readdir(d));) {
		if (strlen(de->d_name) == 62 && snprintf(hex, sizeof(hex), "%.2s%.62s", shard, de->d_name) == 64 &&
			hex_read(old.digest, 32, str_of(hex)))
			*vec_add(f) = old;
	}
	if (d)
		closedir(d);
}

/* Clients that hold a plan from before the restart may still ask for it: it goes as if it were replaced now. */
static void shard_sweep(struct packs *p, const files *f)
{
	int64_t until = clock_ms() + (int64_t)p->o.keep_s * 1000;

	bool any = false;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < f->n; i++) {
		if (packs_is_named(p, f->p[i].digest))
			continue;
		f->p[i].until_ms = until;
		*vec_add(&p->old) = f->p[i];
		any = true;
	}
	if (any)
		pthread_cond_broadcast(&p->settle); /* who removes them may be waiting for something else */
	pthread_mutex_unlock(&p->lock);
}

void packsweep(struct packs *p)
{
	files f = { 0 };
	char shard[3];

	for (unsigned i = 0; i < 256 && !p->stop; i++) {
		snprintf(shard, sizeof(shard), "%02x", i);
		f.n = 0;
		shard_read(&f, p->dir, shard);
		shard_sweep(p, &f);
	}
	vec_release(&f);
}

void packsweep_start(struct packs *p)
{
	DIR *top = fs_list(p->dir, ".");

	for (struct dirent *de; top && (de = readdir(top));) {
		if (str_starts(str_of(de->d_name), STR("tmp-"))) /* packs/ is ours alone: nobody writes it */
			fs_unlink(p->dir, de->d_name, 0);
	}
	if (top)
		closedir(top);
}
