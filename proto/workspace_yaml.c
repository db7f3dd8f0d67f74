#include "workspace_yaml.h"
#include "setting_keys.h"
#include "yaml_load.h"

/* Whether N is the value OK: a truth value in any of its words. */
static bool means(const struct yaml_node *n, str ok)
{
	bool v;

	if ((str_eq(ok, STR("true")) || str_eq(ok, STR("false"))) && setting_bool(n, &v))
		return v == str_eq(ok, STR("true"));
	return str_eq(n->s, ok);
}

static int refuse(struct setting_ctx *c, const struct setting_key *k, const struct yaml_node *n)
{
	if (k->ok && yaml_is_scalar(n) && means(n, str_of(k->ok)))
		return 0;
	if ((n->kind == YAML_KIND_MAP || n->kind == YAML_KIND_SEQ) && n->n == 0)
		return 0;
	str what = yaml_is_scalar(n) ? str_head(n->s, 100) : STR("as it is given");
	str place = c->from_env
			    ? arena_printf(c->a, STR_FMT " = ", STR_ARG(c->path))
			    : arena_printf(c->a, STR_FMT ":%u:%u: %s: ", STR_ARG(c->path), n->line, n->col, k->name);
	str why = arena_printf(
		c->a, STR_FMT STR_FMT " is not supported by dray: %s", STR_ARG(place), STR_ARG(what), k->fix);
	if (!k->tree)
		return err_set(c->e, ERR_UNSUPPORTED, STR_FMT, STR_ARG(why));
	if (!c->w->client.no_tree.n)
		c->w->client.no_tree = why;
	return 0;
}

_Static_assert(sizeof(enum resolution_mode) == sizeof(unsigned) && sizeof(enum import_method) == sizeof(unsigned) &&
		       sizeof(enum trust_policy) == sizeof(unsigned),
	"KIND_ENUM is stored as a number");

static int apply(struct setting_ctx *c, const struct setting_key *k, const struct yaml_node *n)
{
	char *at = (char *)c->w + k->at;
	uint64_t v;
	int rc;

	if (n->kind == YAML_KIND_NONE) /* "key:" alone is as if it were not there */
		return 0;
	switch (k->kind) {
	case KIND_BOOL:
		return setting_get_bool(c, k->name, n, (bool *)at);
	case KIND_U32:
		if ((rc = setting_get_u64(c, k->name, n, UINT32_MAX, &v)) == 0)
			*(uint32_t *)(void *)at = (uint32_t)v;
		return rc;
	case KIND_U64:
		return setting_get_u64(c, k->name, n, UINT64_MAX, (uint64_t *)(void *)at);
	case KIND_STR:
		return setting_get_str(c, k->name, n, (str *)(void *)at);
	case KIND_LIST:
		return setting_get_list(c, k->name, n, (struct str_list *)(void *)at);
	case KIND_MAP:
		return setting_get_map(c, k->name, n, (struct str_map *)(void *)at);
	case KIND_ENUM:
		return setting_get_one_of(c, k->name, n, k->names, (unsigned *)(void *)at);
	case KIND_CALL:
		return k->set(c, n);
	case KIND_OTHER:
		return 0;
	case KIND_REFUSE:
		return refuse(c, k, n);
	}
	return 0;
}

