#include "link_profile.h"
#include "base/str.h"
#include <stdio.h>

static const struct link_profile links[] = {
	{ .name = "home", .server_rtt_us = 50000, .registry_rtt_us = 50000, .rate_bps = 200000000 },
	{ .name = "ci", .server_rtt_us = 2000, .registry_rtt_us = 2000, .rate_bps = 2000000000 },
	{ .name = "loopback" },
	{ .name = "bad",
		.server_rtt_us = 200000,
		.registry_rtt_us = 200000,
		.rate_bps = 20000000,
		.error_ppm = 10000,
		/* One answer in a hundred is ten times as far away. */
		.faults = { .slow_share = 0.01,
			.slow_us = 9 * 200000,
			.stall_share = 0.0002,
			.stall_us = 2000000,
			.reset_share = 0.01 } },
};

static const struct link_profile *find(str name)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		if (str_eq(str_of(links[i].name), name))
			return &links[i];
	}
	return NULL;
}

const struct link_profile *link_find(const char *name)
{
	return find(str_of(name));
}

static bool whole(uint32_t *out, str text, uint64_t most, uint32_t times)
{
	uint64_t n;

	if (!str_u64(text, &n) || n > most)
		return false;
	*out = (uint32_t)n * times;
	return true;
}

/* One "KEY=N" of a spec. */
static int set(struct link_profile *l, str option, struct err *e)
{
	enum { MOST_MS = 60000, MOST_MBIT = 1000000 };
	str key, value;
	uint32_t mbit;
	uint32_t *rtt = NULL;

	if (!str_cut(option, '=', &key, &value))
		return err_set(e, ERR_USAGE, "\"" STR_FMT "\" is not KEY=NUMBER", STR_ARG(option));
	if (str_eq(key, STR("rate"))) {
		if (!whole(&mbit, value, MOST_MBIT, 1))
			return err_set(e, ERR_USAGE, "rate is a number of Mbit/s, not \"" STR_FMT "\"", STR_ARG(value));
		l->rate_bps = (uint64_t)mbit * 1000000;
		return 0;
	}
	if (str_eq(key, STR("server")))
		rtt = &l->server_rtt_us;
	else if (str_eq(key, STR("registry")))
		rtt = &l->registry_rtt_us;
	else if (str_eq(key, STR("upstream")))
		rtt = &l->upstream_rtt_us;
	if (!rtt)
		return err_set(e, ERR_USAGE, "a link has server, registry, upstream and rate, no \"" STR_FMT "\"",
			STR_ARG(key));
	if (!whole(rtt, value, MOST_MS, 1000))
		return err_set(e, ERR_USAGE, STR_FMT " is a number of milliseconds, not \"" STR_FMT "\"", STR_ARG(key),
			STR_ARG(value));
	return 0;
}

int link_parse(struct link_profile *out, str spec, struct err *e)
{
	str name, rest, option;
	bool more = str_cut(spec, ':', &name, &rest);
	const struct link_profile *base = find(name);
	if (!base)
		return err_set(e, ERR_USAGE, "no link is called \"" STR_FMT "\"", STR_ARG(name));
	*out = *base;
	if (spec.n >= sizeof(out->name))
		return err_set(e, ERR_USAGE, "a link of more than %zu characters", sizeof(out->name) - 1);
	while (more) {
		more = str_cut(rest, ':', &option, &rest);
		if (set(out, option, e) < 0)
			return e->code;
	}
	snprintf(out->name, sizeof(out->name), STR_FMT, STR_ARG(spec));
	return 0;
}

bool link_is_none(const struct link_profile *l)
{
	return l->server_rtt_us == 0 && l->registry_rtt_us == 0 && l->rate_bps == 0;
}

bool link_fails(const struct link_profile *l)
{
	return l->error_ppm || l->faults.slow_share > 0 || l->faults.stall_share > 0 || l->faults.reset_share > 0;
}
