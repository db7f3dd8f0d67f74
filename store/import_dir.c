/* import_directory(): a folder of the user's as a package. As pnpm does for "file:" directories: every file except what
 * lies below a node_modules; links are followed while they stay inside, broken ones left out. */
#include "fs.h"
#include "import.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_DEPTH = 128 };

struct walk {
	struct import *im;
	int root;
	uint64_t left; /* bytes that may still come */
	uint32_t entries, max_entries;
	struct buf path; /* relative to root */
};
struct above { /* the directories that lead to this one: a link back to one of them is not followed */
	const struct above *up;
	dev_t dev;
	ino_t ino;
	unsigned depth;
};

/* Follows links, never out of ROOT: EXDEV then. */
static int open_beneath(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int file_take(struct walk *w, int fd, const struct stat *st, struct err *e)
{
	uint8_t block[65536];
	uint64_t left = (uint64_t)st->st_size;
	str path = buf_str(&w->path);

	path.n--; /* its NUL */
	if (left > w->left)
		return err_set(e, ERR_TOOBIG, STR_FMT ": its files are larger than the limit of all together",
			STR_ARG(w->im->label));
	w->left -= left;
	if (import_file_begin(w->im, path, left, (st->st_mode & 0111) != 0, e) < 0)
		return e->code;
	while (left > 0) {
		ssize_t n = read(fd, block, left < sizeof(block) ? (size_t)left : sizeof(block));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read " STR_FMT " of " STR_FMT, STR_ARG(path), STR_ARG(w->im->label));
		if (n == 0)
			return err_set(e, ERR_BUSY, STR_FMT " of " STR_FMT " became shorter while it was copied",
				STR_ARG(path), STR_ARG(w->im->label));
		if (import_file_data(w->im, block, (size_t)n, e) < 0)
			return e->code;
		left -= (uint64_t)n;
	}
	return import_file_end(w->im, e);
}

static int dir_take(struct walk *w, int fd, const struct above *up, struct err *e);

/* w->path ends in a NUL that counts. */
static int entry_take(struct walk *w, const struct above *up, struct err *e)
{
	struct stat st;
	str path = str_head(buf_str(&w->path), w->path.n - 1);

	if (!path_safe(path))
		return err_set(e, ERR_TOOBIG,
			"a path of " STR_FMT " is too long, too deep or has a backslash: " STR_FMT,
			STR_ARG(w->im->label), STR_ARG(str_head(path, 200)));
	if (++w->entries > w->max_entries)
		return err_set(e, ERR_TOOBIG, STR_FMT ": more than %u files", STR_ARG(w->im->label), w->max_entries);
	AUTO(fs_close_auto) int fd = open_beneath(w->root, w->path.p);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
		return 0; /* a broken link, or a socket */
	if (fd < 0 && errno == EXDEV)
		return err_set(e, ERR_POLICY, STR_FMT " of " STR_FMT " is a link that leads out of the directory",
			STR_ARG(path), STR_ARG(w->im->label));
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open " STR_FMT " of " STR_FMT, STR_ARG(path), STR_ARG(w->im->label));
	if (S_ISREG(st.st_mode))
		return file_take(w, fd, &st, e);
	if (!S_ISDIR(st.st_mode))
		return 0;
	for (const struct above *a = up; a; a = a->up)
		if (a->dev == st.st_dev && a->ino == st.st_ino)
			return 0;
	struct above here = { up, st.st_dev, st.st_ino, up->depth + 1 };
	if (here.depth > MAX_DEPTH)
		return err_set(e, ERR_TOOBIG, STR_FMT ": more than %d levels", STR_ARG(w->im->label), MAX_DEPTH);
	return dir_take(w, fd, &here, e);
}

/* FD is a directory whose path (with its NUL) is in w->path, or the root and that is empty. */
static int dir_take(struct walk *w, int fd, const struct above *up, struct err *e)
{
	DIR *d = fs_list(fd, ".");
	size_t base = w->path.n;
	int rc = 0;

	if (!d)
		return err_os(e, "read a directory of " STR_FMT, STR_ARG(w->im->label));
	for (struct dirent *de; rc == 0 && (de = fs_readdir(d));) {
		str name = str_of(de->d_name);
		if (str_eq(name, STR(".")) || str_eq(name, STR("..")) || str_eq(name, STR("node_modules")))
			continue;
		w->path.n = base;
		if (base > 0)
			w->path.p[base - 1] = '/';
		buf_add(&w->path, name);
		buf_addc(&w->path, 0);
		rc = entry_take(w, up, e);
	}
	if (rc == 0 && errno) /* what is behind would be missing in the package */
		rc = err_os(e, "read a directory of " STR_FMT, STR_ARG(w->im->label));
	closedir(d);
	return rc;
}

int import_directory(struct store *s, const struct import_opts *o, int dirfd, struct pkg *out, struct err *e)
{
	struct import *im;
	struct stat st;

	if (o->sri.n > 0)
		return err_set(
			e, ERR_USAGE, "a directory has no integrity that could be verified: " STR_FMT, STR_ARG(o->key));
	if (fstat(dirfd, &st) != 0)
		return err_os(e, "stat the directory of " STR_FMT, STR_ARG(o->key));
	if (import_new(&im, s, o, e) < 0)
		return e->code;
	im->as_it_is = true;
	struct walk w = { .im = im,
		.root = dirfd,
		.left = o->max_unpacked ? o->max_unpacked : (uint64_t)4 << 30,
		.max_entries = o->max_entries ? o->max_entries : 500000 };
	int rc = dir_take(&w, dirfd, &(struct above){ .dev = st.st_dev, .ino = st.st_ino }, e);
	buf_release(&w.path);
	if (rc == 0)
		rc = import_publish(im, out, e);
	import_abort(im);
	return rc;
}
