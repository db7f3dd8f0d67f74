#include "peers_view.h"

void discovery_release(struct discovery *d)
{
	vec_release(&d->missing);
	vec_release(&d->provider);
	vec_release(&d->by_pkg);
}

static void provider_put(struct peers *p, struct discovery *out, atom alias, uint32_t node)
{
	for (size_t i = 0; i < out->provider.n; i++)
		if (out->provider.p[i].alias == alias) {
			out->provider.p[i].node = node;
			out->provider.p[i].pkg = vnode_at(p, node)->pkg;
			return;
		}
	*vec_add(&out->provider) = (struct direct){ .alias = alias, .node = node, .pkg = vnode_at(p, node)->pkg };
}

static void summary_flatten(struct peers *p, struct summary *s, struct discovery *out)
{
	if (s->mark == p->summary_mark)
		return;
	s->mark = p->summary_mark;
	if (s->pkg != NONE)
		*vec_add(&out->by_pkg) = (struct missing_of){ s->pkg, s->names };
	for (uint32_t i = 0; i < s->nkid; i++)
		summary_flatten(p, s->kid[i], out);
}

static void walk_direct(struct peers *p, const struct direct *d, const struct refs *refs, struct discovery *out)
{
	struct output o = peers_node(p, d->node, refs, NULL);
	for (uint32_t i = 0; out && o.installed && i < o.installed->n; i++)
		provider_put(p, out, o.installed->e[i].k, o.installed->e[i].v);
	if (out && o.summary)
		summary_flatten(p, o.summary, out);
}

void peers_mark_providers(struct peers *p, const struct importer *imp, bool on)
{
	for (size_t i = 0; i < imp->direct.n; i++)
		if (imp->direct.p[i].provider)
			vnode_at(p, imp->direct.p[i].node)->provider = on;
}

void peers_importer(
	struct peers *p, const struct importer *imp, uint32_t from, const struct refs *refs, struct discovery *out)
{
	for (size_t i = from; i < imp->direct.n; i++)
		if (!vnode_at(p, imp->direct.p[i].node)->provider)
			peers_remember_direct(p, &imp->direct.p[i], refs);
	for (size_t i = from; i < imp->direct.n; i++)
		if (!vnode_at(p, imp->direct.p[i].node)->provider)
			walk_direct(p, &imp->direct.p[i], refs, out);
	for (size_t i = from; i < imp->direct.n; i++) {
		const struct direct *d = &imp->direct.p[i];
		if (!vnode_at(p, d->node)->provider || vnode_at(p, d->node)->visited == p->call)
			continue;
		peers_remember_direct(p, d, refs);
		walk_direct(p, d, refs, out);
	}
	peers_drain(p, refs);
}

void peers_discover(struct peers *p, struct importer *imp, uint32_t from, struct discovery *out)
{
	view_sync(p);
	p->call++;
	p->summary_mark++;
	p->missing.n = 0;
	peers_mark_providers(p, imp, true);
	peers_importer(p, imp, from, peers_importer_refs(p, imp, NULL), out);
	peers_mark_providers(p, imp, false);
	for (size_t i = 0; i < p->missing.n; i++)
		*vec_add(&out->missing) = p->missing.p[i];
}
