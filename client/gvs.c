#include "gvs.h"
#include <stdlib.h>

#include "dep_path.h"
#include "integrity.h"

#define NAME_MAX_LEN 90 /* before the hash: names are for people */
enum { UNSEEN = 0 };

struct edge {
	str alias, link;
	struct slot *to; /* NULL: LINK */
};
struct node {
	struct slot *slot;
	struct edge *edge;
	size_t n;
	uint32_t index, low; /* Tarjan's, from 1 */
	bool stacked, done;
	uint8_t hash[32];
};
struct walk {
	struct tree *t;
	const struct gvs_opts *o;
	struct arena a;
	struct node *node; /* by slot id */
	uint32_t next;
	VEC(struct node *) stack;
	VEC(struct visit {
		struct node *node;
		size_t at;
	})
	visit;
};

static int edge_cmp(const void *a, const void *b)
{
	return str_cmp(((const struct edge *)a)->alias, ((const struct edge *)b)->alias);
}

/* Names say what the plan has here. That a package could not be had is known sooner or later, so it must not count. */
static bool slot_named(const struct slot *s)
{
	return s->state != SLOT_SKIPPED;
}

static void node_edges(struct walk *w, struct node *n)
{
	const struct lock_deps *list[] = { &n->slot->snap->dependencies, &n->slot->snap->optional_dependencies };

	n->edge = arena_new(&w->a, struct edge, list[0]->n + list[1]->n + 1);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < list[k]->n; i++) {
			struct tree_edge e;
			if (str_list_has(n->slot->absent, list[k]->p[i].alias) ||
				!tree_edge(&e, w->t, list[k]->p[i].alias, list[k]->p[i].ref, &w->a) ||
				(e.to && !slot_named(e.to)))
				continue;
			n->edge[n->n++] = (struct edge){ e.alias, e.link, e.to };
		}
	}
	qsort(n->edge, n->n, sizeof(*n->edge), edge_cmp);
}

/* Lengths in front, so that no two lists of texts look alike. */
static void put(struct buf *b, str s)
{
	uint32_t n = (uint32_t)s.n;

	buf_add(b, (str){ (const char *)&n, sizeof(n) });
	buf_add(b, s);
}

static void put_engine(struct buf *b, const struct platform *p)
{
	str major, rest;

	str_cut(p->node_version, '.', &major, &rest);
	put(b, STR("builds"));
	put(b, p->os);
	put(b, p->cpu);
	put(b, p->libc);
	put(b, major);
}

/* What N is by itself, with the hashes of what it depends on; those of its own component, which have none yet, by
 * name. */
static void node_own(const struct walk *w, const struct node *n, uint8_t out[32])
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	const struct slot *s = n->slot;

	put(&b, STR("dray slot 1"));
	put(&b, dep_path_package_key(s->snap->key));
	put(&b, s->package->key);
	put(&b, s->package->patch ? s->package->patch->hash : STR(""));
	put(&b, w->o->extend_node_path ? STR("node path") : STR(""));
	if (s->builds)
		put_engine(&b, &w->o->platform[0]);
	if (s->package->f->meta.resolution.kind == LOCK_RES_DIRECTORY || !s->package->key.n) {
		put(&b, w->o->root);
		put(&b, s->package->f->meta.resolution.directory);
	}
	for (size_t i = 0; i < n->n; i++) {
		const struct edge *e = &n->edge[i];
		const struct node *to = e->to ? &w->node[e->to->id] : NULL;
		put(&b, e->alias);
		if (!to) {
			put(&b, w->o->root);
			put(&b, e->link);
		} else if (to->done) {
			put(&b, (str){ (const char *)to->hash, 32 });
		} else {
			put(&b, STR("within"));
			put(&b, to->slot->snap->key);
		}
	}
	sha256(out, b.p, b.n);
}

static int node_cmp(const void *a, const void *b)
{
	return str_cmp((*(struct node *const *)a)->slot->snap->key, (*(struct node *const *)b)->slot->snap->key);
}

