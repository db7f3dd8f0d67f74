#include "exotic.h"
#include "first_pick.h"
#include "package.h"
#include "pick.h"
#include "plan_emit.h"
#include "prefer.h"
#include "resolve.h"
#include "reuse.h"
#include "workspace.h"

static int no_match(struct run *r, const struct wanted *w, struct packument p, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	uint32_t n = packument_nversions(p), ntags = packument_ntags(p);
	for (uint32_t i = 0; i < ntags && i < 8; i++) {
		str tag;
		uint32_t v;
		packument_tag_at(p, i, &tag, &v);
		if (v < n)
			buf_printf(&b, " " STR_FMT ": " STR_FMT ",", STR_ARG(tag), STR_ARG(packument_version(p, v)));
	}
	buf_printf(&b, " newest versions:");
	for (uint32_t i = n; i-- > 0 && i + 6 > n;)
		buf_printf(&b, " " STR_FMT, STR_ARG(packument_version(p, i)));
	return err_set(e, ERR_NOMATCH, "no version of " STR_FMT " satisfies " STR_FMT ";" STR_FMT,
		STR_ARG(packument_name(p)), SA(r, w->spec), STR_ARG(buf_str(&b)));
}

/* What satisfies W is vouched for less than what was published before it. */
static int downgraded(struct run *r, const struct wanted *w, struct packument p, uint32_t v, struct err *e)
{
	int before = 0, has = 0;
	(void)trust_allows(r->set, r->io->now_ms, p, v, &before, &has);
	return err_set(e, ERR_POLICY,
		STR_FMT
		"@" STR_FMT
		" has %s, an earlier version had %s (trustPolicy: no-downgrade); nothing else satisfies " STR_FMT
		". If it can be trusted, list it under trustPolicyExclude",
		STR_ARG(packument_name(p)), STR_ARG(packument_version(p, v)), trust_word(has), trust_word(before),
		SA(r, w->spec));
}

static int get_packument(struct run *r, struct packument *out, const struct err **why, const struct reg_spec *spec,
	const struct pick_opts *po, bool full, struct err *e)
{
	for (;;) {
		enum meta_state st = metas_get_for(r->metas, spec, po, full, out, why);
		if (st == META_HERE)
			return 0;
		if (st == META_FAILED)
			return 1;
		int rc = plan_early(r, e);
		if (!rc)
			rc = metas_wait(r->metas, e);
		if (rc)
			return rc;
	}
}

static bool instead_here(const struct run *r, int32_t depth)
{
	return r->set->link_workspace_packages_deep || (r->set->link_workspace_packages && depth == 0);
}

bool resolve_prefers_workspace(struct run *r, const struct wanted *w, int32_t depth)
{
	struct reg_spec spec;
	return instead_here(r, depth) && r->set->prefer_workspace_packages &&
	       reg_spec_parse(r, &spec, w->alias, w->spec) && workspace_preferred(r, &spec);
}

static void note_young(struct run *r, uint32_t pkg)
{
	for (size_t i = 0; i < r->nyoung; i++)
		if (r->young[i] == pkg)
			return;
	*arena_add(&r->arena, r->young, r->nyoung) = pkg;
}

/* pick_version(), but what an earlier project of the workspace chose stands, and out of which packument. */
static uint32_t shared_pick(struct run *r, struct packument *p, const struct wanted *w, const struct reg_spec *spec,
	const struct resolve_opts *o, const struct pick_opts *po, bool here, bool *young)
{
	if (o->depth == 0 || here || !first_pick_contested(r, spec->name))
		return pick_version(r, *p, spec, po, young);
	struct first_key k = { w->alias, w->spec, first_pick_above(r, o->level, spec->name), po->cutoff, o->key,
		w->optional, po->lowest };
	uint32_t v = first_pick_get(r, &k, p, young);
	if (v != NONE)
		return v;
	v = pick_version(r, *p, spec, po, young);
	if (v != NONE)
		first_pick_put(r, &k, *p, v, *young);
	return v;
}

