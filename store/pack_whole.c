/* The reading side of whole packs: the table's rows, and their content, from one buffer or as it arrives. */
#include "fs.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

/* Rows of FILES files with their content, if it is there; a duplicate borrows its first's. ROW and
 * FIRST have FILES elements. */
static int read_rows(struct pack_row *row, uint32_t *first, const struct pack_header *h, struct pack_reader *r,
	const uint8_t *content, struct arena *a, struct err *e)
{
	str before = STR_NONE;
	uint64_t at = 0, total = 0;

	for (uint32_t i = 0; i < h->files; i++) {
		uint64_t flags = pack_get_varint(r);
		if (pack_get_path(&before, r, before, a, e) < 0)
			return err_ctx(e, "row %u", i);
		uint64_t n = pack_get_varint(r);
		bool same = flags & ROW_DUPLICATE;
		if (r->bad || flags & ~3ull || (same ? n == 0 || n > i : n > h->raw - at))
			return err_set(e, ERR_PARSE, "pack's table is damaged at row %u", i);
		first[i] = same ? first[i - n] : i;
		row[i] = same ? row[first[i]] : (struct pack_row){ .p = content ? content + at : NULL, .n = n };
		row[i].len = row[i].n;
		row[i].path = before;
		row[i].exec = flags & ROW_EXEC;
		at += same ? 0 : n;
		total += row[i].n;
		if (total > PACK_MOST_TOTAL)
			return err_set(e, ERR_TOOBIG, "pack's files have more than %llu bytes", PACK_MOST_TOTAL);
	}
	if (at != h->raw)
		return err_set(e, ERR_PARSE, "pack's rows make %llu bytes, its header says %llu",
			(unsigned long long)at, (unsigned long long)h->raw);
	return 0;
}

/* The digests stand behind the rows, one for each content that is there. */
static int read_digests(struct pack_row *row, const uint32_t *first, uint32_t n, struct pack_reader *r, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		row[i].sha256 = first[i] != i ? row[first[i]].sha256 : (const uint8_t *)pack_get_bytes(r, SHA).p;
		if (r->bad)
			return err_set(e, ERR_PARSE, "pack's table ends before its digests");
	}
	return r->p == r->end ? 0 : err_set(e, ERR_PARSE, "pack's table goes on after its digests");
}

struct table {
	struct pack_row *row;
	uint32_t *first; /* row[first[i]] has i's content */
	uint32_t n;
};

/* Borrows TEXT, which has h->table bytes, and CONTENT; the rows are in A. */
static int read_table(struct table *t, const struct pack_header *h, const uint8_t *text, const uint8_t *content,
	struct arena *a, struct err *e)
{
	struct pack_reader r = { text, text + h->table, false };

	*t = (struct table){ arena_new(a, struct pack_row, h->files + 1), arena_new(a, uint32_t, h->files + 1),
		h->files };
	if (read_rows(t->row, t->first, h, &r, content, a, e) < 0)
		return e->code;
	return read_digests(t->row, t->first, t->n, &r, e);
}

static int other_content(str path, struct err *e)
{
	return err_set(e, ERR_INTEGRITY, STR_FMT " is not what the pack's table says", STR_ARG(path));
}

/* -- as it arrives ----------------------------------------------------------------------- */

struct pack_whole {
	struct arena a;
	const struct pack_stream_opts *o;
	uint8_t *text; /* the table */
	struct table t;
	uint32_t at;         /* row whose bytes come next */
	struct hasher *hash; /* of that row's; NULL: nobody asked */
	struct pack_scratch own;
	ZSTD_DCtx *z; /* this and the next are the scratch's */
	uint8_t *buf;
	bool ended;
};

static int damaged(struct err *e)
{
	return err_set(e, ERR_PARSE, "pack's content does not inflate to the bytes it claims");
}

static int row_end(struct pack_whole *x, const struct pack_row *row, struct err *e)
{
	struct digest got;

	x->at++;
	if (!x->hash)
		return 0;
	hasher_end(x->hash, &got);
	hasher_free(x->hash);
	x->hash = NULL;
	return memcmp(got.b, row->sha256, SHA) == 0 ? 0 : other_content(row->path, e);
}

/* N bytes of the current row's. */
static int row_piece(struct pack_whole *x, const uint8_t *p, size_t n, struct err *e)
{
	struct pack_row *row = &x->t.row[x->at];
	struct pack_row piece = *row;

	if (row->at == 0 && x->o->flags & PACK_CHECK)
		x->hash = hasher_new(DIGEST_SHA256);
	if (x->hash && n)
		hasher_add(x->hash, p, n);
	piece.p = p;
	piece.len = n;
	if (x->o->fn(x->o->arg, &piece, e) < 0)
		return e->code;
	row->at += n;
	return row->at == row->n ? row_end(x, row, e) : 0;
}

/* Gives the rows that need no bytes: copies of earlier ones, and empty ones. */
static int rows_free(struct pack_whole *x, struct err *e)
{
	for (; x->at < x->t.n;) {
		struct pack_row row = x->t.row[x->at];
		const struct pack_row *first = &x->t.row[x->t.first[x->at]];
		if (row.n == 0) {
			if (row_piece(x, x->buf, 0, e) < 0)
				return e->code;
			continue;
		}
		if (x->t.first[x->at] == x->at)
			break;
		row.at = 0; /* its first's, by now, is not */
		row.len = row.n;
		row.same = first;
		if (x->o->fn(x->o->arg, &row, e) < 0)
			return e->code;
		x->at++;
	}
	return 0;
}

