#include "base/vec.h"
#include "resolve.h"
#include <stdlib.h>

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
