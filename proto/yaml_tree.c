#include "yaml_scan.h"

enum { DEPTH_MAX = 64 };

const struct yaml_node *yaml_get(const struct yaml_node *n, str key)
{
	if (!n || n->kind != YAML_KIND_MAP)
		return NULL;
	for (const struct yaml_node *c = n->child; c; c = c->next) {
		if (str_eq(c->key, key))
			return c;
	}
	return NULL;
}

bool yaml_bool(const struct yaml_node *n, bool *out)
{
	if (!n || n->kind != YAML_KIND_PLAIN)
		return false;
	if (str_eq(n->s, STR("true")) || str_eq(n->s, STR("True")) || str_eq(n->s, STR("TRUE")))
		*out = true;
	else if (str_eq(n->s, STR("false")) || str_eq(n->s, STR("False")) || str_eq(n->s, STR("FALSE")))
		*out = false;
	else
		return false;
	return true;
}

bool yaml_u64(const struct yaml_node *n, uint64_t *out)
{
	return n && n->kind == YAML_KIND_PLAIN && str_u64(n->s, out);
}

static struct yaml_node *node_new(struct yaml_reader *r, enum yaml_kind kind)
{
	struct yaml_node *n = arena_new(r->nodes, struct yaml_node, 1);

	n->kind = kind;
	n->line = r->line;
	n->col = (uint32_t)(r->p - r->bol) + 1;
	return n;
}

/* ---- flow ---- */

static int skip_flow_space(struct yaml_reader *r)
{
	for (;;) {
		yaml_skip_spaces(r);
		if (r->p < r->end && *r->p == '#' && r->p > r->bol && (r->p[-1] == ' ' || r->p[-1] == '\t')) {
			while (!yaml_at_eol(r))
				r->p++;
		}
		if (r->p == r->end)
			return yaml_reader_err(r, "the file ends inside \"{\" or \"[\"");
		if (*r->p != '\n')
			return 0;
		yaml_newline(r);
	}
}

/* A key that is already there is an error. Keys mostly come sorted, so only those out of order need a table. */
static int check_duplicates(struct yaml_reader *r, const struct yaml_node *map)
{
	bool sorted = true;

	for (const struct yaml_node *c = map->child; c && c->next && sorted; c = c->next)
		sorted = str_cmp(c->key, c->next->key) < 0;
	if (sorted)
		return 0;
	struct map seen AUTO(map_release) = MAP_INIT;
	for (const struct yaml_node *c = map->child; c; c = c->next) {
		bool fresh;
		map_add(&seen, c->key, 0, &fresh);
		if (!fresh)
			return err_set(r->e, ERR_PARSE, STR_FMT ":%u: the key \"" STR_FMT "\" is there twice",
				STR_ARG(r->path), c->line, STR_ARG(str_head(c->key, 100)));
	}
	return 0;
}

static int read_flow(struct yaml_reader *r, struct yaml_node **out);

static int read_flow_member(struct yaml_reader *r, bool map, struct yaml_node **out)
{
	struct yaml_node key = { 0 };
	int rc = 0;

	if (map) {
		if (*r->p == '?' && yaml_is_break(r->p + 1, r->end))
			return yaml_reader_err(r, "\"? \" is not supported inside \"{\"");
		if ((rc = yaml_read_scalar(r, true, &key)) || (rc = skip_flow_space(r)))
			return rc;
		if (*r->p != ':')
			return yaml_reader_err(r, "expected \":\" after a key");
		r->p++;
		if ((rc = skip_flow_space(r)))
			return rc;
	}
	if (*r->p == ',' || *r->p == '}' || *r->p == ']')
		*out = node_new(r, YAML_KIND_NONE);
	else
		rc = read_flow(r, out);
	if (rc == 0)
		(*out)->key = key.s;
	return rc;
}

