#include "yaml_tree.h"
#include <stdarg.h>
#include <stdio.h>

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

int yaml_reader_err(struct yaml_reader *r, const char *fmt, ...)
{
	char msg[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return err_set(
		r->e, ERR_PARSE, STR_FMT ":%u:%u: %s", STR_ARG(r->path), r->line, (unsigned)(r->p - r->bol) + 1, msg);
}

static struct yaml_node *node_new(struct yaml_reader *r, enum yaml_kind kind)
{
	struct yaml_node *n = arena_new(r->nodes, struct yaml_node, 1);

	n->kind = kind;
	n->line = r->line;
	n->col = (uint32_t)(r->p - r->bol) + 1;
	return n;
}

/* ---- lines ---- */

static bool at_eol(const struct yaml_reader *r)
{
	return r->p == r->end || *r->p == '\n';
}

static void skip_spaces(struct yaml_reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

static void newline(struct yaml_reader *r)
{
	r->p++;
	r->line++;
	r->bol = r->p;
}

/* From the beginning of a line to the next content; sets the indent. */
static int seek_content(struct yaml_reader *r)
{
	for (;;) {
		while (r->p < r->end && *r->p == ' ')
			r->p++;
		if (r->p == r->end) {
			r->indent = -1;
			return 0;
		}
		const char *text = r->p;
		skip_spaces(r);
		if (at_eol(r) || *r->p == '#') {
			const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
			r->p = nl ? nl : r->end;
			if (nl)
				newline(r);
			continue;
		}
		if (r->p != text)
			return yaml_reader_err(r, "a tab may not be used for indentation");
		r->indent = r->p - r->bol;
		return 0;
	}
}

/* After a value: only a comment may follow; goes on to the next content. */
static int end_line(struct yaml_reader *r)
{
	const char *was = r->p;

	skip_spaces(r);
	if (r->p < r->end && *r->p == '#' && (r->p > was || r->p == r->bol)) {
		const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
		r->p = nl ? nl : r->end;
	}
	if (!at_eol(r))
		return yaml_reader_err(r, "unexpected text after a value");
	if (r->p < r->end)
		newline(r);
	return seek_content(r);
}

static bool is_dash(const struct yaml_reader *r)
{
	return r->p < r->end && *r->p == '-' && (r->p + 1 == r->end || r->p[1] == ' ' || r->p[1] == '\n');
}

static bool is_break(const char *p, const char *end)
{
	return p == end || *p == ' ' || *p == '\n' || *p == '\t';
}

/* ---- scalars ---- */

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

static int read_single(struct yaml_reader *r, str *out)
{
	const char *from = ++r->p;
	bool doubled = false;

	for (;; r->p++) {
		if (at_eol(r))
			return yaml_reader_err(r, "a quoted string must end on its line");
		if (*r->p != '\'')
			continue;
		if (r->p + 1 == r->end || r->p[1] != '\'')
			break;
		doubled = true;
		r->p++;
	}
	*out = (str){ from, (size_t)(r->p++ - from) };
	if (!doubled)
		return 0;
	char *to = arena_new(r->strings, char, out->n + 1);
	size_t n = 0;
	for (size_t i = 0; i < out->n; i++) {
		to[n++] = out->p[i];
		if (out->p[i] == '\'')
			i++;
	}
	*out = (str){ to, n };
	return 0;
}

static int read_hex(struct yaml_reader *r, unsigned digits, uint32_t *c)
{
	*c = 0;
	for (unsigned i = 0; i < digits; i++) {
		char x = r->p < r->end ? *r->p : 0;
		uint32_t v;
		if (x >= '0' && x <= '9')
			v = (uint32_t)(x - '0');
		else if ((x | 32) >= 'a' && (x | 32) <= 'f')
			v = (uint32_t)((x | 32) - 'a' + 10);
		else
			return yaml_reader_err(r, "bad escape in a quoted string");
		*c = *c << 4 | v;
		r->p++;
	}
	return 0;
}

/* After the backslash. Writes what it means to *to. YAML 1.2, 5.7. */
static int read_escape(struct yaml_reader *r, char **to)
{
	static const char from[] = "0abtnvfre \"/\\N_LP";
	static const uint16_t means[] = { 0, 7, 8, 9, 10, 11, 12, 13, 27, ' ', '"', '/', '\\', 0x85, 0xA0, 0x2028,
		0x2029 };
	char x = *r->p++;
	const char *at = x ? strchr(from, x) : NULL;
	uint32_t c;

	if (at) {
		*to += put_utf8(*to, means[at - from]);
		return 0;
	}
	unsigned digits = x == 'x' ? 2 : x == 'u' ? 4 : x == 'U' ? 8 : 0;
	if (!digits)
		return yaml_reader_err(r, "bad escape in a quoted string");
	int rc = read_hex(r, digits, &c);
	if (rc == 0 && c >= 0xD800 && c < 0xDC00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
		uint32_t low;
		r->p += 2;
		rc = read_hex(r, 4, &low);
		if (rc == 0 && low >= 0xDC00 && low < 0xE000)
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	}
	if (rc == 0 && ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF))
		return yaml_reader_err(r, "an escape is no Unicode character");
	if (rc == 0)
		*to += put_utf8(*to, c);
	return rc;
}

static int read_double(struct yaml_reader *r, str *out)
{
	const char *from = ++r->p;

	while (!at_eol(r) && *r->p != '"') {
		if (*r->p == '\\' && r->p + 1 < r->end && r->p[1] != '\n')
			r->p++;
		r->p++;
	}
	if (at_eol(r))
		return yaml_reader_err(r, "a quoted string must end on its line");
	size_t n = (size_t)(r->p - from);
	if (!memchr(from, '\\', n)) {
		*out = (str){ from, n };
		r->p++;
		return 0;
	}
	/* An escape is never shorter than its character, save \L and \P (2 bytes for 3). */
	char *buf = arena_new(r->strings, char, n * 2 + 1), *to = buf;
	for (r->p = from; *r->p != '"';) {
		if (*r->p != '\\') {
			*to++ = *r->p++;
			continue;
		}
		r->p++;
		int rc = read_escape(r, &to);
		if (rc)
			return rc;
	}
	r->p++;
	*out = (str){ buf, (size_t)(to - buf) };
	return 0;
}

static int refuse_indicator(struct yaml_reader *r)
{
	switch (*r->p) {
	case '&':
	case '*':
		return yaml_reader_err(r, "anchors and aliases are not supported here");
	case '!':
		return yaml_reader_err(r, "tags are not supported here");
	case '>':
		return yaml_reader_err(r, "folded strings (\">\") are not supported here; use quotes");
	case '@':
	case '`':
	case '%':
	case '|':
	case ',':
	case ']':
	case '}':
		return yaml_reader_err(r, "a value may not start with \"%c\"; put it in quotes", *r->p);
	case '-':
	case '?':
	case ':':
		if (is_break(r->p + 1, r->end))
			return yaml_reader_err(r, "\"%c \" is not expected here", *r->p);
		return 0;
	default:
		return 0;
	}
}

/* Bytes at which a plain scalar may end. */
static const bool plain_stop[256] = {
	['\n'] = 1, ['\t'] = 1, [' '] = 1, ['#'] = 1, [':'] = 1, [','] = 1, ['['] = 1, [']'] = 1, ['{'] = 1, ['}'] = 1
};

static const char *skip_plain(const char *p, const char *end)
{
	while (p < end && !plain_stop[(uint8_t)*p])
		p++;
	return p;
}

/* To the end of the line, a comment, or in flow a delimiter. A ": " inside is an error of nesting. */
static int read_plain(struct yaml_reader *r, bool flow, str *out)
{
	const char *from = r->p, *last = r->p;
	int rc = refuse_indicator(r);

	if (rc)
		return rc;
	for (;; r->p++) {
		const char *stop = skip_plain(r->p, r->end);
		if (stop > r->p)
			last = stop;
		r->p = stop;
		if (at_eol(r))
			break;
		char c = *r->p;
		if (c == ' ' || c == '\t')
			continue;
		if (c == '#' && r->p > from && (r->p[-1] == ' ' || r->p[-1] == '\t'))
			break;
		if (c == ':' && (is_break(r->p + 1, r->end) ||
					(flow && (r->p[1] == ',' || r->p[1] == ']' || r->p[1] == '}')))) {
			if (flow)
				break;
			return yaml_reader_err(r, "\": \" inside a value; put it in quotes");
		}
		if (flow && (c == ',' || c == ']' || c == '}' || c == '[' || c == '{'))
			break;
		last = r->p + 1;
	}
	*out = (str){ from, (size_t)(last - from) };
	return 0;
}

static int read_scalar(struct yaml_reader *r, bool flow, struct yaml_node *n)
{
	char c = *r->p;

	n->kind = c == '\'' || c == '"' ? YAML_KIND_QUOTED : YAML_KIND_PLAIN;
	int rc = c == '\'' ? read_single(r, &n->s) : c == '"' ? read_double(r, &n->s) : read_plain(r, flow, &n->s);
	if (rc == 0 && n->kind == YAML_KIND_PLAIN &&
		(n->s.n == 0 || str_eq(n->s, STR("null")) || str_eq(n->s, STR("~")) || str_eq(n->s, STR("Null")) ||
			str_eq(n->s, STR("NULL"))))
		n->kind = YAML_KIND_NONE;
	return rc;
}

/* A literal "|": the lines below that are indented more than PARENT. */
static int read_literal(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node *n)
{
	char chomp = 0;
	ptrdiff_t indent = 0;

	for (r->p++; !at_eol(r) && *r->p != ' '; r->p++) {
		if ((*r->p == '-' || *r->p == '+') && !chomp)
			chomp = *r->p;
		else if (*r->p >= '1' && *r->p <= '9' && !indent)
			indent = (parent < 0 ? 0 : parent) + (*r->p - '0');
		else
			return yaml_reader_err(r, "bad header of a literal string");
	}
	skip_spaces(r);
	if (!at_eol(r))
		return yaml_reader_err(r, "unexpected text after \"|\"");
	if (r->p < r->end)
		newline(r);
	char *buf = NULL;
	size_t len = 0, cap = 0, blank = 0;
	while (r->p < r->end) {
		const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p)), *stop = nl ? nl : r->end;
		const char *text = r->p;
		while (text < stop && *text == ' ' && (!indent || text - r->p < indent))
			text++;
		if (text == stop) {
			blank++;
		} else {
			if (!indent)
				indent = text - r->p;
			if (text - r->p < indent || indent <= parent)
				break;
			size_t more = blank + (size_t)(stop - text) + 1;
			if (len + more > cap) {
				cap = (len + more) * 2;
				char *bigger = arena_new(r->strings, char, cap);
				if (len)
					memcpy(bigger, buf, len);
				buf = bigger;
			}
			memset(buf + len, '\n', blank);
			len += blank;
			blank = 0;
			memcpy(buf + len, text, (size_t)(stop - text));
			len += (size_t)(stop - text);
			buf[len++] = '\n';
		}
		r->p = stop;
		if (nl)
			newline(r);
	}
	n->kind = YAML_KIND_QUOTED;
	if (chomp == '+') {
		char *all = arena_new(r->strings, char, len + blank + 1);
		if (len)
			memcpy(all, buf, len);
		memset(all + len, '\n', blank);
		n->s = (str){ all, len + blank };
	} else {
		n->s = (str){ buf, chomp == '-' && len ? len - 1 : len };
	}
	r->p = r->p < r->end ? r->bol : r->p;
	return seek_content(r);
}

