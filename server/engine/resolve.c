#include "resolve.h"
#include "base/vec.h"
#include "catalog.h"
#include "doom.h"
#include "overrides.h"
#include "package.h"
#include "pick.h"
#include "prefer.h"
#include "reuse.h"
#include "seed.h"
#include "workspace.h"

/* An occurrence that must still walk its children; RECORDED: only find out whose they are now. */
struct front {
	struct seed seed;
	bool recorded;
	const struct level *level;
	const struct scope *scope;
};
typedef VEC(struct front) front_vec;
enum source { FROM_IMPORTER, FROM_PARENT };
struct edge_ctx {
	struct importer *imp;
	const struct chain *parents;
	int32_t depth;
	bool parent_optional, parent_is_workspace;
	enum source source;
	prior key; /* FROM_PARENT */
	const struct level *level;
	atom dir, link_dir;
	const struct scope *scope;
};

static int walk(struct run *r, struct importer *imp, struct seed *seeds, uint32_t n, const struct level *level,
	const struct scope *scope, struct err *e);

/* --- seeds --- */

/* The second lap of a cycle (its first re-entry is kept), or a package that depends on itself. */
static bool closes_cycle(const struct chain *parents, uint32_t pkg)
{
	if (!parents)
		return false;
	if (parents->pkg == pkg)
		return true;
	uint32_t parent = parents->pkg, first = 0, last = 0;
	for (const struct chain *c = parents; c; c = c->up) {
		if (c->pkg == parent)
			first = c->len; /* ends at the one nearest the root */
		if (c->pkg == pkg && !last)
			last = c->len;
	}
	return first != parents->len && last > first && last != parents->len;
}

static void warn_deprecated(struct run *r, const struct pkg *p, const struct edge_ctx *x)
{
	str why = p->kind == PKG_REGISTRY ? packument_deprecated(p->pm, p->pv)
		  : p->kind == PKG_LOCKED ? p->locked->deprecated
		  : p->manifest           ? p->manifest->deprecated
					  : STR_NONE;
	if (!why.n || x->depth > 0)
		return;
	const str *allowed = str_map_get(r->set->allowed_deprecated, sof(r, p->name));
	const struct semver *v = p->version ? atom_semver(&r->t, p->version) : NULL;
	const struct range *rg = allowed ? atom_range(&r->t, atom_of(&r->t, *allowed)) : NULL;
	if (rg && v && range_has(rg, v, false))
		return;
	run_warn(r, WARN_DEPRECATED, sof(r, p->key),
		arena_printf(&r->arena, "deprecated " STR_FMT ": " STR_FMT, SA(r, p->key), STR_ARG(why)));
}

static void package_seen(
	struct run *r, struct pkg *p, bool fresh, bool optional, const struct atomset *shadow, const struct edge_ctx *x)
{
	if (!fresh) {
		p->optional = p->optional && optional;
		return;
	}
	p->optional = optional;
	if (p->kind != PKG_LINK)
		package_split_peers(r, p, shadow);
	warn_deprecated(r, p, x);
}

static uint32_t seed_node(struct run *r, uint32_t pkg, int32_t depth, bool leaf)
{
	struct pkg *p = pkg_at(r, pkg);
	if (!leaf)
		return node_add(r, pkg, depth);
	if (p->leaf_node == NONE) {
		uint32_t n = node_add(r, pkg, INT32_MAX);
		pkg_at(r, pkg)->leaf_node = n;
	}
	return pkg_at(r, pkg)->leaf_node;
}

/* --- taking a locked subtree over --- */

static int edge_seed(struct run *r, struct seed *out, struct wanted w, const struct edge_ctx *x, struct err *e);

/* What the lockfile has below S, whose edge is X's: the N of KID, each with all that is below it. */
static int reused_children(struct run *r, const struct seed *s, const struct reuse_kid *kid, uint32_t n,
	const struct edge_ctx *x, struct err *e)
{
	struct seed *seeds = arena_new(&r->arena, struct seed, n + 1);
	struct edge_ctx below = *x;
	below.parents = s->next;
	below.depth = x->depth + 1;
	below.parent_optional = s->optional;
	below.source = FROM_PARENT;
	below.level = NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct wanted w = { kid[i].alias, reuse_spec(r, kid[i].alias, kid[i].key), false, false, false };
		below.key = kid[i].key;
		int rc = edge_seed(r, &seeds[i], w, &below, e);
		if (!rc)
			rc = walk(r, x->imp, &seeds[i], 1, NULL, x->scope, e);
		if (rc)
			return rc;
		seeds[i].optional_edge = kid[i].optional;
	}
	seed_settle_children(r, s, seeds, n);
	return 0;
}

