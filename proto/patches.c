#include "patches.h"
#include "name.h"
#include "semver.h"

/* Whether the selector's range WANT takes V (NULL: no version). */
static int takes(bool *out, str want, const struct semver *v, struct arena *a, struct err *e)
{
	struct semver exact;
	const struct range *rg;

	*out = false;
	if (want.p[0] != '=' && semver_parse(&exact, want, true))
		return 0;
	rg = range_parse(want, true, a);
	if (!rg)
		return err_set(e, ERR_USAGE, "patchedDependencies: \"" STR_FMT "\" is no version range", STR_ARG(want));
	*out = v && range_has(rg, v, false);
	return 0;
}

int patch_of(const struct patch **out, const struct settings *s, str name, str version, struct arena *a, struct err *e)
{
	const struct patch *range_hit = NULL, *all = NULL;
	struct semver v;
	bool fits, versioned = semver_parse(&v, version, true);

	*out = NULL;
	for (size_t i = 0; i < s->npatch; i++) {
		const struct patch *p = &s->patch[i];
		str n, want;
		name_split(p->selector, &n, &want);
		if (!str_eq(n, name))
			continue;
		if (want.p && !want.n)
			continue; /* "name@" is about nothing */
		if (!want.n || str_eq(str_trim(want), STR("*"))) {
			if (!all || !want.n)
				all = p;
			continue;
		}
		if (version.n && str_eq(want, version)) {
			*out = p;
			return 0;
		}
		int rc = takes(&fits, want, versioned ? &v : NULL, a, e);
		if (rc)
			return rc;
		if (fits && range_hit)
			return err_set(e, ERR_USAGE,
				"patchedDependencies: two ranges fit " STR_FMT "@" STR_FMT
				"; write the exact version to choose",
				STR_ARG(name), STR_ARG(version));
		if (fits)
			range_hit = p;
	}
	*out = range_hit ? range_hit : all;
	return 0;
}