/* ---- flow ---- */

static int skip_flow_space(struct yaml_reader *r)
{
	for (;;) {
		skip_spaces(r);
		if (r->p < r->end && *r->p == '#' && r->p > r->bol && (r->p[-1] == ' ' || r->p[-1] == '\t')) {
			while (!at_eol(r))
				r->p++;
		}
		if (r->p == r->end)
			return yaml_reader_err(r, "the file ends inside \"{\" or \"[\"");
		if (*r->p != '\n')
			return 0;
		newline(r);
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
		if (*r->p == '?' && is_break(r->p + 1, r->end))
			return yaml_reader_err(r, "\"? \" is not supported inside \"{\"");
		if ((rc = read_scalar(r, true, &key)) || (rc = skip_flow_space(r)))
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
		return read_scalar(r, true, n);
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
		return read_literal(r, parent, *out);
	}
	if (*r->p == '{' || *r->p == '[') {
		rc = read_flow(r, out);
	} else {
		*out = node_new(r, YAML_KIND_NONE);
		rc = read_scalar(r, false, *out);
	}
	if (rc == 0)
		rc = end_line(r);
	if (rc == 0 && r->indent > parent)
		return yaml_reader_err(r, "unexpected indentation (a string over several lines must be quoted)");
	return rc;
}

