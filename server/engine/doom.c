#include "doom.h"
#include <stdlib.h>

/* A package and the first of its required dependencies that failed. */
struct doom {
	uint32_t pkg;
	int code;
	struct err why;
};

void doom_add(struct run *r, uint32_t pkg, int code, const struct err *why)
{
	for (size_t i = 0; i < r->ndoom; i++)
		if (r->doom[i].pkg == pkg)
			return;
	*arena_add(&r->arena, r->doom, r->ndoom) = (struct doom){ pkg, code, *why };
}

/* By package: the doom that ends it + 1; 0: none. */
static void spread(struct run *r, uint32_t *ends)
{
	for (size_t i = 0; i < r->ndoom; i++)
		ends[r->doom[i].pkg] = (uint32_t)i + 1;
	for (bool more = true; more;) {
		more = false;
		for (uint32_t i = (uint32_t)r->pkg.n; i-- > 0;) { /* most dependents were met before what they need */
			const struct pkg *p = pkg_at(r, i);
			for (uint32_t k = 0; k < p->nedge && !ends[i]; k++)
				if (!p->edge[k].optional && ends[p->edge[k].pkg]) {
					ends[i] = ends[p->edge[k].pkg];
					more = true;
				}
		}
	}
}

static bool wants_optionally(const struct importer *imp, const struct direct *d)
{
	for (uint32_t i = 0; i < imp->nwanted; i++)
		if (imp->wanted[i].alias == d->alias)
			return imp->wanted[i].optional;
	return false;
}

static int settle_direct(struct run *r, struct importer *imp, const uint32_t *ends, struct err *e)
{
	size_t n = 0;
	for (size_t i = 0; i < imp->direct.n; i++) {
		const struct direct *d = &imp->direct.p[i];
		const struct doom *why = ends[d->pkg] ? &r->doom[ends[d->pkg] - 1] : NULL;
		if (!why) {
			imp->direct.p[n++] = *d;
			continue;
		}
		if (wants_optionally(imp, d))
			continue;
		*e = why->why;
		return why->code;
	}
	imp->direct.n = n;
	return 0;
}

/* Leaves what is doomed out of the children of all others. */
static void settle_children(struct run *r, const uint32_t *ends)
{
	for (uint32_t i = 0; i < r->pkg.n; i++) {
		struct pkg *p = pkg_at(r, i);
		uint32_t n = 0;
		for (uint32_t k = 0; k < p->nedge; k++)
			if (!ends[p->edge[k].pkg])
				p->edge[n++] = p->edge[k];
		p->nedge = n;
	}
	for (size_t i = 0; i < r->node.n; i++) {
		struct node *o = &r->node.p[i];
		uint32_t n = 0;
		for (uint32_t k = 0; k < o->nkid; k++)
			if (!ends[r->node.p[o->kid[k].node].pkg])
				o->kid[n++] = o->kid[k];
		o->nkid = n;
	}
}

int dooms_settle(struct run *r, struct err *e)
{
	int rc = 0;
	if (!r->ndoom)
		return 0;
	uint32_t *ends = xcalloc(r->pkg.n + 1, sizeof(*ends));
	spread(r, ends);
	for (uint32_t i = 0; i < r->nimporter && !rc; i++)
		rc = settle_direct(r, &r->importer[i], ends, e);
	settle_children(r, ends);
	free(ends);
	return rc;
}
