/* store_link(): the inner loop of every install. One call per slot, a descriptor on each side, no paths built: the
 * record's strings go to the system calls as they are. */
#include "content_sum.h"
#include "fs.h"
#include "log.h"
#include "store_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct linking {
	struct store *s;
	struct pkg p;
	int from, to;
	int64_t mtime;
	bool fresh;    /* of this process's making */
	bool unproven; /* came back after a power loss: every byte is looked at */
	bool misfit;   /* the file that was checked last must not be one inode with the tree's: its mode is another */
	enum pkg_import_method method;
	struct pkg_link_stats n;
};

static int file_lost(struct linking *l, const struct pkg_file_row *f, int code, const char *what, struct err *e)
{
	return err_set(e, code, "store %s: " STR_FMT " of " STR_FMT "@" STR_FMT " %s; the package is fetched again",
		l->s->dir, STR_ARG(f->path), STR_ARG(pkg_name(l->p)), STR_ARG(pkg_version(l->p)), what);
}

/* Whether the file's bytes are still what was imported; then its time is put back, so that the next check is cheap. */
static int file_hash_check(
	struct linking *l, const struct pkg_file_row *f, const char *name, bool restamp, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct content_sum sum;
	bool same = false;
	int rc = fs_read_file(&b, l->from, name, f->size, e);

	if (rc == ERR_NOTFOUND)
		return file_lost(l, f, ERR_NOTFOUND, "is gone", e);
	if (rc < 0 && rc != ERR_TOOBIG)
		return rc;
	if (rc == 0) {
		content_begin(&sum, l->p);
		content_add(&sum, (const uint8_t *)b.p, b.n);
		same = content_end(&sum, f->sha256);
	}
	if (!same || b.n != f->size)
		return file_lost(l, f, ERR_INTEGRITY, "was changed after it was stored", e);
	if (restamp) {
		AUTO(fs_close_auto) int fd = fs_open(l->from, name, O_RDONLY, 0);
		if (fd >= 0)
			(void)fs_set_mtime(fd, l->mtime); /* not ours to change: it is hashed again next time */
	}
	return 0;
}

/* Whether a file of mode HAVE may be one of this process's making: who may read and execute it is what the umask leaves
 * of all, or, where it is a command, as a command's target. Who may write is the store's. Source: pnpm 12.21. */
static bool mode_fits(const struct store *s, bool exec, mode_t have)
{
	mode_t plain = 0666 & ~s->umask, want = exec ? 0777 & ~s->umask : plain;

	return ((have ^ want) & 0555) == 0 || (exec && ((have ^ (plain | 0111)) & 0555) == 0);
}

/* The mode of a file that is the tree's own, and of an empty one where the store's files would be. */
static mode_t copy_mode(const struct store *s, bool exec)
{
	return (exec ? 0755 : 0666) & ~s->umask;
}

static int file_check(struct linking *l, const struct pkg_file_row *f, const char *name, struct err *e)
{
	struct stat st;

	l->misfit = false;
	if (l->unproven || l->s->verify == STORE_VERIFY_FULL) {
		l->misfit = fs_stat(l->from, name, &st) == 0 && !mode_fits(l->s, f->exec, st.st_mode);
		return file_hash_check(l, f, name, false, e);
	}
	if (l->s->verify == STORE_VERIFY_NONE || (l->fresh && l->s->verify == STORE_VERIFY_STAT))
		return 0;
	if (fs_stat(l->from, name, &st) != 0) {
		if (errno == ENOENT)
			return file_lost(l, f, ERR_NOTFOUND, "is gone", e);
		return err_os(e, "stat file %s of " STR_FMT " in the store", name, STR_ARG(pkg_name(l->p)));
	}
	l->misfit = !mode_fits(l->s, f->exec, st.st_mode);
	if (st.st_size == (off_t)f->size && st.st_mtim.tv_sec == l->mtime && st.st_mtim.tv_nsec == 0)
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)f->size)
		return file_lost(l, f, ERR_INTEGRITY, "was changed after it was stored", e);
	return file_hash_check(l, f, name, true, e);
}

static int file_empty(struct linking *l, const struct pkg_file_row *f, struct err *e)
{
	bool as_linked = l->method == PKG_HARDLINK && mode_fits(l->s, true, l->s->dir_mode);
	mode_t mode = as_linked ? store_file_mode(l->s, f->exec) : copy_mode(l->s, f->exec);
	AUTO(fs_close_auto) int fd = fs_open(l->to, f->path.p, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0 || fs_chmod(fd, mode) != 0)
		return err_os(e, "create " STR_FMT, STR_ARG(f->path));
	l->n.copies++;
	return 0;
}

static int link_error(
	struct linking *l, const struct pkg_file_row *f, const char *name, const char *verb, struct err *e)
{
	struct stat st;
	int os = errno;

	/* without a check before, or between check and link: is it the store that lacks the file? */
	if (os == ENOENT && fs_stat(l->from, name, &st) != 0 && errno == ENOENT)
		return file_lost(l, f, ERR_NOTFOUND, "is gone", e);
	errno = os;
	return err_os(e, "%s " STR_FMT " of " STR_FMT, verb, STR_ARG(f->path), STR_ARG(pkg_name(l->p)));
}

