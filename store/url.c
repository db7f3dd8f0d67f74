#include "url.h"
#include <strings.h>

static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
	       c == '_';
}

static bool v6_char(char c)
{
	return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == '.' || c == ':';
}

static bool all(str s, bool (*ok)(char))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!ok(s.p[i]))
			return false;
	}
	return s.n > 0;
}

/* Splits "host:port" or "[v6]:port"; false when it is neither. */
static bool host_port(struct url *u, str s)
{
	str port = STR_NONE;

	if (s.n && s.p[0] == '[') {
		size_t end = str_find(s, ']', 0);
		if (end == SIZE_MAX || !all((str){ s.p + 1, end - 1 }, v6_char))
			return false;
		u->host = str_head(s, end + 1);
		port = str_from(s, end + 1);
		if (port.n && port.p[0] != ':')
			return false;
		port = str_from(port, 1);
	} else {
		str_cut(s, ':', &u->host, &port);
		if (!all(u->host, host_char))
			return false;
	}
	u->port = u->tls ? 443 : 80;
	uint64_t n;
	if (port.n == 0)
		return s.p[s.n - 1] != ':';
	if (port.n > 5 || !str_u64(port, &n) || n == 0 || n > UINT16_MAX)
		return false;
	u->port = (uint16_t)n;
	return true;
}

static size_t find_any(str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (strchr(set, s.p[i]))
			return i;
	}
	return s.n;
}

static bool has_bad_byte(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= 0x20 || c >= 0x7f || c == '\\')
			return true;
	}
	return false;
}

int url_parse(struct url *out, str text, struct err *e)
{
	struct url u = { 0 };

	if (text.n > URL_MAX)
		return err_set(e, ERR_USAGE, "a URL of %zu bytes, over the limit of %u", text.n, URL_MAX);
	if (has_bad_byte(text))
		return err_set(e, ERR_USAGE, "a URL has a space, backslash or byte outside ASCII; percent-encode it");
	u.tls = text.n >= 8 && strncasecmp(text.p, "https://", 8) == 0;
	if (!u.tls && !(text.n >= 7 && strncasecmp(text.p, "http://", 7) == 0))
		return err_set(e, ERR_USAGE, "a URL does not start with http:// or https://");
	str rest = str_from(text, u.tls ? 8 : 7);
	str authority = str_head(rest, find_any(rest, "/?#"));
	rest = str_from(rest, authority.n);
	rest = str_head(rest, find_any(rest, "#"));
	size_t query = find_any(rest, "?");
	u.path = query ? str_head(rest, query) : STR("/");
	u.query = str_from(rest, query);
	size_t at = str_find(authority, '@', 0);
	if (at != SIZE_MAX) {
		u.userinfo = str_head(authority, at);
		authority = str_from(authority, at + 1);
	}
	if (!host_port(&u, authority))
		return err_set(e, ERR_USAGE, "a URL has no host, or a host or port that is malformed");
	*out = u;
	return 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port && a->host.n == b->host.n &&
	       strncasecmp(a->host.p, b->host.p, a->host.n) == 0;
}

static bool dots_segment(str s)
{
	size_t n = 0;

	while (s.n) {
		size_t step = s.p[0] == '.' ? 1 : s.n >= 3 && strncasecmp(s.p, "%2e", 3) == 0 ? 3 : 0;
		if (step == 0)
			return false;
		s = str_from(s, step);
		n++;
	}
	return n == 1 || n == 2;
}

bool url_has_dots(const struct url *u)
{
	str segment, rest = u->path;

	while (rest.n) {
		str_cut(rest, '/', &segment, &rest);
		if (dots_segment(segment))
			return true;
	}
	return false;
}

bool url_path_below(str path, str prefix)
{
	while (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	return str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

static void put_lower(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(out, (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]));
}

void url_put_public(struct buf *out, str text)
{
	struct url u;
	struct err e;

	if (url_parse(&u, text, &e) < 0) {
		buf_add(out, STR("(malformed URL)"));
		return;
	}
	buf_add(out, u.tls ? STR("https://") : STR("http://"));
	buf_add(out, u.host);
	if (u.port != (u.tls ? 443 : 80))
		buf_printf(out, ":%u", u.port);
	buf_add(out, u.path);
}

void url_put_origin(struct buf *out, const struct url *u)
{
	buf_add(out, u->tls ? STR("https://") : STR("http://"));
	put_lower(out, u->host);
	buf_printf(out, ":%u", u->port);
}
