#include "http1_head.h"

struct seen {
	unsigned length, encoding, host;
};

static bool is_name(str s, const char *name)
{
	if (s.n != strlen(name))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if ((c >= 'A' && c <= 'Z' ? (char)(c + 32) : c) != name[i])
			return false;
	}
	return true;
}

/* The line that REST begins with, without its end; false: it has no CR, or there is no line. */
static bool line_take(str *line, str *rest)
{
	const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;

	if (!end || end == rest->p || end[-1] != '\r')
		return false;
	*line = (str){ rest->p, (size_t)(end - rest->p) - 1 };
	*rest = str_from(*rest, line->n + 2);
	return true;
}

static void field_count(struct seen *s, str line)
{
	str name, value;

	str_cut(line, ':', &name, &value);
	s->length += is_name(name, "content-length");
	s->encoding += is_name(name, "transfer-encoding");
	s->host += is_name(name, "host");
}

const char *http1_head_refuse(bool *chunked, str bytes)
{
	static const char end[] = "a line of the request ends without CR";
	struct seen s = { 0 };
	str line, rest = bytes;

	*chunked = false;
	if (!line_take(&line, &rest))
		return end;
	if (line.n == 0 && !line_take(&line, &rest)) /* an empty line before it is ignored (RFC 9112 2.2) */
		return end;
	bool old = line.n >= 8 && memcmp(line.p + line.n - 8, "HTTP/1.0", 8) == 0;
	for (;;) {
		if (!line_take(&line, &rest))
			return end;
		if (line.n == 0)
			break;
		if (line.p[0] == ' ' || line.p[0] == '\t')
			return "a folded header";
		field_count(&s, line);
	}
	if (s.encoding && s.length)
		return "Transfer-Encoding and Content-Length";
	if (s.encoding > 1 || s.length > 1)
		return "the body's length is given twice";
	if (s.encoding && old)
		return "Transfer-Encoding in HTTP/1.0";
	if (s.host > 1)
		return "two Hosts";
	*chunked = s.encoding > 0;
	return NULL;
}
