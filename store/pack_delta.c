#include "pack_delta.h"
#include "base/le.h"
#include "content_sum.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

struct delta {
	struct pack_file *file, *base;
	uint32_t n, nbase;
	const struct pack_opts *o;
	uint32_t *same;      /* first file with the content */
	uint32_t *from;      /* file of the base with the content, or MAP_NONE */
	bool *reused;        /* of the base: needs no place in a prefix */
	uint64_t *at;        /* of the base: where it stands in `old` */
	struct buf old, now; /* what prefixes are cut from; contents that are sent */
	VEC(struct pack_segment) segment;
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

/* All that may be read, around what is like the segment: names of chunks have hashes, so that likeness
 * lies a little to the side. */
static void segment_prefix(struct pack_segment *s, const struct delta *d, uint64_t at)
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
	struct pack_segment *s = vec_add(&d->segment);
	uint64_t left = d->now.n - at;
	size_t start = d->content.n;

	*s = (struct pack_segment){ .out = left < PACK_SEGMENT ? left : PACK_SEGMENT };
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

static void sum_add(struct buf *sums, const struct pack_file *f)
{
	uint8_t b[8];

	le_put64(b, content_crc(0, f->p, (size_t)f->n));
	buf_add(sums, (str){ (const char *)b, sizeof(b) });
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
		sum_add(&sums, &d->file[i]);
	}
	pack_put_varint(t, d->segment.n);
	for (size_t i = 0; i < d->segment.n; i++) {
		const struct pack_segment *s = &d->segment.p[i];
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