static int reused_seed(struct run *r, struct seed *out, const struct wanted *w, const struct edge_ctx *x, prior key,
	bool optional, struct err *e)
{
	uint32_t pkg;
	bool fresh;
	struct reuse_kid *kids;
	int rc = reuse_package(r, &pkg, key, &fresh, e);
	if (rc)
		return rc;
	if (x->depth >= RUN_MOST_DEPTH)
		return run_too_deep(r, pkg, e);
	if (closes_cycle(x->parents, pkg))
		return 0;
	struct pkg *p = pkg_at(r, pkg);
	package_seen(r, p, fresh, optional, &atomset_none, x);
	uint32_t n = reuse_kids(r, key, p, &kids);
	bool leaf = !n && !p->npeer;
	*out = (struct seed){ .kind = SEED_DONE,
		.optional_edge = w->optional,
		.optional = optional,
		.leaf = leaf,
		.alias = w->alias,
		.pkg = pkg,
		.parents = x->parents,
		.next = chain_push(r, x->parents, pkg),
		.shadow = &atomset_none,
		.depth = x->depth,
		.key = key };
	if (fresh)
		p->leaf = leaf;
	out->node = seed_node(r, pkg, x->depth, leaf);
	if (!seed_claim(r, out, x->imp)) {
		seed_settle(r, out, true, NULL, 0);
		return 0;
	}
	return reused_children(r, out, kids, n, x, e);
}

/* --- edges --- */

static bool skippable(int code)
{
	return code == ERR_NOTFOUND || code == ERR_NOMATCH || code == ERR_UNSUPPORTED;
}

static int exotic(struct run *r, const struct wanted *w, const struct pkg *p, const struct edge_ctx *x, struct err *e)
{
	if (!r->set->block_exotic_subdeps || x->depth == 0 || x->parent_is_workspace || p->kind != PKG_TARBALL ||
		!(str_starts(sof(r, p->directory), STR("http"))))
		return 0;
	return err_set(e, ERR_POLICY,
		"dependency " STR_FMT "@" STR_FMT " of a dependency is a tarball URL, which blockExoticSubdeps forbids",
		SA(r, w->alias), SA(r, w->spec));
}

/* Narrows W to what the lockfile has for the edge, where that is to stay. */
static void pin(struct run *r, struct wanted *w, const struct edge_ctx *x, prior key)
{
	/* what a project declared and the lockfile has for it stays while it fits, though other
	 * projects have a higher one */
	bool stays = x->source == FROM_IMPORTER && !x->imp->subdep_rules;
	atom pinned = key != NONE && (stays || (x->depth > 0 && valid_range(r, w->spec))) ? reuse_pin(r, w, key) : 0;
	if (pinned)
		w->spec = pinned;
}

static bool is_leaf(const struct pkg *p)
{
	return p->kind == PKG_LINK || (p->kind == PKG_LOCKED ? p->leaf : deps_none(&p->deps));
}

/* The package of an edge; NONE: the edge goes, as it is optional, or dooms the optional package that it is of. */
static int edge_resolve(struct run *r, uint32_t *pkg, const struct wanted *w, const struct edge_ctx *x, prior key,
	bool *fresh, struct err *e)
{
	struct resolve_opts o = { .level = x->level,
		.dir = x->dir,
		.link_dir = x->link_dir,
		.cutoff = r->subdep_cutoff,
		.depth = x->depth,
		.key = key };
	if (x->depth == 0 && !x->imp->subdep_rules) {
		o.cutoff = r->cutoff;
		o.lowest = r->lowest_direct;
	}
	if (x->source == FROM_PARENT && override_local(r, w->alias, w->spec))
		o.dir = o.link_dir = atom_of(&r->t, STR("."));
	int rc = resolve_wanted(r, pkg, x->imp, w, &o, fresh, e);
	if (rc && w->optional && skippable(rc) && !reuse_has_satisfying(r, w)) {
		*pkg = NONE;
		return 0;
	}
	if (!rc)
		rc = exotic(r, w, pkg_at(r, *pkg), x, e);
	if (!rc)
		return 0;
	err_ctx(e, STR_FMT, STR_ARG(chain_text(r, x->imp, x->parents, w->alias, w->spec)));
	if (w->optional || !x->parent_optional || !x->parents || !skippable(rc))
		return rc;
	doom_add(r, x->parents->pkg, rc, e);
	*pkg = NONE;
	return 0;
}

