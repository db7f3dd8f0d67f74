#include "catalog.h"
#include "base/path.h"

str catalog_name(str spec)
{
	if (!str_starts(spec, STR("catalog:")))
		return STR_NONE;
	str name = str_trim(str_from(spec, 8));
	return name.n ? name : STR("default");
}

const str *catalog_entry(const struct settings *s, str alias, str catalog)
{
	for (size_t i = 0; i < s->ncatalog; i++)
		if (str_eq(s->catalog[i].catalog, catalog) && str_eq(s->catalog[i].alias, alias))
			return &s->catalog[i].specifier;
	return NULL;
}

bool catalog_folder(str spec, str *scheme, str *path)
{
	static const char *const schemes[] = { "link:", "file:", "workspace:" };
	*scheme = STR("");
	for (size_t i = 0; i < 3; i++)
		if (str_starts(spec, str_of(schemes[i])))
			*scheme = str_of(schemes[i]);
	*path = str_from(spec, scheme->n);
	if (str_starts(*path, STR("/")) || str_starts(*path, STR("~/")))
		return false;
	return str_eq(*scheme, STR("link:")) || str_eq(*scheme, STR("file:")) || str_starts(*path, STR("./")) ||
	       str_starts(*path, STR("../")) || str_eq(*path, STR(".")) || str_eq(*path, STR(".."));
}

str catalog_folder_from(str scheme, str path, str dir, struct arena *a)
{
	str to = path_relative(a, dir, path);
	bool plain = str_eq(scheme, STR("link:")) || str_eq(scheme, STR("file:")) || str_starts(to, STR(".."));
	return arena_join(a, scheme, plain ? STR("") : STR("./"), to);
}

bool catalog_local(str spec)
{
	str scheme, path;
	return str_starts(spec, STR("workspace:")) || catalog_folder(spec, &scheme, &path);
}

/* SPEC, an entry, as it is written in U's folder. */
static str seen_from(str spec, const struct catalog_user *u)
{
	str scheme, path;
	return catalog_folder(spec, &scheme, &path)
		       ? catalog_folder_from(scheme, path_join(u->a, STR("."), path), u->dir, u->a)
		       : spec;
}

int catalog_resolve(
	const struct settings *s, str *out, str alias, str spec, const struct catalog_user *u, struct err *e)
{
	str catalog = catalog_name(spec);
	if (!catalog.n) {
		*out = spec;
		return 0;
	}
	const str *entry = catalog_entry(s, alias, catalog);
	if (entry && catalog_name(*entry).n)
		return err_set(e, ERR_USAGE,
			"catalog '" STR_FMT "': the entry of '" STR_FMT "' is itself a catalog: specifier",
			STR_ARG(catalog), STR_ARG(alias));
	if (entry) {
		*out = seen_from(*entry, u);
		return 0;
	}
	return err_set(e, ERR_USAGE,
		"no entry '" STR_FMT "' in catalog '" STR_FMT
		"'; add it to pnpm-workspace.yaml or write a version range",
		STR_ARG(alias), STR_ARG(catalog));
}