static int rows_take(struct pack_whole *x, const uint8_t *p, size_t n, struct err *e)
{
	while (n > 0) {
		if (x->at == x->t.n)
			return damaged(e);
		const struct pack_row *row = &x->t.row[x->at];
		size_t take = n < row->n - row->at ? n : (size_t)(row->n - row->at);
		if (row_piece(x, p, take, e) < 0 || rows_free(x, e) < 0)
			return e->code;
		p += take;
		n -= take;
	}
	return 0;
}

int pack_whole_open(struct pack_whole **out, const struct pack_header *h, const uint8_t *table_z,
	const struct pack_stream_opts *o, struct err *e)
{
	struct pack_whole *x = xcalloc(1, sizeof(*x));
	struct pack_scratch *s = pack_scratch_of(o, &x->own);
	/* Of one without content, too, since the bytes come after it. */
	uint64_t window = h->raw < 1u << PACK_WINDOW_LOG ? h->raw + 1 : 1u << PACK_WINDOW_LOG;

	*out = x;
	x->a = ARENA_INIT(1 << 16);
	x->o = o;
	x->text = xmalloc((size_t)h->table + 1);
	if (pack_inflate(x->text, h->table, pack_scratch_context(s, window), table_z, h->table_z, "table", e) < 0 ||
		read_table(&x->t, h, x->text, NULL, &x->a, e) < 0)
		return e->code;
	x->z = pack_scratch_context(s, window);
	x->buf = pack_scratch_buf(s, PACK_STEP);
	return rows_free(x, e);
}

int pack_whole_add(struct pack_whole *x, const uint8_t *p, size_t n, struct err *e)
{
	ZSTD_inBuffer in = { p, n, 0 };

	for (bool full = false; in.pos < in.size || full;) {
		ZSTD_outBuffer out = { x->buf, PACK_STEP, 0 };
		size_t rc = x->ended ? 1 : ZSTD_decompressStream(x->z, &out, &in);
		if (x->ended || ZSTD_isError(rc))
			return damaged(e);
		x->ended = rc == 0;
		full = out.pos == out.size && rc != 0; /* there may be more that needs no more input */
		if (rows_take(x, x->buf, out.pos, e) < 0)
			return e->code;
	}
	return 0;
}

int pack_whole_end(struct pack_whole *x, struct err *e)
{
	return x->ended && x->at == x->t.n ? 0 : damaged(e);
}

void pack_whole_free(struct pack_whole *x)
{
	if (!x)
		return;
	hasher_free(x->hash);
	pack_scratch_release(&x->own);
	free(x->text);
	arena_release(&x->a);
	free(x);
}

/* -- from one buffer ------------------------------------------------------------------------- */

static int check_contents(const struct table *t, struct err *e)
{
	uint8_t got[SHA];

	for (uint32_t i = 0; i < t->n; i++) {
		if (t->first[i] != i)
			continue;
		sha256(got, t->row[i].p, (size_t)t->row[i].n);
		if (memcmp(got, t->row[i].sha256, SHA) != 0)
			return other_content(t->row[i].path, e);
	}
	return 0;
}

/* All content in one piece, which is faster. */
static int unpack_at_once(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	AUTO(pack_scratch_release) struct pack_scratch own = { 0 };
	struct pack_scratch *s = pack_scratch_of(o, &own);
	uint8_t *text = xmalloc((size_t)h->table + 1), *content = pack_scratch_buf(s, (size_t)h->raw + 1);
	ZSTD_DCtx *d = pack_scratch_context(s, 0); /* keeps no window for what it decodes at once */
	struct table t = { 0 };
	int rc = pack_inflate(text, h->table, d, p, h->table_z, "table", e);

	if (rc == 0)
		rc = pack_inflate(content, (size_t)h->raw, d, p + h->table_z, n - h->table_z, "content", e);
	if (rc == 0)
		rc = read_table(&t, h, text, content, &a, e);
	if (rc == 0 && o->flags & PACK_CHECK)
		rc = check_contents(&t, e);
	for (uint32_t i = 0; rc == 0 && i < t.n; i++)
		rc = o->fn(o->arg, &t.row[i], e);
	free(text);
	return rc;
}

static int unpack_pieces(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e)
{
	struct pack_whole *x;
	int rc = pack_whole_open(&x, h, p, o, e);

	if (rc == 0)
		rc = pack_whole_add(x, p + h->table_z, n - h->table_z, e);
	if (rc == 0)
		rc = pack_whole_end(x, e);
	pack_whole_free(x);
	return rc;
}

int pack_whole_all(
	const struct pack_header *h, const uint8_t *p, size_t n, const struct pack_stream_opts *o, struct err *e)
{
	return (o->flags & PACK_PIECES && h->raw > PACK_PIECE ? unpack_pieces : unpack_at_once)(h, p, n, o, e);
}

int pack_unpack(const void *bytes, size_t n, const uint8_t digest[32], str label, unsigned flags, pack_row_fn *fn,
	void *arg, struct err *e)
{
	struct pack_stream_opts o = { .label = label, .flags = flags, .fn = fn, .arg = arg };

	return pack_stream_all(&o, bytes, n, digest, e);
}
