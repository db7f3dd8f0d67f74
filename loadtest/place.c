#include "place.h"
#include "lockfile.h"
#include "packument.h"
#include "part.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The share of packages that the partial phase finds in the store. */
static const double partial_share = 0.24;
enum { BUMPED = 10, MOST_FILE = 64 << 20 };

int place_read_file(str *out, const char *path, struct arena *a, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > MOST_FILE) {
		err_os(e, "read %s", path);
		if (fd >= 0)
			close(fd);
		return e->code;
	}
	char *p = arena_new(a, char, (size_t)st.st_size + 1);
	size_t n = 0;
	for (ssize_t k; n < (size_t)st.st_size && (k = read(fd, p + n, (size_t)st.st_size - n)) > 0;)
		n += (size_t)k;
	close(fd);
	*out = (str){ p, n };
	return 0;
}

static int write_file(const char *path, str text, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n) {
		err_os(e, "write %s", path);
		if (fd >= 0)
			close(fd);
		return e->code;
	}
	close(fd);
	return 0;
}

static int make_dirs(const char *path, struct err *e)
{
	char part[4096];

	for (size_t i = 1; i <= strlen(path) && i < sizeof(part); i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return err_os(e, "make %s", part);
	}
	return 0;
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

/* The project's files without lockfiles and installed trees. */
static int copy_project(const char *from, const char *to, struct err *e)
{
	DIR *d = opendir(from);
	int rc = d ? make_dirs(to, e) : err_os(e, "open %s", from);

	for (struct dirent *de; rc == 0 && d && (de = readdir(d));) {
		AUTO(arena_release) struct arena a = ARENA_INIT(0);
		struct stat st;
		str text;
		if (is_left_out(de->d_name))
			continue;
		const char *src = arena_printf(&a, "%s/%s", from, de->d_name).p;
		const char *dst = arena_printf(&a, "%s/%s", to, de->d_name).p;
		if (lstat(src, &st) < 0)
			rc = err_os(e, "stat %s", src);
		else if (S_ISDIR(st.st_mode))
			rc = copy_project(src, dst, e);
		else if (S_ISREG(st.st_mode))
			rc = place_read_file(&text, src, &a, e) < 0 ? e->code : write_file(dst, text, e);
	}
	if (d)
		closedir(d);
	return rc;
}

int place_open(struct bench_place *p, const char *ref, const char *source, const char *mirror, struct err *e)
{
	str text;
	const char *slash = strrchr(source, '/');

	*p = (struct bench_place){ .a = ARENA_INIT(1 << 16), .project_name = slash && slash[1] ? slash + 1 : source };
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
	if (make_dirs(at->home, e) < 0 || make_dirs(at->store, e) < 0 || copy_project(p->source.p, at->project, e) < 0)
		return e->code;
	return 0;
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
	char file[4096];
	struct err e;
	str json;
	struct packument rec;
	struct semver have, v;

	int n = snprintf(file, sizeof(file), STR_FMT "/corgi/" STR_FMT, STR_ARG(p->mirror), STR_ARG(name));
	for (size_t i = p->mirror.n + 7; n > 0 && i < (size_t)n && i < sizeof(file); i++)
		file[i] = file[i] == '/' ? '!' : file[i];
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

static void pin_add(struct str_map *m, size_t *cap, str k, str v, struct arena *a)
{
	m->p = arena_grow(a, m->p, m->n, cap, sizeof(*m->p), _Alignof(struct str_kv));
	m->p[m->n++] = (struct str_kv){ k, v };
}

/* OLD pins them a minor version below, BUMPED asks for what the lockfile has. */
static void choose_bumps(struct str_map *old, struct str_map *bumped, const struct bench_place *p,
	const struct lockfile *lf, struct arena *a)
{
	const struct lock_importer *im = lockfile_importer(lf, STR("."));
	size_t cap = 0, cap_bumped = 0;

	for (int t = 0; im && t < LOCK_NTYPES; t++) {
		for (size_t i = 0; i < im->deps[t].n && old->n < BUMPED; i++) {
			const struct lock_direct *d = &im->deps[t].p[i];
			str version, rest, older;
			str_cut(d->ref, '(', &version, &rest);
			if (str_find(d->specifier, '^', 0) != 0 || !(older = older_version(p, d->alias, version, a)).n)
				continue;
			pin_add(old, &cap, d->alias, older, a);
			pin_add(bumped, &cap_bumped, d->alias, arena_printf(a, "^" STR_FMT, STR_ARG(version)), a);
		}
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
	return err_set(e, ERR_NOTFOUND,
		"partial and update need dray or pnpm among the subjects: no pnpm-lock.yaml to plan from");
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
		pin = part_choose(&share, &lf, partial_share, a);
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
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}
