#include "store_admin.h"
#include "content_sum.h"
#include "fs.h"
#include "integrity.h"
#include "kept.h"
#include "store_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { ORPHAN_AGE = 3600, KEPT_UNUSED_S = 7 * 24 * 3600 };

/* Records are copied a page of keys at a time, so that no read transaction lives while files are looked at. */
typedef VEC(struct pkg) pkgs;

static int pkgs_add(void *arg, str key, str value)
{
	pkgs *all = arg;
	struct pkg p = { (const uint8_t *)value.p, value.n };
	struct err e;

	(void)key;
	if (pkg_check(p, &e) == 0) {
		char *copy = xstrndup(value);
		*vec_add(all) = (struct pkg){ (const uint8_t *)copy, p.n };
	}
	return 0;
}

static int pkgs_read(pkgs *all, struct store *s, struct err *e)
{
	struct kv_read *r;

	store_flush(s);
	if (kv_read_begin(&r, s->kv, e) < 0)
		return e->code;
	int rc = kv_each(r, STORE_PKG_TABLE, pkgs_add, all, e);
	kv_read_end(r);
	return rc;
}

static void pkgs_release(pkgs *all)
{
	for (size_t i = 0; i < all->n; i++)
		free((void *)(uintptr_t)all->p[i].p);
	vec_release(all);
}

static int status_add(void *arg, str key, str value)
{
	struct store_status *st = arg;
	struct pkg p = { (const uint8_t *)value.p, value.n };
	struct err e;

	(void)key;
	if (pkg_check(p, &e) < 0)
		return 0;
	st->packages++;
	st->files += pkg_nfiles(p);
	st->bytes += pkg_bytes(p);
	return 0;
}

int store_status(struct store_status *out, struct store *s, struct err *e)
{
	struct kv_read *r;
	struct kv_stats kv;
	AUTO(buf_release) struct buf b = BUF_INIT;

	*out = (struct store_status){ 0 };
	store_flush(s);
	if (kv_read_begin(&r, s->kv, e) < 0)
		return e->code;
	int rc = kv_each(r, STORE_PKG_TABLE, status_add, out, e);
	kv_read_end(r);
	kv_stats(s->kv, &kv);
	out->index_entries = kv.entries;
	out->index_bytes = kv.bytes;
	struct err none;
	int boot = fs_read_file(&b, s->fd, "boot", 4096, &none);
	out->synced = boot == ERR_NOTFOUND || (boot == 0 && str_ends(str_trim(buf_str(&b)), STR(" clean")));
	return rc;
}

void store_index_size(struct store *s, uint64_t *entries, uint64_t *bytes)
{
	struct kv_stats kv;

	kv_stats(s->kv, &kv);
	*entries = kv.entries;
	*bytes = kv.used;
}

uint64_t store_index_lost(struct store *s)
{
	struct kv_stats kv;

	kv_stats(s->kv, &kv);
	return kv.lost;
}

/* -- verify -------------------------------------------------------------------- */

static int file_verify(int fd, struct pkg p, struct pkg_file_row f, bool full, struct err *e)
{
	char room[STORE_FILE_NAME];
	struct stat st;
	uint8_t block[65536];

	const char *name = store_file_name(room, f.num);
	if (fs_stat(fd, name, &st) != 0)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, STR_FMT " is gone", STR_ARG(f.path))
				       : err_os(e, "stat " STR_FMT, STR_ARG(f.path));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != f.size)
		return err_set(e, ERR_INTEGRITY, STR_FMT " has %lld bytes, was stored with %llu", STR_ARG(f.path),
			(long long)st.st_size, (unsigned long long)f.size);
	if (!full && st.st_mtim.tv_sec == pkg_mtime(p) && st.st_mtim.tv_nsec == 0)
		return 0;
	AUTO(fs_close_auto) int in = fs_open(fd, name, O_RDONLY, 0);
	if (in < 0)
		return err_os(e, "open " STR_FMT, STR_ARG(f.path));
	struct content_sum sum;
	ssize_t n;
	content_begin(&sum, p);
	while ((n = read(in, block, sizeof(block))) > 0)
		content_add(&sum, block, (size_t)n);
	bool same = content_end(&sum, f.sha256);
	if (n < 0)
		return err_os(e, "read " STR_FMT, STR_ARG(f.path));
	return same ? 0 : err_set(e, ERR_INTEGRITY, STR_FMT " was changed", STR_ARG(f.path));
}

