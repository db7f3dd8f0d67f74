/* ctest label: threads */
#include "addr.h"
#include "base/clock.h"
#include "http.h"
#include "test_server.h"
#include "url.h"
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

static void on_done(void *arg, int code, const struct http_response *r, str body, const struct err *e)
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

static void wait_done(struct outcome *o, unsigned n)
{
	pthread_mutex_lock(&o->lock);
	while (o->done < n)
		pthread_cond_wait(&o->cond, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

static void outcome_release(struct outcome *o)
{
	buf_release(&o->body);
	buf_release(&o->streamed);
}

static struct http *make(const struct http_opts *o)
{
	struct http *h;
	struct err e;

	assert_int_equal(http_new(&h, o, &e), 0);
	return h;
}

static struct http_opts plain(void)
{
	return (struct http_opts){ .private_addresses = true, .proxy = "", .stall_timeout_ms = 60000 };
}

static char last_authorization[100];

static void misbehave(void *arg, struct reply *r, const struct seen *q)
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

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct http_opts o = plain();

	server_start(&f->b, misbehave, NULL);
	server_start(&f->a, misbehave, &f->b);
	f->h = make(&o);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	server_stop(&f->a);
	server_stop(&f->b);
	free(f);
	return 0;
}

static void get(struct http *h, struct outcome *o, str url, struct http_request r)
{
	r.url = url;
	r.done = on_done;
	r.arg = o;
	http_start(h, &r);
	wait_done(o, 1);
	assert_int_equal(o->done, 1);
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	OUTCOME(ok);
	OUTCOME(missing);

	get(f->h, &ok, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	assert_int_equal(ok.code, 0);
	assert_int_equal(ok.status, 200);
	assert_int_equal(ok.content_type, 10);
	assert_true(str_eq(buf_str(&ok.body), STR("hello")));
	get(f->h, &missing, server_url(&f->a, "/missing"), (struct http_request){ 0 });
	assert_int_equal(missing.code, 0);
	assert_int_equal(missing.status, 404);
	assert_true(str_eq(buf_str(&missing.body), STR("{\"error\":\"no\"}")));
	outcome_release(&ok);
	outcome_release(&missing);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path;
		uint64_t max;
		int code;
		const char *says;
	} row[] = {
		{ "/truncated", 0, ERR_NET, "GET http://127.0.0.1:" },
		{ "/truncated?token=SECRET", 0, ERR_NET, "/truncated: " },
		{ "/close", 0, ERR_NET, "/close: Empty reply" },
		{ "/garbage", 0, ERR_NET, "/garbage: " },
		{ "/headers", 0, ERR_TOOBIG, "more than 64 KiB of headers" },
		{ "/loop", 0, ERR_NET, "more than 5 redirects" },
		{ "/file", 0, ERR_NET, "redirect leads to a URL" },
		{ "/endless", 100000, ERR_TOOBIG, "limit of 100000 bytes" },
		{ "/big", 999999, ERR_TOOBIG, "limit of 999999 bytes" },
		{ "/ok", 4, ERR_TOOBIG, "limit of 4 bytes" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		OUTCOME(o);
		get(f->h, &o, server_url(&f->a, row[i].path), (struct http_request){ .max_body = row[i].max });
		if (o.code != row[i].code || !strstr(o.msg, row[i].says))
			fail_msg("%s: code %d, '%s'", row[i].path, o.code, o.msg);
		assert_null(strstr(o.msg, "SECRET"));
		outcome_release(&o);
	}
}

static void test_error_body_is_cut(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);

	get(f->h, &o, server_url(&f->a, "/bigerror"), (struct http_request){ .max_body = 1 });
	assert_int_equal(o.code, 0);
	assert_int_equal(o.status, 500);
	assert_int_equal(o.body.n, 64 * 1024);
	outcome_release(&o);
}

static void test_credentials_stay(void **state)
{
	struct fixture *f = *state;
	const struct http_request r = { .headers = STR_INIT("Authorization: Bearer SECRET\nAccept: */*\n") };
	OUTCOME(here);
	OUTCOME(there);
	OUTCOME(dead);

	get(f->h, &here, server_url(&f->a, "/here"), r);
	assert_int_equal(here.status, 200);
	assert_string_equal(last_authorization, "Bearer SECRET");
	get(f->h, &there, server_url(&f->a, "/there"), r);
	assert_int_equal(there.status, 200);
	assert_string_equal(last_authorization, "");
	char url[100];
	snprintf(url, sizeof(url), "http://user:SECRET@127.0.0.1:%u/close?x=SECRET#SECRET", f->a.port);
	get(f->h, &dead, str_of(url), r);
	assert_int_equal(dead.code, ERR_NET);
	assert_null(strstr(dead.msg, "SECRET"));
	assert_null(strstr(dead.msg, "user"));
	outcome_release(&here);
	outcome_release(&there);
}

static void test_refused_urls(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "", "file:///etc/passwd", "http://", "http://a b/", "ftp://x/",
		"http://x\\@y/", "http://a@b@c/", "http://x:99999/", "http://x:/", "http://[::1/",
		"http://ex\xc3\xa4mple/" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		OUTCOME(o);
		get(f->h, &o, str_of(bad[i]), (struct http_request){ 0 });
		assert_int_equal(o.code, ERR_USAGE);
		assert_true(o.hopeless);
	}
}

