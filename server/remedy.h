/* remedy — what an operator can do about a drayd that does not start: a line after its message.
 *
 * Owns nothing. Any thread. */
#pragma once
#include "config.h"

/* Appends a line to OUT, or nothing where E's message says all there is. C: what was configured; NULL
 * when that could not be read. */
void remedy_print(struct buf *out, const struct err *e, const struct config *c);
