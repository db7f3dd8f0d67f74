#include "peers_view.h"

/* Whether NAME is one package to CTX and another one to REFS. */
static bool differs(const struct peers *p, const struct refs *ctx, const struct refs *refs, atom name)
{
	const struct ref *a = refs_get(p, ctx, name), *b = refs_get(p, refs, name);
	return a && b && a->pkg != b->pkg;
}

/* Whether CHILD has K as a peer, and another one that is not the same to K. */
static bool torn(const struct peers *p, const struct refs *ctx, const struct refs *refs, const struct pkg *k,
	const struct pkg *child)
{
	if (!pkg_has_peer(child, k->peer_name))
		return false;
	for (uint32_t i = 0; i < child->npeer; i++)
		if (pkg_has_peer(k, child->peer[i].name) && differs(p, ctx, refs, child->peer[i].name))
			return true;
	return false;
}

/* A package below another one, as an occurrence or by its package alone. */
struct descendant {
	uint32_t pkg, node; /* NONE: no occurrence of it */
};
typedef VEC(struct descendant) descendant_vec;

/* Those that the walk goes down to. */
static void children_of(struct peers *p, struct descendant d, descendant_vec *out)
{
	const struct vnode *v = d.node == NONE ? NULL : vnode_at(p, d.node);
	const struct pkg *k = pkg_at(p->r, d.pkg);
	for (uint32_t i = 0; v && !v->lazy && i < v->nkid; i++) {
		struct descendant kid = { vnode_at(p, v->kid[i].node)->pkg, v->kid[i].node };
		if (!view_cuts(p, d.pkg, kid.pkg))
			*vec_add(out) = kid;
	}
	for (uint32_t i = 0; (!v || v->lazy) && i < k->nedge; i++)
		if (!view_cuts(p, d.pkg, k->edge[i].pkg))
			*vec_add(out) = (struct descendant){ k->edge[i].pkg, NONE };
}

static bool serves(struct peers *p, uint32_t parent, atom alias, uint32_t child, atom name)
{
	return (alias == name || pkg_at(p->r, child)->peer_name == name) && !view_cuts(p, parent, child);
}

/* Whether D hands a copy of its own of NAME to what is below it. */
static bool hands_own(struct peers *p, struct descendant d, atom name)
{
	const struct vnode *v = d.node == NONE ? NULL : vnode_at(p, d.node);
	const struct pkg *k = pkg_at(p->r, d.pkg);
	for (uint32_t i = 0; v && !v->lazy && i < v->nkid; i++)
		if (serves(p, d.pkg, v->kid[i].alias, vnode_at(p, v->kid[i].node)->pkg, name))
			return true;
	for (uint32_t i = 0; (!v || v->lazy) && i < k->nedge; i++)
		if (serves(p, d.pkg, k->edge[i].alias, k->edge[i].pkg, name))
			return true;
	return false;
}

bool peers_break_diamond(struct peers *p, uint32_t pkg, uint32_t node, const struct refs *with_own,
	const struct ref *inherited, const struct ref *own)
{
	const struct vnode *there = vnode_at(p, inherited->node);
	const struct pkg *k = pkg_at(p->r, own->pkg);
	if (inherited->node == own->node || !there->alive || !there->ctx)
		return false;
	bool any = false, fresh;
	for (uint32_t i = 0; i < k->npeer && !any; i++)
		any = differs(p, there->ctx, with_own, k->peer[i].name);
	if (!any)
		return false;
	descendant_vec todo = VEC_INIT;
	any = false;
	marks_begin(&p->met);
	children_of(p, (struct descendant){ pkg, node }, &todo);
	while (todo.n && !any) {
		struct descendant d = todo.p[--todo.n];
		(void)marks_meet(&p->met, d.pkg, &fresh);
		if (!fresh)
			continue;
		any = torn(p, there->ctx, with_own, k, pkg_at(p->r, d.pkg));
		if (!any && !hands_own(p, d, k->peer_name))
			children_of(p, d, &todo);
	}
	vec_release(&todo);
	return any;
}
