/* http — requests to registries: the one includer of libcurl, which is loaded only when the first request starts.
 *
 * One fetch thread (curl_multi_poll); callbacks run on it and must not block.
 * At most `max_active` requests are under way, the rest wait in order of
 * priority. No automatic decoding. Every body has a bound. Redirects are
 * followed here, at most 5, asking `allow` again for each; the address is
 * checked when the socket opens. */
#pragma once
#include "base/base.h"

struct http;
struct http_opts {
	unsigned max_active;         /* 0: 128 */
	unsigned max_per_host;       /* connections; 0: 64 */
	unsigned connect_timeout_ms; /* 0: 30,000 */
	unsigned stall_timeout_ms;   /* no byte for this long: ERR_TIMEOUT; 0: 60,000 */
	const char *ca_file;         /* NULL: the system's */
	const char *proxy;           /* NULL: http_proxy and https_proxy of the environment */
	bool private_addresses;      /* the client may reach loopback and private ranges; drayd only where listed */
	/* May URL be fetched? NULL: anything. Called for the first URL and each redirect. */
	bool (*allow)(void *ctx, str url, struct err *e);
	void *allow_ctx;
};
MUST_USE int http_new(struct http **out, const struct http_opts *o, struct err *e);
/* Cancels what is under way (their done callbacks get ERR_CANCELLED), joins the thread. */
void http_free(struct http *h);

struct http_response {
	long status; /* 0 when none arrived */
	str etag, last_modified, content_type, content_encoding, retry_after, cache_control;
	int64_t content_length; /* -1 unknown */
	uint64_t received;      /* body bytes */
};
struct http_request {
	str url, method;   /* GET when empty */
	str headers;       /* "Name: value\n" lines; copied */
	str body;          /* copied */
	uint64_t max_body; /* bytes; past it ERR_TOOBIG */
	int priority;      /* higher first */
	/* Body bytes as they arrive, only for 2xx (fetch thread). Returns bytes taken: N, or 0 to pause until http_resume(), or
	 * negative to abort. NULL: the body is collected and given to done. */
	ptrdiff_t (*data)(void *arg, const void *p, size_t n);
	/* Exactly once, on the fetch thread. CODE 0 when a complete response arrived, of whatever status. */
	void (*done)(void *arg, int code, const struct http_response *r, str body, const struct err *e);
	void *arg;
};
struct http_call;
/* Queues it. The handle is valid until done has returned. */
struct http_call *http_start(struct http *h, const struct http_request *r);
void http_resume(struct http *h, struct http_call *c);
void http_cancel(struct http *h, struct http_call *c);
