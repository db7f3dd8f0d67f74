#include "shared.h"
#include "fs.h"
#include "integrity.h"
#include "store_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define RECORD_HEAD "dray project 1\n"
#define RECORD_MAX (256u << 20)
#define STAMP ".pruned"
#define MAKE ".make"
enum { RECORD_NAME = 33, OWN_NAMES = '.' }; /* names of slots never begin with a dot */

struct shared_slots {
	int fd, projects, make;
	bool making, pending; /* pending: a record waits to be made the project's */
	char *path, *stamp;
};

static int folders_open(struct shared_slots *h, const char *dir, struct err *e)
{
	static const char *const names[] = { "links", "projects" };
	int *fd[] = { &h->fd, &h->projects };

	AUTO(fs_close_auto) int at = fs_open_dir(AT_FDCWD, dir);
	if (at < 0)
		return err_os(e, "open %s", dir);
	for (size_t i = 0; i < 2; i++) {
		*fd[i] = fs_open_dir(at, names[i]);
		if (*fd[i] >= 0)
			continue;
		if (fs_mkdir(at, names[i], 0755) != 0 && errno != EEXIST)
			return err_os(e, "make directory %s/%s", dir, names[i]);
		*fd[i] = fs_open_dir(at, names[i]);
		if (*fd[i] < 0)
			return err_os(e, "open %s/%s", dir, names[i]);
	}
	return 0;
}

/* The stamp is there from the first install on, so that its time can be compared. */
static int stamp_make(struct shared_slots *h, struct err *e)
{
	struct stat st;

	if (fs_stat(h->fd, STAMP, &st) == 0)
		return 0;
	AUTO(fs_close_auto) int fd = fs_open(h->fd, STAMP, O_WRONLY | O_CREAT, 0644);
	return fd >= 0 ? 0 : err_os(e, "create %s/" STAMP, h->path);
}

/* Made anew, so that its time changes. Whoever finds it as it was, before the first slot goes,
 * finds all slots as they were. */
static int stamp_renew(int links, struct err *e)
{
	fs_unlink(links, STAMP, 0);
	AUTO(fs_close_auto) int fd = fs_open(links, STAMP, O_WRONLY | O_CREAT, 0644);
	return fd >= 0 ? 0 : err_os(e, "create links/" STAMP);
}

int shared_stamp_renew(struct shared_slots *h, struct err *e)
{
	return stamp_renew(h->fd, e);
}

int shared_open(struct shared_slots **out, const char *dir, struct err *e)
{
	struct shared_slots *h = xcalloc(1, sizeof(*h));
	char path[4200];

	h->fd = h->projects = h->make = -1;
	if (folders_open(h, dir, e) < 0)
		goto fail;
	snprintf(path, sizeof(path), "%s/links", dir);
	h->path = realpath(path, NULL);
	if (!h->path) {
		err_os(e, "find %s", path);
		goto fail;
	}
	snprintf(path, sizeof(path), "%.4100s/" STAMP, h->path);
	h->stamp = xstrndup(str_of(path));
	if (fs_lock(h->fd, LOCK_SH) != 0) {
		err_os(e, "lock %s", h->path);
		goto fail;
	}
	if (stamp_make(h, e) < 0)
		goto fail;
	*out = h;
	return 0;
fail:
	shared_close(h);
	return e->code;
}

void shared_close(struct shared_slots *h)
{
	if (!h)
		return;
	if (h->make >= 0)
		fs_close(h->make);
	if (h->projects >= 0)
		fs_close(h->projects);
	if (h->fd >= 0)
		fs_close(h->fd);
	free(h->path);
	free(h->stamp);
	free(h);
}

int shared_fd(const struct shared_slots *h)
{
	return h->fd;
}

str shared_path(const struct shared_slots *h)
{
	return str_of(h->path);
}

str shared_stamp(const struct shared_slots *h)
{
	return str_of(h->stamp);
}

