#include "import_pack.h"
#include "fs.h"
#include "import.h"
#include "pack_stream.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The content of an earlier file of this package, once more. */
static int copy_same(struct import *im, const struct pack_row *row, struct err *e)
{
	uint8_t buf[64 * 1024];
	uint64_t at = 0;
	char room[STORE_FILE_NAME];
	int rc = 0;

	const char *name = store_file_name(room, im->file.p[map_get(&im->by_path, row->same->path)].num);
	AUTO(fs_close_auto) int fd = fs_open(im->fd, name, O_RDONLY, 0);
	while (rc == 0 && at < row->n) {
		ssize_t n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), (off_t)at);
		if (n == 0)
			rc = err_set(e, ERR_IO, "copy " STR_FMT " of " STR_FMT " in store %s: it became shorter",
				STR_ARG(row->path), STR_ARG(im->label), im->s->dir);
		else if (n < 0 || fs_write_all(im->out, buf, (size_t)n) != 0)
			rc = err_os(e, "copy " STR_FMT " of " STR_FMT " in store %s", STR_ARG(row->path),
				STR_ARG(im->label), im->s->dir);
		else if (im->keep)
			buf_add(&im->manifest, (str){ (const char *)buf, (size_t)n });
		at += n > 0 ? (uint64_t)n : 0;
	}
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

/* The table's digest stands for the content: the pack's own, which covers the table, is compared before anything is
 * believed. A delta has CRCs, of what came out. */
static int put_row(void *arg, const struct pack_row *row, struct err *e)
{
	struct import *im = arg;

	if (row->at == 0 && import_file_begin(im, row->path, row->n, row->exec, e) < 0)
		return e->code;
	if ((row->same ? copy_same(im, row, e) : put_bytes(im, row, e)) < 0)
		return e->code;
	if (!row->same && row->at + row->len < row->n)
		return 0;
	im->crc = !row->sha256;
	im->sum = row->crc;
	if (row->sha256)
		memcpy(im->file.p[im->cur].sha256, row->sha256, sizeof(im->file.p[im->cur].sha256));
	return import_file_end(im, e);
}

/* The other version's files, read where the store has them; one stays open, since they are read in pieces. */
struct base_files {
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
	char room[STORE_FILE_NAME];

	if (base_row(&row, &i, b->p, path) < 0 || at > row.size || n > row.size - at)
		return err_set(e, ERR_INTEGRITY, "the version to build on has another " STR_FMT, STR_ARG(path));
	if (b->fd < 0 || b->open != i) {
		const char *name = store_file_name(room, row.num);
		fs_close(b->fd);
		b->fd = fs_open(b->dir, name, O_RDONLY, 0);
		b->open = i;
	}
	for (size_t got = 0; got < n;) {
		ssize_t k = b->fd < 0 ? -1 : pread(b->fd, to + got, n - got, (off_t)(at + got));
		if (k == 0 || (b->fd < 0 && errno == ENOENT))
			return err_set(e, ERR_INTEGRITY, "the store lost " STR_FMT " of the version to build on",
				STR_ARG(path));
		if (k < 0)
			return err_os(e, "read " STR_FMT " of the version to build on", STR_ARG(path));
		got += (size_t)k;
	}
	return 0;
}

struct pack_import {
	struct import *im;
	struct base_files base;
	struct pack_base read;
	struct pack_stream_opts o;
	struct pack_stream *stream;
};

static int base_open(struct pack_import *pi, struct pkg base, struct err *e)
{
	char path[PKG_ID * 2 + 2];

	store_pkg_path(path, pkg_id(base));
	pi->base.p = base;
	pi->base.dir = fs_open_dir(pi->im->s->pkgs_fd, path);
	if (pi->base.dir < 0 && errno != ENOENT)
		return err_os(e, "open the version that " STR_FMT " builds on", STR_ARG(pi->im->label));
	if (pi->base.dir < 0)
		return err_set(e, ERR_INTEGRITY, "the store lost the version that " STR_FMT " builds on",
			STR_ARG(pi->im->label));
	pi->read = (struct pack_base){ &pi->base, base_read };
	pi->o.base = &pi->read;
	return 0;
}

int pack_import_new(
	struct pack_import **out, struct store *s, const struct import_opts *o, const struct pkg *base, struct err *e)
{
	struct pack_import *pi = xcalloc(1, sizeof(*pi));

	pi->base.dir = pi->base.fd = -1;
	if (import_new(&pi->im, s, o, e) < 0 || (base && base_open(pi, *base, e) < 0)) {
		pack_import_free(pi);
		return e->code;
	}
	pi->o.label = pi->im->label;
	pi->o.flags = PACK_PIECES;
	pi->o.scratch = o->pack_scratch;
	pi->o.fn = put_row;
	pi->o.arg = pi->im;
	pi->stream = pack_stream_new(&pi->o);
	*out = pi;
	return 0;
}

int pack_import_add(struct pack_import *pi, const void *p, size_t n, struct err *e)
{
	return pack_stream_add(pi->stream, p, n, e);
}

int pack_import_end(struct pack_import *pi, const uint8_t digest[32], struct pkg *out, struct err *e)
{
	if (pack_stream_end(pi->stream, digest, e) < 0)
		return e->code;
	return import_publish(pi->im, out, e);
}

bool pack_import_is_delta(const struct pack_import *pi)
{
	return pack_stream_is_delta(pi->stream);
}

void pack_import_free(struct pack_import *pi)
{
	if (!pi)
		return;
	pack_stream_free(pi->stream);
	fs_close(pi->base.fd);
	fs_close(pi->base.dir);
	import_abort(pi->im);
	free(pi);
}

int import_delta(struct store *s, const struct import_opts *o, struct pkg base, const uint8_t digest[32], const void *p,
	size_t n, struct pkg *out, struct err *e)
{
	struct pack_import *pi;
	int rc = pack_import_new(&pi, s, o, &base, e);

	if (rc < 0)
		return rc;
	rc = pack_stream_all(&pi->o, p, n, digest, e);
	if (rc == 0)
		rc = import_publish(pi->im, out, e);
	pack_import_free(pi);
	return rc;
}

int import_pack(struct store *s, const struct import_opts *o, const uint8_t digest[32], const void *p, size_t n,
	struct pkg *out, struct err *e)
{
	struct import *im;

	if (import_new(&im, s, o, e) < 0)
		return e->code;
	struct pack_stream_opts po = {
		.label = im->label, .flags = PACK_PIECES, .scratch = o->pack_scratch, .fn = put_row, .arg = im
	};
	int rc = pack_stream_all(&po, p, n, digest, e);
	if (rc == 0)
		rc = import_publish(im, out, e);
	import_abort(im);
	return rc;
}
