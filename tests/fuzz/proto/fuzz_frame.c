/* Any bytes as a compressed stream of frames, and as a request for packs: the pieces in which a stream arrives make no
 * difference (but in how much of a damaged one is read, and what is said of it), and what was read goes out and comes
 * back. */
#include "accepted.h"
#include "frame.h"
#include "packs_wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Appends the messages of IN, each behind its length; the code with which it ended. */
static int read_all(struct buf *out, str in, size_t piece)
{
	struct frame_in *fi = frame_in_new();
	struct err e;
	str msg;
	int rc = 0;

	for (size_t i = 0; i < in.n && rc == 0; i += piece) {
		frame_in_push(fi, in.p + i, in.n - i < piece ? in.n - i : piece);
		while ((rc = frame_in_next(fi, &msg, &e)) == 1) {
			buf_add(out, (str){ (const char *)&msg.n, sizeof(msg.n) });
			buf_add(out, msg);
		}
	}
	if (rc == 0)
		rc = frame_in_end(fi, &e);
	frame_in_free(fi);
	return rc;
}

static void write_all(struct buf *out, str messages)
{
	struct frame_out *fo = frame_out_new(1);
	struct err e;
	size_t len;

	for (size_t i = 0; i < messages.n; i += sizeof(len) + len) {
		memcpy(&len, messages.p + i, sizeof(len));
		if (frame_out_put(fo, (str){ messages.p + i + sizeof(len), len }, out, &e) < 0)
			abort();
	}
	if (frame_out_end(fo, out, &e) < 0)
		abort();
	frame_out_free(fo);
}

static void read_packs(str body)
{
	const uint8_t *p;
	size_t k;
	struct err e;
	AUTO(buf_release) struct buf again = BUF_INIT;

	if (packs_body(&p, &k, body, STR(PACKS_MAGIC), PACKS_ROW, PACKS_MOST, &e) < 0)
		return;
	buf_add(&again, STR(PACKS_MAGIC));
	for (size_t i = 0; i < k; i++) {
		uint8_t digest[32];
		uint64_t from = packs_row_get(digest, p + i * PACKS_ROW);
		packs_row_put(&again, digest, from);
	}
	if (!str_eq(buf_str(&again), body))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf_release) struct buf whole = BUF_INIT;
	AUTO(buf_release) struct buf bytes = BUF_INIT;
	AUTO(buf_release) struct buf wire = BUF_INIT;
	AUTO(buf_release) struct buf back = BUF_INIT;
	str in = { (const char *)data, n };
	int one = read_all(&whole, in, n ? n : 1), many = read_all(&bytes, in, 1);

	if (one < 0 && many < 0) {
		size_t least = whole.n < bytes.n ? whole.n : bytes.n;
		whole.n = bytes.n = least; /* zstd gives nothing of the piece that it refuses */
	}
	if ((one < 0) != (many < 0) || !str_eq(buf_str(&whole), buf_str(&bytes)))
		abort();
	if (one == 0 && whole.n)
		accepted();
	write_all(&wire, buf_str(&whole));
	if (read_all(&back, buf_str(&wire), 7) != 0 || !str_eq(buf_str(&back), buf_str(&whole)))
		abort();
	read_packs(in);
	return 0;
}