static int edge_seed(struct run *r, struct seed *out, struct wanted w, const struct edge_ctx *x, struct err *e)
{
	bool optional = w.optional || x->parent_optional, fresh;
	/* what is hoisted is new in its project, though the lockfile may have it there: a dependency that is gone.
	 * Source: pnpm 12.21's behaviour */
	prior key = !r->prior || x->source == FROM_PARENT ? x->key
		    : x->imp->subdep_rules                ? NONE
							  : reuse_direct(r, x->imp, &w);
	if (key != NONE && resolve_prefers_workspace(r, &w, x->depth))
		key = NONE;
	*out = (struct seed){ .kind = SEED_DROPPED };
	if (key != NONE && r->reuse_subtrees && reuse_subtree(r, x->imp, key))
		return reused_seed(r, out, &w, x, key, optional, e);
	pin(r, &w, x, key);
	uint32_t pkg;
	int rc = edge_resolve(r, &pkg, &w, x, key, &fresh, e);
	if (rc || pkg == NONE)
		return rc;
	if (x->depth >= RUN_MOST_DEPTH)
		return run_too_deep(r, pkg, e);
	if (closes_cycle(x->parents, pkg))
		return 0;
	struct pkg *p = pkg_at(r, pkg);
	const struct atomset *shadow = p->kind == PKG_LINK ? &atomset_none : package_shadowed(r, p, x->scope);
	bool leaf = is_leaf(p);
	package_seen(r, p, fresh, optional, shadow, x);
	resolve_ask_later(r, pkg, shadow, key);
	*out = (struct seed){ .kind = SEED_PENDING,
		.optional_edge = w.optional,
		.optional = optional,
		.leaf = leaf,
		.alias = w.alias,
		.pkg = pkg,
		.parents = x->parents,
		.next = chain_push(r, x->parents, pkg),
		.shadow = shadow,
		.depth = x->depth,
		.key = key };
	out->node = seed_node(r, pkg, x->depth, leaf);
	return 0;
}

/* --- levels --- */

enum { FEW = 16 }; /* put in order sooner than qsort() has begun */

static struct kv *versions_of(struct run *r, const struct seed *s, uint32_t n, uint32_t *out)
{
	struct kv *p = arena_new(&r->arena, struct kv, n + 1);
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct pkg *k = s[i].kind == SEED_DROPPED ? NULL : pkg_at(r, s[i].pkg);
		if (!k || !k->version)
			continue;
		struct kv x = { k->name, k->version };
		uint32_t at = m++;
		for (; m <= FEW && at && kv_order(&p[at - 1], &x) > 0; at--)
			p[at] = p[at - 1];
		p[at] = x;
	}
	if (m > FEW)
		qsort(p, m, sizeof(*p), kv_order);
	*out = m;
	return p;
}

static struct level *level_of(struct run *r, const struct level *up, const struct seed *s, uint32_t n)
{
	uint32_t m;
	struct kv *p = versions_of(r, s, n, &m);
	if (!m)
		return NULL;
	struct level *l = arena_new(&r->arena, struct level, 1);
	*l = (struct level){ .up = up, .p = p, .n = m };
	for (uint32_t i = 0; i < m; i++)
		l->mask |= UINT64_C(1) << (p[i].k & 63);
	return l;
}

static const struct level *level_below(
	struct run *r, const struct level *up, const struct seed *s, uint32_t n, bool direct)
{
	struct level *l = level_of(r, up, s, n);
	if (l)
		l->direct = direct;
	return l ? l : up;
}