static void test_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.stall_timeout_ms = 60;
	struct http *h = make(&o);
	OUTCOME(stall);
	OUTCOME(silent);

	get(h, &stall, server_url(&f->a, "/stall"), (struct http_request){ 0 });
	assert_int_equal(stall.code, ERR_TIMEOUT);
	assert_non_null(strstr(stall.msg, "no byte for 60 ms"));
	get(h, &silent, server_url(&f->a, "/silent"), (struct http_request){ 0 });
	assert_int_equal(silent.code, ERR_TIMEOUT);
	http_free(h);
}

/* A byte now and then, for longer than a stall may be, is none. Where the machine itself holds up a thread for as long
 * as that, once more, with twice the time for a stall and for the whole: who counts the whole never gets through. */
static void test_drip(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	bool through = false;

	for (o.stall_timeout_ms = 125; !through; o.stall_timeout_ms *= 2) {
		struct http *h = make(&o);
		OUTCOME(drip);
		char path[32];
		int64_t from = clock_ms();
		assert_true(o.stall_timeout_ms < 20000);
		snprintf(path, sizeof(path), "/drip?%u", o.stall_timeout_ms); /* a byte every 2 ms */
		get(h, &drip, server_url(&f->a, path), (struct http_request){ 0 });
		through = drip.code == 0;
		assert_int_equal(drip.code, through ? 0 : ERR_TIMEOUT);
		assert_int_equal(drip.body.n, through ? o.stall_timeout_ms : 0);
		assert_true(!through || clock_ms() - from > o.stall_timeout_ms);
		http_free(h);
		outcome_release(&drip);
	}
}

static int64_t again(void *arg, int code, const struct http_response *r, str body, struct err *e)
{
	struct outcome *o = arg;

	(void)r, (void)body, (void)e;
	return code != 0 && o->agains++ < o->again_max ? 1 : -1;
}

/* Who waits behind one that stalls starts when that is given up, though nothing else happens then. */
static void test_after_a_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.stall_timeout_ms = 100;
	o.max_active = 1;
	struct http *h = make(&o);
	OUTCOME(silent);
	OUTCOME(next);
	int64_t from = clock_ms();

	http_start(h, &(struct http_request){ .url = server_url(&f->a, "/silent"), .done = on_done, .arg = &silent });
	next.again_max = 1000; /* on a machine that holds up the server for so long, it stalls, too */
	get(h, &next, server_url(&f->a, "/ok"), (struct http_request){ .again = again });
	assert_int_equal(next.status, 200);
	assert_int_equal(silent.code, ERR_TIMEOUT);
	assert_true(clock_ms() - from < 30000); /* not the thread's next look, a minute later */
	http_free(h);
	outcome_release(&next);
}

static bool only_ok(void *ctx, str url, struct err *e)
{
	(void)e;
	*(unsigned *)ctx += 1;
	return str_ends(url, STR("/here"));
}

static bool yes(void *ctx, str url)
{
	(void)url;
	*(unsigned *)ctx += 1;
	return true;
}

