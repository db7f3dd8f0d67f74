#include "place.h"
#include "fs.h"
#include "lock_walk.h"
#include "lockfile.h"
#include "mirror.h"
#include "packument.h"
#include "part.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { BUMPED = 10, MOST_FILE = 64 << 20 };

const char *place_project_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int place_read_file(str *out, const char *path, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	char real[PATH_MAX]; /* fs.h follows no links */

	if (!realpath(path, real))
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "there is no %s", path) : err_os(e, "open %s", path);
	if (fs_read_file(&text, AT_FDCWD, real, MOST_FILE, e) < 0)
		return e->code;
	*out = arena_str(a, buf_str(&text));
	return 0;
}

static int write_file(const char *path, str text, struct err *e)
{
	return fs_write_file(AT_FDCWD, path, text, 0644, e);
}

static bool is_left_out(const char *name)
{
	static const char *const names[] = { ".", "..", ".git", "node_modules", "pnpm-lock.yaml", "bun.lock",
		"package-lock.json", "yarn.lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static int copy_dir(const char *root, const char *from, const char *to, struct err *e);

/* Whether a link to the folder REAL, written as TEXT, stays below ROOT in a copy of ROOT, too. */
static bool stays_inside(const char *root, const char *real, const char *text)
{
	return text[0] != '/' && str_starts(str_of(real), str_of(root)) &&
	       (real[strlen(root)] == '/' || !real[strlen(root)]);
}

/* A file, whether it lies there or a link leads to it; a folder; a link to a folder stays one. What runs in the copy is
 * to write nowhere else: a link to a folder outside of ROOT is left out, and so is one that leads nowhere. */
static int copy_entry(const char *root, const char *from, const char *to, struct err *e)
{
	char text[PATH_MAX], real[PATH_MAX];
	struct stat st;
	ssize_t n = readlink(from, text, sizeof(text) - 1);
	bool is_link = n >= 0;

	text[is_link ? n : 0] = 0;
	if (!realpath(from, real) || (is_link && access(real, R_OK) < 0))
		return is_link || errno == ENOENT ? 0 : err_os(e, "open %s", from);
	if (stat(real, &st) < 0)
		return err_os(e, "stat %s", from);
	if (S_ISREG(st.st_mode))
		return fs_copy(AT_FDCWD, real, AT_FDCWD, to, 0644, true, NULL) < 0 ? err_os(e, "copy %s", from) : 0;
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (!is_link)
		return copy_dir(root, from, to, e);
	return stays_inside(root, real, text) && symlink(text, to) < 0 ? err_os(e, "link %s", to) : 0;
}

static int copy_dir(const char *root, const char *from, const char *to, struct err *e)
{
	DIR *d = opendir(from);
	int rc = d ? fs_mkdir_p(AT_FDCWD, to, 0755, e) : err_os(e, "open %s", from);

	for (struct dirent *de; rc == 0 && d && (de = readdir(d));) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		if (!is_left_out(de->d_name))
			rc = copy_entry(root, arena_printf(&a, "%s/%s", from, de->d_name).p,
				arena_printf(&a, "%s/%s", to, de->d_name).p, e);
	}
	if (d)
		closedir(d);
	return rc;
}

/* The project's files without lockfiles and installed trees. */
static int copy_project(const char *from, const char *to, struct err *e)
{
	char root[PATH_MAX];

	return realpath(from, root) ? copy_dir(root, from, to, e) : err_os(e, "open %s", from);
}

int place_open(struct bench_place *p, const char *ref, const char *source, const char *mirror, struct err *e)
{
	str text;

	*p = (struct bench_place){ .a = ARENA_INIT(1 << 16), .project_name = place_project_name(source) };
	p->ref = p->root = arena_str(&p->a, str_of(ref));
	p->source = arena_str(&p->a, str_of(source));
	p->mirror = arena_str(&p->a, str_of(mirror));
	str path = arena_printf(&p->a, "%s/package.json", source);
	if (place_read_file(&text, path.p, &p->a, e) < 0 || json_parse(&p->json, text, &p->a, e) < 0)
		return err_ctx(e, "%s", path.p);
	return manifest_from_json(&p->manifest, p->json, path, &p->a, e);
}

void place_close(struct bench_place *p)
{
	arena_release(&p->a);
}

void place_move(struct bench_place *p, const char *root)
{
	p->root = root ? arena_str(&p->a, str_of(root)) : p->ref;
}

const char *place_fresh(struct bench_place *p, const char *subject, const char *what, struct arena *a)
{
	return arena_printf(a, STR_FMT "/%s/%u-%s", STR_ARG(p->root), subject, ++p->serial, what).p;
}

static int place_make(struct subject_place *at, struct bench_place *p, const char *dir, struct arena *a, struct err *e)
{
	*at = (struct subject_place){
		.project = arena_printf(a, "%s/%s", dir, p->project_name).p,
		.home = arena_printf(a, "%s/home", dir).p,
		.store = arena_printf(a, "%s/store", dir).p,
		.drayd_store = arena_printf(a, "%s/drayd", dir).p,
		.log = arena_printf(a, "%s/log", dir).p,
		.manifest = &p->manifest,
	};
	if (fs_mkdir_p(AT_FDCWD, at->home, 0755, e) < 0 || fs_mkdir_p(AT_FDCWD, at->store, 0755, e) < 0)
		return e->code;
	return copy_project(p->source.p, at->project, e);
}

static const char *ref_dir(const struct bench_place *p, const char *subject, struct arena *a)
{
	return arena_printf(a, STR_FMT "/%s/ref", STR_ARG(p->ref), subject).p;
}

int place_prime(struct subject_place *at, struct bench_place *p, const char *subject, struct arena *a, struct err *e)
{
	return place_make(at, p, ref_dir(p, subject, a), a, e);
}

static int take_file(const char *from, const char *to_dir, const char *name, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str text;

	if (place_read_file(&text, from, &a, e) < 0)
		return e->code;
	return write_file(arena_printf(&a, "%s/%s", to_dir, name).p, text, e);
}

int place_for(struct subject_place *at, struct bench_place *p, const char *subject, const char *lockfile,
	enum phase phase, struct arena *a, struct err *e)
{
	const char *ref = ref_dir(p, subject, a);
	const char *ref_project = arena_printf(a, "%s/%s", ref, p->project_name).p;

	if (place_make(at, p, place_fresh(p, subject, phase_name(phase), a), a, e) < 0)
		return e->code;
	at->drayd_store = arena_printf(a, "%s/drayd", ref).p;
	if (phase_shares_store(phase)) {
		at->store = arena_printf(a, "%s/store", ref).p;
		at->home = arena_printf(a, "%s/home", ref).p;
	}
	if (phase == P5)
		at->project = ref_project;
	else if (phase == P3 || phase == P4 || phase == PARTIAL)
		return take_file(arena_printf(a, "%s/%s", ref_project, lockfile).p, at->project, lockfile, e);
	return 0;
}

static const char *const groups[] = { "dependencies", "devDependencies", "optionalDependencies" };

static bool is_group(str key)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(*groups); g++) {
		if (str_eq(key, str_of(groups[g])))
			return true;
	}
	return false;
}

