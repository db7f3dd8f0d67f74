/* Memory for unpacking. Either a context's window is large, or the buffer: what the one needs the other lets go of, so that a client's bound
 * is that of a single pack. */
#include "pack_impl.h"
#include <stdlib.h>

enum { LARGEST = PACK_MOST_PREFIX + PACK_STEP + PACK_SEGMENT };

struct pack_scratch *pack_scratch_new(void)
{
	return xcalloc(1, sizeof(struct pack_scratch));
}

struct pack_scratch *pack_scratch_of(const struct pack_stream_opts *o, struct pack_scratch *own)
{
	return o->scratch ? o->scratch : own;
}

static void context_free(struct pack_scratch *s)
{
	ZSTD_freeDCtx(s->d);
	s->d = NULL;
	s->window = 0;
}

static void buf_free(struct pack_scratch *s)
{
	free(s->p);
	s->p = NULL;
	s->cap = s->touched = 0;
}

void pack_scratch_release(struct pack_scratch *s)
{
	context_free(s);
	buf_free(s);
}

void pack_scratch_free(struct pack_scratch *s)
{
	if (!s)
		return;
	pack_scratch_release(s);
	free(s);
}

uint64_t pack_scratch_bytes(const struct pack_scratch *s)
{
	return s->window + s->touched;
}

/* What is never touched takes no memory, so there are two sizes, and what is larger than either. */
uint8_t *pack_scratch_buf(struct pack_scratch *s, size_t n)
{
	if (n > PACK_STEP && s->window > PACK_PIECE)
		context_free(s);
	if (n > s->cap) {
		buf_free(s);
		s->cap = n <= PACK_PIECE ? PACK_PIECE : n <= LARGEST ? LARGEST : n;
		s->p = xmalloc(s->cap);
	}
	if (n > s->touched)
		s->touched = n;
	return s->p;
}

ZSTD_DCtx *pack_scratch_context(struct pack_scratch *s, uint64_t window)
{
	if (window > PACK_STEP && s->touched > PACK_STEP)
		buf_free(s);
	if (!s->d && !(s->d = ZSTD_createDCtx()))
		die_oom(0);
	ZSTD_DCtx_reset(s->d, ZSTD_reset_session_and_parameters);
	ZSTD_DCtx_setParameter(s->d, ZSTD_d_windowLogMax, PACK_WINDOW_LOG);
	if (window > s->window)
		s->window = window;
	return s->d;
}
