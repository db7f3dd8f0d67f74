#include "accepted.h"
#include "range_meet.h"
#include <stdlib.h>

static str meet(const struct range *x, const struct range *y, struct arena *a)
{
	AUTO(spans_release) struct spans p = spans_of(x);
	AUTO(spans_release) struct spans q = spans_of(y);
	AUTO(spans_release) struct spans m = spans_meet(&p, &q);

	if (m.n > p.n + q.n)
		abort();
	return spans_print(&m, a);
}

/* Read again: NULL for none, and for a text that is longer than is read. */
static const struct range *again(str text, struct arena *a)
{
	const struct range *r = text.n && text.n <= RANGE_MAX_LENGTH ? range_parse(text, true, a) : NULL;

	if (!r && text.n && text.n <= RANGE_MAX_LENGTH)
		abort();
	return r;
}

/* "range\nrange\nversion": what they have in common is the same both ways, is a range, settles, and takes the
 * releases that both take. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str one, two, version, rest;
	struct semver v;

	str_cut((str){ (const char *)data, n }, '\n', &one, &rest);
	str_cut(rest, '\n', &two, &version);
	const struct range *x = range_parse(one, true, &a), *y = range_parse(two, true, &a);
	if (!x || !y)
		return 0;
	str text = meet(x, y, &a);
	if (!str_eq(text, meet(y, x, &a)))
		abort();
	const struct range *both = again(text, &a);
	if (text.n && !both)
		return 0;
	if (both) {
		accepted();
		/* ">=0.0.0" is read as "*" */
		str settled = meet(both, both, &a);
		const struct range *third = again(settled, &a);
		if (settled.n <= RANGE_MAX_LENGTH && (!third || !str_eq(meet(third, third, &a), settled)))
			abort();
	}
	if (!semver_parse(&v, version.n ? version : STR("1.2.3"), true))
		return 0;
	v.pre = STR_NONE;
	if ((both && range_has(both, &v, false)) != (range_has(x, &v, false) && range_has(y, &v, false)))
		abort();
	return 0;
}
