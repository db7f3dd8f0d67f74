#include "outcome.h"
#include "base/json.h"
#include "dep_path.h"
#include "integrity.h"
#include "lockfile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool exists(str path)
{
	return access(path.p, F_OK) == 0;
}

const char *outcome_lockfile(const struct subject_place *at, const struct subject *s, struct arena *a)
{
	if (exists(arena_printf(a, "%s/%s", at->project, s->lockfile)))
		return NULL;
	return arena_printf(a, "no %s", s->lockfile).p;
}

static const char *check_direct(const struct subject_place *at, struct arena *a)
{
	const struct str_map *maps[] = { &at->manifest->dependencies, &at->manifest->dev_dependencies };

	for (size_t m = 0; m < 2; m++) {
		for (size_t i = 0; i < maps[m]->n; i++) {
			str name = maps[m]->p[i].k;
			if (!exists(arena_printf(
				    a, "%s/node_modules/" STR_FMT "/package.json", at->project, STR_ARG(name))))
				return arena_printf(a, "node_modules lacks " STR_FMT, STR_ARG(name)).p;
		}
	}
	return NULL;
}

/* Each package of the lockfile has its slot; optional ones may be for another platform. */
static const char *check_slots(const struct subject_place *at, struct arena *a)
{
	struct lockfile lf;
	struct err e;
	str text, path = arena_printf(a, "%s/pnpm-lock.yaml", at->project);

	if (place_read_file(&text, path.p, a, &e) < 0 || lockfile_parse(&lf, text, path, a, &e) < 0)
		return arena_str(a, str_of(e.msg)).p;
	if (lf.nsnapshots == 0 && at->manifest->dependencies.n)
		return "the lockfile has no packages";
	for (size_t i = 0; i < lf.nsnapshots; i++) {
		const struct lock_snapshot *s = &lf.snapshot[i];
		str name, version, suffix, dir = dep_path_filename(s->key, 120, a);
		dep_path_split(s->key, &name, &version, &suffix);
		if (!s->optional && !exists(arena_printf(a,
					    "%s/node_modules/.pnpm/" STR_FMT "/node_modules/" STR_FMT "/package.json",
					    at->project, STR_ARG(dir), STR_ARG(name))))
			return arena_printf(a, "node_modules/.pnpm lacks " STR_FMT, STR_ARG(s->key)).p;
	}
	return NULL;
}

const char *outcome_tree(const struct subject_place *at, const struct subject *s, struct arena *a)
{
	const char *why = check_direct(at, a);

	/* Shared slots lie outside of the project. */
	if (why || s->gvs || strcmp(s->lockfile, "pnpm-lock.yaml") != 0)
		return why;
	return check_slots(at, a);
}

str outcome_lockfile_digest(const struct subject_place *at, const char *lockfile, struct arena *a)
{
	static const char digit[] = "0123456789abcdef";
	uint8_t sha[32];
	struct err e;
	str text;

	if (place_read_file(&text, arena_printf(a, "%s/%s", at->project, lockfile).p, a, &e) < 0)
		return STR_NONE;
	sha256(sha, text.p, text.n);
	char *hex = arena_new(a, char, 65);
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = digit[sha[i] >> 4];
		hex[2 * i + 1] = digit[sha[i] & 15];
	}
	return (str){ hex, 64 };
}

/* ---- sizes ---- */

/* Inodes with several names that were counted already: open addressing, 0 is free (no file has inode 0). */
struct inodes {
	ino_t *at;
	size_t n, room;
};

static size_t inode_slot(const struct inodes *s, ino_t i)
{
	size_t at = (size_t)(((uint64_t)i * 0x9E3779B97F4A7C15ull) >> 20) & (s->room - 1);

	while (s->at[at] && s->at[at] != i)
		at = (at + 1) & (s->room - 1);
	return at;
}

/* False when it was there before. */
static bool inode_add(struct inodes *s, ino_t i)
{
	if (s->n * 2 >= s->room) {
		struct inodes grown = { .room = s->room ? s->room * 2 : 4096, .n = s->n };
		grown.at = xcalloc(grown.room, sizeof(*grown.at));
		for (size_t k = 0; k < s->room; k++) {
			if (s->at[k])
				grown.at[inode_slot(&grown, s->at[k])] = s->at[k];
		}
		free(s->at);
		*s = grown;
	}
	size_t at = inode_slot(s, i);
	if (s->at[at])
		return false;
	s->at[at] = i;
	s->n++;
	return true;
}

static void add_tree(uint64_t *bytes, uint64_t *files, struct inodes *seen, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *de; d && (de = readdir(d));) {
		struct stat st;
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*files += !S_ISDIR(st.st_mode);
		if (S_ISDIR(st.st_mode) || st.st_nlink < 2 || inode_add(seen, st.st_ino))
			*bytes += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode))
			add_tree(bytes, files, seen, fd, de->d_name);
	}
	if (d)
		closedir(d);
}

struct outcome_sizes outcome_sizes(const struct subject_place *at, const char *lockfile)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct outcome_sizes s = { 0 };
	struct inodes seen = { 0 };
	struct stat st;

	add_tree(&s.store_bytes, &s.store_files, &seen, AT_FDCWD, at->store);
	add_tree(&s.modules_bytes, &s.modules_files, &seen, AT_FDCWD,
		arena_printf(&a, "%s/node_modules", at->project).p);
	if (stat(arena_printf(&a, "%s/%s", at->project, lockfile).p, &st) == 0)
		s.lockfile_bytes = (uint64_t)st.st_size;
	free(seen.at);
	return s;
}
