/* http_env — for tests of http.h: two servers that misbehave on command, a client, and what a request came to. */
#pragma once
#include "base/clock.h"
#include "http.h"
#include "test_server.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What one request came to; waited for by its condition. */
struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned done;
	int code;
	long status;
	char msg[1000];
	struct buf body, streamed;
	bool hopeless;
	unsigned pauses, voided, agains, again_max;
	bool paused;
	ptrdiff_t answer; /* of data: 0: N */
	size_t content_type;
};
#define OUTCOME(name) struct outcome name = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }

static inline void on_done(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	struct outcome *o = arg;

	pthread_mutex_lock(&o->lock);
	o->done++;
	o->code = code;
	o->status = r->status;
	o->hopeless = r->hopeless;
	o->content_type = r->content_type.n;
	snprintf(o->msg, sizeof(o->msg), "%s", code ? e->msg : "");
	buf_add(&o->body, body);
	pthread_cond_broadcast(&o->cond);
	pthread_mutex_unlock(&o->lock);
}

static inline void wait_done(struct outcome *o, unsigned n)
{
	pthread_mutex_lock(&o->lock);
	while (o->done < n)
		pthread_cond_wait(&o->cond, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

static inline void outcome_release(struct outcome *o)
{
	buf_release(&o->body);
	buf_release(&o->streamed);
}

static inline struct http *make(const struct http_opts *o)
{
	struct http *h;
	struct err e;

	assert_int_equal(http_new(&h, o, &e), 0);
	return h;
}

static inline struct http_opts plain(void)
{
	return (struct http_opts){ .private_addresses = true, .proxy = "", .stall_timeout_ms = 60000 };
}

static char last_authorization[100];

static inline void misbehave(void *arg, struct reply *r, const struct seen *q)
{
	struct server *other = arg;

	snprintf(last_authorization, sizeof(last_authorization), STR_FMT, STR_ARG(header_of(q, "authorization")));
	if (str_eq(q->path, STR("/ok"))) {
		reply_text(r, 200, "ETag: \"abc\"\r\nContent-Type: text/plain\r\n", STR("hello"));
	} else if (str_eq(q->path, STR("/missing"))) {
		reply_text(r, 404, "", STR("{\"error\":\"no\"}"));
	} else if (str_starts(q->path, STR("/truncated"))) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nonly this");
		r->close = true;
	} else if (str_eq(q->path, STR("/stall"))) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nsome");
		r->stall = true;
	} else if (str_eq(q->path, STR("/silent"))) {
		r->stall = true;
	} else if (str_starts(q->path, STR("/drip?"))) {
		AUTO(buf_release) struct buf body = BUF_INIT;
		uint64_t n = 0;
		str_u64(str_from(q->path, 6), &n);
		while (body.n < n)
			buf_addc(&body, '.');
		reply_text(r, 200, "", buf_str(&body));
		r->drip = 1;
	} else if (str_eq(q->path, STR("/loop"))) {
		reply_text(r, 302, "Location: /loop\r\n", STR("round and round"));
	} else if (str_eq(q->path, STR("/here"))) {
		reply_text(r, 302, "Location: /ok\r\n", STR_NONE);
	} else if (str_eq(q->path, STR("/there"))) {
		char to[100];
		snprintf(to, sizeof(to), "Location: http://127.0.0.1:%u/ok\r\n", other->port);
		reply_text(r, 302, to, STR_NONE);
	} else if (str_eq(q->path, STR("/file"))) {
		reply_text(r, 302, "Location: file:///etc/passwd\r\n", STR_NONE);
	} else if (str_eq(q->path, STR("/headers"))) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\n");
		for (unsigned i = 0; i < 1000; i++)
			buf_printf(&r->bytes, "X-%u: %0100u\r\n", i, i);
		buf_printf(&r->bytes, "Content-Length: 0\r\n\r\n");
	} else if (str_starts(q->path, STR("/close"))) {
		r->close = true;
	} else if (str_eq(q->path, STR("/garbage"))) {
		buf_printf(&r->bytes, "SSH-2.0-OpenSSH\r\n\r\n");
		r->close = true;
	} else if (str_eq(q->path, STR("/endless"))) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (unsigned i = 0; i < 300; i++)
			buf_printf(&r->bytes, "400\r\n%01024u\r\n", i);
		r->stall = true;
	} else if (str_eq(q->path, STR("/bigerror"))) {
		buf_printf(&r->bytes, "HTTP/1.1 500 X\r\nContent-Length: 200000\r\n\r\n");
		for (unsigned i = 0; i < 2000; i++)
			buf_printf(&r->bytes, "%0100u", i);
	} else if (str_eq(q->path, STR("/big"))) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n");
		for (unsigned i = 0; i < 10000; i++)
			buf_printf(&r->bytes, "%0100u", i);
	} else if (str_eq(q->path, STR("/flaky"))) {
		if (q->nth < 2) {
			buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nhalf");
			r->close = true;
		} else {
			reply_text(r, 200, "", STR("whole"));
		}
	} else if (str_starts(q->path, STR("/held"))) {
		reply_text(r, 200, "", STR("held"));
		r->hold = true;
	} else {
		reply_text(r, 400, "", STR("what?"));
	}
}

struct fixture {
	struct server a, b;
	struct http *h;
};

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct http_opts o = plain();

	server_start(&f->b, misbehave, NULL);
	server_start(&f->a, misbehave, &f->b);
	f->h = make(&o);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	server_stop(&f->a);
	server_stop(&f->b);
	free(f);
	return 0;
}

static inline void get(struct http *h, struct outcome *o, str url, struct http_request r)
{
	r.url = url;
	r.done = on_done;
	r.arg = o;
	http_start(h, &r);
	wait_done(o, 1);
	assert_int_equal(o->done, 1);
}

static inline int64_t again(void *arg, int code, const struct http_response *r, str body, struct err *e)
{
	struct outcome *o = arg;

	(void)r, (void)body, (void)e;
	return code != 0 && o->agains++ < o->again_max ? 1 : -1;
}

static inline ptrdiff_t on_data(void *arg, const void *p, size_t n)
{
	struct outcome *o = arg;
	ptrdiff_t took = (ptrdiff_t)n;

	pthread_mutex_lock(&o->lock);
	if (!p) {
		o->voided++;
		buf_clear(&o->streamed);
	} else if (o->answer < 0) {
		took = o->answer;
	} else if (o->pauses > 0 && !o->paused) { /* every other chunk has to wait */
		o->pauses--;
		o->paused = true;
		took = 0;
		pthread_cond_broadcast(&o->cond);
	} else {
		o->paused = false;
		buf_add(&o->streamed, (str){ p, n });
	}
	pthread_mutex_unlock(&o->lock);
	return took;
}

/* For a callback that has to know more than its own outcome. */
struct chain {
	struct http *h;
	str url;
	struct outcome *o;
};