/* What a project's manifest asks for and prefers: below that resolves what is hoisted for it later. A version that is
 * written otherwise than the registry does (v1.2.3, npm:) is no preference; nor are hoisted peers, nor the lowest
 * version of a range, of which what is hoisted takes the highest. Source: pnpm 12.21's behaviour. */
static const struct level *level_of_own(
	struct run *r, const struct importer *imp, const struct level *up, const struct seed *s, uint32_t n)
{
	struct seed *own = arena_new(&r->arena, struct seed, n + 1);
	const struct level *out = up;
	for (int lowest = 0; lowest < 2; lowest++) {
		uint32_t m = 0;
		for (uint32_t i = 0; i < n; i++) {
			const struct pkg *p = s[i].kind == SEED_DROPPED ? NULL : pkg_at(r, s[i].pkg);
			bool exact;
			if (p && s[i].alias == p->name && preferred_own(r, imp, p->name, p->version, &exact) &&
				(r->lowest_direct && !exact) == lowest)
				own[m++] = s[i];
		}
		struct level *l = level_of(r, out, own, m);
		if (l)
			l->shared_only = lowest;
		out = l ? l : out;
	}
	return out;
}

static const struct scope *scope_below(struct run *r, const struct scope *up, const struct seed *s, uint32_t n)
{
	atom *v = arena_new(&r->arena, atom, n + 1);
	size_t m = 0;
	for (uint32_t i = 0; i < n; i++)
		if (s[i].kind != SEED_DROPPED)
			v[m++] = s[i].alias;
	struct scope *sc = arena_new(&r->arena, struct scope, 1);
	*sc = (struct scope){ up, atomset_of(&r->arena, v, m) };
	return sc;
}

/* S has its place once those beside it are known. Whether its children are walked next; *RECORDED: they were before. */
static bool settle_pending(struct run *r, struct seed *s, bool *recorded)
{
	const struct pkg *p = pkg_at(r, s->pkg);
	bool match = p->recorded && !package_through_catalogs(p) && atomset_eq(p->rec_shadow, s->shadow) &&
		     (p->rec_prior == s->key || (p->rec_prior != NONE && s->key == NONE));
	if (p->kind == PKG_LINK)
		seed_settle(r, s, false, NULL, 0);
	else if (!s->owns || match)
		seed_settle(r, s, true, NULL, 0);
	*recorded = match;
	return p->kind != PKG_LINK && s->owns && (!match || p->nedge);
}

static void settle_seeds(
	struct run *r, front_vec *f, struct seed *s, uint32_t n, const struct level *level, const struct scope *scope)
{
	bool recorded;
	for (uint32_t i = 0; i < n; i++)
		if (s[i].kind == SEED_PENDING && settle_pending(r, &s[i], &recorded))
			*vec_add(f) = (struct front){ s[i], recorded, level, scope };
}

/* The highest direct dependency NAME above PINNED that RANGE takes: a stale pin moves up to it. */
static atom higher_direct(struct run *r, const struct importer *imp, atom name, atom pinned, atom range)
{
	const struct semver *low = atom_semver(&r->t, pinned), *best = NULL;
	const struct range *rg = atom_range(&r->t, range);
	atom out = 0;
	for (uint32_t i = 0; low && rg && i < imp->ndirect_versions; i++) {
		if (imp->direct_versions[i].k != name)
			continue;
		const struct semver *v = atom_semver(&r->t, imp->direct_versions[i].v);
		if (v && semver_cmp(v, low) > 0 && range_has(rg, v, false) && (!best || semver_cmp(v, best) > 0)) {
			best = v;
			out = imp->direct_versions[i].v;
		}
	}
	return out;
}

static atom declaring_dir(struct run *r, const struct pkg *p)
{
	return p->kind == PKG_DIRECTORY ? p->directory : atom_of(&r->t, STR("."));
}

struct expanded {
	struct seed *seed;
	uint32_t n;
};

/* Where the children of P, at F, are looked for. */
static struct edge_ctx children_ctx(struct run *r, struct importer *imp, const struct front *f, const struct pkg *p)
{
	atom dir = declaring_dir(r, p);
	return (struct edge_ctx){ .imp = imp,
		.parents = f->seed.next,
		.depth = f->seed.depth + 1,
		.parent_optional = f->seed.optional,
		.parent_is_workspace = p->by_workspace,
		.source = FROM_PARENT,
		.key = NONE,
		.level = f->level,
		.dir = dir,
		.link_dir = p->kind == PKG_DIRECTORY ? imp->path : dir,
		.scope = f->scope };
}

