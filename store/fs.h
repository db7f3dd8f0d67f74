/* fs — system calls on files, relative to directory descriptors, with errors that name the path.
 *
 * Owns nothing. Any thread. Every call that can fail passes through one seam,
 * fs_fault(), which tests define to make the n-th call fail; an ordinary
 * program has no such function and pays a compare. No function here follows a
 * symbolic link in the last component of a path, but fs_gone(). */
#pragma once
#include "base/base.h"
#include <dirent.h>
#include <sys/stat.h>

/* Defined by tests only: returns 0, or the errno that the next call OP ("open", "write", "link", …) shall fail with. */
int fs_fault(const char *op) __attribute__((weak));

/* Thin: 0 or a descriptor, else -1 and errno, as the system call of that name. */
int fs_open(int dirfd, const char *path, int flags, mode_t mode);
int fs_open_dir(int dirfd, const char *path);
DIR *fs_list(int dirfd, const char *path); /* a folder from its first entry on; NULL: errno */
int fs_mkdir(int dirfd, const char *path, mode_t mode);
int fs_link(int fromfd, const char *from, int tofd, const char *to);
int fs_rename(int fromfd, const char *from, int tofd, const char *to);
int fs_unlink(int dirfd, const char *path, int flags);
int fs_stat(int dirfd, const char *path, struct stat *st);
struct dirent *fs_readdir(DIR *d); /* NULL: the end, and errno is 0, or an error */
bool fs_gone(const char *path);    /* nothing is there; what cannot be looked at is not gone */
ssize_t fs_readlink(const char *path, char *out, size_t n);
int fs_lock(int fd, int how); /* flock(2) */
int fs_sync(int fd);          /* syncfs(2) */
int fs_chmod(int fd, mode_t mode);
/* Sets both times to SEC seconds and no nanoseconds. */
int fs_set_mtime(int fd, int64_t sec);
/* All N bytes, however many writes it takes. */
int fs_write_all(int fd, const void *p, size_t n);
void fs_close(int fd);
/* For AUTO(): closes unless negative. */
void fs_close_auto(int *fd);

/* Whether PATH is a relative path that stays where it is joined: components of 1 to 255 bytes, none of them "." or
 * "..", no NUL, no backslash, at most 4,000 bytes and 128 components. */
bool path_safe(str path);

/* Makes PATH and its missing parents. ERR_IO, ERR_NOSPACE. */
MUST_USE int fs_mkdir_p(int dirfd, const char *path, mode_t mode, struct err *e);
/* Puts DATA under NAME by writing NAME.tmp-… beside it and renaming. No sync. */
MUST_USE int fs_write_file(int dirfd, const char *name, str data, mode_t mode, struct err *e);
/* Appends the file to OUT. ERR_NOTFOUND when there is none, ERR_TOOBIG past MAX bytes. */
MUST_USE int fs_read_file(struct buf *out, int dirfd, const char *name, size_t max, struct err *e);

/* Opens /dev/null for what is closed of descriptors 0 to 2: the next file that is opened would be one of them, and what
 * is printed would be written into it. First of all. -1 and errno. */
int fs_std(void);

enum fs_copied { FS_CLONED, FS_COPIED };
/* A new file TO with FROM's bytes: shared extents where the file system can (and TRY_CLONE), else copied. Refuses to
 * overwrite. -1 and errno, and then there is no TO. *HOW (may be NULL) tells which. */
int fs_copy(int fromfd, const char *from, int tofd, const char *to, mode_t mode, bool try_clone, enum fs_copied *how);

/* What this process takes from the modes of new files. umask() itself cannot be asked without setting it, which other
 * threads would notice. */
MUST_USE int fs_umask(mode_t *out, struct err *e);
/* Appends what names this life of the machine to OUT: what was written in another one and not synced may be lost. */
MUST_USE int fs_boot_id(struct buf *out, struct err *e);

/* Removes NAME and everything below. Never follows a link; gives itself access to directories (only) where it must.
 * What is already gone is no error. */
MUST_USE int fs_remove_tree(int dirfd, const char *name, struct err *e);
