#include "setting_value.h"

int setting_bad(struct setting_ctx *c, const struct yaml_node *n, const char *name, const char *what)
{
	if (c->from_env)
		return err_set(c->e, ERR_USAGE, STR_FMT ": %s", STR_ARG(c->path), what);
	return err_set(c->e, ERR_PARSE, STR_FMT ":%u:%u: %s: %s", STR_ARG(c->path), n->line, n->col, name, what);
}

int setting_get_bool(struct setting_ctx *c, const char *name, const struct yaml_node *n, bool *out)
{
	struct yaml_node plain = *n;

	plain.kind = yaml_is_scalar(n) ? YAML_KIND_PLAIN : n->kind;
	return yaml_bool(&plain, out) ? 0 : setting_bad(c, n, name, "invalid boolean; expected true or false");
}

int setting_get_u64(struct setting_ctx *c, const char *name, const struct yaml_node *n, uint64_t max, uint64_t *out)
{
	uint64_t v;

	if (!yaml_is_scalar(n) || !str_u64(n->s, &v) || v > max)
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
