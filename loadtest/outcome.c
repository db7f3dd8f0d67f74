#include "outcome.h"
#include "base/json.h"
#include "dep_path.h"
#include "fs.h"
#include "integrity.h"
#include "lock_walk.h"
#include "lockfile.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
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

/* ---- shared slots ---- */

struct shared {
	const struct lockfile *lf;
	bool *seen; /* by snapshot */
	str links;  /* where slots are shared, real and with a slash behind */
	size_t nslots;
	struct arena *a;
};

static const char *check_shared(struct shared *w, const char *from, str alias, str dep_path);

/* The dependencies of S lie beside it in its slot. */
static const char *check_shared_deps(struct shared *w, const struct lock_snapshot *s, const char *modules)
{
	const char *why = NULL;

	for (size_t i = 0; i < s->dependencies.n && !why; i++) {
		const struct lock_dep *d = &s->dependencies.p[i];
		why = check_shared(w, modules, d->alias, dep_path_from_ref(d->alias, d->ref, w->a));
	}
	return why;
}

/* What FROM/ALIAS leads to is DEP_PATH's slot in the store; each slot is looked into once. */
static const char *check_shared(struct shared *w, const char *from, str alias, str dep_path)
{
	const struct lock_snapshot *s = dep_path.n ? lockfile_snapshot(w->lf, dep_path) : NULL;
	str path = arena_printf(w->a, "%s/" STR_FMT, from, STR_ARG(alias));
	char real[PATH_MAX];
	str name, version, suffix;

	if (!s || s->optional)
		return NULL;
	if (!realpath(path.p, real))
		return arena_printf(w->a, "%s leads nowhere", path.p).p;
	if (!str_starts(str_of(real), w->links))
		return arena_printf(w->a, "%s is not a shared slot: it leads to %s", path.p, real).p;
	if (!exists(arena_printf(w->a, "%s/package.json", real)))
		return arena_printf(w->a, "%s lacks its package.json", real).p;
	if (w->seen[s - w->lf->snapshot])
		return NULL;
	w->seen[s - w->lf->snapshot] = true;
	w->nslots++;
	dep_path_split(s->key, &name, &version, &suffix);
	/* …/node_modules/name: up by the name's parts. */
	str up = str_head(str_of(real), strlen(real) - (name.n < strlen(real) ? name.n + 1 : 0));
	return check_shared_deps(w, s, arena_str(w->a, up).p);
}

/* Each package that can be reached from the project is a slot in the store, and none lies in the project. */
static const char *check_shared_slots(const struct subject_place *at, struct arena *a)
{
	struct lockfile lf;
	struct err e;
	char real[PATH_MAX];
	const char *why = NULL;
	str text, path = arena_printf(a, "%s/pnpm-lock.yaml", at->project);

	if (place_read_file(&text, path.p, a, &e) < 0 || lockfile_parse(&lf, text, path, a, &e) < 0)
		return arena_str(a, str_of(e.msg)).p;
	if (!realpath(at->store, real))
		return "there is no store";
	const struct lock_importer *im = lockfile_importer(&lf, STR("."));
	const char *modules = arena_printf(a, "%s/node_modules", at->project).p;
	struct shared w = { .lf = &lf, .links = arena_printf(a, "%s/", real), .a = a };
	w.seen = arena_new(a, bool, lf.nsnapshots);
	for (struct lock_walk at_dep = lock_walk(im); !why && lock_next(&at_dep);)
		why = check_shared(&w, modules, at_dep.d->alias, dep_path_from_ref(at_dep.d->alias, at_dep.d->ref, a));
	return why ? why : w.nslots == 0 && lf.nsnapshots ? "no shared slot is used" : NULL;
}

const char *outcome_tree(const struct subject_place *at, const struct subject *s, struct arena *a)
{
	const char *why = check_direct(at, a);

	if (why || strcmp(s->lockfile, "pnpm-lock.yaml") != 0)
		return why;
	return s->gvs ? check_shared_slots(at, a) : check_slots(at, a);
}

const char *outcome_unavailable(const struct subject_place *at, const struct subject *s, struct arena *a)
{
	/* YN0082 and YN0035: "➤ CODE: │ name@npm:range: what is wrong". */
	static const char *const said[] = { ": No candidates found", ": Package not found" };
	struct err e;
	str text, line, before, name;

	if (strcmp(s->program, "yarn") != 0 || place_read_file(&text, at->log, a, &e) < 0)
		return NULL;
	while (text.n) {
		str_cut(text, '\n', &line, &text);
		for (size_t i = 0; i < 2; i++) {
			size_t end = str_find_str(line, str_of(said[i]), 0);
			if (end != SIZE_MAX && str_rcut(str_head(line, end), ' ', &before, &name))
				return arena_printf(a,
					"the registry lacks " STR_FMT ", which yarn asks for on every platform",
					STR_ARG(name))
					.p;
		}
	}
	return NULL;
}

str outcome_lockfile_digest(const struct subject_place *at, const char *lockfile, struct arena *a)
{
	uint8_t sha[32];
	struct err e;
	str text;

	if (place_read_file(&text, arena_printf(a, "%s/%s", at->project, lockfile).p, a, &e) < 0)
		return STR_NONE;
	sha256(sha, text.p, text.n);
	char *hex = arena_new(a, char, 65);
	hex_print(hex, sha, 32);
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
	DIR *d = fs_list(parent, name);

	for (struct dirent *de; d && (de = readdir(d));) {
		struct stat st;
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*files += !S_ISDIR(st.st_mode);
		if (S_ISDIR(st.st_mode) || st.st_nlink < 2 || inode_add(seen, st.st_ino))
			*bytes += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode))
			add_tree(bytes, files, seen, dirfd(d), de->d_name);
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
