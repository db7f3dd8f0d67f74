#include "range.h"

static bool holds(const struct comparator *c, const struct semver *v)
{
	if (c->op == OP_ANY)
		return true;
	int d = semver_cmp(v, &c->v);
	switch (c->op) {
	case OP_GT:
		return d > 0;
	case OP_GE:
		return d >= 0;
	case OP_LT:
		return d < 0;
	case OP_LE:
		return d <= 0;
	default:
		return d == 0;
	}
}

static bool same_tuple(const struct semver *a, const struct semver *b)
{
	return a->major == b->major && a->minor == b->minor && a->patch == b->patch;
}

static bool all_hold(const struct comparator *c, uint32_t n, const struct semver *v, bool include_prerelease)
{
	bool named = v->pre.n == 0 || include_prerelease;

	for (uint32_t i = 0; i < n; i++) {
		if (!holds(&c[i], v))
			return false;
		named = named || (c[i].v.pre.n && same_tuple(&c[i].v, v));
	}
	return named;
}

bool range_has(const struct range *r, const struct semver *v, bool include_prerelease)
{
	const struct comparators *c = &r->reading[include_prerelease];
	bool wants_name = v->pre.n && !include_prerelease;

	for (uint32_t i = 0; i < c->nalt; i++) {
		const struct alternative *alt = &c->alt[i];
		if (wants_name && !alt->names_pre)
			continue;
		if (all_hold(c->cmp + alt->from, alt->n, v, include_prerelease))
			return true;
	}
	return false;
}

static bool is_lower(enum range_op op)
{
	return op == OP_GT || op == OP_GE;
}

static bool is_upper(enum range_op op)
{
	return op == OP_LT || op == OP_LE;
}

/* The bounds of one alternative. */
static void alternative_bounds(
	const struct comparator *c, uint32_t n, const struct semver **low, const struct semver **high)
{
	*low = *high = NULL;
	for (uint32_t i = 0; i < n; i++) {
		if ((is_lower(c[i].op) || c[i].op == OP_EQ) && (!*low || semver_cmp(&c[i].v, *low) > 0))
			*low = &c[i].v;
		if ((is_upper(c[i].op) || c[i].op == OP_EQ) && (!*high || semver_cmp(&c[i].v, *high) < 0))
			*high = &c[i].v;
	}
}

void range_bounds(const struct range *r, const struct semver **low, const struct semver **high, bool include_prerelease)
{
	const struct comparators *c = &r->reading[include_prerelease];
	const struct semver *from, *to;

	*low = *high = NULL;
	for (uint32_t i = 0; i < c->nalt; i++) {
		alternative_bounds(c->cmp + c->alt[i].from, c->alt[i].n, &from, &to);
		if (i == 0) {
			*low = from;
			*high = to;
			continue;
		}
		*low = !*low || !from ? NULL : semver_cmp(from, *low) < 0 ? from : *low;
		*high = !*high || !to ? NULL : semver_cmp(to, *high) > 0 ? to : *high;
	}
}

/* An upper bound below every version, as node-semver sees it: without prereleases anything that starts "<0.0.0". */
static bool below_all(const struct comparator *c, bool include_prerelease)
{
	return c->op == OP_LT && c->v.major == 0 && c->v.minor == 0 && c->v.patch == 0 &&
	       (!include_prerelease || str_eq(c->v.pre, STR("0")));
}

static bool comparators_meet(const struct comparator *a, const struct comparator *b, bool include_prerelease)
{
	if (a->op == OP_ANY)
		return true;
	if (a->op ==
		OP_EQ) /* also before an "any", which then refuses a prerelease: node-semver isn't symmetric here */
		return all_hold(b, 1, &a->v, include_prerelease);
	if (b->op == OP_ANY)
		return true;
	if (b->op == OP_EQ)
		return all_hold(a, 1, &b->v, include_prerelease);
	if (below_all(a, include_prerelease) || below_all(b, include_prerelease))
		return false;
	if (is_lower(a->op) == is_lower(b->op))
		return true;
	if ((a->op == OP_GE || a->op == OP_LE) && (b->op == OP_GE || b->op == OP_LE) && semver_same(&a->v, &b->v))
		return true;
	int d = semver_cmp(&a->v, &b->v);
	return is_lower(a->op) ? d < 0 : d > 0;
}

static bool each_meets_each(const struct comparator *a, uint32_t na, const struct comparator *b, uint32_t nb, bool pre)
{
	for (uint32_t i = 0; i < na; i++) {
		for (uint32_t k = 0; k < nb; k++) {
			if (!comparators_meet(&a[i], &b[k], pre))
				return false;
		}
	}
	return true;
}

bool comparators_satisfiable(const struct comparator *c, size_t n, bool pre)
{
	for (uint32_t last = (uint32_t)n; last-- > 1;) {
		if (!each_meets_each(&c[last], 1, c, last, pre))
			return false;
	}
	return true;
}

bool range_intersects(const struct range *a, const struct range *b, bool include_prerelease)
{
	const struct comparators *p = &a->reading[include_prerelease], *q = &b->reading[include_prerelease];

	for (uint32_t i = 0; i < p->nalt; i++) {
		const struct comparator *pc = p->cmp + p->alt[i].from;
		if (!comparators_satisfiable(pc, p->alt[i].n, include_prerelease))
			continue;
		for (uint32_t k = 0; k < q->nalt; k++) {
			const struct comparator *qc = q->cmp + q->alt[k].from;
			if (comparators_satisfiable(qc, q->alt[k].n, include_prerelease) &&
				each_meets_each(pc, p->alt[i].n, qc, q->alt[k].n, include_prerelease))
				return true;
		}
	}
	return false;
}

str range_print(const struct range *r, struct arena *a)
{
	static const char *const ops[] = { "", "", ">", ">=", "<", "<=" };
	AUTO(buf_release) struct buf b = BUF_INIT;
	const struct comparators *c = &r->reading[0];

	for (uint32_t i = 0; i < c->nalt; i++) {
		if (i)
			buf_add(&b, STR("||"));
		for (uint32_t k = 0; k < c->alt[i].n; k++) {
			const struct comparator *p = &c->cmp[c->alt[i].from + k];
			if (k)
				buf_addc(&b, ' ');
			buf_add(&b, str_of(ops[p->op]));
			if (p->op != OP_ANY)
				buf_add(&b, semver_print(&p->v, a));
		}
	}
	return arena_str(a, buf_str(&b));
}
