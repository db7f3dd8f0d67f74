#include "pack_delta.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

struct segment {
	uint64_t out, z, from, len;
};

/* -- building --------------------------------------------------------------------- */

struct delta {
	struct pack_file *file, *base;
	uint32_t n, nbase;
	const struct pack_opts *o;
	uint32_t *same;      /* first file with the content */
	uint32_t *from;      /* file of the base with the content, or MAP_NONE */
	bool *reused;        /* of the base: needs no place in a prefix */
	uint64_t *at;        /* of the base: where it stands in `old` */
	struct buf old, now; /* what prefixes are cut from; contents that are sent */
	VEC(struct segment) segment;
	struct buf content;
	uint32_t prefix; /* longest */
};

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct pack_file *)a)->path, ((const struct pack_file *)b)->path);
}

static void files_sort(struct pack_file *f, uint32_t n)
{
	if (n)
		qsort(f, n, sizeof(*f), by_path);
	for (uint32_t i = 0; i < n; i++)
		sha256(f[i].sha256, f[i].p, (size_t)f[i].n);
}

static str sha_of(const struct pack_file *f)
{
	return (str){ (const char *)f->sha256, SHA };
}

static void delta_match(struct delta *d)
{
	struct map base = MAP_INIT, seen = MAP_INIT, path = MAP_INIT;

	for (uint32_t i = 0; i < d->nbase; i++) {
		map_add(&base, sha_of(&d->base[i]), i, NULL);
		map_set(&path, d->base[i].path, i);
	}
	for (uint32_t i = 0; i < d->n; i++) {
		struct pack_file *f = &d->file[i];
		uint32_t here = map_get(&path, f->path);
		d->from[i] = here != MAP_NONE && memcmp(d->base[here].sha256, f->sha256, SHA) == 0
				     ? here
				     : map_get(&base, sha_of(f));
		d->same[i] = d->from[i] == MAP_NONE ? map_add(&seen, sha_of(f), i, NULL) : i;
		if (d->from[i] != MAP_NONE)
			d->reused[d->from[i]] = true;
	}
	map_release(&base);
	map_release(&seen);
	map_release(&path);
}

/* What the prefixes are cut from: the base's files that went or changed. */
static void delta_streams(struct delta *d)
{
	for (uint32_t i = 0; i < d->nbase; i++) {
		d->at[i] = d->old.n;
		if (!d->reused[i])
			buf_add(&d->old, (str){ (const char *)d->base[i].p, (size_t)d->base[i].n });
	}
	for (uint32_t i = 0; i < d->n; i++) {
		if (d->from[i] == MAP_NONE && d->same[i] == i)
			buf_add(&d->now, (str){ (const char *)d->file[i].p, (size_t)d->file[i].n });
	}
}

/* Where in `old` that stands which is most like the byte AT of `now`: the file of that path, or those beside it. */
static uint64_t delta_place(const struct delta *d, uint64_t at)
{
	const struct pack_file *f = NULL;
	uint64_t start = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		if (d->from[i] != MAP_NONE || d->same[i] != i)
			continue;
		f = &d->file[i];
		if (at < start + f->n)
			break;
		start += f->n;
	}
	if (!f)
		return 0;
	uint32_t low = 0, high = d->nbase;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (str_cmp(d->base[mid].path, f->path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == d->nbase)
		return d->old.n;
	bool there = str_eq(d->base[low].path, f->path) && !d->reused[low];
	uint64_t into = there ? at - start : 0;
	return d->at[low] + (there && into > d->base[low].n ? d->base[low].n : into);
}

/* All that may be read, around what is like the segment: names of chunks have hashes, so that likeness lies a little to the side. */
static void segment_prefix(struct segment *s, const struct delta *d, uint64_t at)
{
	uint64_t first = delta_place(d, at), last = delta_place(d, at + s->out - 1);
	uint64_t middle = first + (last > first ? (last - first) / 2 : 0);

	s->len = d->old.n < PACK_MOST_PREFIX ? d->old.n : PACK_MOST_PREFIX;
	s->from = middle > s->len / 2 ? middle - s->len / 2 : 0;
	if (s->from > d->old.n - s->len)
		s->from = d->old.n - s->len;
}