static int read_flow(struct yaml_reader *r, struct yaml_node **out)
{
	struct yaml_node *n = node_new(r, YAML_KIND_NONE), **tail = &n->child;
	bool map = *r->p == '{';
	int rc;

	*out = n;
	if (!map && *r->p != '[')
		return yaml_read_scalar(r, true, n);
	if (++r->depth > DEPTH_MAX)
		return yaml_reader_err(r, "nested deeper than %d", DEPTH_MAX);
	n->kind = map ? YAML_KIND_MAP : YAML_KIND_SEQ;
	r->p++;
	for (;;) {
		if ((rc = skip_flow_space(r)))
			return rc;
		if (*r->p == (map ? '}' : ']'))
			break;
		if ((rc = read_flow_member(r, map, tail)))
			return rc;
		tail = &(*tail)->next;
		n->n++;
		if ((rc = skip_flow_space(r)))
			return rc;
		if (*r->p == ',')
			r->p++;
		else if (*r->p != (map ? '}' : ']'))
			return yaml_reader_err(r, "expected \",\" or \"%c\"", map ? '}' : ']');
	}
	r->p++;
	r->depth--;
	return map ? check_duplicates(r, n) : 0;
}

/* ---- blocks ---- */

static int read_block(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node **out);

/* A value on the line of its key (or dash); ends after the line. */
static int read_inline(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node **out)
{
	int rc;

	if (*r->p == '|') {
		*out = node_new(r, YAML_KIND_QUOTED);
		return yaml_read_literal(r, parent, *out);
	}
	if (*r->p == '{' || *r->p == '[') {
		rc = read_flow(r, out);
	} else {
		*out = node_new(r, YAML_KIND_NONE);
		rc = yaml_read_scalar(r, false, *out);
	}
	if (rc == 0)
		rc = yaml_end_line(r);
	if (rc == 0 && r->indent > parent)
		return yaml_reader_err(r, "unexpected indentation (a string over several lines must be quoted)");
	return rc;
}

/* Whether the line at p holds "key:": quoted, or plain up to a colon and a break. */
static bool is_key(const struct yaml_reader *r)
{
	const char *p = r->p;

	if (*p == '?' && yaml_is_break(p + 1, r->end))
		return true;
	if (*p == '\'' || *p == '"') {
		char q = *p++;
		for (; p < r->end && *p != '\n'; p++) {
			if (q == '"' && *p == '\\')
				p++;
			else if (*p == q && q == '\'' && p + 1 < r->end && p[1] == '\'')
				p++;
			else if (*p == q)
				break;
		}
		if (p >= r->end || *p != q)
			return false;
		for (p++; p < r->end && *p == ' ';)
			p++;
		return p < r->end && *p == ':' && yaml_is_break(p + 1, r->end);
	}
	if (*p == '{' || *p == '[')
		return false;
	for (; (p = yaml_skip_plain(p, r->end)) < r->end && *p != '\n'; p++) {
		if (*p == ':' && yaml_is_break(p + 1, r->end))
			return true;
		if (*p == '#' && p > r->p && p[-1] == ' ')
			return false;
	}
	return false;
}

