#include "hoist_impl.h"
#include "workspace.h"

static bool project_relative(str s)
{
	return str_starts(s, STR("link:")) || str_starts(s, STR("file:")) || str_starts(s, STR("workspace:."));
}

static atom wanted_spec(const struct importer *imp, atom alias)
{
	for (uint32_t i = 0; i < imp->nwanted; i++)
		if (imp->wanted[i].alias == alias)
			return imp->wanted[i].spec;
	return 0;
}

static void root_dep_fix(struct run *r, const struct importer *imp, struct root_dep *d)
{
	str s = d->spec ? sof(r, d->spec) : STR_NONE, integrity;
	if (!d->spec || !project_relative(s))
		return;
	size_t colon = str_find(s, ':', 0);
	const struct manifest *m =
		workspace_manifest(r, path_join(&r->arena, imp->req->path, str_from(s, colon + 1)), &integrity);
	d->spec = 0;
	if (!m || !m->version.n || !atom_semver(&r->t, atom_of(&r->t, m->version)))
		return;
	if (m->name.n)
		d->name = atom_of(&r->t, m->name);
	d->spec = atom_of(&r->t, m->version);
}

struct roots roots_of(struct run *r, const struct importer *imp)
{
	struct roots out = { .p = arena_new(&r->arena, struct root_dep, imp->direct.n + imp->nwanted + 1) };
	for (size_t i = 0; i < imp->direct.n; i++) {
		const struct direct *d = &imp->direct.p[i];
		const struct pkg *p = pkg_at(r, d->pkg);
		if (!p->name)
			continue;
		out.p[out.n++] = (struct root_dep){ d->alias, p->name, wanted_spec(imp, d->alias) };
	}
	for (uint32_t i = 0; i < imp->nwanted; i++) {
		uint32_t k = 0;
		while (k < out.n && out.p[k].alias != imp->wanted[i].alias)
			k++;
		if (k == out.n)
			out.p[out.n++] =
				(struct root_dep){ imp->wanted[i].alias, imp->wanted[i].alias, imp->wanted[i].spec };
	}
	for (uint32_t i = 0; i < out.n; i++)
		root_dep_fix(r, imp, &out.p[i]);
	return out;
}

atom roots_spec(struct run *r, const struct roots *roots, atom peer)
{
	const struct root_dep *best = NULL;
	if (!r->set->resolve_peers_from_workspace_root)
		return 0;
	for (uint32_t i = 0; i < roots->n; i++)
		if (roots->p[i].spec && roots->p[i].alias == peer)
			return roots->p[i].spec;
	for (uint32_t i = 0; i < roots->n; i++)
		if (roots->p[i].spec && roots->p[i].name == peer &&
			(!best || atom_cmp(&r->t, roots->p[i].alias, best->alias) < 0))
			best = &roots->p[i];
	return best ? best->spec : 0;
}
