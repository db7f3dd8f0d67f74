/* nospace — for LD_PRELOAD: a disk that is full from the NOSPACE_AT-th call on that would take room on it.
 * NOSPACE_SAW names a file that gets a byte when that has happened. Only what a program calls itself is seen, not
 * what the C library does inside. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

static void saw(void)
{
	const char *path = getenv("NOSPACE_SAW");
	long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (fd >= 0) {
		(void)syscall(SYS_write, fd, "x", 1);
		(void)syscall(SYS_close, fd);
	}
}

static bool full(void)
{
	const char *at = getenv("NOSPACE_AT");

	if (!at || atomic_fetch_add(&calls, 1) + 1 < atol(at))
		return false;
	saw();
	errno = ENOSPC;
	return true;
}

/* Sockets, pipes and eventfds take no room. */
static bool full_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && full();
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	return full() ? -1 : (int)syscall(SYS_mkdirat, fd, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int linkat(int from, const char *a, int to, const char *b, int flags)
{
	return full() ? -1 : (int)syscall(SYS_linkat, from, a, to, b, flags);
}

int symlinkat(const char *target, int fd, const char *path)
{
	return full() ? -1 : (int)syscall(SYS_symlinkat, target, fd, path);
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int openat(int fd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_list ap;
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) && full())
		return -1;
	return (int)syscall(SYS_openat, fd, path, flags, mode);
}

ssize_t write(int fd, const void *p, size_t n)
{
	return full_file(fd) ? -1 : syscall(SYS_write, fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return full_file(fd) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	return full_file(fd) ? -1 : syscall(SYS_writev, fd, v, n);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t);

	*(void **)&real = dlsym(RTLD_NEXT, "pwritev");
	return full_file(fd) ? -1 : real(fd, v, n, at);
}

int ftruncate(int fd, off_t n)
{
	return full_file(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}
