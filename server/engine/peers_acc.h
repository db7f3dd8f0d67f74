/* peers_acc — a sorted map of numbers by atom while it is built; the peer walk makes dozens for each package.
 *
 * Internal to the peer pass. Small ones need no memory of their own; acc_release() frees what large ones took. */
#pragma once
#include "peers_view.h"

struct acc {
	struct kv *p;
	uint32_t n, cap;
	struct kv small[24];
};
/* Empty. What lies in `small` is not touched: it is most of the struct, and the walk makes hundreds of thousands. */
static inline void acc_init(struct acc *a)
{
	a->p = NULL;
	a->n = a->cap = 0;
}

static inline struct kv *acc_at(struct acc *a)
{
	return a->cap ? a->p : a->small;
}
/* What K maps to; a K that is there already keeps its value unless REPLACE. */
void acc_put(struct acc *a, atom k, uint32_t v, bool replace);
/* N pairs, ascending by their names, into an empty one. */
void acc_fill(struct acc *a, const struct kv *e, uint32_t n);
/* NONE: it is not there. */
static inline uint32_t acc_get(const struct acc *a, atom k)
{
	const struct kv *p = a->cap ? a->p : a->small;
	for (uint32_t i = 0; i < a->n && p[i].k <= k; i++)
		if (p[i].k == k)
			return p[i].v;
	return NONE;
}
static inline void acc_release(struct acc *a)
{
	if (a->cap)
		free(a->p);
}
/* A copy in the pass's arena. */
const struct pmap *acc_pmap(struct peers *p, struct acc *a);
/* The same as references. */
const struct refs *acc_refs(struct peers *p, struct acc *a);