static int pkg_verify(struct store *s, struct pkg p, bool full, struct err *e)
{
	char path[PKG_ID * 2 + 2];

	store_pkg_path(path, pkg_id(p));
	AUTO(fs_close_auto) int fd = fs_open(s->pkgs_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return errno == ENOENT ? err_set(e, ERR_NOTFOUND, "its directory pkgs/%s is gone", path)
				       : err_os(e, "open pkgs/%s", path);
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		struct pkg_file_row f = pkg_file_row(p, i);
		if (f.size > 0 && file_verify(fd, p, f, full, e) < 0)
			return e->code;
	}
	return 0;
}

int store_verify(struct store_verify_result *out, struct store *s, const struct store_verify_opts *o, struct err *e)
{
	pkgs all = VEC_INIT;
	int rc = pkgs_read(&all, s, e);

	*out = (struct store_verify_result){ 0 };
	for (size_t i = 0; rc == 0 && i < all.n; i++) {
		struct pkg p = all.p[i];
		struct err why;
		int v = pkg_verify(s, p, o->full, &why);
		out->packages++;
		out->files += pkg_nfiles(p);
		out->bytes += pkg_bytes(p);
		if (v == 0)
			continue;
		if (v != ERR_NOTFOUND && v != ERR_INTEGRITY) { /* the disk's fault, not the package's */
			*e = why;
			rc = err_ctx(e, "verify " STR_FMT "@" STR_FMT, STR_ARG(pkg_name(p)), STR_ARG(pkg_version(p)));
			break;
		}
		out->bad++;
		if (o->report)
			o->report(o->arg, p, &why);
		if (o->drop)
			kv_del_if(s->kv, STORE_PKG_TABLE, pkg_key(p), (str){ (const char *)p.p, p.n });
	}
	pkgs_release(&all);
	store_flush(s);
	return rc;
}

int store_rehash(struct store *s, uint8_t *rec, size_t n, struct err *e)
{
	struct pkg p = { rec, n };
	char path[PKG_ID * 2 + 2], room[STORE_FILE_NAME];
	uint8_t sha[32], block[65536];
	struct digest d;

	if (!(pkg_flags(p) & PKG_CRC))
		return 0;
	store_pkg_path(path, pkg_id(p));
	AUTO(fs_close_auto) int dir = fs_open(s->pkgs_fd, path, O_PATH | O_DIRECTORY, 0);
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		struct pkg_file_row f = pkg_file_row(p, i);
		const char *name = store_file_name(room, f.num);
		AUTO(fs_close_auto) int in = f.size && dir >= 0 ? fs_open(dir, name, O_RDONLY, 0) : -1;
		ssize_t got = 0;
		struct hasher *h = hasher_new(DIGEST_SHA256);
		while (in >= 0 && (got = read(in, block, sizeof(block))) > 0)
			hasher_add(h, block, (size_t)got);
		hasher_end(h, &d);
		hasher_free(h);
		if (got < 0)
			return err_os(e, "read " STR_FMT " of " STR_FMT, STR_ARG(f.path), STR_ARG(pkg_name(p)));
		memcpy(sha, d.b, sizeof(sha));
		pkg_set_sha256(rec, i, sha);
	}
	pkg_set_flags(rec, pkg_flags(p) & ~(uint32_t)PKG_CRC);
	return 0;
}

int store_each(struct store *s, int (*fn)(void *arg, str key, struct pkg p), void *arg, struct err *e)
{
	pkgs all = VEC_INIT;
	int rc = pkgs_read(&all, s, e);

	for (size_t i = 0; rc == 0 && i < all.n; i++)
		rc = fn(arg, pkg_key(all.p[i]), all.p[i]);
	pkgs_release(&all);
	return rc;
}

/* -- prune --------------------------------------------------------------------- */

/* Whether any of its files has a name outside the store. What cannot be looked at counts as used. */
static bool pkg_in_use(struct store *s, struct pkg p)
{
	char path[PKG_ID * 2 + 2], room[STORE_FILE_NAME];
	struct stat st;

	store_pkg_path(path, pkg_id(p));
	AUTO(fs_close_auto) int fd = fs_open(s->pkgs_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return errno != ENOENT;
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		struct pkg_file_row f = pkg_file_row(p, i);
		if (f.size == 0)
			continue;
		const char *name = store_file_name(room, f.num);
		if (fs_stat(fd, name, &st) != 0 ? errno != ENOENT : st.st_nlink > 1)
			return true;
	}
	return false;
}

