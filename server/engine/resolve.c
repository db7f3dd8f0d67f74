#include "resolve.h"
#include "base/vec.h"
#include "catalog.h"
#include "exotic.h"
#include "first_pick.h"
#include "package.h"
#include "pick.h"
#include "plan_emit.h"
#include "prefer.h"
#include "reuse.h"
#include "workspace.h"

enum seed_kind { SEED_DROPPED, SEED_DONE, SEED_PENDING };
struct seed {
	enum seed_kind kind;
	bool optional_edge, optional, owns, unchanged, leaf;
	bool restated; /* an edge that is recorded already: no place in the tree of its own */
	atom alias;
	uint32_t pkg, node;
	const struct chain *parents, *next;
	const struct atomset *shadow; /* before the claim: its own; after: the one in force */
	int32_t depth;
	prior key;
	struct owner owner;
};
/* An occurrence that must still walk its children; RECORDED: only find out whose they are now. */
struct front {
	struct seed seed;
	bool recorded;
	const struct level *level;
	const struct scope *scope;
};
struct front_vec {
	struct front *p;
	size_t n, cap;
};
enum source { FROM_IMPORTER, FROM_PARENT };
struct edge_ctx {
	struct importer *imp;
	const struct chain *parents;
	int32_t depth;
	bool parent_optional, parent_is_workspace;
	enum source source;
	prior key; /* FROM_PARENT */
	const struct level *level;
	atom dir;
	const struct scope *scope;
};

static int walk(struct run *r, struct importer *imp, struct seed *seeds, uint32_t n, const struct level *level,
	const struct scope *scope, struct err *e);

/* --- one specifier --- */

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

