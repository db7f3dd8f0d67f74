#include "yaml_scan.h"
#include <stdarg.h>
#include <stdio.h>

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
/* ---- lines ---- */

int yaml_seek_content(struct yaml_reader *r)
{
	for (;;) {
		while (r->p < r->end && *r->p == ' ')
			r->p++;
		if (r->p == r->end) {
			r->indent = -1;
			return 0;
		}
		const char *text = r->p;
		yaml_skip_spaces(r);
		if (yaml_at_eol(r) || *r->p == '#') {
			const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
			r->p = nl ? nl : r->end;
			if (nl)
				yaml_newline(r);
			continue;
		}
		if (r->p != text)
			return yaml_reader_err(r, "a tab may not be used for indentation");
		r->indent = r->p - r->bol;
		return 0;
	}
}

int yaml_end_line(struct yaml_reader *r)
{
	const char *was = r->p;

	yaml_skip_spaces(r);
	if (r->p < r->end && *r->p == '#' && (r->p > was || r->p == r->bol)) {
		const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
		r->p = nl ? nl : r->end;
	}
	if (!yaml_at_eol(r))
		return yaml_reader_err(r, "unexpected text after a value");
	if (r->p < r->end)
		yaml_newline(r);
	return yaml_seek_content(r);
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

int yaml_read_single(struct yaml_reader *r, str *out)
{
	const char *from = ++r->p;
	bool doubled = false;

	for (;; r->p++) {
		if (yaml_at_eol(r))
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

int yaml_read_double(struct yaml_reader *r, str *out)
{
	const char *from = ++r->p;

	while (!yaml_at_eol(r) && *r->p != '"') {
		if (*r->p == '\\' && r->p + 1 < r->end && r->p[1] != '\n')
			r->p++;
		r->p++;
	}
	if (yaml_at_eol(r))
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

int yaml_refuse_indicator(struct yaml_reader *r)
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
		if (yaml_is_break(r->p + 1, r->end))
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

const char *yaml_skip_plain(const char *p, const char *end)
{
	while (p < end && !plain_stop[(uint8_t)*p])
		p++;
	return p;
}

/* To the end of the line, a comment, or in flow a delimiter. A ": " inside is an error of nesting. */
static int read_plain(struct yaml_reader *r, bool flow, str *out)
{
	const char *from = r->p, *last = r->p;
	int rc = yaml_refuse_indicator(r);

	if (rc)
		return rc;
	for (;; r->p++) {
		const char *stop = yaml_skip_plain(r->p, r->end);
		if (stop > r->p)
			last = stop;
		r->p = stop;
		if (yaml_at_eol(r))
			break;
		char c = *r->p;
		if (c == ' ' || c == '\t')
			continue;
		if (c == '#' && r->p > from && (r->p[-1] == ' ' || r->p[-1] == '\t'))
			break;
		if (c == ':' && (yaml_is_break(r->p + 1, r->end) ||
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

int yaml_read_scalar(struct yaml_reader *r, bool flow, struct yaml_node *n)
{
	char c = *r->p;

	n->kind = c == '\'' || c == '"' ? YAML_KIND_QUOTED : YAML_KIND_PLAIN;
	int rc = c == '\''  ? yaml_read_single(r, &n->s)
		 : c == '"' ? yaml_read_double(r, &n->s)
			    : read_plain(r, flow, &n->s);
	if (rc == 0 && n->kind == YAML_KIND_PLAIN &&
		(n->s.n == 0 || str_eq(n->s, STR("null")) || str_eq(n->s, STR("~")) || str_eq(n->s, STR("Null")) ||
			str_eq(n->s, STR("NULL"))))
		n->kind = YAML_KIND_NONE;
	return rc;
}

/* A literal while it is read: what it has so far, each line with its end, and how many empty lines follow that. */
struct literal {
	char chomp;       /* '-', '+' or 0 */
	ptrdiff_t indent; /* of its lines; 0: the first one says it */
	char *p;
	size_t n, cap, blank;
};

/* What stands behind the "|": how the end is chomped, and the indent, both optional. */
static int literal_header(struct yaml_reader *r, struct literal *l, ptrdiff_t parent)
{
	for (r->p++; !yaml_at_eol(r) && *r->p != ' '; r->p++) {
		if ((*r->p == '-' || *r->p == '+') && !l->chomp)
			l->chomp = *r->p;
		else if (*r->p >= '1' && *r->p <= '9' && !l->indent)
			l->indent = (parent < 0 ? 0 : parent) + (*r->p - '0');
		else
			return yaml_reader_err(r, "bad header of a literal string");
	}
	yaml_skip_spaces(r);
	if (!yaml_at_eol(r))
		return yaml_reader_err(r, "unexpected text after \"|\"");
	if (r->p < r->end)
		yaml_newline(r);
	return 0;
}

/* LINE, without its end, behind the empty lines before it. */
static void literal_add(struct yaml_reader *r, struct literal *l, str line)
{
	size_t more = l->blank + line.n + 1;

	if (l->n + more > l->cap) {
		l->cap = (l->n + more) * 2;
		char *bigger = arena_new(r->strings, char, l->cap);
		if (l->n)
			memcpy(bigger, l->p, l->n);
		l->p = bigger;
	}
	memset(l->p + l->n, '\n', l->blank);
	l->n += l->blank;
	l->blank = 0;
	memcpy(l->p + l->n, line.p, line.n);
	l->n += line.n;
	l->p[l->n++] = '\n';
}

static void literal_lines(struct yaml_reader *r, struct literal *l, ptrdiff_t parent)
{
	while (r->p < r->end) {
		const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p)), *stop = nl ? nl : r->end;
		const char *text = r->p;

		while (text < stop && *text == ' ' && (!l->indent || text - r->p < l->indent))
			text++;
		if (text == stop) {
			l->blank++;
		} else {
			if (!l->indent)
				l->indent = text - r->p;
			if (text - r->p < l->indent || l->indent <= parent)
				return;
			literal_add(r, l, (str){ text, (size_t)(stop - text) });
		}
		r->p = stop;
		if (nl)
			yaml_newline(r);
	}
}

/* Empty lines at the end stay with "+"; with "-" the last line has no end. */
static str literal_chomped(const struct yaml_reader *r, const struct literal *l)
{
	if (l->chomp != '+')
		return (str){ l->p, l->chomp == '-' && l->n ? l->n - 1 : l->n };
	char *all = arena_new(r->strings, char, l->n + l->blank + 1);
	if (l->n)
		memcpy(all, l->p, l->n);
	memset(all + l->n, '\n', l->blank);
	return (str){ all, l->n + l->blank };
}

int yaml_read_literal(struct yaml_reader *r, ptrdiff_t parent, struct yaml_node *n)
{
	struct literal l = { 0 };
	int rc = literal_header(r, &l, parent);

	if (rc < 0)
		return rc;
	literal_lines(r, &l, parent);
	n->kind = YAML_KIND_QUOTED;
	n->s = literal_chomped(r, &l);
	r->p = r->p < r->end ? r->bol : r->p;
	return yaml_seek_content(r);
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
		size_t n = str_utf8(text, (size_t)(p - (const uint8_t *)text.p));
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
