#include "file_put.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TMP_TRIES = 200, /* two for each name that is taken */
	TMP_GAP = 3,     /* names that are free, after which there are no more */
};

struct staged {
	struct job job; /* first */
	int dirfd, fd;  /* fd -1: not written */
	bool own;
	const struct lockfile *lf;
	struct buf text;
};

static bool file_is(int dirfd, const char *path, str text)
{
	struct stat st;

	AUTO(fs_close_auto) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0 || (uint64_t)st.st_size != text.n)
		return false;
	char *p = xmalloc(text.n);
	bool same = read(fd, p, text.n) == (ssize_t)text.n && (text.n == 0 || memcmp(p, text.p, text.n) == 0);
	free(p);
	return same;
}

static void tmp_name(char tmp[4096], const char *path, unsigned i)
{
	snprintf(tmp, 4096, "%s.%u.dray.tmp", path, i);
}

static bool fd_is_at(int fd, int dirfd, const char *path)
{
	struct stat st, is;

	return fstat(fd, &st) == 0 && fstatat(dirfd, path, &is, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == is.st_ino &&
	       st.st_dev == is.st_dev;
}

/* Removes TMP if nobody holds its lock: whoever made it was killed. Only who holds it takes the name away. */
static bool tmp_left(int dirfd, const char *tmp)
{
	AUTO(fs_close_auto) int fd = openat(dirfd, tmp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fd_is_at(fd, dirfd, tmp) && unlinkat(dirfd, tmp, 0) == 0;
}

void file_put_clear(int dirfd, const char *path)
{
	char tmp[4096];

	for (unsigned i = 0, absent = 0; absent < TMP_GAP && i < TMP_TRIES / 2; i++) {
		tmp_name(tmp, path, i);
		absent = faccessat(dirfd, tmp, F_OK, AT_SYMLINK_NOFOLLOW) != 0 ? absent + 1 : 0;
		if (!absent)
			(void)tmp_left(dirfd, tmp);
	}
}

/* 1: PATH is to be replaced, 0: it has TEXT already. */
static int must_replace(int dirfd, const char *path, str text, bool own, struct err *e)
{
	struct stat st;

	if (own && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		return err_set(e, ERR_IO, "%s is a symlink and would be replaced: put the file itself there", path);
	file_put_clear(dirfd, path);
	return !file_is(dirfd, path, text);
}

/* A new file TMP with its lock. -1 and EEXIST: it is another's, or was taken for a leftover before it was locked. */
static int tmp_create(int dirfd, const char *tmp)
{
	int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return fd;
	bool judged = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; /* not every file system has locks */
	if (!judged && fd_is_at(fd, dirfd, tmp))
		return fd;
	close(fd);
	errno = EEXIST;
	return -1;
}

/* The file FD without a name gets the name PATH. False: something has it, or this cannot be done here. */
static bool fd_name(int fd, int dirfd, const char *path)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, dirfd, path, AT_SYMLINK_FOLLOW) == 0;
}

/* The file FD, or a new one where FD is -1, gets a name beside PATH that nobody else has. It is locked, so that what
 * one has left there that was killed is told from another writer's. The file; or -1 and errno. */
static int tmp_make(char tmp[4096], int dirfd, const char *path, int fd)
{
	if (fd >= 0)
		(void)flock(fd, LOCK_EX | LOCK_NB); /* nobody else knows it */
	for (unsigned i = 0; i < TMP_TRIES; i++) {
		int made;
		tmp_name(tmp, path, i / 2);
		if (fd >= 0)
			made = fd_name(fd, dirfd, tmp) ? fd : -1;
		else
			made = tmp_create(dirfd, tmp);
		if (made >= 0 || errno != EEXIST)
			return made;
		if (i % 2 || !tmp_left(dirfd, tmp))
			i |= 1; /* on to the next name */
	}
	errno = EEXIST;
	return -1;
}

static int tmp_rename(const char *tmp, int dirfd, const char *path, struct err *e)
{
	if (renameat(dirfd, tmp, dirfd, path) == 0)
		return 1;
	err_os(e, "replace %s", path);
	unlinkat(dirfd, tmp, 0);
	return e->code;
}

/* A file without a name that has TEXT, synced if it is the user's OWN: one that is killed leaves nothing. -1:
 * not on this file system. */
static int nameless(int dirfd, str text, bool own)
{
	int fd = openat(dirfd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);

	if (fd < 0 || (fs_write_all(fd, text.p, text.n) == 0 && (!own || fsync(fd) == 0)))
		return fd;
	close(fd);
	return -1;
}

int file_put(int dirfd, const char *path, str text, bool own, struct err *e)
{
	char tmp[4096];
	int code = must_replace(dirfd, path, text, own, e);

	if (code <= 0)
		return code;
	AUTO(fs_close_auto) int unnamed = nameless(dirfd, text, own);
	if (unnamed >= 0 && fd_name(unnamed, dirfd, path))
		return 1;
	if (unnamed >= 0 && tmp_make(tmp, dirfd, path, unnamed) >= 0)
		return tmp_rename(tmp, dirfd, path, e);
	AUTO(fs_close_auto) int fd = tmp_make(tmp, dirfd, path, -1);
	if (fd < 0)
		return err_os(e, "create %s", tmp);
	if (fs_write_all(fd, text.p, text.n) == 0 && (!own || fsync(fd) == 0))
		return tmp_rename(tmp, dirfd, path, e);
	err_os(e, "write %s", tmp);
	unlinkat(dirfd, tmp, 0);
	return e->code;
}

/* ---- early ---- */

/* An error here is none: staged_put() meets it again, and says so. */
static void staged_run(struct job *j)
{
	struct staged *s = (struct staged *)j;

	lockfile_print(&s->text, s->lf);
	s->fd = nameless(s->dirfd, buf_str(&s->text), s->own);
}

static void staged_done(struct job *j, void *ctx)
{
	(void)j;
	(void)ctx;
}

struct staged *staged_lockfile(struct pool *pool, int dirfd, const struct lockfile *lf, bool own)
{
	struct staged *s = xcalloc(1, sizeof(*s));

	s->job = (struct job){ .run = staged_run, .done = staged_done, .patient = true };
	s->dirfd = dirfd;
	s->fd = -1;
	s->own = own;
	s->lf = lf;
	pool_submit(pool, &s->job);
	return s;
}

str staged_text(const struct staged *s)
{
	return buf_str(&s->text);
}

int staged_put(struct staged *s, int dirfd, const char *path, struct err *e)
{
	char tmp[4096];
	int code = must_replace(dirfd, path, buf_str(&s->text), s->own, e);

	if (code <= 0)
		return code;
	if (s->fd >= 0 && fd_name(s->fd, dirfd, path))
		return 1;
	if (s->fd < 0 || tmp_make(tmp, dirfd, path, s->fd) < 0)
		return file_put(dirfd, path, buf_str(&s->text), s->own, e);
	return tmp_rename(tmp, dirfd, path, e);
}

void staged_free(struct staged *s)
{
	if (!s)
		return;
	fs_close_auto(&s->fd);
	buf_release(&s->text);
	free(s);
}
