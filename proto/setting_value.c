#include "setting_value.h"

void setting_warn(struct setting_ctx *c, str text)
{
	struct str_list *l = &c->w->warnings;

	*arena_add(c->a, l->p, l->n) = text;
}

int setting_bad(struct setting_ctx *c, const struct yaml_node *n, const char *name, const char *what)
{
	if (c->from_env)
		return err_set(c->e, ERR_USAGE, STR_FMT ": %s", STR_ARG(c->path), what);
	return err_set(c->e, ERR_PARSE, STR_FMT ":%u:%u: %s: %s", STR_ARG(c->path), n->line, n->col, name, what);
}

/* Whether S is WORD, which is in small letters, in any case. */
static bool is_word(str s, const char *word)
{
	for (size_t i = 0; i < s.n; i++, word++) {
		char c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
		if (!*word || c != *word)
			return false;
	}
	return !*word;
}

bool setting_bool(const struct yaml_node *n, bool *out)
{
	static const char *const words[2][4] = { { "false", "no", "off", "n" }, { "true", "yes", "on", "y" } };

	for (unsigned v = 0; yaml_is_scalar(n) && v < 2; v++)
		for (unsigned i = 0; i < 4; i++)
			if (is_word(n->s, words[v][i])) {
				*out = v;
				return true;
			}
	return false;
}

static unsigned digit_of(char c)
{
	return c >= '0' && c <= '9'                 ? (unsigned)(c - '0')
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a' + 10)
						    : 99;
}

/* A number as pnpm's YAML reader takes it, quoted or not: "+", "0x", "0o" or "0b" in front, single "_"
 * between digits; "017" is none. */
static bool number_of(str s, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (str_starts(s, STR("+")))
		s = str_from(s, 1);
	if (s.n > 2 && s.p[0] == '0' && (s.p[1] | 32) >= 'a') {
		base = (s.p[1] | 32) == 'x' ? 16 : (s.p[1] | 32) == 'o' ? 8 : (s.p[1] | 32) == 'b' ? 2 : 0;
		s = str_from(s, 2);
	} else if (s.n > 1 && s.p[0] == '0') {
		return false;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '_' && i && s.p[i - 1] != '_' && i + 1 < s.n)
			continue;
		unsigned d = digit_of(s.p[i]);
		if (d >= base || v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	*out = v;
	return s.n > 0;
}

int setting_get_bool(struct setting_ctx *c, const char *name, const struct yaml_node *n, bool *out)
{
	return setting_bool(n, out) ? 0 : setting_bad(c, n, name, "invalid boolean; expected true or false");
}

int setting_get_u64(struct setting_ctx *c, const char *name, const struct yaml_node *n, uint64_t max, uint64_t *out)
{
	uint64_t v;

	if (!yaml_is_scalar(n) || !number_of(n->s, &v) || v > max)
		return setting_bad(c, n, name, "invalid number");
	*out = v;
	return 0;
}

int setting_get_str(struct setting_ctx *c, const char *name, const struct yaml_node *n, str *out)
{
	if (!yaml_is_scalar(n))
		return setting_bad(c, n, name, "expected a string");
	*out = n->s;
	return 0;
}

int setting_get_list(struct setting_ctx *c, const char *name, const struct yaml_node *n, struct str_list *out)
{
	size_t i = 0;

	if (n->kind != YAML_KIND_SEQ)
		return setting_bad(c, n, name, "expected a list");
	str *p = arena_new(c->a, str, n->n);
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = setting_get_str(c, name, m, &p[i++]);
		if (rc)
			return rc;
	}
	*out = (struct str_list){ p, n->n };
	return 0;
}

int setting_get_map(struct setting_ctx *c, const char *name, const struct yaml_node *n, struct str_map *out)
{
	size_t i = 0;

	if (n->kind == YAML_KIND_NONE)
		return 0;
	if (n->kind != YAML_KIND_MAP)
		return setting_bad(c, n, name, "expected a map");
	struct str_kv *p = arena_new(c->a, struct str_kv, n->n);
	for (const struct yaml_node *m = n->child; m; m = m->next, i++) {
		p[i].k = m->key;
		int rc = setting_get_str(c, name, m, &p[i].v);
		if (rc)
			return rc;
	}
	*out = (struct str_map){ p, n->n };
	return 0;
}

int setting_get_one_of(
	struct setting_ctx *c, const char *name, const struct yaml_node *n, const char *const *names, unsigned *out)
{
	for (unsigned i = 0; yaml_is_scalar(n) && names[i]; i++) {
		if (str_eq(n->s, str_of(names[i]))) {
			*out = i;
			return 0;
		}
	}
	return setting_bad(c, n, name, "not one of the values that this setting takes");
}
