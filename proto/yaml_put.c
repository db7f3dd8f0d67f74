#include "yaml_put.h"
#include "yaml_style.h"
#include <stdlib.h>

/* ---- scalars ---- */

static void put_single(struct buf *b, str s)
{
	buf_addc(b, '\'');
	for (size_t i = 0; i < s.n; i++) {
		buf_addc(b, s.p[i]);
		if (s.p[i] == '\'')
			buf_addc(b, '\'');
	}
	buf_addc(b, '\'');
}

static const char *escape_of(uint32_t c)
{
	switch (c) {
	case 0:
		return "\\0";
	case 7:
		return "\\a";
	case 8:
		return "\\b";
	case 9:
		return "\\t";
	case 10:
		return "\\n";
	case 11:
		return "\\v";
	case 12:
		return "\\f";
	case 13:
		return "\\r";
	case 27:
		return "\\e";
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case 0x85:
		return "\\N";
	case 0xA0:
		return "\\_";
	case 0x2028:
		return "\\L";
	case 0x2029:
		return "\\P";
	default:
		return NULL;
	}
}

static void put_double(struct buf *b, str s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n;) {
		size_t at = i;
		uint32_t c = yaml_next_char(s, &i);
		const char *esc = escape_of(c);
		if (esc)
			buf_add(b, str_of(esc));
		else if (yaml_is_printable(c))
			buf_add(b, (str){ s.p + at, i - at });
		else if (c <= 0xFF)
			buf_printf(b, "\\x%02X", c);
		else if (c <= 0xFFFF)
			buf_printf(b, "\\u%04X", c);
		else
			buf_printf(b, "\\U%08X", c);
	}
	buf_addc(b, '"');
}

void yaml_put_indent(struct buf *b, unsigned level)
{
	memset(buf_reserve(b, 2 * (size_t)level), ' ', 2 * (size_t)level);
	b->n += 2 * (size_t)level;
}

/* "|", how to read it, and the lines; the last line's break belongs to what follows. */
static void put_literal(struct buf *b, str s, unsigned level)
{
	size_t first = 0;
	bool clip = s.p[s.n - 1] == '\n';

	while (first < s.n && s.p[first] == '\n')
		first++;
	buf_addc(b, '|');
	if (first < s.n && s.p[first] == ' ')
		buf_addc(b, '2');
	if (clip && (s.n == 1 || s.p[s.n - 2] == '\n'))
		buf_addc(b, '+');
	else if (!clip)
		buf_addc(b, '-');
	buf_addc(b, '\n');
	if (clip)
		s.n--;
	for (size_t i = 0; i < s.n;) {
		size_t nl = str_find(s, '\n', i), stop = nl == SIZE_MAX ? s.n : nl;
		if (stop > i)
			yaml_put_indent(b, level ? level : 1);
		buf_add(b, (str){ s.p + i, stop - i });
		if (nl != SIZE_MAX)
			buf_addc(b, '\n');
		i = stop + 1;
	}
}

void yaml_put_scalar(struct buf *b, str s, unsigned level, bool one_line, bool in_block)
{
	if (s.n == 0) {
		buf_add(b, STR("''"));
		return;
	}
	switch (yaml_style_of(s, one_line, in_block)) {
	case YAML_STYLE_PLAIN:
		buf_add(b, s);
		break;
	case YAML_STYLE_SINGLE:
		put_single(b, s);
		break;
	case YAML_STYLE_DOUBLE:
		put_double(b, s);
		break;
	case YAML_STYLE_LITERAL:
		put_literal(b, s, level);
		break;
	}
}

static size_t utf16_units(str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];
		n += (c & 0xC0) != 0x80;
		n += c >= 0xF0;
	}
	return n;
}

bool yaml_put_key(struct buf *b, str key, unsigned level)
{
	size_t at = b->n;

	yaml_put_scalar(b, key, level + 1, true, true);
	bool big = b->n - at > 1024 && utf16_units((str){ b->p + at, b->n - at }) > 1024;
	if (big) {
		buf_reserve(b, 2);
		memmove(b->p + at + 2, b->p + at, b->n - at);
		memcpy(b->p + at, "? ", 2);
		b->n += 2;
		buf_addc(b, '\n');
		yaml_put_indent(b, level);
	}
	buf_addc(b, ':');
	return big;
}

/* ---- trees ---- */

static bool is_typed_other(const struct yaml_node *resolution)
{
	const struct yaml_node *type = yaml_get(resolution, STR("type"));

	return type && (str_eq(type->s, STR("variations")) || str_eq(type->s, STR("binary")));
}

