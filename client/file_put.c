#include "file_put.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct staged {
	struct job job; /* first */
	int dirfd, fd;  /* fd -1: not written */
	bool durable;
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

/* One name for all: what an install that was killed has left is the next one's to replace or to remove. */
static void tmp_name(char out[4096], const char *path)
{
	snprintf(out, 4096, "%s.dray.tmp", path);
}

/* 1: PATH is to be replaced, 0: it has TEXT already. */
static int must_replace(int dirfd, const char *path, str text, struct err *e)
{
	char tmp[4096];
	struct stat st;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		return err_set(e, ERR_IO, "%s is a symlink: refusing to replace it", path);
	if (!file_is(dirfd, path, text))
		return 1;
	tmp_name(tmp, path);
	unlinkat(dirfd, tmp, 0);
	return 0;
}

int file_put(int dirfd, const char *path, str text, bool durable, struct err *e)
{
	char tmp[4096];
	int code = must_replace(dirfd, path, text, e);

	if (code <= 0)
		return code;
	tmp_name(tmp, path);
	AUTO(fs_close_auto) int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return err_os(e, "create %s", tmp);
	if (fs_write_all(fd, text.p, text.n) != 0) {
		err_os(e, "write %s", tmp);
		goto fail;
	}
	if ((durable && fsync(fd) != 0) || renameat(dirfd, tmp, dirfd, path) != 0) {
		err_os(e, "replace %s", path);
		goto fail;
	}
	return 1;
fail:
	unlinkat(dirfd, tmp, 0);
	return e->code;
}

/* ---- early ---- */

/* An error here is none: staged_put() meets it again, and says so. */
static void staged_run(struct job *j)
{
	struct staged *s = (struct staged *)j;

	lockfile_print(&s->text, s->lf);
	s->fd = openat(s->dirfd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
	if (s->fd >= 0 && (fs_write_all(s->fd, s->text.p, s->text.n) != 0 || (s->durable && fsync(s->fd) != 0))) {
		close(s->fd);
		s->fd = -1;
	}
}

static void staged_done(struct job *j, void *ctx)
{
	(void)j;
	(void)ctx;
}

struct staged *staged_lockfile(struct pool *pool, int dirfd, const struct lockfile *lf, bool durable)
{
	struct staged *s = xcalloc(1, sizeof(*s));

	s->job = (struct job){ .run = staged_run, .done = staged_done, .patient = true };
	s->dirfd = dirfd;
	s->fd = -1;
	s->durable = durable;
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
	char tmp[4096], self[64];
	int code = must_replace(dirfd, path, buf_str(&s->text), e);

	if (code <= 0)
		return code;
	tmp_name(tmp, path);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
	unlinkat(dirfd, tmp, 0);
	if (s->fd < 0 || linkat(AT_FDCWD, self, dirfd, tmp, AT_SYMLINK_FOLLOW) != 0)
		return file_put(dirfd, path, buf_str(&s->text), s->durable, e);
	if (renameat(dirfd, tmp, dirfd, path) == 0)
		return 1;
	err_os(e, "replace %s", path);
	unlinkat(dirfd, tmp, 0);
	return e->code;
}

void staged_free(struct staged *s)
{
	if (!s)
		return;
	fs_close_auto(&s->fd);
	buf_release(&s->text);
	free(s);
}
