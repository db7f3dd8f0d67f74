#include "npmrc.h"

#define NPMRC_MAX_BYTES ((size_t)1 << 20)

struct reader {
	npmrc_env *env;
	void *ctx;
	struct arena *a;
	struct npmrc out;
	size_t expanded; /* bytes that variables have made so far */
};

/* Length of the placeholder "${…}" at AT, or 0: its inside is not empty and has no $, { or }. */
static size_t placeholder_len(str s, size_t at)
{
	if (s.n - at < 4 || s.p[at] != '$' || s.p[at + 1] != '{')
		return 0;
	for (size_t i = at + 2; i < s.n; i++) {
		if (s.p[i] == '}')
			return i > at + 2 ? i - at + 1 : 0;
		if (s.p[i] == '$' || s.p[i] == '{')
			return 0;
	}
	return 0;
}

/* What "${NAME}", "${NAME-default}" or "${NAME:-default}" stands for. As in a shell, the second takes a variable that
 * is set and empty; without a default an empty one counts as missing, since it would make an empty credential. */
static str lookup(struct reader *r, str placeholder)
{
	str name = { placeholder.p + 2, placeholder.n - 3 }, fallback = STR_NONE, value = STR_NONE;
	bool has_default = str_cut(name, '-', &name, &fallback);
	bool colon = has_default && str_ends(name, STR(":"));

	if (colon)
		name.n--;
	bool set = r->env && r->env(r->ctx, name, &value);
	if (set && (value.n || (has_default && !colon)))
		return value;
	if (has_default)
		return fallback;
	struct str_list *u = &r->out.unresolved;
	*arena_add(r->a, u->p, u->n) = arena_str(r->a, placeholder);
	return STR_NONE;
}

/* Backslashes before a placeholder halve; an odd one keeps it from being expanded. */
static str expand(struct reader *r, str s, bool *from_env)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	size_t slashes = 0, n;

	for (size_t i = 0; i < s.n; i += n) {
		n = placeholder_len(s, i);
		if (n == 0) {
			slashes = s.p[i] == '\\' ? slashes + 1 : 0;
			buf_addc(&b, s.p[i]);
			n = 1;
			continue;
		}
		str whole = { s.p + i, n };
		b.n -= slashes - slashes / 2;
		if (slashes % 2) {
			buf_add(&b, whole);
		} else {
			str value = lookup(r, whole);
			*from_env = true;
			r->expanded += value.n;
			if (r->expanded <= NPMRC_MAX_BYTES)
				buf_add(&b, value);
		}
		slashes = 0;
	}
	return arena_str(r->a, buf_str(&b));
}

static str unquote(str s)
{
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
		return (str){ s.p + 1, s.n - 2 };
	return s;
}

static void read_line(struct reader *r, str text, uint32_t line)
{
	struct npmrc_entry entry = { .line = line };
	str key, value;

	text = str_trim(text);
	if (text.n == 0 || text.p[0] == ';' || text.p[0] == '#' || text.p[0] == '[')
		return;
	if (!str_cut(text, '=', &key, &value))
		value = STR("true");
	key = unquote(str_trim(key));
	if (str_ends(key, STR("[]"))) {
		entry.list = true;
		key.n -= 2;
	}
	entry.key = expand(r, key, &entry.key_from_env);
	if (entry.key.n == 0)
		return;
	entry.value = expand(r, unquote(str_trim(value)), &entry.value_from_env);
	*arena_add(r->a, r->out.p, r->out.n) = entry;
}

int npmrc_parse(struct npmrc *out, str text, npmrc_env *env, void *ctx, struct arena *a, struct err *e)
{
	struct reader r = { .env = env, .ctx = ctx, .a = a };
	str rest = text, line;
	bool more = true;

	if (text.n > NPMRC_MAX_BYTES)
		return err_set(e, ERR_TOOBIG, "%zu bytes are over the limit of %zu", text.n, NPMRC_MAX_BYTES);
	if (str_starts(rest, STR("\xEF\xBB\xBF")))
		rest = str_from(rest, 3);
	for (uint32_t n = 1; more; n++) {
		more = str_cut(rest, '\n', &line, &rest);
		read_line(&r, line, n);
		if (r.expanded > NPMRC_MAX_BYTES)
			return err_set(e, ERR_TOOBIG, "line %u: environment variables make more than %zu bytes", n,
				NPMRC_MAX_BYTES);
	}
	*out = r.out;
	return 0;
}

str npmrc_expand(bool *found, struct str_list *unresolved, str s, npmrc_env *env, void *ctx, struct arena *a)
{
	struct reader r = { .env = env, .ctx = ctx, .a = a, .out.unresolved = *unresolved };
	str out = expand(&r, s, found);

	*unresolved = r.out.unresolved;
	return out;
}
