#include "peer_issues.h"
#include "dep_path.h"
#include "match.h"
#include "name.h"
#include "overrides.h"
#include "pick.h"
#include "plan_emit.h"
#include <stdlib.h>

enum { CHAIN_NEAREST = 12 }; /* packages of a chain that are named */

/* One line of peerDependencyRules.allowedVersions: "[parent[@range]>]peer: versions". */
struct allowed {
	str parent, parent_range; /* absent: every parent, every version */
	str peer;
	str versions; /* ranges with "||" between; each is tried */
};
struct step {
	uint32_t node;
	const struct chain *up;
};
struct walk {
	struct run *r;
	const struct graph *g;
	const struct importer *imp;
	bool *seen; /* by node */
	VEC(struct step) stack;
	VEC(struct frame_peer_issue) issue;
	struct allowed *allowed;
	size_t nallowed, from; /* issues of this importer start at FROM */
};

/* --- peerDependencyRules --- */

static void allowed_read(struct walk *w)
{
	const struct str_map *m = &w->r->set->peer_allowed_versions;
	w->allowed = arena_new(&w->r->arena, struct allowed, m->n + 1);
	for (size_t i = 0; i < m->n; i++) {
		struct allowed *a = &w->allowed[w->nallowed++];
		str parent, peer, ignored;
		*a = (struct allowed){ .versions = m->p[i].v };
		if (str_cut(m->p[i].k, '>', &parent, &peer))
			name_split(str_trim(parent), &a->parent, &a->parent_range);
		else
			peer = parent;
		name_split(str_trim(peer), &a->peer, &ignored);
	}
}

/* Whether VERSION satisfies WANTED. What is no version or range must be the same text. Source: pnpm. */
static bool satisfied(struct run *r, atom version, atom wanted)
{
	if (str_eq(sof(r, wanted), STR("*")))
		return true;
	const struct semver *sv = atom_semver(&r->t, version);
	const struct range *rg = atom_range(&r->t, wanted);
	return sv && rg ? range_has_peer(rg, sv) : version == wanted;
}

static bool satisfies_one(struct run *r, atom version, str versions)
{
	for (bool more = true; more;) {
		size_t at = str_find_str(versions, STR("||"), 0);
		more = at != SIZE_MAX;
		if (satisfied(r, version, atom_copy(&r->t, str_trim(more ? str_head(versions, at) : versions))))
			return true;
		versions = more ? str_from(versions, at + 2) : versions;
	}
	return false;
}

static bool allowed_version(const struct walk *w, str peer, atom found, str parent, str parent_version)
{
	atom v = atom_copy(&w->r->t, parent_version);
	for (size_t i = 0; i < w->nallowed; i++) {
		const struct allowed *a = &w->allowed[i];
		if (str_eq(a->peer, peer) && (!a->parent.n || str_eq(a->parent, parent)) &&
			(!a->parent_range.p || satisfied(w->r, v, atom_copy(&w->r->t, a->parent_range))) &&
			satisfies_one(w->r, found, a->versions))
			return true;
	}
	return false;
}

/* --- names --- */

/* As the lockfile knows the package: the version in its key, or what its own manifest says. */
static str pkg_version(const struct run *r, const struct pkg *p)
{
	str name, version, suffix;
	dep_path_split(sof(r, p->key), &name, &version, &suffix);
	if (p->kind == PKG_TARBALL && p->manifest->version.n)
		return p->manifest->version;
	return p->locked && p->locked->version.n ? p->locked->version : version;
}

/* "importer > a@1.0.0 > b@2.0.0", the nearest packages of a long chain. */
static str chain_of(const struct walk *w, const struct chain *c, str last)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	str near[CHAIN_NEAREST];
	size_t n = 0;
	for (; c && n < CHAIN_NEAREST; c = c->up)
		near[n++] = sof(w->r, pkg_at(w->r, c->pkg)->key);
	buf_add(&b, w->imp->req->path);
	if (c)
		buf_add(&b, STR(" > …"));
	while (n--)
		buf_printf(&b, " > " STR_FMT, STR_ARG(near[n]));
	if (last.n)
		buf_printf(&b, " > " STR_FMT, STR_ARG(last));
	return arena_str(&w->r->arena, buf_str(&b));
}

/* The manifest of a linked folder, by its path from the lockfile's. */
static const struct manifest *manifest_at(struct run *r, atom dir)
{
	const struct importer *imp = importer_at(r, sof(r, dir));
	if (imp)
		return &imp->req->manifest;
	for (uint32_t i = 0; i < r->pkg.n; i++)
		if (r->pkg.p[i]->kind == PKG_LINK && r->pkg.p[i]->directory == dir)
			return r->pkg.p[i]->manifest;
	return NULL;
}