static void put_member(struct buf *out, str key, bool first)
{
	if (!first)
		buf_addc(out, ',');
	json_put_str(out, key);
	buf_addc(out, ':');
}

/* A group of dependencies, with the versions of PIN where it has one. */
static void put_group(struct buf *out, const struct json *group, struct str_map pin)
{
	buf_addc(out, '{');
	for (uint32_t k = 0; k < group->n; k++) {
		const str *pinned = str_map_get(pin, group->key[k]);
		put_member(out, group->key[k], k == 0);
		json_put_str(out, pinned ? *pinned : group->child[k].s);
	}
	buf_addc(out, '}');
}

/* The project's package.json with the versions of PIN. */
static void pin_manifest(struct buf *out, const struct json *whole, struct str_map pin)
{
	buf_addc(out, '{');
	for (uint32_t i = 0; i < whole->n; i++) {
		put_member(out, whole->key[i], i == 0);
		if (is_group(whole->key[i]))
			put_group(out, &whole->child[i], pin);
		else
			json_put(out, &whole->child[i]);
	}
	buf_addc(out, '}');
}

/* The project's package.json with PART for dependencies, and no others. */
static void part_manifest(struct buf *out, const struct json *whole, struct str_map part)
{
	buf_add(out, STR("{\"dependencies\":{"));
	for (size_t i = 0; i < part.n; i++) {
		put_member(out, part.p[i].k, i == 0);
		json_put_str(out, part.p[i].v);
	}
	buf_addc(out, '}');
	for (uint32_t i = 0; i < whole->n; i++) {
		if (is_group(whole->key[i]) || str_eq(whole->key[i], STR("peerDependencies")))
			continue;
		put_member(out, whole->key[i], false);
		json_put(out, &whole->child[i]);
	}
	buf_addc(out, '}');
}

/* The newest release of NAME below VERSION's minor in the same major, from the mirror; absent when there is none. */
static str older_version(const struct bench_place *p, str name, str version, struct arena *a)
{
	AUTO(arena_release) struct arena text = ARENA_INIT(0); /* megabytes, which the next child would be born with */
	struct err e;
	str json;
	struct packument rec;
	struct semver have, v;

	const char *file = arena_printf(&text, "%s/%s", p->mirror.p, mirror_file("corgi", name, &text).p).p;
	if (!semver_parse(&have, version, true) || place_read_file(&json, file, &text, &e) < 0)
		return STR_NONE;
	struct buf b = BUF_INIT;
	str found = STR_NONE;
	if (packument_compile(&b, json, name, &e) == 0 && packument_open(&rec, b.p, b.n, &e) == 0) {
		for (uint32_t i = packument_nversions(rec); i-- > 0 && !found.n;) {
			packument_semver(rec, i, &v);
			if (v.major == have.major && v.minor < have.minor && !v.pre.n)
				found = arena_str(a, packument_version(rec, i));
		}
	}
	buf_release(&b);
	return found;
}

