#include "packument_compile.h"
#include <stdlib.h>

/* A string that is not expected to occur again: no look-up. */
uint32_t pk_string_push(struct compile *c, str s)
{
	if (s.n == 0 && c->string.n)
		return 0;
	*vec_add(&c->string) = s;
	*vec_add(&c->mark) = 0;
	return (uint32_t)(c->string.n - 1);
}

static void string_rehash(struct compile *c)
{
	uint32_t n = c->scell ? (c->smask + 1) * 2 : 256, *cell = xcalloc(n, sizeof(*cell));

	for (uint32_t i = 0; c->scell && i <= c->smask; i++) {
		if (!c->scell[i])
			continue;
		uint32_t h = (uint32_t)str_hash(c->string.p[c->scell[i] - 1]);
		while (cell[h & (n - 1)])
			h++;
		cell[h & (n - 1)] = c->scell[i];
	}
	free(c->scell);
	c->scell = cell;
	c->smask = n - 1;
}

uint32_t pk_string_id(struct compile *c, str s)
{
	if (s.n == 0)
		return 0;
	if (c->nscell * 2 >= c->smask)
		string_rehash(c);
	uint32_t h = (uint32_t)str_hash(s);
	for (;; h++) {
		uint32_t id = c->scell[h & c->smask];
		if (id == 0)
			break;
		if (str_eq(c->string.p[id - 1], s))
			return id - 1;
	}
	uint32_t id = pk_string_push(c, s);
	c->nscell++;
	c->scell[h & c->smask] = id + 1;
	return id;
}

static str group_bytes(const struct compile *c, uint32_t g)
{
	return (str){ (const char *)(c->pool.p + c->group.p[g]),
		(c->group.p[g + 1] - c->group.p[g]) * sizeof(uint32_t) };
}

static void group_rehash(struct compile *c)
{
	uint32_t n = c->gcell ? (c->gmask + 1) * 2 : 64, *cell = xcalloc(n, sizeof(*cell));

	for (uint32_t i = 0; c->gcell && i <= c->gmask; i++) {
		if (!c->gcell[i])
			continue;
		uint32_t h = (uint32_t)str_hash(group_bytes(c, c->gcell[i] - 1));
		while (cell[h & (n - 1)])
			h++;
		cell[h & (n - 1)] = c->gcell[i];
	}
	free(c->gcell);
	c->gcell = cell;
	c->gmask = n - 1;
}

/* The group whose members are those in .scratch. */
uint32_t pk_group_id(struct compile *c)
{
	str members = { (const char *)c->scratch.p, c->scratch.n * sizeof(uint32_t) };

	if (members.n == 0)
		return 0;
	if (c->group.n * 2 > c->gmask)
		group_rehash(c);
	uint32_t h = (uint32_t)str_hash(members);
	for (;; h++) {
		uint32_t g = c->gcell[h & c->gmask];
		if (g == 0)
			break;
		if (str_eq(group_bytes(c, g - 1), members))
			return g - 1;
	}
	for (size_t i = 0; i < c->scratch.n; i++)
		*vec_add(&c->pool) = c->scratch.p[i];
	*vec_add(&c->group) = (uint32_t)c->pool.n;
	c->gcell[h & c->gmask] = (uint32_t)c->group.n - 1;
	return (uint32_t)c->group.n - 2;
}

/* Whether the value that comes next was read before, word for word: then it is consumed. A value that begins with a
 * whole value *is* that value, for objects and arrays. */
bool pk_memo_hit(struct compile *c, unsigned kind, uint32_t *group)
{
	scan_peek(&c->s);
	size_t left = (size_t)(c->s.end - c->s.p);
	for (unsigned i = 0; i < MEMO_WAYS; i++) {
		const struct memo_entry *m = &c->memo[kind][(c->memo_at[kind] - i) % MEMO_WAYS];
		if (m->raw.n && m->raw.n <= left && memcmp(m->raw.p, c->s.p, m->raw.n) == 0) {
			*group = m->group;
			c->s.p += m->raw.n;
			return true;
		}
	}
	return false;
}

void pk_memo_put(struct compile *c, unsigned kind, const char *from, uint32_t group)
{
	if (c->s.bad || (*from != '{' && *from != '['))
		return;
	c->memo[kind][++c->memo_at[kind] % MEMO_WAYS] =
		(struct memo_entry){ .raw = { from, (size_t)(c->s.p - from) }, .group = group };
}

/* Puts KEY: VALUE into .scratch: a repeated key keeps its first place and gets the last value, as in JavaScript. The
 * mark of a string is where it stands as a key of this map; it is wiped by pk_map_end(). */
void pk_map_put(struct compile *c, uint32_t key, uint32_t value)
{
	if (c->mark.p[key]) {
		c->scratch.p[c->mark.p[key]] = value;
		return;
	}
	*vec_add(&c->scratch) = key;
	*vec_add(&c->scratch) = value;
	c->mark.p[key] = (uint32_t)c->scratch.n - 1;
}

uint32_t pk_map_end(struct compile *c)
{
	for (size_t i = 0; i < c->scratch.n; i += 2)
		c->mark.p[c->scratch.p[i]] = 0;
	return pk_group_id(c);
}
