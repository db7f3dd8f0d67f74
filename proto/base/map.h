/* map — from a str to a 32-bit number (an index into somebody's table).
 *
 * Open addressing, heap memory, keys borrowed: they must outlive the map.
 * One thread at a time. */
#pragma once
#include "base/arena.h"

struct map {
	struct map_cell *cell;
	uint32_t n, mask; /* mask + 1 cells, a power of two; 0 cells when empty */
};
#define MAP_INIT ((struct map){ 0 })
#define MAP_NONE UINT32_MAX

/* Makes room for N keys at once, of an empty map. */
void map_reserve(struct map *m, size_t n);
/* The number under KEY, or MAP_NONE. */
uint32_t map_get(const struct map *m, str key);
/* It is about to be asked for, and others are before it: what is far away in memory comes meanwhile. */
void map_expect(const struct map *m, str key);
/* Puts VALUE under KEY unless there is one; returns what is there afterwards. *fresh (may be
 * NULL): whether it is new. */
uint32_t map_add(struct map *m, str key, uint32_t value, bool *fresh);
/* map_add() of a key that does not outlive the map: a new one is copied to KEEP. *key: the key as the map has it. */
uint32_t map_add_copy(struct map *m, str *key, uint32_t value, struct arena *keep, bool *fresh);
/* Puts or replaces. */
void map_set(struct map *m, str key, uint32_t value);
void map_release(struct map *m);
