#include "first_pick.h"
#include "prefer.h"

struct first_pick {
	struct first_key k; /* .alias 0: free */
	uint32_t version;
	bool young;
};

bool first_pick_contested(struct run *r, atom name)
{
	const struct selectors *s = r->nimporter > 1 ? preferred_of(r, name) : NULL;
	return s && s->direct;
}

atom first_pick_above(struct run *r, const struct level *level, atom name)
{
	VEC(atom) v = VEC_INIT;
	for (; level; level = level->up)
		for (uint32_t i = level_find(level, name); i < level->n && level->p[i].k == name; i++) {
			size_t at = v.n;
			while (at && atom_cmp(&r->t, v.p[at - 1], level->p[i].v) > 0)
				at--;
			if (at && v.p[at - 1] == level->p[i].v)
				continue;
			*vec_add(&v) = 0;
			memmove(v.p + at + 1, v.p + at, (v.n - 1 - at) * sizeof(*v.p));
			v.p[at] = level->p[i].v;
		}
	AUTO(buf_release) struct buf b = BUF_INIT;
	for (size_t i = 0; i < v.n; i++)
		buf_printf(&b, "%s" STR_FMT, i ? " " : "", SA(r, v.p[i]));
	vec_release(&v);
	return b.n ? atom_copy(&r->t, buf_str(&b)) : 0;
}

static bool key_eq(const struct first_key *a, const struct first_key *b)
{
	return a->alias == b->alias && a->spec == b->spec && a->above == b->above && a->cutoff == b->cutoff &&
	       a->key == b->key && a->optional == b->optional && a->lowest == b->lowest;
}

static struct first_pick *cell(struct first_pick *table, size_t mask, const struct first_key *k)
{
	uint64_t h = k->alias * 0x9E3779B97F4A7C15u ^ k->spec * 0xC2B2AE3D27D4EB4Fu ^ k->above * 0x165667B19E3779F9u;
	for (h ^= h >> 32;; h++) {
		struct first_pick *c = &table[h & mask];
		if (!c->k.alias || key_eq(&c->k, k))
			return c;
	}
}

uint32_t first_pick_get(struct run *r, const struct first_key *k, bool *young)
{
	if (!r->firsts)
		return NONE;
	const struct first_pick *c = cell(r->first, r->firsts - 1, k);
	*young = c->young;
	return c->k.alias ? c->version : NONE;
}

static void grow(struct run *r)
{
	size_t n = r->firsts ? r->firsts * 2 : 256;
	struct first_pick *table = arena_new(&r->arena, struct first_pick, n);
	for (size_t i = 0; i < r->firsts; i++)
		if (r->first[i].k.alias)
			*cell(table, n - 1, &r->first[i].k) = r->first[i];
	r->first = table;
	r->firsts = n;
}

void first_pick_put(struct run *r, const struct first_key *k, uint32_t version, bool young)
{
	if (r->nfirst * 2 >= r->firsts)
		grow(r);
	struct first_pick *c = cell(r->first, r->firsts - 1, k);
	if (c->k.alias)
		return;
	*c = (struct first_pick){ *k, version, young };
	r->nfirst++;
}
