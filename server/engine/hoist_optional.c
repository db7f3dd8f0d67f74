#include "hoist_impl.h"
#include "package.h"
#include "pick.h"
#include "range_meet.h"
#include "sorted.h"

uint32_t optional_at(const struct importer *imp, struct kv x)
{
	uint32_t lo = 0, hi = imp->noptional_missing;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (kv_order(&imp->optional_missing[mid], &x) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Whether the lockfile binds IMP's packages to versions of NAME. With ONLY_RUN, only versions count that this run has,
 * too: a locked provider that nothing depends on any more binds nobody. */
static bool locked_to(const struct importer *imp, atom name, const struct bucket *b, bool only_run)
{
	for (uint32_t i = 0; !only_run && i < imp->nlocked_peer_versions; i++)
		if (imp->locked_peer_versions[i].k == name)
			return true;
	for (uint32_t k = 0; only_run && k < b->n; k++)
		if (selector_in_run(&b->p[k]) && locked_peer(imp, name, b->p[k].spec))
			return true;
	return false;
}

/* What of IMP's direct dependencies provides PEER: one called so, or one of that name under an alias. */
static const struct pkg *provider_in(struct run *r, const struct importer *imp, atom peer)
{
	const struct pkg *named = NULL;
	for (size_t i = 0; i < imp->direct.n; i++) {
		const struct pkg *p = pkg_at(r, imp->direct.p[i].pkg);
		if (imp->direct.p[i].alias == peer)
			return p;
		if (!named && p->kind != PKG_LINK && p->peer_name == peer)
			named = p;
	}
	return named;
}

/* Whether what there is of PEER for IMP is in RANGE: a direct dependency, or the root's. What the same round adds is
 * not there yet. Source: pnpm 12.21's behaviour. */
static bool takes(struct hoist *h, const struct importer *imp, atom peer, const struct range *range)
{
	struct run *r = h->r;
	const struct pkg *p = provider_in(r, imp, peer);
	const struct importer *root = r->set->resolve_peers_from_workspace_root ? root_importer(r) : NULL;
	if (!p && root && root != imp)
		p = provider_in(r, root, peer);
	if (!p)
		return true;
	const struct semver *v = p->manifest_version ? atom_semver(&r->t, p->manifest_version) : NULL;
	return v && range_has(range, v, true);
}

static bool takes_range(struct hoist *h, const struct importer *imp, atom peer, atom range)
{
	const struct range *rg = atom_range(&h->r->t, peer_range(h->r, range));
	return !rg || takes(h, imp, peer, rg);
}

static bool locked_accepts(struct hoist *h, const struct importer *imp, atom name, atom version)
{
	struct run *r = h->r;
	str key = arena_printf(&r->arena, STR_FMT "@" STR_FMT, SA(r, name), SA(r, version));
	const struct lock_package *m = lockfile_package(r->prior, key);
	for (size_t i = 0; m && i < m->peer_dependencies.n; i++)
		if (!takes_range(h, imp, atom_of(&r->t, m->peer_dependencies.p[i].k),
			    atom_of(&r->t, m->peer_dependencies.p[i].v)))
			return false;
	return true;
}

/* Whether NAME@VERSION accepts what there is for IMP of its own peers, optional or not: one that doesn't would only
 * bring a second family. Source: pnpm 12.21's behaviour. */
static bool accepts(struct hoist *h, const struct importer *imp, atom name, atom version)
{
	struct run *r = h->r;
	uint32_t at = package_find(r, name, version);
	if (at == NONE && r->prior) /* only the lockfile has it, and says what it takes */
		return locked_accepts(h, imp, name, version);
	for (uint32_t i = 0; at != NONE && i < pkg_at(r, at)->npeer; i++) {
		struct peer p = pkg_at(r, at)->peer[i];
		if (!takes_range(h, imp, p.name, p.range))
			return false;
	}
	return true;
}

/* The highest version of the bucket that every range asked for takes, and BOUND, unless that is NULL. ONLY_RUN: of
 * those that this run has resolved. */
static atom optional_within(struct hoist *h, const struct importer *imp, atom name, const struct bucket *b,
	const struct range *bound, bool only_run)
{
	struct run *r = h->r;
	const struct semver *best = NULL;
	atom out = 0;
	bool locked = !bound && locked_to(imp, name, b, only_run);
	uint32_t first = optional_at(imp, (struct kv){ name, 0 });
	for (uint32_t i = 0; i < b->n; i++) {
		const struct semver *v = b->p[i].kind == SEL_VERSION ? atom_semver(&r->t, b->p[i].spec) : NULL;
		bool ok = v && (!only_run || selector_in_run(&b->p[i])) && (!bound || range_has(bound, v, false)) &&
			  (!locked || locked_peer(imp, name, b->p[i].spec));
		for (uint32_t k = first; ok && k < imp->noptional_missing && imp->optional_missing[k].k == name; k++) {
			const struct range *rg = solid_range(r, imp->optional_missing[k].v);
			ok = rg && range_has(rg, v, false);
		}
		if (!ok || (best && semver_cmp(v, best) <= 0))
			continue;
		if (!accepts(h, imp, name, b->p[i].spec)) {
			h->declined = true;
			continue;
		}
		best = v;
		out = b->p[i].spec;
	}
	return out;
}

/* Whether BOUND and each range that IMP misses NAME in have some version in common, be it there or not. */
static bool bound_meets(struct run *r, const struct importer *imp, atom name, const struct range *bound)
{
	bool meets = true;
	for (uint32_t k = optional_at(imp, (struct kv){ name, 0 });
		meets && k < imp->noptional_missing && imp->optional_missing[k].k == name; k++) {
		const struct range *rg = solid_range(r, imp->optional_missing[k].v);
		AUTO(spans_release) struct spans a = spans_of(bound), b = rg ? spans_of(rg) : (struct spans){ 0 };
		AUTO(spans_release) struct spans both = spans_meet(&a, &b);
		meets = both.n > 0;
	}
	return meets;
}

/* The root's range is the limit, even where nothing is left within it: then the root's own serves; a root that could
 * serve nobody of them limits nothing. Source: pnpm 12.21's behaviour. */
static atom optional_best(struct hoist *h, const struct importer *imp, atom name, const struct bucket *b, bool only_run)
{
	atom root = roots_spec(h->r, &h->roots, name);
	const struct range *bound = root ? atom_range(&h->r->t, peer_range(h->r, root)) : NULL;
	if (bound && !bound_meets(h->r, imp, name, bound))
		bound = NULL;
	return optional_within(h, imp, name, b, bound, only_run);
}

/* What the root asks for where it has VERSION of NAME from the workspace, else VERSION. Source: pnpm 12.21's
 * behaviour. */
static atom root_instead(struct hoist *h, atom name, atom version)
{
	const struct importer *root = root_importer(h->r);
	atom spec = roots_spec(h->r, &h->roots, name);
	if (!root || !spec || !str_starts(sof(h->r, spec), STR("workspace:")))
		return version;
	for (size_t i = 0; i < root->direct.n; i++) {
		const struct pkg *p = pkg_at(h->r, root->direct.p[i].pkg);
		if (p->name == name && p->by_workspace && p->manifest_version == version)
			return spec;
	}
	return version;
}

/* A version that only the lockfile knows any more is for peers that nothing else can serve. Without
 * dedupePeerDependents a project's optional peers are its own affair, and what the lockfile had serves nobody. */
static atom optional_spec(struct hoist *h, const struct importer *imp, atom name)
{
	struct bucket *b = &h->bucket;
	bool shared = h->r->set->dedupe_peer_dependents;
	bucket_fill(b, h->r, shared ? NULL : imp, name);
	atom out = optional_best(h, imp, name, b, true);
	if (!out && shared)
		out = optional_best(h, imp, name, b, false);
	return out ? root_instead(h, name, out) : 0;
}

static int name_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, *(const atom *)a, *(const atom *)b);
}

