/* kept — what installs keep in the store to be quicker the next time: <store>/plans/<64 hex>, one file a key.
 *
 * A key stands for everything that decided the content, so a file is never
 * changed, only replaced by rename or let go. All of them can be lost at any
 * time. Bounded: the least recently used go first. Format of each: u64 magic, u64
 * bytes of the body, u64 CRC-64 of the body, body; what does not hold together
 * counts as absent. */
#pragma once
#include "base/base.h"

#define KEPT_HEAD 24u
#define KEPT_BYTES_MAX (96u << 20)

/* Appends the head of a file whose body follows; returns where it is. */
size_t kept_begin(struct buf *out, uint64_t magic);
/* The body is whole: it is all behind the head. */
void kept_end(struct buf *out, size_t head);
/* The body of BYTES, borrowed; false: not of that kind, cut off, or spoiled. */
bool kept_body(str *out, str bytes, uint64_t magic);

/* Reads what is kept under KEY into OUT. False: nothing that can be read. */
bool kept_get(struct buf *out, const char *store_dir, const uint8_t key[32]);
/* Keeps BYTES under KEY, by rename, and lets go of the least used ones. What is larger than KEPT_BYTES_MAX
 * is not kept: ERR_TOOBIG. */
MUST_USE int kept_put(const char *store_dir, const uint8_t key[32], str bytes, struct err *e);
/* Removes what nobody has used for UNUSED_S seconds, and what killed processes left half-written.
 * Returns how many those are. */
uint64_t kept_prune(const char *store_dir, int64_t unused_s, bool dry_run);
