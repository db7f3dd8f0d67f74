/* registry_decode — a packument's body as received, made text. Pure. */
#include "base/le.h"
#include "registry.h"
#include <libdeflate.h>

/* No deflate stream is smaller than its contents by more than this. */
#define DEFLATE_MAX_RATIO 1032u

/* One gzip member at *raw, which is moved past it. */
static int gunzip_member(struct buf *out, str *raw, struct libdeflate_decompressor *d, size_t base, struct err *e)
{
	size_t most = PACKUMENT_MAX_JSON - (out->n - base), got, used;
	/* The last four bytes are the size, if this member is the only one; a lie costs a second try. */
	size_t room = le_get32(raw->p + raw->n - 4);

	if (room / DEFLATE_MAX_RATIO > raw->n || room == 0)
		room = raw->n * 4;
	for (;; room *= 4) {
		room = room < most ? room : most;
		char *to = buf_reserve(out, room + 1);
		enum libdeflate_result rc = libdeflate_gzip_decompress_ex(d, raw->p, raw->n, to, room, &used, &got);
		if (rc == LIBDEFLATE_SUCCESS) {
			out->n += got;
			*raw = str_from(*raw, used);
			return 0;
		}
		if (rc != LIBDEFLATE_INSUFFICIENT_SPACE)
			return err_set(e, ERR_PARSE, "the gzip body is broken");
		if (room == most)
			return err_set(e, ERR_TOOBIG, "the body is larger than the limit of %u bytes when decoded",
				PACKUMENT_MAX_JSON);
	}
}

int registry_decode(struct buf *out, str raw, bool gzip, struct err *e)
{
	size_t base = out->n;

	if (!gzip) {
		if (raw.n > PACKUMENT_MAX_JSON)
			return err_set(
				e, ERR_TOOBIG, "the body is larger than the limit of %u bytes", PACKUMENT_MAX_JSON);
		buf_add(out, raw);
	} else {
		struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
		if (!d)
			die_oom(0);
		int rc = raw.n < 18 ? err_set(e, ERR_PARSE, "the gzip body is broken") : 0;
		while (rc == 0 && raw.n >= 18)
			rc = gunzip_member(out, &raw, d, base, e);
		libdeflate_free_decompressor(d);
		if (rc < 0)
			return rc;
	}
	str text = str_trim(str_from(buf_str(out), base));
	if (text.n && text.p[0] == '<')
		return err_set(e, ERR_PARSE, "the answer is HTML, not JSON; is this a registry?");
	return 0;
}
