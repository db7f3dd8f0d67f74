/* Memory for unpacking: one block, which is a context's window or a delta's prefix and segment, whichever
 * the pack needs. What stands in it means nothing from one pack to the next, so either may have it
 * without a word to the other. */
#define ZSTD_STATIC_LINKING_ONLY /* for a context whose window is memory of ours */
#include "pack_impl.h"
#include <malloc.h>
#include <stdlib.h>

enum {
	OWN = 1 << 20, /* what a context allocates for anything but its window is smaller */
	LARGEST = PACK_STEP + (1 << PACK_WINDOW_LOG) + PACK_AROUND,
};
_Static_assert(LARGEST >= PACK_STEP + PACK_MOST_PREFIX + PACK_SEGMENT, "a delta has room, too");

struct pack_scratch *pack_scratch_new(void)
{
	return xcalloc(1, sizeof(struct pack_scratch));
}

struct pack_scratch *pack_scratch_of(const struct pack_stream_opts *o, struct pack_scratch *own)
{
	return o->scratch ? o->scratch : own;
}

static void *window_alloc(void *arg, size_t n)
{
	struct pack_scratch *s = arg;

	if (n <= OWN || s->lent || n > s->cap || PACK_STEP > s->cap - n) {
		void *p = malloc(n);
		s->apart += malloc_usable_size(p);
		return p;
	}
	s->lent = true;
	return s->p + PACK_STEP;
}

static void window_free(void *arg, void *p)
{
	struct pack_scratch *s = arg;

	if (s->lent && p == s->p + PACK_STEP) {
		s->lent = false;
		return;
	}
	s->apart -= malloc_usable_size(p);
	free(p);
}

void pack_scratch_release(struct pack_scratch *s)
{
	ZSTD_freeDCtx(s->d);
	free(s->p);
	*s = (struct pack_scratch){ 0 };
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
	return s->touched + s->apart;
}

/* What is never touched takes no memory, so there are two sizes, and what is larger than either. A context may have its
 * window in the block that goes. */
static void reserve(struct pack_scratch *s, size_t n)
{
	if (n > s->cap) {
		size_t large = n <= LARGEST ? LARGEST : n;
		pack_scratch_release(s);
		s->cap = n <= PACK_PIECE ? PACK_PIECE : large;
		s->p = xmalloc(s->cap);
	}
	if (n > s->touched)
		s->touched = n;
}

uint8_t *pack_scratch_buf(struct pack_scratch *s, size_t n)
{
	reserve(s, n);
	return s->p;
}

ZSTD_DCtx *pack_scratch_context(struct pack_scratch *s, uint64_t window)
{
	if (window > 0)
		reserve(s, PACK_STEP + (size_t)window + PACK_AROUND);
	if (!s->d && !(s->d = ZSTD_createDCtx_advanced((ZSTD_customMem){ window_alloc, window_free, s })))
		die_oom(0);
	ZSTD_DCtx_reset(s->d, ZSTD_reset_session_and_parameters);
	ZSTD_DCtx_setParameter(s->d, ZSTD_d_windowLogMax, PACK_WINDOW_LOG);
	return s->d;
}
