#include "frame.h"
#include <stdlib.h>
#include <zstd.h>

/* Memory a peer's stream may ask of the decoder: a window of 8 MiB. Our own streams stay below it
 * at every level up to 19. */
enum { WINDOW_LOG_MAX = 23 };
/* Messages are small, a call of the compressor is not: it is called with so many bytes, or when a flush wants the
 * rest. */
enum { GATHER = 32 * 1024 };

struct frame_out {
	ZSTD_CCtx *z;
	struct buf plain; /* put and not yet given to the compressor */
};

static int zstd_check(size_t rc, const char *what, struct err *e)
{
	if (ZSTD_isError(rc))
		return err_set(e, ERR_PROTOCOL, "%s: %s", what, ZSTD_getErrorName(rc));
	return 0;
}

static ZSTD_CCtx *cctx_new(int level)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();

	if (!z)
		die_oom(0);
	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 22);
	return z;
}

struct frame_out *frame_out_new(int level)
{
	struct frame_out *fo = xcalloc(1, sizeof(*fo));

	fo->z = cctx_new(level);
	return fo;
}

/* Runs the compressor until MODE is satisfied. */
static int compress(ZSTD_CCtx *z, const void *p, size_t n, ZSTD_EndDirective mode, struct buf *out, struct err *e)
{
	ZSTD_inBuffer in = { p, n, 0 };

	for (;;) {
		size_t room = ZSTD_CStreamOutSize();
		ZSTD_outBuffer ob = { buf_reserve(out, room), room, 0 };
		size_t rest = ZSTD_compressStream2(z, &ob, &in, mode);
		if (zstd_check(rest, "compress", e) < 0)
			return e->code;
		out->n += ob.pos;
		if (mode == ZSTD_e_continue ? in.pos == in.size : rest == 0)
			return 0;
	}
}

static int compress_plain(struct frame_out *fo, ZSTD_EndDirective mode, struct buf *out, struct err *e)
{
	int rc = compress(fo->z, fo->plain.p, fo->plain.n, mode, out, e);

	buf_clear(&fo->plain);
	return rc;
}

void varint_put(struct buf *b, uint64_t v)
{
	for (; v > 0x7F; v >>= 7)
		buf_addc(b, (char)((v & 0x7F) | 0x80));
	buf_addc(b, (char)v);
}

static int add_length(struct frame_out *fo, size_t len, struct err *e)
{
	if (len > FRAME_MAX)
		return err_set(e, ERR_TOOBIG, "frame of %zu bytes, at most %u", len, FRAME_MAX);
	varint_put(&fo->plain, len);
	return 0;
}

int frame_out_put(struct frame_out *fo, str msg, struct buf *out, struct err *e)
{
	if (add_length(fo, msg.n, e) < 0)
		return e->code;
	buf_add(&fo->plain, msg);
	return fo->plain.n < GATHER ? 0 : compress_plain(fo, ZSTD_e_continue, out, e);
}

/* A flush ends a block of the compressor, and each block has statistics of its own; one that
 * does not compress is copied. */
int frame_out_put_apart(struct frame_out *fo, str msg, size_t tail, struct buf *out, struct err *e)
{
	if (tail == 0)
		return frame_out_put(fo, msg, out, e);
	if (add_length(fo, msg.n, e) < 0)
		return e->code;
	buf_add(&fo->plain, str_head(msg, msg.n - tail));
	if (compress_plain(fo, ZSTD_e_flush, out, e) < 0 ||
		compress(fo->z, msg.p + msg.n - tail, tail, ZSTD_e_flush, out, e) < 0)
		return e->code;
	return 0;
}

int frame_out_flush(struct frame_out *fo, struct buf *out, struct err *e)
{
	return compress_plain(fo, ZSTD_e_flush, out, e);
}

int frame_out_end(struct frame_out *fo, struct buf *out, struct err *e)
{
	return compress_plain(fo, ZSTD_e_end, out, e);
}

void frame_out_free(struct frame_out *fo)
{
	if (!fo)
		return;
	ZSTD_freeCCtx(fo->z);
	buf_release(&fo->plain);
	free(fo);
}

struct frame_in {
	ZSTD_DCtx *z;
	struct buf packed; /* received, from `at` on not yet decompressed */
	size_t at;
	struct buf plain; /* decompressed, from `used` on not yet handed out */
	size_t used;
	uint64_t total;
	bool ended;
};

struct frame_in *frame_in_new(void)
{
	struct frame_in *fi = xcalloc(1, sizeof(*fi));

