#include "yaml_load.h"
#include <yaml.h>

enum { NODES_MAX = 100000, DEPTH_MAX = 64 };
#define TOO_DEEP "nested deeper than 64"
#define TOO_MANY "more than 100,000 nodes"

struct load {
	yaml_document_t *doc;
	struct arena *a;
	str path;
	struct err *e;
	size_t nodes;
};

static int bad(struct load *l, const yaml_mark_t *at, const char *what)
{
	return err_set(l->e, ERR_PARSE, STR_FMT ":%zu:%zu: %s", STR_ARG(l->path), at->line + 1, at->column + 1, what);
}

static int convert(struct load *l, int id, unsigned depth, struct yaml_node **out);

static bool is_null(const yaml_node_t *y)
{
	str s = { (const char *)y->data.scalar.value, y->data.scalar.length };

	return y->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (s.n == 0 || str_eq(s, STR("~")) || str_eq(s, STR("null")) || str_eq(s, STR("Null")) ||
		       str_eq(s, STR("NULL")));
}

static void convert_scalar(struct load *l, const yaml_node_t *y, struct yaml_node *n)
{
	bool plain = y->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	n->s = arena_str(l->a, (str){ (const char *)y->data.scalar.value, y->data.scalar.length });
	n->kind = !plain ? YAML_KIND_QUOTED : is_null(y) ? YAML_KIND_NONE : YAML_KIND_PLAIN;
}

/* A map while it is made. */
struct making {
	struct yaml_node *n, **tail;
	struct map seen;
};

static bool is_merge(const yaml_node_t *k)
{
	return k->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && k->data.scalar.length == 2 &&
	       memcmp(k->data.scalar.value, "<<", 2) == 0;
}

static int merge(struct load *l, const yaml_mark_t *at, int id, unsigned depth, struct making *m);

