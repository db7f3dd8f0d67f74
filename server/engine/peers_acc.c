#include "peers_acc.h"
#include <stdlib.h>

void acc_put(struct acc *a, atom k, uint32_t v, bool replace)
{
	struct kv *p = acc_at(a);
	bool last = a->n && p[a->n - 1].k < k; /* most come in order */
	uint32_t at = last ? a->n : atom_lower_bound(p, a->n, k);
	if (at < a->n && p[at].k == k) {
		if (replace)
			p[at].v = v;
		return;
	}
	uint32_t cap = a->cap ? a->cap : 24;
	if (a->n == cap) {
		struct kv *q = xmalloc(2 * cap * sizeof(*q));
		memcpy(q, p, a->n * sizeof(*q));
		if (a->cap)
			free(a->p);
		a->p = p = q;
		a->cap = 2 * cap;
	}
	if (at < a->n)
		memmove(p + at + 1, p + at, (a->n - at) * sizeof(*p));
	p[at] = (struct kv){ k, v };
	a->n++;
}

void acc_fill(struct acc *a, const struct kv *e, uint32_t n)
{
	if (n > sizeof(a->small) / sizeof(*a->small)) {
		a->cap = n + n / 2;
		a->p = xmalloc(a->cap * sizeof(*a->p));
	}
	if (n)
		memcpy(acc_at(a), e, n * sizeof(*e));
	a->n = n;
}

const struct pmap *acc_pmap(struct peers *p, struct acc *a)
{
	if (!a->n)
		return &pmap_none;
	struct pmap *m = arena_alloc(&p->a, 1, sizeof(*m) + a->n * sizeof(struct kv), _Alignof(struct pmap));
	m->n = a->n;
	memcpy(m->e, acc_at(a), a->n * sizeof(struct kv));
	return m;
}

const struct refs *acc_refs(struct peers *p, struct acc *a)
{
	struct refs *m = refs_new(p, a->n);
	memcpy(m->e, acc_at(a), a->n * sizeof(struct kv));
	return m;
}
