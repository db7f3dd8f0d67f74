#include "npmrc.h"
#include "patches.h"
#include "project_impl.h"
#include "project_local.h"
#include <unistd.h>

static void warn_all(struct load *l, struct str_list lines)
{
	for (size_t i = 0; i < lines.n; i++)
		load_warn(l, lines.p[i]);
}

static int refuse_hooks(struct load *l)
{
	static const char *const names[] = { PROJECT_HOOKS };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (access(load_path(l, l->p->root, names[i]).p, F_OK) == 0)
			return err_set(l->e, ERR_UNSUPPORTED, "%s/%s: hooks are not supported by dray", l->p->root.p,
				names[i]);
	}
	return 0;
}

str load_config_dir(char **env, struct arena *a)
{
	str home = env_get(env, "HOME"), xdg = env_get(env, "XDG_CONFIG_HOME");

	return xdg.n    ? arena_printf(a, STR_FMT "/pnpm", STR_ARG(xdg))
	       : home.n ? arena_printf(a, STR_FMT "/.config/pnpm", STR_ARG(home))
			: STR_NONE;
}

/* ---- ${VAR} in settings. Source: pnpm 12.21 ---- */

static bool env_value(void *ctx, str name, str *value)
{
	struct load *l = ctx;

	*value = env_get(l->env, arena_str(l->a, name).p);
	return value->p != NULL;
}

/* Whether *S has a variable; it is filled in. One that is not set is empty. */
static bool fill_in(struct load *l, str *s)
{
	struct str_list unset = { 0 };
	bool found = false;
	str out = npmrc_expand(&found, &unset, *s, env_value, l, l->a);

	for (size_t i = 0; i < unset.n; i++)
		load_warn(l, arena_printf(l->a, "settings: " STR_FMT " is not set", STR_ARG(unset.p[i])));
	if (found)
		*s = out;
	return found;
}

/* Paths and words, whoever says them. */
static void fill_in_words(struct load *l)
{
	struct client_settings *c = &l->w.client;
	str *all[] = { &c->store_dir, &c->user_agent, &c->npmrc_auth_file, &c->script_shell, &c->node_options };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		fill_in(l, all[i]);
}

/* A registry's URL; the variable may have the slash of its end, too. */
static void fill_in_url(struct load *l, str *url)
{
	if (!fill_in(l, url))
		return;
	while (str_ends(*url, STR("//")))
		url->n--;
}

/* Whom to ask: in the machine's file. */
static void fill_in_addresses(struct load *l)
{
	struct client_settings *c = &l->w.client;
	struct settings *s = &l->w.settings;
	str *all[] = { &c->https_proxy, &c->http_proxy, &c->no_proxy };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		fill_in(l, all[i]);
	fill_in_url(l, &l->w.registry);
	for (size_t i = 0; i < s->nregistry; i++)
		fill_in_url(l, &s->registry[i].url);
}

/* In the project's file: a repository must not send a user's variables away. Whether S has one. */
static bool drop_address(struct load *l, const char *key, str s)
{
	struct str_list unset = { 0 };
	bool found = false;

	npmrc_expand(&found, &unset, s, NULL, NULL, l->a);
	if (found)
		load_warn(l,
			arena_printf(l->a,
				"pnpm-workspace.yaml: \"%s\" is ignored: addresses of a project's file take no variables",
				key));
	return found;
}

/* MACHINE: what the machine's file said. */
static void drop_addresses(struct load *l, const struct client_settings *machine)
{
	struct client_settings *c = &l->w.client;
	struct settings *s = &l->w.settings;
	size_t n = 0;

	if (drop_address(l, "registry", l->w.registry))
		l->w.registry = STR_NONE;
	if (drop_address(l, "httpsProxy", c->https_proxy))
		c->https_proxy = machine->https_proxy;
	if (drop_address(l, "httpProxy", c->http_proxy))
		c->http_proxy = machine->http_proxy;
	if (drop_address(l, "noProxy", c->no_proxy))
		c->no_proxy = machine->no_proxy;
	for (size_t i = 0; i < s->nregistry; i++) {
		if (!drop_address(l, "registries", s->registry[i].url))
			s->registry[n++] = s->registry[i];
	}
	s->nregistry = n;
}

/* ---- files ---- */

