#include "catalog.h"
#include "lock_walk.h"
#include "rewrite_impl.h"

#define OTHERS (MAP_NONE - 1) /* leads to an alias: more than one entry, or none; no enumerator holds it */

struct catalogs {
	struct rewrite *x;
	struct map now;    /* by entry: its place in the settings */
	struct map locked; /* by entry: its place in the lockfile */
	struct map used;   /* entries that a project of the lockfile names */
	struct map via;    /* by alias: the entry through which all have it, or OTHERS */
};

/* One text for both names, whatever characters they have. In R's arena. */
static str entry_key(struct rewrite *x, str catalog, str alias)
{
	return arena_printf(&x->r->arena, "%zu:" STR_FMT STR_FMT, catalog.n, STR_ARG(catalog), STR_ARG(alias));
}

static void entries_read(struct catalogs *c)
{
	const struct settings *s = c->x->r->set;
	const struct lock_head *h = &c->x->from->head;
	for (size_t i = 0; i < s->ncatalog; i++)
		map_set(&c->now, entry_key(c->x, s->catalog[i].catalog, s->catalog[i].alias), (uint32_t)i);
	for (size_t i = 0; i < h->ncatalog; i++)
		map_add(&c->locked, entry_key(c->x, h->catalog[i].catalog, h->catalog[i].alias), (uint32_t)i, NULL);
}

static void catalogs_release(struct catalogs *c)
{
	map_release(&c->now);
	map_release(&c->locked);
	map_release(&c->used);
	map_release(&c->via);
}

/* Whether D's catalog: is still in a catalog, and has its row; what is no catalog: passes. */
static bool reference_known(struct catalogs *c, const struct lock_direct *d)
{
	str name = catalog_name(d->specifier);
	if (!name.n) {
		map_set(&c->via, d->alias, OTHERS);
		return true;
	}
	str key = entry_key(c->x, name, d->alias);
	uint32_t at = map_get(&c->locked, key);
	if (at == MAP_NONE || map_get(&c->now, key) == MAP_NONE)
		return false;
	map_set(&c->used, key, 1);
	if (map_add(&c->via, d->alias, at, NULL) != at)
		map_set(&c->via, d->alias, OTHERS);
	return true;
}

static bool references_known(struct catalogs *c)
{
	const struct lockfile *lf = c->x->from;
	for (size_t i = 0; i < lf->nimporters; i++)
		for (struct lock_walk at = lock_walk(&lf->importer[i]); lock_next(&at);)
			if (!reference_known(c, at.d))
				return false;
	return true;
}

/* What packages depend on is led to by others than catalogs, too. */
static void snapshots_lead(struct catalogs *c)
{
	const struct lockfile *lf = c->x->from;
	for (size_t i = 0; i < lf->nsnapshots; i++)
		for (struct lock_deps_walk at = lock_deps_walk(&lf->snapshot[i]); lock_deps_next(&at);)
			map_set(&c->via, at.d->alias, OTHERS);
}

/* Entry I of the lockfile, NOW its range: noted as a move. False where that cannot be: more than it leads there,
 * or it is no one version. */
static bool entry_moves(struct catalogs *c, uint32_t i, str now)
{
	struct run *r = c->x->r;
	const struct lock_catalog_entry *was = &c->x->from->head.catalog[i];
	atom to = atom_of(&r->t, now), from = atom_of(&r->t, was->version);
	uint32_t via = map_get(&c->via, was->alias);
	if (!atom_semver(&r->t, to) || !atom_semver(&r->t, from) || (via != MAP_NONE && via != i))
		return false;
	*vec_add(&c->x->move) = (struct move){ .name = was->alias, .to = to, .from = from };
	return true;
}

/* ENTRY, number I of the lockfile, with SPEC, which the settings have for it now. False where its version would have to
 * change, unless MOVES, which notes it. */
static bool entry_respecify(struct catalogs *c, uint32_t i, str spec, bool moves, struct lock_catalog_entry *entry)
{
	if (!version_in_range(c->x->r, entry->version, spec)) {
		if (!moves || !entry_moves(c, i, spec))
			return false;
		entry->version = spec;
	}
	entry->specifier = spec;
	return true;
}

/* Entries as the settings have them, into the copy; false where a version would have to change,
 * unless MOVES, which notes it. */
static bool catalogs_move(struct catalogs *c, bool moves, bool *changed)
{
	struct run *r = c->x->r;
	const struct lock_head *h = &c->x->from->head;
	struct lock_catalog_entry *out = arena_new(&r->arena, struct lock_catalog_entry, h->ncatalog + 1);
	size_t n = 0;
	*changed = false;
	for (size_t i = 0; i < h->ncatalog; i++) {
		struct lock_catalog_entry entry = h->catalog[i];
		str key = entry_key(c->x, entry.catalog, entry.alias);
		uint32_t at = map_get(&c->now, key);
		if (at == MAP_NONE) {
			if (moves || map_get(&c->used, key) != MAP_NONE)
				return false;
			*changed = true;
			continue;
		}
		str spec = r->set->catalog[at].specifier;
		if (!str_eq(spec, entry.specifier)) {
			*changed = true;
			if (!entry_respecify(c, (uint32_t)i, spec, moves, &entry))
				return false;
		}
		out[n++] = entry;
	}
	c->x->out.head.catalog = out;
	c->x->out.head.ncatalog = n;
	return true;
}

static bool overrides_use_catalogs(const struct settings *s)
{
	for (size_t i = 0; i < s->overrides.n; i++)
		if (str_starts(s->overrides.p[i].v, STR("catalog:")))
			return true;
	return false;
}

int catalogs_step(struct rewrite *x, bool patched, struct err *e)
{
	const struct settings *s = x->r->set;
	AUTO(catalogs_release) struct catalogs c = { .x = x };
	bool changed = false, by_catalogs = overrides_use_catalogs(s);
	entries_read(&c);
	if (!references_known(&c))
		return 0;
	if (catalogs_move(&c, false, &changed))
		return !changed || !by_catalogs;
	x->move.n = 0;
	if (patched || by_catalogs)
		return 0;
	snapshots_lead(&c);
	return catalogs_move(&c, true, &changed) ? moves_apply(x, e) : 0;
}
