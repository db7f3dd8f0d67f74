#include "pack_pairs.h"
#include "base/vec.h"
#include "packs_wire.h"

/* More versions of one package than that are not looked at; no longer a row of packages waits for each other. */
enum { MOST_VERSIONS = 16, MOST_DEPTH = 3 };

struct pack_pair {
	struct tree_package *p;
	bool left;                       /* it comes from the registry */
	unsigned depth;                  /* how many it waits for, one after the other */
	struct pack_pair *same;          /* of the same name, asked for before */
	struct pack_pair *waiter, *next; /* who waits for it, in order; the next who waits for the same */
};

/* What an unpacked package compresses to, about: where the plan names no pack. */
enum { SHRINKS = 4 };

/* Sizes that nobody knows pass. */
static bool is_large(const struct tree_package *p)
{
	const struct frame_package *f = p->f;

	return f->pack_size       ? f->pack_size >= PACKS_PAIR_LEAST
	       : f->unpacked_size ? f->unpacked_size >= PACKS_PAIR_LEAST * SHRINKS
				  : true;
}

static struct pack_pair *pair_nearest(struct pack_pair *first, const struct tree_package *p)
{
	struct pack_pair *near = NULL;
	unsigned seen = 0;
	size_t best = 0;

	for (struct pack_pair *o = first; o && seen < MOST_VERSIONS; o = o->same, seen++) {
		size_t n = 1 + str_shared(o->p->f->version, p->f->version);
		/* A patched package's record may be that of its patched files. */
		bool there = o->p->state == PACKAGE_READY || (o->p->state == PACKAGE_COMING && !o->left);
		if (!there || o->p->patch || o->depth >= MOST_DEPTH || n <= best)
			continue;
		near = o;
		best = n;
	}
	return near;
}

static void wait_for(struct pack_pair *base, struct pack_pair *pair)
{
	struct pack_pair **at = &base->waiter;

	while (*at)
		at = &(*at)->next;
	*at = pair;
	pair->depth = base->depth + 1;
}

static struct pack_pair *pair_new(struct pack_pairs *x, struct tree_package *p)
{
	struct pack_pair *pair = xcalloc(1, sizeof(*pair));
	uint32_t last = map_get(&x->last, p->f->name);

	pair->p = p;
	pair->same = last == MAP_NONE ? NULL : x->pair.p[last];
	map_set(&x->last, p->f->name, (uint32_t)x->pair.n);
	*vec_add(&x->pair) = pair;
	p->pair = pair;
	return pair;
}

struct tree_package *pack_pairs_add(struct pack_pairs *x, struct tree_package *p, bool alone)
{
	if (p->pair)
		return NULL;
	struct pack_pair *pair = pair_new(x, p), *base = !alone && is_large(p) ? pair_nearest(pair->same, p) : NULL;
	if (base && base->p->state == PACKAGE_COMING)
		wait_for(base, pair);
	return base ? base->p : NULL;
}

void pack_pairs_leave(struct tree_package *p)
{
	if (p->pair)
		p->pair->left = true;
}

struct tree_package *pack_pairs_next(const struct tree_package *p)
{
	struct pack_pair *w = p->pair ? p->pair->waiter : NULL;

	if (!w)
		return NULL;
	p->pair->waiter = w->next;
	w->next = NULL;
	w->depth = 0;
	return w->p;
}

void pack_pairs_release(struct pack_pairs *x)
{
	for (size_t i = 0; i < x->pair.n; i++)
		free(x->pair.p[i]);
	vec_release(&x->pair);
	map_release(&x->last);
}
