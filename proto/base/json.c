#include "base/json.h"
#include <stdio.h>

#define JSON_MAX_DEPTH 64u
#define JSON_MAX_BYTES ((size_t)64 << 20)
/* From here on an object finds its duplicate keys with a table. */
#define JSON_MAP_KEYS 16u

struct member {
	str key;
	struct json value;
};
/* What is open lies on one stack; when an array or object closes, its part of the stack moves into the arena. */
struct parser {
	str text;
	size_t at, line_start;
	uint32_t line, depth;
	struct arena *a;
	struct err *e;
	VEC(struct member) stack;
};

static int fail_at(struct parser *p, size_t at, const char *what)
{
	unsigned line = p->line;
	size_t column = at - p->line_start + 1;

	if (at >= p->text.n)
		return err_set(
			p->e, ERR_PARSE, "line %u, column %zu: %s, found the end of the file", line, column, what);
	unsigned char c = (unsigned char)p->text.p[at];
	if (c < 0x20 || c >= 0x7F)
		return err_set(
			p->e, ERR_PARSE, "line %u, column %zu: %s, found the byte 0x%02x", line, column, what, c);
	return err_set(p->e, ERR_PARSE, "line %u, column %zu: %s, found '%c'", line, column, what, c);
}

static int fail(struct parser *p, const char *what)
{
	return fail_at(p, p->at, what);
}

static void skip_blank(struct parser *p)
{
	for (; p->at < p->text.n; p->at++) {
		char c = p->text.p[p->at];
		if (c == '\n') {
			p->line++;
			p->line_start = p->at + 1;
		} else if (c != ' ' && c != '\t' && c != '\r') {
			return;
		}
	}
}

static bool eat(struct parser *p, char c)
{
	if (p->at >= p->text.n || p->text.p[p->at] != c)
		return false;
	p->at++;
	return true;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xC0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*to++ = (char)(0xE0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	} else {
		*to++ = (char)(0xF0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3F));
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	}
	return to;
}

/* The four hex digits after "\u", which start at AT; -1 when they are none. */
static int32_t hex4(const struct parser *p, size_t at)
{
	uint32_t v = 0;

	if (p->text.n - at < 4)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		char c = p->text.p[i];
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return (int32_t)v;
}

/* p->at is behind "\u". Half of a surrogate pair without the other half has no UTF-8: it becomes U+FFFD, which is
 * what JavaScript writes for it too. */
static int read_unicode(struct parser *p, char **to)
{
	int32_t hi = hex4(p, p->at);

	if (hi < 0)
		return fail_at(p, p->at - 2, "\\u needs four hex digits");
	p->at += 4;
	uint32_t c = (uint32_t)hi;
	if (c >= 0xD800 && c < 0xDC00 && p->text.n - p->at >= 6 && p->text.p[p->at] == '\\' &&
		p->text.p[p->at + 1] == 'u') {
		int32_t lo = hex4(p, p->at + 2);
		if (lo >= 0xDC00 && lo < 0xE000) {
			p->at += 6;
			c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)lo - 0xDC00);
		}
	}
	if (c >= 0xD800 && c < 0xE000)
		c = 0xFFFD;
	*to = put_utf8(*to, c);
	return 0;
}

static int read_escape(struct parser *p, char **to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	char c = p->at < p->text.n ? p->text.p[p->at] : 0;

	if (c == 'u') {
		p->at++;
		return read_unicode(p, to);
	}
	const char *hit = c ? strchr(from, c) : NULL;
	if (!hit)
		return fail(p, "expected an escape after \\");
	*(*to)++ = into[hit - from];
	p->at++;
	return 0;
}

/* Finds the closing quote from p->at on and checks what is between. */
static int string_end(struct parser *p, size_t *end, bool *plain)
{
	for (size_t i = p->at; i < p->text.n;) {
		unsigned char c = (unsigned char)p->text.p[i];
		if (c == '"') {
			*end = i;
			return 0;
		}
		if (c < 0x20)
			return fail_at(p, i, "a string may not hold a control character unescaped");
		if (c == '\\') {
			*plain = false;
			i += i + 1 < p->text.n && (unsigned char)p->text.p[i + 1] < 0x80 ? 2 : 1;
			continue;
		}
		size_t n = c < 0x80 ? 1 : str_utf8(p->text, i);
		if (n == 0)
			return fail_at(p, i, "a string is not UTF-8");
		i += n;
	}
	return fail_at(p, p->text.n, "a string has no closing quote");
}

