#include "peers_view.h"
#include <stdlib.h>

/* A link's path as a version in a suffix: leading dots gone, runs of unsafe characters one "+", none at the ends. */
static str link_version(struct arena *a, str rel)
{
	str s = rel;
	while (s.n && s.p[0] == '.')
		s = str_from(s, 1);
	char *out = arena_alloc(a, s.n + 2, 1, 1);
	size_t n = 0;
	bool plus = true;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 32 || c == 127 || strchr("\"*+/:<>?\\|", c)) {
			if (!plus)
				out[n++] = '+';
			plus = true;
		} else {
			out[n++] = (char)c;
			plus = false;
		}
	}
	while (n && (out[n - 1] == '+' || out[n - 1] == '.'))
		n--;
	if (!n && rel.n)
		out[n++] = '+';
	return (str){ out, n };
}

bool peers_link_segment(struct peers *p, uint32_t node, atom alias, dpid *out)
{
	const struct pkg *k = pkg_at(p->r, vnode_at(p, node)->pkg);
	if (k->kind != PKG_LINK)
		return false;
	str v = link_version(&p->r->arena, str_from(sof(p->r, k->id), 5));
	*out = deppath_of(p->paths, atom_fmt(&p->r->t, STR_FMT "@" STR_FMT, SA(p->r, alias), STR_ARG(v)), NULL, 0);
	return true;
}

dpid peers_pair(struct peers *p, uint32_t node)
{
	const struct pkg *k = pkg_at(p->r, vnode_at(p, node)->pkg);
	if (k->version)
		return deppath_of(p->paths, k->key, NULL, 0);
	return deppath_of(p->paths,
		atom_fmt(&p->r->t, STR_FMT "@" STR_FMT, SA(p->r, k->peer_name), SA(p->r, k->peer_version)), NULL, 0);
}

dpid peers_provisional(struct peers *p, uint32_t node)
{
	const struct vnode *v = vnode_at(p, node);
	return v->dp != NONE ? v->dp : deppath_of(p->paths, pkg_at(p->r, v->pkg)->id, NULL, 0);
}

static dpid segment_of(struct peers *p, atom alias, uint32_t node)
{
	dpid out;
	if (peers_link_segment(p, node, alias, &out))
		return out;
	if (p->r->set->dedupe_peers || vnode_at(p, node)->dp == NONE)
		return peers_pair(p, node);
	return vnode_at(p, node)->dp;
}

dpid peers_dep_path(struct peers *p, uint32_t pkg, const struct pmap *peers)
{
	dpid small[64], *seg = peers->n > 64 ? xmalloc(peers->n * sizeof(*seg)) : small;
	for (uint32_t i = 0; i < peers->n; i++)
		seg[i] = segment_of(p, peers->e[i].k, peers->e[i].v);
	dpid out = deppath_of(p->paths, pkg_at(p->r, pkg)->id, seg, peers->n);
	if (seg != small)
		free(seg);
	return out;
}