static int from_registry(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct reg_spec *spec, const struct resolve_opts *o, bool *fresh, struct err *e)
{
	bool here = instead_here(r, o->depth), young;
	struct packument p = { 0 };
	const struct err *why = NULL;
	if (here && r->set->prefer_workspace_packages && workspace_instead(r, out, imp, w, spec, 0, fresh))
		return 0;
	struct pick_opts po = { .preferred = preferred_to_choose(r, imp, w, spec->name),
		.level = o->level,
		.cutoff = o->cutoff,
		.lowest = o->lowest };
	int rc = get_packument(r, &p, &why, spec, &po, w->optional, e);
	if (rc < 0)
		return rc;
	uint32_t v = NONE;
	if (!rc)
		v = shared_pick(r, &p, w, spec, o, &po, here, &young);
	if (here) {
		atom version = v == NONE ? 0 : atom_of(&r->t, packument_version(p, v));
		if (workspace_instead(r, out, imp, w, spec, version, fresh))
			return 0;
	}
	if (rc) {
		*e = *why;
		return err_ctx(e, STR_FMT, SA(r, spec->name));
	}
	po.untrusted = true;
	if (v == NONE && r->set->trust_policy != TRUST_OFF && (v = pick_version(r, p, spec, &po, &young)) != NONE)
		return downgraded(r, w, p, v, e);
	if (v == NONE)
		return no_match(r, w, p, e);
	rc = package_of_registry(r, out, p, v, settings_registry(r->set, sof(r, spec->name)), fresh, e);
	/* younger than resolutionMode: time-based allows is not yet younger than the release age */
	if (!rc && young && r->cutoff && packument_time(p, v) > r->cutoff)
		note_young(r, *out);
	return rc;
}

int resolve_wanted(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct resolve_opts *o, bool *fresh, struct err *e)
{
	str s = sof(r, w->spec);
	int rc = workspace_resolve(r, out, imp, o->dir, o->link_dir, w, fresh, e);
	if (rc)
		return rc < 0 ? rc : 0;
	if (str_starts(s, STR("catalog:")))
		return err_set(e, ERR_UNSUPPORTED,
			"dependency " STR_FMT "@" STR_FMT ": a published package cannot use a catalog", SA(r, w->alias),
			STR_ARG(s));
	struct reg_spec spec;
	if (reg_spec_parse(r, &spec, w->alias, w->peer ? peer_asked(r, w->spec) : w->spec))
		return from_registry(r, out, imp, w, &spec, o, fresh, e);
	return exotic_resolve(r, out, w, fresh, e);
}

/* --- what projects bump --- */

/* Whether the lockfile has some version of NAME. */
static bool is_locked(struct run *r, atom name)
{
	const struct selectors *s = preferred_of(r, name);
	for (uint32_t i = 0; s && i < s->n; i++)
		if (s->p[i].weight >= PREFER_LOCKED)
			return true;
	return false;
}

static bool is_project(const struct run *r, atom name)
{
	for (uint32_t i = 0; i < r->nimporter; i++)
		if (str_eq(r->importer[i].req->manifest.name, sof(r, name)))
			return true;
	return false;
}

/* IMP's dependency W, if the lockfile doesn't have it as it is asked for, but other versions of the package. */
static int bumped_add(struct run *r, const struct importer *imp, const struct wanted *w, struct err *e)
{
	struct reg_spec spec;
	struct packument p;
	const struct err *why;
	bool young;
	atom asked = w->peer ? peer_asked(r, w->spec) : w->spec;
	if (!atomset_has(imp->changed, w->alias) || !reg_spec_parse(r, &spec, w->alias, asked) ||
		!is_locked(r, spec.name) || (instead_here(r, 0) && is_project(r, spec.name)))
		return 0;
	struct pick_opts po = {
		.preferred = preferred_to_choose(r, imp, w, spec.name), .cutoff = r->cutoff, .lowest = r->lowest_direct
	};
	int rc = get_packument(r, &p, &why, &spec, &po, w->optional, e);
	if (rc) /* the walk says it */
		return rc < 0 ? rc : 0;
	uint32_t v = pick_version(r, p, &spec, &po, &young);
	if (v != NONE)
		*arena_add(&r->arena, r->bumped, r->nbumped) =
			(struct bumped){ spec.name, atom_of(&r->t, packument_version(p, v)) };
	return 0;
}

