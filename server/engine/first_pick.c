#include "first_pick.h"
#include "prefer.h"

struct first_pick {
	struct first_key k; /* .alias 0: free */
	struct packument packument;
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

static bool first_taken(const void *row)
{
	return ((const struct first_pick *)row)->k.alias;
}

static uint64_t first_hash(const void *row)
{
	const struct first_key *k = &((const struct first_pick *)row)->k;
	return k->alias * 0x9E3779B97F4A7C15u ^ k->spec * 0xC2B2AE3D27D4EB4Fu ^ k->above * 0x165667B19E3779F9u;
}

static bool first_same(const void *row, const void *key)
{
	const struct first_key *a = &((const struct first_pick *)row)->k, *b = &((const struct first_pick *)key)->k;
	return a->alias == b->alias && a->spec == b->spec && a->above == b->above && a->cutoff == b->cutoff &&
	       a->key == b->key && a->optional == b->optional && a->lowest == b->lowest;
}

static const struct rows_kind first_kind = { sizeof(struct first_pick), 256, first_taken, first_hash, first_same };

uint32_t first_pick_get(struct run *r, const struct first_key *k, struct packument *p, bool *young)
{
	struct first_pick key = { .k = *k };
	const struct first_pick *c = rows_find(&r->first, &first_kind, &key);
	*young = c && c->young;
	if (c)
		*p = c->packument;
	return c ? c->version : NONE;
}

void first_pick_put(struct run *r, const struct first_key *k, struct packument p, uint32_t version, bool young)
{
	struct first_pick row = { *k, p, version, young };
	bool fresh;
	rows_slot(&r->first, &first_kind, &row, &fresh, &r->arena);
}
