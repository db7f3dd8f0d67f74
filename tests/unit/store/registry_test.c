/* ctest label: threads */
#include "registry.h"
#include "test_server.h"
#include <libdeflate.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

struct answer {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned done, voided;
	int code;
	bool not_modified, gzip;
	char msg[1000];
	struct buf raw, bytes, etag;
	int64_t max_age;
};
#define ANSWER(name) struct answer name = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }

static void answer_release(struct answer *a)
{
	buf_release(&a->raw);
	buf_release(&a->bytes);
	buf_release(&a->etag);
}

static void on_packument(void *arg, int code, const struct registry_packument *p, const struct err *e)
{
	struct answer *a = arg;

	pthread_mutex_lock(&a->lock);
	a->done++;
	a->code = code;
	snprintf(a->msg, sizeof(a->msg), "%s", code ? e->msg : "");
	if (code == 0) {
		a->not_modified = p->not_modified;
		a->gzip = p->gzip;
		a->max_age = p->max_age_s;
		buf_add(&a->raw, p->raw);
		buf_add(&a->etag, p->validator);
	}
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

static ptrdiff_t on_data(void *arg, const void *p, size_t n)
{
	struct answer *a = arg;

	if (!p) {
		a->voided++;
		buf_clear(&a->bytes);
	}
	buf_add(&a->bytes, (str){ p, n });
	return (ptrdiff_t)n;
}

static void on_tarball(void *arg, int code, uint64_t bytes, const struct err *e)
{
	struct answer *a = arg;

	pthread_mutex_lock(&a->lock);
	a->done++;
	a->code = code;
	a->max_age = (int64_t)bytes;
	snprintf(a->msg, sizeof(a->msg), "%s", code ? e->msg : "");
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

static void wait_done(struct answer *a)
{
	pthread_mutex_lock(&a->lock);
	while (!a->done)
		pthread_cond_wait(&a->cond, &a->lock);
	pthread_mutex_unlock(&a->lock);
	assert_int_equal(a->done, 1);
}

static void put_gzip(struct buf *z, str body)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	size_t bound = libdeflate_gzip_compress_bound(c, body.n);

	z->n += libdeflate_gzip_compress(c, body.p, body.n, buf_reserve(z, bound), bound);
	libdeflate_free_compressor(c);
}

static void reply_gzip(struct reply *r, str body)
{
	AUTO(buf_release) struct buf z = BUF_INIT;

	put_gzip(&z, body);
	reply_text(r, 200, "Content-Encoding: gzip\r\nContent-Type: application/json\r\n", buf_str(&z));
}

struct log {
	char authorization[100], accept[200], etag[100], since[100], agent[100];
	struct timespec at[8];
};

static void misbehave(void *arg, struct reply *r, const struct seen *q)
{
	struct log *log = arg;
	str path = q->path;

	snprintf(log->authorization, sizeof(log->authorization), STR_FMT, STR_ARG(header_of(q, "authorization")));
	snprintf(log->accept, sizeof(log->accept), STR_FMT, STR_ARG(header_of(q, "accept")));
	snprintf(log->etag, sizeof(log->etag), STR_FMT, STR_ARG(header_of(q, "if-none-match")));
	snprintf(log->agent, sizeof(log->agent), STR_FMT, STR_ARG(header_of(q, "user-agent")));
	if (q->nth < 8)
		clock_gettime(CLOCK_MONOTONIC, &log->at[q->nth]);
	snprintf(log->since, sizeof(log->since), STR_FMT, STR_ARG(header_of(q, "if-modified-since")));
	if (header_of(q, "if-none-match").n || header_of(q, "if-modified-since").n)
		reply_text(r, 304, "Cache-Control: public, max-age=300\r\n", STR_NONE);
	else if (str_eq(path, STR("/@s%2fn")) || str_eq(path, STR("/npm/plain")))
		reply_text(r, 200, "ETag: W/\"1\"\r\nCache-Control: max-age=60, x\r\n", STR("{\"name\":1}"));
	else if (str_eq(path, STR("/dated")))
		reply_text(r, 200, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", STR("{}"));
	else if (str_eq(path, STR("/gz")))
		reply_gzip(r, STR("{\"gz\":true}"));
	else if (str_eq(path, STR("/brotli")))
		reply_text(r, 200, "Content-Encoding: br\r\n", STR("{}"));
	else if (str_eq(path, STR("/html")))
		reply_text(r, 200, "Content-Type: text/html; charset=utf-8\r\n", STR("<html>"));
	else if (str_eq(path, STR("/flaky")) && q->nth < 2)
		reply_text(r, q->nth ? 503 : 500, "", STR("oops"));
	else if (str_eq(path, STR("/flaky")))
		reply_text(r, 200, "", STR("{\"at\":3}"));
	else if (str_eq(path, STR("/busy")) && q->nth == 0)
		reply_text(r, 429, "Retry-After: 1\r\n", STR_NONE);
	else if (str_eq(path, STR("/busy")))
		reply_text(r, 200, "", STR("{}"));
	else if (str_eq(path, STR("/broken")))
		reply_text(r, 502, "", STR_NONE);
	else if (str_eq(path, STR("/@priv%2fx")) || str_eq(path, STR("/priv/x.tgz")))
		reply_text(r, 401, "", STR_NONE);
	else if (str_eq(path, STR("/teapot")))
		reply_text(r, 418, "", STR_NONE);
	else if (str_eq(path, STR("/t.tgz")) && q->nth == 0) {
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf");
		r->close = true;
	} else if (str_eq(path, STR("/t.tgz")))
		reply_text(r, 200, "", STR("0123456789"));
	else
		reply_text(r, 404, "", STR("{}"));
}

struct fixture {
	struct server s;
	struct log log;
	struct http *h;
	struct registry *r;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e;

	server_start(&f->s, misbehave, &f->log);
	assert_int_equal(http_new(&f->h, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	char root[100], below[100], https[100], host[100];
	snprintf(root, sizeof(root), "http://127.0.0.1:%u/", f->s.port);
	snprintf(below, sizeof(below), "http://127.0.0.1:%u/npm/", f->s.port);
	snprintf(https, sizeof(https), "https://127.0.0.1:%u/other/", f->s.port);
	snprintf(host, sizeof(host), "http://localhost:%u/other/", f->s.port);
	struct registry_auth auth[] = { { str_of(root), STR("Bearer ROOT") }, { str_of(below), STR("Basic BELOW") },
		{ str_of(https), STR("Bearer WRONG") }, { str_of(host), STR("Bearer WRONG") } };
	assert_int_equal(
		registry_new(&f->r, f->h,
			&(struct registry_opts){ .auth = auth, .nauth = 4, .retry_min_ms = 1, .retry_max_ms = 1500 },
			&e),
		0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->h);
	registry_free(f->r);
	server_stop(&f->s);
	free(f);
	return 0;
}

static void ask(struct fixture *f, struct answer *a, const char *base, str name, enum packument_form form, str etag)
{
	registry_packument(f->r, server_url(&f->s, base), name, form, etag, false, on_packument, a);
	wait_done(a);
}

static void test_request(void **state)
{
	struct fixture *f = *state;
	ANSWER(a);
	ANSWER(b);
	ANSWER(c);

	ask(f, &a, "/", STR("@s/n"), PACKUMENT_ABBREVIATED, STR_NONE);
	assert_int_equal(a.code, 0);
	assert_true(str_eq(buf_str(&a.raw), STR("{\"name\":1}")));
	assert_true(str_eq(buf_str(&a.etag), STR("W/\"1\"")));
	assert_int_equal(a.max_age, 60);
	assert_string_equal(f->log.accept, "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*");
	assert_string_equal(f->log.authorization, "Bearer ROOT");
	assert_string_equal(f->log.agent, "dray/" DRAY_VERSION);
	ask(f, &b, "/npm", STR("plain"), PACKUMENT_FULL, STR_NONE);
	assert_int_equal(b.code, 0);
	assert_string_equal(f->log.accept, "application/json; q=1.0, */*");
	assert_string_equal(f->log.authorization, "Basic BELOW");
	ask(f, &c, "/", STR("@s/n"), PACKUMENT_ABBREVIATED, STR("W/\"1\""));
	assert_true(c.not_modified);
	assert_int_equal(c.max_age, 300);
	assert_string_equal(f->log.etag, "W/\"1\"");
	answer_release(&a);
	answer_release(&b);
	answer_release(&c);
}

/* A registry that has no ETags is asked by its dates. */
static void test_dates(void **state)
{
	struct fixture *f = *state;
	ANSWER(a);
	ANSWER(b);
	const str date = STR("Sun, 06 Nov 1994 08:49:37 GMT");

	ask(f, &a, "/", STR("dated"), PACKUMENT_ABBREVIATED, STR_NONE);
	assert_int_equal(a.code, 0);
	assert_true(str_eq(buf_str(&a.etag), date));
	assert_string_equal(f->log.since, "");
	ask(f, &b, "/", STR("dated"), PACKUMENT_ABBREVIATED, buf_str(&a.etag));
	assert_true(b.not_modified);
	assert_string_equal(f->log.since, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_string_equal(f->log.etag, "");
	answer_release(&a);
	answer_release(&b);
}

static void test_backoff(void **state)
{
	(void)state;
	assert_int_equal(registry_backoff_ms(0, 0, 1000, 60000), 500);
	assert_int_equal(registry_backoff_ms(500, 0, 1000, 60000), 1000);
	assert_int_equal(registry_backoff_ms(501, 0, 1000, 60000), 500);
	assert_int_equal(registry_backoff_ms(7, 3, 1000, 60000), 4007);
	assert_int_equal(registry_backoff_ms(0, 6, 1000, 60000), 30000);
	assert_int_equal(
		registry_backoff_ms(UINT64_MAX, 4000000000u, 1000, 60000), 30000 + (int64_t)(UINT64_MAX % 30001));
	assert_int_equal(registry_backoff_ms(9, 0, 0, 0), 0);
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		int code;
		const char *says[2];
		unsigned requests;
	} row[] = {
		{ "gz", 0, { "", "" }, 1 },
		{ "brotli", ERR_UNSUPPORTED, { "\"br\"", "brotli" }, 1 },
		{ "html", ERR_PARSE, { "HTML, not JSON", "/html" }, 3 },
		{ "nosuch", ERR_NOTFOUND, { "package \"nosuch\" is not in the registry http://127.0.0.1:", "" }, 1 },
		{ "flaky", 0, { "", "" }, 3 },
		{ "broken", ERR_NET, { "answered 502 (3 attempts)", "broken" }, 3 },
		{ "teapot", ERR_NET, { "answered 418 (1 attempt)", "" }, 1 },
		{ "@priv/x", ERR_AUTH,
			{ "(401): the credential that is set for it is not accepted, scope @priv; put \"//127.0.0.1:",
				"/:_authToken=...\" into .npmrc" },
			1 },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		ANSWER(a);
		unsigned before = atomic_load(&f->s.requests);
		ask(f, &a, "/", str_of(row[i].name), PACKUMENT_ABBREVIATED, STR_NONE);
		if (a.code != row[i].code || !strstr(a.msg, row[i].says[0]) || !strstr(a.msg, row[i].says[1]))
			fail_msg("%s: %d %s", row[i].name, a.code, a.msg);
		assert_null(strstr(a.msg, "ROOT"));
		assert_int_equal(atomic_load(&f->s.requests) - before, row[i].requests);
		answer_release(&a);
	}
}

static void test_decode(void **state)
{
	struct fixture *f = *state;
	ANSWER(a);
	AUTO(buf_release) struct buf json = BUF_INIT;
	struct err e;

	ask(f, &a, "/", STR("gz"), PACKUMENT_FULL, STR_NONE);
	assert_int_equal(a.code, 0);
	assert_true(a.gzip);
	assert_int_equal(registry_decode(&json, buf_str(&a.raw), true, &e), 0);
	assert_true(str_eq(buf_str(&json), STR("{\"gz\":true}")));
	for (size_t cut = 1; cut <= a.raw.n; cut++) {
		buf_clear(&json);
		assert_int_equal(registry_decode(&json, str_head(buf_str(&a.raw), a.raw.n - cut), true, &e), ERR_PARSE);
	}
	a.raw.p[a.raw.n - 1] = 0x7f; /* claims 2 GB */
	assert_int_equal(registry_decode(&json, buf_str(&a.raw), true, &e), ERR_PARSE);
	assert_int_equal(registry_decode(&json, STR(" \n<!doctype html>"), false, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "HTML, not JSON"));
	answer_release(&a);
}

static void test_bomb(void **state)
{
	AUTO(buf_release) struct buf zeros = BUF_INIT;
	AUTO(buf_release) struct buf z = BUF_INIT;
	AUTO(buf_release) struct buf out = BUF_INIT;
	size_t n = (size_t)PACKUMENT_MAX_JSON + 1;
	struct err e;

	(void)state;
	memset(buf_reserve(&zeros, n), '0', n);
	zeros.n = n;
	put_gzip(&z, buf_str(&zeros));
	assert_int_equal(registry_decode(&out, buf_str(&z), true, &e), ERR_TOOBIG);
	assert_non_null(strstr(e.msg, "limit of 268435456 bytes"));
	assert_int_equal(registry_decode(&out, buf_str(&zeros), false, &e), ERR_TOOBIG);
}

static void on_modified(void *arg, int64_t ms)
{
	atomic_store((atomic_llong *)arg, ms);
}

/* Who compiles nothing does not wait for those who do. */
static void test_hold(void **state)
{
	struct fixture *f = *state;
	atomic_llong modified = -1;
	ANSWER(held);
	ANSWER(json);
	ANSWER(raw);

	registry_hold(f->r, true);
	registry_packument(f->r, server_url(&f->s, ""), STR("gz"), PACKUMENT_FULL, STR_NONE, true, on_packument, &held);
	registry_modified(f->r, server_url(&f->s, ""), STR("plain"), on_modified, &modified);
	ask(f, &json, "/", STR("@s/n"), PACKUMENT_ABBREVIATED, STR_NONE);
	registry_packument(f->r, server_url(&f->s, ""), STR("gz"), PACKUMENT_FULL, STR_NONE, false, on_packument, &raw);
	wait_done(&raw);
	for (unsigned i = 0; i < 60000 && atomic_load(&modified) < 0; i++)
		usleep(1000);
	assert_true(atomic_load(&modified) >= 0);
	assert_true(json.code == 0 && raw.code == 0);
	assert_int_equal(atomic_load(&f->s.requests), 3);
	registry_hold(f->r, false);
	wait_done(&held);
	assert_int_equal(held.code, 0);
	answer_release(&held);
	answer_release(&json);
	answer_release(&raw);
}

static void test_retry_after(void **state)
{
	struct fixture *f = *state;
	ANSWER(a);

	ask(f, &a, "/", STR("busy"), PACKUMENT_ABBREVIATED, STR_NONE);
	assert_int_equal(a.code, 0);
	int64_t ms = (f->log.at[1].tv_sec - f->log.at[0].tv_sec) * 1000 +
		     (f->log.at[1].tv_nsec - f->log.at[0].tv_nsec) / 1000000;
	assert_true(ms >= 990); /* a lower bound: a slow machine cannot break it */
	answer_release(&a);
}

static void tarball(struct fixture *f, struct answer *a, const char *path)
{
	registry_tarball(f->r, &(struct registry_tarball){ .url = server_url(&f->s, path),
				       .name = STR("t@1.0.0"),
				       .data = on_data,
				       .done = on_tarball,
				       .arg = a });
	wait_done(a);
}

static void test_tarballs(void **state)
{
	struct fixture *f = *state;
	ANSWER(ok);
	ANSWER(gone);
	ANSWER(closed);

	tarball(f, &ok, "/t.tgz");
	assert_int_equal(ok.code, 0);
	assert_int_equal(ok.voided, 1);
	assert_true(str_eq(buf_str(&ok.bytes), STR("0123456789")));
	assert_int_equal(ok.max_age, 10);
	tarball(f, &gone, "/gone.tgz?sig=SECRET");
	assert_int_equal(gone.code, ERR_NOTFOUND);
	assert_non_null(strstr(gone.msg, "/gone.tgz of t@1.0.0 is not there"));
	assert_null(strstr(gone.msg, "SECRET"));
	tarball(f, &closed, "/priv/x.tgz");
	assert_int_equal(closed.code, ERR_AUTH);
	answer_release(&ok);
}

static void test_credentials(void **state)
{
	struct fixture *f = *state;
	struct err e;
	struct registry *r;
	static const struct {
		const char *path, *gets;
	} row[] = { { "/", "Bearer ROOT" }, { "/x", "Bearer ROOT" }, { "/npm", "Basic BELOW" },
		{ "/npm/", "Basic BELOW" }, { "/npm/x/y", "Basic BELOW" }, { "/npmx", "Bearer ROOT" },
		{ "/npm/../x", "" }, { "/npm/%2e%2E/x", "" }, { "/other/x", "Bearer ROOT" } };

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_true(str_eq(registry_authorization(f->r, server_url(&f->s, row[i].path)), str_of(row[i].gets)));
	assert_int_equal(registry_authorization(f->r, STR("http://127.0.0.1:1/npm/x")).n, 0);
	assert_int_equal(registry_authorization(f->r, STR("http://127.0.0.1/npm/x")).n, 0);
	/* An operator writes it with a slash at its end or without. */
	assert_true(registry_reauthorize(f->r, server_url(&f->s, "/npm"), STR("Bearer NEW")));
	assert_true(str_eq(registry_authorization(f->r, server_url(&f->s, "/npm/x")), STR("Bearer NEW")));
	assert_true(registry_reauthorize(f->r, server_url(&f->s, "/npm/"), STR("Bearer NEWER")));
	assert_true(str_eq(registry_authorization(f->r, server_url(&f->s, "/npm/x")), STR("Bearer NEWER")));
	assert_false(registry_reauthorize(f->r, server_url(&f->s, "/npm/x"), STR("Bearer NONE")));
	assert_true(str_eq(registry_authorization(f->r, server_url(&f->s, "/x")), STR("Bearer ROOT")));
	struct registry_auth bad = { STR("http://u:p@h.test/"), STR("Bearer SECRET\nX-Evil: 1") };
	assert_int_equal(registry_new(&r, f->h, &(struct registry_opts){ .auth = &bad, .nauth = 1 }, &e), ERR_USAGE);
	assert_null(strstr(e.msg, "SECRET"));
	assert_null(strstr(e.msg, "u:p"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_request), T(test_dates), cmocka_unit_test(test_backoff),
		T(test_answers), T(test_decode), cmocka_unit_test(test_bomb), T(test_hold), T(test_retry_after),
		T(test_tarballs), T(test_credentials) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
