/* http_impl — what http.c, http_body.c and http_curl.c share; nobody else includes it.
 *
 * http.c has the calls' lives: queue, limits, redirects, repeats, cancelling, the fetch thread. http_body.c has what of
 * a body is kept when it breaks off. http_curl.c has one transfer, waiting, and everything that names libcurl. All of
 * it runs on the fetch thread, except where a lock is named. */
#pragma once
#include "http.h"
#include "http_queue.h"
#include "url.h"
#include "workq.h"
#include <stdatomic.h>

struct curl_api;
enum call_state { CALL_NEW, CALL_WAITING, CALL_ACTIVE, CALL_DELAYED };
struct http_call {
	struct http *h;
	struct http_wait wait;
	enum call_state state;
	struct http_request r;       /* method, headers, body: copies in `text` */
	struct arena text, head;     /* of the request; of the response's headers */
	const char *url, *first_url; /* where it is now; in `text` */
	struct url at;               /* url, taken apart */
	bool no_credentials;         /* a redirect has left the first origin */
	unsigned redirects;
	void *easy;  /* libcurl's handle while active */
	void *lines; /* and its headers */
	struct http_response res;
	struct buf body;
	uint64_t given;    /* body bytes of this attempt that `data` took */
	uint64_t kept;     /* and those of earlier ones that this one goes on from */
	uint64_t whole;    /* how long the body is of which they are; 0: not stated */
	str strong;        /* its ETag, when that is a strong one; in `text` */
	bool begun, wrong; /* the attempt's first byte was looked at; it is not what was asked for */
	size_t header_bytes;
	bool paused, held, cut, gave_data, by_proxy, refused_address;
	bool multiplexed; /* the response is in HTTP/2, whatever was asked for */
	int stop_code;    /* why a callback of ours ended the transfer, with `why`; 0: it did not */
	int64_t last_ms, due_ms;
	struct err why;
	char reason[256]; /* libcurl's words for a failure */
	/* Under http.lock. */
	struct http_call *next; /* in the inbox */
	struct http_call *next_told;
	bool in_inbox, told, want_cancel;
};

struct http {
	struct http_opts o;
	struct arena text;    /* strings of o */
	struct curl_api *api; /* libcurl's functions once loaded */
	struct err load_err;  /* code < 0: libcurl is not there */
	struct http_queue queue;
	VEC(struct http_call *) active;
	VEC(struct http_call *) delayed;
	VEC(void *) spare; /* handles for reuse */
	int epoll, waker;  /* what it waits with; an eventfd */
	int64_t timer_ms;  /* when libcurl wants to be called, on clock_ms()'s clock */
	uint64_t seq;
	int64_t stall_checked_ms;
	bool any_held; /* a call is paused by hold */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t first;
	atomic_bool hold; /* written under the lock: there are holders */
	unsigned holders;
	void *multi;                          /* NULL until the first request; set once */
	struct http_call *inbox, **inbox_end; /* new calls */
	struct http_call *told;               /* calls that were cancelled or resumed */
	bool stop, quit;                      /* cancel everything; and the thread ends */
	bool woken;                           /* since it last took what is new */
	struct http_counts counts;
};

/* What `data` was given is void. */
void http_body_void(struct http_call *c);
/* Before the attempt's first body byte is given: whether it may be, on from what was kept or from
 * the start. False: C->wrong. */
bool http_body_begin(struct http_call *c);
/* The attempt is over with CODE: what it gave is kept, or void, as the next attempt can go on from it. */
void http_body_end(struct http_call *c, int code);

/* The response is empty again. */
void http_response_reset(struct http_call *c);

/* Loads libcurl and opens h->multi, or fills h->load_err. */
void transfer_open(struct http *h);
/* After the thread has ended. */
void transfer_close(struct http *h);
/* Hands C, which is filled in and counted as active, to libcurl. */
void transfer_start(struct http_call *c);
/* Takes it back, finished or not. */
void transfer_end(struct http_call *c);
/* `data` takes bytes again. */
void transfer_resume(struct http_call *c);
/* What libcurl has to do because time has passed, first of all for those that were started. */
void transfer_timers(struct http *h);
/* Waits for what there is to do, MS at most, and does it. */
void transfer_poll(struct http *h, int ms);
/* Any thread, under the lock, where h->multi is there. */
void transfer_wake(struct http *h);
/* How a transfer ended. */
struct transfer_result {
	int code;      /* 0, ERR_NET or ERR_TIMEOUT */
	bool connect;  /* no connection could be made */
	bool hopeless; /* as http_response.hopeless */
	str why;       /* in words */
	str location;  /* absolute URL of a redirect, in the call's text; or empty */
};
/* The next that libcurl has finished with (transfer_end() is still to be called), or NULL. */
struct http_call *transfer_finished(struct http *h, struct transfer_result *out);
