#include "unpack.h"
#include "base/le.h"
#include "integrity.h"
#include "tar.h"
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>

enum {
	HOLD_MAX = 4 << 20,    /* a tarball up to here is held whole and inflated by libdeflate … */
	INFLATE_MAX = 2 << 20, /* … if its trailer says that it unpacks to no more than this: above, ISA-L is as fast */
	WINDOW = 64 << 10,     /* otherwise it is inflated through ISA-L in pieces of this size */
	GZIP_MIN = 18,         /* header and trailer */
};

struct unpack_scratch {
	struct libdeflate_decompressor *inflater;
	uint8_t *p;
	size_t n;
};
struct stream {
	struct inflate_state isal;
	uint8_t out[WINDOW];
	bool finished; /* a member has ended and no other has begun */
	bool trailing; /* what follows is no gzip member: ignored, as zlib's users do */
};
struct unpack {
	struct unpack_opts o;
	struct digest want;
	struct hasher *hash; /* NULL: nothing to verify, or done already */
	struct tar *tar;
	struct buf held; /* while streaming is NULL */
	struct stream *streaming;
};

#define UNPACK_FAIL(u, e, code, ...)                                                                                   \
	(err_set(e, code, __VA_ARGS__), err_ctx(e, "tarball of " STR_FMT, STR_ARG((u)->o.label)))

struct unpack_scratch *unpack_scratch_new(void)
{
	struct unpack_scratch *s = xcalloc(1, sizeof(*s));

	s->inflater = libdeflate_alloc_decompressor();
	if (!s->inflater)
		die_oom(0);
	return s;
}

void unpack_scratch_free(struct unpack_scratch *s)
{
	if (!s)
		return;
	libdeflate_free_decompressor(s->inflater);
	free(s->p);
	free(s);
}

static void stream_start(struct unpack *u)
{
	u->streaming = xmalloc(sizeof(*u->streaming));
	isal_inflate_init(&u->streaming->isal);
	u->streaming->isal.crc_flag = ISAL_GZIP;
	u->streaming->finished = u->streaming->trailing = false;
}

int unpack_new(struct unpack **out, const struct unpack_opts *o, struct err *e)
{
	struct unpack *u = xcalloc(1, sizeof(*u));

	u->o = *o;
	if (o->sri.n > 0 && integrity_parse(&u->want, o->sri, e) < 0) {
		err_ctx(e, "tarball of " STR_FMT, STR_ARG(o->label));
		unpack_free(u);
		return e->code;
	}
	if (u->want.alg != DIGEST_NONE)
		u->hash = hasher_new(u->want.alg);
	u->tar = tar_new(o);
	if (o->stream)
		stream_start(u);
	*out = u;
	return 0;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	if (u->hash)
		hasher_free(u->hash);
	tar_free(u->tar);
	buf_release(&u->held);
	free(u->streaming);
	free(u);
}

/* -- integrity ----------------------------------------------------------- */

static int digest_check(struct unpack *u, const struct digest *got, struct err *e)
{
	if (digest_eq(got, &u->want))
		return 0;
	struct arena a = ARENA_INIT(1024);
	str want = integrity_print(&u->want, &a), is = integrity_print(got, &a);
	UNPACK_FAIL(u, e, ERR_INTEGRITY,
		"its bytes have the digest " STR_FMT ", expected is " STR_FMT
		"; the lockfile or the registry's copy is wrong, or it was changed on the way",
		STR_ARG(is), STR_ARG(want));
	arena_release(&a);
	return e->code;
}

static int hash_end(struct unpack *u, struct err *e)
{
	struct digest got;

	if (!u->hash)
		return 0;
	hasher_end(u->hash, &got);
	hasher_free(u->hash);
	u->hash = NULL;
	return digest_check(u, &got, e);
}

/* -- inflating ----------------------------------------------------------- */

/* After a member: another one, or bytes that mean nothing. */
static void stream_next_member(struct stream *s)
{
	if (s->isal.next_in[0] != 0x1f) {
		s->trailing = true;
		return;
	}
	uint8_t *in = s->isal.next_in;
	uint32_t n = s->isal.avail_in;
	isal_inflate_reset(&s->isal);
	s->isal.crc_flag = ISAL_GZIP;
	s->isal.next_in = in;
	s->isal.avail_in = n;
	s->finished = false;
}