static bool depends_on_itself(const struct node *n)
{
	for (size_t i = 0; i < n->n; i++) {
		if (n->edge[i].to == n->slot)
			return true;
	}
	return false;
}

/* The component on the stack from FROM on is complete. */
static void component_hash(struct walk *w, size_t from)
{
	struct node **m = w->stack.p + from;
	size_t n = w->stack.n - from;
	uint8_t all[32];

	if (n == 1 && !depends_on_itself(m[0])) {
		node_own(w, m[0], m[0]->hash);
	} else {
		AUTO(buf_release) struct buf b = BUF_INIT;
		qsort(m, n, sizeof(*m), node_cmp);
		for (size_t i = 0; i < n; i++) {
			node_own(w, m[i], m[i]->hash);
			put(&b, m[i]->slot->snap->key);
			put(&b, (str){ (const char *)m[i]->hash, 32 });
		}
		sha256(all, b.p, b.n);
		for (size_t i = 0; i < n; i++) {
			buf_clear(&b);
			put(&b, (str){ (const char *)m[i]->hash, 32 });
			put(&b, (str){ (const char *)all, 32 });
			sha256(m[i]->hash, b.p, b.n);
		}
	}
	for (size_t i = 0; i < n; i++) {
		m[i]->done = true;
		m[i]->stacked = false;
	}
	w->stack.n = from;
}

static void node_enter(struct walk *w, struct node *n)
{
	node_edges(w, n);
	n->index = n->low = ++w->next;
	n->stacked = true;
	*vec_add(&w->stack) = n;
	*vec_add(&w->visit) = (struct visit){ n, 0 };
}

static void node_leave(struct walk *w, struct node *n)
{
	w->visit.n--;
	if (w->visit.n) {
		struct node *up = w->visit.p[w->visit.n - 1].node;
		if (n->low < up->low)
			up->low = n->low;
	}
	if (n->low != n->index)
		return;
	size_t from = w->stack.n;
	while (w->stack.p[--from] != n) {
	}
	component_hash(w, from);
}

/* Tarjan's strongly connected components, with a stack of its own: chains of dependencies are long. */
static void walk_from(struct walk *w, struct node *first)
{
	if (first->index != UNSEEN)
		return;
	node_enter(w, first);
	while (w->visit.n) {
		struct visit *v = &w->visit.p[w->visit.n - 1];
		if (v->at == v->node->n) {
			node_leave(w, v->node);
			continue;
		}
		struct slot *to = v->node->edge[v->at++].to;
		struct node *n = v->node, *next = to ? &w->node[to->id] : NULL;
		if (!next)
			continue;
		if (next->index == UNSEEN)
			node_enter(w, next);
		else if (next->stacked && next->index < n->low)
			n->low = next->index;
	}
}

void gvs_name(struct tree *t, uint8_t key[32], const struct gvs_opts *o)
{
	struct walk w = { .t = t, .o = o, .a = ARENA_INIT(256 * 1024) };
	AUTO(buf_release) struct buf names = BUF_INIT;
	char hex[33];

	w.node = xcalloc(t->nslots + 1, sizeof(*w.node));
	for (size_t i = 0; i < t->nslots; i++)
		w.node[i].slot = t->slot[i];
	for (size_t i = 0; i < t->nslots; i++) {
		struct slot *s = t->slot[i];
		if (!slot_named(s))
			continue;
		walk_from(&w, &w.node[i]);
		hex_print(hex, w.node[i].hash, 16);
		str name = dep_path_filename(dep_path_package_key(s->snap->key), NAME_MAX_LEN, &w.a);
		s->dir = arena_printf(&t->arena, STR_FMT "-%s", STR_ARG(name), hex).p;
		put(&names, str_of(s->dir));
	}
	sha256(key, names.p, names.n);
	free(w.node);
	vec_release(&w.stack);
	vec_release(&w.visit);
	arena_release(&w.a);
}
