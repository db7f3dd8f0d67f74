/* upstream — which registries drayd asks, for which names, with which credential, and whether they are well.
 *
 * Owns the policy that fetches are subject to, as the callbacks of store/http
 * and store/registry: what the operator did not list is refused (scheme, host
 * and port have to match), at the first URL and at each redirect; private
 * addresses only where listed; a credential goes only below the URL that it was given for.
 * A name has exactly one upstream: its scope's, or the default one's; there is
 * no falling through. Each origin has a circuit breaker. Any thread. */
#pragma once
#include "registry.h"

/* Filled from the operator's configuration; borrowed for upstreams_new(). */
struct upstream_config {
	str name;               /* for messages and metrics */
	str url;                /* the registry, "https://host/path/" */
	struct str_list scopes; /* "@acme": names in them come from here and from nowhere else */
	bool is_default;        /* names in no listed scope come from here; at most one upstream */
	str authorization;      /* whole header value; empty: none. Over clear HTTP only to private hosts */
	bool private_addresses; /* its hosts may be in private ranges */
	bool private_assumed;   /* nobody has said so: that alone lets no credential travel in clear */
	/* "https://cdn.test": where its tarballs may be, besides its own origin; no credential goes there. */
	struct str_list origins;
	struct str_list aliases; /* registry URLs that clients may name and that mean this one */
};
struct upstreams_opts {
	const struct upstream_config *upstream;
	size_t n;
	unsigned break_after;      /* failures in a row that open the breaker; 0: 5 */
	unsigned break_ms;         /* first pause, doubled at each failed probe; 0: 5,000 */
	unsigned break_most_ms;    /* longest pause; 0: 120,000 */
	int64_t (*now_ms)(void *); /* for tests; NULL: the monotonic clock */
	void *now_ctx;
};
struct upstreams;
/* ERR_USAGE: malformed URLs or scopes, a scope or the default given twice, a credential over clear HTTP. */
MUST_USE int upstreams_new(struct upstreams **out, const struct upstreams_opts *o, struct err *e);
/* After http and registry are gone. */
void upstreams_free(struct upstreams *u);

/* Puts the policy into O: allow, allow_private, allow_ctx, !private_addresses. Lives as long as U. */
void upstreams_guard(struct upstreams *u, struct http_opts *o);
/* Puts credentials, observer and the hint for messages into O. */
void upstreams_credentials(struct upstreams *u, struct registry_opts *o);

/* The registry URL that NAME comes from (with trailing slash; lives as long as U). ASKED: the registry that a client
 * has in mind; empty: whatever the server says. ERR_POLICY: no upstream for NAME, or ASKED means another. */
MUST_USE int upstream_route(str *url, const struct upstreams *u, str name, str asked, struct err *e);
/* The two directions of an alias, for a URL of NAME's tarball: below the upstream's URL → below ASKED, the
 * registry that the client has in mind; below any alias → below the upstream's. Anything else comes back as
 * it is. Borrowed or in A. */
str upstream_alias_of(const struct upstreams *u, str name, str asked, str url, struct arena *a);
str upstream_of_alias(const struct upstreams *u, str name, str url, struct arena *a);
/* May the tarball of NAME be fetched from URL? Its origin has to be one of NAME's upstream; another upstream's only
 * when that needs no credential, so that a public packument cannot make the server fetch what only its own credential
 * opens. NAME empty: a URL dependency, which may use no credential either. ERR_POLICY. */
MUST_USE int upstream_tarball(const struct upstreams *u, str name, str url, struct err *e);

enum upstream_state { UPSTREAM_CLOSED = 0, UPSTREAM_OPEN, UPSTREAM_PROBING };
struct upstream_health {
	str name, origin; /* live as long as U */
	enum upstream_state state;
	uint64_t answers, failures; /* attempts that ended so */
	unsigned failed_in_a_row;
	uint64_t opened, refused; /* times the breaker opened; requests it refused */
	int64_t retry_in_ms;      /* while open */
};
/* Of origin number I; false past the last one. */
bool upstream_health(struct upstreams *u, size_t i, struct upstream_health *out);
/* URLs that were refused because nobody listed their origin. */
uint64_t upstreams_denied(struct upstreams *u);