static void test_policy(void **state)
{
	struct fixture *f = *state;
	unsigned asked = 0, asked_private = 0;
	struct http_opts o = { .allow = only_ok, .allow_ctx = &asked, .private_addresses = true, .proxy = "" };
	struct http *h = make(&o);
	OUTCOME(redirected);
	get(h, &redirected, server_url(&f->a, "/here"), (struct http_request){ 0 });
	assert_int_equal(redirected.code, ERR_POLICY);
	assert_true(redirected.hopeless);
	assert_int_equal(asked, 2);
	http_free(h);

	h = make(&(struct http_opts){ 0 });
	OUTCOME(loopback);
	get(h, &loopback, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	assert_int_equal(loopback.code, ERR_POLICY);
	assert_non_null(strstr(loopback.msg, "private address"));
	assert_true(loopback.hopeless);
	http_free(h);

	h = make(&(struct http_opts){ .allow_private = yes, .allow_ctx = &asked_private });
	OUTCOME(listed);
	get(h, &listed, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	assert_int_equal(listed.code, 0);
	assert_true(asked_private > 0);
	http_free(h);
	outcome_release(&listed);
}

static ptrdiff_t on_data(void *arg, const void *p, size_t n)
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

static void test_pause_resume(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.pauses = 20;
	struct http_call *c = http_start(f->h, &(struct http_request){ .url = server_url(&f->a, "/big"),
						       .max_body = 1000000,
						       .data = on_data,
						       .done = on_done,
						       .arg = &o });

	for (unsigned left = 20; left > 0; left--) {
		pthread_mutex_lock(&o.lock);
		while (o.pauses != left - 1 && !o.done)
			pthread_cond_wait(&o.cond, &o.lock);
		http_resume(f->h, c); /* paused, so not done */
		pthread_mutex_unlock(&o.lock);
	}
	wait_done(&o, 1);
	assert_int_equal(o.code, 0);
	assert_int_equal(o.streamed.n, 1000000);
	for (unsigned i = 0; i < 10000; i++) {
		char want[101];
		snprintf(want, sizeof(want), "%0100u", i);
		assert_memory_equal(o.streamed.p + i * 100, want, 100);
	}
	outcome_release(&o);
}

/* A paused transfer is slow on purpose: no stall. Where the machine holds up what is not paused, once
 * more with twice the time. */
static void test_pause_is_no_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	bool through = false;

	for (o.stall_timeout_ms = 250; !through; o.stall_timeout_ms *= 2) {
		struct http *h = make(&o);
		OUTCOME(w);
		w.pauses = 1;
		assert_true(o.stall_timeout_ms < 20000);
		struct http_call *c = http_start(h, &(struct http_request){ .url = server_url(&f->a, "/big"),
							    .max_body = 1000000,
							    .data = on_data,
							    .done = on_done,
							    .arg = &w });
		pthread_mutex_lock(&w.lock);
		while (!w.paused && !w.done)
			pthread_cond_wait(&w.cond, &w.lock);
		pthread_mutex_unlock(&w.lock);
		usleep(o.stall_timeout_ms * 2500);
		pthread_mutex_lock(&w.lock);
		if (!w.done)
			http_resume(h, c);
		pthread_mutex_unlock(&w.lock);
		wait_done(&w, 1);
		through = w.code == 0;
		assert_int_equal(w.code, through ? 0 : ERR_TIMEOUT);
		assert_int_equal(w.streamed.n == 1000000, through);
		http_free(h);
		outcome_release(&w);
	}
}

static void test_tls_to_clear(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	char url[100];

	snprintf(url, sizeof(url), "https://127.0.0.1:%u/ok", f->a.port);
	get(f->h, &o, str_of(url), (struct http_request){ 0 });
	assert_int_equal(o.code, ERR_NET);
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.msg, "GET https://127.0.0.1:"));
}

static void test_receiver_stops(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.answer = -1;
	get(f->h, &o, server_url(&f->a, "/big"), (struct http_request){ .data = on_data });
	assert_int_equal(o.code, ERR_CANCELLED);
	assert_int_equal(o.body.n, 0);
}

