#include "meta_table.h"
#include "url.h"

/* ---- records ---- */

struct packument meta_packument(const struct meta_record *r)
{
	return r->pk;
}

enum meta_origin meta_record_origin(const struct meta_record *r)
{
	return (enum meta_origin)atomic_load_explicit(&r->origin, memory_order_relaxed);
}

void meta_record_set_origin(struct meta_record *r, enum meta_origin origin)
{
	atomic_store_explicit(&r->origin, (unsigned)origin, memory_order_relaxed);
}

struct meta_record *meta_record_hold(struct meta_record *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void meta_record_release(struct meta_record *r)
{
	if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		free(r);
}

struct meta_record *meta_record_new(str bytes, struct err *e)
{
	struct meta_record *r = xmalloc(sizeof(*r) + bytes.n);

	atomic_init(&r->refs, 1);
	atomic_init(&r->origin, META_KEPT);
	if (bytes.n)
		memcpy(r->bytes, bytes.p, bytes.n);
	if (packument_open(&r->pk, r->bytes, bytes.n, e) < 0) {
		free(r);
		return NULL;
	}
	return r;
}

/* ---- keys ---- */

static char form_letter(enum packument_form form)
{
	return form == PACKUMENT_FULL ? 'f' : 'a';
}

static void put_registry(struct buf *b, str registry)
{
	while (registry.n && registry.p[registry.n - 1] == '/')
		registry.n--;
	url_put_public(b, registry);
}

static void put_name(struct buf *b, str name, enum packument_form form)
{
	buf_addc(b, form_letter(form));
	buf_addc(b, ' ');
	buf_add(b, name);
	buf_addc(b, ' ');
}

void meta_key_put(struct buf *b, str registry, str name, enum packument_form form)
{
	put_name(b, name, form);
	put_registry(b, registry);
}

void meta_table_put_key(struct meta_table *t, struct buf *b, str registry, str name, enum packument_form form)
{
	if (!t->last_registry.n || !str_eq(buf_str(&t->last_registry), registry)) {
		buf_clear(&t->last_registry);
		buf_add(&t->last_registry, registry);
		buf_clear(&t->last_public);
		put_registry(&t->last_public, registry);
	}
	put_name(b, name, form);
	buf_add(b, buf_str(&t->last_public));
}

void meta_key_set_form(struct buf *key, enum packument_form form)
{
	key->p[0] = form_letter(form);
}

/* ---- entries ---- */

static struct entry **slot(const struct meta_table *t, str key)
{
	struct entry **p = &t->bucket[str_hash(key) & (t->nbuckets - 1)];

	while (*p && !str_eq((str){ (*p)->id.key, (*p)->id.n }, key))
		p = &(*p)->chain;
	return p;
}

struct entry *meta_table_find(const struct meta_table *t, str key)
{
	return t->nentries ? *slot(t, key) : NULL;
}

static void grow(struct meta_table *t)
{
	struct entry **old = t->bucket;
	size_t n = t->nbuckets;

	t->nbuckets = n ? n * 2 : 1024;
	t->bucket = xcalloc(t->nbuckets, sizeof(struct entry *));
	for (size_t i = 0; i < n; i++) {
		for (struct entry *x, *next = old[i]; (x = next);) {
			next = x->chain;
			struct entry **p = &t->bucket[str_hash((str){ x->id.key, x->id.n }) & (t->nbuckets - 1)];
			x->chain = *p;
			*p = x;
		}
	}
	free(old);
}

struct entry *meta_table_add(struct meta_table *t, str key, str registry, str name, enum packument_form form)
{
	struct entry *x = xcalloc(1, sizeof(*x));

	if (t->nentries >= t->nbuckets)
		grow(t);
	t->nentries++;
	x->id.key = xstrndup(key);
	x->id.n = key.n;
	x->registry = xstrndup(registry);
	x->name = xstrndup(name);
	x->form = form;
	*slot(t, key) = x;
	return x;
}

void meta_table_drop(struct meta_table *t, struct entry *x)
{
	*slot(t, (str){ x->id.key, x->id.n }) = x->chain;
	t->nentries--;
	meta_record_release(x->record);
	vec_release(&x->waiters);
	free(x->id.key);
	free(x->registry);
	free(x->name);
	free(x->absent);
	free(x->validator);
	free(x);
}

/* ---- the order of use ---- */

static size_t entry_size(const struct entry *x)
{
	return x->record ? x->record->pk.n : sizeof(*x) + sizeof(*x->absent) + x->id.n;
}

void meta_table_unused(struct meta_table *t, struct entry *x)
{
	lru_remove(&t->by_use, x);
	t->memory -= entry_size(x);
}

void meta_table_used(struct meta_table *t, struct entry *x)
{
	lru_add(&t->by_use, x);
	t->memory += entry_size(x);
}

void meta_table_shrink(struct meta_table *t, uint64_t to)
{
	while (t->memory > to && t->by_use.oldest) {
		struct entry *x = t->by_use.oldest;
		meta_table_unused(t, x);
		meta_table_drop(t, x);
	}
}

void meta_table_release(struct meta_table *t)
{
	while (t->by_use.newest) {
		struct entry *x = t->by_use.newest;
		meta_table_unused(t, x);
		meta_table_drop(t, x);
	}
	free(t->bucket);
	buf_release(&t->last_registry);
	buf_release(&t->last_public);
}
