#include "base/map.h"
#include <stdlib.h>

struct map_cell {
	str key;
	uint32_t hash, value;
	bool used;
};

static struct map_cell *map_cell(const struct map *m, str key, uint32_t hash)
{
	for (uint32_t i = hash;; i++) {
		struct map_cell *c = &m->cell[i & m->mask];
		if (!c->used || (c->hash == hash && str_eq(c->key, key)))
			return c;
	}
}

void map_reserve(struct map *m, size_t n)
{
	uint64_t cells = 16;

	while (cells * 3 < (uint64_t)n * 4)
		cells *= 2;
	if (m->cell || cells > UINT32_MAX / 2)
		return;
	m->cell = xcalloc((size_t)cells, sizeof(*m->cell));
	m->mask = (uint32_t)cells - 1;
}

static void map_grow(struct map *m)
{
	uint32_t cells = m->cell ? (m->mask + 1) * 2 : 16;
	struct map more = { .cell = xcalloc(cells, sizeof(*m->cell)), .n = m->n, .mask = cells - 1 };

	for (uint32_t i = 0; m->cell && i <= m->mask; i++) {
		if (m->cell[i].used)
			*map_cell(&more, m->cell[i].key, m->cell[i].hash) = m->cell[i];
	}
	free(m->cell);
	*m = more;
}

static uint32_t map_hash(str key)
{
	uint64_t h = str_hash(key);

	return (uint32_t)(h ^ (h >> 32));
}

uint32_t map_get(const struct map *m, str key)
{
	if (!m->cell)
		return MAP_NONE;
	const struct map_cell *c = map_cell(m, key, map_hash(key));
	return c->used ? c->value : MAP_NONE;
}

void map_expect(const struct map *m, str key)
{
	if (m->cell)
		__builtin_prefetch(&m->cell[map_hash(key) & m->mask]);
}

static struct map_cell *map_slot(struct map *m, str key, bool *fresh)
{
	if (!m->cell || (uint64_t)m->n * 4 >= (uint64_t)(m->mask + 1) * 3)
		map_grow(m);
	uint32_t hash = map_hash(key);
	struct map_cell *c = map_cell(m, key, hash);
	*fresh = !c->used;
	if (!c->used) {
		*c = (struct map_cell){ .key = key, .hash = hash, .used = true };
		m->n++;
	}
	return c;
}

uint32_t map_add(struct map *m, str key, uint32_t value, bool *fresh)
{
	bool is_new;
	struct map_cell *c = map_slot(m, key, &is_new);

	if (is_new)
		c->value = value;
	if (fresh)
		*fresh = is_new;
	return c->value;
}

uint32_t map_add_copy(struct map *m, str *key, uint32_t value, struct arena *keep, bool *fresh)
{
	bool is_new;
	struct map_cell *c = map_slot(m, *key, &is_new);

	if (is_new) {
		c->key = arena_str(keep, *key);
		c->value = value;
	}
	if (fresh)
		*fresh = is_new;
	*key = c->key;
	return c->value;
}

void map_set(struct map *m, str key, uint32_t value)
{
	bool is_new;

	map_slot(m, key, &is_new)->value = value;
}

void map_release(struct map *m)
{
	free(m->cell);
	*m = MAP_INIT;
}