static void test_again(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.again_max = 5;
	get(f->h, &o, server_url(&f->a, "/flaky"), (struct http_request){ .data = on_data, .again = again });
	assert_int_equal(o.code, 0);
	assert_int_equal(o.agains, 2);
	assert_int_equal(o.voided, 2);
	assert_true(str_eq(buf_str(&o.streamed), STR("whole")));
	assert_int_equal(http_counts(f->h).repeats, 2);
	outcome_release(&o);
}

/* In the queue, under way, paused, between two attempts: each is cancelled, and done is called once. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 2;
	struct http *h = make(&o);
	OUTCOME(all);
	struct http_call *c[10];
	f->a.hold_until = 1000;
	pthread_mutex_lock(&all.lock); /* no done may return before the handles are used */
	for (unsigned i = 0; i < 10; i++)
		c[i] = http_start(
			h, &(struct http_request){ .url = server_url(&f->a, "/held"), .done = on_done, .arg = &all });
	while (atomic_load(&f->a.busy) < 2)
		usleep(1000);
	for (unsigned i = 10; i-- > 0;)
		http_cancel(h, c[i]);
	pthread_mutex_unlock(&all.lock);
	wait_done(&all, 10);
	assert_int_equal(all.code, ERR_CANCELLED);
	assert_int_equal(atomic_load(&f->a.requests), 2);

	OUTCOME(waits);
	waits.again_max = 1;
	for (unsigned i = 0; i < 3; i++)
		http_start(
			h, &(struct http_request){ .url = server_url(&f->a, "/held"), .done = on_done, .arg = &waits });
	http_free(h); /* what is under way ends */
	assert_int_equal(waits.done, 3);
	assert_int_equal(waits.code, ERR_CANCELLED);
}

static void start_another(void *arg, int code, const struct http_response *r, str body, const struct err *e);
struct chain {
	struct http *h;
	str url;
	struct outcome *o;
};
static void start_another(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	struct chain *c = arg;

	http_start(c->h, &(struct http_request){ .url = c->url, .done = on_done, .arg = c->o });
	on_done(c->o, code, r, body, e);
}

static void test_stop_is_final(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	struct http *h = make(&o);
	OUTCOME(all);
	struct chain c = { h, server_url(&f->a, "/silent"), &all };
	http_start(h, &(struct http_request){ .url = c.url, .done = start_another, .arg = &c });
	while (atomic_load(&f->a.busy) < 1)
		usleep(1000);
	http_stop(h);
	wait_done(&all, 2);
	assert_int_equal(all.code, ERR_CANCELLED);
	http_free(h);
	http_free(make(&o)); /* never used: libcurl never loaded */
}

