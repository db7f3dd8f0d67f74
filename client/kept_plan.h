/* kept_plan — a lockfile that satisfies its project, as a flat file: the binary plan of a warm install.
 *
 * Kept in the store (kept.h) under plan_key(). Where one fits, an install parses no YAML and compares no manifests:
 * strings are borrowed from the file, arrays are made at once. Pure.
 *
 * Format: the head of kept.h, then the model of proto/lockfile.h in its order: numbers u32, flags u8, a string as
 * u32 length and bytes (0xffffffff: absent), an array as u32 count and items; at the end a byte for each
 * snapshot: source_locked_marks(). */
#pragma once
#include "lockfile.h"

struct kept_plan {
	struct lockfile lf;
	const uint8_t *mark; /* by snapshot, 0 to 2 */
};
/* Reads BYTES; strings borrow from them, arrays are in A. ERR_PARSE: not a plan, cut off, spoiled. */
MUST_USE int kept_plan_parse(struct kept_plan *out, str bytes, struct arena *a, struct err *e);
/* Appends the whole file. */
void kept_plan_print(struct buf *out, const struct kept_plan *p);
