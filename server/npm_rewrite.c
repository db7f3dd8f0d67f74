#include "npm_rewrite.h"

enum { DEPTH = 64 };
struct rewrite {
	const char *p, *end, *copied; /* what lies before `copied` is in out */
	struct buf *out;
	str base, name, version;
	str key[DEPTH + 1]; /* of the member that is being read, by depth */
	char kind[DEPTH + 1];
	unsigned depth;
	struct err *e;
};

static int broken(struct rewrite *r)
{
	return err_set(
		r->e, ERR_PARSE, "the packument's JSON is broken at byte %zu of what is left", (size_t)(r->end - r->p));
}

static void skip_space(struct rewrite *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

/* At a quote: the text between, as it stands. */
static bool read_string(struct rewrite *r, str *out)
{
	const char *from = ++r->p;

	for (;;) {
		const char *q = memchr(r->p, '"', (size_t)(r->end - r->p)), *b = q;
		if (!q)
			return false;
		while (b > from && b[-1] == '\\')
			b--;
		r->p = q + 1;
		if ((q - b) % 2 == 0) {
			*out = (str){ from, (size_t)(q - from) };
			return true;
		}
	}
}

void npm_put_escaped(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			     (c != 0 && strchr("._~+-", c));
		if (plain)
			buf_addc(out, c);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

bool npm_unescape(str *out, char *to, str s)
{
	size_t k = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%') {
			int hi = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
			int lo = s.n - i > 2 ? hex_digit(s.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi * 16 + lo);
			i += 2;
		}
		if (c == 0)
			return false;
		to[k++] = c;
	}
	*out = (str){ to, k };
	return true;
}

static str unscoped(str name)
{
	str scope, rest;

	return name.n && name.p[0] == '@' && str_cut(name, '/', &scope, &rest) ? rest : name;
}

/* versions.<version>.dist.tarball */
static bool at_tarball(const struct rewrite *r)
{
	return r->depth == 4 && str_eq(r->key[4], STR("tarball")) && str_eq(r->key[3], STR("dist")) &&
	       str_eq(r->key[1], STR("versions"));
}

static void replace(struct rewrite *r, const char *from)
{
	buf_add(r->out, (str){ r->copied, (size_t)(from - r->copied) });
	buf_addc(r->out, '"');
	buf_add(r->out, r->base);
	buf_add(r->out, r->name);
	buf_add(r->out, STR("/-/"));
	npm_put_escaped(r->out, unscoped(r->name));
	buf_addc(r->out, '-');
	npm_put_escaped(r->out, r->key[2]);
	buf_add(r->out, STR(".tgz\""));
	r->copied = r->p;
}

/* One string, number or word that stands as a value; or a bracket. */
static int read_value(struct rewrite *r)
{
	const char *from = r->p;
	str text;

	if (*r->p == '{' || *r->p == '[') {
		if (r->depth == DEPTH)
			return err_set(r->e, ERR_TOOBIG, "the packument's JSON is nested deeper than %d", DEPTH);
		r->kind[++r->depth] = *r->p++;
		r->key[r->depth] = STR_NONE;
		return 0;
	}
	if (*r->p == '"') {
		if (!read_string(r, &text))
			return broken(r);
		if (at_tarball(r))
			replace(r, from);
		return 0;
	}
	while (r->p < r->end && !strchr(",]} \t\r\n\"{[:", *r->p))
		r->p++;
	return r->p == from ? broken(r) : 0;
}

/* Behind a value: a comma, or brackets that close. */
static int read_after(struct rewrite *r, bool *comma)
{
	*comma = false;
	for (;;) {
		skip_space(r);
		if (r->depth == 0)
			return r->p == r->end ? 0 : broken(r);
		if (r->p == r->end)
			return broken(r);
		char c = *r->p++;
		if (c == ',') {
			*comma = true;
			return 0;
		}
		if (c != (r->kind[r->depth] == '{' ? '}' : ']'))
			return broken(r);
		r->depth--;
	}
}

/* In an object: the key and its colon. Also whether the bracket closes at once. */
static int read_key(struct rewrite *r, bool first, bool *empty)
{
	*empty = false;
	skip_space(r);
	if (r->p == r->end)
		return broken(r);
	if (first && *r->p == (r->kind[r->depth] == '{' ? '}' : ']')) {
		*empty = true;
		return 0;
	}
	if (r->kind[r->depth] != '{')
		return 0;
	if (*r->p != '"' || !read_string(r, &r->key[r->depth]))
		return broken(r);
	skip_space(r);
	if (r->p == r->end || *r->p++ != ':')
		return broken(r);
	skip_space(r);
	return r->p == r->end ? broken(r) : 0;
}

int npm_rewrite(struct buf *out, str json, str base, str name, struct err *e)
{
	struct rewrite r = {
		.p = json.p, .end = json.p + json.n, .copied = json.p, .out = out, .base = base, .name = name, .e = e
	};
	bool first = true, empty;

	skip_space(&r);
	if (r.p == r.end || *r.p != '{')
		return err_set(e, ERR_PARSE, "the packument is no JSON object");
	r.kind[++r.depth] = *r.p++;
	while (r.depth) {
		bool comma;
		if (read_key(&r, first, &empty) < 0)
			return e->code;
		unsigned depth = r.depth;
		if (!empty && read_value(&r) < 0)
			return e->code;
		first = r.depth > depth;
		if (first)
			continue;
		if (read_after(&r, &comma) < 0)
			return e->code;
	}
	skip_space(&r);
	if (r.p != r.end)
		return broken(&r);
	buf_add(out, (str){ r.copied, (size_t)(r.end - r.copied) });
	return 0;
}

bool npm_tarball_version(str *version, str name, str file)
{
	str base = unscoped(name);

	if (!str_starts(file, base) || !str_ends(file, STR(".tgz")) || file.n < base.n + 6 || file.p[base.n] != '-')
		return false;
	*version = (str){ file.p + base.n + 1, file.n - base.n - 5 };
	return true;
}