static void many(struct fixture *f, unsigned max_active, unsigned max_per_host, bool small, unsigned bound)
{
	struct http_opts o = plain();
	o.max_active = max_active;
	o.max_per_host = max_per_host;
	struct http *h = make(&o);
	OUTCOME(all);
	f->a.hold_until = 0;
	OUTCOME(first); /* reaches the host, so that all may go */
	get(h, &first, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	outcome_release(&first);
	atomic_store(&f->a.most_busy, 0);
	f->a.hold_until = bound;
	unsigned n = 300 / bound * bound;
	for (unsigned i = 0; i < n; i++)
		http_start(
			h, &(struct http_request){
				   .url = server_url(&f->a, "/held"), .small = small, .done = on_done, .arg = &all });
	wait_done(&all, n);
	assert_int_equal(all.code, 0);
	assert_int_equal(atomic_load(&f->a.most_busy), bound);
	http_free(h);
	outcome_release(&all);
}

static void test_bounds(void **state)
{
	many(*state, 50, 60, false, 50);
	many(*state, 50, 15, false, 15);
	many(*state, 50, 15, true, 50);
}

/* An upstream that never answers what it is asked for takes its share, not everybody's. */
static void test_keep_room(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 16;
	o.keep_room = true;
	o.stall_timeout_ms = 100 * 1000; /* else nobody would end */
	struct http *h = make(&o);
	OUTCOME(hung);
	OUTCOME(first);
	OUTCOME(tarball);
	OUTCOME(other);

	get(h, &first, server_url(&f->a, "/ok"), (struct http_request){ .small = true });
	f->a.hold_until = 1000;
	for (unsigned i = 0; i < 20; i++)
		http_start(
			h, &(struct http_request){
				   .url = server_url(&f->a, "/held"), .small = true, .done = on_done, .arg = &hung });
	while (atomic_load(&f->a.busy) < 12)
		usleep(1000);
	get(h, &tarball, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	get(h, &other, server_url(&f->b, "/ok"), (struct http_request){ .small = true });
	pthread_mutex_lock(&hung.lock);
	unsigned hung_done = hung.done;
	pthread_mutex_unlock(&hung.lock);
	http_free(h);
	assert_int_equal(tarball.status, 200);
	assert_int_equal(other.status, 200);
	assert_int_equal(hung_done, 0);
	assert_int_equal(hung.done, 20);
	outcome_release(&first);
	outcome_release(&tarball);
	outcome_release(&other);
}

static void note(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	(void)code, (void)r, (void)body, (void)e;
	struct chain *c = arg;
	buf_add(&c->o->streamed, c->url);
	on_done(c->o, code, r, STR_NONE, e);
}

static void test_priority(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 1;
	struct http *h = make(&o);
	OUTCOME(all);
	struct chain c[] = { { h, STR("0"), &all }, { h, STR("a"), &all }, { h, STR("b"), &all }, { h, STR("c"), &all },
		{ h, STR("d"), &all } };
	const int priority[] = { 0, 1, 7, 1, 9 };
	f->a.hold_until = 1000;
	for (unsigned i = 0; i < 5; i++) {
		http_start(h, &(struct http_request){ .url = i ? server_url(&f->a, "/ok") : server_url(&f->a, "/held"),
				      .done = note,
				      .arg = &c[i],
				      .priority = priority[i] });
		while (i == 0 && atomic_load(&f->a.busy) == 0)
			usleep(1000);
	}
	usleep(20000); /* all are queued */
	f->a.hold_until = 1;
	wait_done(&all, 5);
	assert_true(str_eq(buf_str(&all.streamed), STR("0dbac")));
	http_free(h);
	outcome_release(&all);
}

/* What is held does not start, and keeps nothing else from its host. */
static void test_hold(void **state)
{
	struct fixture *f = *state;
	struct http_request r = { .url = server_url(&f->a, "/ok"), .priority = 1, .small = true, .done = on_done };
	OUTCOME(first);
	OUTCOME(held);
	OUTCOME(small);
	OUTCOME(tarball);

	get(f->h, &first, r.url, r); /* the host has been reached */
	http_hold(f->h, true);
	http_hold(f->h, true); /* for somebody else */
	r.arg = &held;
	r.holdable = true;
	http_start(f->h, &r);
	http_hold(f->h, false);
	get(f->h, &small, server_url(&f->a, "/ok"), (struct http_request){ .small = true });
	get(f->h, &tarball, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	assert_true(small.status == 200 && tarball.status == 200);
	assert_int_equal(atomic_load(&f->a.requests), 3);
	http_hold(f->h, false);
	wait_done(&held, 1);
	assert_int_equal(held.status, 200);
	assert_true(str_eq(buf_str(&held.body), STR("hello")));
	outcome_release(&first);
	outcome_release(&held);
	outcome_release(&small);
	outcome_release(&tarball);
}

/* One that is loaded before there is a request ends without one, and serves one. */
static void test_ready(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	OUTCOME(got);

	o.ready = true;
	for (unsigned i = 0; i < 3; i++) {
		struct http *h = make(&o);
		if (i == 1)
			http_stop(h);
		if (i == 2)
			get(h, &got, server_url(&f->a, "/ok"), (struct http_request){ 0 });
		http_free(h);
	}
	assert_int_equal(got.status, 200);
	outcome_release(&got);
}

struct holder {
	struct outcome o; /* first: on_done() gets it */
	struct http *h;
	bool held;
};

static ptrdiff_t hold_and_take(void *arg, const void *p, size_t n)
{
	struct holder *x = arg;

	if (!x->held)
		http_hold(x->h, true);
	x->held = true;
	return on_data(&x->o, p, n);
}

static size_t streamed(struct outcome *o)
{
	pthread_mutex_lock(&o->lock);
	size_t n = o->streamed.n;
	pthread_mutex_unlock(&o->lock);
	return n;
}

/* What is held has come in part only, until it may go on. */
static void test_hold_of_large(void **state)
{
	struct fixture *f = *state;
	struct holder x = { .o = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }, .h = f->h };
	OUTCOME(other);

	http_start(f->h, &(struct http_request){ .url = server_url(&f->a, "/big"),
				 .holdable = true,
				 .small = true,
				 .data = hold_and_take,
				 .done = on_done,
				 .arg = &x });
	for (unsigned i = 0; i < 60000 && streamed(&x.o) == 0; i++)
		usleep(1000);
	usleep(200000); /* for what should not come */
	size_t n = streamed(&x.o);
	assert_true(n > 0 && n <= HTTP_HELD);
	get(f->h, &other, server_url(&f->a, "/big"), (struct http_request){ .small = true });
	assert_int_equal(other.body.n, 1000000);
	http_hold(f->h, false);
	wait_done(&x.o, 1);
	assert_int_equal(x.o.code, 0);
	assert_int_equal(x.o.streamed.n, 1000000);
	outcome_release(&x.o);
	outcome_release(&other);
}

static bool is_private(const char *text)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &a4.sin_addr) == 1)
		return addr_private((struct sockaddr *)&a4);
	assert_int_equal(inet_pton(AF_INET6, text, &a6.sin6_addr), 1);
	return addr_private((struct sockaddr *)&a6);
}

