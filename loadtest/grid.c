#include "grid.h"

const unsigned grid_rtt_ms[GRID_RTTS] = { 0, 10, 50, 150 }, grid_mbit[GRID_RATES] = { 20, 100, 500, 2000 };

str grid_link(unsigned rtt_ms, unsigned mbit, struct arena *a)
{
	return arena_printf(a, "%ums-%uM", rtt_ms, mbit);
}

bool grid_is_link(str link)
{
	str rtt, rate;
	uint64_t n;

	return str_cut(link, '-', &rtt, &rate) && str_ends(rtt, STR("ms")) && str_ends(rate, STR("M")) &&
	       str_u64(str_head(rtt, rtt.n - 2), &n) && str_u64(str_head(rate, rate.n - 1), &n);
}

bool grid_begins(const struct result *r, size_t i)
{
	const struct cell *c = &r->cell[i];

	for (size_t k = 0; k < i; k++) {
		const struct cell *o = &r->cell[k];
		if (grid_is_link(o->link) && str_eq(o->project, c->project) && str_eq(o->phase, c->phase))
			return false;
	}
	return grid_is_link(c->link);
}
