#include "range_meet.h"
#include "base/vec.h"
#include "range.h"

static int low_cmp(struct bound a, struct bound b)
{
	if (!a.v || !b.v)
		return (a.v != NULL) - (b.v != NULL);
	int c = semver_cmp(a.v, b.v);
	return c ? c : a.open - b.open;
}

static int high_cmp(struct bound a, struct bound b)
{
	if (!a.v || !b.v)
		return (a.v == NULL) - (b.v == NULL);
	int c = semver_cmp(a.v, b.v);
	return c ? c : b.open - a.open;
}

static bool empty(struct span s)
{
	int c = s.low.v && s.high.v ? semver_cmp(s.low.v, s.high.v) : -1;
	return c > 0 || (c == 0 && (s.low.open || s.high.open));
}

static struct span span_of(const struct comparator *c, uint32_t n)
{
	struct span s = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		const struct bound at = { &c[i].v, c[i].op == OP_GT || c[i].op == OP_LT };
		bool low = c[i].op == OP_GT || c[i].op == OP_GE || c[i].op == OP_EQ;
		bool high = c[i].op == OP_LT || c[i].op == OP_LE || c[i].op == OP_EQ;
		if (low && low_cmp(at, s.low) > 0)
			s.low = at;
		if (high && high_cmp(at, s.high) < 0)
			s.high = at;
	}
	return s;
}

/* The wider one first where two begin alike. */
static int span_order(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int c = low_cmp(x->low, y->low);
	return c ? c : high_cmp(y->high, x->high);
}

/* Adds X, which begins no earlier than those that S has, unless it is empty or one of them covers it. */
static void spans_put(struct spans *s, struct span x)
{
	if (!empty(x) && (!s->n || high_cmp(x.high, s->p[s->n - 1].high) > 0))
		*vec_add(s) = x;
}

struct spans spans_of(const struct range *r)
{
	const struct comparators *c = &r->reading[0];
	struct spans all = { 0 }, out = { 0 };

	for (uint32_t i = 0; i < c->nalt; i++)
		*vec_add(&all) = span_of(c->cmp + c->alt[i].from, c->alt[i].n);
	if (all.n)
		qsort(all.p, all.n, sizeof(*all.p), span_order);
	for (size_t i = 0; i < all.n; i++)
		spans_put(&out, all.p[i]);
	spans_release(&all);
	return out;
}

/* Goes on to the last of S that begins at LOW or before. */
static void reach(const struct spans *s, size_t *next, const struct span **last, struct bound low)
{
	for (; *next < s->n && low_cmp(s->p[*next].low, low) <= 0; ++*next)
		*last = &s->p[*next];
}

struct spans spans_meet(const struct spans *a, const struct spans *b)
{
	const struct span *x = NULL, *y = NULL;
	struct spans out = { 0 };

	for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
		bool first = k == b->n || (i < a->n && low_cmp(a->p[i].low, b->p[k].low) <= 0);
		struct bound low = first ? a->p[i].low : b->p[k].low;
		reach(a, &i, &x, low);
		reach(b, &k, &y, low);
		if (x && y)
			spans_put(&out, (struct span){ low, high_cmp(x->high, y->high) < 0 ? x->high : y->high });
	}
	return out;
}

static void span_print(struct buf *b, struct span s, struct arena *a)
{
	if (!s.low.v && !s.high.v) {
		buf_addc(b, '*');
		return;
	}
	if (s.low.v && s.high.v && semver_cmp(s.low.v, s.high.v) == 0) {
		buf_add(b, semver_print(s.low.v, a));
		return;
	}
	if (s.low.v)
		buf_printf(b, "%s" STR_FMT, s.low.open ? ">" : ">=", STR_ARG(semver_print(s.low.v, a)));
	if (s.high.v)
		buf_printf(b, "%s%s" STR_FMT, s.low.v ? " " : "",
			s.high.open ? "<" : "<=", STR_ARG(semver_print(s.high.v, a)));
}

str spans_print(const struct spans *s, struct arena *a)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < s->n; i++) {
		if (i)
			buf_add(&b, STR(" || "));
		span_print(&b, s->p[i], a);
	}
	return arena_str(a, buf_str(&b));
}

void spans_release(struct spans *s)
{
	vec_release(s);
}
