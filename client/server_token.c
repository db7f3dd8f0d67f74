#include "server_token.h"
#include "url.h"

/* The scheme does not count: .npmrc's keys have none. Both ports are what was written, or the scheme's own. */
static bool same_host(const struct url *a, const struct url *b)
{
	struct url x = *b;

	if (x.port == (x.tls ? 443 : 80))
		x.port = a->tls ? 443 : 80;
	x.tls = a->tls;
	return url_same_origin(a, &x);
}

/* The token for URL out of AUTH, borrowed; "": there is none. */
static str server_token(str url, const struct registry_auth *auth, size_t nauth)
{
	const struct registry_auth *best = NULL;
	struct url at, to;
	size_t depth = 0;
	struct err e;

	if (url_parse(&at, url, &e) < 0 || url_has_dots(&at))
		return STR_NONE;
	for (size_t i = 0; i < nauth; i++) {
		if (!str_starts(auth[i].authorization, STR("Bearer ")) || url_parse(&to, auth[i].url, &e) < 0 ||
			!same_host(&at, &to) || !url_path_below(at.path, to.path))
			continue;
		if (!best || to.path.n > depth) {
			best = &auth[i];
			depth = to.path.n;
		}
	}
	return best ? str_from(best->authorization, 7) : STR_NONE;
}

str server_token_or_env(
	str url, bool from_project, const struct registry_auth *auth, size_t nauth, str env, bool *withheld)
{
	str token = server_token(url, auth, nauth);

	env = str_trim(env); /* a file that it was read from may end its line */
	*withheld = !token.n && env.n && from_project;
	return token.n || from_project ? token : env;
}
