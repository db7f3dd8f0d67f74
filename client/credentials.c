#include "credentials.h"
#include "integrity.h"
#include "npmrc.h"
#include "workspace_yaml.h"

str env_get(char **env, const char *name)
{
	str want = str_of(name);

	for (; env && *env; env++) {
		str var = str_of(*env);
		if (var.n > want.n && var.p[want.n] == '=' && str_starts(var, want))
			return str_from(var, want.n + 1);
	}
	return STR_NONE;
}

static void warn(struct credentials *n, str text)
{
	*arena_add(n->a, n->warnings.p, n->warnings.n) = text;
}

/* ---- keys ---- */

static void fill(str *to, str value)
{
	if (!to->p)
		*to = value;
}

static struct credential *cred_of(struct credentials *n, str uri)
{
	if (uri.n)
		uri = path_slashed(n->a, uri);
	for (size_t i = 0; i < n->ncred; i++) {
		if (str_eq(n->cred[i].uri, uri))
			return &n->cred[i];
	}
	struct credential *c = arena_add(n->a, n->cred, n->ncred);
	c->uri = uri;
	return c;
}

/* "//host/path/:_authToken" → uri and suffix; a bare key has no uri. */
static void split_key(str key, str *uri, str *suffix)
{
	if (!str_starts(key, STR("//")) || !str_rcut(key, ':', uri, suffix)) {
		*uri = STR("");
		*suffix = key;
	}
}

static bool is_cred_suffix(str s)
{
	return str_eq(s, STR("_authToken")) || str_eq(s, STR("_auth")) || str_eq(s, STR("username")) ||
	       str_eq(s, STR("_password"));
}

static int refuse(str path, str what, struct err *e)
{
	return err_set(
		e, ERR_UNSUPPORTED, STR_FMT ": " STR_FMT " is not supported by dray", STR_ARG(path), STR_ARG(what));
}

static bool is_refused_suffix(str s)
{
	return str_eq(s, STR("tokenHelper")) || str_eq(s, STR("certfile")) || str_eq(s, STR("keyfile")) ||
	       str_eq(s, STR("cert")) || str_eq(s, STR("key"));
}

static int set_cred(struct credentials *n, str uri, str suffix, str value, str path, struct err *e)
{
	size_t scope = str_find_str(uri, STR(":@"), 0);

	if (scope != SIZE_MAX) /* "//host/:@scope:_authToken" */
		return refuse(path, STR("a credential for one scope of a registry"), e);
	struct credential *c = cred_of(n, uri);
	if (str_eq(suffix, STR("_authToken")))
		fill(&c->token, value);
	else if (str_eq(suffix, STR("_auth")))
		fill(&c->basic, value);
	else if (str_eq(suffix, STR("username")))
		fill(&c->username, value);
	else
		fill(&c->password, value);
	return 0;
}

static void set_scope(struct credentials *n, str scope, str url)
{
	for (size_t i = 0; i < n->nscope; i++) {
		if (str_eq(n->scope[i].scope, scope))
			return;
	}
	struct registry_route *p = arena_new(n->a, struct registry_route, n->nscope + 1);
	if (n->nscope)
		memcpy(p, n->scope, n->nscope * sizeof(*p));
	p[n->nscope++] = (struct registry_route){ scope, path_slashed(n->a, url) };
	n->scope = p;
}

/* "\n" in ca stands for a line break. */
static str unescape_pem(struct credentials *n, str s)
{
	char *p = arena_new(n->a, char, s.n + 1);
	size_t k = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool nl = s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'n';
		p[k++] = nl ? '\n' : s.p[i];
		i += nl;
	}
	return (str){ p, k };
}

/* Whether KEY is one that counts here. */
static bool set_plain(struct credentials *n, str key, str value, str dir)
{
	if (str_eq(key, STR("registry")))
		fill(&n->registry, path_slashed(n->a, value));
	else if (str_eq(key, STR("cafile")))
		fill(&n->cafile, str_starts(value, STR("/"))
					 ? value
					 : arena_printf(n->a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(value)));
	else if (str_eq(key, STR("ca")))
		fill(&n->ca, unescape_pem(n, value));
	else if (str_eq(key, STR("strict-ssl")))
		fill(&n->strict_ssl, value);
	else if (str_eq(key, STR("https-proxy")) || str_eq(key, STR("proxy")))
		fill(&n->https_proxy, value);
	else if (str_eq(key, STR("http-proxy")))
		fill(&n->http_proxy, value);
	else if (str_eq(key, STR("noproxy")) || str_eq(key, STR("no-proxy")))
		fill(&n->no_proxy, value);
	else
		return false;
	return true;
}

/* What pnpm 10 read here, and pnpm 12 in pnpm-workspace.yaml: without a word the tree would be another. */
static void warn_setting(struct credentials *n, const struct npmrc_entry *x, str path)
{
	enum setting_kind kind;
	bool own = str_find(x->key, '-', 0) != SIZE_MAX; /* a single word may be npm's */
	const char *name = own ? workspace_yaml_named(x->key, &kind, n->a) : NULL;

	if (name && kind != SETTING_IDLE)
		warn(n, arena_printf(n->a,
				STR_FMT ":%u: " STR_FMT " is not read here: write %s into pnpm-workspace.yaml",
				STR_ARG(path), x->line, STR_ARG(x->key), name));
}

static bool is_destination(str key)
{
	return str_eq(key, STR("registry")) || str_ends(key, STR(":registry")) || str_ends(key, STR("proxy"));
}

