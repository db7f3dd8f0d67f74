/* frames — the bounded queue between a plan source's thread and the install's loop.
 *
 * The source's thread calls frames_put() as its sink: frames are copied into
 * batches and a full queue makes it wait. The loop takes whole batches, whose
 * memory is then its own, for as long as it likes. The source's end, good or bad, comes after the last frame. */
#pragma once
#include "source.h"

struct frame_batch {
	struct frame_batch *next;
	struct arena arena;
	const struct frame **frame; /* each only as long as its kind needs */
	size_t n;
};
struct frames;
/* Starts S on a thread of its own. Borrows S and REQ. */
MUST_USE int frames_start(struct frames **out, struct source *s, const struct request *req, struct err *e);
/* Readable when frames_take() has something, or the source has ended. */
int frames_fd(const struct frames *q);
/* The next batch, the caller's to free; NULL when there is none now. */
struct frame_batch *frames_take(struct frames *q);
/* True when the source has ended and all is taken; *code and *e say how. */
bool frames_ended(struct frames *q, int *code, struct err *e);
/* Cancels the source if it runs still, joins the thread. */
void frames_free(struct frames *q);
void frame_batch_free(struct frame_batch *b);

/* A copy of F, with all that it points at, in A. */
struct frame frame_dup(const struct frame *f, struct arena *a);