/* What the lockfile had for the dependency S of FROM; NONE where that moves up: *UP is what is wanted then, or 0. */
static prior child_key(struct run *r, const struct importer *imp, prior from, const struct spec *s, atom *up)
{
	prior key = from == NONE ? NONE : reuse_child(r, from, s->alias, s->range);
	*up = 0;
	if (key == NONE || !reuse_version(r, key))
		return key;
	*up = higher_direct(r, imp, s->alias, reuse_version(r, key), s->range);
	if (!*up)
		*up = resolve_bumped_to(r, imp, s->alias, reuse_version(r, key), s->range);
	return *up ? NONE : key;
}

static int expand(struct run *r, struct importer *imp, const struct front *f, struct expanded *out, struct err *e)
{
	struct pkg *p = pkg_at(r, f->seed.pkg);
	int rc = package_specs(r, p, e);
	if (rc)
		return rc;
	out->seed = arena_new(&r->arena, struct seed, p->nspec + 1);
	prior from = f->seed.key != NONE && reuse_landed(r, f->seed.key, p) ? f->seed.key : NONE;
	for (uint32_t i = 0; i < p->nspec; i++) {
		struct spec s = p->spec[i];
		if (!s.optional && atomset_has(f->seed.shadow, s.alias))
			continue;
		struct edge_ctx x = children_ctx(r, imp, f, p);
		struct wanted w = { s.alias, s.range, s.optional, workspace_injected(p->manifest, sof(r, s.alias)),
			false };
		if (package_through_catalogs(p)) {
			str spec;
			const struct catalog_user u = { sof(r, x.dir), &r->arena };
			rc = catalog_resolve(r->set, &spec, sof(r, s.alias), sof(r, s.range), &u, e);
			if (rc)
				return rc;
			w.spec = atom_of(&r->t, spec);
		}
		atom up;
		x.key = child_key(r, imp, from, &s, &up);
		if (up)
			w.spec = up;
		rc = edge_seed(r, &out->seed[out->n++], w, &x, e);
		if (rc)
			return rc;
		p = pkg_at(r, f->seed.pkg);
	}
	return 0;
}

/* The recorded children of F, below their new owner: it still decides anew what is shadowed below it, since the names
 * above are others. */
static void expand_recorded(struct run *r, const struct front *f, struct expanded *out)
{
	const struct pkg *p = pkg_at(r, f->seed.pkg);
	prior from = f->seed.key != NONE && reuse_landed(r, f->seed.key, p) ? f->seed.key : NONE;
	out->seed = arena_new(&r->arena, struct seed, p->nedge + 1);
	for (uint32_t i = 0; i < p->nedge; i++) {
		const struct edge *e = &p->edge[i];
		const struct pkg *k = pkg_at(r, e->pkg);
		prior key = from == NONE ? NONE : reuse_dep(r, from, e->alias);
		struct seed *s = &out->seed[out->n++];
		*s = (struct seed){ .kind = SEED_PENDING,
			.optional_edge = e->optional,
			.optional = e->optional || f->seed.optional,
			.leaf = k->leaf_node != NONE,
			.alias = e->alias,
			.pkg = e->pkg,
			.parents = f->seed.next,
			.next = chain_push(r, f->seed.next, e->pkg),
			.depth = f->seed.depth + 1,
			.key = key != NONE && reuse_landed(r, key, k) ? key : NONE };
		s->shadow = k->kind == PKG_LINK ? &atomset_none : package_shadowed(r, k, f->scope);
		s->node = seed_node(r, e->pkg, s->depth, s->leaf);
		if (closes_cycle(f->seed.next, e->pkg)) {
			s->kind = SEED_DONE;
			seed_settle(r, s, true, NULL, 0);
		}
	}
}

/* Asks for what the level will need, so that nothing waits for one name at a time. */
static void level_ask(struct run *r, const struct importer *imp, const front_vec *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct pkg *p = pkg_at(r, f->p[i].seed.pkg);
		struct err ignored;
		if (f->p[i].recorded || f->p[i].seed.key != NONE || package_specs(r, p, &ignored))
			continue;
		for (uint32_t k = 0; k < p->nspec; k++)
			metas_ask(r->metas, imp, p->spec[k].alias, p->spec[k].range, p->spec[k].optional);
	}
}