/* The settings of the machine, below those of the project. */
static int read_machine(struct load *l)
{
	str dir = load_config_dir(l->env, l->a), path, text;
	int rc;

	if (!dir.n)
		return 0;
	path = l->p->machine_file = load_path(l, dir, "config.yaml");
	rc = load_text(l, path, &text);
	if (rc || !text.p)
		return rc;
	if ((rc = workspace_yaml_machine(&l->w, text, path, l->a, l->e)))
		return rc;
	fill_in_addresses(l);
	l->machine_registry = l->w.registry;
	l->machine_route = l->w.settings.registry;
	l->nmachine_route = l->w.settings.nregistry;
	l->w.registry = STR_NONE;
	l->w.settings.registry = NULL;
	l->w.settings.nregistry = 0;
	return 0;
}

static int read_yaml(struct load *l)
{
	workspace_yaml_init(&l->w);
	int failed = read_machine(l);
	if (failed)
		return failed;
	if (l->has_yaml) {
		str path = load_path(l, l->p->root, "pnpm-workspace.yaml"), text;
		struct client_settings machine = l->w.client;
		int rc = load_text(l, path, &text);
		if (rc == 0)
			rc = workspace_yaml_parse(&l->w, text, path, l->a, l->e);
		if (rc)
			return rc;
		drop_addresses(l, &machine);
	}
	int rc = workspace_yaml_env(&l->w, l->env, l->a, l->e);
	fill_in_words(l);
	return rc;
}

static int add_npmrc(struct load *l, str path, bool project)
{
	str text, dir, name;
	int rc = load_text(l, path, &text);

	if (rc || !text.p)
		return rc;
	str_rcut(path, '/', &dir, &name);
	return credentials_add(&l->rc, text, path, dir, project, l->e);
}

/* First of several variables that is set and not empty. */
static str env_first(char **env, const char *const *names)
{
	for (; *names; names++) {
		str v = env_get(env, *names);
		if (v.n)
			return v;
	}
	return STR_NONE;
}

static int read_user_npmrc(struct load *l)
{
	str home = env_get(l->env, "HOME"), dir = load_config_dir(l->env, l->a), user;
	int rc = dir.n ? add_npmrc(l, load_path(l, dir, "auth.ini"), false) : 0;

	if (rc)
		return rc;
	user = env_first(l->env, (const char *const[]){ "pnpm_config_npmrc_auth_file", "PNPM_CONFIG_NPMRC_AUTH_FILE",
					 "pnpm_config_userconfig", "PNPM_CONFIG_USERCONFIG", "npm_config_userconfig",
					 "NPM_CONFIG_USERCONFIG", NULL });
	if (!user.n && l->w.client.npmrc_auth_file.n)
		user = path_join(l->a, l->p->root, l->w.client.npmrc_auth_file);
	if (user.n)
		return add_npmrc(l, arena_str(l->a, user), false);
	return home.n ? add_npmrc(l, load_path(l, home, ".npmrc"), false) : 0;
}

static int read_npmrc(struct load *l)
{
	l->rc = (struct credentials){ .a = l->a, .env = l->env };
	int rc = credentials_add_env(&l->rc, l->e);

	if (rc == 0)
		rc = add_npmrc(l, load_path(l, l->p->root, ".npmrc"), true);
	if (rc == 0)
		rc = read_user_npmrc(l);
	warn_all(l, l->rc.warnings);
	return rc;
}

static int check_url(struct load *l, str url)
{
	size_t at = str_starts(url, STR("https://")) ? 8 : str_starts(url, STR("http://")) ? 7 : 0;

	if (!at || url.n == at)
		return err_set(l->e, ERR_USAGE, "registry \"" STR_FMT "\" is no http or https address", STR_ARG(url));
	str host, rest;
	str_cut(str_from(url, at), '/', &host, &rest);
	if (str_find(host, '@', 0) != SIZE_MAX)
		return err_set(
			l->e, ERR_USAGE, "a registry's address may not hold a password; use .npmrc's _authToken");
	return 0;
}

