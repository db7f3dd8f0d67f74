/* net_opts — a project's settings as options of store/http.h and store/registry.h: TLS,
 * proxies, retries, credentials. */
#pragma once
#include "project.h"

/* Tarballs that one registry is asked for at once, of the requests in all: what is under way early, before any
 * window has grown, is what a short download waits for. */
enum { NET_TARBALLS = 96, NET_REQUESTS = 128 };

struct net_opts {
	struct http_opts http;
	struct registry_opts registry;
};
/* Strings live in A or in P. An inline "ca" goes through a temporary in memory that lives as long as the process. */
MUST_USE int net_opts_make(struct net_opts *out, const struct project *p, struct arena *a, struct err *e);