/* p->at is behind the opening quote. Decoding never makes a string longer. */
static int read_string(struct parser *p, str *out)
{
	size_t end = p->at;
	bool plain = true;

	if (string_end(p, &end, &plain) < 0)
		return ERR_PARSE;
	if (plain) {
		*out = arena_str(p->a, (str){ p->text.p + p->at, end - p->at });
		p->at = end + 1;
		return 0;
	}
	char *buf = arena_new(p->a, char, end - p->at + 1), *to = buf;
	while (p->at < end) {
		char c = p->text.p[p->at++];
		if (c != '\\')
			*to++ = c;
		else if (read_escape(p, &to) < 0)
			return ERR_PARSE;
	}
	p->at = end + 1;
	*out = (str){ buf, (size_t)(to - buf) };
	return 0;
}

static bool eat_digits(struct parser *p)
{
	size_t from = p->at;

	while (p->at < p->text.n && p->text.p[p->at] >= '0' && p->text.p[p->at] <= '9')
		p->at++;
	return p->at > from;
}

static int read_number(struct parser *p, struct json *out)
{
	size_t from = p->at;

	eat(p, '-');
	if (!eat(p, '0') && !eat_digits(p))
		return fail(p, "expected a digit");
	if (eat(p, '.') && !eat_digits(p))
		return fail(p, "expected a digit after the decimal point");
	if (eat(p, 'e') || eat(p, 'E')) {
		if (!eat(p, '+'))
			eat(p, '-');
		if (!eat_digits(p))
			return fail(p, "expected a digit in the exponent");
	}
	out->type = JSON_NUMBER;
	out->s = arena_str(p->a, (str){ p->text.p + from, p->at - from });
	return 0;
}

static int read_word(struct parser *p, struct json *out)
{
	static const struct {
		str word;
		enum json_type type;
	} words[] = { { STR_INIT("null"), JSON_NULL }, { STR_INIT("true"), JSON_TRUE },
		{ STR_INIT("false"), JSON_FALSE } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (str_starts(str_from(p->text, p->at), words[i].word)) {
			p->at += words[i].word.n;
			out->type = words[i].type;
			return 0;
		}
	}
	return fail(p, "expected a value");
}

/* Moves the stack from BASE on into the arena, as the members of OUT. */
static void close_list(struct parser *p, size_t base, struct json *out)
{
	size_t n = p->stack.n - base;

	out->n = (uint32_t)n; /* fewer than the text has bytes */
	out->child = arena_new(p->a, struct json, n);
	out->key = out->type == JSON_OBJECT ? arena_new(p->a, str, n) : NULL;
	for (size_t i = 0; i < n; i++) {
		out->child[i] = p->stack.p[base + i].value;
		if (out->key)
			out->key[i] = p->stack.p[base + i].key;
	}
	p->stack.n = base;
}

/* Where KEY lies in the open object that starts at BASE, or SIZE_MAX; then it is about to be pushed. */
static size_t find_key(struct parser *p, struct map *seen, size_t base, str key)
{
	size_t n = p->stack.n - base;

	if (n < JSON_MAP_KEYS) {
		for (size_t i = base; i < p->stack.n; i++) {
			if (str_eq(p->stack.p[i].key, key))
				return i;
		}
		return SIZE_MAX;
	}
	for (size_t i = seen->n; i < n; i++)
		map_set(seen, p->stack.p[base + i].key, (uint32_t)i);
	uint32_t hit = map_get(seen, key);
	return hit == MAP_NONE ? SIZE_MAX : base + hit;
}

static int read_value(struct parser *p, struct json *out);

static int read_member(struct parser *p, struct map *seen, size_t base)
{
	struct member m = { 0 };

	if (!eat(p, '"'))
		return fail(p, "expected a property name in double quotes");
	if (read_string(p, &m.key) < 0)
		return ERR_PARSE;
	skip_blank(p);
	if (!eat(p, ':'))
		return fail(p, "expected ':' after a property name");
	if (read_value(p, &m.value) < 0)
		return ERR_PARSE;
	size_t twin = find_key(p, seen, base, m.key);
	if (twin == SIZE_MAX)
		*vec_add(&p->stack) = m;
	else
		p->stack.p[twin].value = m.value;
	return 0;
}

static int read_object(struct parser *p, struct json *out)
{
	AUTO(map_release) struct map seen = MAP_INIT;
	size_t base = p->stack.n;

	out->type = JSON_OBJECT;
	skip_blank(p);
	if (!eat(p, '}')) {
		for (;;) {
			skip_blank(p);
			if (read_member(p, &seen, base) < 0)
				return ERR_PARSE;
			skip_blank(p);
			if (eat(p, '}'))
				break;
			if (!eat(p, ','))
				return fail(p, "expected ',' or '}' after a property");
		}
	}
	close_list(p, base, out);
	return 0;
}

