#include "hoist_impl.h"
#include "prefer.h"
#include "sorted.h"

enum { IN_RUN = 1 }; /* the weight of what this run resolved */

static void bucket_add(void *ctx, atom version)
{
	struct bucket *b = ctx;
	bool fresh;
	uint32_t *at = marks_meet(&b->r->met, version, &fresh);
	if (!fresh) {
		b->p[*at].weight = IN_RUN;
		return;
	}
	*at = b->n;
	*vec_add(b) = (struct selector){ version, SEL_VERSION, IN_RUN };
}

static int selector_text_order(void *run, const void *a, const void *b)
{
	const struct run *r = run;
	return atom_cmp(&r->t, ((const struct selector *)a)->spec, ((const struct selector *)b)->spec);
}

/* A package of the workspace that stands at ROOT under another name serves nobody but its own project.
 * Source: pnpm 12.21's behaviour. */
static void bucket_add_root(struct bucket *b, const struct importer *root, atom name)
{
	for (size_t i = 0; i < root->direct.n; i++) {
		const struct pkg *p = pkg_at(b->r, root->direct.p[i].pkg);
		if (p->name == name && p->version)
			bucket_add(b, p->version);
	}
}

void bucket_fill(struct bucket *b, struct run *r, const struct importer *only, atom name)
{
	const struct selectors *s = only ? preferred_for(r, only, name) : preferred_of(r, name);
	const struct importer *root = root_importer(r);
	*b = (struct bucket){ .r = r, .p = b->p, .cap = b->cap };
	marks_begin(&r->met);
	for (uint32_t i = 0; s && i < s->n; i++) { /* each once */
		bool fresh;
		*marks_meet(&r->met, s->p[i].spec, &fresh) = b->n;
		*vec_add(b) = s->p[i];
	}
	resolve_run_versions(r, only, name, bucket_add, b);
	if (only && root && root != only && r->set->resolve_peers_from_workspace_root)
		bucket_add_root(b, root, name);
	rows_sort(b->p, b->n, sizeof(*b->p), selector_text_order, r);
}

static bool is_any(const void *ctx, const struct selector *s)
{
	(void)ctx;
	(void)s;
	return true;
}

atom bucket_best(struct run *r, const struct bucket *b, const struct range *range)
{
	return bucket_best_of(r, b, range, is_any, NULL);
}

atom bucket_best_of(struct run *r, const struct bucket *b, const struct range *range,
	bool (*are)(const void *ctx, const struct selector *s), const void *ctx)
{
	const struct semver *best = NULL;
	atom out = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct semver *v = b->p[i].kind == SEL_VERSION ? atom_semver(&r->t, b->p[i].spec) : NULL;
		if (!v || !are(ctx, &b->p[i]) || (range && !range_has(range, v, true)) ||
			(best && semver_cmp(v, best) <= 0))
			continue;
		best = v;
		out = b->p[i].spec;
	}
	return out;
}

bool selector_in_run(const struct selector *s)
{
	return s->kind == SEL_VERSION && s->weight < PREFER_LOCKED;
}

void bucket_forget(struct bucket *b)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->p[i].kind != SEL_VERSION || b->p[i].weight != PREFER_LOCKED)
			b->p[n++] = b->p[i];
	b->n = n;
}
