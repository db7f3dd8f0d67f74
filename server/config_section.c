#include "config_section.h"
#include "fs.h"
#include "integrity.h"
#include "pattern.h"
#include "upstream.h"
#include <fcntl.h>
#include <stdlib.h>

enum { MAX_SECTIONS = 1000, MAX_SECRET = 8192 };

void config_list_add(struct arena *a, struct str_list *l, str v)
{
	*arena_add(a, l->p, l->n) = arena_str(a, v);
}

static bool name_ok(str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' &&
			c != '_' && c != '.')
			return false;
	}
	return name.n > 0 && name.n <= 64;
}

static int begin_upstream(struct config *c, str name, struct err *e)
{
	for (size_t i = 0; i < c->nupstreams; i++) {
		if (str_eq(c->upstream[i].name, name))
			return err_set(e, ERR_USAGE, "upstream " STR_FMT " is there twice", STR_ARG(name));
	}
	*arena_add(&c->a, c->upstream, c->nupstreams) = (struct upstream_config){ .name = arena_str(&c->a, name),
		.is_default = str_eq(name, STR("default")),
		/* `registry` is the operator's own choice */
		.private_addresses = str_eq(name, STR("default")),
		.private_assumed = str_eq(name, STR("default")) };
	return 0;
}

static int begin_access(struct config *c, str name, struct err *e)
{
	for (size_t i = 0; i < c->naccess; i++) {
		if (str_eq(c->access[i].name, name))
			return err_set(e, ERR_USAGE, "access " STR_FMT " is there twice", STR_ARG(name));
	}
	*arena_add(&c->a, c->access, c->naccess) = (struct config_access){ .name = arena_str(&c->a, name) };
	return 0;
}

int config_section_begin(struct config *c, str header, struct err *e)
{
	str kind, name;

	c->sections_hash = c->sections_hash * 31 + str_hash(header);
	if (!str_ends(header, STR("]")))
		return err_set(e, ERR_USAGE, "expected \"[upstream NAME]\" or \"[access NAME]\"");
	str_cut((str){ header.p + 1, header.n - 2 }, ' ', &kind, &name);
	name = str_trim(name);
	if (!name_ok(name))
		return err_set(e, ERR_USAGE,
			"\"" STR_FMT "\": a section's name has 1 to 64 letters, digits, \"-\", \"_\" and \".\"",
			STR_ARG(str_head(header, 100)));
	if (c->nupstreams + c->naccess >= MAX_SECTIONS)
		return err_set(e, ERR_TOOBIG, "more than %d sections", MAX_SECTIONS);
	if (str_eq(kind, STR("upstream"))) {
		c->section = CONFIG_UPSTREAM;
		return begin_upstream(c, name, e);
	}
	if (str_eq(kind, STR("access"))) {
		c->section = CONFIG_ACCESS;
		return begin_access(c, name, e);
	}
	return err_set(e, ERR_USAGE, "no section \"" STR_FMT "\"; there are upstream and access",
		STR_ARG(str_head(kind, 100)));
}

/* ---- values ---- */

static int set_bool(bool *to, str name, str v, struct err *e)
{
	if (!str_eq(v, STR("true")) && !str_eq(v, STR("false")))
		return err_set(e, ERR_USAGE, STR_FMT " = " STR_FMT ": expected true or false", STR_ARG(name),
			STR_ARG(str_head(v, 100)));
	*to = str_eq(v, STR("true"));
	return 0;
}

/* A secret from a file or variable, without the line break at its end. Never part of a message. */
static int read_secret(str *out, struct config *c, str name, str where, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	str path = arena_str(&c->a, where);
	const char *env;

	if (str_ends(name, STR("-file"))) {
		if (fs_read_file(&text, AT_FDCWD, path.p, MAX_SECRET, e) < 0)
			return err_ctx(e, STR_FMT, STR_ARG(name));
		*out = arena_str(&c->a, str_trim(buf_str(&text)));
	} else {
		env = getenv(path.p);
		if (!env)
			return err_set(e, ERR_NOTFOUND, STR_FMT ": the variable " STR_FMT " is not set", STR_ARG(name),
				STR_ARG(where));
		*out = arena_str(&c->a, str_trim(str_of(env)));
	}
	if (!out->n)
		return err_set(e, ERR_USAGE, STR_FMT " " STR_FMT ": is empty", STR_ARG(name), STR_ARG(where));
	return 0;
}

/* NAME is token, token-file, token-env, basic, basic-file or basic-env; basic is "user:password". */
static int set_credential(struct config *c, struct upstream_config *u, str name, str value, struct err *e)
{
	str secret = value, head, rest;

	if (u->authorization.n)
		return err_set(e, ERR_USAGE, "upstream " STR_FMT " has two credentials", STR_ARG(u->name));
	bool direct = !str_cut(name, '-', &head, &rest);
	if (!direct && read_secret(&secret, c, name, value, e) < 0)
		return e->code;
	if (str_eq(head, STR("token"))) {
		u->authorization = arena_printf(&c->a, "Bearer " STR_FMT, STR_ARG(secret));
		return 0;
	}
	if (str_find(secret, ':', 0) == SIZE_MAX)
		return err_set(e, ERR_USAGE, STR_FMT ": expected \"user:password\"", STR_ARG(name));
	u->authorization = arena_printf(
		&c->a, "Basic " STR_FMT, STR_ARG(base64_print((const uint8_t *)secret.p, secret.n, &c->a)));
	return 0;
}