	fi->z = ZSTD_createDCtx();
	if (!fi->z)
		die_oom(0);
	ZSTD_DCtx_setParameter(fi->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	return fi;
}

/* Moves what is left to the front, so that a buffer stays as large as what is waiting in it. */
static void buf_drop(struct buf *b, size_t *at)
{
	if (*at == 0)
		return;
	b->n -= *at;
	if (b->n)
		memmove(b->p, b->p + *at, b->n);
	*at = 0;
}

void frame_in_push(struct frame_in *fi, const void *p, size_t n)
{
	buf_drop(&fi->packed, &fi->at);
	buf_add(&fi->packed, (str){ p, n });
}

/* A whole message at the front of what is decompressed? 1, 0, or negative. */
static int take_message(struct frame_in *fi, str *msg, struct err *e)
{
	size_t n = 0, i = 0, have = fi->plain.n - fi->used;
	const unsigned char *p;

	if (!have)
		return 0;
	p = (const unsigned char *)fi->plain.p + fi->used;
	for (;; i++) {
		if (i == have)
			return 0;
		n |= (size_t)(p[i] & 0x7F) << (7 * i);
		if (n > FRAME_MAX || i == 4)
			return err_set(e, ERR_TOOBIG, "frame of more than %u bytes", FRAME_MAX);
		if (!(p[i] & 0x80))
			break;
	}
	if (have - i - 1 < n)
		return 0;
	*msg = (str){ fi->plain.p + fi->used + i + 1, n };
	fi->used += i + 1 + n;
	return 1;
}

/* Decompresses one chunk; 1 when something came out. */
static int decompress(struct frame_in *fi, struct err *e)
{
	if (fi->ended)
		return fi->at == fi->packed.n ? 0 : err_set(e, ERR_PROTOCOL, "bytes behind the end of the stream");
	size_t room = ZSTD_DStreamOutSize();
	buf_drop(&fi->plain, &fi->used);
	ZSTD_inBuffer in = { fi->packed.p, fi->packed.n, fi->at };
	ZSTD_outBuffer ob = { buf_reserve(&fi->plain, room), room, 0 };
	size_t rc = ZSTD_decompressStream(fi->z, &ob, &in);
	if (zstd_check(rc, "plan stream", e) < 0)
		return e->code;
	bool moved = in.pos != fi->at || ob.pos != 0;
	fi->at = in.pos;
	fi->plain.n += ob.pos;
	fi->total += ob.pos;
	fi->ended = rc == 0;
	if (fi->total > FRAME_STREAM_MAX)
		return err_set(e, ERR_TOOBIG, "plan of more than %llu bytes", FRAME_STREAM_MAX);
	return moved;
}

int frame_in_next(struct frame_in *fi, str *msg, struct err *e)
{
	for (;;) {
		int rc = take_message(fi, msg, e);
		if (rc != 0)
			return rc;
		rc = decompress(fi, e);
		if (rc <= 0)
			return rc;
	}
}

int frame_in_end(const struct frame_in *fi, struct err *e)
{
	if (!fi->ended || fi->used != fi->plain.n || fi->at != fi->packed.n)
		return err_set(e, ERR_PROTOCOL, "the stream broke off after %llu bytes", (unsigned long long)fi->total);
	return 0;
}

void frame_in_free(struct frame_in *fi)
{
	if (!fi)
		return;
	ZSTD_freeDCtx(fi->z);
	buf_release(&fi->packed);
	buf_release(&fi->plain);
	free(fi);
}

void frame_pack(struct buf *out, str bytes, int level)
{
	size_t room = ZSTD_compressBound(bytes.n);
	size_t n = ZSTD_compress(buf_reserve(out, room), room, bytes.p, bytes.n, level);

	if (ZSTD_isError(n))
		die_oom(room); /* with room for the bound nothing else can fail */
	out->n += n;
}

int frame_unpack(struct buf *out, str packed, size_t max, struct err *e)
{
	struct frame_in fi = { .z = ZSTD_createDCtx() };
	size_t before = out->n;

	if (!fi.z)
		die_oom(0);
	ZSTD_DCtx_setParameter(fi.z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX + 4);
	ZSTD_inBuffer in = { packed.p, packed.n, 0 };
	size_t rc = 1, room = ZSTD_DStreamOutSize();
	while (rc != 0) {
		ZSTD_outBuffer ob = { buf_reserve(out, room), room, 0 };
		size_t at = in.pos;
		rc = ZSTD_decompressStream(fi.z, &ob, &in);
		out->n += ob.pos;
		if (zstd_check(rc, "body", e) < 0)
			break;
		if (out->n - before > max) {
			err_set(e, ERR_TOOBIG, "body of more than %zu bytes after decompression", max);
			rc = SIZE_MAX;
			break;
		}
		if (rc != 0 && in.pos == at && ob.pos == 0) {
			err_set(e, ERR_PROTOCOL, "body broke off after %zu bytes", packed.n);
			rc = SIZE_MAX;
			break;
		}
	}
	ZSTD_freeDCtx(fi.z);
	if (rc == 0 && in.pos != in.size) {
		err_set(e, ERR_PROTOCOL, "bytes behind the end of the body");
		rc = SIZE_MAX;
	}
	if (rc != 0)
		out->n = before;
	return rc == 0 ? 0 : e->code;
}
