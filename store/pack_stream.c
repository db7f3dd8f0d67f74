#include "pack_stream.h"
#include "integrity.h"
#include "pack_impl.h"
#include <stdlib.h>

struct pack_stream {
	struct pack_stream_opts o;
	struct hasher *hash;
	struct buf head; /* header and table, until they are whole */
	struct pack_header h;
	struct pack_whole *whole;
	struct pack_apply *apply;
	bool open;
};

struct pack_stream *pack_stream_new(const struct pack_stream_opts *o)
{
	struct pack_stream *s = xcalloc(1, sizeof(*s));

	s->o = *o;
	s->hash = hasher_new(DIGEST_SHA256);
	return s;
}

/* Moves what is missing of the first WANT bytes from *P into `head`. False: there is not enough yet. */
static bool head_fill(struct pack_stream *s, size_t want, const uint8_t **p, size_t *n)
{
	size_t take = want - s->head.n < *n ? want - s->head.n : *n;

	buf_add(&s->head, (str){ (const char *)*p, take });
	*p += take;
	*n -= take;
	return s->head.n == want;
}

static int stream_open(struct pack_stream *s, const uint8_t **p, size_t *n, struct err *e)
{
	if (s->head.n < PACK_HEADER && !head_fill(s, PACK_HEADER, p, n))
		return 0;
	/* How many bytes there are is for the frames to say. */
	if (pack_read_header(&s->h, (const uint8_t *)s->head.p, SIZE_MAX, e) < 0)
		return e->code;
	if (s->h.table_z > ZSTD_COMPRESSBOUND(PACK_MOST_TABLE))
		return err_set(e, ERR_TOOBIG, "pack claims %u bytes of compressed table", s->h.table_z);
	if (s->h.version == PACK_DELTA && !s->o.base)
		return pack_no_base(e);
	if (!head_fill(s, PACK_HEADER + (size_t)s->h.table_z, p, n))
		return 0;
	const uint8_t *table = (const uint8_t *)s->head.p + PACK_HEADER;
	int rc = s->h.version == PACK_DELTA ? pack_apply_open(&s->apply, &s->h, table, &s->o, e)
					    : pack_whole_open(&s->whole, &s->h, table, &s->o, e);
	buf_release(&s->head);
	s->head = BUF_INIT;
	s->open = true;
	return rc;
}

static int stream_add(struct pack_stream *s, const uint8_t *p, size_t n, struct err *e)
{
	if (!s->open && stream_open(s, &p, &n, e) < 0)
		return e->code;
	if (n == 0)
		return 0;
	return s->apply ? pack_apply_add(s->apply, p, n, e) : pack_whole_add(s->whole, p, n, e);
}

static int stream_end(struct pack_stream *s, const uint8_t digest[32], struct err *e)
{
	struct digest got;

	hasher_end(s->hash, &got);
	if (memcmp(got.b, digest, SHA) != 0)
		return pack_other_bytes(e);
	if (!s->open)
		return err_set(e, ERR_PARSE, "pack ends inside its table");
	return s->apply ? pack_apply_end(s->apply, e) : pack_whole_end(s->whole, e);
}

int pack_stream_add(struct pack_stream *s, const void *p, size_t n, struct err *e)
{
	hasher_add(s->hash, p, n);
	return stream_add(s, p, n, e) < 0 ? err_ctx(e, "package " STR_FMT, STR_ARG(s->o.label)) : 0;
}

int pack_stream_end(struct pack_stream *s, const uint8_t digest[32], struct err *e)
{
	return stream_end(s, digest, e) < 0 ? err_ctx(e, "package " STR_FMT, STR_ARG(s->o.label)) : 0;
}

bool pack_stream_is_delta(const struct pack_stream *s)
{
	return s->apply;
}

int pack_stream_all(
	const struct pack_stream_opts *o, const void *bytes, size_t n, const uint8_t digest[32], struct err *e)
{
	const uint8_t *p = bytes;
	struct pack_header h;
	int rc = pack_check(&h, bytes, n, digest, e);

	if (rc == 0 && h.version == PACK_DELTA && !o->base)
		rc = pack_no_base(e);
	if (rc == 0)
		rc = (h.version == PACK_DELTA ? pack_apply_all : pack_whole_all)(
			&h, p + PACK_HEADER, n - PACK_HEADER, o, e);
	return rc < 0 ? err_ctx(e, "package " STR_FMT, STR_ARG(o->label)) : 0;
}

void pack_stream_free(struct pack_stream *s)
{
	if (!s)
		return;
	pack_whole_free(s->whole);
	pack_apply_free(s->apply);
	hasher_free(s->hash);
	buf_release(&s->head);
	free(s);
}
