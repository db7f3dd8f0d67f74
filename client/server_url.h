/* server_url — "http[s]://host[:port][/prefix]" of a drayd, taken apart. Pure. */
#pragma once
#include "base/base.h"

struct server_url {
	bool tls;
	str host, port, authority; /* authority as it goes into :authority */
	str prefix;                /* of every path: empty, or "/x" without a slash at its end */
};
/* Strings live in A. ERR_USAGE. */
MUST_USE int server_url_parse(struct server_url *out, str url, struct arena *a, struct err *e);