/* Whether the line at p holds "key:": quoted, or plain up to a colon and a break. */
static bool is_key(const struct yaml_reader *r)
{
	const char *p = r->p;

	if (*p == '?' && is_break(p + 1, r->end))
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
		return p < r->end && *p == ':' && is_break(p + 1, r->end);
	}
	if (*p == '{' || *p == '[')
		return false;
	for (; (p = skip_plain(p, r->end)) < r->end && *p != '\n'; p++) {
		if (*p == ':' && is_break(p + 1, r->end))
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
	int rc = refuse_indicator(r);

	if (rc)
		return rc;
	for (;; r->p++) {
		r->p = skip_plain(r->p, r->end);
		if (at_eol(r) || (*r->p == '#' && r->p > from && r->p[-1] == ' '))
			return yaml_reader_err(r, "expected \"key: value\"");
		if (*r->p == ':' && is_break(r->p + 1, r->end))
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
		return read_single(r, key);
	if (*r->p == '"')
		return read_double(r, key);
	if (*r->p == '{' || *r->p == '[')
		return yaml_reader_err(r, "a collection as a key is not supported");
	return read_plain_key(r, key);
}

static int read_explicit_key(struct yaml_reader *r, ptrdiff_t indent, str *key)
{
	struct yaml_node n = { 0 };

	r->p++;
	skip_spaces(r);
	if (at_eol(r) || *r->p == '{' || *r->p == '[' || *r->p == '|')
		return yaml_reader_err(r, "expected a key after \"?\"");
	int rc = read_scalar(r, false, &n);
	*key = n.s;
	if (rc == 0)
		rc = end_line(r);
	if (rc == 0 && (r->indent != indent || *r->p != ':' || !is_break(r->p + 1, r->end)))
		return yaml_reader_err(r, "expected \": \" after a \"? \" key");
	return rc;
}

int yaml_reader_key(struct yaml_reader *r, ptrdiff_t indent, str *key, uint32_t *line)
{
	if (r->indent < indent)
		return 0;
	if (r->indent > indent)
		return yaml_reader_err(r, "unexpected indentation");
	if (is_dash(r))
		return yaml_reader_err(r, "a list item where a key is expected");
	*line = r->line;
	bool explicit_key = *r->p == '?' && is_break(r->p + 1, r->end);
	int rc = explicit_key ? read_explicit_key(r, indent, key) : read_key_text(r, key);
	if (rc)
		return rc;
	skip_spaces(r);
	if (r->p == r->end || *r->p != ':' || !is_break(r->p + 1, r->end))
		return yaml_reader_err(r, "expected \": \" after a key");
	r->p++;
	skip_spaces(r);
	if (explicit_key && !at_eol(r) && *r->p != '#')
		r->indent = r->p - r->bol; /* the value may be a block on this line */
	else if (at_eol(r) || *r->p == '#')
		rc = end_line(r);
	else
		r->indent = -2; /* the value is on this line */
	return rc ? rc : 1;
}

int yaml_reader_open(struct yaml_reader *r, ptrdiff_t indent, ptrdiff_t *inner)
{
	if (r->indent <= indent || is_dash(r) || !is_key(r))
		return 0;
	*inner = r->indent;
	return 1;
}

int yaml_reader_value(struct yaml_reader *r, ptrdiff_t indent, struct yaml_node **out)
{
	if (r->indent == -2)
		return read_inline(r, indent, out);
	if (r->indent > indent || (r->indent == indent && is_dash(r)))
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
	while (r->indent == indent && is_dash(r)) {
		r->p++;
		skip_spaces(r);
		if (at_eol(r) || *r->p == '#') {
			if ((rc = end_line(r)))
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
	if (is_dash(r)) {
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
	return seek_content(r);
}

int yaml_tree_read(struct yaml_node **out, str text, str path, struct arena *a, struct err *e)
{
	struct yaml_reader r = { .path = path, .strings = a, .nodes = a, .e = e };
	int rc = yaml_check_utf8(text, path, e);

	if (rc || (rc = yaml_reader_start(&r, text, 1)))
		return rc;
	if (r.indent < 0) {
		*out = node_new(&r, YAML_KIND_NONE);
		return 0;
	}
	struct yaml_node *n;
	if ((rc = read_block(&r, -1, &n)))
		return rc;
	if (r.indent >= 0)
		return yaml_reader_err(&r, "unexpected text");
	*out = n;
	return 0;
}

/* Bytes of the character at P, or 0. RFC 3629. */
static size_t utf8_len(const uint8_t *p, const uint8_t *end)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (n == 0 || (size_t)(end - p) < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
		(p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

int yaml_check_utf8(str text, str path, struct err *e)
{
	const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;

	while (p < end) {
		uint64_t w;
		while ((size_t)(end - p) >= 8 && (memcpy(&w, p, 8), (w & 0x8080808080808080u) == 0))
			p += 8;
		if (p == end)
			break;
		size_t n = utf8_len(p, end);
		if (n == 0) {
			unsigned line = 1;
			for (const uint8_t *q = (const uint8_t *)text.p; q < p; q++)
				line += *q == '\n';
			return err_set(e, ERR_PARSE, STR_FMT ":%u: not UTF-8", STR_ARG(path), line);
		}
		p += n;
	}
	return 0;
}