static int pkgs_prune(
	struct store_prune_result *out, struct store *s, const struct store_prune_opts *o, pkgs *all, struct err *e)
{
	int64_t now = time(NULL);
	size_t gone = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct pkg p = all->p[i];
		bool young = now - pkg_mtime(p) < (int64_t)o->min_age;
		if (young || pkg_in_use(s, p) || (o->unused && !o->unused(o->arg, p))) {
			out->kept++;
			continue;
		}
		out->packages++;
		out->files += pkg_nfiles(p);
		out->bytes += pkg_bytes(p);
		all->p[i] = all->p[gone]; /* to the front, for the second pass */
		all->p[gone++] = p;
		if (!o->dry_run)
			kv_del_if(s->kv, STORE_PKG_TABLE, pkg_key(p), (str){ (const char *)p.p, p.n });
	}
	if (o->dry_run)
		return 0;
	if (kv_flush(s->kv, e) < 0)
		return e->code; /* rows that stayed must keep their files */
	for (size_t i = 0; i < gone; i++)
		if (store_trash(s, pkg_id(all->p[i]), e) < 0)
			return e->code;
	return 0;
}

struct ids {
	struct arena a;
	struct map known; /* 32 digits each */
};

static int ids_add(void *arg, str key, str value)
{
	struct ids *ids = arg;
	struct pkg p = { (const uint8_t *)value.p, value.n };
	char hex[PKG_ID * 2 + 1];
	struct err e;

	(void)key;
	if (pkg_check(p, &e) < 0)
		return 0;
	hex_print(hex, pkg_id(p), PKG_ID);
	str id = str_of(hex);
	map_add_copy(&ids->known, &id, 0, &ids->a, NULL);
	return 0;
}

static void ids_release(struct ids *ids)
{
	map_release(&ids->known);
	arena_release(&ids->a);
}

/* What one pruning of packages that have no row goes by. */
struct orphans {
	struct store *s;
	struct ids ids; /* of those that have one */
	int64_t before; /* what is younger may be on its way to a row */
	bool dry_run;
	uint64_t n;
};

static int orphan_remove(struct orphans *o, const char *shard, const char *name, struct err *e)
{
	char hex[PKG_ID * 2 + 1], path[PKG_ID * 2 + 2];
	uint8_t id[PKG_ID];
	struct stat st;

	snprintf(hex, sizeof(hex), "%.2s%.30s", shard, name);
	if (strlen(name) != PKG_ID * 2 - 2 || !hex_read(id, PKG_ID, str_of(hex)) ||
		map_get(&o->ids.known, str_of(hex)) != MAP_NONE)
		return 0;
	store_pkg_path(path, id);
	if (fs_stat(o->s->pkgs_fd, path, &st) != 0 ||
		st.st_ctim.tv_sec > o->before) /* ctime: the rename, too, counts as life */
		return 0;
	o->n++;
	return o->dry_run ? 0 : store_trash(o->s, id, e);
}

static int shard_prune(struct orphans *o, const char *shard, struct err *e)
{
	if (shard[0] == '.' || strlen(shard) != 2)
		return 0;
	DIR *d = fs_list(o->s->pkgs_fd, shard);
	int rc = 0;
	for (struct dirent *de; rc == 0 && d && (de = fs_readdir(d));)
		rc = orphan_remove(o, shard, de->d_name, e);
	if (rc == 0 && (!d || errno))
		rc = err_os(e, "read %s/pkgs/%s", o->s->dir, shard);
	if (d)
		closedir(d);
	return rc;
}

static int shards_prune(struct orphans *o, struct err *e)
{
	DIR *top = fs_list(o->s->pkgs_fd, ".");
	int rc = 0;

	for (struct dirent *de; rc == 0 && top && (de = fs_readdir(top));)
		rc = shard_prune(o, de->d_name, e);
	if (rc == 0 && (!top || errno))
		rc = err_os(e, "read %s/pkgs", o->s->dir);
	if (top)
		closedir(top);
	return rc;
}

static int orphans_prune(struct store_prune_result *out, struct store *s, bool dry_run, struct err *e)
{
	struct orphans o = {
		.s = s, .before = out->orphans_all ? INT64_MAX : time(NULL) - ORPHAN_AGE, .dry_run = dry_run
	};
	struct kv_read *r;

	if (kv_read_begin(&r, s->kv, e) < 0)
		return e->code;
	int rc = kv_each(r, STORE_PKG_TABLE, ids_add, &o.ids, e);
	kv_read_end(r);
	if (rc == 0)
		rc = shards_prune(&o, e);
	out->orphans += o.n;
	ids_release(&o.ids);
	return rc;
}