/* Command line, pnpm's variable, npm's, pnpm-workspace.yaml, .npmrc, the machine's config.yaml, built in. */
static int set_registries(struct load *l)
{
	struct settings *s = &l->p->req.settings;
	str url = l->o->registry;

	if (!url.n)
		url = env_first(l->env, (const char *const[]){ "pnpm_config_registry", "PNPM_CONFIG_REGISTRY",
						"npm_config_registry", "NPM_CONFIG_REGISTRY", NULL });
	if (!url.n)
		url = l->w.registry.n         ? l->w.registry
		      : l->rc.registry.n      ? l->rc.registry
		      : l->machine_registry.n ? l->machine_registry
					      : STR(DRAY_DEFAULT_REGISTRY);
	if (!url.n)
		return err_set(l->e, ERR_USAGE,
			"no registry is set: put \"registry=https://…\" into .npmrc or use --registry");
	url = arena_str(l->a, path_slashed(l->a, url));

	size_t n = 1, own = s->nregistry;
	struct registry_route *p = arena_new(l->a, struct registry_route, 1 + own + l->rc.nscope + l->nmachine_route);
	p[0] = (struct registry_route){ STR(""), url };
	for (size_t i = 0; i < own; i++)
		p[n++] = s->registry[i];
	for (size_t i = 0; i < l->rc.nscope; i++)
		p[n++] = l->rc.scope[i]; /* the first of a scope counts */
	for (size_t i = 0; i < l->nmachine_route; i++)
		p[n++] = l->machine_route[i];
	s->registry = p;
	s->nregistry = n;
	for (size_t i = 0; i < n; i++) {
		int rc = check_url(l, p[i].url);
		if (rc)
			return rc;
	}
	return credentials_auth(&l->rc, url, p, n, &l->p->auth, &l->p->nauth, l->e);
}

static str first_of(str a, str b)
{
	return a.n ? a : b;
}

static void set_network(struct load *l)
{
	struct project *p = l->p;
	struct client_settings *c = &p->client;
	str http = env_first(l->env, (const char *const[]){ "http_proxy", "HTTP_PROXY", NULL });
	str https = env_first(l->env, (const char *const[]){ "https_proxy", "HTTPS_PROXY", NULL });
	str none = env_first(l->env, (const char *const[]){ "no_proxy", "NO_PROXY", NULL });

	p->https_proxy = first_of(first_of(c->https_proxy, l->rc.https_proxy), https);
	p->http_proxy = first_of(first_of(c->http_proxy, l->rc.http_proxy), first_of(http, p->https_proxy));
	p->no_proxy = first_of(first_of(c->no_proxy, l->rc.no_proxy), none);
	p->cafile = l->rc.cafile;
	p->ca = l->rc.ca;
	p->insecure = str_eq(l->rc.strict_ssl, STR("false"));
	str ci = env_get(l->env, "CI");
	p->ci = ci.n && !str_eq(ci, STR("false")) && !str_eq(ci, STR("0"));
	str server = env_get(l->env, "DRAY_SERVER");
	c->dray_server = first_of(server, c->dray_server);
}

static int hash_patches(struct load *l)
{
	struct settings *s = &l->p->req.settings;

	for (size_t i = 0; i < s->npatch; i++) {
		struct buf b AUTO(buf_release) = BUF_INIT;
		char hex[65];
		str path = path_join(l->a, l->p->root, s->patch[i].path);
		int rc = project_read_file(&b, path.p, LOAD_FILE_MAX, l->e);
		if (rc)
			return err_ctx(l->e, "patchedDependencies > " STR_FMT, STR_ARG(s->patch[i].selector));
		patch_hash(hex, buf_str(&b));
		s->patch[i].hash = arena_str(l->a, str_of(hex));
	}
	return 0;
}

/* "~/" is the home folder, as pnpm has it on the command line and in variables; what is relative is the project's. */
static int place_store(struct load *l, str *dir)
{
	str home = env_get(l->env, "HOME");

	if (!home.n && str_starts(*dir, STR("~/")))
		return err_set(l->e, ERR_USAGE, "storeDir: " STR_FMT ": HOME is not set", STR_ARG(*dir));
	if (dir->n)
		*dir = path_join(l->a, l->p->root, path_from_home(l->a, home, *dir));
	return 0;
}

int load_settings(struct load *l)
{
	struct project *p = l->p;
	int rc = refuse_hooks(l);

	if (rc || (rc = read_yaml(l)))
		return rc;
	warn_all(l, l->w.warnings);
	p->req.settings = l->w.settings;
	p->client = l->w.client;
	if ((rc = place_store(l, &p->client.store_dir)))
		return rc;
	if ((rc = read_npmrc(l)) || (rc = set_registries(l)))
		return rc;
	set_network(l);
	return hash_patches(l);
}