static int read_array(struct parser *p, struct json *out)
{
	size_t base = p->stack.n;

	out->type = JSON_ARRAY;
	skip_blank(p);
	if (!eat(p, ']')) {
		for (;;) {
			struct member m = { 0 };
			if (read_value(p, &m.value) < 0)
				return ERR_PARSE;
			*vec_add(&p->stack) = m;
			if (eat(p, ']'))
				break;
			if (!eat(p, ','))
				return fail(p, "expected ',' or ']' after an element");
		}
	}
	close_list(p, base, out);
	return 0;
}

/* Reads one value with the blanks on both sides of it. */
static int read_value(struct parser *p, struct json *out)
{
	int rc;

	skip_blank(p);
	out->line = p->line;
	out->col = (uint32_t)(p->at - p->line_start + 1);
	if (p->at >= p->text.n)
		return fail(p, "expected a value");
	if (p->depth == JSON_MAX_DEPTH)
		return err_set(p->e, ERR_TOOBIG, "line %u, column %u: nested deeper than %u levels", out->line,
			out->col, JSON_MAX_DEPTH);
	p->depth++;
	char c = p->text.p[p->at];
	if (eat(p, '{')) {
		rc = read_object(p, out);
	} else if (eat(p, '[')) {
		rc = read_array(p, out);
	} else if (eat(p, '"')) {
		out->type = JSON_STRING;
		rc = read_string(p, &out->s);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		rc = read_number(p, out);
	} else {
		rc = read_word(p, out);
	}
	p->depth--;
	skip_blank(p);
	return rc;
}

int json_parse(struct json **out, str text, struct arena *a, struct err *e)
{
	struct parser p = { .text = text, .line = 1, .a = a, .e = e };
	struct json *root = arena_new(a, struct json, 1);

	if (text.n > JSON_MAX_BYTES)
		return err_set(e, ERR_TOOBIG, "JSON of %zu bytes is over the limit of %zu", text.n, JSON_MAX_BYTES);
	if (str_starts(text, STR("\xEF\xBB\xBF")))
		p.at = p.line_start = 3;
	int rc = read_value(&p, root);
	if (rc == 0 && p.at < text.n)
		rc = fail(&p, "expected nothing after the value");
	vec_release(&p.stack);
	if (rc < 0)
		return e->code;
	*out = root;
	return 0;
}

const struct json *json_get(const struct json *j, const char *key)
{
	if (!json_is(j, JSON_OBJECT))
		return NULL;
	for (uint32_t i = 0; i < j->n; i++) {
		if (str_eq(j->key[i], str_of(key)))
			return &j->child[i];
	}
	return NULL;
}

str json_str(const struct json *j)
{
	return json_is(j, JSON_STRING) ? j->s : STR_NONE;
}

bool json_is(const struct json *j, enum json_type t)
{
	return j && j->type == t;
}

void json_put_str(struct buf *b, str s)
{
	static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";

	buf_addc(b, '"');
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		const char *hit = c ? strchr(from, c) : NULL;
		size_t n = c < 0x80 ? 1 : str_utf8(s, i);
		if (hit) {
			buf_addc(b, '\\');
			buf_addc(b, into[hit - from]);
		} else if (c < 0x20) {
			buf_printf(b, "\\u%04x", c);
		} else if (n == 0) {
			buf_add(b, STR("\xEF\xBF\xBD"));
		} else {
			buf_add(b, (str){ s.p + i, n });
		}
		i += n ? n : 1;
	}
	buf_addc(b, '"');
}

void json_put(struct buf *b, const struct json *j)
{
	switch (j->type) {
	case JSON_STRING:
		json_put_str(b, j->s);
		return;
	case JSON_NUMBER:
		buf_add(b, j->s);
		return;
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		buf_add(b, j->type == JSON_TRUE ? STR("true") : j->type == JSON_FALSE ? STR("false") : STR("null"));
		return;
	case JSON_ARRAY:
	case JSON_OBJECT:
		buf_addc(b, j->type == JSON_ARRAY ? '[' : '{');
		for (uint32_t i = 0; i < j->n; i++) {
			if (i)
				buf_addc(b, ',');
			if (j->type == JSON_OBJECT) {
				json_put_str(b, j->key[i]);
				buf_addc(b, ':');
			}
			json_put(b, &j->child[i]);
		}
		buf_addc(b, j->type == JSON_ARRAY ? ']' : '}');
	}
}