static int walk(struct run *r, struct importer *imp, struct seed *seeds, uint32_t n, const struct level *level,
	const struct scope *scope, struct err *e)
{
	front_vec front = VEC_INIT, next = VEC_INIT;
	VEC(struct seed *) all = VEC_INIT;
	VEC(struct expanded) level_out = VEC_INIT;
	int rc = 0;
	for (uint32_t i = 0; i < n; i++)
		*vec_add(&all) = &seeds[i];
	seeds_claim(r, imp, all.p, (uint32_t)all.n);
	settle_seeds(r, &front, seeds, n, level, scope);
	while (front.n && !rc) {
		level_ask(r, imp, &front);
		level_out.n = all.n = next.n = 0;
		for (size_t i = 0; i < front.n && !rc; i++) {
			struct expanded x = { 0 };
			if (front.p[i].recorded)
				expand_recorded(r, &front.p[i], &x);
			else
				rc = expand(r, imp, &front.p[i], &x, e);
			*vec_add(&level_out) = x;
			for (uint32_t k = 0; k < x.n; k++)
				*vec_add(&all) = &x.seed[k];
		}
		if (rc)
			break;
		seeds_claim(r, imp, all.p, (uint32_t)all.n);
		for (size_t i = 0; i < front.n; i++) {
			const struct front *f = &front.p[i];
			const struct expanded *x = &level_out.p[i];
			if (f->recorded)
				seed_realise(r, &f->seed, x->seed, x->n);
			else
				seed_settle_children(r, &f->seed, x->seed, x->n);
			settle_seeds(r, &next, x->seed, x->n, level_below(r, f->level, x->seed, x->n, false),
				scope_below(r, f->scope, x->seed, x->n));
		}
		front_vec swap = front;
		front = next;
		next = swap;
	}
	vec_release(&all);
	vec_release(&level_out);
	vec_release(&front);
	vec_release(&next);
	return rc;
}

static void direct_versions_add(struct run *r, struct importer *imp, const struct seed *s, uint32_t n)
{
	uint32_t m;
	struct kv *p = versions_of(r, s, n, &m);
	struct kv *all = arena_new(&r->arena, struct kv, imp->ndirect_versions + m + 1);
	if (imp->ndirect_versions)
		memcpy(all, imp->direct_versions, imp->ndirect_versions * sizeof(*all));
	memcpy(all + imp->ndirect_versions, p, m * sizeof(*all));
	imp->direct_versions = all;
	imp->ndirect_versions += m;
}

int resolve_extend(struct run *r, struct importer *imp, const struct wanted *w, uint32_t n, struct err *e)
{
	struct scope *scope = arena_new(&r->arena, struct scope, 1);
	atom *names = arena_new(&r->arena, atom, imp->aliases.n + 1);
	if (imp->aliases.n)
		memcpy(names, imp->aliases.p, imp->aliases.n * sizeof(*names));
	*scope = (struct scope){ NULL, atomset_of(&r->arena, names, imp->aliases.n) };
	r->revision++;
	struct seed *s = arena_new(&r->arena, struct seed, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct edge_ctx x = { .imp = imp,
			.source = FROM_IMPORTER,
			.key = NONE,
			.dir = imp->path,
			.link_dir = imp->path,
			.scope = scope };
		int rc = edge_seed(r, &s[i], w[i], &x, e);
		if (rc)
			return rc;
	}
	direct_versions_add(r, imp, s, n);
	const struct level *up = imp->level;
	imp->level = level_of_own(r, imp, up, s, n);
	int rc = walk(r, imp, s, n, level_below(r, up, s, n, true), scope_below(r, scope, s, n), e);
	if (!rc)
		rc = resolve_ask_ahead(r, imp, e);
	for (uint32_t i = 0; i < n && !rc; i++)
		if (s[i].kind != SEED_DROPPED)
			*vec_add(&imp->direct) =
				(struct direct){ .alias = s[i].alias, .node = s[i].node, .pkg = s[i].pkg };
	r->revision++;
	return rc;
}
