#include "engine.h"
#include "base/clock.h"
#include "catalog.h"
#include "dedupe.h"
#include "doom.h"
#include "hoist.h"
#include "metas.h"
#include "overrides.h"
#include "package.h"
#include "peer_issues.h"
#include "pick.h"
#include "plan_emit.h"
#include "prefer.h"
#include "reuse.h"
#include "rewrite.h"
#include "workspace.h"
#include <stdlib.h>

#define HOUR_MS 3600000
enum { SUFFIX_MOST = 64 << 10 }; /* bytes; suffixes nest, and without a bound they double with every level */

/* --- importers --- */

static void want_put(struct importer *imp, atom alias, atom spec, bool peer)
{
	for (uint32_t i = 0; i < imp->nwanted; i++)
		if (imp->wanted[i].alias == alias) {
			imp->wanted[i].spec = spec;
			imp->wanted[i].peer = peer;
			return;
		}
	imp->wanted[imp->nwanted++] = (struct wanted){ alias, spec, false, false, peer };
}

/* Some alternative is a range, or it has a scheme: a tag is none. */
static bool peer_acceptable(struct run *r, str s)
{
	if (str_find(s, ':', 0) != SIZE_MAX)
		return true;
	for (bool several = false;; several = true) {
		size_t at = str_find_str(s, STR("||"), 0);
		str part = str_trim(at == SIZE_MAX ? s : str_head(s, at));
		several = several || at != SIZE_MAX;
		if (part.n ? valid_range(r, atom_copy(&r->t, part)) : several)
			return true;
		if (at == SIZE_MAX)
			return false;
		s = str_from(s, at + 2);
	}
}

/* Whether or not peers are installed: what nobody can compare is refused. */
static int peers_check(struct run *r, const struct importer *imp, struct err *e)
{
	for (uint32_t i = 0; i < imp->deps.npeer; i++)
		if (!peer_acceptable(r, sof(r, imp->deps.peer[i].v)))
			return err_set(e, ERR_USAGE,
				STR_FMT "/package.json: peerDependencies: \"" STR_FMT "\": \"" STR_FMT
					"\" is neither a version range nor a specifier with a scheme",
				STR_ARG(imp->req->path), SA(r, imp->deps.peer[i].k), SA(r, imp->deps.peer[i].v));
	return 0;
}

/* Direct dependencies: peers (autoInstallPeers), dev, prod, optional; a later group's specifier wins. */
static int importer_wants(struct run *r, struct importer *imp, struct err *e)
{
	const struct deps *d = &imp->deps;
	imp->wanted = arena_new(&r->arena, struct wanted, d->ndep + d->nopt + d->npeer + imp->dev.ndep + 1);
	for (uint32_t i = 0; r->set->auto_install_peers && i < d->npeer; i++)
		want_put(imp, d->peer[i].k, d->peer[i].v, true);
	for (uint32_t i = 0; i < imp->dev.ndep; i++)
		want_put(imp, imp->dev.dep[i].k, imp->dev.dep[i].v, false);
	for (uint32_t i = 0; i < d->ndep; i++)
		want_put(imp, d->dep[i].k, d->dep[i].v, false);
	for (uint32_t i = 0; i < d->nopt; i++)
		want_put(imp, d->opt[i].k, d->opt[i].v, false);
	for (uint32_t i = 0; i < imp->nwanted; i++) {
		struct wanted *w = &imp->wanted[i];
		str spec;
		for (uint32_t k = 0; k < d->nopt; k++)
			w->optional = w->optional || d->opt[k].k == w->alias;
		w->injected = workspace_injected(&imp->req->manifest, sof(r, w->alias));
		const struct catalog_user u = { imp->req->path, &r->arena };
		int rc = catalog_resolve(r->set, &spec, sof(r, w->alias), sof(r, w->spec), &u, e);
		if (rc)
			return err_ctx(e, STR_FMT, STR_ARG(imp->req->path));
		w->spec = atom_of(&r->t, spec);
	}
	return 0;
}

static void prefer_direct(struct run *r, struct importer *imp, const struct kv *p, uint32_t n)
{
	enum selector_kind kind;
	for (uint32_t i = 0; i < n; i++) {
		struct err ignored; /* importer_wants() reports it */
		str spec;
		const struct catalog_user u = { imp->req->path, &r->arena };
		if (catalog_resolve(r->set, &spec, sof(r, p[i].k), sof(r, p[i].v), &u, &ignored))
			continue;
		atom s = atom_of(&r->t, spec);
		if (selector_kind_of(r, s, &kind))
			preferred_direct(r, imp, p[i].k, s, kind);
	}
}

