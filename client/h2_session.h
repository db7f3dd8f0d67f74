/* h2_session — one HTTP/2 connection to a drayd, over TLS or in clear: the one includer of nghttp2.
 *
 * Never blocks (but for the name's lookup in h2_open()) and starts no thread:
 * its owner polls h2_fd() for h2_events() until h2_deadline_ms(), then calls
 * h2_drive(). Several sessions can share one thread. Windows are 16 MiB, or what the owner wants, and
 * never updated behind the owner's back: the connection's is returned when
 * bytes arrive, a stream's by h2_consume(), so that one stalled stream
 * does not starve the others (RFC 9113 6.9). Liveness: PING after 15 s
 * without a byte while streams are open, ERR_NET after 30 s more. After a GOAWAY streams
 * finish, new ones are ERR_BUSY. */
#pragma once
#include "base/base.h"

struct h2;
struct h2_opts {
	str host, port;
	bool tls;
	const char *ca_file; /* NULL: the system's; ignored in clear */
	unsigned connect_ms; /* until TCP, TLS and ALPN are done */
	uint32_t window;     /* of a stream, in bytes; 0: 16 MiB */
	/* Authorities as they were read, for all sessions of one thread that are given the same place,
	 * NULL at first: the system's take some 20 ms to read. The owner of the place calls h2_tls_free().
	 * NULL: read for this session. */
	struct ssl_ctx_st **tls_kept;
};
/* The authorities in *KEPT, when no session that uses them is left. */
void h2_tls_free(struct ssl_ctx_st **kept);
/* Starts connecting. ERR_NET when the name has no address. */
MUST_USE int h2_open(struct h2 **out, const struct h2_opts *o, struct err *e);
/* Changes while it connects, from one address to the next. */
int h2_fd(const struct h2 *h);
/* POLLIN and POLLOUT as poll(2) has them. */
short h2_events(const struct h2 *h);
/* On the monotonic clock, or -1. */
int64_t h2_deadline_ms(const struct h2 *h);
/* Reads, writes, calls back. Negative when the connection is lost (each open stream's done has been called with the
 * same): ERR_TIMEOUT past the connect budget, ERR_NET, ERR_PROTOCOL without ALPN h2. */
MUST_USE int h2_drive(struct h2 *h, struct err *e);
/* The same where poll() told nothing of h2_fd(): sends what is to be sent, and looks at the time. */
MUST_USE int h2_flush(struct h2 *h, struct err *e);
/* Connected, TLS and ALPN done, the preface about to go. */
bool h2_ready(const struct h2 *h);
/* A GOAWAY has come: what was asked for may end, nothing new can be asked. */
bool h2_going(const struct h2 *h);
/* Tells nobody: streams that are open end without their done(). NULL is fine. */
void h2_close(struct h2 *h);

struct h2_response {
	int status;
	char content_type[96], need[32], plan[16], retry_after[16];
};
struct h2_request {
	str method, path, authority;
	str content_type, authorization; /* empty: not sent */
	str body;                        /* borrowed until done */
	/* Bytes as they arrive, after the headers. Give their window back with h2_consume(). A negative code resets the
	 * stream, and nothing more is told but its end. */
	int (*data)(void *arg, const struct h2_response *r, const void *p, size_t n);
	/* Once. CODE 0: the stream ended in order. */
	void (*done)(void *arg, int code, const struct h2_response *r, const struct err *e);
	void *arg;
};
/* *id names the stream. ERR_BUSY after a GOAWAY. */
MUST_USE int h2_send(struct h2 *h, int32_t *id, const struct h2_request *r, struct err *e);
/* Resets the stream: data() is told nothing more, done() ERR_CANCELLED, from h2_drive() or h2_flush(). */
void h2_cancel(struct h2 *h, int32_t id);
/* N bytes that data() was given are worked off: their part of the stream's window is the peer's again. */
void h2_consume(struct h2 *h, int32_t id, size_t n);
