#include "kept_plan.h"

#include "bytes.h"
#include "kept.h"

#define PLAN_MAGIC 0x353079616c706400u /* "\0dplay05" */
#define ABSENT UINT32_MAX

/* One walk over the model serves both directions. What it forgets both forget: fuzz/kept_plan prints every
 * lockfile that the tests have. */
struct codec {
	struct buf *out; /* NULL: reading */
	struct cursor in;
	struct arena *a;
};

static void u32(struct codec *c, uint32_t *v)
{
	if (c->out) {
		buf_add(c->out, (str){ (const char *)v, sizeof(*v) });
		return;
	}
	const char *p = take(&c->in, sizeof(*v));
	if (p)
		memcpy(v, p, sizeof(*v));
	else
		*v = 0;
}

static void flag(struct codec *c, bool *v)
{
	if (c->out) {
		buf_addc(c->out, *v ? 1 : 0);
		return;
	}
	const char *p = take(&c->in, 1);
	*v = p && *p == 1;
	c->in.bad |= p && *p != 0 && *p != 1;
}

static void text(struct codec *c, str *s)
{
	uint32_t n = s->p ? (uint32_t)s->n : ABSENT;

	u32(c, &n);
	if (c->out) {
		if (n != ABSENT)
			buf_add(c->out, *s);
		return;
	}
	*s = STR_NONE;
	if (n != ABSENT && !c->in.bad)
		*s = (str){ take(&c->in, n), n };
	if (!s->p)
		s->n = 0;
}

/* The count of an array whose items take LEAST bytes at least: no file makes more room than a multiple of its size. */
static size_t count(struct codec *c, size_t have, size_t least)
{
	uint32_t n = (uint32_t)have;

	u32(c, &n);
	if (!c->out && n > (size_t)(c->in.end - c->in.p) / least) {
		c->in.bad = true;
		n = 0;
	}
	return n;
}

/* Where there is nothing, there is no array either, as the parser of YAML leaves it. */
#define ARRAY(c, array, n, type, least)                                                                                \
	do {                                                                                                           \
		size_t n_ = count((c), (n), (least));                                                                  \
		if (!(c)->out) {                                                                                       \
			(n) = n_;                                                                                      \
			(array) = n_ ? arena_new((c)->a, type, n_) : NULL;                                             \
		}                                                                                                      \
	} while (0)

static void list(struct codec *c, struct str_list *l)
{
	ARRAY(c, l->p, l->n, str, 4);
	for (size_t i = 0; i < l->n; i++)
		text(c, &l->p[i]);
}

static void map(struct codec *c, struct str_map *m)
{
	ARRAY(c, m->p, m->n, struct str_kv, 8);
	for (size_t i = 0; i < m->n; i++) {
		text(c, &m->p[i].k);
		text(c, &m->p[i].v);
	}
}

static void deps(struct codec *c, struct lock_deps *d)
{
	ARRAY(c, d->p, d->n, struct lock_dep, 8);
	for (size_t i = 0; i < d->n; i++) {
		text(c, &d->p[i].alias);
		text(c, &d->p[i].ref);
	}
}

static void directs(struct codec *c, struct lock_directs *d)
{
	ARRAY(c, d->p, d->n, struct lock_direct, 12);
	for (size_t i = 0; i < d->n; i++) {
		text(c, &d->p[i].alias);
		text(c, &d->p[i].specifier);
		text(c, &d->p[i].ref);
	}
}

static void resolution(struct codec *c, struct lock_resolution *r)
{
	uint32_t kind = (uint32_t)r->kind;

	u32(c, &kind);
	c->in.bad |= kind > LOCK_RES_OTHER;
	r->kind = kind > LOCK_RES_OTHER ? LOCK_RES_OTHER : (enum lock_res_kind)kind;
	text(c, &r->integrity);
	text(c, &r->tarball);
	text(c, &r->directory);
	text(c, &r->repo);
	text(c, &r->commit);
	text(c, &r->path);
	flag(c, &r->git_hosted);
	text(c, &r->raw);
}

