#include "fs.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

enum { PACK_PIECE_Z = 128 << 10 }; /* zstd's block: 0.1 s or so at level 19 */

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)v);
	put_u32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const uint8_t *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

void pack_put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		buf_addc(b, (char)(v | 128));
	buf_addc(b, (char)v);
}

uint64_t pack_get_varint(struct pack_reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		if (r->p == r->end)
			break;
		uint8_t c = *r->p++;
		v |= (uint64_t)(c & 127) << shift;
		if (c < 128)
			return v;
	}
	r->bad = true;
	return 0;
}

str pack_get_bytes(struct pack_reader *r, uint64_t n)
{
	if (n > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return STR_NONE;
	}
	str s = { (const char *)r->p, (size_t)n };
	r->p += n;
	return s;
}

void pack_put_path(struct buf *b, str before, str path)
{
	size_t keep = str_shared(before, path);

	pack_put_varint(b, keep);
	pack_put_varint(b, path.n - keep);
	buf_add(b, str_from(path, keep));
}

int pack_get_path(str *out, struct pack_reader *r, str before, struct arena *a, struct err *e)
{
	uint64_t keep = pack_get_varint(r), add = pack_get_varint(r);
	str tail = pack_get_bytes(r, add);

	if (r->bad || keep > before.n)
		return err_set(e, ERR_PARSE, "pack's table is damaged");
	char *path = arena_new(a, char, keep + tail.n + 1);
	if (keep)
		memcpy(path, before.p, keep);
	if (tail.n)
		memcpy(path + keep, tail.p, tail.n);
	*out = (str){ path, keep + tail.n };
	return path_safe(*out) ? 0 : err_set(e, ERR_PARSE, "pack's table has an unusable path");
}

/* The rows, then the digests of contents that are there, apart because they do not compress. */
static void build_table(struct buf *table, struct pack_file *file, uint32_t n, const uint32_t *same)
{
	str before = STR_NONE;

	for (uint32_t i = 0; i < n; i++) {
		pack_put_varint(table, (file[i].exec ? ROW_EXEC : 0) | (same[i] != i ? ROW_DUPLICATE : 0));
		pack_put_path(table, before, file[i].path);
		pack_put_varint(table, same[i] != i ? i - same[i] : file[i].n);
		before = file[i].path;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (same[i] == i)
			buf_add(table, (str){ (const char *)file[i].sha256, SHA });
	}
}

/* same[i]: the first file with i's content. Returns the bytes of all different contents. */
static uint64_t find_duplicates(uint32_t *same, struct pack_file *file, uint32_t n)
{
	struct map seen = MAP_INIT;
	uint64_t raw = 0;

	for (uint32_t i = 0; i < n; i++) {
		sha256(file[i].sha256, file[i].p, (size_t)file[i].n);
		same[i] = map_add(&seen, (str){ (const char *)file[i].sha256, SHA }, i, NULL);
		raw += same[i] == i ? file[i].n : 0;
	}
	map_release(&seen);
	return raw;
}

static int zstd_err(struct err *e, size_t rc, const char *what)
{
	return err_set(e, ERR_IO, "zstd: %s: %s", what, ZSTD_getErrorName(rc));
}

int pack_compress(struct buf *out, ZSTD_CCtx *z, str bytes, bool last, const atomic_bool *stop, struct err *e)
{
	size_t at = 0, room = ZSTD_CStreamOutSize(), rc;

	do { /* a call consumes all that it is given, which may be a minute's work */
		size_t n = bytes.n - at < PACK_PIECE_Z ? bytes.n - at : PACK_PIECE_Z;
		bool ends = last && at + n == bytes.n;
		ZSTD_inBuffer in = { n ? bytes.p + at : "", n, 0 };
		do {
			if (stop && *stop)
				return err_set(e, ERR_CANCELLED, "encoding a pack was cut short");
			ZSTD_outBuffer to = { buf_reserve(out, room), room, 0 };
			rc = ZSTD_compressStream2(z, &to, &in, ends ? ZSTD_e_end : ZSTD_e_continue);
			if (ZSTD_isError(rc))
				return zstd_err(e, rc, "compress");
			out->n += to.pos;
		} while (ends ? rc != 0 : in.pos < in.size);
		at += n;
	} while (at < bytes.n);
	return 0;
}

/* Appends one frame made of the contents that are there, window as large as they are. */
static int compress_contents(struct buf *out, const struct pack_file *file, uint32_t n, const uint32_t *same,
	uint64_t raw, const struct pack_opts *o, struct err *e)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	int rc = 0;

	if (!z)
		die_oom(0);
	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, o->level);
	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 0);
	/* docs/decisions/packs.md: the window is what pays, and matches far away cost nothing to look for. */
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, PACK_WINDOW_LOG);
	if (raw > (1u << 20))
		ZSTD_CCtx_setParameter(z, ZSTD_c_enableLongDistanceMatching, 1);
	ZSTD_CCtx_setPledgedSrcSize(z, raw);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		if (same[i] == i)
			rc = pack_compress(
				out, z, (str){ (const char *)file[i].p, (size_t)file[i].n }, false, o->stop, e);
	}
	if (rc == 0)
		rc = pack_compress(out, z, STR_NONE, true, o->stop, e);
	ZSTD_freeCCtx(z);
	return rc;
}

int pack_build(struct buf *out, uint8_t digest[32], struct pack_file *file, uint32_t n, const struct pack_opts *o,
	struct err *e)
{
	AUTO(buf_release) struct buf table = BUF_INIT;
	size_t start = out->n;

