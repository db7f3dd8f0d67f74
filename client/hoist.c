#include "hoist.h"
#include <stdlib.h>

#include "lock_walk.h"
#include "match.h"

struct child {
	str alias;
	struct slot *to;
};
struct entry {
	int depth;
	const char *key; /* slot folder; "" for the importers */
	size_t order;    /* keeps equal ones in place */
	struct child *child;
	size_t n;
};
struct step {
	struct slot **node;
	size_t n;
	int depth;
};
struct walk {
	const struct tree *t;
	struct arena *a; /* for the result */
	struct arena scratch;
	bool *seen; /* by slot id */
	VEC(struct entry) entry;
	VEC(struct step) step;
};

static int child_cmp(const void *a, const void *b)
{
	return str_cmp(((const struct child *)a)->alias, ((const struct child *)b)->alias);
}

static int entry_cmp(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int d = (a->depth > b->depth) - (a->depth < b->depth);

	if (!d)
		d = strcmp(a->key, b->key);
	return d ? d : (a->order > b->order) - (a->order < b->order);
}

/* Appends the slots that DEPS lead to, by alias; one that is there already keeps its place and gets the new target. */
static size_t children_add(struct walk *w, struct child *out, size_t n, struct lock_deps deps)
{
	size_t from = n;

	for (size_t i = 0; i < deps.n; i++) {
		struct tree_edge edge;
		if (!tree_edge(&edge, w->t, deps.p[i].alias, deps.p[i].ref, &w->scratch) || !edge.to)
			continue;
		size_t at = 0;
		while (at < from && !str_eq(out[at].alias, edge.alias))
			at++;
		out[at < from ? at : n++] = (struct child){ edge.alias, edge.to };
	}
	qsort(out + from, n - from, sizeof(*out), child_cmp);
	return n;
}

static struct child *slot_children(struct walk *w, const struct slot *s, size_t *n)
{
	const struct lock_deps *d = &s->snap->dependencies, *o = &s->snap->optional_dependencies;
	struct child *c = arena_new(&w->scratch, struct child, d->n + o->n + 1);

	*n = children_add(w, c, children_add(w, c, 0, *d), *o);
	return c;
}

static struct entry *entry_add(struct walk *w, int depth, const char *key)
{
	struct entry *en = vec_add(&w->entry);

	*en = (struct entry){ .depth = depth, .key = key, .order = w->entry.n };
	return en;
}

static void step_push(struct walk *w, struct slot **node, size_t n, int depth)
{
	if (n)
		*vec_add(&w->step) = (struct step){ node, n, depth };
}

/* Depth first, but all children of one step are marked before any of them is entered. */
static void walk_step(struct walk *w, struct step st)
{
	size_t first = w->entry.n;

	for (size_t i = 0; i < st.n; i++) {
		struct entry *en = entry_add(w, st.depth, st.node[i]->flat);
		en->child = slot_children(w, st.node[i], &en->n);
	}
	struct step *next = arena_new(&w->scratch, struct step, st.n);
	for (size_t i = 0; i < st.n; i++) {
		const struct entry *en = &w->entry.p[first + i];
		next[i].node = arena_new(&w->scratch, struct slot *, en->n + 1);
		for (size_t k = 0; k < en->n; k++) {
			struct slot *to = en->child[k].to;
			if (!w->seen[to->id])
				next[i].node[next[i].n++] = to;
			w->seen[to->id] = true;
		}
	}
	for (size_t i = st.n; i-- > 0;)
		step_push(w, next[i].node, next[i].n, st.depth + 1);
}

/* One importer's direct dependencies in pnpm's order; a name in two groups keeps its first place and takes prod's,
 * then dev's, then optional's version. */
static size_t importer_children(
	struct walk *w, const struct lock_importer *im, const struct hoist_opts *o, struct child **out)
{
	static const enum lock_dep_type order[] = { LOCK_DEV, LOCK_PROD, LOCK_OPTIONAL };
	const bool on[LOCK_NTYPES] = { [LOCK_PROD] = o->prod, [LOCK_DEV] = o->dev, [LOCK_OPTIONAL] = o->optional };
	size_t room = 1, n = 0;

	for (int g = 0; g < LOCK_NTYPES; g++)
		room += im->deps[g].n;
	struct child *c = arena_new(&w->scratch, struct child, room);
	for (size_t g = 0; g < LOCK_NTYPES; g++) {
		const struct lock_directs *d = &im->deps[order[g]];
		size_t from = n;
		for (size_t i = 0; on[order[g]] && i < d->n; i++) {
			struct tree_edge edge;
			if (!tree_edge(&edge, w->t, d->p[i].alias, d->p[i].ref, &w->scratch) || !edge.to)
				continue;
			size_t at = 0;
			while (at < from && !str_eq(c[at].alias, edge.alias))
				at++;
			if (at == from)
				c[n++] = (struct child){ edge.alias, edge.to };
			else if (order[g] == LOCK_PROD)
				c[at].to = edge.to;
		}
		qsort(c + from, n - from, sizeof(*c), child_cmp);
	}
	*out = c;
	return n;
}