bool yaml_key_flows(str key)
{
	return str_eq(key, STR("cpu")) || str_eq(key, STR("engines")) || str_eq(key, STR("os")) ||
	       str_eq(key, STR("libc"));
}

bool yaml_key_spreads(str key)
{
	return str_eq(key, STR("packages")) || str_eq(key, STR("importers")) || str_eq(key, STR("snapshots"));
}

static bool is_one_line(const struct yaml_node *n, str key)
{
	return yaml_key_flows(key) ||
	       (n->kind == YAML_KIND_MAP && str_eq(key, STR("resolution")) && !is_typed_other(n));
}

/* The members in order; free() it. */
static const struct yaml_node **sorted_members(const struct yaml_node *n, yaml_key_cmp *cmp)
{
	const struct yaml_node **m = xcalloc(n->n, sizeof(const struct yaml_node *)); /* NOLINT: pointers are meant */
	size_t k = 0;

	for (const struct yaml_node *c = n->child; c; c = c->next) {
		size_t at = k++;
		for (; n->kind == YAML_KIND_MAP && at > 0 && cmp(m[at - 1]->key, c->key) > 0; at--)
			m[at] = m[at - 1];
		m[at] = c;
	}
	return m;
}

static void put_leaf(struct buf *b, const struct yaml_node *n, unsigned level, bool one_line, bool in_block)
{
	if (n->kind == YAML_KIND_NONE)
		buf_add(b, STR("null"));
	else if (n->kind == YAML_KIND_PLAIN && yaml_is_typed(n->s))
		buf_add(b, n->s); /* a number or a truth value stays one */
	else
		yaml_put_scalar(b, n->s, level, one_line, in_block);
}

static void put_flow(struct buf *b, const struct yaml_node *n, unsigned level, bool one_line, yaml_key_cmp *cmp)
{
	if (n->kind != YAML_KIND_MAP && n->kind != YAML_KIND_SEQ) {
		put_leaf(b, n, level, one_line, false);
		return;
	}
	bool map = n->kind == YAML_KIND_MAP;
	const struct yaml_node **m = sorted_members(n, cmp);
	buf_addc(b, map ? '{' : '[');
	for (size_t i = 0; i < n->n; i++) {
		if (i)
			buf_add(b, STR(", "));
		if (map) {
			yaml_put_scalar(b, m[i]->key, level, one_line, false);
			buf_add(b, STR(": "));
		}
		put_flow(b, m[i], level, map && one_line, cmp);
	}
	buf_addc(b, map ? '}' : ']');
	free((void *)m);
}

static void put_node(
	struct buf *b, const struct yaml_node *n, str key, unsigned level, bool compact, yaml_key_cmp *cmp);

static void put_members(
	struct buf *b, const struct yaml_node *n, str key, unsigned level, bool compact, yaml_key_cmp *cmp)
{
	const struct yaml_node **m = sorted_members(n, cmp);
	bool spread = n->kind == YAML_KIND_MAP && yaml_key_spreads(key);

	for (size_t i = 0; i < n->n; i++) {
		if (i || !compact) {
			buf_add(b, spread ? STR("\n\n") : STR("\n"));
			yaml_put_indent(b, level);
		}
		if (n->kind == YAML_KIND_MAP) {
			bool big = yaml_put_key(b, m[i]->key, level);
			put_node(b, m[i], m[i]->key, level + 1, big, cmp);
		} else {
			buf_addc(b, '-');
			put_node(b, m[i], STR_NONE, level + 1, true, cmp);
		}
	}
	free((void *)m);
}

/* After "key:" or "-": the space or line break and the node, whose own members stand LEVEL deep. */
static void put_node(struct buf *b, const struct yaml_node *n, str key, unsigned level, bool compact, yaml_key_cmp *cmp)
{
	bool one_line = is_one_line(n, key), collection = n->kind == YAML_KIND_MAP || n->kind == YAML_KIND_SEQ;

	if (!collection) {
		buf_addc(b, ' ');
		put_leaf(b, n, level, false, true);
	} else if (one_line || n->n == 0) {
		buf_addc(b, ' ');
		put_flow(b, n, level, one_line, cmp);
	} else {
		if (compact)
			buf_addc(b, ' ');
		put_members(b, n, key, level, compact, cmp);
	}
}

void yaml_put_value(struct buf *b, const struct yaml_node *n, str key, unsigned level, yaml_key_cmp *cmp)
{
	put_node(b, n, key, level + 1, false, cmp);
}
