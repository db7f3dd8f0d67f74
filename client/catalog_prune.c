#include "catalog_prune.h"
#include "name.h"
#include "project_local.h"
#include "yaml_load.h"

#define NO_INDENT SIZE_MAX
#define NO_LINE SIZE_MAX

struct line {
	str raw;       /* with its line feed */
	size_t indent; /* NO_INDENT: blank, or a comment */
	str key;       /* of "key:" or "key: value"; else absent */
	bool bare;     /* nothing but a comment stands behind it */
	bool comment, gone;
};
/* Those from FROM up to TO, which is not one of them. */
struct lines {
	size_t from, to;
};
struct edit {
	struct arena *a;
	struct line *line;
	size_t nline;
	struct map uses; /* "package\ncatalog:name" */
	bool any;        /* something is to go */
	str first;       /* its first entry; empty: only a catalog without entries is */
};

/* --- who uses what --- */

static void use(struct edit *x, str package, str how)
{
	map_set(&x->uses, arena_join(x->a, package, STR("\n"), how), 1);
}

static void use_all(struct edit *x, struct str_map deps)
{
	for (size_t i = 0; i < deps.n; i++) {
		if (str_starts(deps.p[i].v, STR("catalog:")))
			use(x, deps.p[i].k, deps.p[i].v);
	}
}

static void uses_of(struct edit *x, const struct request *req, const struct lockfile *lf)
{
	for (size_t i = 0; i < req->nimporters; i++) {
		const struct manifest *m = &req->importer[i].manifest;
		use_all(x, m->dependencies);
		use_all(x, m->dev_dependencies);
		use_all(x, m->optional_dependencies);
		use_all(x, m->peer_dependencies);
	}
	for (size_t i = 0; i < req->settings.overrides.n; i++) {
		struct str_kv o = req->settings.overrides.p[i];
		if (str_starts(o.v, STR("catalog:")))
			use(x, selector_name(o.k), o.v);
	}
	for (size_t i = 0; lf && i < lf->head.ncatalog; i++)
		use(x, lf->head.catalog[i].alias, arena_join(x->a, STR("locked:"), lf->head.catalog[i].catalog));
}

static bool used_as(const struct edit *x, str package, str scheme, str catalog)
{
	return map_get(&x->uses, arena_join(x->a, package, STR("\n"), scheme, catalog)) != MAP_NONE;
}

static bool used(const struct edit *x, str catalog, str package)
{
	return used_as(x, package, STR("catalog:"), STR_NONE) || used_as(x, package, STR("catalog:"), catalog) ||
	       used_as(x, package, STR("locked:"), catalog);
}

/* --- the file's lines --- */

/* The ":" that ends a key stands at the end of the line or before a blank. */
static str key_of(str s, bool *bare)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ':' || (i + 1 < s.n && s.p[i + 1] != ' ' && s.p[i + 1] != '\t'))
			continue;
		str key = str_trim(str_head(s, i)), rest = str_trim(str_from(s, i + 1));
		*bare = !rest.n || rest.p[0] == '#';
		bool quoted = key.n > 1 && (key.p[0] == '"' || key.p[0] == '\'') && key.p[key.n - 1] == key.p[0];
		return quoted ? str_head(str_from(key, 1), key.n - 2) : key;
	}
	return STR_NONE;
}

static void lines_read(struct edit *x, str yaml)
{
	size_t n = 1;

	for (size_t at = 0; (at = str_find(yaml, '\n', at)) != SIZE_MAX; at++)
		n++;
	x->line = arena_new(x->a, struct line, n);
	while (yaml.n) {
		size_t feed = str_find(yaml, '\n', 0);
		struct line *l = &x->line[x->nline++];
		l->raw = str_head(yaml, feed == SIZE_MAX ? yaml.n : feed + 1);
		str text = str_trim(l->raw);
		l->comment = str_starts(text, STR("#"));
		l->indent = text.n && !l->comment ? (size_t)(text.p - l->raw.p) : NO_INDENT;
		l->key = key_of(text, &l->bare);
		yaml = str_from(yaml, l->raw.n);
	}
}

/* Where what stands below line AT, at INDENT, ends within L. */
static size_t below_end(const struct edit *x, struct lines l, size_t at, size_t indent)
{
	for (at++; at < l.to; at++) {
		if (x->line[at].indent != NO_INDENT && x->line[at].indent <= indent)
			return at;
	}
	return l.to;
}

/* The line of KEY among the entries of a map in L, and its indent. */
static size_t entry_at(const struct edit *x, struct lines l, str key, size_t *indent)
{
	*indent = NO_INDENT;
	for (size_t i = l.from; i < l.to; i++) {
		if (x->line[i].indent == NO_INDENT)
			continue;
		if (*indent == NO_INDENT)
			*indent = x->line[i].indent;
		if (x->line[i].indent == *indent && x->line[i].key.p && str_eq(x->line[i].key, key))
			return i;
	}
	return NO_LINE;
}

/* What stands below KEY; empty where it is not found, or its value is not below it. */
static struct lines below(const struct edit *x, struct lines l, str key)
{
	size_t indent, at = entry_at(x, l, key, &indent);

	return at == NO_LINE || !x->line[at].bare ? (struct lines){ 0, 0 }
						  : (struct lines){ at + 1, below_end(x, l, at, indent) };
}

static void lines_drop(struct edit *x, size_t from, size_t to)
{
	for (; from < to; from++)
		x->line[from].gone = true;
}

