#include "verify_folder.h"
#include "fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integrity.h"

/* A tarball's paths have no more: what is deeper is extra, and not gone into. */
enum { DEPTH_MAX = 130, PATH_ROOM = 4096 };

struct folder {
	struct differences *out;
	struct pkg p;
	struct map by_path;
	bool *seen;
	char path[PATH_ROOM]; /* of what is being looked at, below the package */
};

void differences_release(struct differences *d)
{
	free(d->d);
	*d = (struct differences){ 0 };
}

void difference_add(struct differences *out, str path, const char *what)
{
	if (!out->d)
		out->d = xcalloc(VERIFY_LISTED, sizeof(*out->d));
	if (out->n < VERIFY_LISTED) {
		struct difference *d = &out->d[out->n];
		snprintf(d->path, sizeof(d->path), STR_FMT, STR_ARG(path));
		d->what = what;
	}
	out->n++;
}

static int content_same(bool *same, struct folder *f, int dirfd, const char *name, const uint8_t sha[32], struct err *e)
{
	uint8_t block[65536];
	struct digest d;
	ssize_t n = 0;

	AUTO(fs_close_auto) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_os(e, "open %s", f->path);
	struct hasher *h = hasher_new(DIGEST_SHA256);
	while ((n = read(fd, block, sizeof(block))) > 0) {
		hasher_add(h, block, (size_t)n);
		f->out->bytes += (uint64_t)n;
	}
	hasher_end(h, &d);
	hasher_free(h);
	*same = memcmp(d.b, sha, 32) == 0;
	return n < 0 ? err_os(e, "read %s", f->path) : 0;
}

static int file_compare(struct folder *f, int dirfd, const char *name, const struct stat *st, struct err *e)
{
	str path = str_of(f->path), ignored;
	uint32_t i = map_get(&f->by_path, path);
	const uint8_t *sha;
	uint64_t size;
	bool exec, same = true;

	if (i == MAP_NONE) {
		difference_add(f->out, path, "extra");
		return 0;
	}
	f->seen[i] = true;
	if (!S_ISREG(st->st_mode)) {
		difference_add(f->out, path, "not a file");
		return 0;
	}
	pkg_file(f->p, i, &ignored, &size, &exec, &sha);
	f->out->files++;
	if ((uint64_t)st->st_size != size)
		same = false;
	else if (size && content_same(&same, f, dirfd, name, sha, e) < 0)
		return e->code;
	if (!same)
		difference_add(f->out, path, "changed");
	else if (exec != !!(st->st_mode & S_IXUSR))
		difference_add(f->out, path, exec ? "mode: not executable" : "mode: executable");
	return 0;
}

static int folder_walk(struct folder *f, int dirfd, size_t at, unsigned depth, struct err *e);

/* One entry of the folder whose path ends at AT. */
static int entry_compare(struct folder *f, int dirfd, const char *name, size_t at, unsigned depth, struct err *e)
{
	struct stat st;
	int n = snprintf(f->path + at, PATH_ROOM - at, "%s%s", at ? "/" : "", name);

	if (n < 0 || (size_t)n >= PATH_ROOM - at) {
		difference_add(f->out, str_of(f->path), "extra");
		return 0;
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_os(e, "stat %s", f->path);
	if (!S_ISDIR(st.st_mode))
		return file_compare(f, dirfd, name, &st, e);
	if (strcmp(f->path, "node_modules/.bin") == 0)
		return 0;
	if (depth == DEPTH_MAX) {
		difference_add(f->out, str_of(f->path), "extra");
		return 0;
	}
	AUTO(fs_close_auto) int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_os(e, "open %s", f->path) : folder_walk(f, fd, at + (size_t)n, depth + 1, e);
}

static int folder_walk(struct folder *f, int dirfd, size_t at, unsigned depth, struct err *e)
{
	int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 0), rc = 0;
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d) {
		rc = err_os(e, "read folder %s", f->path);
		if (copy >= 0)
			close(copy);
		return rc;
	}
	for (struct dirent *de; rc == 0 && (de = readdir(d));) {
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			rc = entry_compare(f, dirfd, de->d_name, at, depth, e);
		f->path[at] = 0;
	}
	closedir(d);
	return rc;
}

static void missing_add(struct folder *f)
{
	for (uint32_t i = 0; i < pkg_nfiles(f->p); i++) {
		const uint8_t *sha;
		uint64_t size;
		bool exec;
		str path;
		pkg_file(f->p, i, &path, &size, &exec, &sha);
		if (!f->seen[i])
			difference_add(f->out, path, "missing");
	}
}

int verify_folder(struct differences *out, int dirfd, const char *path, struct pkg p, struct err *e)
{
	struct folder f = { .out = out, .p = p };

	*out = (struct differences){ 0 };
	AUTO(fs_close_auto) int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		out->absent = true;
		return 0;
	}
	if (fd < 0)
		return err_os(e, "open folder %s", path);
	f.seen = xcalloc(pkg_nfiles(p) + 1u, sizeof(bool));
	for (uint32_t i = 0; i < pkg_nfiles(p); i++) {
		const uint8_t *sha;
		uint64_t size;
		bool exec;
		str file;
		pkg_file(p, i, &file, &size, &exec, &sha);
		map_set(&f.by_path, file, i);
	}
	int rc = folder_walk(&f, fd, 0, 0, e);
	if (rc == 0)
		missing_add(&f);
	map_release(&f.by_path);
	free(f.seen);
	return rc < 0 ? err_ctx(e, "%s", path) : 0;
}
