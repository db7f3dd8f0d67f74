#include "http_impl.h"

/* "bytes 100-199/200", the length may be "*" (RFC 9110 14.4). */
static bool range_parse(str s, uint64_t *from, uint64_t *to, uint64_t *whole)
{
	str unit, range, first, last, length;

	*whole = 0;
	return str_cut(s, ' ', &unit, &range) && str_eq(unit, STR("bytes")) && str_cut(range, '/', &range, &length) &&
	       str_cut(range, '-', &first, &last) && str_u64(first, from) && str_u64(last, to) && *from <= *to &&
	       (str_eq(length, STR("*")) || (str_u64(length, whole) && *to < *whole));
}

/* Whether the answer is what was missing, all of it and nothing else. */
static bool is_the_rest(const struct http_call *c)
{
	uint64_t from, to, whole;

	if (c->res.status != 206 || !range_parse(c->res.content_range, &from, &to, &whole))
		return false;
	if (whole && c->whole && whole != c->whole)
		return false;
	whole = whole ? whole : c->whole;
	return from == c->kept && whole && to + 1 == whole;
}

void http_body_void(struct http_call *c)
{
	if (c->gave_data)
		(void)c->r.data(c->r.arg, NULL, 0);
	c->gave_data = false;
	c->kept = c->given = c->whole = 0;
	c->strong = STR_NONE;
}

bool http_body_begin(struct http_call *c)
{
	c->begun = true;
	if (c->kept && c->res.status == 206) {
		c->wrong = !is_the_rest(c);
		return !c->wrong;
	}
	http_body_void(c);
	if (c->res.content_length > 0)
		c->whole = (uint64_t)c->res.content_length;
	if (str_starts(c->res.etag, STR("\"")) && c->r.resume)
		c->strong = arena_str(&c->text, c->res.etag);
	if (c->whole && c->r.length)
		c->r.length(c->r.arg, c->whole);
	return true;
}

void http_body_end(struct http_call *c, int code)
{
	bool complete = code == 0 && c->res.status / 100 == 2; /* and yet not what it should be */

	if (!c->r.resume || complete || c->wrong || c->res.status == 416)
		http_body_void(c);
	c->kept += c->given;
	c->given = 0;
}
