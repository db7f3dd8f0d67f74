#include "yaml_put.h"
#include <stdlib.h>

/* ---- which style ---- */

/* Next code point of S at *I. Text that is no UTF-8 gives its byte as an unprintable one. */
static uint32_t next_char(str s, size_t *i)
{
	const uint8_t *p = (const uint8_t *)s.p + *i;
	size_t room = s.n - *i, n = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

	if (n == 1 || p[0] < 0xC2 || p[0] > 0xF4 || n > room) {
		*i += 1;
		return p[0];
	}
	uint32_t c = p[0] & (0xFFu >> (n + 1));
	for (size_t k = 1; k < n; k++)
		c = c << 6 | (p[k] & 63u);
	*i += n;
	return c;
}

static bool is_printable(uint32_t c)
{
	if (c < 0x80)
		return c >= 0x20 && c <= 0x7E;
	return (c >= 0xA1 && c <= 0xD7FF && c != 0x2028 && c != 0x2029) ||
	       (c >= 0xE000 && c <= 0xFFFD && c != 0xFEFF) || (c >= 0x10000 && c <= 0x10FFFF);
}

static bool is_flow_indicator(uint32_t c)
{
	return c == ',' || c == '[' || c == ']' || c == '{' || c == '}';
}

static bool plain_first(uint32_t c)
{
	return is_printable(c) && c != ' ' && !(c < 0x80 && strchr("-?:,[]{}#&*!|=>'\"%@`", (int)c));
}

/* Whether C may follow PREV (0: nothing) in a plain scalar. */
static bool plain_char(uint32_t c, uint32_t prev, bool in_block)
{
	bool text = is_printable(c) && c != ' ', after_text = prev && is_printable(prev) && prev != ' ';

	if (c == '#')
		return after_text;
	if (prev == ':' && text)
		return true;
	return is_printable(c) && (in_block || !is_flow_indicator(c)) && prev != ':';
}

static bool digits(str s, size_t *i, size_t min, size_t max)
{
	size_t n = 0;

	while (*i < s.n && n < max && s.p[*i] >= '0' && s.p[*i] <= '9') {
		++*i;
		n++;
	}
	return n >= min;
}

static bool is_digit_of(char c, int base)
{
	int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;

	return v < base;
}

/* Digits of BASE with "_" between, at least one digit, not ending in "_". */
static bool is_number_run(str s, int base)
{
	bool any = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '_')
			continue;
		if (!is_digit_of(s.p[i], base))
			return false;
		any = true;
	}
	return any && s.p[s.n - 1] != '_';
}

static str without_sign(str s)
{
	return s.n && (s.p[0] == '-' || s.p[0] == '+') ? str_from(s, 1) : s;
}

static bool is_int(str s)
{
	s = without_sign(s);
	if (s.n == 0 || s.p[0] == '_')
		return false;
	if (s.p[0] == '0' && s.n > 1) {
		if (s.p[1] == 'b' || s.p[1] == 'x' || s.p[1] == 'o')
			return is_number_run(str_from(s, 2), s.p[1] == 'b' ? 2 : s.p[1] == 'x' ? 16 : 8);
		if (s.p[1] == '_')
			return false;
	}
	return is_number_run(s, 10);
}

static size_t digit_run(str s, size_t i)
{
	while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_'))
		i++;
	return i;
}

static bool is_exponent(str s)
{
	if (s.n == 0)
		return true;
	if (s.p[0] != 'e' && s.p[0] != 'E')
		return false;
	s = without_sign(str_from(s, 1));
	size_t i = 0;
	return digits(s, &i, 1, SIZE_MAX) && i == s.n;
}

static bool one_of(str s, const char *const *names)
{
	for (; *names; names++) {
		if (str_eq(s, str_of(*names)))
			return true;
	}
	return false;
}

static bool is_float(str s)
{
	static const char *const inf[] = { ".inf", ".Inf", ".INF", NULL }, *const nan[] = { ".nan", ".NaN", ".NAN",
		NULL };
	str u = without_sign(s);

	if (one_of(u, inf) || one_of(s, nan))
		return true;
	if (u.n == 0 || s.p[s.n - 1] == '_')
		return false;
	if (u.p[0] == '.') { /* no sign here */
		size_t stop = digit_run(u, 1);
		return u.n == s.n && stop > 1 && is_exponent(str_from(u, stop));
	}
	if (u.p[0] < '0' || u.p[0] > '9')
		return false;
	size_t i = digit_run(u, 0);
	if (i < u.n && u.p[i] == '.')
		i = digit_run(u, i + 1);
	return is_exponent(str_from(u, i));
}

static size_t skip_blank(str s, size_t i)
{
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
		i++;
	return i;
}

static bool lit(str s, size_t *i, char c)
{
	if (*i >= s.n || s.p[*i] != c)
		return false;
	++*i;
	return true;
}

