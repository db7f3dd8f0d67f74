/* http — requests to registries, over libcurl (http_curl.c includes it), which is loaded only when
 * the first request starts.
 *
 * One fetch thread (epoll, curl_multi_socket_action); callbacks run on it and must not block. At most `max_active`
 * requests are under way, the rest wait in order of priority. No automatic decoding. Every body has a bound. Redirects
 * (of GET and HEAD) are followed here, at most 5, asking `allow` again for each, never from https to http, without
 * credentials once the origin changed; the address is checked when the socket opens. */
#pragma once
#include "base/base.h"

struct http;
/* HTTP/2 is spoken over TLS where the server offers it, many requests on few connections; HTTP/1.1 with one request a
 * connection at a time. In clear it is always HTTP/1.1. */
enum http_version { HTTP_VERSION_DEFAULT = 0, HTTP_VERSION_1, HTTP_VERSION_2 };
struct http_opts {
	bool ready;            /* libcurl is loaded now: for a server, which will need it */
	unsigned max_active;   /* 0: 128 */
	unsigned max_per_host; /* requests to one origin that have a connection each, unless they are small; 0: 64 */
	/* For a server, whose requests are many peoples': of those to one origin that are small, of those that share
	 * connections, and of the others, each kind takes at most three quarters of what is left of max_active, so that
	 * whatever hangs leaves some to the rest. */
	bool keep_room;
	unsigned connect_timeout_ms; /* 0: 30,000 */
	unsigned stall_timeout_ms;   /* no byte for this long: ERR_TIMEOUT; 0: 60,000; not counted while paused */
	enum http_version version;   /* for requests that say nothing; 0: HTTP_VERSION_2 */
	const char *ca_file;         /* NULL: the system's */
	bool insecure_tls;           /* certificates are not checked (strict-ssl=false) */
	/* NULL: http_proxy, https_proxy and no_proxy of the environment, but with !private_addresses none: a proxy
	 * resolves names itself, so a server's operator names it, and it is then what confines. */
	const char *proxy;
	const char *https_proxy; /* for https URLs; NULL: PROXY */
	const char *no_proxy;    /* hosts, comma-separated; NULL: the environment's */
	bool private_addresses;  /* the client may reach loopback and private ranges; drayd only where listed */
	/* May URL be fetched? NULL: anything. Called for the first URL and each redirect, on the fetch thread. */
	bool (*allow)(void *ctx, str url, struct err *e);
	/* May URL's host have a private address? Asked where !private_addresses; NULL: no. On the fetch thread. */
	bool (*allow_private)(void *ctx, str url);
	void *allow_ctx;
};
/* Starts the fetch thread. Strings of O are copied. */
MUST_USE int http_new(struct http **out, const struct http_opts *o, struct err *e);
/* From now on every request ends with ERR_CANCELLED, those under way and new ones. Any thread; does not wait. */
void http_stop(struct http *h);
/* Cancels what is under way (their done callbacks get ERR_CANCELLED), joins the thread. NULL is
 * fine; never from a callback. */
void http_free(struct http *h);

struct http_response {
	long status; /* 0 when none arrived */
	str etag, last_modified, content_type, content_encoding, retry_after, cache_control, content_range;
	int64_t content_length; /* -1 unknown */
	struct buf *memory;     /* the collected body's: done may take it over */
	uint64_t received; /* body bytes; of the last attempt where `again` is asked, of the whole where done is told */
	/* Failed in a way that asking again will not change: policy, TLS verification, a malformed URL. */
	bool hopeless;
};
struct http_request {
	str url, method;   /* GET when empty; copied */
	str headers;       /* "Name: value\n" lines; copied */
	str body;          /* copied */
	uint64_t max_body; /* bytes; past it ERR_TOOBIG; 0: 64 MiB */
	int priority;      /* higher first */
	enum http_version version;
	/* The answer is small: the round trip is what it costs. Where one connection cannot have many of these,
	 * max_per_host does not bind them: they get up to max_active connections (with keep_room three quarters of it),
	 * which the requests of max_per_host share with them. */
	bool small;
	bool holdable; /* http_hold() holds it: what it brings is work for who may be behind with it */
	/* Body bytes as they arrive, only for 2xx (fetch thread). Returns bytes taken: N, or 0 to pause until
	 * http_resume(), or negative to abort (ERR_CANCELLED). p == NULL, n == 0: what was given before is void, the
	 * body starts over (only after `again`; the result is ignored). NULL: the body is collected and given to done.
	 * Bodies of another status are always collected, up to 64 KiB, the rest is cut off. */
	ptrdiff_t (*data)(void *arg, const void *p, size_t n);
	/* Told before a body's first byte goes to `data`, and again when it starts over, if the response states how
	 * long it is. NULL: nobody. */
	void (*length)(void *arg, uint64_t n);
	/* A body that broke off goes on where it did when the request runs again: Range, and If-Range where its ETag is
	 * strong. Only a 206 with exactly the rest is appended; any other answer of 2xx starts the body over, as above.
	 * Who asks so verifies the whole. RFC 9110 13.1.5, 14. */
	bool resume;
	/* Asked before done, unless cancelled: milliseconds after which the request runs again, from the first URL on
	 * and under the same handle, or -1 for done. May replace E's contents. NULL: never again. */
	int64_t (*again)(void *arg, int code, const struct http_response *r, str body, struct err *e);
	/* Exactly once, on the fetch thread. CODE 0 when a complete response arrived, of whatever status. R and BODY
	 * are borrowed for the call. After a failure E names method, URL and reason. */
	void (*done)(void *arg, int code, const struct http_response *r, str body, const struct err *e);
	void *arg;
};
struct http_call;
/* Queues it. The handle is valid until done has returned: who uses it from another thread takes a lock that done takes
 * too. done may run before this returns. */
struct http_call *http_start(struct http *h, const struct http_request *r);
/* Reading goes on after `data` took nothing. Any thread, while the handle is valid. */
void http_resume(struct http *h, struct http_call *c);
/* Ends with ERR_CANCELLED; done comes later, on the fetch thread. Any thread, while the handle is valid. */
void http_cancel(struct http *h, struct http_call *c);
/* While HELD no `holdable` request starts, and of those that are answered in HTTP/1.1 no body is read past HTTP_HELD
 * bytes: their sockets fill. Most end before that, and to stop and start one costs more than the memory that it takes.
 * Those answered in HTTP/2 share a connection, which would stand as a whole: what has begun is read to its end, that is
 * at most max_active bodies of max_body each. Other requests go on. For who cannot work off what has come, of whom
 * there may be several: each says true, then false, and it is held as long as one of them does. Any thread. */
#define HTTP_HELD (64u << 10)
void http_hold(struct http *h, bool held);

struct http_counts {
	uint64_t requests;    /* sent, redirects and repeats included */
	uint64_t repeats;     /* after `again` */
	uint64_t connections; /* sockets opened */
	uint64_t received;    /* body bytes */
	unsigned most_active;
};
/* So far. Any thread. */
struct http_counts http_counts(struct http *h);
