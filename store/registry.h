/* registry — what npm's registry protocol asks of a client: URLs, headers, credentials, retries.
 *
 * Sits on http.h. Credentials are looked up by URL prefix in a table that the
 * owner fills (.npmrc on the client, upstream config in drayd), sent only over the scheme and host they
 * were given for, and never appear in messages. Retries: connection failures,
 * 408, 429, 5xx and broken bodies, with jittered back-off, Retry-After honoured. */
#pragma once
#include "http.h"
#include "packument.h"

struct registry_auth {
	str url;           /* "https://host/path/" it is valid below */
	str authorization; /* whole header value, "Bearer …" or "Basic …" */
};
struct registry_opts {
	struct registry_auth *auth;
	size_t nauth;
	unsigned retries;      /* 0: 2, as pnpm's fetch-retries */
	unsigned retry_min_ms; /* 0: 1,000 (pnpm: 10,000) */
	unsigned retry_max_ms; /* 0: 60,000 */
	str user_agent;
};
struct registry;
MUST_USE int registry_new(struct registry **out, struct http *h, const struct registry_opts *o, struct err *e);
void registry_free(struct registry *r);

struct registry_packument {
	bool not_modified; /* 304: nothing else is set */
	str json;          /* decoded body, borrowed for the call */
	str etag, last_modified;
	int64_t max_age_s; /* -1: none stated */
};
/* done runs on the fetch thread, once; CODE is ERR_NOTFOUND for 404, ERR_AUTH for 401/403, … with name and URL in the message. */
typedef void registry_packument_done(void *arg, int code, const struct registry_packument *p, const struct err *e);
void registry_packument(struct registry *r, str registry_url, str name, enum packument_form form, str etag,
	registry_packument_done *done, void *arg);

/* A tarball: chunks to DATA as http_request.data, which is told when a retry starts over (p == NULL). */
struct registry_tarball {
	str url, name;     /* name for messages */
	uint64_t max_body; /* 0: 1 GiB */
	int priority;
	ptrdiff_t (*data)(void *arg, const void *p, size_t n);
	void (*done)(void *arg, int code, uint64_t bytes, const struct err *e);
	void *arg;
};
struct http_call *registry_tarball(struct registry *r, const struct registry_tarball *t);