static int get_packument(
	struct run *r, struct packument *out, const struct err **why, atom name, bool full, struct err *e)
{
	for (;;) {
		enum meta_state st = metas_get(r->metas, name, full, out, why);
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

static void note_young(struct run *r, uint32_t pkg)
{
	for (size_t i = 0; i < r->nyoung; i++)
		if (r->young[i] == pkg)
			return;
	r->young = arena_grow(&r->arena, r->young, r->nyoung, &r->cap_young, sizeof(*r->young), _Alignof(uint32_t));
	r->young[r->nyoung++] = pkg;
}

/* pick_version(), but what an earlier project of the workspace chose stands. */
static uint32_t shared_pick(struct run *r, struct packument p, const struct wanted *w, const struct reg_spec *spec,
	const struct resolve_opts *o, const struct pick_opts *po, bool here, bool *young)
{
	if (o->depth == 0 || here || !first_pick_contested(r, spec->name))
		return pick_version(r, p, spec, po, young);
	struct first_key k = { w->alias, w->spec, first_pick_above(r, o->level, spec->name), po->cutoff, o->key,
		w->optional, po->lowest };
	uint32_t v = first_pick_get(r, &k, young);
	if (v != NONE)
		return v;
	v = pick_version(r, p, spec, po, young);
	if (v != NONE)
		first_pick_put(r, &k, v, *young);
	return v;
}

static int from_registry(struct run *r, uint32_t *out, const struct importer *imp, const struct wanted *w,
	const struct reg_spec *spec, const struct resolve_opts *o, bool *fresh, struct err *e)
{
	bool here = instead_here(r, o->depth), young;
	struct packument p = { 0 };
	const struct err *why = NULL;
	int rc;
	if (here && r->set->prefer_workspace_packages &&
		(rc = workspace_instead(r, out, imp, w, spec->name, spec->fetch, (int)spec->type, 0, fresh, e)) !=
			LOCAL_NONE)
		return rc < 0 ? rc : 0;
	rc = get_packument(r, &p, &why, spec->name, w->optional, e);
	if (rc < 0)
		return rc;
	uint32_t v = NONE;
	bool hoisted = o->depth == 0 && imp->subdep_rules;
	bool anew = hoisted && r->moved && atomset_has(r->moved, spec->name);
	struct pick_opts po = { .preferred = w->peer || anew ? preferred_of(r, spec->name)
							     : preferred_for(r, imp, spec->name),
		.level = o->level,
		.cutoff = o->cutoff,
		.lowest = o->lowest };
	if (!rc)
		v = shared_pick(r, p, w, spec, o, &po, here, &young);
	if (here) {
		atom version = v == NONE ? 0 : atom_of(&r->t, packument_version(p, v));
		int lc = workspace_instead(r, out, imp, w, spec->name, spec->fetch, (int)spec->type, version, fresh, e);
		if (lc != LOCAL_NONE)
			return lc < 0 ? lc : 0;
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
	int rc = workspace_resolve(r, out, imp, o->dir, w, fresh, e);
	if (rc)
		return rc < 0 ? rc : 0;
	if (str_starts(s, STR("catalog:")))
		return err_set(e, ERR_USAGE,
			"dependency " STR_FMT "@" STR_FMT ": a published package cannot use a catalog", SA(r, w->alias),
			STR_ARG(s));
	struct reg_spec spec;
	if (reg_spec_parse(r, &spec, w->alias, w->spec))
		return from_registry(r, out, imp, w, &spec, o, fresh, e);
	return exotic_resolve(r, out, w, fresh, e);
}

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

/* Gives an occurrence its place in the tree; a shared one keeps its first children and its least depth. */
static void node_settle(struct run *r, const struct seed *s, bool lazy, struct kid *kid, uint32_t nkid)
{
	struct node *n = &r->node.p[s->node];
	int32_t depth = pkg_at(r, s->pkg)->kind == PKG_LINK ? -1 : s->depth;
	if (s->leaf && n->depth != INT32_MAX) {
		if (n->depth > depth)
			n->depth = depth;
		return;
	}
	n->depth = depth;
	n->lazy = lazy;
	n->kid = kid;
	n->nkid = nkid;
	n->parents = s->parents;
}

/* --- who decides a package's children --- */

static bool claim(struct run *r, struct seed *s, const struct importer *imp)
{
	struct pkg *p = pkg_at(r, s->pkg);
	struct owner mine = { true, s->depth, (uint32_t)(imp - r->importer), s->parents };
	s->owner = mine;
	if (p->owner.set) {
		const struct owner *o = &p->owner;
		int c = mine.depth != o->depth         ? (mine.depth < o->depth ? -1 : 1)
			: mine.importer != o->importer ? (mine.importer < o->importer ? -1 : 1)
						       : chain_cmp(r, mine.path, o->path);
		if (c >= 0) {
			s->owns = false;
			s->shadow = p->shadow;
			s->unchanged = false;
			return false;
		}
	}
	s->unchanged = p->owner.set && atomset_eq(p->shadow, s->shadow);
	s->owns = true;
	p->owner = mine;
	p->shadow = s->shadow;
	return true;
}

static bool still_owner(struct run *r, const struct seed *s)
{
	const struct owner *o = &pkg_at(r, s->pkg)->owner;
	return o->depth == s->owner.depth && o->importer == s->owner.importer &&
	       chain_cmp(r, o->path, s->owner.path) == 0;
}

/* One claim per package and level, by the occurrence whose path sorts first. */
static void claim_level(struct run *r, const struct importer *imp, struct seed **all, uint32_t n)
{
	uint32_t *best = xmalloc((n + 1) * sizeof(*best)), nbest = 0, mark = ++r->mark;
	for (uint32_t i = 0; i < n; i++) {
		struct seed *s = all[i];
		struct pkg *p = s->kind == SEED_PENDING ? pkg_at(r, s->pkg) : NULL;
		if (!p || p->kind == PKG_LINK)
			continue;
		if (p->seen != mark) {
			p->seen = mark;
			p->slot = nbest;
			best[nbest++] = i;
		} else if (chain_cmp(r, all[best[p->slot]]->parents, s->parents) > 0) {
			best[p->slot] = i;
		}
	}
	for (uint32_t i = 0; i < nbest; i++) {
		struct seed *s = all[best[i]];
		if (claim(r, s, imp) && package_split_peers(r, pkg_at(r, s->pkg), s->shadow))
			r->breaks++;
	}
	free(best);
}

void resolve_record(struct run *r, uint32_t pkg, struct edge *edge, uint32_t n, const struct atomset *shadow, prior key)
{
	struct pkg *p = pkg_at(r, pkg);
	p->recorded = true;
	p->edge = edge;
	p->nedge = n;
	p->rec_shadow = shadow;
	p->rec_prior = key;
}

static bool pins_over(const struct pkg *p, const struct atomset *shadow, prior key)
{
	return atomset_eq(p->rec_shadow, shadow) && p->rec_prior != NONE && key == NONE;
}

static bool edges_same(const struct pkg *p, const struct edge *e, uint32_t n)
{
	if (p->nedge != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (p->edge[i].alias != e[i].alias || p->edge[i].pkg != e[i].pkg ||
			p->edge[i].optional != e[i].optional)
			return false;
	return true;
}

/* Occurrences that realised children of an older record read the new one from now on. */
static void others_lazy(struct run *r, uint32_t pkg, uint32_t owner_node)
{
	bool any = false;
	for (uint32_t i = pkg_at(r, pkg)->nodes; i != NONE; i = r->node.p[i].next) {
		struct node *n = &r->node.p[i];
		if (i == owner_node || n->lazy || n->depth == INT32_MAX)
			continue;
		n->lazy = true;
		any = true;
	}
	if (any)
		r->rewrites++;
}

struct recording {
	bool declined, stale;
};
static struct recording record(struct run *r, const struct seed *s, struct edge *edge, uint32_t n)
{
	struct pkg *p = pkg_at(r, s->pkg);
	struct recording out = { 0 };
	if (!still_owner(r, s) || (p->recorded && pins_over(p, s->shadow, s->key))) {
		out.declined = true;
		return out;
	}
	out.stale = p->recorded && !edges_same(p, edge, n);
	if (out.stale)
		r->breaks++;
	resolve_record(r, s->pkg, edge, n, s->shadow, s->key);
	return out;
}

/* Children of S from the seeds of its edges: records them and settles its node. */
static void settle_children(struct run *r, const struct seed *s, const struct seed *kids, uint32_t n)
{
	struct edge *edge = arena_new(&r->arena, struct edge, n + 1);
	struct kid *kid = arena_new(&r->arena, struct kid, n + 1);
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (kids[i].kind == SEED_DROPPED)
			continue;
		edge[m] = (struct edge){ kids[i].alias, kids[i].pkg, kids[i].optional_edge };
		kid[m++] = (struct kid){ kids[i].alias, kids[i].node };
	}
	struct recording rec = record(r, s, edge, m);
	node_settle(r, s, rec.declined, rec.declined ? NULL : kid, rec.declined ? 0 : m);
	if ((rec.stale || !s->unchanged) && still_owner(r, s))
		others_lazy(r, s->pkg, s->node);
}

/* --- taking a locked subtree over --- */

static int edge_seed(struct run *r, struct seed *out, struct wanted w, const struct edge_ctx *x, struct err *e);

static int reused_seed(struct run *r, struct seed *out, const struct wanted *w, const struct edge_ctx *x, prior key,
	bool optional, struct err *e)
{
	uint32_t pkg;
	bool fresh;
	struct reuse_kid *kids;
	int rc = reuse_package(r, &pkg, key, &fresh, e);
	if (rc)
		return rc;
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
	if (!claim(r, out, x->imp)) {
		node_settle(r, out, true, NULL, 0);
		return 0;
	}
	struct seed *seeds = arena_new(&r->arena, struct seed, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct edge_ctx below = *x;
		below.parents = out->next;
		below.depth = x->depth + 1;
		below.parent_optional = optional;
		below.source = FROM_PARENT;
		below.key = kids[i].key;
		below.level = NULL;
		struct wanted kw = { kids[i].alias, reuse_spec(r, kids[i].alias, kids[i].key), false, false, false };
		rc = edge_seed(r, &seeds[i], kw, &below, e);
		if (!rc)
			rc = walk(r, x->imp, &seeds[i], 1, NULL, x->scope, e);
		if (rc)
			return rc;
		seeds[i].optional_edge = kids[i].optional;
	}
	settle_children(r, out, seeds, n);
	return 0;
}

/* --- asking ahead --- */

static void ask_ahead_later(struct run *r, uint32_t pkg, const struct atomset *shadow)
{
	struct pkg *p = pkg_at(r, pkg);
	if (r->nimporter < 2 || p->asked_ahead || p->kind == PKG_LINK)
		return;
	p->asked_ahead = true;
	r->ahead = arena_grow(&r->arena, r->ahead, r->nahead, &r->cap_ahead, sizeof(*r->ahead), _Alignof(struct ahead));
	r->ahead[r->nahead++] = (struct ahead){ pkg, shadow };
}

/* The choice that the dependency S of a package would be without regard to what the levels above resolved; errors come up where
 * it is needed. */
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
	int rc = get_packument(r, &p, &why, spec.name, w.optional, e);
	if (rc)
		return rc < 0 ? rc : 0;
	struct pick_opts po = { .preferred = preferred_for(r, imp, spec.name), .cutoff = o.cutoff };
	(void)shared_pick(r, p, &w, &spec, &o, &po, instead_here(r, 1), &young);
	return 0;
}

/* For all packages that IMP's walk was the first to meet. */
static int ask_ahead(struct run *r, const struct importer *imp, struct err *e)
{
	struct err ignored;
	int rc = 0;
	for (size_t i = 0; i < r->nahead && !rc; i++) {
		struct pkg *p = pkg_at(r, r->ahead[i].pkg);
		if (package_specs(r, p, &ignored))
			continue;
		for (uint32_t k = 0; k < p->nspec && !rc; k++)
			if (p->spec[k].optional || !atomset_has(r->ahead[i].shadow, p->spec[k].alias))
				rc = ask_ahead_one(r, imp, &p->spec[k], e);
	}
	r->nahead = 0;
	return rc;
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

static int doomed(struct run *r, uint32_t pkg, struct err *e)
{
	for (size_t i = 0; i < r->ndoom; i++)
		if (r->doom[i].id == pkg_at(r, pkg)->id) {
			*e = r->doom[i].why;
			return r->doom[i].code;
		}
	return 0;
}

/* A required dependency failed below an optional one: its dependent fails with it, up to the optional edge. */
static void doom(struct run *r, const struct edge_ctx *x, int code, const struct err *why)
{
	if (!x->parent_optional || !x->parents || !skippable(code))
		return;
	r->doom = arena_grow(&r->arena, r->doom, r->ndoom, &r->cap_doom, sizeof(*r->doom), _Alignof(struct doom));
	r->doom[r->ndoom++] = (struct doom){ pkg_at(r, x->parents->pkg)->id, code, *why };
	r->again = true;
}

static int edge_seed(struct run *r, struct seed *out, struct wanted w, const struct edge_ctx *x, struct err *e)
{
	bool optional = w.optional || x->parent_optional, fresh;
	prior key = !r->prior ? NONE : x->source == FROM_IMPORTER ? reuse_direct(r, x->imp, &w) : x->key;
	*out = (struct seed){ .kind = SEED_DROPPED };
	if (key != NONE && r->reuse_subtrees && reuse_subtree(r, x->imp, key))
		return reused_seed(r, out, &w, x, key, optional, e);
	/* what a project declared and the lockfile has for it stays while it fits, though other projects have a higher one */
	bool stays = x->source == FROM_IMPORTER && !w.peer && !x->imp->subdep_rules;
	if (key != NONE && (stays || (x->depth > 0 && valid_range(r, w.spec)))) {
		atom pinned = reuse_pin(r, &w, key);
		if (pinned)
			w.spec = pinned;
	}
	struct resolve_opts o = {
		.level = x->level, .dir = x->dir, .cutoff = r->subdep_cutoff, .depth = x->depth, .key = key
	};
	if (x->depth == 0 && !x->imp->subdep_rules) {
		o.cutoff = r->cutoff;
		o.lowest = r->lowest_direct;
	}
	uint32_t pkg;
	int rc = resolve_wanted(r, &pkg, x->imp, &w, &o, &fresh, e);
	if (!rc)
		rc = doomed(r, pkg, e);
	if (rc && w.optional && skippable(rc) && !reuse_has_satisfying(r, &w))
		return 0;
	if (rc && !w.optional)
		doom(r, x, rc, e);
	if (!rc)
		rc = exotic(r, &w, pkg_at(r, pkg), x, e);
	if (rc)
		return err_ctx(e, STR_FMT, STR_ARG(chain_text(r, x->imp, x->parents, w.alias, w.spec)));
	if (closes_cycle(x->parents, pkg))
		return 0;
	struct pkg *p = pkg_at(r, pkg);
	const struct atomset *shadow = p->kind == PKG_LINK ? &atomset_none : package_shadowed(r, p, x->scope);
	bool leaf = p->kind == PKG_LINK ||
		    (p->kind != PKG_LOCKED ? !p->deps.ndep && !p->deps.nopt && !p->deps.npeer && !p->deps.npeer_optional
					   : p->leaf);
	package_seen(r, p, fresh, optional, shadow, x);
	ask_ahead_later(r, pkg, shadow);
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

static int kv_order(const void *a, const void *b)
{
	const struct kv *x = a, *y = b;
	return x->k != y->k ? (x->k < y->k ? -1 : 1) : x->v < y->v ? -1 : x->v > y->v;
}

static struct kv *versions_of(struct run *r, const struct seed *s, uint32_t n, uint32_t *out)
{
	struct kv *p = arena_new(&r->arena, struct kv, n + 1);
	uint32_t m = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct pkg *k = s[i].kind == SEED_DROPPED ? NULL : pkg_at(r, s[i].pkg);
		if (k && k->version)
			p[m++] = (struct kv){ k->name, k->version };
	}
	qsort(p, m, sizeof(*p), kv_order);
	*out = m;
	return p;
}

static const struct level *level_below(struct run *r, const struct level *up, const struct seed *s, uint32_t n)
{
	uint32_t m;
	struct kv *p = versions_of(r, s, n, &m);
	if (!m)
		return up;
	struct level *l = arena_new(&r->arena, struct level, 1);
	*l = (struct level){ up, p, m };
	return l;
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

static bool through_catalogs(const struct pkg *p)
{
	return p->by_workspace && p->kind == PKG_DIRECTORY;
}

static void front_add(struct front_vec *f, struct front x)
{
	if (f->n == f->cap)
		f->p = vec_grow(f->p, &f->cap, sizeof(*f->p));
	f->p[f->n++] = x;
}

/* A new owner that takes the recorded children over still decides anew what is shadowed below it: the names above are others. */
static bool restates(const struct pkg *p, const struct seed *s)
{
	return p->nedge && p->rec_prior == NONE && s->key == NONE;
}

static void settle_seeds(struct run *r, struct front_vec *f, struct seed *s, uint32_t n, const struct level *level,
	const struct scope *scope)
{
	for (uint32_t i = 0; i < n; i++) {
		if (s[i].kind != SEED_PENDING)
			continue;
		const struct pkg *p = pkg_at(r, s[i].pkg);
		bool match = p->recorded && !through_catalogs(p) && atomset_eq(p->rec_shadow, s[i].shadow) &&
			     (p->rec_prior == s[i].key || (p->rec_prior != NONE && s[i].key == NONE));
		if (s[i].restated && (p->kind == PKG_LINK || !s[i].owns))
			continue;
		if (s[i].restated && !match)
			s[i].node = seed_node(r, s[i].pkg, s[i].depth, s[i].leaf);
		if (p->kind == PKG_LINK)
			node_settle(r, &s[i], false, NULL, 0);
		else if ((!s[i].owns || match) && !s[i].restated)
			node_settle(r, &s[i], true, NULL, 0);
		if (p->kind != PKG_LINK && s[i].owns && (!match || restates(p, &s[i])))
			front_add(f, (struct front){ s[i], match, level, scope });
	}
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

static atom declaring_dir(struct run *r, const struct importer *imp, const struct pkg *p)
{
	(void)r;
	return p->kind == PKG_DIRECTORY ? p->directory : imp->path;
}

struct expanded {
	struct seed *seed;
	uint32_t n;
};

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
		struct edge_ctx x = { .imp = imp,
			.parents = f->seed.next,
			.depth = f->seed.depth + 1,
			.parent_optional = f->seed.optional,
			.parent_is_workspace = p->by_workspace,
			.source = FROM_PARENT,
			.key = NONE,
			.level = f->level,
			.dir = declaring_dir(r, imp, p),
			.scope = f->scope };
		struct wanted w = { s.alias, s.range, s.optional, false, false };
		if (through_catalogs(p)) {
			str spec;
			rc = catalog_resolve(r->set, &spec, sof(r, s.alias), sof(r, s.range), e);
			if (rc)
				return rc;
			w.spec = atom_of(&r->t, spec);
		}
		if (from != NONE)
			x.key = reuse_child(r, from, s.alias, s.range);
		if (x.key != NONE && reuse_version(r, x.key)) {
			atom up = higher_direct(r, imp, s.alias, reuse_version(r, x.key), s.range);
			if (up) {
				w.spec = up;
				x.key = NONE;
			}
		}
		rc = edge_seed(r, &out->seed[out->n++], w, &x, e);
		if (rc)
			return rc;
		p = pkg_at(r, f->seed.pkg);
	}
	return 0;
}

/* The recorded children of F, below their new owner. */
static void expand_recorded(struct run *r, const struct front *f, struct expanded *out)
{
	const struct pkg *p = pkg_at(r, f->seed.pkg);
	out->seed = arena_new(&r->arena, struct seed, p->nedge + 1);
	for (uint32_t i = 0; i < p->nedge; i++) {
		const struct pkg *k = pkg_at(r, p->edge[i].pkg);
		if (k->kind == PKG_LINK || closes_cycle(f->seed.next, p->edge[i].pkg))
			continue;
		out->seed[out->n++] = (struct seed){ .kind = SEED_PENDING,
			.restated = true,
			.optional_edge = p->edge[i].optional,
			.optional = p->edge[i].optional || f->seed.optional,
			.leaf = k->leaf_node != NONE,
			.alias = p->edge[i].alias,
			.pkg = p->edge[i].pkg,
			.node = NONE,
			.parents = f->seed.next,
			.next = chain_push(r, f->seed.next, p->edge[i].pkg),
			.shadow = package_shadowed(r, k, f->scope),
			.depth = f->seed.depth + 1,
			.key = NONE };
	}
}

/* Asks for what the level will need, so that nothing waits for one name at a time. */
static void level_ask(struct run *r, const struct importer *imp, const struct front_vec *f)
{
	(void)imp;
	for (size_t i = 0; i < f->n; i++) {
		struct pkg *p = pkg_at(r, f->p[i].seed.pkg);
		struct err ignored;
		if (f->p[i].recorded || f->p[i].seed.key != NONE || package_specs(r, p, &ignored))
			continue;
		for (uint32_t k = 0; k < p->nspec; k++)
			metas_ask(r->metas, p->spec[k].alias, p->spec[k].range, p->spec[k].optional);
	}
}

static int walk(struct run *r, struct importer *imp, struct seed *seeds, uint32_t n, const struct level *level,
	const struct scope *scope, struct err *e)
{
	struct front_vec front = { 0 }, next = { 0 };
	VEC(struct seed *) all = VEC_INIT;
	VEC(struct expanded) level_out = VEC_INIT;
	int rc = 0;
	for (uint32_t i = 0; i < n; i++)
		*vec_add(&all) = &seeds[i];
	claim_level(r, imp, all.p, (uint32_t)all.n);
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
		claim_level(r, imp, all.p, (uint32_t)all.n);
		for (size_t i = 0; i < front.n; i++) {
			const struct front *f = &front.p[i];
			const struct expanded *x = &level_out.p[i];
			if (!f->recorded)
				settle_children(r, &f->seed, x->seed, x->n);
			settle_seeds(r, &next, x->seed, x->n, level_below(r, f->level, x->seed, x->n),
				scope_below(r, f->scope, x->seed, x->n));
		}
		struct front_vec swap = front;
		front = next;
		next = swap;
	}
	vec_release(&all);
	vec_release(&level_out);
	free(front.p);
	free(next.p);
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
		struct edge_ctx x = {
			.imp = imp, .source = FROM_IMPORTER, .key = NONE, .dir = imp->path, .scope = scope
		};
		int rc = edge_seed(r, &s[i], w[i], &x, e);
		if (rc)
			return rc;
	}
	direct_versions_add(r, imp, s, n);
	int rc = walk(r, imp, s, n, level_below(r, NULL, s, n), scope_below(r, scope, s, n), e);
	if (!rc)
		rc = ask_ahead(r, imp, e);
	for (uint32_t i = 0; i < n && !rc; i++)
		if (s[i].kind != SEED_DROPPED)
			*vec_add(&imp->direct) =
				(struct direct){ .alias = s[i].alias, .node = s[i].node, .pkg = s[i].pkg };
	r->revision++;
	return rc;
}

/* --- what was resolved so far --- */

/* Links what run_versions has of one name, in its order. */
static void by_name(struct run *r)
{
	r->nrun_first = r->t.n;
	r->run_first = xrealloc(r->run_first, r->nrun_first * sizeof(*r->run_first));
	memset(r->run_first, 0xFF, r->nrun_first * sizeof(*r->run_first)); /* NONE */
	for (size_t i = r->nrun_versions; i-- > 0;) {
		uint32_t *first = &r->run_first[pkg_at(r, r->run_versions[i].pkg)->name];
		r->run_versions[i].next = *first;
		*first = (uint32_t)i;
	}
}

static void reach(struct run *r, const struct importer *only)
{
	VEC(uint32_t) stack = VEC_INIT;
	uint32_t mark = ++r->mark;
	r->nrun_versions = 0;
	r->run_versions = xrealloc(r->run_versions, (r->pkg.n + 1) * sizeof(*r->run_versions));
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (size_t k = 0; (!only || only == &r->importer[i]) && k < r->importer[i].direct.n; k++)
			*vec_add(&stack) = r->importer[i].direct.p[k].pkg;
	while (stack.n) {
		uint32_t i = stack.p[--stack.n];
		struct pkg *p = pkg_at(r, i);
		if (p->seen == mark)
			continue;
		p->seen = mark;
		r->run_versions[r->nrun_versions++] = (struct run_version){ i, NONE };
		for (uint32_t k = 0; k < p->nedge; k++)
			if (pkg_at(r, p->edge[k].pkg)->seen != mark)
				*vec_add(&stack) = p->edge[k].pkg;
	}
	vec_release(&stack);
	by_name(r);
}

void resolve_run_versions(
	struct run *r, const struct importer *imp, atom name, void (*f)(void *ctx, atom version), void *ctx)
{
	if (r->run_versions_at != r->revision || r->run_versions_of != imp) {
		reach(r, imp);
		r->run_versions_at = r->revision;
		r->run_versions_of = imp;
	}
	uint32_t next = name < r->nrun_first ? r->run_first[name] : NONE;
	for (uint32_t i = next; i != NONE; i = next) {
		next = r->run_versions[i].next;
		const struct pkg *p = pkg_at(r, r->run_versions[i].pkg);
		if (p->version)
			f(ctx, p->version);
		else if (p->by_workspace && p->manifest_version)
			f(ctx, p->manifest_version);
	}
}
