#include "hoist_impl.h"
#include "prefer.h"

enum { HOISTED = 1, DECLARED = 2 }; /* weights of what this run resolved */

static void bucket_add(void *ctx, atom version, bool declared)
{
	struct bucket *b = ctx;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->p[i].spec == version) {
			b->p[i].weight = declared || b->p[i].weight == DECLARED ? DECLARED : HOISTED;
			return;
		}
	if (b->n < 512)
		b->p[b->n++] = (struct selector){ version, SEL_VERSION, declared ? DECLARED : HOISTED };
}

static int selector_text_order(struct run *r, const struct selector *a, const struct selector *b)
{
	return atom_cmp(&r->t, a->spec, b->spec);
}

/* A package of the workspace that stands at ROOT under another name serves nobody but its own project. Source: pnpm 12.21's behaviour. */
static void bucket_add_root(struct bucket *b, const struct importer *root, atom name)
{
	for (size_t i = 0; i < root->direct.n; i++) {
		const struct pkg *p = pkg_at(b->r, root->direct.p[i].pkg);
		if (p->name == name && p->version)
			bucket_add(b, p->version, true);
	}
}

void bucket_fill(struct bucket *b, struct run *r, const struct importer *only, atom name)
{
	const struct selectors *s = only ? preferred_for(r, only, name) : preferred_of(r, name);
	const struct importer *root = root_importer(r);
	b->r = r;
	b->n = 0;
	for (uint32_t i = 0; s && i < s->n && b->n < 512; i++)
		b->p[b->n++] = s->p[i];
	resolve_run_versions(r, only, name, bucket_add, b);
	if (only && root && root != only && r->set->resolve_peers_from_workspace_root)
		bucket_add_root(b, root, name);
	for (uint32_t i = 1; i < b->n; i++)
		for (uint32_t k = i; k && selector_text_order(r, &b->p[k - 1], &b->p[k]) > 0; k--) {
			struct selector x = b->p[k];
			b->p[k] = b->p[k - 1];
			b->p[k - 1] = x;
		}
}

atom bucket_best(struct run *r, const struct bucket *b, const struct range *range)
{
	const struct semver *best = NULL;
	atom out = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct semver *v = b->p[i].kind == SEL_VERSION ? atom_semver(&r->t, b->p[i].spec) : NULL;
		if (!v || (range && !range_has(range, v, true)) || (best && semver_cmp(v, best) <= 0))
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

bool selector_depended_on(const struct selector *s)
{
	return selector_in_run(s) && s->weight != HOISTED;
}

void bucket_forget(struct bucket *b)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < b->n; i++)
		if (b->p[i].kind != SEL_VERSION || b->p[i].weight != PREFER_LOCKED)
			b->p[n++] = b->p[i];
	b->n = n;
}