/* The optional peers that IMP misses, by name and each once, to NAMES; how many. What was found inside the tree since
 * they were missed serves. Source: pnpm 12.21's behaviour. */
static uint32_t names_missing(struct run *r, const struct importer *imp, atom *names)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < imp->noptional_missing; i++)
		if ((!n || names[n - 1] != imp->optional_missing[i].k) && !has_alias(imp, imp->optional_missing[i].k))
			names[n++] = imp->optional_missing[i].k;
	rows_sort(names, n, sizeof(*names), name_order, r);
	return n;
}

int optional_round(struct hoist *h, struct importer *imp, bool *hoisted, struct err *e)
{
	struct run *r = h->r;
	struct wanted *w = arena_new(&r->arena, struct wanted, imp->noptional_missing + 1);
	atom *names = arena_new(&r->arena, atom, imp->noptional_missing + 1);
	atom *declined = arena_new(&r->arena, atom, imp->noptional_missing + 1);
	uint32_t n = 0, nnames = names_missing(r, imp, names), ndeclined = 0;
	for (uint32_t i = 0; i < nnames; i++) {
		h->declined = false;
		atom spec = optional_spec(h, imp, names[i]);
		if (spec)
			w[n++] = (struct wanted){ .alias = names[i], .spec = spec };
		else if (h->declined)
			declined[ndeclined++] = names[i];
	}
	imp->declined = ndeclined ? atomset_of(&r->arena, declined, ndeclined) : NULL;
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		alias_add(imp, w[i].alias);
	int rc = resolve_extend(r, imp, w, n, e);
	imp->converged = false;
	*hoisted = true;
	return rc;
}
