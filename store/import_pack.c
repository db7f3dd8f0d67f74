#include "import_pack.h"
#include "fs.h"
#include "import.h"
#include "pack_delta.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The content of an earlier file of this package, once more. */
static int copy_same(struct import *im, const struct pack_row *row, struct err *e)
{
	enum { STEP = 256 * 1024 };
	uint8_t *buf = xmalloc(STEP);
	uint64_t at = 0;
	char name[12];
	int rc = 0;

	snprintf(name, sizeof(name), "%u", im->file.p[map_get(&im->by_path, row->same->path)].num);
	AUTO(fs_close_auto) int fd = fs_open(im->fd, name, O_RDONLY, 0);
	while (rc == 0 && at < row->n) {
		ssize_t n = fd < 0 ? -1 : pread(fd, buf, STEP, (off_t)at);
		if (n <= 0 || fs_write_all(im->out, buf, (size_t)n) != 0)
			rc = err_os(e, "copy " STR_FMT " of " STR_FMT " in store %s", STR_ARG(row->path),
				STR_ARG(im->label), im->s->dir);
		else if (im->keep)
			buf_add(&im->manifest, (str){ (const char *)buf, (size_t)n });
		at += n > 0 ? (uint64_t)n : 0;
	}
	free(buf);
	return rc;
}

static int put_bytes(struct import *im, const struct pack_row *row, struct err *e)
{
	if (row->len == 0)
		return 0;
	if (im->keep)
		buf_add(&im->manifest, (str){ (const char *)row->p, (size_t)row->len });
	if (fs_write_all(im->out, row->p, (size_t)row->len) != 0)
		return err_os(e, "write " STR_FMT " of " STR_FMT " in store %s", STR_ARG(row->path), STR_ARG(im->label),
			im->s->dir);
	return 0;
}

/* The table's digest stands for the content: the pack's own, which covers the table, was checked before. */
static int put_row(void *arg, const struct pack_row *row, struct err *e)
{
	struct import *im = arg;

	if (row->at == 0 && import_file_begin(im, row->path, row->n, row->exec, e) < 0)
		return e->code;
	if ((row->same ? copy_same(im, row, e) : put_bytes(im, row, e)) < 0)
		return e->code;
	if (!row->same && row->at + row->len < row->n)
		return 0;
	memcpy(im->file.p[im->cur].sha256, row->sha256, sizeof(im->file.p[im->cur].sha256));
	return import_file_end(im, e);
}

/* The other version's files, read where the store has them; one stays open, since they are read in pieces. */
struct base_files {
	struct store *s;
	struct pkg p;
	int dir, fd;
	uint32_t open; /* row of `fd` */
};

static int base_row(struct pkg_file_row *out, uint32_t *at, struct pkg p, str path)
{
	uint32_t low = 0, high = pkg_nfiles(p);

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		*out = pkg_file_row(p, mid);
		int c = str_cmp(out->path, path);
		*at = mid;
		if (c == 0)
			return 0;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

static int base_read(void *arg, str path, uint64_t at, uint8_t *to, size_t n, struct err *e)
{
	struct base_files *b = arg;
	struct pkg_file_row row;
	uint32_t i;
	char name[12];

	if (base_row(&row, &i, b->p, path) < 0 || at > row.size || n > row.size - at)
		return err_set(e, ERR_INTEGRITY, "the version to build on has another " STR_FMT, STR_ARG(path));
	if (b->fd < 0 || b->open != i) {
		snprintf(name, sizeof(name), "%u", row.num);
		fs_close(b->fd);
		b->fd = fs_open(b->dir, name, O_RDONLY, 0);
		b->open = i;
	}
	for (size_t got = 0; got < n;) {
		ssize_t k = b->fd < 0 ? -1 : pread(b->fd, to + got, n - got, (off_t)(at + got));
		if (k <= 0)
			return err_set(e, ERR_INTEGRITY, "the store lost " STR_FMT " of the version to build on",
				STR_ARG(path));
		got += (size_t)k;
	}
	return 0;
}

int import_delta(struct store *s, const struct import_opts *o, struct pkg base, const uint8_t digest[32], const void *p,
	size_t n, struct pkg *out, struct err *e)
{
	char path[PKG_ID * 2 + 2];
	struct import *im;

	if (import_new(&im, s, o, e) < 0)
		return e->code;
	store_pkg_path(path, pkg_id(base));
	struct base_files b = { .s = s, .p = base, .dir = fs_open_dir(s->pkgs_fd, path), .fd = -1 };
	int rc = b.dir < 0 ? err_set(e, ERR_INTEGRITY, "the store lost the version that " STR_FMT " builds on",
				     STR_ARG(im->label))
			   : 0;
	if (rc == 0)
		rc = pack_delta_apply(p, n, digest, im->label, &(struct pack_base){ &b, base_read }, put_row, im, e);
	if (rc == 0)
		rc = import_publish(im, out, e);
	fs_close(b.fd);
	fs_close(b.dir);
	import_abort(im);
	return rc;
}

int import_pack(struct store *s, const struct import_opts *o, const uint8_t digest[32], const void *p, size_t n,
	struct pkg *out, struct err *e)
{
	struct import *im;

	if (import_new(&im, s, o, e) < 0)
		return e->code;
	int rc = pack_unpack(p, n, digest, im->label, PACK_PIECES, put_row, im, e);
	if (rc == 0)
		rc = import_publish(im, out, e);
	import_abort(im);
	return rc;
}