static str link_version(struct run *r, atom dir)
{
	const struct manifest *m = manifest_at(r, dir);
	return m && m->version.n ? m->version : arena_printf(&r->arena, "link:" STR_FMT, SA(r, dir));
}

/* --- the walk --- */

/* Who declares a peer. */
struct declarer {
	str name, version;
	const struct chain *chain;
	str last; /* end of the chain that is no package of the graph: a linked folder */
};

static void note(struct walk *w, enum peer_issue_kind kind, const struct declarer *d, str peer, atom wanted, atom found,
	bool optional)
{
	struct run *r = w->r;
	str by = arena_printf(&r->arena, STR_FMT "@" STR_FMT, STR_ARG(d->name), STR_ARG(d->version));
	if (kind == PEER_MISSING && match_list(r->set->peer_ignore_missing, peer))
		return;
	if (kind == PEER_BAD &&
		(match_list(r->set->peer_allow_any, peer) || allowed_version(w, peer, found, d->name, d->version)))
		return;
	if (w->issue.n < PEER_ISSUES_MAX)
		*vec_add(&w->issue) = (struct frame_peer_issue){ .kind = kind,
			.importer = w->imp->req->path,
			.peer = peer,
			.wanted = sof(r, wanted),
			.found = found ? sof(r, found) : STR_NONE,
			.by = by,
			.chain = chain_of(w, d->chain, d->last),
			.optional = optional };
}

/* FOUND 0: nobody provides it. */
static void judge(struct walk *w, const struct declarer *d, atom peer, atom raw, atom found, bool optional)
{
	struct run *r = w->r;
	atom wanted = peer_range(r, raw);
	if (!found && !optional)
		note(w, PEER_MISSING, d, sof(r, peer), wanted, 0, false);
	else if (found && !satisfied(r, found, wanted))
		note(w, PEER_BAD, d, sof(r, peer), wanted, found, optional);
}

static atom edge_version(const struct walk *w, dpid dp, atom link)
{
	struct run *r = w->r;
	if (dp == NONE)
		return atom_of(&r->t, link_version(r, link));
	uint32_t at = graph_find(w->g, dp);
	const struct pkg *p = at == NONE ? NULL : pkg_at(r, w->g->node.p[at].pkg);
	if (p && p->version)
		return p->version;
	str name, version, suffix;
	dep_path_split(sof(r, w->g->paths->dp.p[dp].base), &name, &version, &suffix);
	return atom_of(&r->t, version);
}

static atom provided(const struct walk *w, const struct gnode *n, atom name)
{
	for (uint32_t i = 0; i < n->nedge; i++)
		if (n->edge[i].alias == name)
			return edge_version(w, n->edge[i].dp, n->edge[i].link);
	return 0;
}

static void judge_node(struct walk *w, const struct gnode *n, const struct chain *chain)
{
	struct run *r = w->r;
	const struct pkg *p = pkg_at(r, n->pkg);
	const struct deps *x = &p->deps;
	str suffix, version;
	struct declarer d = { .chain = chain };
	if (!x->npeer)
		return;
	dep_path_split(sof(r, p->key), &d.name, &version, &suffix);
	d.version = pkg_version(r, p);
	for (uint32_t i = 0; i < x->npeer; i++) {
		atom name = x->peer[i].k;
		if (!kv_find(x->opt, x->nopt, name)) /* else it is not declared in the lockfile */
			judge(w, &d, name, x->peer[i].v, provided(w, n, name), deps_peer_optional(x, name));
	}
}

static void push(struct walk *w, dpid dp, const struct chain *up)
{
	uint32_t at = dp == NONE ? NONE : graph_find(w->g, dp);
	if (at != NONE && !w->seen[at])
		*vec_add(&w->stack) = (struct step){ at, up };
}

static void walk_from(struct walk *w, dpid dp)
{
	push(w, dp, NULL);
	while (w->stack.n) {
		struct step s = w->stack.p[--w->stack.n];
		const struct gnode *n = &w->g->node.p[s.node];
		if (w->seen[s.node])
			continue;
		w->seen[s.node] = true;
		const struct chain *chain = chain_push(w->r, s.up, n->pkg);
		judge_node(w, n, chain);
		for (int optional = 0; optional < 2; optional++)
			for (uint32_t i = 0; i < n->nedge; i++)
				if (n->edge[i].optional == (optional == 1))
					push(w, n->edge[i].dp, chain);
	}
}