/* "Z", "+1", "-01:30" or nothing. */
static bool is_zone(str s, size_t i)
{
	if (i == s.n)
		return true;
	if (lit(s, &i, 'Z'))
		return i == s.n;
	if (!lit(s, &i, '+') && !lit(s, &i, '-'))
		return false;
	if (!digits(s, &i, 1, 2))
		return false;
	if (lit(s, &i, ':') && !digits(s, &i, 2, 2))
		return false;
	return i == s.n;
}

/* YAML's timestamps: a date alone has two-digit month and day. */
static bool is_timestamp(str s)
{
	size_t i = 0;

	if (!digits(s, &i, 4, 4) || !lit(s, &i, '-'))
		return false;
	size_t month = i;
	if (!digits(s, &i, 1, 2) || !lit(s, &i, '-') || !digits(s, &i, 1, 2))
		return false;
	if (i == s.n)
		return s.n == 10 && s.p[month + 2] == '-';
	size_t blank = skip_blank(s, i);
	if (blank > i)
		i = blank;
	else if (!lit(s, &i, 'T') && !lit(s, &i, 't'))
		return false;
	if (!digits(s, &i, 1, 2) || !lit(s, &i, ':') || !digits(s, &i, 2, 2) || !lit(s, &i, ':') ||
		!digits(s, &i, 2, 2))
		return false;
	if (lit(s, &i, '.'))
		digits(s, &i, 0, SIZE_MAX);
	return is_zone(s, skip_blank(s, i));
}

/* Whether a reader would take plain S for something other than a string. */
static bool is_typed(str s)
{
	static const char *const words[] = { "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False",
		"FALSE", "<<", NULL };
	char c = s.p[0];

	if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.')
		return is_int(s) || is_float(s) || is_timestamp(s);
	size_t n = c == '~' ? 1 : c == '<' ? 2 : (c | 32) == 'n' || (c | 32) == 't' ? 4 : (c | 32) == 'f' ? 5 : 0;
	return s.n == n && one_of(s, words);
}

/* Characters that are plain anywhere but perhaps first, in flow and in block. */
static const bool always_plain[256] = {
	['A'] = 1,
	['B'] = 1,
	['C'] = 1,
	['D'] = 1,
	['E'] = 1,
	['F'] = 1,
	['G'] = 1,
	['H'] = 1,
	['I'] = 1,
	['J'] = 1,
	['K'] = 1,
	['L'] = 1,
	['M'] = 1,
	['N'] = 1,
	['O'] = 1,
	['P'] = 1,
	['Q'] = 1,
	['R'] = 1,
	['S'] = 1,
	['T'] = 1,
	['U'] = 1,
	['V'] = 1,
	['W'] = 1,
	['X'] = 1,
	['Y'] = 1,
	['Z'] = 1,
	['a'] = 1,
	['b'] = 1,
	['c'] = 1,
	['d'] = 1,
	['e'] = 1,
	['f'] = 1,
	['g'] = 1,
	['h'] = 1,
	['i'] = 1,
	['j'] = 1,
	['k'] = 1,
	['l'] = 1,
	['m'] = 1,
	['n'] = 1,
	['o'] = 1,
	['p'] = 1,
	['q'] = 1,
	['r'] = 1,
	['s'] = 1,
	['t'] = 1,
	['u'] = 1,
	['v'] = 1,
	['w'] = 1,
	['x'] = 1,
	['y'] = 1,
	['z'] = 1,
	['0'] = 1,
	['1'] = 1,
	['2'] = 1,
	['3'] = 1,
	['4'] = 1,
	['5'] = 1,
	['6'] = 1,
	['7'] = 1,
	['8'] = 1,
	['9'] = 1,
	['.'] = 1,
	['_'] = 1,
	['-'] = 1,
	['/'] = 1,
	['+'] = 1,
	['('] = 1,
	[')'] = 1,
	['@'] = 1,
	['='] = 1,
	['^'] = 1,
	['~'] = 1,
	['*'] = 1,
	['<'] = 1,
	['>'] = 1,
	['|'] = 1,
	['&'] = 1,
	['$'] = 1,
	[';'] = 1,
};

enum style { STYLE_PLAIN, STYLE_SINGLE, STYLE_DOUBLE, STYLE_LITERAL };

/* How many characters from the beginning are plain wherever they stand. Most text is an integrity: eight at a time. */
static size_t plain_run(str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t i = 0;

	for (; s.n - i >= 8; i += 8) {
		const uint8_t *q = p + i;
		if (!(always_plain[q[0]] & always_plain[q[1]] & always_plain[q[2]] & always_plain[q[3]] &
			    always_plain[q[4]] & always_plain[q[5]] & always_plain[q[6]] & always_plain[q[7]]))
			break;
	}
	while (i < s.n && always_plain[p[i]])
		i++;
	return i;
}