/* The N children ALL of the project's root; those that are workspace packages as well come first. */
static void root_entry(struct walk *w, const struct hoist_opts *o, struct child *all, size_t n)
{
	struct entry *en = entry_add(w, -1, "");

	en->child = arena_new(&w->scratch, struct child, n + 1);
	for (size_t k = 0; k < o->workspace.n; k++) {
		for (size_t i = 0; i < n; i++) {
			if (all[i].to && str_eq(all[i].alias, o->workspace.p[k].k)) {
				en->child[en->n++] = all[i];
				all[i].to = NULL;
			}
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (all[i].to)
			en->child[en->n++] = all[i];
	}
}

static void walk_importers(struct walk *w, const struct hoist_opts *o)
{
	struct arena *s = &w->scratch;
	size_t total = 1, n = 0, nodes = 0;
	AUTO(map_release) struct map seen = MAP_INIT;

	for (size_t i = 0; i < w->t->nimporters; i++) {
		for (int g = 0; g < LOCK_NTYPES; g++)
			total += w->t->importer[i]->deps[g].n;
	}
	struct child *all = arena_new(s, struct child, total);
	struct slot **node = arena_new(s, struct slot *, total);
	for (size_t i = 0; i < w->t->nimporters; i++) {
		struct child *c;
		size_t k = importer_children(w, w->t->importer[i], o, &c);
		for (size_t j = 0; j < k; j++) {
			bool fresh;
			map_add(&seen, c[j].alias, 1, &fresh);
			if (fresh)
				all[n++] = c[j];
			if (!w->seen[c[j].to->id])
				node[nodes++] = c[j].to;
			w->seen[c[j].to->id] = true;
		}
	}
	root_entry(w, o, all, n);
	step_push(w, node, nodes, 0);
}

static str lower(str s, struct arena *a)
{
	str out = arena_str(a, s);

	for (size_t i = 0; i < out.n; i++) {
		char *c = (char *)(uintptr_t)&out.p[i];
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	}
	return out;
}

/* 1 public, 0 private, -1 neither. */
static int hoist_kind(const struct hoist_opts *o, str alias)
{
	if (match_list(o->public_pattern, alias))
		return 1;
	return match_list(o->private_pattern, alias) ? 0 : -1;
}

/* IT, unless no pattern wants it or its name is taken: of names that differ by case alone the first counts. */
static void hoist_add(struct hoist *h, struct walk *w, const struct hoist_opts *o, struct map *taken, struct hoisted it)
{
	int kind = hoist_kind(o, it.alias);
	str key = lower(it.alias, &w->scratch);

	if (kind < 0 || map_get(taken, key) != MAP_NONE)
		return;
	map_set(taken, key, 1);
	it.is_public = kind == 1;
	*arena_add(w->a, h->p, h->n) = it;
}

static void hoist_entry(
	struct hoist *h, struct walk *w, const struct hoist_opts *o, const struct entry *en, struct map *taken)
{
	for (size_t i = 0; i < en->n; i++) {
		const struct child *c = &en->child[i];
		if (slot_wanted(c->to))
			hoist_add(h, w, o, taken, (struct hoisted){ .alias = c->alias, .to = c->to });
	}
}

static void hoist_workspace(struct hoist *h, struct walk *w, const struct hoist_opts *o, struct map *taken)
{
	for (size_t i = 0; i < o->workspace.n; i++) {
		const struct str_kv *package = &o->workspace.p[i];
		hoist_add(h, w, o, taken, (struct hoisted){ .alias = package->k, .folder = package->v });
	}
}

static void take_root(struct walk *w, const struct hoist_opts *o, struct map *taken)
{
	const bool on[LOCK_NTYPES] = { [LOCK_PROD] = o->prod, [LOCK_DEV] = o->dev, [LOCK_OPTIONAL] = o->optional };

	for (size_t i = 0; i < w->t->nimporters; i++) {
		const struct lock_importer *im = w->t->importer[i];
		for (struct lock_walk at = lock_walk(str_eq(im->path, STR(".")) ? im : NULL); lock_next(&at);) {
			if (on[at.group] && !str_starts(at.d->ref, STR("link:")))
				map_set(taken, lower(at.d->alias, &w->scratch), 1);
		}
	}
}

void hoist_compute(struct hoist *out, const struct tree *t, const struct hoist_opts *o, struct arena *a)
{
	struct walk w = { .t = t, .a = a, .scratch = ARENA_INIT(128 * 1024) };
	AUTO(map_release) struct map taken = MAP_INIT;

	*out = (struct hoist){ 0 };
	if (!o->private_pattern.n && !o->public_pattern.n)
		return;
	w.seen = xcalloc(t->nslots, sizeof(bool));
	walk_importers(&w, o);
	while (w.step.n) {
		struct step st = w.step.p[--w.step.n];
		walk_step(&w, st);
	}
	qsort(w.entry.p, w.entry.n, sizeof(*w.entry.p), entry_cmp);
	take_root(&w, o, &taken);
	hoist_entry(out, &w, o, &w.entry.p[0], &taken); /* the importers' own come first; then workspace packages */
	hoist_workspace(out, &w, o, &taken);
	for (size_t i = 1; i < w.entry.n; i++)
		hoist_entry(out, &w, o, &w.entry.p[i], &taken);
	free(w.seen);
	vec_release(&w.entry);
	vec_release(&w.step);
	arena_release(&w.scratch);
}
