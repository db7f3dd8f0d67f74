#include "prefer.h"
#include "pick.h"
#include "reuse.h"

static struct selectors *table_at(struct selector_table *t, atom name)
{
	t->p = by_atom(t->p, &t->n, name, sizeof(*t->p));
	return &t->p[name];
}

static const struct selectors *table_get(const struct selector_table *t, atom name)
{
	return name < t->n && t->p[name].n ? &t->p[name] : NULL;
}

static struct selector *selector_of(struct run *r, struct selectors *s, atom spec, enum selector_kind kind)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->p[i].spec == spec)
			return &s->p[i];
	struct selector *x = arena_add(&r->arena, s->p, s->n);
	*x = (struct selector){ spec, kind, 0 };
	return x;
}

const struct selectors *preferred_of(struct run *r, atom name)
{
	return table_get(&r->preferred, name);
}

/* Where NAME is among what IMP's own manifest prefers, or would be. */
static uint32_t own_at(const struct importer *imp, atom name)
{
	return atom_lower_bound(imp->own, imp->nown, name);
}

const struct selectors *preferred_for(struct run *r, const struct importer *imp, atom name)
{
	uint32_t i = own_at(imp, name);
	if (i < imp->nown && imp->own[i].name == name)
		return &imp->own[i].preferred;
	return table_get(&r->locked, name);
}

/* S, of NAME, without VERSION as one of the lockfile's; the same for all who ask. */
static const struct selectors *without_locked(struct run *r, const struct selectors *s, atom name, atom version)
{
	uint32_t at = atom_lower_bound(r->unlocked_of, r->nunlocked_of, name);
	for (; at < r->nunlocked_of && r->unlocked_of[at].name == name; at++)
		if (r->unlocked_of[at].version == version)
			return r->unlocked_of[at].preferred;
	struct selectors *out = arena_new(&r->arena, struct selectors, 1);
	*out = (struct selectors){ arena_new(&r->arena, struct selector, s->n + 1), 0, s->direct };
	for (uint32_t i = 0; i < s->n; i++) {
		struct selector x = s->p[i];
		if (x.spec == version && x.kind == SEL_VERSION)
			x.weight %= PREFER_LOCKED;
		if (x.weight)
			out->p[out->n++] = x;
	}
	arena_room(&r->arena, r->unlocked_of, r->nunlocked_of);
	memmove(r->unlocked_of + at + 1, r->unlocked_of + at, (r->nunlocked_of++ - at) * sizeof(*r->unlocked_of));
	r->unlocked_of[at] = (struct unlocked_version){ name, version, out };
	return out;
}

const struct selectors *preferred_to_choose(
	struct run *r, const struct importer *imp, const struct wanted *w, atom name)
{
	if (!w->peer)
		return preferred_for(r, imp, name);
	const struct selectors *s = preferred_of(r, name);
	atom was = s ? reuse_direct_version(r, imp, w->alias, name) : 0;
	return was ? without_locked(r, s, name, was) : s;
}

bool preferred_own(struct run *r, const struct importer *imp, atom name, atom version, bool *exact)
{
	uint32_t at = own_at(imp, name);
	const struct semver *v = version ? atom_semver(&r->t, version) : NULL;
	*exact = false;
	if (!v || at == imp->nown || imp->own[at].name != name)
		return false;
	bool found = false;
	for (uint32_t i = 0; i < imp->own[at].preferred.n; i++) {
		const struct selector *s = &imp->own[at].preferred.p[i];
		if (!(s->weight % PREFER_LOCKED))
			continue;
		const struct range *range = s->kind == SEL_RANGE ? solid_range(r, s->spec) : NULL;
		*exact = *exact || s->spec == version;
		found = found || s->spec == version || s->kind == SEL_TAG || (range && range_has(range, v, false));
	}
	return found;
}

static void direct_set(struct run *r, struct selectors *s, atom spec, enum selector_kind kind)
{
	struct selector *x = selector_of(r, s, spec, kind);
	x->kind = kind;
	x->weight = PREFER_DIRECT;
}

void preferred_direct(struct run *r, struct importer *imp, atom name, atom spec, enum selector_kind kind)
{
	uint32_t i = own_at(imp, name);
	if (i == imp->nown || imp->own[i].name != name) {
		arena_room(&r->arena, imp->own, imp->nown);
		memmove(imp->own + i + 1, imp->own + i, (imp->nown++ - i) * sizeof(*imp->own));
		imp->own[i] = (struct own_preferred){ .name = name };
	}
	direct_set(r, &imp->own[i].preferred, spec, kind);
	direct_set(r, table_at(&r->preferred, name), spec, kind);
	table_at(&r->preferred, name)->direct = true;
}

static void locked_set(struct run *r, struct selectors *s, atom version)
{
	struct selector *x = selector_of(r, s, version, SEL_VERSION);
	x->kind = SEL_VERSION;
	if (x->weight < PREFER_LOCKED)
		x->weight += PREFER_LOCKED;
}

void preferred_locked(struct run *r, atom name, atom version)
{
	locked_set(r, table_at(&r->preferred, name), version);
	locked_set(r, table_at(&r->locked, name), version);
}

void preferred_locked_end(struct run *r)
{
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < r->importer[i].nown; k++) {
			struct own_preferred *own = &r->importer[i].own[k];
			const struct selectors *s = table_get(&r->locked, own->name);
			for (uint32_t n = 0; s && n < s->n; n++)
				locked_set(r, &own->preferred, s->p[n].spec);
		}
}

void preferred_release(struct run *r)
{
	free(r->preferred.p);
	free(r->locked.p);
}
