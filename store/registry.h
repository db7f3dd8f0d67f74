/* registry — what npm's registry protocol asks of a client: URLs, headers, credentials, retries.
 *
 * Sits on http.h. Credentials are looked up by URL prefix (the longest counts) in a table that the
 * owner fills (.npmrc on the client, upstream config in drayd), sent only over the scheme, host and port they
 * were given for, and never appear in messages. Retries: connection failures,
 * 408, 429, 5xx and broken bodies, with jittered back-off, Retry-After honoured
 * up to retry_max_ms. Any thread may ask; callbacks run on the fetch thread. */
#pragma once
#include "http.h"
#include "packument.h"

struct registry_auth {
	str url;           /* "https://host/path/" it is valid below */
	str authorization; /* whole header value, "Bearer …" or "Basic …" */
};
struct registry_opts {
	struct registry_auth *auth; /* copied */
	size_t nauth;
	unsigned retries;      /* 0: 2, as pnpm's fetch-retries */
	bool no_retries;       /* not even one */
	unsigned retry_min_ms; /* 0: 1,000 (pnpm: 10,000) */
	unsigned retry_max_ms; /* 0: 60,000 */
	str user_agent;        /* empty: dray/<version> */
	str auth_hint;         /* where a credential belongs, for messages; empty: .npmrc with the key that npm uses */
	/* Told of every attempt's end: STATUS 0 when no response arrived. On the fetch thread; NULL:
	 * nobody. For a circuit breaker. */
	void (*observe)(void *ctx, str url, long status, int code);
	void *observe_ctx;
};
struct registry;
/* ERR_USAGE: a credential's URL or value is malformed (the value is not shown). */
MUST_USE int registry_new(struct registry **out, struct http *h, const struct registry_opts *o, struct err *e);
/* The credential that was given for URL, whose last slash does not count, has another value from now on. False: there
 * was none for it, or AUTHORIZATION is malformed. One thread at a time. */
bool registry_reauthorize(struct registry *r, str url, str authorization);
/* How often what failed is tried again. */
unsigned registry_retries(const struct registry *r);
/* Waits for its requests that are under way: http_stop() before, to cut that short. Never from a callback. */
void registry_free(struct registry *r);

struct registry_packument {
	bool not_modified;  /* 304: nothing else is set, but max_age_s */
	str raw;            /* the body as received, borrowed for the call: for registry_decode() on another thread */
	struct buf *memory; /* raw's, which may be taken over */
	bool gzip;          /* how raw is encoded */
	str validator;     /* what to ask again with: its ETag, or its Last-Modified when it has none; empty: neither */
	int64_t max_age_s; /* -1: none stated */
};
/* VALIDATOR is that of what the caller has: If-None-Match, or If-Modified-Since when it is a date (RFC 9110 13.1). done
 * runs on the fetch thread, once; CODE is ERR_NOTFOUND for 404, ERR_AUTH for 401/403, ERR_PARSE for HTML, … with name
 * and URL in the message; a broken body is the caller's to find. REGISTRY_URL with or without a trailing slash.
 * HOLDABLE: registry_hold() holds it. */
typedef void registry_packument_done(void *arg, int code, const struct registry_packument *p, const struct err *e);
void registry_packument(struct registry *r, str registry_url, str name, enum packument_form form, str validator,
	bool holdable, registry_packument_done *done, void *arg);
/* While HELD, by anybody, no more holdable packuments are asked for, and none is read but over HTTP/2
 * (http_hold). Any thread. */
void registry_hold(struct registry *r, bool held);
/* Decodes RAW of a packument; at most PACKUMENT_MAX_JSON bytes. OUT is appended to. ERR_TOOBIG,
 * ERR_PARSE. Pure, any thread. */
MUST_USE int registry_decode(struct buf *out, str raw, bool gzip, struct err *e);

/* When the packument of NAME changed last, by its Last-Modified, without asking for it (HEAD, not repeated): Unix time
 * in ms; 0 when the registry does not say, or the request failed in any way. done runs on the fetch thread, once. */
void registry_modified(struct registry *r, str registry_url, str name, void (*done)(void *arg, int64_t ms), void *arg);

/* A tarball: chunks to DATA as http_request.data. A download that breaks off goes on where it did; when the registry
 * starts over instead, DATA is told (p == NULL). LENGTH as http_request.length; may be NULL. */
struct registry_tarball {
	str url, name;     /* name for messages */
	uint64_t max_body; /* 0: 1 GiB */
	int priority;
	ptrdiff_t (*data)(void *arg, const void *p, size_t n);
	void (*length)(void *arg, uint64_t n);
	void (*done)(void *arg, int code, uint64_t bytes, const struct err *e);
	void *arg;
};
/* The handle is for http_resume() and http_cancel() and stays the same over retries. */
struct http_call *registry_tarball(struct registry *r, const struct registry_tarball *t);

/* For whoever makes requests of its own (a registry surface that passes on): the Authorization
 * value for URL, or empty. */
str registry_authorization(const struct registry *r, str url);
/* How long to wait before try ATTEMPT + 1, counted from 0: twice as long each time, up to MAX_MS, and of that between a
 * half and the whole, as RANDOM says, so that those who failed together do not come back together. Pure. */
int64_t registry_backoff_ms(uint64_t random, unsigned attempt, int64_t min_ms, int64_t max_ms);