static int delta_segment(struct delta *d, ZSTD_CCtx *z, uint64_t at, struct err *e)
{
	struct segment *s = vec_add(&d->segment);
	uint64_t left = d->now.n - at;
	size_t start = d->content.n;

	*s = (struct segment){ .out = left < PACK_SEGMENT ? left : PACK_SEGMENT };
	segment_prefix(s, d, at);
	d->prefix = s->len > d->prefix ? (uint32_t)s->len : d->prefix;
	ZSTD_CCtx_reset(z, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, d->o->level);
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, PACK_WINDOW_LOG);
	ZSTD_CCtx_setParameter(z, ZSTD_c_enableLongDistanceMatching, 1);
	ZSTD_CCtx_refPrefix(z, d->old.p ? d->old.p + s->from : "", (size_t)s->len);
	ZSTD_CCtx_setPledgedSrcSize(z, s->out);
	if (pack_compress(&d->content, z, (str){ d->now.p + at, (size_t)s->out }, true, d->o->stop, e) < 0)
		return e->code;
	s->z = d->content.n - start;
	return 0;
}

static int delta_segments(struct delta *d, struct err *e)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	int rc = 0;

	if (!z)
		die_oom(0);
	for (uint64_t at = 0; rc == 0 && at < d->now.n; at += PACK_SEGMENT)
		rc = delta_segment(d, z, at, e);
	ZSTD_freeCCtx(z);
	return rc;
}

static void table_row(struct buf *t, const struct delta *d, uint32_t i, str before)
{
	const struct pack_file *f = &d->file[i];
	bool base = d->from[i] != MAP_NONE, moved = base && !str_eq(d->base[d->from[i]].path, f->path);
	bool dup = d->same[i] != i;

	pack_put_varint(t, (f->exec ? ROW_EXEC : 0u) | (dup ? ROW_DUPLICATE : 0u) | (base ? ROW_BASE : 0u) |
				   (moved ? ROW_MOVED : 0u));
	pack_put_path(t, before, f->path);
	if (moved)
		pack_put_path(t, f->path, d->base[d->from[i]].path);
	pack_put_varint(t, dup ? i - d->same[i] : f->n);
}

static void delta_table(struct buf *t, const struct delta *d)
{
	str before = STR_NONE;
	uint32_t nold = 0;
	AUTO(buf_release) struct buf sums = BUF_INIT;
	uint8_t tree[SHA];

	for (uint32_t i = 0; i < d->nbase; i++)
		nold += !d->reused[i] && d->prefix;
	pack_put_varint(t, nold);
	for (uint32_t i = 0; i < d->nbase && nold; i++) {
		if (d->reused[i])
			continue;
		pack_put_path(t, before, d->base[i].path);
		pack_put_varint(t, d->base[i].n);
		before = d->base[i].path;
	}
	before = STR_NONE;
	for (uint32_t i = 0; i < d->n; i++) {
		table_row(t, d, i, before);
		before = d->file[i].path;
		buf_add(&sums, sha_of(&d->file[i]));
	}
	pack_put_varint(t, d->segment.n);
	for (size_t i = 0; i < d->segment.n; i++) {
		const struct segment *s = &d->segment.p[i];
		pack_put_varint(t, s->out);
		pack_put_varint(t, s->z);
		pack_put_varint(t, s->from);
		pack_put_varint(t, s->len);
	}
	sha256(tree, sums.p, sums.n);
	buf_add(t, (str){ (const char *)tree, SHA });
}

static int delta_write(struct buf *out, uint8_t digest[32], struct delta *d, struct err *e)
{
	AUTO(buf_release) struct buf table = BUF_INIT;
	struct pack_header h = { .version = PACK_DELTA, .files = d->n };
	size_t start = out->n;

	if (d->n > PACK_MOST_FILES || d->nbase > PACK_MOST_FILES || d->now.n > PACK_MOST_RAW ||
		d->old.n > PACK_MOST_RAW)
		return err_set(
			e, ERR_TOOBIG, "%u files, %zu bytes that changed: more than a delta holds", d->n, d->now.n);
	if (delta_segments(d, e) < 0)
		return e->code;
	delta_table(&table, d);
	h.table = (uint32_t)table.n;
	h.raw = d->now.n;
	h.prefix = d->prefix;
	if (pack_begin(out, &h.table_z, buf_str(&table), d->o->level, e) < 0) {
		out->n = start;
		return e->code;
	}
	buf_add(out, buf_str(&d->content));
	pack_finish(out, start, digest, &h, d->o->tarball);
	return 0;
}