/* "auto-install-peers" and "auto_install_peers" to "autoInstallPeers". */
static str to_camel(struct arena *a, str s)
{
	char *p = arena_new(a, char, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool sep = (s.p[i] == '-' || s.p[i] == '_') && i + 1 < s.n && i > 0;
		if (sep)
			i++;
		char c = s.p[i];
		p[n++] = sep && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	return (str){ p, n };
}

static int apply_key(struct setting_ctx *c, const struct yaml_node *n)
{
	const struct setting_key *k = setting_key_find(n->key);

	if (k && c->machine && !setting_key_machine(k)) {
		setting_warn(
			c, arena_printf(c->a,
				   STR_FMT ": \"%s\" is ignored: it is a project's (write it into pnpm-workspace.yaml)",
				   STR_ARG(c->path), k->name));
		return 0;
	}
	if (k)
		return apply(c, k, n);
	str camel = to_camel(c->a, n->key);
	if (setting_key_find(camel))
		setting_warn(
			c, arena_printf(c->a,
				   STR_FMT ": \"" STR_FMT
					   "\" is ignored because it is not written in camelCase (use \"" STR_FMT "\")",
				   STR_ARG(c->path), STR_ARG(n->key), STR_ARG(camel)));
	else
		setting_warn(c, arena_printf(c->a, STR_FMT ": the setting \"" STR_FMT "\" is not known and was ignored",
					STR_ARG(c->path), STR_ARG(str_head(n->key, 100))));
	return 0;
}

/* Settings that stand for others. */
static void finish(struct workspace_yaml *w, struct arena *a)
{
	if (w->client.shamefully_hoist && w->client.public_hoist_pattern.n == 0) {
		w->client.public_hoist_pattern = (struct str_list){ arena_new(a, str, 1), 1 };
		w->client.public_hoist_pattern.p[0] = STR("*");
	}
	if (!w->client.hoist)
		w->client.hoist_pattern.n = 0;
}

void workspace_yaml_init(struct workspace_yaml *w)
{
	static const str all = STR_INIT("*");

	*w = (struct workspace_yaml){ .settings = settings_default(),
		.client = {
			.hoist = true,
			.hoist_pattern = { (str *)&all, 1 },
			.hoist_workspace_packages = true,
			.virtual_store_dir_max_length = 120,
			.strict_dep_builds = true,
			.enable_pre_post_scripts = true,
			.extend_node_path = true,
			.side_effects_cache = true,
			.verify_store_integrity = true,
			.lockfile = true,
			.prefer_frozen_lockfile = true,
			.optimistic_repeat_install = true,
			.child_concurrency = 5,
			.fetch_retries = 2,
			.fetch_retry_min_ms = 1000,
			.fetch_retry_max_ms = 60000,
			.fetch_timeout_ms = 60000,
		} };
}

static int parse(struct setting_ctx *c, str text)
{
	struct yaml_node *root;
	int rc = yaml_load(&root, text, c->path, c->a, c->e);

	if (rc)
		return rc;
	if (root->kind == YAML_KIND_NONE)
		return 0;
	if (root->kind != YAML_KIND_MAP)
		return setting_bad(c, root, "the file", "expected a map of settings");
	for (const struct yaml_node *n = root->child; n; n = n->next) {
		if ((rc = apply_key(c, n)))
			return rc;
	}
	finish(c->w, c->a);
	return 0;
}

int workspace_yaml_parse(struct workspace_yaml *w, str text, str path, struct arena *a, struct err *e)
{
	return parse(&(struct setting_ctx){ .w = w, .a = a, .path = path, .e = e }, text);
}

int workspace_yaml_machine(struct workspace_yaml *w, str text, str path, struct arena *a, struct err *e)
{
	return parse(&(struct setting_ctx){ .w = w, .a = a, .path = path, .machine = true, .e = e }, text);
}

/* The value of a variable: JSON where the setting takes a list or map, else the text. */
static int env_value(struct setting_ctx *c, const struct setting_key *k, str value, struct yaml_node **out)
{
	if ((k->kind == KIND_LIST || k->kind == KIND_MAP || k->kind == KIND_CALL || k->kind == KIND_REFUSE) &&
		(str_starts(value, STR("[")) || str_starts(value, STR("{"))))
		return yaml_load(out, value, c->path, c->a, c->e);
	*out = arena_new(c->a, struct yaml_node, 1);
	(*out)->kind = value.n ? YAML_KIND_PLAIN : YAML_KIND_NONE;
	(*out)->s = arena_str(c->a, value);
	return 0;
}

static str lower(struct arena *a, str s)
{
	char *p = arena_new(a, char, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
	return (str){ p, s.n };
}

int workspace_yaml_env(struct workspace_yaml *w, char **env, struct arena *a, struct err *e)
{
	for (; env && *env; env++) {
		str name, value, var = str_of(*env);
		if (!str_starts(var, STR("pnpm_config_")) && !str_starts(var, STR("PNPM_CONFIG_")))
			continue;
		str_cut(var, '=', &name, &value);
		const struct setting_key *k = setting_key_find(to_camel(a, lower(a, str_from(name, 12))));
		struct setting_ctx c = { .w = w, .a = a, .path = arena_str(a, name), .from_env = true, .e = e };
		struct yaml_node *n;
		if (!k)
			continue;
		int rc = env_value(&c, k, value, &n);
		if (rc || (rc = apply(&c, k, n)))
			return rc;
	}
	finish(w, a);
	return 0;
}

static const char *setting_told(const struct setting_key *k, enum setting_kind *kind)
{
	if (!k)
		return NULL;
	*kind = k->kind == KIND_REFUSE ? SETTING_REFUSED : k->kind == KIND_OTHER ? SETTING_IDLE : SETTING_READ;
	return k->name;
}

const char *workspace_yaml_setting(size_t i, enum setting_kind *kind)
{
	return setting_told(setting_key_at(i), kind);
}

const char *workspace_yaml_named(str name, enum setting_kind *kind, struct arena *a)
{
	return setting_told(setting_key_find(to_camel(a, name)), kind);
}