static int set_key(struct credentials *n, const struct npmrc_entry *x, str path, str dir, bool project, struct err *e)
{
	str uri, suffix;

	split_key(x->key, &uri, &suffix);
	bool cred = is_cred_suffix(suffix);
	if (is_refused_suffix(suffix))
		return refuse(path, suffix, e);
	if (project && (x->key_from_env || (x->value_from_env && (cred || is_destination(x->key))))) {
		warn(n, arena_printf(n->a,
				STR_FMT
				":%u: this line is ignored: variables are not put into credentials and addresses of a "
				"project's .npmrc; put it into your own",
				STR_ARG(path), x->line));
		return 0;
	}
	if (cred)
		return set_cred(n, uri, suffix, x->value, path, e);
	if (str_starts(x->key, STR("@")) && str_ends(x->key, STR(":registry")))
		set_scope(n, str_head(x->key, x->key.n - 9), x->value);
	else if (!uri.n && !set_plain(n, x->key, x->value, dir) && project)
		warn_setting(n, x, path);
	return 0;
}

/* ---- files ---- */

static bool env_value(void *ctx, str name, str *value)
{
	struct credentials *n = ctx;

	*value = env_get(n->env, arena_str(n->a, name).p);
	return value->p != NULL;
}

int credentials_add(struct credentials *n, str text, str path, str dir, bool project, struct err *e)
{
	struct npmrc file;
	int rc = npmrc_parse(&file, text, env_value, n, n->a, e);

	if (rc)
		return err_ctx(e, STR_FMT, STR_ARG(path));
	for (size_t i = 0; i < file.unresolved.n && !project; i++)
		warn(n, arena_printf(n->a, STR_FMT ": " STR_FMT " is not set", STR_ARG(path),
				STR_ARG(file.unresolved.p[i])));
	for (size_t i = file.n; i-- > 0 && rc == 0;) /* the last of a key counts, and what is there stays */
		rc = set_key(n, &file.p[i], path, dir, project, e);
	return rc;
}

int credentials_add_env(struct credentials *n, struct err *e)
{
	static const char *const prefix[] = { "pnpm_config_", "PNPM_CONFIG_", "npm_config_", "NPM_CONFIG_" };

	for (size_t k = 0; k < 4; k++) {
		for (char **v = n->env; v && *v; v++) {
			str key, value, uri, suffix, var = str_of(*v), head = str_of(prefix[k]);
			if (!str_starts(var, head) || !str_starts(str_from(var, head.n), STR("//")))
				continue;
			/* The value may hold "=", a URL's query does not stand here. */
			str_cut(str_from(var, head.n), '=', &key, &value);
			split_key(key, &uri, &suffix);
			if (!value.n || !is_cred_suffix(suffix))
				continue;
			int rc = set_cred(
				n, arena_str(n->a, uri), suffix, arena_str(n->a, value), str_of("the environment"), e);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* ---- the table ---- */

/* "https://host/path/" → "//host/path/". */
static str without_scheme(str url)
{
	size_t at = str_find_str(url, STR("://"), 0);

	return at == SIZE_MAX ? url : str_from(url, at + 1);
}

/* A credential is for a host; the scheme is that of the registry which is configured there, else https. */
static str with_scheme(const struct credentials *n, str uri, str default_url, const struct registry_route *r, size_t nr)
{
	for (size_t i = 0; i <= nr; i++) {
		str url = i == 0 ? default_url : r[i - 1].url, rest = without_scheme(url);
		if (str_starts(rest, uri) && str_starts(url, STR("http://")))
			return arena_printf(n->a, "http:" STR_FMT, STR_ARG(uri));
	}
	return arena_printf(n->a, "https:" STR_FMT, STR_ARG(uri));
}

static int header_of(const struct credentials *n, const struct credential *c, str *out, struct err *e)
{
	uint8_t plain[1024];

	*out = STR_NONE;
	if (c->token.n) {
		*out = arena_printf(n->a, "Bearer " STR_FMT, STR_ARG(c->token));
	} else if (c->basic.n) {
		*out = arena_printf(n->a, "Basic " STR_FMT, STR_ARG(c->basic));
	} else if (c->username.n && c->password.n) {
		ptrdiff_t k = base64_read(plain, sizeof(plain), c->password);
		if (k < 0)
			return err_set(e, ERR_PARSE, ".npmrc: _password of " STR_FMT " is not base64", STR_ARG(c->uri));
		str pair = arena_printf(n->a, STR_FMT ":%.*s", STR_ARG(c->username), (int)k, (const char *)plain);
		*out = arena_printf(
			n->a, "Basic " STR_FMT, STR_ARG(base64_print((const uint8_t *)pair.p, pair.n, n->a)));
	}
	return 0;
}

int credentials_auth(const struct credentials *n, str default_url, const struct registry_route *routes, size_t nroutes,
	struct registry_auth **out, size_t *nout, struct err *e)
{
	struct registry_auth *p = arena_new(n->a, struct registry_auth, n->ncred);
	size_t k = 0;

	for (size_t i = 0; i < n->ncred; i++) {
		const struct credential *c = &n->cred[i];
		int rc = header_of(n, c, &p[k].authorization, e);
		if (rc)
			return rc;
		if (!p[k].authorization.n)
			continue;
		p[k].url = c->uri.n ? with_scheme(n, c->uri, default_url, routes, nroutes) : default_url;
		k++;
	}
	*out = p;
	*nout = k;
	return 0;
}
