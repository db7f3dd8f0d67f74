#include "store.h"
#include "fs.h"
#include "integrity.h"
#include "log.h"
#include "rebuild.h"
#include "store_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct store_read {
	struct store *s;
	struct kv_read *kv;
};

/* -- the store's own files ------------------------------------------------- */

static int format_check(struct store *s, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	int rc = fs_read_file(&b, s->fd, "format", 4096, e);

	if (rc == ERR_NOTFOUND) {
		struct stat st;
		if (fs_stat(s->fd, "index", &st) == 0)
			return err_set(e, ERR_UNSUPPORTED,
				"store %s has an index but no file \"format\": it was made by something else", s->dir);
		return fs_write_file(s->fd, "format", STR(STORE_FORMAT), 0644, e);
	}
	if (rc < 0)
		return err_ctx(e, "store %s", s->dir);
	if (str_eq(buf_str(&b), STR(STORE_FORMAT)))
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		"store %s has the format \"" STR_FMT "\", this program knows \"" STR_FMT
		"\"; use another --store-dir or remove that one",
		s->dir, STR_ARG(str_trim(str_head(buf_str(&b), 60))), STR_ARG(str_trim(STR(STORE_FORMAT))));
}

static int boot_write(struct store *s, str id, const char *state, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, STR_FMT " %s\n", STR_ARG(id), state);
	if (fs_write_file(s->fd, "boot", buf_str(&b), 0644, e) < 0)
		return e->code;
	/* must be on disk before what it announces, and not before what it vouches for */
	AUTO(fs_close_auto) int fd = fs_open(s->fd, "boot", O_RDONLY, 0);
	if (fd < 0 || fsync(fd) != 0 || fsync(s->fd) != 0)
		return err_os(e, "sync %s/boot", s->dir);
	return 0;
}

/* Whether the index may be torn: it was being written in another life of this machine and
 * nobody saw it reach the disk. */