static void test_addresses(void **state)
{
	static const char *const inside[] = { "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1", "198.19.0.1", "224.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1",
		"fc00::1", "fe80::1", "ff02::1", "::7f00:1", "fec0::1" };
	static const char *const outside[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"172.15.0.1", "172.32.0.1", "192.167.1.1", "198.20.0.1", "223.255.255.255", "2606:4700::1",
		"::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::" };

	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		assert_true(is_private(inside[i]));
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_false(is_private(outside[i]));
}

static void test_urls(void **state)
{
	struct url a, b;
	struct err e;
	AUTO(buf_release) struct buf shown = BUF_INIT;

	(void)state;
	assert_int_equal(url_parse(&a, STR("HTTPS://u:p@Registry.test/@s%2fn?q=1#f"), &e), 0);
	assert_true(a.tls && a.port == 443);
	assert_true(str_eq(a.userinfo, STR("u:p")));
	assert_true(str_eq(a.path, STR("/@s%2fn")));
	assert_true(str_eq(a.query, STR("?q=1")));
	assert_int_equal(url_parse(&b, STR("https://registry.TEST:443"), &e), 0);
	assert_true(url_same_origin(&a, &b));
	assert_true(str_eq(b.path, STR("/")));
	assert_int_equal(url_parse(&b, STR("http://registry.test:443/"), &e), 0);
	assert_false(url_same_origin(&a, &b));
	assert_int_equal(url_parse(&b, STR("http://h/a/%2E./b"), &e), 0);
	assert_true(url_has_dots(&b));
	assert_int_equal(url_parse(&b, STR("http://h/a/.../.b"), &e), 0);
	assert_false(url_has_dots(&b));
	url_put_public(&shown, STR("https://u:p@h.test:8443/x?secret#y"));
	assert_true(str_eq(buf_str(&shown), STR("https://h.test:8443/x")));
	buf_clear(&shown);
	url_put_origin(&shown, &a);
	assert_true(str_eq(buf_str(&shown), STR("https://registry.test:443")));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_addresses), cmocka_unit_test(test_urls),
		T(test_answers), T(test_failures), T(test_error_body_is_cut), T(test_credentials_stay),
		T(test_refused_urls), T(test_stall), T(test_drip), T(test_after_a_stall), T(test_policy),
		T(test_pause_resume), T(test_pause_is_no_stall), T(test_tls_to_clear), T(test_receiver_stops),
		T(test_again), T(test_cancel), T(test_stop_is_final), T(test_bounds), T(test_keep_room),
		T(test_priority), T(test_hold), T(test_hold_of_large), T(test_ready) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