/* Indexes and shared slots that were set aside after a power loss. */
static int lost_remove(struct store *s, struct err *e)
{
	DIR *d = fs_list(s->fd, ".");
	int rc = d ? 0 : err_os(e, "read %s", s->dir);

	for (struct dirent *de; rc == 0 && d && (de = fs_readdir(d));)
		if (str_starts(str_of(de->d_name), STR("index.lost-")) ||
			str_starts(str_of(de->d_name), STR("links.lost-")))
			rc = fs_remove_tree(s->fd, de->d_name, e);
	if (rc == 0 && errno)
		rc = err_os(e, "read %s", s->dir);
	if (d)
		closedir(d);
	return rc;
}

/* What is being put in place of "boot" and "format", see fs_write_file(), and was left so by a process that was killed:
 * who keeps all others out knows, else after an hour. Under tmp_lock, under which this process puts "boot" there. */
static int half_written_remove(struct store *s, bool alone, struct err *e)
{
	int64_t before = alone ? INT64_MAX : time(NULL) - ORPHAN_AGE;
	DIR *d = fs_list(s->fd, ".");
	struct stat st;
	int rc = 0;

	for (struct dirent *de; rc == 0 && d && (de = fs_readdir(d));) {
		if (!str_starts(str_of(de->d_name), STR("boot.tmp-")) &&
			!str_starts(str_of(de->d_name), STR("format.tmp-")))
			continue;
		if (fs_stat(s->fd, de->d_name, &st) == 0 && st.st_ctim.tv_sec <= before &&
			fs_unlink(s->fd, de->d_name, 0) != 0 && errno != ENOENT)
			rc = err_os(e, "remove %s/%s", s->dir, de->d_name);
	}
	if (rc == 0 && (!d || errno))
		rc = err_os(e, "read %s", s->dir);
	if (d)
		closedir(d);
	return rc;
}

int store_prune(struct store_prune_result *out, struct store *s, const struct store_prune_opts *o, struct err *e)
{
	pkgs all = VEC_INIT;

	*out = (struct store_prune_result){ 0 };
	int rc = shared_prune(&out->shared, s, o->dry_run, e);
	if (rc == 0)
		rc = pkgs_read(&all, s, e);
	if (rc == 0)
		rc = pkgs_prune(out, s, o, &all, e);
	pkgs_release(&all);
	if (rc == 0) {
		/* an import renames its directory in before its row is there: only who keeps all others out can tell
		 * such a one from an orphan */
		out->orphans_all = fs_lock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
		pthread_rwlock_wrlock(&s->publishing);
		rc = kv_flush(s->kv, e);
		if (rc == 0)
			rc = orphans_prune(out, s, o->dry_run, e);
		pthread_mutex_lock(&s->tmp_lock);
		if (rc == 0 && !o->dry_run)
			rc = half_written_remove(s, out->orphans_all, e);
		pthread_mutex_unlock(&s->tmp_lock);
		pthread_rwlock_unlock(&s->publishing);
		if (fs_lock(s->lock_fd, LOCK_SH) != 0 && rc == 0)
			rc = err_os(e, "lock %s", s->dir);
	}
	if (rc == 0)
		out->plans = kept_prune(s->dir, KEPT_UNUSED_S, o->dry_run);
	return rc == 0 && !o->dry_run ? lost_remove(s, e) : rc;
}

/* -- sync ---------------------------------------------------------------------- */

int store_sync(struct store *s, bool *done, struct err *e)
{
	int rc = kv_sync(s->kv, e);

	if (done)
		*done = false;
	if (rc < 0)
		return rc;
	if (fs_sync(s->fd) != 0)
		return err_os(e, "sync %s", s->dir);
	if (fs_lock(s->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		/* alone, and everything that anybody wrote is on disk */
		rc = kv_sync(s->kv, e);
		if (rc == 0 && fs_sync(s->fd) != 0)
			rc = err_os(e, "sync %s", s->dir);
		if (rc == 0)
			rc = store_mark_clean(s, e);
		if (done)
			*done = rc == 0;
	}
	if (fs_lock(s->lock_fd, LOCK_SH) != 0 && rc == 0)
		rc = err_os(e, "lock %s", s->dir);
	if (rc < 0 && done)
		*done = false;
	return rc;
}
