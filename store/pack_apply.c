/* The applying side of deltas: rows from the other version and from segments, as these arrive. */
#include "base/le.h"
#include "content_sum.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

struct old_file {
	str path;
	uint64_t n, at;
};
struct apply_row {
	struct pack_row row;
	uint32_t first;
	str from; /* of the base; empty: from the segments */
};
struct pack_apply {
	struct arena a;
	const struct pack_stream_opts *o;
	struct pack_header h;
	uint8_t *text; /* the table */
	struct old_file *old;
	uint32_t nold;
	uint64_t old_size, total;
	struct apply_row *row;
	struct pack_segment *segment;
	uint32_t nsegment;
	const uint8_t *tree;
	/* at work */
	uint32_t at;             /* row whose bytes come next */
	struct buf sums;         /* of the rows before */
	uint32_t next;           /* segment */
	struct buf part;         /* of that segment, as long as it is not whole */
	const uint8_t *in, *end; /* what has just arrived */
	struct pack_scratch own;
	uint8_t *prefix, *out; /* these and the context are the scratch's */
	size_t have, used;     /* of `out` */
	ZSTD_DCtx *d;
};

static int bad_table(struct err *e, const char *what)
{
	return err_set(e, ERR_PARSE, "delta's table: %s", what);
}

static int read_old(struct pack_apply *x, struct pack_reader *r, struct err *e)
{
	uint64_t n = pack_get_varint(r);
	str before = STR_NONE;

	if (r->bad || n > PACK_MOST_FILES || n > (uint64_t)(r->end - r->p))
		return bad_table(e, "files of the base");
	x->old = arena_new(&x->a, struct old_file, (size_t)n + 1);
	x->nold = (uint32_t)n;
	for (uint32_t i = 0; i < x->nold; i++) {
		struct old_file *f = &x->old[i];
		if (pack_get_path(&before, r, before, &x->a, e) < 0)
			return e->code;
		*f = (struct old_file){ before, pack_get_varint(r), x->old_size };
		if (r->bad || f->n > PACK_MOST_RAW - x->old_size)
			return bad_table(e, "a file of the base");
		x->old_size += f->n;
	}
	return 0;
}

static int read_row(struct pack_apply *x, uint32_t i, struct pack_reader *r, str before, uint64_t *raw, struct err *e)
{
	struct apply_row *row = &x->row[i];
	uint64_t flags = pack_get_varint(r);
	bool dup = flags & ROW_DUPLICATE, base = flags & ROW_BASE;

	*row = (struct apply_row){ .first = i };
	if (pack_get_path(&row->row.path, r, before, &x->a, e) < 0)
		return e->code;
	row->from = base ? row->row.path : STR_NONE;
	if (flags & ROW_MOVED && pack_get_path(&row->from, r, row->row.path, &x->a, e) < 0)
		return e->code;
	uint64_t n = pack_get_varint(r);
	if (r->bad || flags & ~15ull || (dup && base) || (flags & ROW_MOVED && !base) || (dup && (n == 0 || n > i)) ||
		n > PACK_MOST_RAW)
		return bad_table(e, "a row");
	row->row.exec = flags & ROW_EXEC;
	if (dup) {
		row->first = x->row[i - n].first;
		n = x->row[row->first].row.n;
	} else if (!base) {
		*raw += n;
	}
	row->row.n = n;
	x->total += n;
	return x->total <= PACK_MOST_TOTAL ? 0 : bad_table(e, "more bytes than a package may have");
}

static int read_table(struct pack_apply *x, struct pack_reader *r, struct err *e)
{
	uint64_t raw = 0, out = 0;
	str before = STR_NONE;

	if (read_old(x, r, e) < 0)
		return e->code;
	x->row = arena_new(&x->a, struct apply_row, x->h.files + 1);
	for (uint32_t i = 0; i < x->h.files; i++) {
		if (read_row(x, i, r, before, &raw, e) < 0)
			return err_ctx(e, "row %u", i);
		before = x->row[i].row.path;
	}
	uint64_t n = pack_get_varint(r);
	if (r->bad || raw != x->h.raw || n > PACK_MOST_RAW / PACK_SEGMENT + 1)
		return bad_table(e, "its contents");
	x->segment = arena_new(&x->a, struct pack_segment, (size_t)n + 1);
	x->nsegment = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++) {
		struct pack_segment s = { .out = pack_get_varint(r) };
		s.z = pack_get_varint(r);
		s.from = pack_get_varint(r);
		s.len = pack_get_varint(r);
		if (r->bad || s.out == 0 || s.out > PACK_SEGMENT || s.len > x->h.prefix || s.from > x->old_size ||
			s.len > x->old_size - s.from || s.z > ZSTD_COMPRESSBOUND(PACK_SEGMENT))
			return bad_table(e, "a segment");
		out += s.out;
		x->segment[i] = s;
	}
	x->tree = (const uint8_t *)pack_get_bytes(r, SHA).p;
	return !r->bad && r->p == r->end && out == raw ? 0 : bad_table(e, "its end");
}