/* --- an importer --- */

/* The peers of a linked folder are looked for among the importer's own dependencies. */
static void judge_link(struct walk *w, const struct gdirects *all, const struct gdirect *link)
{
	struct run *r = w->r;
	const struct manifest *m = manifest_at(r, link->link);
	struct declarer d = { .name = sof(r, link->alias) };
	if (!m)
		return;
	d.version = m->version.n ? m->version : STR("0.0.0");
	d.last = arena_printf(&r->arena, STR_FMT "@" STR_FMT, STR_ARG(d.name), STR_ARG(d.version));
	for (size_t i = 0; i < m->peer_dependencies.n; i++) {
		const struct str_kv *x = &m->peer_dependencies.p[i];
		atom name = atom_of(&r->t, x->k);
		enum lock_dep_type type;
		atom found = 0;
		for (uint32_t k = 0; k < all->n && !found; k++)
			if (all->p[k].alias == name && importer_declares(r, w->imp, name, &type))
				found = edge_version(w, all->p[k].dp, all->p[k].link);
		judge(w, &d, name, atom_of(&r->t, x->v), found, str_list_has(m->peer_optional, x->k));
	}
}

/* Ranges of one missing peer that no version satisfies together: they are in conflict. */
static void conflicts(struct walk *w)
{
	struct run *r = w->r;
	for (size_t i = w->from; i < w->issue.n; i++)
		for (size_t k = w->from; k < i; k++) {
			struct frame_peer_issue *a = &w->issue.p[i], *b = &w->issue.p[k];
			if (a->kind == PEER_BAD || b->kind == PEER_BAD || !str_eq(a->peer, b->peer) ||
				str_eq(a->wanted, b->wanted))
				continue;
			const struct range *x = atom_range(&r->t, atom_of(&r->t, a->wanted)),
					   *y = atom_range(&r->t, atom_of(&r->t, b->wanted));
			if (!x || !y || !range_intersects(x, y, false))
				a->kind = b->kind = PEER_CONFLICT;
		}
	for (size_t i = w->from; i < w->issue.n; i++)
		for (size_t k = w->from; k < w->issue.n; k++)
			if (w->issue.p[i].kind == PEER_CONFLICT && w->issue.p[k].kind == PEER_MISSING &&
				str_eq(w->issue.p[i].peer, w->issue.p[k].peer))
				w->issue.p[k].kind = PEER_CONFLICT;
}

/* Judges what IMP declares in the lockfile's group TYPE: linked folders, or all else. */
static void walk_group(struct walk *w, const struct gdirects *d, enum lock_dep_type type, bool links)
{
	for (uint32_t i = 0; i < d->n; i++) {
		enum lock_dep_type is;
		if ((d->p[i].dp == NONE) != links || !importer_declares(w->r, w->imp, d->p[i].alias, &is) || is != type)
			continue;
		if (links)
			judge_link(w, d, &d->p[i]);
		else
			walk_from(w, d->p[i].dp);
	}
}

static void walk_importer(struct walk *w, uint32_t at)
{
	static const enum lock_dep_type order[] = { LOCK_PROD, LOCK_DEV, LOCK_OPTIONAL };
	const struct gdirects *d = &w->g->direct[at];
	w->imp = &w->r->importer[at];
	w->from = w->issue.n;
	for (int links = 1; links >= 0; links--)
		for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
			walk_group(w, d, order[i], links != 0);
	conflicts(w);
}

int peer_issues_send(struct run *r, const struct graph *g, struct err *e)
{
	struct walk w = { .r = r, .g = g, .seen = xcalloc(g->node.n + 1, sizeof(bool)) };
	int rc = 0;
	allowed_read(&w);
	for (uint32_t i = 0; i < r->nimporter; i++)
		walk_importer(&w, i);
	for (size_t i = 0; i < w.issue.n && !rc; i++) {
		struct frame f = { .kind = FRAME_PEER_ISSUE, .peer_issue = w.issue.p[i] };
		rc = r->sink(r->sink_ctx, &f, e);
	}
	if (!rc && w.issue.n && r->set->strict_peer_dependencies) {
		err_set(e, ERR_POLICY, "unmet peer dependencies; strictPeerDependencies: false installs all the same");
		rc = plan_fail(r, e);
	}
	vec_release(&w.issue);
	vec_release(&w.stack);
	free(w.seen);
	return rc;
}
