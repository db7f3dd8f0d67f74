#include "layout.h"
#include <stdlib.h>

#include "project_local.h"

/* Named importers other than the root, which hoisting treats like dependencies. */
static struct str_map workspace_names(const struct request *r, struct arena *a)
{
	struct str_map m = { .p = arena_new(a, struct str_kv, r->nimporters + 1) };

	for (size_t i = 0; i < r->nimporters; i++) {
		if (r->importer[i].manifest.name.n && !str_eq(r->importer[i].path, STR(".")))
			m.p[m.n++] = (struct str_kv){ r->importer[i].manifest.name, r->importer[i].path };
	}
	return m;
}

void layout_hoist(
	struct hoist *out, const struct tree *t, const struct project *p, const struct request *req, struct arena *a)
{
	const struct client_settings *c = &p->client;
	struct hoist_opts ho = {
		.public_pattern = c->public_hoist_pattern, .prod = req->prod, .dev = req->dev, .optional = req->optional
	};

	if (c->hoist)
		ho.private_pattern = c->hoist_pattern;
	if (c->hoist_workspace_packages)
		ho.workspace = workspace_names(req, a);
	hoist_compute(out, t, &ho, a);
}

str importer_up(str path, struct arena *a)
{
	size_t depth = 0;

	for (str part, rest = path; rest.n;) {
		str_cut(rest, '/', &part, &rest);
		depth += part.n && !str_eq(part, STR("."));
	}
	char *p = arena_new(a, char, depth * 3 + 1);
	for (size_t i = 0; i < depth; i++)
		memcpy(p + i * 3, "../", 3);
	return (str){ p, depth * 3 };
}

/* Its own, whatever the root has. */
static size_t directs_own(struct direct **out, const struct layout *l, const struct lock_importer *im, struct arena *a)
{
	static const enum lock_dep_type order[] = { LOCK_PROD, LOCK_DEV, LOCK_OPTIONAL };
	const bool on[LOCK_NTYPES] = { [LOCK_PROD] = l->prod, [LOCK_DEV] = l->dev, [LOCK_OPTIONAL] = l->optional };
	size_t n = 0;

	struct direct *d = arena_new(a, struct direct, im->deps[0].n + im->deps[1].n + im->deps[2].n + 1);
	for (size_t g = 0; g < LOCK_NTYPES; g++) {
		const struct lock_directs *list = &im->deps[order[g]];
		for (size_t i = 0; on[order[g]] && i < list->n; i++) {
			struct tree_edge edge;
			if (!tree_edge(&edge, l->tree, list->p[i].alias, list->p[i].ref, a) ||
				(edge.to && !slot_wanted(edge.to)))
				continue;
			d[n++] = (struct direct){ edge.alias, edge.to, edge.link, order[g] };
		}
	}
	*out = d;
	return n;
}

/* ---- dedupeDirectDeps ---- */

/* What stands under a name in the root's node_modules: a slot, or a folder from the lockfile's. */
struct shown {
	str alias;
	size_t order;
	const struct slot *to;
	str folder;
};
struct root_shows {
	const struct lock_importer *root;
	struct shown *p; /* sorted by alias, each once */
	size_t n;
};

static int alias_order(const void *a, const void *b)
{
	return str_cmp(((const struct shown *)a)->alias, ((const struct shown *)b)->alias);
}

static int shown_order(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;
	int order = alias_order(a, b);

	return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* The first that has a name keeps it: the root's own before what is hoisted. */
static const struct root_shows *root_shows(const struct layout *l, const struct lock_importer *root, struct arena *a)
{
	struct root_shows *r = arena_new(a, struct root_shows, 1);
	struct direct *d;
	size_t own = directs_own(&d, l, root, a), n = 0;

	*r = (struct root_shows){ root, arena_new(a, struct shown, own + l->hoist->n + 1), 0 };
	for (size_t i = 0; i < own; i++, n++)
		r->p[n] = (struct shown){ d[i].alias, n, d[i].to,
			d[i].to ? STR_NONE : path_join(a, root->path, d[i].link) };
	for (size_t i = 0; i < l->hoist->n; i++) {
		const struct hoisted *h = &l->hoist->p[i];
		if (h->is_public) {
			r->p[n] = (struct shown){ h->alias, n, h->to, h->folder };
			n++;
		}
	}
	qsort(r->p, n, sizeof(*r->p), shown_order);
	for (size_t i = 0; i < n; i++) {
		if (!r->n || !str_eq(r->p[r->n - 1].alias, r->p[i].alias))
			r->p[r->n++] = r->p[i];
	}
	return r;
}

struct layout layout_of(const struct tree *t, const struct hoist *h, const struct request *req, struct arena *a)
{
	struct layout l = { .tree = t, .hoist = h, .prod = req->prod, .dev = req->dev, .optional = req->optional };

	for (size_t i = 0; req->settings.dedupe_direct_deps && i < t->nimporters; i++) {
		if (str_eq(t->importer[i]->path, STR(".")))
			l.shows = root_shows(&l, t->importer[i], a);
	}
	return l;
}

size_t importer_directs(struct direct **out, const struct layout *l, const struct lock_importer *im, struct arena *a)
{
	size_t all = directs_own(out, l, im, a), n = 0;
	struct direct *d = *out;

	if (!l->shows || l->shows->root == im)
		return all;
	for (size_t i = 0; i < all; i++) {
		struct shown want = { .alias = d[i].alias };
		const struct shown *s =
			l->shows->n ? bsearch(&want, l->shows->p, l->shows->n, sizeof(want), alias_order) : NULL;
		bool same = s && s->to == d[i].to && (d[i].to || str_eq(s->folder, path_join(a, im->path, d[i].link)));
		if (!same)
			d[n++] = d[i];
	}
	return n;
}