static int file_copy(struct linking *l, const struct pkg_file_row *f, const char *name, struct err *e)
{
	enum fs_copied how;
	bool clone = l->method != PKG_COPY;

	if (fs_copy(l->from, name, l->to, f->path.p, copy_mode(l->s, f->exec), clone, &how) != 0)
		return link_error(l, f, name, "copy", e);
	if (how == FS_CLONED) {
		l->n.clones++;
	} else {
		l->n.copies++;
		l->n.bytes_copied += f->size;
	}
	l->n.misfits += l->misfit && l->method == PKG_HARDLINK;
	return 0;
}

static int file_link(struct linking *l, const struct pkg_file_row *f, struct err *e)
{
	char buf[STORE_FILE_NAME];
	const char *name = store_file_name(buf, f->num);

	if (f->size == 0)
		return file_empty(l, f, e);
	if (file_check(l, f, name, e) < 0)
		return e->code;
	if (l->method == PKG_COPY || l->method == PKG_CLONE || l->misfit)
		return file_copy(l, f, name, e);
	if (fs_link(l->from, name, l->to, f->path.p) == 0) {
		l->n.links++;
		return 0;
	}
	switch (errno) {
	case EXDEV:      /* another file system, or another mount of the same */
	case EPERM:      /* one without hard links, or fs.protected_hardlinks and somebody else's store */
	case EOPNOTSUPP: /* the same, from others */
		l->n.refused = errno;
		l->method = PKG_CLONE; /* the rest of the package would fare no better */
		break;
	case EMLINK: /* this inode has all the links it can have */
		break;
	default:
		return link_error(l, f, name, "link", e);
	}
	return file_copy(l, f, name, e);
}

static int dirs_make(struct linking *l, struct err *e)
{
	uint32_t n = pkg_ndirs(l->p);

	for (uint32_t i = 0; i < n; i++) {
		str dir = pkg_dir(l->p, i);
		if (fs_mkdir(l->to, dir.p, 0777) != 0)
			return err_os(
				e, "make directory " STR_FMT " of " STR_FMT, STR_ARG(dir), STR_ARG(pkg_name(l->p)));
		l->n.dirs++;
	}
	return 0;
}

static int link_all(struct linking *l, struct err *e)
{
	uint32_t n = pkg_nfiles(l->p);

	if (dirs_make(l, e) < 0)
		return e->code;
	for (uint32_t i = 0; i < n; i++) {
		struct pkg_file_row f = pkg_file_row(l->p, i);
		if (file_link(l, &f, e) < 0)
			return e->code;
	}
	return 0;
}

/* All files of P were hashed and are right: its row says so from now on. */
static void package_proven(struct store *s, struct pkg p)
{
	char *copy = xstrndup((str){ (const char *)p.p, p.n });
	struct err e;

	pkg_mark_unproven((uint8_t *)copy, false);
	if (store_mark_dirty(s, &e) == 0)
		kv_put(s->kv, STORE_PKG_TABLE, pkg_key(p), (str){ copy, p.n }, false); /* lost: hashed once more */
	free(copy);
}

int store_link(struct store *s, struct pkg p, bool fresh, int dirfd, enum pkg_import_method method,
	struct pkg_link_stats *stats, struct err *e)
{
	char path[PKG_ID * 2 + 2];

	kv_touch(s->kv, p.p, p.n);
	store_pkg_path(path, pkg_id(p));
	AUTO(fs_close_auto) int from = fs_open(s->pkgs_fd, path, O_PATH | O_DIRECTORY, 0);
	struct linking l = { .s = s,
		.p = p,
		.from = from,
		.to = dirfd,
		.mtime = pkg_mtime(p),
		.fresh = fresh,
		.unproven = (pkg_flags(p) & PKG_UNPROVEN) != 0,
		.method = method == PKG_AUTO ? PKG_HARDLINK : method };
	int rc;
	if (from < 0 && errno == ENOENT)
		rc = err_set(e, ERR_NOTFOUND, "store %s: " STR_FMT "@" STR_FMT " is gone; the package is fetched again",
			s->dir, STR_ARG(pkg_name(p)), STR_ARG(pkg_version(p)));
	else if (from < 0)
		rc = err_os(e, "open %s/pkgs/%s", s->dir, path);
	else
		rc = link_all(&l, e);
	if (rc == ERR_NOTFOUND || rc == ERR_INTEGRITY) {
		log_info("store", "%s", e->msg);
		kv_del_if(s->kv, STORE_PKG_TABLE, pkg_key(p), (str){ (const char *)p.p, p.n });
	}
	if (rc == 0 && l.unproven)
		package_proven(s, p);
	if (stats) {
		stats->dirs += l.n.dirs;
		stats->links += l.n.links;
		stats->clones += l.n.clones;
		stats->copies += l.n.copies;
		stats->bytes_copied += l.n.bytes_copied;
		stats->misfits += l.n.misfits;
		stats->refused = l.n.refused ? l.n.refused : stats->refused;
	}
	return rc;
}