int pack_delta_build(struct buf *out, uint8_t digest[32], struct pack_file *file, uint32_t n, struct pack_file *base,
	uint32_t nbase, const struct pack_opts *o, struct err *e)
{
	struct delta d = { .file = file, .base = base, .n = n, .nbase = nbase, .o = o };
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 14);

	files_sort(file, n);
	files_sort(base, nbase);
	d.same = arena_new(&a, uint32_t, n + 1);
	d.from = arena_new(&a, uint32_t, n + 1);
	d.reused = arena_new(&a, bool, nbase + 1);
	d.at = arena_new(&a, uint64_t, nbase + 1);
	memset(d.reused, 0, nbase + 1);
	delta_match(&d);
	delta_streams(&d);
	int rc = delta_write(out, digest, &d, e);
	vec_release(&d.segment);
	buf_release(&d.old);
	buf_release(&d.now);
	buf_release(&d.content);
	return rc;
}

/* -- applying ------------------------------------------------------------------------ */

struct old_file {
	str path;
	uint64_t n, at;
};
struct apply_row {
	struct pack_row row;
	uint32_t first;
	str from; /* of the base; empty: from the segments */
	uint8_t sha[SHA];
};
struct apply {
	struct arena a;
	struct old_file *old;
	uint32_t nold;
	uint64_t old_size, total;
	struct apply_row *row;
	struct segment *segment;
	uint32_t nsegment;
	const uint8_t *tree;
	struct pack_header h;
	/* at work */
	const struct pack_base *base;
	pack_row_fn *fn;
	void *arg;
	const uint8_t *z, *zend;
	uint32_t next; /* segment */
	uint8_t *prefix, *out;
	size_t have, used; /* of `out` */
	ZSTD_DCtx *d;
};

static int bad_table(struct err *e, const char *what)
{
	return err_set(e, ERR_PARSE, "delta's table: %s", what);
}

static int read_old(struct apply *x, struct pack_reader *r, struct err *e)
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

static int read_row(struct apply *x, uint32_t i, struct pack_reader *r, str before, uint64_t *raw, struct err *e)
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

static int read_table(struct apply *x, struct pack_reader *r, struct err *e)
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
	x->segment = arena_new(&x->a, struct segment, (size_t)n + 1);
	x->nsegment = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++) {
		struct segment s = { .out = pack_get_varint(r) };
		s.z = pack_get_varint(r);
		s.from = pack_get_varint(r);
		s.len = pack_get_varint(r);
		if (r->bad || s.out == 0 || s.out > PACK_SEGMENT || s.len > x->h.prefix || s.from > x->old_size ||
			s.len > x->old_size - s.from)
			return bad_table(e, "a segment");
		out += s.out;
		x->segment[i] = s;
	}
	x->tree = (const uint8_t *)pack_get_bytes(r, SHA).p;
	return !r->bad && r->p == r->end && out == raw ? 0 : bad_table(e, "its end");
}

static int read_prefix(struct apply *x, const struct segment *s, struct err *e)
{
	uint64_t got = 0;

	for (uint32_t i = 0; i < x->nold && got < s->len; i++) {
		const struct old_file *f = &x->old[i];
		uint64_t at = s->from + got;
		if (at >= f->at + f->n)
			continue;
		uint64_t n = f->at + f->n - at;
		n = n < s->len - got ? n : s->len - got;
		if (x->base->read(x->base->arg, f->path, at - f->at, x->prefix + got, (size_t)n, e) < 0)
			return e->code;
		got += n;
	}
	return 0;
}

static int next_segment(struct apply *x, struct err *e)
{
	if (x->next == x->nsegment)
		return err_set(e, ERR_PARSE, "delta ends before its files do");
	const struct segment *s = &x->segment[x->next++];
	if (s->z > (uint64_t)(x->zend - x->z))
		return err_set(e, ERR_PARSE, "delta ends inside a segment");
	if (read_prefix(x, s, e) < 0)
		return e->code;
	ZSTD_DCtx_refPrefix(x->d, x->prefix, (size_t)s->len);
	size_t rc = ZSTD_decompressDCtx(x->d, x->out, (size_t)s->out, x->z, (size_t)s->z);
	if (ZSTD_isError(rc) || rc != s->out)
		return err_set(e, ERR_INTEGRITY, "a delta's segment does not inflate: the base is another");
	x->z += s->z;
	x->have = rc;
	x->used = 0;
	return 0;
}

/* Of a row, up to a step: in *P. */
static int row_bytes(
	struct apply *x, const struct apply_row *ar, uint64_t at, const uint8_t **p, size_t *n, struct err *e)
{
	uint64_t left = ar->row.n - at;

	if (ar->from.n) {
		*n = left < PACK_STEP ? (size_t)left : PACK_STEP;
		*p = x->prefix + x->h.prefix;
		return x->base->read(x->base->arg, ar->from, at, x->prefix + x->h.prefix, *n, e);
	}
	if (x->used == x->have && next_segment(x, e) < 0)
		return e->code;
	*n = x->have - x->used < left ? x->have - x->used : (size_t)left;
	*n = *n < PACK_STEP ? *n : PACK_STEP;
	*p = x->out + x->used;
	x->used += *n;
	return 0;
}