/* What of S's prefix the one before it has, too, moves to where it belongs: they advance by less than they
 * look at. Returns its bytes. */
static uint64_t keep_prefix(struct pack_apply *x, const struct pack_segment *s)
{
	const struct pack_segment *had = s - 1;

	if (x->next == 0 || s->from < had->from || s->from - had->from >= had->len)
		return 0;
	uint64_t by = s->from - had->from, n = had->len - by < s->len ? had->len - by : s->len;
	memmove(x->prefix, x->prefix + by, (size_t)n);
	return n;
}

static int read_prefix(struct pack_apply *x, const struct pack_segment *s, struct err *e)
{
	uint64_t got = keep_prefix(x, s);

	for (uint32_t i = 0; i < x->nold && got < s->len; i++) {
		const struct old_file *f = &x->old[i];
		uint64_t at = s->from + got;
		if (at >= f->at + f->n)
			continue;
		uint64_t n = f->at + f->n - at;
		n = n < s->len - got ? n : s->len - got;
		if (x->o->base->read(x->o->base->arg, f->path, at - f->at, x->prefix + got, (size_t)n, e) < 0)
			return e->code;
		got += n;
	}
	return 0;
}

enum { READY, WAITS }; /* what is not negative: whether more has to arrive first */

/* The next segment's bytes at *P, once they are all there. */
static int segment_bytes(struct pack_apply *x, size_t want, const uint8_t **p)
{
	size_t here = (size_t)(x->end - x->in), lacks = want - x->part.n, n = here < lacks ? here : lacks;

	*p = x->in;
	if (n && n == want) { /* in one piece */
		x->in += n;
		return READY;
	}
	if (n) { /* else there may be nothing to point to */
		buf_add(&x->part, (str){ (const char *)x->in, n });
		x->in += n;
	}
	*p = (const uint8_t *)x->part.p;
	return n == lacks ? READY : WAITS;
}

static int next_segment(struct pack_apply *x, struct err *e)
{
	const uint8_t *z;

	if (x->next == x->nsegment)
		return err_set(e, ERR_PARSE, "delta ends before its files do");
	const struct pack_segment *s = &x->segment[x->next];
	if (segment_bytes(x, (size_t)s->z, &z) == WAITS)
		return WAITS;
	if (read_prefix(x, s, e) < 0)
		return e->code;
	ZSTD_DCtx_refPrefix(x->d, x->prefix, (size_t)s->len);
	size_t rc = ZSTD_decompressDCtx(x->d, x->out, (size_t)s->out, z, (size_t)s->z);
	if (ZSTD_isError(rc) || rc != s->out)
		return err_set(e, ERR_INTEGRITY, "a delta's segment does not inflate: the base is another");
	x->part.n = 0;
	x->next++;
	x->have = rc;
	x->used = 0;
	return READY;
}

/* Of the row's, up to a step: in *P. */
static int row_bytes(struct pack_apply *x, const struct apply_row *ar, const uint8_t **p, size_t *n, struct err *e)
{
	uint64_t left = ar->row.n - ar->row.at;
	int rc = READY;

	if (ar->from.n) {
		*n = left < PACK_STEP ? (size_t)left : PACK_STEP;
		*p = x->prefix + x->h.prefix;
		return x->o->base->read(x->o->base->arg, ar->from, ar->row.at, x->prefix + x->h.prefix, *n, e);
	}
	if (x->used == x->have && (rc = next_segment(x, e)) != READY)
		return rc;
	*n = x->have - x->used < left ? x->have - x->used : (size_t)left;
	*n = *n < PACK_STEP ? *n : PACK_STEP;
	*p = x->out + x->used;
	x->used += *n;
	return READY;
}

