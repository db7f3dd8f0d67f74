#include "fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#define FAULT(op) (fs_fault && (errno = fs_fault(op)) != 0)

int fs_std(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) /* children have it, too: no O_CLOEXEC */
			return -1;
	}
	return 0;
}

int fs_open(int dirfd, const char *path, int flags, mode_t mode)
{
	if (FAULT("open"))
		return -1;
	return openat(dirfd, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

int fs_open_dir(int dirfd, const char *path)
{
	return fs_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
}

DIR *fs_list(int dirfd, const char *path)
{
	int fd = fs_open_dir(dirfd, path);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		fs_close(fd);
	return d;
}

int fs_mkdir(int dirfd, const char *path, mode_t mode)
{
	return FAULT("mkdir") ? -1 : mkdirat(dirfd, path, mode);
}

int fs_link(int fromfd, const char *from, int tofd, const char *to)
{
	return FAULT("link") ? -1 : linkat(fromfd, from, tofd, to, 0);
}

int fs_rename(int fromfd, const char *from, int tofd, const char *to)
{
	return FAULT("rename") ? -1 : renameat(fromfd, from, tofd, to);
}

int fs_unlink(int dirfd, const char *path, int flags)
{
	return FAULT("unlink") ? -1 : unlinkat(dirfd, path, flags);
}

int fs_stat(int dirfd, const char *path, struct stat *st)
{
	return FAULT("stat") ? -1 : fstatat(dirfd, path, st, AT_SYMLINK_NOFOLLOW);
}

struct dirent *fs_readdir(DIR *d)
{
	errno = 0;
	return FAULT("readdir") ? NULL : readdir(d);
}

bool fs_gone(const char *path)
{
	return (FAULT("access") || access(path, F_OK) != 0) && (errno == ENOENT || errno == ENOTDIR);
}

ssize_t fs_readlink(const char *path, char *out, size_t n)
{
	return FAULT("readlink") ? -1 : readlink(path, out, n);
}

int fs_lock(int fd, int how)
{
	return FAULT("flock") ? -1 : flock(fd, how);
}

int fs_sync(int fd)
{
	return FAULT("syncfs") ? -1 : syncfs(fd);
}

int fs_chmod(int fd, mode_t mode)
{
	return FAULT("chmod") ? -1 : fchmod(fd, mode);
}

int fs_set_mtime(int fd, int64_t sec)
{
	struct timespec t[2] = { { .tv_sec = sec }, { .tv_sec = sec } };

	return FAULT("utime") ? -1 : futimens(fd, t);
}

int fs_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	do {
		ssize_t w = FAULT("write") ? -1 : write(fd, at, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		at += w;
		n -= (size_t)w;
	} while (n > 0);
	return 0;
}

void fs_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void fs_close_auto(int *fd)
{
	fs_close(*fd);
}

bool path_safe(str path)
{
	enum { MAX_PATH = 4000, MAX_DEPTH = 128 };
	size_t depth = 0;

	if (path.n == 0 || path.n > MAX_PATH || memchr(path.p, 0, path.n) || memchr(path.p, '\\', path.n))
		return false;
	for (bool more = true; more; depth++) {
		str part, rest;
		more = str_cut(path, '/', &part, &rest);
		if (part.n == 0 || part.n > NAME_MAX || str_eq(part, STR(".")) || str_eq(part, STR("..")))
			return false;
		path = rest;
	}
	return depth <= MAX_DEPTH;
}

int fs_mkdir_p(int dirfd, const char *path, mode_t mode, struct err *e)
{
	char at[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(at))
		return err_set(e, ERR_TOOBIG, "path of %zu bytes is longer than %d: %.60s…", n, PATH_MAX - 1, path);
	if (fs_mkdir(dirfd, path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return err_os(e, "make directory %s", path);
	for (size_t i = 1; i <= n; i++) {
		if (i < n && path[i] != '/')
			continue;
		memcpy(at, path, i);
		at[i] = 0;
		if (fs_mkdir(dirfd, at, mode) != 0 && errno != EEXIST)
			return err_os(e, "make directory %s", at);
	}
	return 0;
}

int fs_write_file(int dirfd, const char *name, str data, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	uint64_t salt = 0;

	if (getrandom(&salt, sizeof(salt), 0) < 0)
		return err_os(e, "getrandom");
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp-%016llx", name, (unsigned long long)salt);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return err_set(e, ERR_TOOBIG, "the path %.60s… is longer than %d bytes", name, PATH_MAX - 1);
	int fd = fs_open(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return err_os(e, "create %s", tmp);
	bool ok = fs_write_all(fd, data.p, data.n) == 0;
	if (!ok)
		err_os(e, "write %s", tmp);
	fs_close(fd);
	if (ok && fs_rename(dirfd, tmp, dirfd, name) != 0) {
		err_os(e, "rename %s to %s", tmp, name);
		ok = false;
	}
	if (!ok)
		unlinkat(dirfd, tmp, 0);
	return ok ? 0 : e->code;
}

int fs_read_file(struct buf *out, int dirfd, const char *name, size_t max, struct err *e)
{
	AUTO(fs_close_auto) int fd = fs_open(dirfd, name, O_RDONLY, 0);
	size_t had = out->n;

	if (fd < 0) {
		err_os(e, "open %s", name);
		return e->code = e->os == ENOENT ? ERR_NOTFOUND : e->code;
	}
	for (;;) {
		enum { STEP = 65536 };
		char *to = buf_reserve(out, STEP);
		ssize_t n = FAULT("read") ? -1 : read(fd, to, STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read %s", name);
		if (n == 0)
			return 0;
		out->n += (size_t)n;
		if (out->n - had > max)
			return err_set(e, ERR_TOOBIG, "%s is larger than %zu bytes", name, max);
	}
}

/* copy_file_range() does it in the kernel where it can. 1: not here; some file systems and pairs of them cannot (EXDEV,
 * EOPNOTSUPP, EINVAL), and some pretend that there is nothing to copy. */
static int copy_within_kernel(int in, int out)
{
	for (bool any = false;; any = true) {
		ssize_t n = FAULT("write") ? -1 : copy_file_range(in, NULL, out, NULL, 1u << 30, 0);
		if (n < 0 && !any && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS))
			return 1;
		if (n < 0)
			return -1;
		if (n == 0)
			return any ? 0 : 1;
	}
}

static int copy_bytes(int in, int out)
{
	char block[65536];
	int rc = copy_within_kernel(in, out);

	if (rc <= 0)
		return rc;
	for (;;) {
		ssize_t n = FAULT("read") ? -1 : read(in, block, sizeof(block));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (fs_write_all(out, block, (size_t)n) != 0)
			return -1;
	}
}

int fs_copy(int fromfd, const char *from, int tofd, const char *to, mode_t mode, bool try_clone, enum fs_copied *how)
{
	AUTO(fs_close_auto) int in = fs_open(fromfd, from, O_RDONLY, 0);
	if (in < 0)
		return -1;
	AUTO(fs_close_auto) int out = fs_open(tofd, to, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (out < 0)
		return -1;
	bool cloned = try_clone && !FAULT("clone") && ioctl(out, FICLONE, in) == 0;
	if ((!cloned && copy_bytes(in, out) != 0) || fs_chmod(out, mode) != 0) {
		int os = errno;
		unlinkat(tofd, to, 0);
		errno = os;
		return -1;
	}
	if (how)
		*how = cloned ? FS_CLONED : FS_COPIED;
	return 0;
}

int fs_umask(mode_t *out, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	if (fs_read_file(&b, AT_FDCWD, "/proc/self/status", 65536, e) < 0)
		return err_ctx(e, "umask");
	size_t at = str_find_str(buf_str(&b), STR("\nUmask:\t"), 0);
	if (at == SIZE_MAX)
		return err_set(e, ERR_UNSUPPORTED, "/proc/self/status has no line Umask: Linux 4.7 or later is needed");
	*out = 0;
	for (at += strlen("\nUmask:\t"); at < b.n && b.p[at] >= '0' && b.p[at] <= '7'; at++)
		*out = (*out << 3 | (mode_t)(b.p[at] - '0')) & 0777;
	return 0;
}

int fs_boot_id(struct buf *out, struct err *e)
{
	if (fs_read_file(out, AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, e) < 0)
		return err_ctx(e, "boot id");
	while (out->n > 0 && out->p[out->n - 1] == '\n')
		out->n--;
	return 0;
}

/* A directory's handle; access that its modes deny is taken (modes of directories are nobody else's,
 * those of files are shared). */
static DIR *dir_open(int dirfd, const char *name)
{
	DIR *d = fs_list(dirfd, name);

	if (!d && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		d = fs_list(dirfd, name);
	return d;
}

/* 0: SUB, no directory as far as its folder says, is gone. Else errno says why not. */
static int unlink_in(DIR *d, const char *sub)
{
	int r = fs_unlink(dirfd(d), sub, 0);

	if (r != 0 && errno == EACCES && fchmod(dirfd(d), 0700) == 0)
		r = fs_unlink(dirfd(d), sub, 0);
	return r != 0 && errno == ENOENT ? 0 : r;
}

static int remove_in(int at, const char *name, unsigned depth, struct err *e)
{
	enum { MAX_DEPTH = 1024 };

	if (depth > MAX_DEPTH)
		return err_set(e, ERR_TOOBIG, "%s is nested deeper than %d directories", name, MAX_DEPTH);
	DIR *d = dir_open(at, name);
	if (!d)
		return errno == ENOENT ? 0 : err_os(e, "open directory %s", name);
	int rc = 0;
	for (struct dirent *de; rc == 0 && (de = readdir(d));) {
		const char *sub = de->d_name;
		if (strcmp(sub, ".") == 0 || strcmp(sub, "..") == 0)
			continue;
		if (de->d_type != DT_DIR && unlink_in(d, sub) == 0)
			continue;
		if (de->d_type == DT_DIR || errno == EISDIR)
			rc = remove_in(dirfd(d), sub, depth + 1, e);
		else
			rc = err_os(e, "remove %s/%s", name, sub);
	}
	closedir(d);
	if (rc == 0 && fs_unlink(at, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		rc = err_os(e, "remove directory %s", name);
	return rc;
}

int fs_remove_tree(int dirfd, const char *name, struct err *e)
{
	if (fs_unlink(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_os(e, "remove %s", name);
	return remove_in(dirfd, name, 0, e);
}