static int bumped_order(const void *a, const void *b)
{
	const struct bumped *x = a, *y = b;
	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	return (x->version > y->version) - (x->version < y->version);
}

int resolve_bumped(struct run *r, struct err *e)
{
	for (uint32_t i = 0; r->prior && r->nimporter > 1 && i < r->nimporter; i++) {
		const struct importer *imp = &r->importer[i];
		for (uint32_t k = 0; imp->changed->n && k < imp->nwanted; k++) {
			int rc = reuse_direct(r, imp, &imp->wanted[k]) == NONE ? bumped_add(r, imp, &imp->wanted[k], e)
									       : 0;
			if (rc)
				return rc;
		}
	}
	if (r->nbumped)
		qsort(r->bumped, r->nbumped, sizeof(*r->bumped), bumped_order);
	return 0;
}

static bool asks_for(const struct importer *imp, atom name)
{
	for (uint32_t i = 0; i < imp->nwanted; i++)
		if (imp->wanted[i].alias == name)
			return true;
	return false;
}

atom resolve_bumped_to(struct run *r, const struct importer *imp, atom name, atom pinned, atom range)
{
	uint32_t at = atom_lower_bound(r->bumped, r->nbumped, name);
	if (at == r->nbumped || r->bumped[at].name != name || asks_for(imp, name))
		return 0;
	const struct semver *best = pinned ? atom_semver(&r->t, pinned) : NULL;
	const struct range *rg = atom_range(&r->t, range);
	atom out = 0;
	for (; rg && at < r->nbumped && r->bumped[at].name == name; at++) {
		const struct semver *v = atom_semver(&r->t, r->bumped[at].version);
		if (v && range_has(rg, v, false) && (!best || semver_cmp(v, best) > 0)) {
			best = v;
			out = r->bumped[at].version;
		}
	}
	return out;
}

/* --- asking ahead --- */

void resolve_ask_later(struct run *r, uint32_t pkg, const struct atomset *shadow, prior key)
{
	struct pkg *p = pkg_at(r, pkg);
	if (r->nimporter < 2 || p->asked_ahead || p->kind == PKG_LINK)
		return;
	p->asked_ahead = true;
	*vec_add(&r->ahead) = (struct ahead){ pkg, key, shadow };
}

/* The choice that the dependency S of a package would be without regard to what the levels above resolved; errors
 * come up where it is needed. */
static int ask_ahead_one(struct run *r, const struct importer *imp, const struct spec *s, struct err *e)
{
	struct wanted w = { s->alias, s->range, s->optional, false, false };
	struct resolve_opts o = { .cutoff = r->subdep_cutoff, .depth = 1, .key = NONE };
	struct reg_spec spec;
	struct packument p;
	const struct err *why;
	bool young;
	if (!reg_spec_parse(r, &spec, w.alias, w.spec) || !first_pick_contested(r, spec.name))
		return 0;
	struct pick_opts po = { .preferred = preferred_for(r, imp, spec.name), .cutoff = o.cutoff };
	int rc = get_packument(r, &p, &why, &spec, &po, w.optional, e);
	if (rc)
		return rc < 0 ? rc : 0;
	(void)shared_pick(r, &p, &w, &spec, &o, &po, instead_here(r, 1), &young);
	return 0;
}

/* For all packages that IMP's walk was the first to meet. */
int resolve_ask_ahead(struct run *r, const struct importer *imp, struct err *e)
{
	struct err ignored;
	int rc = 0;
	for (size_t i = 0; i < r->ahead.n && !rc; i++) {
		const struct ahead a = r->ahead.p[i];
		struct pkg *p = pkg_at(r, a.pkg);
		if (package_specs(r, p, &ignored))
			continue;
		prior from = a.key != NONE && reuse_landed(r, a.key, p) ? a.key : NONE;
		for (uint32_t k = 0; k < p->nspec && !rc; k++) {
			const struct spec *s = &p->spec[k];
			bool locked = from != NONE && reuse_child(r, from, s->alias, s->range) != NONE;
			if (!locked && (s->optional || !atomset_has(a.shadow, s->alias)))
				rc = ask_ahead_one(r, imp, s, e);
		}
	}
	r->ahead.n = 0;
	return rc;
}