static enum style choose_style(str s, bool one_line, bool in_block)
{
	size_t i = plain_run(s);
	uint32_t prev = 0;

	bool plain = plain_first(next_char(s, &(size_t){ 0 }));
	if (i < s.n) {
		bool lines = false;
		for (i = 0; i < s.n;) {
			uint32_t c = next_char(s, &i);
			if (c == '\n' && !one_line)
				lines = true;
			else if (!is_printable(c))
				return STYLE_DOUBLE;
			plain = plain && plain_char(c, prev, in_block);
			prev = c;
		}
		if (lines)
			return STYLE_LITERAL;
		plain = plain && prev != ' ' && prev != ':';
	}
	return plain && !is_typed(s) ? STYLE_PLAIN : STYLE_SINGLE;
}

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
		uint32_t c = next_char(s, &i);
		const char *esc = escape_of(c);
		if (esc)
			buf_add(b, str_of(esc));
		else if (is_printable(c))
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
	switch (choose_style(s, one_line, in_block)) {
	case STYLE_PLAIN:
		buf_add(b, s);
		break;
	case STYLE_SINGLE:
		put_single(b, s);
		break;
	case STYLE_DOUBLE:
		put_double(b, s);
		break;
	case STYLE_LITERAL:
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
	else if (n->kind == YAML_KIND_PLAIN && is_typed(n->s))
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

/* ---- order ---- */

static const struct ranked {
	str name;
} entry_rank[] = { { STR_INIT("resolution") }, { STR_INIT("id") }, { STR_INIT("name") }, { STR_INIT("version") },
	{ STR_INIT("engines") }, { STR_INIT("cpu") }, { STR_INIT("os") }, { STR_INIT("libc") },
	{ STR_INIT("deprecated") }, { STR_INIT("hasBin") }, { STR_INIT("prepare") }, { STR_INIT("requiresBuild") },
	{ STR_INIT("bundleDependencies") }, { STR_INIT("peerDependencies") }, { STR_INIT("peerDependenciesMeta") },
	{ STR_INIT("dependencies") }, { STR_INIT("optionalDependencies") }, { STR_INIT("transitivePeerDependencies") },
	{ STR_INIT("dev") }, { STR_INIT("optional") } },
  root_rank[] = { { STR_INIT("lockfileVersion") }, { STR_INIT("settings") }, { STR_INIT("catalogs") },
	  { STR_INIT("overrides") }, { STR_INIT("packageExtensionsChecksum") }, { STR_INIT("pnpmfileChecksum") },
	  { STR_INIT("patchedDependencies") }, { STR_INIT("importers") }, { STR_INIT("packages") } };

/* By first letter: a bit for each length that a key of either table has. Nearly all keys are names of packages and have no rank. */
static const uint32_t ranked_lengths[26] = { ['b' - 'a'] = 1u << 18,
	['c' - 'a'] = 1u << 3 | 1u << 8,
	['d' - 'a'] = 1u << 3 | 1u << 10 | 1u << 12,
	['e' - 'a'] = 1u << 7,
	['h' - 'a'] = 1u << 6,
	['i' - 'a'] = 1u << 2 | 1u << 9,
	['l' - 'a'] = 1u << 4 | 1u << 15,
	['n' - 'a'] = 1u << 4,
	['o' - 'a'] = 1u << 2 | 1u << 8 | 1u << 9 | 1u << 20,
	['p' - 'a'] = 1u << 7 | 1u << 8 | 1u << 16 | 1u << 19 | 1u << 20 | 1u << 25,
	['r' - 'a'] = 1u << 10 | 1u << 13,
	['s' - 'a'] = 1u << 8,
	['t' - 'a'] = 1u << 26,
	['v' - 'a'] = 1u << 7 };

static size_t rank_of(const struct ranked *r, size_t n, str key)
{
	unsigned letter = (unsigned char)key.p[0] - 'a';

	if (letter >= 26 || key.n >= 32 || !(ranked_lengths[letter] >> key.n & 1))
		return n;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(r[i].name, key))
			return i;
	}
	return n;
}

static int ranked_cmp(const struct ranked *r, size_t n, str a, str b)
{
	size_t ra = a.n ? rank_of(r, n, a) : n, rb = b.n ? rank_of(r, n, b) : n;

	return ra != rb ? (ra < rb ? -1 : 1) : ra < n ? 0 : str_cmp(a, b);
}

int lock_entry_cmp(str a, str b)
{
	return ranked_cmp(entry_rank, sizeof(entry_rank) / sizeof(entry_rank[0]), a, b);
}

int lock_importer_cmp(str a, str b)
{
	return ranked_cmp(root_rank, sizeof(root_rank) / sizeof(root_rank[0]), a, b);
}
