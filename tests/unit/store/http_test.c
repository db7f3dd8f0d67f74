/* Requests and their answers: what a server may say, and what is refused before it is asked. ctest label: threads */
#include "http_env.h"

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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_answers),
		T(test_failures),
		T(test_error_body_is_cut),
		T(test_credentials_stay),
		T(test_refused_urls),
		T(test_policy),
		T(test_tls_to_clear),
		T(test_ready),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