/* An entry goes with all up to the next one, comments included. */
static void entry_drop(struct edit *x, struct lines l, str key)
{
	size_t indent, at = entry_at(x, l, key, &indent);

	if (at != NO_LINE)
		lines_drop(x, at, below_end(x, l, at, indent));
}

/* A whole block leaves the comments that stand before the next one; the last one takes the empty lines before it. */
static void block_drop(struct edit *x, str key)
{
	struct lines all = { 0, x->nline };
	size_t indent, at = entry_at(x, all, key, &indent);

	if (at == NO_LINE)
		return;
	size_t end = below_end(x, all, at, indent);
	while (end < x->nline && end > at + 1 && x->line[end - 1].comment)
		end--;
	while (end == x->nline && at && x->line[at - 1].indent == NO_INDENT && !x->line[at - 1].comment)
		at--;
	lines_drop(x, at, end);
}

/* --- the entries --- */

static void unlink_node(struct edit *x, struct yaml_node *map, struct yaml_node **at)
{
	*at = (*at)->next;
	map->n--;
	x->any = true;
}

/* Takes what nothing uses from MAP, the catalog NAME, whose lines are L; all of it goes by other means. */
static void prune_catalog(struct edit *x, struct yaml_node *map, str name, struct lines l)
{
	size_t left = 0;

	for (const struct yaml_node *n = map->child; n; n = n->next) {
		bool keep = used(x, name, n->key);
		left += keep;
		if (!keep && !x->first.n)
			x->first = arena_join(x->a, n->key, STR("\" of the catalog \""), name);
	}
	for (struct yaml_node **at = &map->child; *at;) {
		if (used(x, name, (*at)->key)) {
			at = &(*at)->next;
			continue;
		}
		if (left)
			entry_drop(x, l, (*at)->key);
		unlink_node(x, map, at);
	}
}

static void prune_named(struct edit *x, struct yaml_node *catalogs)
{
	struct lines all = { 0, x->nline }, l = below(x, all, catalogs->key);

	for (struct yaml_node *n = catalogs->child; n; n = n->next)
		prune_catalog(x, n, n->key, below(x, l, n->key));
	size_t left = 0;
	for (const struct yaml_node *n = catalogs->child; n; n = n->next)
		left += n->n > 0;
	for (struct yaml_node **at = &catalogs->child; *at;) {
		if ((*at)->n) {
			at = &(*at)->next;
			continue;
		}
		if (left)
			entry_drop(x, l, (*at)->key);
		unlink_node(x, catalogs, at);
	}
}

static void prune(struct edit *x, struct yaml_node *root)
{
	struct lines all = { 0, x->nline };

	for (struct yaml_node **at = &root->child; *at;) {
		struct yaml_node *n = *at;
		bool one = str_eq(n->key, STR("catalog")), several = str_eq(n->key, STR("catalogs"));
		if (n->kind == YAML_KIND_MAP && n->n && one)
			prune_catalog(x, n, STR("default"), below(x, all, n->key));
		else if (n->kind == YAML_KIND_MAP && n->n && several)
			prune_named(x, n);
		if (n->kind == YAML_KIND_MAP && !n->n && (one || several)) {
			block_drop(x, n->key);
			unlink_node(x, root, at);
		} else {
			at = &n->next;
		}
	}
}

static bool node_same(const struct yaml_node *a, const struct yaml_node *b)
{
	if (a->kind != b->kind || a->n != b->n || !str_eq(a->key, b->key) || !str_eq(a->s, b->s))
		return false;
	a = a->child;
	b = b->child;
	while (a && b && node_same(a, b)) {
		a = a->next;
		b = b->next;
	}
	return !a && !b;
}

/* The lines that stay are the tree that is to stay, and nothing else. */
static bool edit_right(struct edit *x, const struct yaml_node *want, str text)
{
	struct yaml_node *got;
	struct err ignored;

	return yaml_load(&got, text, STR("pnpm-workspace.yaml"), x->a, &ignored) == 0 && node_same(want, got);
}

int catalog_prune_edit(struct buf *out, str yaml, const struct request *req, const struct lockfile *lf, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(64 * 1024);
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct edit x = { .a = &a };
	struct yaml_node *root;

	if (yaml_load(&root, yaml, STR("pnpm-workspace.yaml"), &a, e) < 0)
		return e->code;
	if (root->kind != YAML_KIND_MAP)
		return 0;
	lines_read(&x, yaml);
	uses_of(&x, req, lf);
	prune(&x, root);
	map_release(&x.uses);
	if (!x.any)
		return 0;
	for (size_t i = 0; i < x.nline; i++) {
		if (!x.line[i].gone)
			buf_add(&text, x.line[i].raw);
	}
	if (!edit_right(&x, root, buf_str(&text)))
		return err_set(e, ERR_UNSUPPORTED,
			"catalogPrune: no project uses \"" STR_FMT
			"\", which does not stand in a line of its own of pnpm-workspace.yaml: remove the entry by hand",
			STR_ARG(x.first.n ? x.first : STR("catalogs")));
	buf_add(out, buf_str(&text));
	return 1;
}

int catalog_prune(struct buf *out, const struct project *p, const struct lockfile *lf, struct err *e)
{
	AUTO(buf_release) struct buf yaml = BUF_INIT;
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	str path = arena_printf(&a, STR_FMT "/pnpm-workspace.yaml", STR_ARG(p->root));
	int code = project_read_file(&yaml, path.p, 16 << 20, e);

	if (code < 0)
		return code == ERR_NOTFOUND ? 0 : code;
	return catalog_prune_edit(out, buf_str(&yaml), &p->req, lf, e);
}
