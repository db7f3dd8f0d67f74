#include "yaml_style.h"

uint32_t yaml_next_char(str s, size_t *i)
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

bool yaml_is_printable(uint32_t c)
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
	return yaml_is_printable(c) && c != ' ' && !(c < 0x80 && strchr("-?:,[]{}#&*!|=>'\"%@`", (int)c));
}

/* Whether C may follow PREV (0: nothing) in a plain scalar. */
static bool plain_char(uint32_t c, uint32_t prev, bool in_block)
{
	bool text = yaml_is_printable(c) && c != ' ', after_text = prev && yaml_is_printable(prev) && prev != ' ';

	if (c == '#')
		return after_text;
	if (prev == ':' && text)
		return true;
	return yaml_is_printable(c) && (in_block || !is_flow_indicator(c)) && prev != ':';
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

bool yaml_is_typed(str s)
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
#define IS(c) [c] = true
static const bool always_plain[256] = { IS('A'), IS('B'), IS('C'), IS('D'), IS('E'), IS('F'), IS('G'), IS('H'), IS('I'),
	IS('J'), IS('K'), IS('L'), IS('M'), IS('N'), IS('O'), IS('P'), IS('Q'), IS('R'), IS('S'), IS('T'), IS('U'),
	IS('V'), IS('W'), IS('X'), IS('Y'), IS('Z'), IS('a'), IS('b'), IS('c'), IS('d'), IS('e'), IS('f'), IS('g'),
	IS('h'), IS('i'), IS('j'), IS('k'), IS('l'), IS('m'), IS('n'), IS('o'), IS('p'), IS('q'), IS('r'), IS('s'),
	IS('t'), IS('u'), IS('v'), IS('w'), IS('x'), IS('y'), IS('z'), IS('0'), IS('1'), IS('2'), IS('3'), IS('4'),
	IS('5'), IS('6'), IS('7'), IS('8'), IS('9'), IS('.'), IS('_'), IS('-'), IS('/'), IS('+'), IS('('), IS(')'),
	IS('@'), IS('='), IS('^'), IS('~'), IS('*'), IS('<'), IS('>'), IS('|'), IS('&'), IS('$'), IS(';') };
#undef IS

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

enum yaml_style yaml_style_of(str s, bool one_line, bool in_block)
{
	size_t i = plain_run(s);
	uint32_t prev = 0;

	bool plain = plain_first(yaml_next_char(s, &(size_t){ 0 }));
	if (i < s.n) {
		bool lines = false;
		for (i = 0; i < s.n;) {
			uint32_t c = yaml_next_char(s, &i);
			if (c == '\n' && !one_line)
				lines = true;
			else if (!yaml_is_printable(c))
				return YAML_STYLE_DOUBLE;
			plain = plain && plain_char(c, prev, in_block);
			prev = c;
		}
		if (lines)
			return YAML_STYLE_LITERAL;
		plain = plain && prev != ' ' && prev != ':';
	}
	return plain && !yaml_is_typed(s) ? YAML_STYLE_PLAIN : YAML_STYLE_SINGLE;
}
