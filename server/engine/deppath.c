#include "deppath.h"
#include "integrity.h"
#include <stdlib.h>

void deppaths_init(struct deppaths *d, struct run *r)
{
	*d = (struct deppaths){ .r = r, .mask = (1u << 13) - 1 };
	d->cell = xcalloc((size_t)d->mask + 1, sizeof(*d->cell));
}

void deppaths_release(struct deppaths *d)
{
	vec_release(&d->dp);
	free(d->cell);
}

static uint32_t hash_of(atom base, const dpid *seg, uint32_t n)
{
	uint64_t h = base * UINT64_C(0x9E3779B97F4A7C15);
	for (uint32_t i = 0; i < n; i++)
		h = (h ^ seg[i]) * UINT64_C(0xff51afd7ed558ccd) + (h >> 29);
	return (uint32_t)(h >> 32);
}

static int id_order(const void *a, const void *b)
{
	dpid x = *(const dpid *)a, y = *(const dpid *)b;
	return x < y ? -1 : x > y;
}

static void grow(struct deppaths *d)
{
	uint32_t mask = d->mask * 2 + 1;
	uint32_t *cell = xcalloc((size_t)mask + 1, sizeof(*cell));
	for (uint32_t i = 0; i < d->dp.n; i++) {
		uint32_t h = hash_of(d->dp.p[i].base, d->dp.p[i].seg, d->dp.p[i].nseg) & mask;
		while (cell[h])
			h = (h + 1) & mask;
		cell[h] = i + 1;
	}
	free(d->cell);
	d->cell = cell;
	d->mask = mask;
}

dpid deppath_of(struct deppaths *d, atom base, dpid *seg, uint32_t nseg)
{
	if (nseg > 1)
		qsort(seg, nseg, sizeof(*seg), id_order);
	uint32_t h = hash_of(base, seg, nseg) & d->mask;
	for (; d->cell[h]; h = (h + 1) & d->mask) {
		const struct deppath *x = &d->dp.p[d->cell[h] - 1];
		if (x->base == base && x->nseg == nseg && (!nseg || memcmp(x->seg, seg, nseg * sizeof(*seg)) == 0))
			return d->cell[h] - 1;
	}
	struct deppath *x = vec_add(&d->dp);
	*x = (struct deppath){ .base = base, .nseg = nseg, .seg = arena_new(&d->r->arena, dpid, nseg + 1) };
	for (uint32_t i = 0; i < nseg; i++) {
		x->seg[i] = seg[i];
		if (x->depth <= d->dp.p[seg[i]].depth)
			x->depth = d->dp.p[seg[i]].depth + 1;
	}
	d->cell[h] = (uint32_t)d->dp.n;
	if (d->dp.n * 2 > d->mask)
		grow(d);
	return (dpid)d->dp.n - 1;
}

void deppath_set_pairs(struct deppaths *d, dpid at, const dpid *pair, uint32_t npair)
{
	struct deppath *x = &d->dp.p[at];
	if (x->pair || !npair)
		return;
	dpid *copy = arena_new(&d->r->arena, dpid, npair);
	memcpy(copy, pair, npair * sizeof(*copy));
	x->pair = copy;
	x->npair = npair;
}

bool deppath_pair(const struct deppaths *d, dpid at, dpid seg)
{
	for (uint32_t i = 0; i < d->dp.p[at].npair; i++)
		if (d->dp.p[at].pair[i] == seg)
			return true;
	return false;
}

str deppath_text(struct deppaths *d, dpid at)
{
	struct deppath *x = &d->dp.p[at];
	if (x->text.p)
		return x->text;
	str base = sof(d->r, x->base);
	if (!x->nseg)
		return x->text = base;
	uint32_t n = x->nseg;
	str *seg = xmalloc(n * sizeof(*seg));
	size_t body = 2 * (n - 1);
	for (uint32_t i = 0; i < n; i++) {
		seg[i] = deppath_text(d, d->dp.p[at].seg[i]);
		body += seg[i].n;
	}
	qsort(seg, n, sizeof(*seg), strs_order);
	char *out = arena_alloc(&d->r->arena, base.n + body + 3, 1, 1), *q = out + base.n;
	memcpy(out, base.p, base.n);
	*q++ = '(';
	for (uint32_t i = 0; i < n; i++) {
		if (i) {
			*q++ = ')';
			*q++ = '(';
		}
		memcpy(q, seg[i].p, seg[i].n);
		q += seg[i].n;
	}
	*q++ = ')';
	uint32_t max = d->r->set->peers_suffix_max_length;
	size_t len = (size_t)(q - out);
	if (body > max) {
		uint8_t sum[32];
		char hex[65];
		sha256(sum, out + base.n + 1, body);
		hex_print(hex, sum, 16);
		out = arena_alloc(&d->r->arena, base.n + 34, 1, 1);
		memcpy(out, base.p, base.n);
		out[base.n] = '(';
		memcpy(out + base.n + 1, hex, 32);
		out[base.n + 33] = ')';
		len = base.n + 34;
	}
	free(seg);
	return d->dp.p[at].text = (str){ out, len };
}

bool deppath_peer_names(struct deppaths *d, dpid at, const struct atomset **out)
{
	const struct deppath *x = &d->dp.p[at];
	str text = deppath_text(d, at), base = sof(d->r, x->base);
	*out = &atomset_none;
	if (!x->nseg)
		return false;
	atom *v = arena_new(&d->r->arena, atom, x->nseg);
	size_t n = 0, depth = 0, start = 0;
	for (size_t i = base.n; i < text.n; i++) {
		if (text.p[i] == '(' && depth++ == 0)
			start = i + 1;
		if (text.p[i] != ')' || --depth)
			continue;
		str seg = { text.p + start, i - start };
		size_t cut = str_find(seg, '@', 1);
		if (cut == SIZE_MAX)
			return false;
		v[n++] = atom_copy(&d->r->t, str_head(seg, cut));
	}
	*out = atomset_of(&d->r->arena, v, n);
	return true;
}
