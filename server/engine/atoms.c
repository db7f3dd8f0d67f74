#include "atoms.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const struct atomset atomset_none = { 0 };

void atoms_init(struct atoms *t, struct arena *a)
{
	*t = (struct atoms){ .a = a, .cap = 1u << 14, .mask = (1u << 15) - 1 };
	t->rec = xcalloc(t->cap, sizeof(*t->rec));
	t->cell = xcalloc((size_t)t->mask + 1, sizeof(*t->cell));
	t->n = 1;
}

void atoms_release(struct atoms *t)
{
	free(t->rec);
	free(t->cell);
	*t = (struct atoms){ 0 };
}

static void table_grow(struct atoms *t)
{
	uint32_t mask = t->mask * 2 + 1;
	struct atom_cell *cell = xcalloc((size_t)mask + 1, sizeof(*cell));
	for (uint32_t i = 0; i <= t->mask; i++) {
		uint32_t h = t->cell[i].hash & mask;
		while (t->cell[i].x && cell[h].x)
			h = (h + 1) & mask;
		if (t->cell[i].x)
			cell[h] = t->cell[i];
	}
	free(t->cell);
	t->cell = cell;
	t->mask = mask;
}

/* S's cell, or the free one that it would get. Texts are compared only when their hashes are equal. */
static struct atom_cell *cell_of(struct atoms *t, str s, uint32_t hash)
{
	uint32_t h = hash & t->mask;
	while (t->cell[h].x && (t->cell[h].hash != hash || !str_eq(t->rec[t->cell[h].x].s, s)))
		h = (h + 1) & t->mask;
	return &t->cell[h];
}

static atom add(struct atoms *t, struct atom_cell *cell, str s, uint32_t hash)
{
	if (t->n == t->cap) {
		t->rec = xrealloc(t->rec, t->cap * 2 * sizeof(*t->rec));
		t->cap *= 2;
	}
	atom x = (atom)t->n++;
	t->rec[x] = (struct atom_rec){ .s = s };
	*cell = (struct atom_cell){ hash, x };
	if (t->n * 2 > t->mask)
		table_grow(t);
	return x;
}

atom atom_of(struct atoms *t, str s)
{
	uint32_t hash = (uint32_t)str_hash(s);
	struct atom_cell *c = cell_of(t, s, hash);
	return c->x ? c->x : add(t, c, s, hash);
}

atom atom_copy(struct atoms *t, str s)
{
	uint32_t hash = (uint32_t)str_hash(s);
	struct atom_cell *c = cell_of(t, s, hash);
	return c->x ? c->x : add(t, c, arena_str(t->a, s), hash);
}

atom atom_fmt(struct atoms *t, const char *fmt, ...)
{
	char small[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		return 0;
	if ((size_t)n < sizeof small)
		return atom_copy(t, (str){ small, (size_t)n });
	char *big = xmalloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	atom x = atom_copy(t, (str){ big, (size_t)n });
	free(big);
	return x;
}

const struct range *atom_range(struct atoms *t, atom x)
{
	struct atom_rec *r = &t->rec[x];
	if (!r->range_known) {
		r->range_known = true;
		r->range = range_parse_apart(r->s, true, t->a);
	}
	return r->range;
}

const struct semver *atom_semver(struct atoms *t, atom x)
{
	struct atom_rec *r = &t->rec[x];
	if (!r->version_known) {
		struct semver v;
		r->version_known = true;
		if (semver_parse(&v, str_trim(r->s), true)) {
			struct semver *keep = arena_new(t->a, struct semver, 1);
			*keep = v;
			r->version = keep;
		}
	}
	return r->version;
}

static int atom_order(const void *x, const void *y)
{
	atom a = *(const atom *)x, b = *(const atom *)y;
	return a < b ? -1 : a > b;
}

enum { FEW = 16 }; /* sorted sooner than qsort() has begun */

const struct atomset *atomset_of(struct arena *a, atom *v, size_t n)
{
	if (!n)
		return &atomset_none;
	if (n > FEW)
		qsort(v, n, sizeof(*v), atom_order);
	for (size_t i = 1; n <= FEW && i < n; i++)
		for (size_t k = i; k && v[k - 1] > v[k]; k--) {
			atom x = v[k];
			v[k] = v[k - 1];
			v[k - 1] = x;
		}
	struct atomset *s = arena_alloc(a, 1, sizeof(*s) + n * sizeof(atom), _Alignof(struct atomset));
	for (size_t i = 0; i < n; i++)
		if (!s->n || s->v[s->n - 1] != v[i])
			s->v[s->n++] = v[i];
	return s;
}

const struct atomset *atomset_dup(struct arena *a, const struct atomset *s)
{
	size_t bytes = sizeof(*s) + s->n * sizeof(atom);

	return s->n ? memcpy(arena_alloc(a, 1, bytes, _Alignof(struct atomset)), s, bytes) : &atomset_none;
}

const struct atomset *atomset_union(struct arena *a, const struct atomset *x, const struct atomset *y)
{
	uint32_t i = 0, k = 0;

	if (!y->n || x == y)
		return x;
	if (!x->n)
		return y;
	size_t most = (size_t)x->n + y->n;
	struct atomset *s = arena_alloc(a, 1, sizeof(*s) + most * sizeof(atom), _Alignof(struct atomset));
	while (i < x->n || k < y->n) {
		atom v = k == y->n || (i < x->n && x->v[i] < y->v[k]) ? x->v[i] : y->v[k];
		i += i < x->n && x->v[i] == v;
		k += k < y->n && y->v[k] == v;
		s->v[s->n++] = v;
	}
	return s;
}

bool atomset_has(const struct atomset *s, atom x)
{
	uint32_t i = atom_lower_bound(s->v, s->n, x);
	return i < s->n && s->v[i] == x;
}

bool atomset_eq(const struct atomset *x, const struct atomset *y)
{
	return x == y || (x->n == y->n && memcmp(x->v, y->v, x->n * sizeof(atom)) == 0);
}
