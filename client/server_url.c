#include "server_url.h"

int server_url_parse(struct server_url *out, str url, struct arena *a, struct err *e)
{
	struct server_url u = { .tls = str_starts(url, STR("https://")) };
	str rest;
	uint64_t n;

	if (!u.tls && !str_starts(url, STR("http://")))
		return err_set(e, ERR_USAGE, "server \"" STR_FMT "\": expected http:// or https://", STR_ARG(url));
	rest = arena_str(a, str_from(url, u.tls ? 8 : 7));
	str_cut(rest, '/', &u.authority, &rest);
	while (str_ends(rest, STR("/")))
		rest.n--;
	u.prefix = rest.n ? arena_printf(a, "/" STR_FMT, STR_ARG(rest)) : STR("");
	u.host = u.authority;
	u.port = u.tls ? STR("443") : STR("80");
	size_t bracket = str_find(u.host, ']', 0);
	if (bracket != SIZE_MAX && str_starts(u.host, STR("["))) {
		if (bracket + 2 < u.host.n && u.host.p[bracket + 1] == ':')
			u.port = str_from(u.host, bracket + 2);
		u.host = (str){ u.host.p + 1, bracket - 1 };
	} else if (str_find(u.host, ':', 0) != SIZE_MAX) {
		str_cut(u.host, ':', &u.host, &u.port);
	}
	if (!u.host.n || str_find(u.authority, '@', 0) != SIZE_MAX || !str_u64(u.port, &n) || n == 0 || n > 65535)
		return err_set(e, ERR_USAGE, "server: expected http[s]://host[:port], without a user name");
	*out = u;
	return 0;
}
