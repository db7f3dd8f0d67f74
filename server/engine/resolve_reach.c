#include "resolve.h"
#include <stdlib.h>

/* Nobody is reached yet, from ONLY or (NULL) from any importer. */
static void reach_begin(struct run *r, const struct importer *only)
{
	r->reached.n = 0;
	if (r->nreached_is)
		memset(r->reached_is, 0, r->nreached_is * sizeof(*r->reached_is));
	if (r->nreached_first)
		memset(r->reached_first, 0, r->nreached_first * sizeof(*r->reached_first));
	for (uint32_t i = 0; i < r->nimporter; i++)
		if (!only || only == &r->importer[i])
			r->importer[i].reached = 0;
	r->reached_of = only;
	r->reached_rewired = r->rewired;
}

static void reach_add(struct run *r, uint32_t pkg)
{
	uint32_t *first = &r->reached_first[pkg_at(r, pkg)->name];
	r->reached_is[pkg] = true;
	*vec_add(&r->reached) = (struct reached_pkg){ pkg, *first };
	*first = (uint32_t)r->reached.n;
}

/* What came since: new direct dependencies, and what is below them. */
static void reach(struct run *r, const struct importer *only)
{
	VEC(uint32_t) stack = VEC_INIT;
	if (r->reached_of != only || r->reached_rewired != r->rewired)
		reach_begin(r, only);
	if (r->pkg.n)
		r->reached_is = by_atom(r->reached_is, &r->nreached_is, (atom)r->pkg.n, sizeof(*r->reached_is));
	r->reached_first = by_atom(r->reached_first, &r->nreached_first, (atom)r->t.n, sizeof(*r->reached_first));
	r->wired = (uint32_t)r->pkg.n;
	for (uint32_t i = 0; i < r->nimporter; i++) {
		struct importer *imp = &r->importer[i];
		for (; (!only || only == imp) && imp->reached < imp->direct.n; imp->reached++)
			*vec_add(&stack) = imp->direct.p[imp->reached].pkg;
	}
	while (stack.n) {
		uint32_t i = stack.p[--stack.n];
		const struct pkg *p = pkg_at(r, i);
		if (r->reached_is[i])
			continue;
		reach_add(r, i);
		for (uint32_t k = 0; k < p->nedge; k++)
			if (!r->reached_is[p->edge[k].pkg])
				*vec_add(&stack) = p->edge[k].pkg;
	}
	vec_release(&stack);
}

void resolve_run_versions(
	struct run *r, const struct importer *imp, atom name, void (*f)(void *ctx, atom version), void *ctx)
{
	if (r->reached_at != r->revision || r->reached_of != imp) {
		reach(r, imp);
		r->reached_at = r->revision;
	}
	uint32_t next = name < r->nreached_first ? r->reached_first[name] : 0;
	while (next) {
		const struct reached_pkg *x = &r->reached.p[next - 1];
		const struct pkg *p = pkg_at(r, x->pkg);
		next = x->next;
		if (p->version)
			f(ctx, p->version);
		else if (p->by_workspace && p->manifest_version)
			f(ctx, p->manifest_version);
	}
}