/* Y's own entries, then what its "<<" brings. MERGED: what Y itself was brought by; a key that is there stays. */
static int convert_pairs(struct load *l, const yaml_node_t *y, unsigned depth, struct making *m, bool merged)
{
	const yaml_node_pair_t *start = y->data.mapping.pairs.start, *end = y->data.mapping.pairs.top;

	for (const yaml_node_pair_t *p = start; p < end; p++) {
		yaml_node_t *k = yaml_document_get_node(l->doc, p->key);
		bool fresh;
		if (!k || k->type != YAML_SCALAR_NODE)
			return bad(l, k ? &k->start_mark : &y->start_mark, "a key must be a string");
		if (is_merge(k))
			continue;
		str key = arena_str(l->a, (str){ (const char *)k->data.scalar.value, k->data.scalar.length });
		map_add(&m->seen, key, 0, &fresh);
		if (!fresh && !merged)
			return bad(l, &k->start_mark, "this key is there twice");
		if (!fresh && ++l->nodes > NODES_MAX)
			return bad(l, &k->start_mark, TOO_MANY);
		if (!fresh)
			continue;
		int rc = convert(l, p->value, depth + 1, m->tail);
		if (rc)
			return rc;
		(*m->tail)->key = key;
		m->tail = &(*m->tail)->next;
		m->n->n++;
	}
	for (const yaml_node_pair_t *p = start; p < end; p++) {
		const yaml_node_t *k = yaml_document_get_node(l->doc, p->key);
		int rc = is_merge(k) ? merge(l, &k->start_mark, p->value, depth + 1, m) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* "<<": a map, or a list of them of which the first wins. Source: pnpm 12.21's behaviour. */
static int merge(struct load *l, const yaml_mark_t *at, int id, unsigned depth, struct making *m)
{
	const yaml_node_t *y = yaml_document_get_node(l->doc, id);

	if (depth > DEPTH_MAX)
		return bad(l, at, TOO_DEEP);
	if (++l->nodes > NODES_MAX)
		return bad(l, at, TOO_MANY);
	if (y->type == YAML_MAPPING_NODE)
		return convert_pairs(l, y, depth, m, true);
	if (y->type == YAML_SCALAR_NODE && is_null(y))
		return 0;
	if (y->type != YAML_SEQUENCE_NODE)
		return bad(l, at, "expected a map, or a list of maps, to merge");
	for (const yaml_node_item_t *p = y->data.sequence.items.start; p < y->data.sequence.items.top; p++) {
		int rc = merge(l, at, *p, depth + 1, m);
		if (rc)
			return rc;
	}
	return 0;
}

static int convert_map(struct load *l, const yaml_node_t *y, unsigned depth, struct yaml_node *n)
{
	struct making m = { n, &n->child, MAP_INIT };

	n->kind = YAML_KIND_MAP;
	int rc = convert_pairs(l, y, depth, &m, false);
	map_release(&m.seen);
	return rc;
}

static int convert_seq(struct load *l, const yaml_node_t *y, unsigned depth, struct yaml_node *n)
{
	struct yaml_node **tail = &n->child;

	n->kind = YAML_KIND_SEQ;
	for (yaml_node_item_t *p = y->data.sequence.items.start; p < y->data.sequence.items.top; p++) {
		int rc = convert(l, *p, depth + 1, tail);
		if (rc)
			return rc;
		tail = &(*tail)->next;
		n->n++;
	}
	return 0;
}

static int convert(struct load *l, int id, unsigned depth, struct yaml_node **out)
{
	const yaml_node_t *y = yaml_document_get_node(l->doc, id);

	if (depth > DEPTH_MAX)
		return bad(l, &y->start_mark, TOO_DEEP);
	if (++l->nodes > NODES_MAX)
		return bad(l, &y->start_mark, TOO_MANY);
	struct yaml_node *n = *out = arena_new(l->a, struct yaml_node, 1);
	n->line = (uint32_t)y->start_mark.line + 1;
	n->col = (uint32_t)y->start_mark.column + 1;
	switch (y->type) {
	case YAML_SCALAR_NODE:
		convert_scalar(l, y, n);
		return 0;
	case YAML_MAPPING_NODE:
		return convert_map(l, y, depth, n);
	case YAML_SEQUENCE_NODE:
		return convert_seq(l, y, depth, n);
	default:
		return 0;
	}
}

int yaml_load(struct yaml_node **out, str text, str path, struct arena *a, struct err *e)
{
	yaml_parser_t p;
	yaml_document_t doc;
	int rc = yaml_check_utf8(text, path, e);

	if (rc)
		return rc;
	if (str_starts(text, STR("\xEF\xBB\xBF")))
		text = str_from(text, 3); /* libyaml takes it for a column */
	if (!yaml_parser_initialize(&p))
		die_oom(sizeof(p));
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)(text.n ? text.p : ""), text.n);
	if (!yaml_parser_load(&p, &doc)) {
		rc = err_set(e, ERR_PARSE, STR_FMT ":%zu:%zu: %s", STR_ARG(path), p.problem_mark.line + 1,
			p.problem_mark.column + 1, p.problem ? p.problem : "not YAML");
		yaml_parser_delete(&p);
		return rc;
	}
	struct load l = { .doc = &doc, .a = a, .path = path, .e = e };
	yaml_node_t *root = yaml_document_get_root_node(&doc);
	if (root)
		rc = convert(&l, (int)(root - doc.nodes.start) + 1, 0, out);
	else
		*out = arena_new(a, struct yaml_node, 1);
	yaml_document_delete(&doc);
	if (rc == 0 && yaml_parser_load(&p, &doc)) {
		root = yaml_document_get_root_node(&doc);
		if (root)
			rc = bad(&l, &root->start_mark, "a second document");
		yaml_document_delete(&doc);
	} else if (rc == 0) {
		rc = err_set(e, ERR_PARSE, STR_FMT ":%zu:%zu: %s", STR_ARG(path), p.problem_mark.line + 1,
			p.problem_mark.column + 1, p.problem ? p.problem : "not YAML");
	}
	yaml_parser_delete(&p);
	return rc;
}
