#include "catalog.h"

str catalog_name(str spec)
{
	if (!str_starts(spec, STR("catalog:")))
		return STR_NONE;
	str name = str_trim(str_from(spec, 8));
	return name.n ? name : STR("default");
}

int catalog_resolve(const struct settings *s, str *out, str alias, str spec, struct err *e)
{
	str catalog = catalog_name(spec);
	if (!catalog.n) {
		*out = spec;
		return 0;
	}
	for (size_t i = 0; i < s->ncatalog; i++) {
		const struct catalog_entry *c = &s->catalog[i];
		if (!str_eq(c->catalog, catalog) || !str_eq(c->alias, alias))
			continue;
		if (catalog_name(c->specifier).n)
			return err_set(e, ERR_USAGE,
				"catalog '" STR_FMT "': the entry of '" STR_FMT "' is itself a catalog: specifier",
				STR_ARG(catalog), STR_ARG(alias));
		const char *bad[] = { "workspace:", "link:", "file:" };
		for (size_t k = 0; k < 3; k++)
			if (str_starts(c->specifier, str_of(bad[k])))
				return err_set(e, ERR_USAGE,
					"catalog '" STR_FMT "': the entry of '" STR_FMT
					"' uses %s, which a catalog cannot hold",
					STR_ARG(catalog), STR_ARG(alias), bad[k]);
		*out = c->specifier;
		return 0;
	}
	return err_set(e, ERR_USAGE,
		"no entry '" STR_FMT "' in catalog '" STR_FMT
		"'; add it to pnpm-workspace.yaml or write a version range",
		STR_ARG(alias), STR_ARG(catalog));
}
