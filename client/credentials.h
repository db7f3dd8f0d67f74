/* credentials — registries, credentials, TLS and proxies: what .npmrc files and the environment say of them.
 *
 * Layers, strongest first: URL-scoped environment variables, the project's
 * file, pnpm's auth.ini, the user's file. In the project's file `${VAR}` is not
 * taken in credentials or addresses, as pnpm does: a repository must not send
 * a user's variables away. Other settings in these files are ignored, as pnpm
 * does. Everything lives in the arena. */
#pragma once
#include "registry.h"
#include "settings.h"

struct credential {
	str uri; /* "//host/path/", or empty: for the default registry */
	str token, basic, username, password;
};
struct credentials {
	struct arena *a;
	char **env;
	str registry; /* with a trailing slash, or empty */
	struct registry_route *scope;
	size_t nscope;
	struct credential *cred;
	size_t ncred;
	str cafile, ca, https_proxy, http_proxy, no_proxy, strict_ssl;
	struct str_list warnings;
};

/* Adds a layer below those already added. PROJECT: the file comes from the project, see above. ERR_UNSUPPORTED for
 * tokenHelper and client certificates. DIR: the file's folder, for cafile. */
int credentials_add(struct credentials *n, str text, str path, str dir, bool project, struct err *e);
/* npm_config_//host/:_authToken and pnpm_config_//…; call it first. */
int credentials_add_env(struct credentials *n, struct err *e);
/* The table for store/registry.h; DEFAULT_URL and ROUTES give the scheme of each "//host/".
 * ERR_PARSE for a broken password. */
int credentials_auth(const struct credentials *n, str default_url, const struct registry_route *routes, size_t nroutes,
	struct registry_auth **out, size_t *nout, struct err *e);
/* Value of a variable in ENV, or absent. */
str env_get(char **env, const char *name);
