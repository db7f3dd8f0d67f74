#include "part.h"
#include "dep_path.h"
#include "draw.h"
#include <stdlib.h>

struct candidate {
	uint64_t at; /* where the hash puts it */
	const struct lock_snapshot *s;
	str name, version;
};
/* Packages, not snapshots, are in a store: a package with other peers is there as well. */
struct part {
	const struct lockfile *lf;
	uint32_t *package; /* by snapshot: a number that those of one package share */
	uint32_t *slots;   /* by that number: how many that are not optional */
	bool *seen;        /* snapshots of the closure that is looked at */
	bool *has;         /* by package: in the part */
	bool *takes;       /* by package: in the closure that is looked at */
	struct arena *a;
};

static uint64_t hash_of(str s)
{
	uint64_t h = draw_of(s);

	return h ^ h >> 29;
}

/* Snapshots of one package follow each other, since a lockfile is sorted by dep path. */
static void number_packages(struct part *p)
{
	str last = STR_NONE;
	uint32_t n = 0;

	for (size_t i = 0; i < p->lf->nsnapshots; i++) {
		str key = dep_path_package_key(p->lf->snapshot[i].key);
		n += i && !str_eq(key, last);
		last = key;
		p->package[i] = n;
		p->slots[n] += !p->lf->snapshot[i].optional;
	}
}

/* Slots that S and what it depends on would add. */
static size_t walk(struct part *p, const struct lock_snapshot *s)
{
	size_t i = (size_t)(s - p->lf->snapshot), n = 0;

	if (p->seen[i])
		return 0;
	p->seen[i] = true;
	uint32_t k = p->package[i];
	if (!p->has[k] && !p->takes[k])
		n = p->slots[k];
	p->takes[k] = true;
	for (size_t d = 0; d < s->dependencies.n; d++) {
		const struct lock_dep *dep = &s->dependencies.p[d];
		str path = dep_path_from_ref(dep->alias, dep->ref, p->a);
		const struct lock_snapshot *next = path.n ? lockfile_snapshot(p->lf, path) : NULL;
		n += next ? walk(p, next) : 0;
	}
	return n;
}

static int by_hash(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	return (a->at > b->at) - (a->at < b->at);
}

/* What can be asked for by name and version alone: of the registry, needing no peers. */
static size_t list_candidates(struct candidate *out, const struct lockfile *lf)
{
	size_t n = 0;

	for (size_t i = 0; i < lf->nsnapshots; i++) {
		const struct lock_snapshot *s = &lf->snapshot[i];
		struct candidate c = { .s = s, .at = hash_of(s->key) };
		str suffix;
		dep_path_split(s->key, &c.name, &c.version, &suffix);
		if (!s->optional && suffix.n == 0 && c.version.n && str_find(c.version, ':', 0) == SIZE_MAX)
			out[n++] = c;
	}
	qsort(out, n, sizeof(*out), by_hash);
	return n;
}

struct str_map part_choose(double *share, const struct lockfile *lf, double want, struct arena *a)
{
	size_t n = lf->nsnapshots + 1, total = 0, have = 0;
	struct part p = { .lf = lf, .a = a };
	struct candidate *c = arena_new(a, struct candidate, n);
	struct str_map out = { .p = arena_new(a, struct str_kv, n) };

	p.package = arena_new(a, uint32_t, n);
	p.slots = arena_new(a, uint32_t, n);
	p.seen = arena_new(a, bool, n);
	p.has = arena_new(a, bool, n);
	p.takes = arena_new(a, bool, n);
	number_packages(&p);
	for (size_t i = 0; i < lf->nsnapshots; i++)
		total += !lf->snapshot[i].optional;
	size_t most = (size_t)(want * (double)total + 0.5), ncandidates = list_candidates(c, lf);
	for (size_t i = 0; i < ncandidates && have < most; i++) {
		memset(p.seen, 0, n * sizeof(bool));
		memset(p.takes, 0, n * sizeof(bool));
		size_t adds = walk(&p, c[i].s);
		if (adds == 0 || have + adds > most || str_map_get(out, c[i].name))
			continue;
		for (size_t k = 0; k < n; k++)
			p.has[k] |= p.takes[k];
		have += adds;
		out.p[out.n++] = (struct str_kv){ c[i].name, c[i].version };
	}
	*share = total ? (double)have / (double)total : 0;
	return out;
}