	if (n > PACK_MOST_FILES)
		return err_set(e, ERR_TOOBIG, "%u files; a pack holds at most %u", n, PACK_MOST_FILES);
	uint32_t *same = xcalloc(n, sizeof(*same));
	uint64_t raw = find_duplicates(same, file, n);
	if (raw > PACK_MOST_RAW) {
		free(same);
		return err_set(e, ERR_TOOBIG, "%llu bytes of content; a pack holds at most %llu",
			(unsigned long long)raw, PACK_MOST_RAW);
	}
	build_table(&table, file, n, same);
	struct pack_header h = { .version = PACK_WHOLE, .files = n, .table = (uint32_t)table.n, .raw = raw };
	int rc = pack_begin(out, &h.table_z, buf_str(&table), o->level, e);
	if (rc == 0)
		rc = compress_contents(out, file, n, same, raw, o, e);
	free(same);
	if (rc < 0) {
		out->n = start;
		return rc;
	}
	pack_finish(out, start, digest, &h, o->tarball);
	return 0;
}

int pack_begin(struct buf *out, uint32_t *table_z, str table, int level, struct err *e)
{
	size_t bound = ZSTD_compressBound(table.n);

	memset(buf_reserve(out, PACK_HEADER), 0, PACK_HEADER);
	out->n += PACK_HEADER;
	size_t z = ZSTD_compress(buf_reserve(out, bound), bound, table.p, table.n, level);
	if (ZSTD_isError(z))
		return zstd_err(e, z, "compress the table");
	out->n += z;
	*table_z = (uint32_t)z;
	return 0;
}

void pack_finish(struct buf *out, size_t start, uint8_t digest[32], const struct pack_header *h, uint32_t tarball)
{
	uint8_t *head = (uint8_t *)out->p + start;

	put_u32(head, PACK_MAGIC);
	put_u32(head + 4, h->version);
	put_u32(head + 8, h->files);
	put_u32(head + 12, h->table);
	put_u32(head + 16, h->table_z);
	put_u32(head + 20, tarball);
	put_u64(head + 24, h->raw | (uint64_t)h->prefix << 32);
	sha256(digest, out->p + start, out->n - start);
}

int pack_read_header(struct pack_header *h, const uint8_t *p, size_t n, struct err *e)
{
	if (n < PACK_HEADER || get_u32(p) != PACK_MAGIC)
		return err_set(e, ERR_PARSE, "no pack: the first bytes are not a pack's");
	uint32_t version = get_u32(p + 4);
	if (version != PACK_WHOLE && version != PACK_DELTA)
		return err_set(e, ERR_UNSUPPORTED, "pack version %u; this dray reads %u and %u", version, PACK_WHOLE,
			PACK_DELTA);
	*h = (struct pack_header){ version, get_u32(p + 8), get_u32(p + 12), get_u32(p + 16), get_u64(p + 24), 0 };
	if (version == PACK_DELTA) {
		h->prefix = (uint32_t)(h->raw >> 32);
		h->raw &= UINT32_MAX;
	}
	if (h->files > PACK_MOST_FILES || h->files > h->table / 4 || h->table > PACK_MOST_TABLE ||
		h->raw > PACK_MOST_RAW || h->prefix > PACK_MOST_PREFIX)
		return err_set(e, ERR_TOOBIG, "pack claims %u files, %u bytes of table, %llu bytes of content",
			h->files, h->table, (unsigned long long)h->raw);
	if (h->table_z > n - PACK_HEADER)
		return err_set(e, ERR_PARSE, "pack ends inside its table");
	return 0;
}

bool pack_claims(const void *p, size_t n, uint64_t *raw, uint32_t *files)
{
	struct pack_header h;
	struct err e;

	if (pack_read_header(&h, p, n < PACK_HEADER ? n : SIZE_MAX, &e) < 0)
		return false;
	*raw = h.raw;
	*files = h.files;
	return true;
}

uint32_t pack_tarball_bytes(const void *p, size_t n)
{
	struct pack_header h;
	struct err e;

	return pack_read_header(&h, p, n < PACK_HEADER ? n : SIZE_MAX, &e) < 0 ? 0 : get_u32((const uint8_t *)p + 20);
}

int pack_inflate(uint8_t *out, size_t want, ZSTD_DCtx *d, const uint8_t *p, size_t n, const char *what, struct err *e)
{
	/* One frame, as where it is read in pieces: ZSTD_decompressDCtx() takes none, or several. */
	size_t got =
		n > 0 && ZSTD_findFrameCompressedSize(p, n) == n ? ZSTD_decompressDCtx(d, out, want, p, n) : SIZE_MAX;

	if (ZSTD_isError(got) || got != want)
		return err_set(e, ERR_PARSE, "pack's %s does not inflate to the %zu bytes it claims", what, want);
	return 0;
}

uint64_t pack_memory(const void *p, size_t n)
{
	struct pack_header h;
	struct err e;

	if (pack_read_header(&h, p, n, &e) < 0)
		return 0;
	if (h.version == PACK_DELTA)
		return h.prefix + (h.raw < PACK_SEGMENT ? h.raw : PACK_SEGMENT) + PACK_STEP;
	return h.raw <= PACK_PIECE ? h.raw : (1u << PACK_WINDOW_LOG) + PACK_STEP + PACK_AROUND;
}

int pack_other_bytes(struct err *e)
{
	return err_set(e, ERR_INTEGRITY, "the pack's bytes are not those that the plan promised");
}

int pack_no_base(struct err *e)
{
	return err_set(e, ERR_PARSE, "the pack is a delta, and no other version was offered");
}

int pack_check(struct pack_header *h, const void *p, size_t n, const uint8_t digest[32], struct err *e)
{
	uint8_t got[SHA];

	sha256(got, p, n);
	return memcmp(got, digest, SHA) == 0 ? pack_read_header(h, p, n, e) : pack_other_bytes(e);
}
