/* io_denied — packuments that a wrapper of the engine's io answers itself, with an error: nothing of them is asked for.
 *
 * The engine meets the error where it needs the packument; one that was only foreseen troubles nobody. One
 * plan, the engine's thread. */
#pragma once
#include "base/vec.h"
#include "engine.h"

struct io_denied {
	VEC(struct io_denial *) all; /* kept until the end: the engine borrows */
	size_t told;                 /* of them */
};
void io_denied_release(struct io_denied *d);
/* TICKET's answer is WHY. */
void io_denied_add(struct io_denied *d, uint32_t ticket, const struct err *why);
/* Hands out answers that were not handed out before, CAP at most, as engine_io.wait does. 0: there is none. */
uint32_t io_denied_tell(struct io_denied *d, uint32_t *ticket, const struct engine_packument **got, uint32_t cap);