int shared_make(struct shared_slots *h, bool wait, struct err *e)
{
	if (h->making)
		return 1;
	if (h->make < 0)
		h->make = fs_open(h->fd, MAKE, O_WRONLY | O_CREAT, 0644);
	if (h->make < 0)
		return err_os(e, "open %s/" MAKE, h->path);
	while (fs_lock(h->make, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
		if (errno == EWOULDBLOCK)
			return 0;
		if (errno != EINTR)
			return err_os(e, "lock %s/" MAKE, h->path);
	}
	h->making = true;
	return 1;
}

/* -- records ------------------------------------------------------------------- */

static void record_name(char out[RECORD_NAME], str root)
{
	uint8_t digest[32];

	sha256(digest, root.p, root.n);
	hex_print(out, digest, 16);
}

struct record {
	struct buf text; /* what the rest points into */
	str root, key, dirs;
};

static void record_release(struct record *r)
{
	buf_release(&r->text);
}

/* "head, folder, key, a line for each slot, end". */
static int record_read(struct record *r, int projects, const char *name, struct err *e)
{
	str rest;

	if (fs_read_file(&r->text, projects, name, RECORD_MAX, e) < 0)
		return e->code;
	str all = buf_str(&r->text);
	if (!str_starts(all, STR(RECORD_HEAD)) || !str_ends(all, STR("\nend\n")) ||
		!str_cut(str_from(all, strlen(RECORD_HEAD)), '\n', &r->root, &rest) ||
		!str_cut(rest, '\n', &r->key, &r->dirs) || r->root.n == 0 || r->root.n > 4096 || r->root.p[0] != '/')
		return err_set(e, ERR_PARSE, "projects/%s is no record of a project", name);
	r->dirs = str_head(r->dirs, r->dirs.n - strlen("end\n"));
	return 0;
}

int shared_record(struct shared_slots *h, str root, const uint8_t key[32], const str *dir, size_t n, struct err *e)
{
	AUTO(record_release) struct record old = { .text = BUF_INIT };
	AUTO(buf_release) struct buf b = BUF_INIT;
	char name[RECORD_NAME], next[RECORD_NAME + 8], hex[65];
	struct err ignored;

	if (memchr(root.p, '\n', root.n))
		return err_set(e, ERR_UNSUPPORTED, "enableGlobalVirtualStore: the project's path has a line break");
	record_name(name, root);
	hex_print(hex, key, 32);
	if (record_read(&old, h->projects, name, &ignored) == 0 && str_eq(old.key, str_of(hex)))
		return 0;
	buf_printf(&b, RECORD_HEAD STR_FMT "\n%s\n", STR_ARG(root), hex);
	for (size_t i = 0; i < n; i++) {
		buf_add(&b, dir[i]);
		buf_addc(&b, '\n');
	}
	buf_add(&b, STR("end\n"));
	snprintf(next, sizeof(next), "%s.next", name);
	h->pending = true;
	return fs_write_file(h->projects, next, buf_str(&b), 0644, e);
}

int shared_record_end(struct shared_slots *h, str root, struct err *e)
{
	char name[RECORD_NAME], next[RECORD_NAME + 8];

	record_name(name, root);
	snprintf(next, sizeof(next), "%s.next", name);
	if (!h->pending) { /* what an install that was killed had in mind */
		fs_unlink(h->projects, next, 0);
		return 0;
	}
	if (fs_rename(h->projects, next, h->projects, name) != 0 && errno != ENOENT)
		return err_os(e, "replace projects/%s", name);
	return 0;
}

void shared_forget(struct store *s, str root)
{
	char name[RECORD_NAME], path[RECORD_NAME + 24];

	record_name(name, root);
	snprintf(path, sizeof(path), "projects/%s", name);
	fs_unlink(s->fd, path, 0);
	snprintf(path, sizeof(path), "projects/%s.next", name); /* an install that was killed has left it */
	fs_unlink(s->fd, path, 0);
}

/* -- prune --------------------------------------------------------------------- */

struct marks {
	VEC(struct buf) text; /* what WANTED's keys point into */
	struct map wanted;
};

static void marks_release(struct marks *m)
{
	for (size_t i = 0; i < m->text.n; i++)
		buf_release(&m->text.p[i]);
	vec_release(&m->text);
	map_release(&m->wanted);
}

/* One that cannot be looked at, lives: its disk, or its owner's folder, may only be out of reach for now. */
static bool project_lives(str root)
{
	char path[4200];

	snprintf(path, sizeof(path), "%.*s/node_modules", (int)root.n, root.p);
	return !fs_gone(path);
}

/* The folder of hoisted names is no slot; the project's link to it says which one it uses.
 * False: that cannot be told. */
static bool mark_hoisted(struct marks *m, str root)
{
	char path[4200], target[4200];
	str all, head, name, rest;

	snprintf(path, sizeof(path), "%.*s/node_modules/.pnpm/node_modules", (int)root.n, root.p);
	ssize_t n = fs_readlink(path, target, sizeof(target));
	if (n <= 0)
		return n == 0 || errno == ENOENT || errno == ENOTDIR || errno == EINVAL;
	all = (str){ target, (size_t)n };
	if (!str_rcut(all, '/', &head, &rest) || !str_rcut(head, '/', &rest, &name))
		return true;
	struct buf b = BUF_INIT;
	buf_add(&b, name);
	map_set(&m->wanted, buf_str(&b), 1);
	*vec_add(&m->text) = b;
	return true;
}

static void record_unread(struct shared_pruned *out, const char *name)
{
	out->unread = true;
	snprintf(out->unread_name, sizeof(out->unread_name), "%.60s", name);
}

/* One record: its slots are wanted, or its project is gone. */
static void mark_record(struct marks *m, struct shared_pruned *out, int projects, const char *name, bool dry_run)
{
	struct record r = { .text = BUF_INIT };
	struct err e;
	str line;

	if (record_read(&r, projects, name, &e) < 0) {
		record_release(&r);
		if (e.code == ERR_NOTFOUND)
			return;
		record_unread(out, name);
		return;
	}
	if (!project_lives(r.root)) {
		out->projects_gone++;
		if (!dry_run)
			fs_unlink(projects, name, 0);
		record_release(&r);
		return;
	}
	out->projects++;
	if (!mark_hoisted(m, r.root))
		record_unread(out, name);
	*vec_add(&m->text) = r.text;
	while (str_cut(r.dirs, '\n', &line, &r.dirs))
		map_set(&m->wanted, line, 1);
}

static int marks_read(struct marks *m, struct shared_pruned *out, int projects, bool dry_run, struct err *e)
{
	DIR *d = fs_list(projects, ".");

	if (!d)
		return err_os(e, "read projects");
	int rc = 0;
	for (;;) {
		struct dirent *de = fs_readdir(d);
		if (!de) { /* a project that was not seen would lose its slots */
			rc = errno ? err_os(e, "read projects") : 0;
			break;
		}
		if (strstr(de->d_name, ".tmp-")) { /* of an install that was killed: none is at work, links is locked */
			if (!dry_run)
				fs_unlink(projects, de->d_name, 0);
		} else if (de->d_name[0] != '.') {
			mark_record(m, out, projects, de->d_name, dry_run);
		}
	}
	closedir(d);
	return rc;
}

/* Where it lies, for overlayfs, which does not rename a folder of a layer below: marked as not whole first. */
static int slot_remove_here(int links, const char *name, struct err *e)
{
	char modules[300];
	struct stat st;

	snprintf(modules, sizeof(modules), "%s/node_modules", name);
	if (fs_stat(links, modules, &st) == 0 && S_ISDIR(st.st_mode)) {
		AUTO(fs_close_auto) int fd = fs_open_dir(links, modules);
		if (fd < 0 || fs_chmod(fd, (st.st_mode & 0777) | S_ISVTX) != 0)
			return err_os(e, "remove links/%s", name);
	}
	return fs_remove_tree(links, name, e);
}

/* Moved away first: a slot is there whole, or not at all. */
static int slot_remove(struct store *s, int links, const char *name, struct err *e)
{
	char to[24];
	int tmp;

	if (store_tmp(&tmp, s, e) < 0)
		return e->code;
	store_tmp_name(to, s);
	if (fs_rename(links, name, tmp, to) == 0)
		return fs_remove_tree(tmp, to, e);
	if (errno == EXDEV)
		return slot_remove_here(links, name, e);
	return errno == ENOENT ? 0 : err_os(e, "remove links/%s", name);
}

static int slots_sweep(
	struct shared_pruned *out, struct store *s, int links, const struct marks *m, bool dry_run, struct err *e)
{
	DIR *d = fs_list(links, ".");
	int rc = 0;

	if (!d)
		return err_os(e, "read links");
	if (!dry_run)
		rc = stamp_renew(links, e);
	for (struct dirent *de; rc == 0 && (de = fs_readdir(d));) {
		bool own = de->d_name[0] == OWN_NAMES, left = own && strncmp(de->d_name, ".dray-old-", 10) == 0;
		if (own && !left)
			continue;
		if (!left && map_get(&m->wanted, str_of(de->d_name)) != MAP_NONE) {
			out->kept++;
			continue;
		}
		out->slots += !left;
		if (!dry_run)
			rc = slot_remove(s, links, de->d_name, e);
	}
	if (rc == 0 && errno)
		rc = err_os(e, "read links");
	closedir(d);
	return rc;
}

int shared_prune(struct shared_pruned *out, struct store *s, bool dry_run, struct err *e)
{
	struct marks m = { .wanted = MAP_INIT };

	*out = (struct shared_pruned){ 0 };
	AUTO(fs_close_auto) int links = fs_open_dir(s->fd, "links");
	AUTO(fs_close_auto) int projects = fs_open_dir(s->fd, "projects");
	if (links < 0 || projects < 0)
		return errno == ENOENT ? 0 : err_os(e, "open %s/links", s->dir);
	if (fs_lock(links, LOCK_EX | LOCK_NB) != 0) {
		out->busy = true;
		return errno == EWOULDBLOCK ? 0 : err_os(e, "lock %s/links", s->dir);
	}
	int rc = marks_read(&m, out, projects, dry_run, e);
	if (rc == 0 && !out->unread)
		rc = slots_sweep(out, s, links, &m, dry_run, e);
	marks_release(&m);
	return rc;
}