static void package(struct codec *c, struct lock_package *p)
{
	text(c, &p->key);
	resolution(c, &p->resolution);
	text(c, &p->id);
	text(c, &p->name);
	text(c, &p->version);
	map(c, &p->engines);
	list(c, &p->cpu);
	list(c, &p->os);
	list(c, &p->libc);
	flag(c, &p->libc_scalar);
	text(c, &p->deprecated);
	flag(c, &p->has_bin);
	flag(c, &p->prepare);
	flag(c, &p->requires_build);
	flag(c, &p->bundle_all);
	list(c, &p->bundled);
	map(c, &p->peer_dependencies);
	list(c, &p->peer_optional);
	map(c, &p->extra);
}

static void snapshot(struct codec *c, struct lock_snapshot *s)
{
	text(c, &s->key);
	deps(c, &s->dependencies);
	deps(c, &s->optional_dependencies);
	list(c, &s->transitive_peers);
	flag(c, &s->optional);
	map(c, &s->extra);
}

static void importer(struct codec *c, struct lock_importer *im)
{
	text(c, &im->path);
	for (int g = 0; g < LOCK_NTYPES; g++)
		directs(c, &im->deps[g]);
	list(c, &im->injected);
	list(c, &im->not_injected);
	list(c, &im->meta_empty);
	text(c, &im->publish_directory);
	flag(c, &im->publish_unlinked);
	map(c, &im->extra);
}

static void catalogs(struct codec *c, struct lock_head *h)
{
	ARRAY(c, h->catalog, h->ncatalog, struct lock_catalog_entry, 16);
	for (size_t i = 0; i < h->ncatalog; i++) {
		text(c, &h->catalog[i].catalog);
		text(c, &h->catalog[i].alias);
		text(c, &h->catalog[i].specifier);
		text(c, &h->catalog[i].version);
	}
}

static void head(struct codec *c, struct lock_head *h)
{
	flag(c, &h->auto_install_peers);
	flag(c, &h->exclude_links_from_lockfile);
	flag(c, &h->dedupe_peers);
	flag(c, &h->inject_workspace_packages);
	flag(c, &h->no_settings);
	flag(c, &h->has_time);
	u32(c, &h->peers_suffix_max_length);
	catalogs(c, h);
	map(c, &h->overrides);
	text(c, &h->package_extensions_checksum);
	text(c, &h->pnpmfile_checksum);
	map(c, &h->patched);
	list(c, &h->ignored_optional);
	map(c, &h->time);
	map(c, &h->extra);
	map(c, &h->settings_extra);
}

static void whole(struct codec *c, struct lockfile *lf)
{
	head(c, &lf->head);
	text(c, &lf->env_document);
	ARRAY(c, lf->importer, lf->nimporters, struct lock_importer, 36);
	for (size_t i = 0; i < lf->nimporters; i++)
		importer(c, &lf->importer[i]);
	ARRAY(c, lf->package, lf->npackages, struct lock_package, 90);
	for (size_t i = 0; i < lf->npackages; i++)
		package(c, &lf->package[i]);
	ARRAY(c, lf->snapshot, lf->nsnapshots, struct lock_snapshot, 21);
	for (size_t i = 0; i < lf->nsnapshots; i++)
		snapshot(c, &lf->snapshot[i]);
}

/* The marks as they lie in the file. */
static const uint8_t *marks(struct cursor *c, size_t n)
{
	const uint8_t *p = (const uint8_t *)take(c, n);

	for (size_t i = 0; p && i < n; i++)
		c->bad |= p[i] > 2;
	return p;
}

int kept_plan_parse(struct kept_plan *out, str bytes, struct arena *a, struct err *e)
{
	struct kept_plan p = { 0 };
	str body;

	if (!kept_body(&body, bytes, PLAN_MAGIC))
		return err_set(e, ERR_PARSE, "kept plan: not one, cut off, or spoiled");
	struct codec c = { .in = { body.p, body.p + body.n, false }, .a = a };
	whole(&c, &p.lf);
	p.mark = marks(&c.in, p.lf.nsnapshots);
	if (c.in.bad || c.in.p != c.in.end)
		return err_set(e, ERR_PARSE, "kept plan: its body does not hold together");
	*out = p;
	return 0;
}

void kept_plan_print(struct buf *out, const struct kept_plan *p)
{
	struct lockfile copy = p->lf; /* nothing is written to it in this direction */
	struct codec c = { .out = out };
	size_t at = kept_begin(out, PLAN_MAGIC);

	whole(&c, &copy);
	buf_add(out, (str){ (const char *)p->mark, p->lf.nsnapshots });
	kept_end(out, at);
}
