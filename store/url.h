/* url — the http and https URLs that dray asks, taken apart strictly.
 *
 * Stricter than RFC 3986 on purpose: what is decided about a URL here (may it
 * be fetched, who gets a credential) must be what libcurl then does, so
 * anything that two parsers could read differently is refused: backslashes,
 * control characters, spaces, a second @, hosts that are neither plain names
 * nor bracketed IPv6 addresses. Pure; results borrow from the text. */
#pragma once
#include "base/base.h"

#define URL_MAX 8192u /* bytes */

struct url {
	bool tls;      /* https */
	str userinfo;  /* without the @; {NULL, 0} when there is none */
	str host;      /* with brackets when it is an IPv6 address */
	uint16_t port; /* the scheme's when none is written */
	str path;      /* from its slash, without query and fragment; "/" when empty */
	str query;     /* from its question mark; may be empty */
};

/* ERR_USAGE names what is wrong; messages never show userinfo or query. */
MUST_USE int url_parse(struct url *out, str text, struct err *e);
/* Scheme, host (ASCII case ignored) and port are equal. */
bool url_same_origin(const struct url *a, const struct url *b);
/* Whether the path has a segment that is "." or ".." in any spelling, which servers and clients may take away. */
bool url_has_dots(const struct url *u);
/* Whether PATH is the folder PREFIX (with or without its trailing slash) or below it. */
bool url_path_below(str path, str prefix);
/* Appends the URL as a message may show it: without userinfo, query and fragment. Of what cannot be
 * parsed: "(malformed URL)". */
void url_put_public(struct buf *out, str text);
/* Appends scheme://host:port, lower case, port always written. */
void url_put_origin(struct buf *out, const struct url *u);