static int stream_feed(struct unpack *u, const uint8_t *p, size_t n, struct err *e)
{
	struct stream *s = u->streaming;
	enum { STEP = 1 << 30 };

	while (n > 0 && !s->trailing) {
		uint32_t step = n > STEP ? STEP : (uint32_t)n;
		uint8_t *in = NULL;
		memcpy(&in, &p, sizeof(in)); /* ISA-L reads through a pointer that is not const */
		s->isal.next_in = in;
		s->isal.avail_in = step;
		while (!s->trailing && (s->isal.avail_in > 0 || (!s->finished && s->isal.avail_out == 0))) {
			if (s->finished) {
				stream_next_member(s);
				continue;
			}
			s->isal.next_out = s->out;
			s->isal.avail_out = WINDOW;
			int rc = isal_inflate(&s->isal);
			if (rc < 0)
				return UNPACK_FAIL(u, e, ERR_PARSE, "its gzip data is damaged (inflate error %d)", rc);
			if (tar_feed(u->tar, s->out, WINDOW - s->isal.avail_out, e) < 0)
				return e->code;
			s->finished = s->isal.block_state == ISAL_BLOCK_FINISH;
		}
		p += step;
		n -= step;
	}
	return 0;
}

static uint32_t gzip_size(str z)
{
	return le_get32(z.p + z.n - 4);
}

/* The fast path. 1: not for this one (several members, a trailer that lies), nothing has reached the tar reader. */
static int inflate_whole(struct unpack *u, str z, struct err *e)
{
	if (z.n < GZIP_MIN || gzip_size(z) > INFLATE_MAX)
		return 1;
	size_t room = gzip_size(z), in = 0, out = 0;
	struct unpack_scratch *own = u->o.scratch ? NULL : unpack_scratch_new(), *s = own ? own : u->o.scratch;
	if (room > s->n) {
		free(s->p);
		s->p = xmalloc(room);
		s->n = room;
	}
	enum libdeflate_result rc = libdeflate_gzip_decompress_ex(s->inflater, z.p, z.n, s->p, room, &in, &out);
	int r = 1; /* the streaming path says what is wrong, if anything is */
	if (rc == LIBDEFLATE_SUCCESS && in == z.n)
		r = tar_feed(u->tar, s->p, out, e);
	unpack_scratch_free(own);
	return r;
}

static int inflate_held(struct unpack *u, str z, struct err *e)
{
	int rc = inflate_whole(u, z, e);

	if (rc <= 0)
		return rc;
	stream_start(u);
	return stream_feed(u, (const uint8_t *)z.p, z.n, e);
}

/* -- the whole ------------------------------------------------------------ */

int unpack_feed(struct unpack *u, const void *p, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	if (u->hash)
		hasher_add(u->hash, p, n);
	if (u->streaming)
		return stream_feed(u, p, n, e);
	if (u->held.n + n <= HOLD_MAX) {
		buf_add(&u->held, (str){ p, n });
		return 0;
	}
	stream_start(u);
	int rc = stream_feed(u, (const uint8_t *)u->held.p, u->held.n, e);
	buf_release(&u->held);
	return rc < 0 ? rc : stream_feed(u, p, n, e);
}

static int stream_end(struct unpack *u, struct err *e)
{
	if (u->streaming && !u->streaming->finished)
		return UNPACK_FAIL(u, e, ERR_PARSE, "its gzip data is truncated");
	return tar_end(u->tar, e);
}

int unpack_end(struct unpack *u, struct err *e)
{
	if (u->streaming) { /* a wrong digest explains a damaged archive better than the damage does */
		int rc = hash_end(u, e);
		return rc < 0 ? rc : stream_end(u, e);
	}
	if (hash_end(u, e) < 0 || inflate_held(u, buf_str(&u->held), e) < 0)
		return e->code;
	return stream_end(u, e);
}

int unpack_tarball(const struct unpack_opts *o, const void *p, size_t n, struct err *e)
{
	struct unpack *u;

	if (unpack_new(&u, o, e) < 0)
		return e->code;
	if (u->hash)
		hasher_add(u->hash, p, n);
	int rc = hash_end(u, e);
	if (rc == 0)
		rc = inflate_held(u, (str){ p, n }, e);
	if (rc == 0)
		rc = stream_end(u, e);
	unpack_free(u);
	return rc;
}