static int boot_lost(struct store *s, bool *lost, struct err *e)
{
	AUTO(buf_release) struct buf now = BUF_INIT, was = BUF_INIT;

	*lost = false;
	if (fs_boot_id(&now, e) < 0)
		return e->code;
	int rc = fs_read_file(&was, s->fd, "boot", 4096, e);
	if (rc == ERR_NOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	str id, state;
	str_cut(str_trim(buf_str(&was)), ' ', &id, &state);
	*lost = !str_eq(state, STR("clean")) && !str_eq(id, buf_str(&now));
	return 0;
}

/* What cannot be told to be whole without looking at every byte: out of the way, for prune; gone, where overlayfs does
 * not rename a folder of a layer below (EXDEV): a store that is part of an image. */
static int set_aside(struct store *s, const char *name, struct err *e)
{
	char aside[96];

	snprintf(aside, sizeof(aside), "%s.lost-%lld-%ld", name, (long long)time(NULL), (long)getpid());
	if (fs_rename(s->fd, name, s->fd, aside) == 0 || errno == ENOENT)
		return 0;
	if (errno != EXDEV)
		return err_os(e, "set aside %s/%s", s->dir, name);
	return fs_remove_tree(s->fd, name, e) < 0 ? err_ctx(e, "set aside %s/%s", s->dir, name) : 0;
}

/* *LOST: the machine went down while the store was in use. Then index and shared slots are out of the way, and the lock
 * is held alone until boot_recover(), so that nobody meets a half of the new index. */
static int boot_check(struct store *s, bool *lost, struct err *e)
{
	int rc = boot_lost(s, lost, e);
	if (rc < 0 || !*lost)
		return rc;
	if (flock(s->lock_fd, LOCK_EX) != 0)
		return err_os(e, "lock %s", s->dir);
	if (boot_lost(s, lost, e) < 0)
		return e->code;
	if (*lost)
		return set_aside(s, "index", e) < 0 || set_aside(s, "links", e) < 0 ? e->code : 0;
	return flock(s->lock_fd, LOCK_SH) == 0 ? 0 : err_os(e, "lock %s", s->dir);
}

/* The new index, and WHY. Only when it is whole does the boot file forget the other life: a process that is killed
 * before leaves all to the next. */
static int boot_recover(struct store *s, const char *why, struct err *e)
{
	AUTO(buf_release) struct buf now = BUF_INIT;
	size_t packages;

	if (store_rebuild(&packages, s, e) < 0 || fs_boot_id(&now, e) < 0 ||
		boot_write(s, buf_str(&now), "dirty", e) < 0)
		return e->code;
	atomic_store(&s->dirty, true);
	log_warn("store",
		"dir=%s %s; its index was made anew from %zu packages, each of which is hashed before it is used again",
		s->dir, why, packages);
	return flock(s->lock_fd, LOCK_SH) == 0 ? 0 : err_os(e, "lock %s", s->dir);
}

int store_mark_dirty(struct store *s, struct err *e)
{
	int rc = 0;

	if (atomic_load(&s->dirty))
		return 0;
	pthread_mutex_lock(&s->tmp_lock);
	if (!atomic_load(&s->dirty)) {
		AUTO(buf_release) struct buf now = BUF_INIT, was = BUF_INIT;
		rc = fs_boot_id(&now, e);
		size_t n = now.n;
		buf_add(&now, STR(" dirty\n"));
		if (rc == 0 &&
			(fs_read_file(&was, s->fd, "boot", 4096, e) < 0 || !str_eq(buf_str(&was), buf_str(&now))))
			rc = boot_write(s, str_head(buf_str(&now), n), "dirty", e);
		if (rc == 0)
			atomic_store(&s->dirty, true);
	}
	pthread_mutex_unlock(&s->tmp_lock);
	return rc;
}

int store_mark_clean(struct store *s, struct err *e)
{
	AUTO(buf_release) struct buf now = BUF_INIT;

	pthread_mutex_lock(&s->tmp_lock);
	int rc = fs_boot_id(&now, e);
	if (rc == 0)
		rc = boot_write(s, buf_str(&now), "clean", e);
	if (rc == 0)
		atomic_store(&s->dirty, false);
	pthread_mutex_unlock(&s->tmp_lock);
	return rc;
}

/* -- opening --------------------------------------------------------------- */

static int dirs_open(struct store *s, struct err *e)
{
	static const char *const sub[] = { "index", "pkgs", "tmp" };
	struct stat st;

	for (size_t i = 0; i < sizeof(sub) / sizeof(*sub); i++)
		if (fs_mkdir(s->fd, sub[i], 0777) != 0 && errno != EEXIST)
			return err_os(e, "make directory %s/%s", s->dir, sub[i]);
	s->pkgs_fd = fs_open_dir(s->fd, "pkgs");
	if (s->pkgs_fd < 0 || fstat(s->pkgs_fd, &st) != 0)
		return err_os(e, "open %s/pkgs", s->dir);
	s->dir_mode = st.st_mode & 0777;
	return 0;
}

/* An index that cannot be read: something wrote to it, or its disk did not keep it. Alone, since who has opened one
 * keeps the lock; another process may have made it anew meanwhile. */
static int index_anew(struct store *s, const char *path, const struct kv_opts *o, struct err *e)
{
	if (flock(s->lock_fd, LOCK_EX) != 0)
		return err_os(e, "lock %s", s->dir);
	if (kv_open(&s->kv, path, o, e) == 0)
		return flock(s->lock_fd, LOCK_SH) == 0 ? 0 : err_os(e, "lock %s", s->dir);
	struct err was = *e;
	if (was.code != ERR_PARSE || set_aside(s, "index", e) < 0)
		return e->code;
	if (fs_mkdir(s->fd, "index", 0777) != 0)
		return err_os(e, "make directory %s", path);
	return kv_open(&s->kv, path, o, e) < 0 ? e->code : boot_recover(s, was.msg, e);
}

static int store_setup(struct store *s, const struct store_opts *o, struct err *e)
{
	char index[PATH_MAX];
	bool lost;

	if (fs_umask(&s->umask, e) < 0 || fs_mkdir_p(AT_FDCWD, s->dir, 0777, e) < 0)
		return e->code;
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the store itself may be reached through a link */
	if (s->fd < 0)
		return err_os(e, "open store %s", s->dir);
	s->lock_fd = fs_open(s->fd, "lock", O_RDWR | O_CREAT, 0644);
	if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_SH) != 0)
		return err_os(e, "lock %s/lock", s->dir);
	if (format_check(s, e) < 0 || boot_check(s, &lost, e) < 0 || dirs_open(s, e) < 0)
		return e->code;
	if ((size_t)snprintf(index, sizeof(index), "%s/index", s->dir) >= sizeof(index))
		return err_set(e, ERR_TOOBIG, "the store's path is too long: %.100s…", s->dir);
	struct kv_opts ko = { .map_size = o->map_size, .readahead = o->readahead };
	int rc = kv_open(&s->kv, index, &ko, e);
	if (rc == ERR_PARSE && !lost)
		return index_anew(s, index, &ko, e);
	if (rc < 0)
		return rc;
	return lost ? boot_recover(s, "the machine went down while the store was in use", e) : 0;
}

