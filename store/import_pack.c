#include "import_pack.h"
#include "fs.h"
#include "import.h"
#include "pack.h"

/* The table's digest stands for the content: the pack's own, which covers the table, was checked before. */
static int put_row(void *arg, const struct pack_row *row, struct err *e)
{
	struct import *im = arg;

	if (import_file_begin(im, row->path, row->n, row->exec, e) < 0)
		return e->code;
	if (row->n > 0 && im->keep)
		buf_add(&im->manifest, (str){ (const char *)row->p, (size_t)row->n });
	if (row->n > 0 && fs_write_all(im->out, row->p, (size_t)row->n) != 0)
		return err_os(e, "write " STR_FMT " of " STR_FMT " in store %s", STR_ARG(row->path), STR_ARG(im->label),
			im->s->dir);
	memcpy(im->file.p[im->cur].sha256, row->sha256, sizeof(im->file.p[im->cur].sha256));
	return import_file_end(im, e);
}

int import_pack(struct store *s, const struct import_opts *o, const uint8_t digest[32], const void *p, size_t n,
	struct pkg *out, struct err *e)
{
	struct import *im;

	if (import_new(&im, s, o, e) < 0)
		return e->code;
	int rc = pack_unpack(p, n, digest, im->label, false, put_row, im, e);
	if (rc == 0)
		rc = import_publish(im, out, e);
	import_abort(im);
	return rc;
}