static int importer_order(const void *a, const void *b)
{
	const struct importer *x = a, *y = b;
	return str_cmp(x->req->path, y->req->path);
}

static int importers_init(struct run *r, struct err *e)
{
	r->nimporter = (uint32_t)r->req->nimporters;
	r->importer = arena_new(&r->arena, struct importer, r->nimporter + 1);
	for (uint32_t i = 0; i < r->nimporter; i++)
		r->importer[i].req = &r->req->importer[i];
	qsort(r->importer, r->nimporter, sizeof(*r->importer), importer_order);
	for (uint32_t i = 0; i < r->nimporter; i++) {
		struct importer *imp = &r->importer[i];
		const struct manifest *m = &imp->req->manifest;
		imp->path = atom_of(&r->t, imp->req->path);
		imp->changed = imp->locked_peer_names = &atomset_none;
		deps_of_manifest(r, &imp->deps, &imp->dev, m);
		deps_hooks(r, &imp->deps, &imp->dev, m->name.n ? atom_of(&r->t, m->name) : 0,
			m->version.n ? atom_of(&r->t, m->version) : 0, &imp->path);
		prefer_direct(r, imp, imp->dev.dep, imp->dev.ndep);
		prefer_direct(r, imp, imp->deps.dep, imp->deps.ndep);
		prefer_direct(r, imp, imp->deps.opt, imp->deps.nopt);
		int rc = peers_check(r, imp, e);
		if (!rc)
			rc = importer_wants(r, imp, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- resolutionMode: time-based --- */

/* The version of its packument P that W would be without the lockfile's pins; NONE: not of a
 * registry, or there is none. */
static int direct_choice(struct run *r, const struct importer *imp, const struct wanted *w, struct reg_spec *spec,
	struct packument *p, uint32_t *v, struct err *e)
{
	const struct err *why;
	enum meta_state st;
	bool young;
	*v = NONE;
	if (!reg_spec_parse(r, spec, w->alias, w->spec))
		return 0;
	while ((st = metas_get(r->metas, spec->name, true, p, &why)) == META_WAITING) {
		int rc = metas_wait(r->metas, e);
		if (rc)
			return rc;
	}
	const struct selectors *preferred = w->peer ? preferred_of(r, spec->name) : preferred_for(r, imp, spec->name);
	struct pick_opts o = { .preferred = preferred, .cutoff = r->cutoff, .lowest = r->lowest_direct };
	if (st == META_HERE)
		*v = pick_version(r, *p, spec, &o, &young);
	return 0;
}

/* Newest publish time among direct dependencies, as they would be chosen without the lockfile's pins; transitive
 * ones may be an hour younger. */
static int time_cutoff(struct run *r, struct err *e)
{
	int64_t newest = 0;
	size_t total = 0, n = 0;
	for (uint32_t i = 0; i < r->nimporter; i++)
		total += r->importer[i].nwanted;
	atom *timed = arena_new(&r->arena, atom, total + 1);
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < r->importer[i].nwanted; k++) {
			struct reg_spec spec;
			struct packument p;
			uint32_t v;
			int rc = direct_choice(r, &r->importer[i], &r->importer[i].wanted[k], &spec, &p, &v, e);
			if (rc)
				return rc;
			int64_t at = v == NONE ? 0 : packument_time(p, v);
			if (!at)
				continue;
			newest = at > newest ? at : newest;
			timed[n++] = atom_fmt(
				&r->t, STR_FMT "@" STR_FMT, SA(r, spec.name), STR_ARG(packument_version(p, v)));
		}
	r->timed = atomset_of(&r->arena, timed, n);
	if (newest)
		r->subdep_cutoff = r->cutoff && r->cutoff < newest + HOUR_MS ? r->cutoff : newest + HOUR_MS;
	return 0;
}

/* --- the run --- */

static void run_init(struct run *r)
{
	r->arena = ARENA_INIT(1u << 20);
	atoms_init(&r->t, &r->arena);
	r->metas = metas_new(r);
}

static int run_prior(struct run *r, const struct lockfile *l, struct err *e)
{
	const struct lockfile *fits;
	r->prior = l;
	reuse_prefer(r);
	int rc = rewrite_prior(r, &fits, e);
	r->reuse_subtrees = fits != NULL;
	r->prior = fits ? fits : l;
	reuse_init(r);
	return rc;
}

static int run_begin(struct run *r, struct err *e)
{
	const struct settings *s = r->set;
	workspace_init(r);
	if (s->peers_suffix_max_length > SUFFIX_MOST)
		return err_set(e, ERR_UNSUPPORTED,
			"peersSuffixMaxLength is %u; dray writes suffixes of at most %u bytes",
			s->peers_suffix_max_length, SUFFIX_MOST);
	r->cutoff = s->minimum_release_age ? settings_age_cutoff(s, r->io->now_ms) : 0;
	r->subdep_cutoff = r->cutoff;
	r->time_based = s->resolution_mode == RESOLVE_TIME_BASED;
	r->lowest_direct = s->resolution_mode != RESOLVE_HIGHEST;
	int rc = overrides_init(r, e);
	if (!rc)
		rc = importers_init(r, e);
	if (rc)
		return rc;
	const struct lockfile *l = r->req->lockfile;
	return l && !l->absent && (l->nimporters || l->nsnapshots) ? run_prior(r, l, e) : 0;
}

static void run_end(struct run *r)
{
	overrides_release(r);
	workspace_release(r);
	for (uint32_t i = 0; i < r->nimporter; i++) {
		vec_release(&r->importer[i].direct);
		vec_release(&r->importer[i].aliases);
		vec_release(&r->importer[i].missing);
		vec_release(&r->importer[i].owned);
	}
	vec_release(&r->pkg);
	vec_release(&r->node);
	vec_release(&r->lowered);
	vec_release(&r->warning);
	vec_release(&r->ahead);
	free(r->pkg_of_id);
	free(r->is_peer_name);
	preferred_release(r);
	vec_release(&r->reached);
	free(r->reached_is);
	free(r->reached_first);
	marks_release(&r->met);
	marks_release(&r->weighed);
}

static void run_release(struct run *r)
{
	run_end(r);
	free(r->frame_of);
	metas_free(r->metas);
	atoms_release(&r->t);
	arena_release(&r->arena);
}

/* Asks for everything that can be foreseen, before the walk needs the first. */
static void look_ahead(struct run *r)
{
	for (uint32_t i = 0; i < r->nimporter; i++) {
		const struct importer *imp = &r->importer[i];
		for (uint32_t k = 0; k < imp->nwanted; k++)
			if (!r->prior || reuse_direct(r, imp, &imp->wanted[k]) == NONE)
				metas_speculate(r->metas, imp, imp->wanted[k].alias, imp->wanted[k].spec,
					imp->wanted[k].optional);
	}
	if (r->prior && metas_look_ahead(r->metas))
		reuse_foresee(r);
}

static int check_depth(struct run *r, struct err *e)
{
	return r->too_deep ? run_too_deep(r, r->too_deep - 1, e) : 0;
}

static int walk_all(struct run *r, struct err *e)
{
	look_ahead(r);
	int rc = r->time_based ? time_cutoff(r, e) : 0;
	if (!rc)
		rc = resolve_bumped(r, e);
	if (!rc)
		rc = hoist_all(r, e);
	if (!rc)
		rc = dooms_settle(r, e);
	return rc ? rc : check_depth(r, e);
}

static int graph_all(struct run *r, struct graph *g, struct deppaths *paths, struct err *e)
{
	deppaths_init(paths, r);
	peers_graph(r, paths, g);
	int rc = check_depth(r, e);
	if (rc)
		return rc;
	/* Variants are merged first, those below copies that become links too. Source: pnpm 12.21's behaviour */
	if (r->set->dedupe_peer_dependents)
		dedupe_peer_dependents(r, g);
	if (r->set->dedupe_injected_deps)
		dedupe_injected(r, g);
	peers_locked_links(r, g);
	return 0;
}

int engine_run(const struct request *req, const struct engine_io *io, frame_sink *sink, void *ctx, struct err *e)
{
	struct run r = { .req = req, .set = &req->settings, .io = io, .sink = sink, .sink_ctx = ctx };
	struct deppaths paths = { 0 };
	struct graph g = { 0 };
	uint64_t started = clock_us();
	run_init(&r);
	int rc = run_begin(&r, e);
	if (!rc)
		rc = walk_all(&r, e);
	if (!rc)
		rc = graph_all(&r, &g, &paths, e);
	if (rc) {
		plan_fail(&r, e);
	} else {
		rc = plan_hello(&r, e);
		if (!rc)
			rc = peer_issues_send(&r, &g, e);
		if (!rc)
			rc = plan_emit(&r, &g, started, e);
	}
	graph_release(&g);
	deppaths_release(&paths);
	run_release(&r);
	return rc;
}
