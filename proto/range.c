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

bool range_is_any(const struct range *r)
{
	return r->any;
}

const struct semver *range_exact(const struct range *r)
{
	const struct comparators *c = &r->reading[0];

	return c->nalt == 1 && c->alt[0].n == 1 && c->cmp[c->alt[0].from].op == OP_EQ ? &c->cmp[c->alt[0].from].v
										      : NULL;
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

static bool satisfiable(const struct comparator *c, uint32_t n, bool pre)
{
	for (uint32_t last = n; last-- > 1;) {
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
		if (!satisfiable(pc, p->alt[i].n, include_prerelease))
			continue;
		for (uint32_t k = 0; k < q->nalt; k++) {
			const struct comparator *qc = q->cmp + q->alt[k].from;
			if (satisfiable(qc, q->alt[k].n, include_prerelease) &&
				each_meets_each(pc, p->alt[i].n, qc, q->alt[k].n, include_prerelease))
				return true;
		}
	}
	return false;
}

/* The sharper of two lower bounds; A may be NULL, and stays when both are equally sharp. */
static const struct comparator *higher(const struct comparator *a, const struct comparator *b)
{
	int d = a ? semver_cmp(&a->v, &b->v) : -1;

	return d > 0 ? a : d < 0 ? b : b->op == OP_GT && a->op == OP_GE ? b : a;
}

static const struct comparator *lower(const struct comparator *a, const struct comparator *b)
{
	int d = a ? semver_cmp(&a->v, &b->v) : 1;

	return d < 0 ? a : d > 0 ? b : b->op == OP_LT && a->op == OP_LE ? b : a;
}

/* What node-semver's subset() says of two alternatives; EMPTY: nothing satisfies the first. */
enum subset { SUBSET_NO = 0, SUBSET_YES, SUBSET_EMPTY };

struct bounds {
	const struct comparator *gt, *lt, *eq;
	unsigned neq;
	bool touch; /* gt and lt name the same version */
};

static enum subset eq_subset(
	const struct bounds *s, const struct comparator *dom, uint32_t ndom, bool include_prerelease)
{
	const struct semver *v = &s->eq->v;

	if ((s->gt && !all_hold(s->gt, 1, v, include_prerelease)) ||
		(s->lt && !all_hold(s->lt, 1, v, include_prerelease)))
		return SUBSET_EMPTY;
	for (uint32_t i = 0; i < ndom; i++) {
		if (!all_hold(&dom[i], 1, v, include_prerelease))
			return SUBSET_NO;
	}
	return SUBSET_YES;
}

/* Whether one comparator C of the larger side leaves out what BOUND still lets in. */
static bool cuts(const struct comparator *c, const struct comparator *bound, bool is_gt)
{
	if (is_gt ? is_lower(c->op) : is_upper(c->op)) {
		const struct comparator *sharper = is_gt ? higher(bound, c) : lower(bound, c);
		return sharper == c && sharper != bound;
	}
	return bound->op == (is_gt ? OP_GE : OP_LE) && !holds(c, &bound->v);
}

/* A prerelease in a bound must be one that the larger side names too. */
static bool needs_name(const struct comparator *bound)
{
	uint64_t zero;
	str pre = bound ? bound->v.pre : STR_NONE;

	if (pre.n == 0)
		return false;
	return !(bound->op == OP_LT && str_u64(pre, &zero) && zero == 0);
}

static bool named_in(const struct comparator *bound, const struct comparator *dom, uint32_t ndom)
{
	for (uint32_t i = 0; i < ndom; i++) {
		if (dom[i].v.pre.n && same_tuple(&dom[i].v, &bound->v))
			return true;
	}
	return false;
}

static enum subset span_subset(
	const struct bounds *s, const struct comparator *dom, uint32_t ndom, bool include_prerelease)
{
	bool dom_lt = false, dom_gt = false;

	for (uint32_t i = 0; i < ndom; i++) {
		dom_gt = dom_gt || is_lower(dom[i].op);
		dom_lt = dom_lt || is_upper(dom[i].op);
		if ((s->gt && cuts(&dom[i], s->gt, true)) || (s->lt && cuts(&dom[i], s->lt, false)))
			return SUBSET_NO;
		if (dom[i].op == OP_EQ && (s->lt || s->gt) && !s->touch)
			return SUBSET_NO;
	}
	if ((s->gt && dom_lt && !s->lt) || (s->lt && dom_gt && !s->gt))
		return SUBSET_NO;
	if (include_prerelease)
		return SUBSET_YES;
	if ((needs_name(s->gt) && !named_in(s->gt, dom, ndom)) || (needs_name(s->lt) && !named_in(s->lt, dom, ndom)))
		return SUBSET_NO;
	return SUBSET_YES;
}

static bool is_single_any(const struct comparator *c, uint32_t n)
{
	return n == 1 && c->op == OP_ANY;
}

static enum subset simple_subset(const struct comparator *sub, uint32_t nsub, const struct comparator *dom,
	uint32_t ndom, bool include_prerelease)
{
	const struct comparator lowest = { .op = OP_GE, .v.pre = include_prerelease ? STR("0") : STR_NONE };
	struct bounds s = { 0 };

	if (is_single_any(sub, nsub)) {
		if (is_single_any(dom, ndom))
			return SUBSET_YES;
		sub = &lowest;
	}
	if (is_single_any(dom, ndom)) {
		if (include_prerelease)
			return SUBSET_YES;
		dom = &lowest;
	}
	for (uint32_t i = 0; i < nsub; i++) {
		if (is_lower(sub[i].op)) {
			s.gt = higher(s.gt, &sub[i]);
		} else if (is_upper(sub[i].op)) {
			s.lt = lower(s.lt, &sub[i]);
		} else {
			s.eq = &sub[i];
			s.neq++;
		}
	}
	if (s.neq > 1)
		return SUBSET_EMPTY;
	if (s.gt && s.lt) {
		int d = semver_cmp(&s.gt->v, &s.lt->v);
		s.touch = d == 0;
		if (d > 0 || (d == 0 && (s.gt->op != OP_GE || s.lt->op != OP_LE)))
			return SUBSET_EMPTY;
	}
	return s.neq ? eq_subset(&s, dom, ndom, include_prerelease) : span_subset(&s, dom, ndom, include_prerelease);
}

bool range_subset(const struct range *sub, const struct range *super, bool include_prerelease)
{
	const struct comparators *p = &sub->reading[include_prerelease], *q = &super->reading[include_prerelease];
	bool saw = false;

	for (uint32_t i = 0; i < p->nalt; i++) {
		const struct comparator *pc = p->cmp + p->alt[i].from;
		bool inside = false;
		for (uint32_t k = 0; k < q->nalt && !inside; k++) {
			bool twin = str_eq(p->alt[i].text, q->alt[k].text) && !below_all(pc, true);
			enum subset s = twin ? SUBSET_YES
					     : simple_subset(pc, p->alt[i].n, q->cmp + q->alt[k].from, q->alt[k].n,
						       include_prerelease);
			saw = saw || s != SUBSET_EMPTY;
			inside = s == SUBSET_YES;
		}
		if (!inside && saw)
			return false;
	}
	return true;
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
