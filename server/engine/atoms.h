/* atoms — every string of a resolution as a number, with what was parsed from it.
 *
 * Names, versions, ranges, ids: equal text has the equal number, so the graph
 * compares and hashes integers. Number 0 is "absent". Strings are borrowed and
 * must outlive the table; ranges and versions are parsed once, on demand. One
 * thread. */
#pragma once
#include "semver.h"

typedef uint32_t atom;

struct atom_rec {
	str s;
	const struct range *range;
	const struct semver *version;
	bool range_known, version_known;
	bool is_name; /* package.c: checked, and a package may be called so */
	uint8_t spec; /* pick.c: 0 not read yet, else what it asks of a registry; spec_fetch: by which text */
	atom spec_fetch;
	atom peer_range; /* pick.c: what it asks of a peer; 0: not read yet */
};
struct atom_cell {
	uint32_t hash;
	atom x; /* 0: free */
};
struct atoms {
	struct arena *a;
	struct atom_rec *rec;
	size_t n, cap;
	struct atom_cell *cell;
	uint32_t mask;
};

void atoms_init(struct atoms *t, struct arena *a);
void atoms_release(struct atoms *t);
/* The number of S, whose bytes have to outlive the table where it is new. */
atom atom_of(struct atoms *t, str s);
/* The same for text that does not outlive the call: copied when it is new. */
atom atom_copy(struct atoms *t, str s);
/* The same of what printf makes of its arguments. */
PRINTF_LIKE(2, 3) atom atom_fmt(struct atoms *t, const char *fmt, ...);
static inline str atom_str(const struct atoms *t, atom x)
{
	return t->rec[x].s;
}
/* node-semver, loose; NULL when the text is no range (or no version). */
const struct range *atom_range(struct atoms *t, atom x);
const struct semver *atom_semver(struct atoms *t, atom x);
static inline int atom_cmp(const struct atoms *t, atom x, atom y)
{
	return x == y ? 0 : str_cmp(t->rec[x].s, t->rec[y].s);
}

/* Where X is among N rows at P that begin with an atom and ascend by it, or would be: the first that is not below X. */
#define atom_lower_bound(p, n, x) atom_lower_bound_rows((p), (n), sizeof(*(p)), (x))
static inline uint32_t atom_lower_bound_rows(const void *p, size_t n, size_t size, atom x)
{
	uint32_t lo = 0, hi = (uint32_t)n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (*(const atom *)(const void *)((const char *)p + mid * size) < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A set of atoms, ascending by number; never changed once made. */
struct atomset {
	uint32_t n;
	atom v[];
};
extern const struct atomset atomset_none;
/* Sorts and dedupes V in place, then copies it. */
const struct atomset *atomset_of(struct arena *a, atom *v, size_t n);
const struct atomset *atomset_dup(struct arena *a, const struct atomset *s);
/* What is in X or Y: in A, or one of them. */
const struct atomset *atomset_union(struct arena *a, const struct atomset *x, const struct atomset *y);
/* By halves. */
bool atomset_has(const struct atomset *s, atom x);
bool atomset_eq(const struct atomset *x, const struct atomset *y);
