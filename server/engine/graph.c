#include "graph.h"

int kv_order(const void *a, const void *b)
{
	const struct kv *x = a, *y = b;
	return x->k != y->k ? (x->k < y->k ? -1 : 1) : x->v < y->v ? -1 : x->v > y->v;
}

const struct kv *kv_find(const struct kv *p, uint32_t n, atom k)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i].k == k)
			return &p[i];
	return NULL;
}

uint32_t pkg_find(const struct run *r, atom id)
{
	return id < r->npkg_of_id ? r->pkg_of_id[id] - 1 : NONE;
}

void *by_atom(void *p, size_t *n, atom at, size_t size)
{
	if (at < *n)
		return p;
	size_t cap = *n ? *n : 4096;
	while (cap <= at)
		cap *= 2;
	char *q = xrealloc(p, cap * size);
	memset(q + *n * size, 0, (cap - *n) * size);
	*n = cap;
	return q;
}

enum { CACHE_LINE = 64 };

uint32_t pkg_add(struct run *r, atom id)
{
	r->pkg_of_id = by_atom(r->pkg_of_id, &r->npkg_of_id, id, sizeof(*r->pkg_of_id));
	uint32_t i = (uint32_t)r->pkg.n;
	struct pkg *p = arena_alloc(&r->arena, 1, sizeof(*p), CACHE_LINE);
	*p = (struct pkg){ .id = id, .leaf_node = NONE, .nodes = NONE, .rec_prior = NONE, .shadow = &atomset_none };
	*vec_add(&r->pkg) = p;
	r->pkg_of_id[id] = i + 1;
	return i;
}

uint32_t node_add(struct run *r, uint32_t pkg, int32_t depth)
{
	uint32_t i = (uint32_t)r->node.n;
	*vec_add(&r->node) = (struct node){ .pkg = pkg, .depth = depth, .next = pkg_at(r, pkg)->nodes, .key = NONE };
	pkg_at(r, pkg)->nodes = i;
	return i;
}

bool pkg_has_peer(const struct pkg *p, atom name)
{
	for (uint32_t i = 0; i < p->npeer; i++)
		if (p->peer[i].name == name)
			return true;
	return false;
}

const struct kv *importer_declares(
	const struct run *r, const struct importer *imp, atom alias, enum lock_dep_type *type)
{
	const struct kv *k = kv_find(imp->deps.opt, imp->deps.nopt, alias);
	*type = LOCK_OPTIONAL;
	if (k)
		return k;
	*type = LOCK_PROD;
	if ((k = kv_find(imp->deps.dep, imp->deps.ndep, alias)))
		return k;
	*type = LOCK_DEV;
	if ((k = kv_find(imp->dev.dep, imp->dev.ndep, alias)))
		return k;
	*type = LOCK_PROD;
	return r->set->auto_install_peers ? kv_find(imp->deps.peer, imp->deps.npeer, alias) : NULL;
}

const struct importer *importer_at(const struct run *r, str path)
{
	uint32_t from = 0, to = r->nimporter;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = str_cmp(r->importer[mid].req->path, path);
		if (c == 0)
			return &r->importer[mid];
		from = c < 0 ? mid + 1 : from;
		to = c < 0 ? to : mid;
	}
	return NULL;
}

const struct importer *root_importer(const struct run *r)
{
	return importer_at(r, STR("."));
}

bool is_peer_name(const struct run *r, atom name)
{
	return name < r->nis_peer_name && r->is_peer_name[name];
}

void peer_name_add(struct run *r, atom name)
{
	r->is_peer_name = by_atom(r->is_peer_name, &r->nis_peer_name, name, sizeof(bool));
	r->peer_names += !r->is_peer_name[name];
	r->is_peer_name[name] = true;
}

const struct chain *chain_push(struct run *r, const struct chain *up, uint32_t pkg)
{
	struct chain *c = arena_new(&r->arena, struct chain, 1);
	*c = (struct chain){ .pkg = pkg, .len = up ? up->len + 1 : 1, .up = up };
	return c;
}

int chain_cmp(struct run *r, const struct chain *a, const struct chain *b)
{
	uint32_t na = a ? a->len : 0, nb = b ? b->len : 0;
	const struct chain *x = a, *y = b;
	while (x && x->len > nb)
		x = x->up;
	while (y && y->len > na)
		y = y->up;
	int c = 0;
	for (; x && x != y; x = x->up, y = y->up)
		if (x->pkg != y->pkg)
			c = atom_cmp(&r->t, pkg_at(r, x->pkg)->id, pkg_at(r, y->pkg)->id);
	return c ? c : na < nb ? -1 : na > nb;
}

bool owner_same(struct run *r, const struct owner *a, const struct owner *b)
{
	return a->set == b->set && a->depth == b->depth && a->importer == b->importer &&
	       chain_cmp(r, a->path, b->path) == 0;
}

static void chain_put(struct run *r, struct buf *b, const struct chain *c)
{
	if (!c)
		return;
	chain_put(r, b, c->up);
	buf_printf(b, STR_FMT " > ", SA(r, pkg_at(r, c->pkg)->id));
}

str chain_text(struct run *r, const struct importer *imp, const struct chain *c, atom alias, atom spec)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	if (imp)
		buf_printf(&b, STR_FMT " > ", STR_ARG(imp->req->path));
	chain_put(r, &b, c);
	buf_printf(&b, STR_FMT "@" STR_FMT, SA(r, alias), SA(r, spec));
	return arena_str(&r->arena, buf_str(&b));
}

int run_too_deep(struct run *r, uint32_t pkg, struct err *e)
{
	return err_set(e, ERR_TOOBIG,
		"package " STR_FMT " is in a chain of more than %u dependencies or peers, each needing the next",
		SA(r, pkg_at(r, pkg)->id), RUN_MOST_DEPTH);
}

void run_warn(struct run *r, enum warning_kind kind, str package, str text)
{
	*vec_add(&r->warning) = (struct frame_warning){ .kind = kind, .package = package, .text = text };
}