/* A plain key: all up to the colon. */
static int read_plain_key(struct yaml_reader *r, str *key)
{
	const char *from = r->p;
	int rc = yaml_refuse_indicator(r);

	if (rc)
		return rc;
	for (;; r->p++) {
		r->p = yaml_skip_plain(r->p, r->end);
		if (yaml_at_eol(r) || (*r->p == '#' && r->p > from && r->p[-1] == ' '))
			return yaml_reader_err(r, "expected \"key: value\"");
		if (*r->p == ':' && yaml_is_break(r->p + 1, r->end))
			break;
	}
	const char *stop = r->p;
	while (stop > from && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	*key = (str){ from, (size_t)(stop - from) };
	return 0;
}

static int read_key_text(struct yaml_reader *r, str *key)
{
	if (*r->p == '\'')
		return yaml_read_single(r, key);
	if (*r->p == '"')
		return yaml_read_double(r, key);
	if (*r->p == '{' || *r->p == '[')
		return yaml_reader_err(r, "a collection as a key is not supported");
	return read_plain_key(r, key);
}

static int read_explicit_key(struct yaml_reader *r, ptrdiff_t indent, str *key)
{
	struct yaml_node n = { 0 };

	r->p++;
	yaml_skip_spaces(r);
	if (yaml_at_eol(r) || *r->p == '{' || *r->p == '[' || *r->p == '|')
		return yaml_reader_err(r, "expected a key after \"?\"");
	int rc = yaml_read_scalar(r, false, &n);
	*key = n.s;
	if (rc == 0)
		rc = yaml_end_line(r);
	if (rc == 0 && (r->indent != indent || *r->p != ':' || !yaml_is_break(r->p + 1, r->end)))
		return yaml_reader_err(r, "expected \": \" after a \"? \" key");
	return rc;
}

int yaml_reader_key(struct yaml_reader *r, ptrdiff_t indent, str *key, uint32_t *line)
{
	if (r->indent < indent)
		return 0;
	if (r->indent > indent)
		return yaml_reader_err(r, "unexpected indentation");
	if (yaml_is_dash(r))
		return yaml_reader_err(r, "a list item where a key is expected");
	*line = r->line;
	bool explicit_key = *r->p == '?' && yaml_is_break(r->p + 1, r->end);
	int rc = explicit_key ? read_explicit_key(r, indent, key) : read_key_text(r, key);
	if (rc)
		return rc;
	yaml_skip_spaces(r);
	if (r->p == r->end || *r->p != ':' || !yaml_is_break(r->p + 1, r->end))
		return yaml_reader_err(r, "expected \": \" after a key");
	r->p++;
	yaml_skip_spaces(r);
	if (explicit_key && !yaml_at_eol(r) && *r->p != '#')
		r->indent = r->p - r->bol; /* the value may be a block on this line */
	else if (yaml_at_eol(r) || *r->p == '#')
		rc = yaml_end_line(r);
	else
		r->indent = -2; /* the value is on this line */
	return rc ? rc : 1;
}

int yaml_reader_open(struct yaml_reader *r, ptrdiff_t indent, ptrdiff_t *inner)
{
	if (r->indent <= indent || yaml_is_dash(r) || !is_key(r))
		return 0;
	*inner = r->indent;
	return 1;
}

int yaml_reader_value(struct yaml_reader *r, ptrdiff_t indent, struct yaml_node **out)
{
	if (r->indent == -2)
		return read_inline(r, indent, out);
	if (r->indent > indent || (r->indent == indent && yaml_is_dash(r)))
		return read_block(r, indent, out);
	*out = node_new(r, YAML_KIND_NONE);
	return 0;
}

static int read_map(struct yaml_reader *r, ptrdiff_t indent, struct yaml_node *n)
{
	struct yaml_node **tail = &n->child;
	uint32_t line;
	str key;
	int rc;

	n->kind = YAML_KIND_MAP;
	while ((rc = yaml_reader_key(r, indent, &key, &line)) == 1) {
		if ((rc = yaml_reader_value(r, indent, tail)))
			return rc;
		(*tail)->key = key;
		(*tail)->line = line;
		tail = &(*tail)->next;
		n->n++;
	}
	return rc ? rc : check_duplicates(r, n);
}

static int read_seq(struct yaml_reader *r, ptrdiff_t indent, struct yaml_node *n)
{
	struct yaml_node **tail = &n->child;
	int rc = 0;

	n->kind = YAML_KIND_SEQ;
	while (r->indent == indent && yaml_is_dash(r)) {
		r->p++;
		yaml_skip_spaces(r);
		if (yaml_at_eol(r) || *r->p == '#') {
			if ((rc = yaml_end_line(r)))
				return rc;
		} else {
			r->indent = r->p - r->bol;
		}
		if (r->indent > indent)
			rc = read_block(r, indent, tail);
		else
			*tail = node_new(r, YAML_KIND_NONE);
		if (rc)
			return rc;
		tail = &(*tail)->next;
		n->n++;
	}
	if (r->indent > indent)
		return yaml_reader_err(r, "unexpected indentation");
	return 0;
}

/* Any node that starts at p, which stands r->indent deep. */
static int read_block(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node **out)
{
	int rc;

	if (++r->depth > DEPTH_MAX)
		return yaml_reader_err(r, "nested deeper than %d", DEPTH_MAX);
	if (yaml_is_dash(r)) {
		*out = node_new(r, YAML_KIND_SEQ);
		rc = read_seq(r, r->indent, *out);
	} else if (is_key(r)) {
		*out = node_new(r, YAML_KIND_MAP);
		rc = read_map(r, r->indent, *out);
	} else {
		rc = read_inline(r, parent, out);
	}
	r->depth--;
	return rc;
}

int yaml_reader_start(struct yaml_reader *r, str text, uint32_t line)
{
	r->p = r->bol = text.p;
	r->end = text.p + text.n;
	r->line = line;
	r->depth = 0;
	return yaml_seek_content(r);
}