/* The row's next piece; the last brings its sum. */
static int row_piece(struct pack_apply *x, struct apply_row *ar, struct err *e)
{
	struct pack_row piece;
	const uint8_t *p = NULL;
	size_t n = 0;
	int rc = ar->row.n ? row_bytes(x, ar, &p, &n, e) : READY;

	if (rc != READY)
		return rc;
	if (n)
		ar->row.crc = content_crc(ar->row.crc, p, n);
	piece = ar->row;
	piece.p = p;
	piece.len = n;
	ar->row.at += n;
	return x->o->fn(x->o->arg, &piece, e);
}

static int row_same(struct pack_apply *x, struct apply_row *ar, struct err *e)
{
	const struct apply_row *first = &x->row[ar->first];
	struct pack_row row = ar->row;

	row.same = &first->row;
	row.len = row.n;
	ar->row.crc = row.crc = first->row.crc;
	return x->o->fn(x->o->arg, &row, e);
}

static void sum_add(struct pack_apply *x, uint64_t crc)
{
	uint8_t b[8];

	le_put64(b, crc);
	buf_add(&x->sums, (str){ (const char *)b, sizeof(b) });
}

/* As many rows as what is there makes. */
static int rows_go(struct pack_apply *x, struct err *e)
{
	while (x->at < x->h.files) {
		struct apply_row *ar = &x->row[x->at];
		bool same = ar->first != x->at && ar->row.n;
		int rc = same ? row_same(x, ar, e) : row_piece(x, ar, e);
		if (rc != READY)
			return rc < 0 ? rc : 0;
		if (!same && ar->row.at < ar->row.n)
			continue;
		sum_add(x, ar->row.crc);
		x->at++;
	}
	return x->in == x->end ? 0 : err_set(e, ERR_PARSE, "delta goes on after its files");
}

int pack_apply_open(struct pack_apply **out, const struct pack_header *h, const uint8_t *table_z,
	const struct pack_stream_opts *o, struct err *e)
{
	struct pack_apply *x = xcalloc(1, sizeof(*x));
	struct pack_scratch *s = pack_scratch_of(o, &x->own);
	size_t prefix = (size_t)h->prefix + PACK_STEP;

	*out = x;
	x->a = ARENA_INIT(1 << 16);
	x->o = o;
	x->h = *h;
	x->prefix = pack_scratch_buf(s, prefix + (h->raw < PACK_SEGMENT ? (size_t)h->raw : PACK_SEGMENT));
	x->out = x->prefix + prefix;
	x->d = pack_scratch_context(s, 0);
	x->text = xmalloc((size_t)h->table + 1);
	if (pack_inflate(x->text, h->table, x->d, table_z, h->table_z, "table", e) < 0)
		return e->code;
	struct pack_reader r = { x->text, x->text + h->table, false };
	if (read_table(x, &r, e) < 0)
		return e->code;
	return rows_go(x, e);
}

int pack_apply_add(struct pack_apply *x, const uint8_t *p, size_t n, struct err *e)
{
	x->in = p;
	x->end = p + n;
	int rc = rows_go(x, e);
	x->in = x->end = NULL;
	return rc;
}

int pack_apply_end(struct pack_apply *x, struct err *e)
{
	uint8_t tree[SHA];

	if (x->at < x->h.files || x->part.n)
		return err_set(e, ERR_PARSE, "delta ends before its files do");
	if (x->next != x->nsegment || x->used != x->have)
		return err_set(e, ERR_PARSE, "delta goes on after its files");
	sha256(tree, x->sums.p, x->sums.n);
	if (memcmp(tree, x->tree, SHA) != 0)
		return err_set(e, ERR_INTEGRITY, "a delta does not make the files it promised: the base is another");
	return 0;
}

void pack_apply_free(struct pack_apply *x)
{
	if (!x)
		return;
	pack_scratch_release(&x->own);
	free(x->text);
	buf_release(&x->sums);
	buf_release(&x->part);
	arena_release(&x->a);
	free(x);
}

bool pack_is_delta(const void *p, size_t n)
{
	struct pack_header h;
	struct err e;

	return pack_read_header(&h, p, n < PACK_HEADER ? n : SIZE_MAX, &e) == 0 && h.version == PACK_DELTA;
}

int pack_apply_all(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e)
{
	struct pack_apply *x;
	int rc = pack_apply_open(&x, h, p, o, e);

	if (rc == 0)
		rc = pack_apply_add(x, p + h->table_z, n - h->table_z, e);
	if (rc == 0)
		rc = pack_apply_end(x, e);
	pack_apply_free(x);
	return rc;
}