static int apply_row(struct apply *x, struct apply_row *ar, struct err *e)
{
	struct hasher *h = hasher_new(DIGEST_SHA256);
	struct pack_row row = ar->row;
	struct digest sum;
	int rc = 0;

	do {
		size_t n = 0;
		if (row.n)
			rc = row_bytes(x, ar, row.at, &row.p, &n, e);
		if (rc < 0)
			break;
		hasher_add(h, row.p, n);
		row.len = n;
		if (row.at + n == row.n) {
			hasher_end(h, &sum);
			memcpy(ar->sha, sum.b, SHA);
			row.sha256 = ar->sha;
		}
		rc = x->fn(x->arg, &row, e);
		row.at += n;
	} while (rc == 0 && row.at < row.n);
	hasher_free(h);
	return rc;
}

static int apply_same(struct apply *x, struct apply_row *ar, struct err *e)
{
	const struct apply_row *first = &x->row[ar->first];
	struct pack_row row = ar->row;

	memcpy(ar->sha, first->sha, SHA);
	row.same = &first->row;
	row.len = row.n;
	row.sha256 = ar->sha;
	return x->fn(x->arg, &row, e);
}

static int apply_rows(struct apply *x, struct err *e)
{
	AUTO(buf_release) struct buf sums = BUF_INIT;
	uint8_t tree[SHA];
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < x->h.files; i++) {
		struct apply_row *ar = &x->row[i];
		rc = ar->first != i && ar->row.n ? apply_same(x, ar, e) : apply_row(x, ar, e);
		buf_add(&sums, (str){ (const char *)ar->sha, SHA });
	}
	if (rc < 0)
		return rc;
	sha256(tree, sums.p, sums.n);
	if (x->next != x->nsegment || x->used != x->have || x->z != x->zend)
		return err_set(e, ERR_PARSE, "delta goes on after its files");
	if (memcmp(tree, x->tree, SHA) != 0)
		return err_set(e, ERR_INTEGRITY, "a delta does not make the files it promised: the base is another");
	return 0;
}

static int apply_start(struct apply *x, const uint8_t *table, struct err *e)
{
	struct pack_reader r = { table, table + x->h.table, false };

	if (read_table(x, &r, e) < 0)
		return e->code;
	x->d = ZSTD_createDCtx();
	if (!x->d)
		die_oom(0);
	ZSTD_DCtx_setParameter(x->d, ZSTD_d_windowLogMax, PACK_WINDOW_LOG);
	x->prefix = xmalloc((size_t)x->h.prefix + PACK_STEP);
	x->out = xmalloc(x->h.raw < PACK_SEGMENT ? (size_t)x->h.raw + 1 : PACK_SEGMENT);
	return apply_rows(x, e);
}

bool pack_is_delta(const void *p, size_t n)
{
	struct pack_header h;
	struct err e;

	return pack_read_header(&h, p, n < PACK_HEADER ? n : SIZE_MAX, &e) == 0 && h.version == PACK_DELTA;
}

int pack_delta_apply(const void *bytes, size_t n, const uint8_t digest[32], str label, const struct pack_base *base,
	pack_row_fn *fn, void *arg, struct err *e)
{
	const uint8_t *p = bytes;
	struct apply x = { .a = ARENA_INIT(1 << 16), .base = base, .fn = fn, .arg = arg, .zend = p + n };
	uint8_t got[SHA], *table = NULL;

	sha256(got, p, n);
	int rc = memcmp(got, digest, SHA) == 0
			 ? pack_read_header(&x.h, p, n, e)
			 : err_set(e, ERR_INTEGRITY, "the pack's bytes are not those that the plan promised");
	if (rc == 0 && x.h.version != PACK_DELTA)
		rc = err_set(e, ERR_PARSE, "no delta");
	if (rc == 0)
		rc = pack_inflate(&table, x.h.table, p + PACK_HEADER, x.h.table_z, "table", e);
	if (rc == 0) {
		x.z = p + PACK_HEADER + x.h.table_z;
		rc = apply_start(&x, table, e);
	}
	ZSTD_freeDCtx(x.d);
	free(x.prefix);
	free(x.out);
	free(table);
	arena_release(&x.a);
	return rc < 0 ? err_ctx(e, "package " STR_FMT, STR_ARG(label)) : 0;
}
