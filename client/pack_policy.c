#include "pack_policy.h"

struct said {
	const char *where;
	str value;
};

/* *OUT: one of the N sources says STRICT; MILD is the other word that they may say. */
static int any_strict(bool *out, const struct said *s, size_t n, const char *mild, const char *strict, struct err *e)
{
	*out = false;
	for (size_t i = 0; i < n; i++) {
		bool is = str_eq(s[i].value, str_of(strict));
		if (s[i].value.n && !is && !str_eq(s[i].value, str_of(mild)))
			return err_set(e, ERR_USAGE, "%s: \"" STR_FMT "\": expected %s or %s", s[i].where,
				STR_ARG(s[i].value), mild, strict);
		*out |= is;
	}
	return 0;
}

int pack_policy_read(struct pack_policy *out, const struct options *o, const struct client_settings *c,
	str env_materialization, str env_bad_pack, struct err *e)
{
	const struct said bytes[] = { { "--materialization", o->materialization },
		{ "DRAY_MATERIALIZATION", env_materialization }, { "drayMaterialization", c->dray_materialization } };
	const struct said bad[] = { { "--bad-pack", o->bad_pack }, { "DRAY_BAD_PACK", env_bad_pack },
		{ "drayBadPack", c->dray_bad_pack } };
	struct pack_policy p;

	if (any_strict(&p.registry, bytes, 3, "server", "registry", e) < 0 ||
		any_strict(&p.stop, bad, 3, "tarball", "stop", e) < 0)
		return e->code;
	*out = p;
	return 0;
}