int store_open(struct store **out, const char *dir, const struct store_opts *o, struct err *e)
{
	static const struct store_opts plain;
	struct store *s = xcalloc(1, sizeof(*s));

	s->fd = s->pkgs_fd = s->lock_fd = s->tmp_fd = -1;
	s->dir = xstrndup(str_of(dir));
	pthread_mutex_init(&s->tmp_lock, NULL);
	pthread_rwlock_init(&s->publishing, NULL);
	if (!o)
		o = &plain;
	s->verify = o->verify;
	if (store_setup(s, o, e) < 0) {
		store_close(s);
		return e->code;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	struct err e;

	if (!s)
		return;
	kv_close(s->kv);
	if (s->tmp_fd >= 0) {
		char path[32];
		snprintf(path, sizeof(path), "tmp/%s", s->tmp_name);
		if (fs_remove_tree(s->fd, path, &e) < 0)
			log_debug("store", "%s", e.msg); /* the next process sweeps it */
	}
	fs_close(s->tmp_fd);
	fs_close(s->pkgs_fd);
	fs_close(s->lock_fd);
	fs_close(s->fd);
	pthread_mutex_destroy(&s->tmp_lock);
	pthread_rwlock_destroy(&s->publishing);
	free(s->dir);
	free(s);
}

const char *store_dir(const struct store *s)
{
	return s->dir;
}

/* -- temporary directories --------------------------------------------------- */

/* Removes temporary directories that no living process holds. */
static void tmp_sweep(int tmp)
{
	DIR *d = fs_list(tmp, ".");
	struct err e;

	for (struct dirent *de; d && (de = readdir(d));) {
		if (de->d_name[0] == '.')
			continue;
		AUTO(fs_close_auto) int sub = fs_open_dir(tmp, de->d_name);
		if (sub >= 0 && flock(sub, LOCK_EX | LOCK_NB) == 0 && fs_remove_tree(tmp, de->d_name, &e) < 0)
			log_debug("store", "%s", e.msg);
	}
	if (d)
		closedir(d);
}

static int tmp_make(struct store *s, int tmp, struct err *e)
{
	uint8_t salt[8];
	struct stat st;

	for (int tries = 0; tries < 16; tries++) {
		if (getrandom(salt, sizeof(salt), 0) != sizeof(salt))
			return err_os(e, "getrandom");
		hex_print(s->tmp_name, salt, sizeof(salt));
		if (fs_mkdir(tmp, s->tmp_name, 0700) != 0)
			return err_os(e, "make directory %s/tmp/%s", s->dir, s->tmp_name);
		int fd = fs_open_dir(tmp, s->tmp_name);
		/* another process may have swept it between the two: then it is locked or gone */
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) {
			s->tmp_fd = fd;
			return 0;
		}
		if (fd < 0 && errno != ENOENT)
			return err_os(e, "open %s/tmp/%s", s->dir, s->tmp_name);
		fs_close(fd);
	}
	return err_set(e, ERR_BUSY, "cannot keep a directory in %s/tmp", s->dir);
}

int store_tmp(int *fd, struct store *s, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&s->tmp_lock);
	if (s->tmp_fd < 0) {
		AUTO(fs_close_auto) int tmp = fs_open_dir(s->fd, "tmp");
		if (tmp < 0) {
			rc = err_os(e, "open %s/tmp", s->dir);
		} else {
			tmp_sweep(tmp);
			rc = tmp_make(s, tmp, e);
		}
	}
	*fd = s->tmp_fd;
	pthread_mutex_unlock(&s->tmp_lock);
	return rc;
}

void store_tmp_name(char out[24], struct store *s)
{
	snprintf(out, 24, "%llu", (unsigned long long)atomic_fetch_add(&s->tmp_next, 1));
}

mode_t store_file_mode(const struct store *s, bool exec)
{
	mode_t group = s->umask & 0040 ? 0 : s->dir_mode & 0020;

	return ((exec ? 0755 : 0644) & ~s->umask) | group;
}