/* OLD pins them a minor version below, BUMPED asks for what the lockfile has. */
static void choose_bumps(struct str_map *old, struct str_map *bumped, const struct bench_place *p,
	const struct lockfile *lf, struct arena *a)
{
	const struct lock_importer *im = lockfile_importer(lf, STR("."));

	for (struct lock_walk at = lock_walk(im); old->n < BUMPED && lock_next(&at);) {
		str alias = at.d->alias, version, rest, older;
		str_cut(at.d->ref, '(', &version, &rest);
		if (str_find(at.d->specifier, '^', 0) != 0 || !(older = older_version(p, alias, version, a)).n)
			continue;
		*arena_add(a, old->p, old->n) = (struct str_kv){ alias, older };
		*arena_add(a, bumped->p, bumped->n) =
			(struct str_kv){ alias, arena_printf(a, "^" STR_FMT, STR_ARG(version)) };
	}
}

/* Any subject's pnpm-lock.yaml tells how the graph hangs together. */
static int some_lockfile(struct lockfile *out, const struct bench_place *p, struct arena *a, struct err *e)
{
	for (size_t i = 0; i < nsubjects; i++) {
		str text, path = arena_printf(
				  a, "%s/%s/pnpm-lock.yaml", ref_dir(p, subjects[i].name, a), p->project_name);
		if (place_read_file(&text, path.p, a, e) == 0)
			return lockfile_parse(out, text, path, a, e);
	}
	return err_set(e, ERR_NOTFOUND, "no pnpm-lock.yaml to plan from: neither dray nor pnpm could be made ready");
}

int place_before(struct subject_place *before, const struct subject_place *at, struct bench_place *p, enum phase phase,
	struct arena *a, struct err *e)
{
	struct lockfile lf;
	struct str_map pin = { 0 }, bumped = { 0 };
	double share;
	AUTO(buf_release) struct buf text = BUF_INIT;
	AUTO(buf_release) struct buf after = BUF_INIT;
	const char *dir = arena_printf(a, "%s.before", at->project).p;

	*before = *at;
	before->project = arena_printf(a, "%s/%s", dir, p->project_name).p;
	before->log = arena_printf(a, "%s.log", dir).p;
	if (some_lockfile(&lf, p, a, e) < 0 || copy_project(p->source.p, before->project, e) < 0)
		return e->code;
	if (phase == PARTIAL)
		pin = part_choose(&share, &lf, PARTIAL_SHARE, a);
	else
		choose_bumps(&pin, &bumped, p, &lf, a);
	if (pin.n == 0)
		return err_set(e, ERR_NOTFOUND,
			phase == PARTIAL ? "partial: no packages make up a quarter of the project"
					 : "update: the mirror has no older minor version of any direct dependency");
	if (phase == PARTIAL)
		part_manifest(&text, p->json, pin);
	else
		pin_manifest(&text, p->json, pin);
	pin_manifest(&after, p->json, bumped);
	str path = arena_printf(a, "%s/package.json", before->project);
	struct manifest *m = arena_new(a, struct manifest, 1);
	if (write_file(path.p, buf_str(&text), e) < 0 ||
		write_file(arena_printf(a, "%s/after.json", dir).p, buf_str(&after), e) < 0 ||
		manifest_parse(m, arena_str(a, buf_str(&text)), path, a, e) < 0)
		return e->code;
	before->manifest = m;
	return 0;
}

int place_after(struct subject_place *at, const struct subject_place *before, enum phase phase, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);

	if (phase != UPDATE)
		return 0;
	at->project = before->project;
	/* Not called package.json up there: yarn would take it for the root of a workspace. */
	return take_file(arena_printf(&a, "%s/../after.json", at->project).p, at->project, "package.json", e);
}

str place_summary(const struct subject_place *at, struct arena *a)
{
	struct err e;
	str text, line, last = STR_NONE;

	if (place_read_file(&text, at->log, a, &e) < 0)
		return STR_NONE;
	while (text.n) {
		str_cut(text, '\n', &line, &text);
		if (str_starts(line, STR("{")) && str_find_str(line, STR("\"summary\""), 0) != SIZE_MAX)
			last = line;
	}
	return last;
}

void place_show_log(const struct subject_place *at)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct err e;
	str text;

	if (place_read_file(&text, at->log, &a, &e) == 0)
		fprintf(stderr, STR_FMT "\n", STR_ARG(str_from(text, text.n > 1500 ? text.n - 1500 : 0)));
}

uint64_t place_free(const struct bench_place *p)
{
	struct statvfs v;

	return statvfs(p->ref.p, &v) == 0 ? (uint64_t)v.f_bfree * v.f_frsize : 0;
}

void place_sync(const struct bench_place *p)
{
	const str at[] = { p->root, p->ref };

	for (size_t i = 0; i < 2; i++) {
		int fd = open(at[i].p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			syncfs(fd);
			close(fd);
		}
	}
}

void place_remove(const char *dir)
{
	struct err e;

	if (fs_remove_tree(AT_FDCWD, dir, &e) < 0)
		fprintf(stderr, "dray-bench: %s\n", e.msg);
}