static bool is_credential(str name)
{
	static const char *const names[] = { "token", "token-file", "token-env", "basic", "basic-file", "basic-env" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (str_eq(name, str_of(names[i])))
			return true;
	}
	return false;
}

static int set_upstream(struct config *c, struct upstream_config *u, str name, str value, struct err *e)
{
	if (str_eq(name, STR("url"))) {
		if (u->is_default)
			return err_set(
				e, ERR_USAGE, "the default upstream's URL is `registry`, before the first section");
		u->url = arena_str(&c->a, value);
	} else if (str_eq(name, STR("scope"))) {
		config_list_add(&c->a, &u->scopes, value);
	} else if (str_eq(name, STR("origin"))) {
		config_list_add(&c->a, &u->origins, value);
	} else if (str_eq(name, STR("alias"))) {
		config_list_add(&c->a, &u->aliases, value);
	} else if (str_eq(name, STR("private-addresses"))) {
		u->private_assumed = false;
		return set_bool(&u->private_addresses, name, value, e);
	} else if (is_credential(name)) {
		return set_credential(c, u, name, value, e);
	} else {
		return err_set(e, ERR_USAGE,
			"no option " STR_FMT " in an upstream; there are url, scope, origin, alias, private-addresses, "
			"token, token-file, token-env, basic, basic-file and basic-env",
			STR_ARG(str_head(name, 100)));
	}
	return 0;
}

static int set_access(struct config *c, struct config_access *r, str name, str value, struct err *e)
{
	if (str_eq(name, STR("packages"))) {
		if (!pattern_valid(value))
			return err_set(e, ERR_USAGE,
				"packages = " STR_FMT ": expected a package's name, in which * stands for anything",
				STR_ARG(str_head(value, 100)));
		config_list_add(&c->a, &r->packages, value);
	} else if (str_eq(name, STR("allow"))) {
		config_list_add(&c->a, &r->allow, value);
	} else {
		return err_set(e, ERR_USAGE, "no option " STR_FMT " in an access rule; there are packages and allow",
			STR_ARG(str_head(name, 100)));
	}
	return 0;
}

bool config_section_shares(enum config_section kind, str name)
{
	return kind == CONFIG_UPSTREAM && is_credential(name); /* of which one is both: token-file */
}

int config_section_set(struct config *c, str name, str value, struct err *e)
{
	/* A credential's value may change while serving; that there is one may not. */
	bool secret = c->section == CONFIG_UPSTREAM && is_credential(name);
	c->sections_hash = (c->sections_hash * 31 + str_hash(name)) * 31 + (secret ? 0 : str_hash(value));
	if (c->section == CONFIG_UPSTREAM) {
		struct upstream_config *u = &c->upstream[c->nupstreams - 1];
		return set_upstream(c, u, name, value, e) < 0 ? err_ctx(e, "upstream " STR_FMT, STR_ARG(u->name)) : 0;
	}
	struct config_access *r = &c->access[c->naccess - 1];
	return set_access(c, r, name, value, e) < 0 ? err_ctx(e, "access " STR_FMT, STR_ARG(r->name)) : 0;
}

/* What the options say of U, and whether it is complete. */
static int upstream_end(struct config *c, struct upstream_config *u, struct err *e)
{
	if (u->is_default) {
		u->url = c->registry;
		for (size_t k = 0; k < c->registry_alias.n; k++)
			config_list_add(&c->a, &u->aliases, c->registry_alias.p[k]);
	}
	if (c->public_url.n) /* who has this server as the registry means what stands behind it */
		config_list_add(&c->a, &u->aliases, c->public_url);
	if (!u->url.n || (!u->is_default && !u->scopes.n))
		return err_set(e, ERR_USAGE,
			"upstream " STR_FMT " needs a url and a scope: lines \"url = URL\" and \"scope = @name\"",
			STR_ARG(u->name));
	return 0;
}

int config_section_end(struct config *c, struct err *e)
{
	bool has_default = false, none = str_eq(c->registry, STR("none"));

	for (size_t i = 0; i < c->nupstreams; i++)
		has_default |= c->upstream[i].is_default;
	if (none && has_default)
		return err_set(e, ERR_USAGE, "[upstream default] says something of a registry that is `none`");
	if (!none && !has_default && begin_upstream(c, STR("default"), e) < 0)
		return e->code;
	for (size_t i = 0; i < c->nupstreams; i++) {
		if (upstream_end(c, &c->upstream[i], e) < 0)
			return e->code;
	}
	for (size_t i = 0; i < c->naccess; i++) {
		if (!c->access[i].packages.n)
			return err_set(e, ERR_USAGE, "access " STR_FMT " needs packages: a line \"packages = PATTERN\"",
				STR_ARG(c->access[i].name));
	}
	/* The policy itself says what else is wrong: scopes twice, URLs, credentials in clear. */
	struct upstreams *u;
	if (upstreams_new(&u, &(struct upstreams_opts){ .upstream = c->upstream, .n = c->nupstreams }, e) < 0)
		return e->code;
	upstreams_free(u);
	return 0;
}