const char *store_file_name(char room[STORE_FILE_NAME], uint32_t num)
{
	char *at = &room[STORE_FILE_NAME - 1];

	*at = 0;
	do
		*--at = (char)('0' + num % 10);
	while (num /= 10);
	return at;
}

void store_pkg_path(char out[PKG_ID * 2 + 2], const uint8_t id[PKG_ID])
{
	char hex[PKG_ID * 2 + 1];

	hex_print(hex, id, PKG_ID);
	memcpy(out, hex, 2);
	out[2] = '/';
	memcpy(out + 3, hex + 2, PKG_ID * 2 - 1);
}

int store_trash(struct store *s, const uint8_t id[PKG_ID], struct err *e)
{
	char from[PKG_ID * 2 + 2], to[24];
	int tmp;

	if (store_tmp(&tmp, s, e) < 0)
		return e->code;
	store_pkg_path(from, id);
	store_tmp_name(to, s);
	if (fs_rename(s->pkgs_fd, from, tmp, to) == 0)
		return fs_remove_tree(tmp, to, e);
	/* EXDEV: a folder of a layer below, on overlayfs. No row names it any more, and who finds one of its files
	 * gone fetches the package. */
	return errno == ENOENT  ? 0
	       : errno == EXDEV ? fs_remove_tree(s->pkgs_fd, from, e)
				: err_os(e, "remove %s/pkgs/%s", s->dir, from);
}

/* -- reading ----------------------------------------------------------------- */

int store_read_begin(struct store_read **out, struct store *s, struct err *e)
{
	struct kv_read *kv;

	if (kv_read_begin(&kv, s->kv, e) < 0)
		return e->code;
	struct store_read *r = xcalloc(1, sizeof(*r));
	*r = (struct store_read){ s, kv };
	*out = r;
	return 0;
}

void store_read_end(struct store_read *r)
{
	if (!r)
		return;
	kv_read_end(r->kv);
	free(r);
}

str store_key(str key)
{
	static const char *const alg[] = { "sha1-", "sha256-", "sha384-", "sha512-" };
	int best = -1;
	str out = key, part, rest = key;

	if (!memchr(key.p ? key.p : "", ' ', key.n))
		return key;
	for (bool more = true; more;) {
		more = str_cut(rest, ' ', &part, &rest);
		for (int i = best + 1; i < 4; i++) {
			if (!str_starts(part, str_of(alg[i])))
				continue;
			best = i;
			out = part;
		}
	}
	return out;
}

int store_get(struct pkg *out, struct store_read *r, str key, struct err *e)
{
	key = store_key(key);
	str v;
	int rc = kv_get(&v, r->kv, STORE_PKG_TABLE, key, e);

	if (rc <= 0)
		return rc;
	struct pkg p = { (const uint8_t *)v.p, v.n };
	/* a record that does not hold together counts as absent: it is fetched again and replaced */
	if (pkg_check(p, e) < 0 || !str_eq(pkg_key(p), key)) {
		log_warn("store", "key=" STR_FMT " bad record dropped", STR_ARG(str_head(key, 120)));
		kv_del_if(r->s->kv, STORE_PKG_TABLE, key, v);
		return 0;
	}
	*out = p;
	return 1;
}

int store_kv_get(str *out, struct store_read *r, const char *table, str key, struct err *e)
{
	return kv_get(out, r->kv, table, key, e);
}

int store_kv_each(
	struct store_read *r, const char *table, int (*fn)(void *arg, str key, str value), void *arg, struct err *e)
{
	return kv_each(r->kv, table, fn, arg, e);
}

bool store_kv_put(struct store *s, const char *table, str key, str value)
{
	struct err e;

	if (strcmp(table, STORE_PKG_TABLE) == 0)
		return false; /* packages are written by import only */
	return store_mark_dirty(s, &e) == 0 && kv_put(s->kv, table, key, value, false);
}

void store_expect_writes(struct store *s)
{
	struct err e;

	if (store_mark_dirty(s, &e) < 0)
		log_debug("store", "%s", e.msg); /* a write tries again */
}

void store_flush(struct store *s)
{
	struct err e = { 0 };

	if (kv_flush(s->kv, &e) < 0)
		log_debug("store", "%s", e.msg); /* the writer has logged the loss; what is lost is fetched again */
}
