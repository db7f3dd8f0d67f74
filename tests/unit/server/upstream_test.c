/* ctest label: threads */
#include "upstream.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static str scopes_a[] = { STR_INIT("@acme"), STR_INIT("@tools") }, origins_p[] = { STR_INIT("https://cdn.test") },
	   aliases_p[] = { STR_INIT("https://mirror.test/npm") };
static const struct upstream_config two[] = {
	{ .name = STR_INIT("acme"),
		.url = STR_INIT("https://npm.acme.test/private/"),
		.scopes = { scopes_a, 2 },
		.authorization = STR_INIT("Bearer SECRET"),
		.private_addresses = true },
	{ .name = STR_INIT("public"),
		.url = STR_INIT("https://registry.test"),
		.is_default = true,
		.origins = { origins_p, 1 },
		.aliases = { aliases_p, 1 } },
};

static int64_t at(void *ctx)
{
	return *(int64_t *)ctx;
}

static struct upstreams *make(const struct upstream_config *c, size_t n, int64_t *now)
{
	struct upstreams *u;
	struct err e;

	assert_int_equal(upstreams_new(&u,
				 &(struct upstreams_opts){ .upstream = c,
					 .n = n,
					 .break_after = 3,
					 .break_ms = 1000,
					 .break_most_ms = 3000,
					 .now_ms = now ? at : NULL,
					 .now_ctx = now },
				 &e),
		0);
	return u;
}

static void test_routes(void **state)
{
	struct upstreams *u = make(two, 2, NULL);
	static const struct {
		const char *name, *asked, *url;
	} row[] = {
		{ "@acme/x", "", "https://npm.acme.test/private/" },
		{ "@tools/y", "https://npm.acme.test/private", "https://npm.acme.test/private/" },
		{ "@acmes/x", "", "https://registry.test/" },
		{ "left-pad", "https://registry.test/", "https://registry.test/" },
		{ "left-pad", "https://mirror.test/npm/", "https://registry.test/" },
		{ "left-pad", "https://npm.acme.test/private/", NULL },
		{ "@acme/x", "https://registry.test/", NULL }, /* a name has one origin */
		{ "left-pad", "http://registry.test/", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		str url = STR_NONE;
		struct err e;
		int rc = upstream_route(&url, u, str_of(row[i].name), str_of(row[i].asked), &e);
		assert_int_equal(rc, row[i].url ? 0 : ERR_POLICY);
		assert_true(str_eq(url, str_of(row[i].url)));
	}
	upstreams_free(u);
	u = make(two, 1, NULL);
	str url;
	struct err e;
	assert_int_equal(upstream_route(&url, u, STR("left-pad"), STR_NONE, &e), ERR_POLICY);
	assert_non_null(strstr(e.msg, "no upstream for package left-pad"));
	upstreams_free(u);
}

static void test_aliases(void **state)
{
	struct upstreams *u = make(two, 2, NULL);
	struct arena a = ARENA_INIT(0);
	static const struct {
		const char *name, *asked, *url, *seen; /* the packument's URL, and as the client sees it */
	} row[] = {
		{ "x", "https://mirror.test/npm/", "https://registry.test/x/-/x-1.tgz",
			"https://mirror.test/npm/x/-/x-1.tgz" },
		{ "x", "https://registry.test/", "https://registry.test/x.tgz", "https://registry.test/x.tgz" },
		/* not below the base: stays */
		{ "x", "https://mirror.test/npm/", "https://cdn.test/x.tgz", "https://cdn.test/x.tgz" },
		{ "x", "https://mirror.test/npm/", "https://registry.test.evil/x.tgz",
			"https://registry.test.evil/x.tgz" },
		/* another name's upstream has no such alias */
		{ "@acme/x", "https://mirror.test/npm/", "https://npm.acme.test/private/x.tgz",
			"https://npm.acme.test/private/x.tgz" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		str name = str_of(row[i].name);
		str seen = upstream_alias_of(u, name, str_of(row[i].asked), str_of(row[i].url), &a);
		assert_true(str_eq(seen, str_of(row[i].seen)));
		assert_true(str_eq(upstream_of_alias(u, name, seen, &a), str_of(row[i].url)));
	}
	arena_release(&a);
	upstreams_free(u);
}

static void test_guard(void **state)
{
	struct upstreams *u = make(two, 2, NULL);
	struct http_opts o = { .private_addresses = true };
	static const struct {
		const char *url;
		bool allowed, private;
	} row[] = {
		{ "https://npm.acme.test/anything", true, true },
		{ "https://NPM.acme.test:443/x", true, true },
		{ "https://cdn.test/x.tgz", true, false },
		{ "https://registry.test/x", true, false },
		{ "http://registry.test/x", false, false },
		{ "https://registry.test:8443/x", false, false },
		{ "https://evil.test/x", false, false },
		{ "https://registry.test.evil.test/", false, false },
		{ "https://registry.test@evil.test/", false, false },
		{ "https://evil.test@registry.test/", false, false },
		{ "http://169.254.169.254/latest", false, false },
		{ "file:///etc/passwd", false, false },
	};

	(void)state;
	upstreams_guard(u, &o);
	assert_false(o.private_addresses);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct err e;
		bool ok = o.allow(o.allow_ctx, str_of(row[i].url), &e);
		if (ok != row[i].allowed)
			fail_msg("%s", row[i].url);
		assert_true(ok || e.code == ERR_POLICY || e.code == ERR_USAGE);
		if (ok)
			assert_int_equal(o.allow_private(o.allow_ctx, str_of(row[i].url)), row[i].private);
	}
	assert_int_equal(upstreams_denied(u), 7);
	upstreams_free(u);
}

static void test_tarballs(void **state)
{
	struct upstreams *u = make(two, 2, NULL);
	static const struct {
		const char *name, *url;
		int code;
	} row[] = {
		{ "@acme/x", "https://npm.acme.test/private/x.tgz", 0 },
		{ "left-pad", "https://cdn.test/x.tgz", 0 },
		{ "left-pad", "https://registry.test/x.tgz", 0 },
		{ "left-pad", "https://npm.acme.test/private/x.tgz", ERR_POLICY }, /* the server as confused deputy */
		{ "", "https://npm.acme.test/private/x.tgz", ERR_POLICY },
		{ "left-pad", "https://npm.acme.test/public/x.tgz", 0 }, /* no credential goes there */
		{ "", "https://cdn.test/x.tgz", 0 },
		{ "left-pad", "https://evil.test/x.tgz", ERR_POLICY },
		{ "left-pad", "git+ssh://x", ERR_POLICY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct err e;
		if (upstream_tarball(u, str_of(row[i].name), str_of(row[i].url), &e) != row[i].code)
			fail_msg("%s %s", row[i].name, row[i].url);
	}
	upstreams_free(u);
}

static void test_credentials(void **state)
{
	struct upstreams *u = make(two, 2, NULL);
	struct http_opts ho = { 0 };
	struct registry_opts ro = { 0 };
	struct http *h;
	struct registry *r;
	struct err e;

	(void)state;
	upstreams_guard(u, &ho);
	upstreams_credentials(u, &ro);
	assert_int_equal(http_new(&h, &ho, &e), 0);
	assert_int_equal(registry_new(&r, h, &ro, &e), 0);
	assert_true(str_eq(
		registry_authorization(r, STR("https://npm.acme.test/private/@acme%2fx")), STR("Bearer SECRET")));
	assert_int_equal(registry_authorization(r, STR("http://npm.acme.test/private/@acme%2fx")).n, 0);
	assert_int_equal(registry_authorization(r, STR("https://npm.acme.test/public/x")).n, 0);
	assert_int_equal(registry_authorization(r, STR("https://registry.test/x")).n, 0);
	http_free(h);
	registry_free(r);
	upstreams_free(u);
}

/* A credential may travel in clear to a host that is private by what its URL says, or by what its operator does. */
static void test_clear(void **state)
{
	static const struct upstream_config row[] = {
		{ .name = STR_INIT("a"),
			.url = STR_INIT("http://127.0.0.1:1/"),
			.authorization = STR_INIT("Bearer S") },
		{ .name = STR_INIT("a"), .url = STR_INIT("http://10.1.2.3/"), .authorization = STR_INIT("Bearer S") },
		{ .name = STR_INIT("a"), .url = STR_INIT("http://[::1]:1/"), .authorization = STR_INIT("Bearer S") },
		{ .name = STR_INIT("a"),
			.url = STR_INIT("http://[::ffff:10.1.2.3]/"),
			.authorization = STR_INIT("Bearer S") },
		{ .name = STR_INIT("a"), .url = STR_INIT("http://LocalHost/"), .authorization = STR_INIT("Bearer S") },
		{ .name = STR_INIT("a"),
			.url = STR_INIT("http://x.test/"),
			.authorization = STR_INIT("Bearer S"),
			.private_addresses = true },
		{ .name = STR_INIT("a"), .url = STR_INIT("https://x.test/"), .authorization = STR_INIT("Bearer S") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		upstreams_free(make(&row[i], 1, NULL));
}

static void test_configuration(void **state)
{
	static str bad_scope[] = { STR_INIT("acme") }, good_scope[] = { STR_INIT("@a") };
	static const struct {
		struct upstream_config c[2];
		const char *says;
	} row[] = {
		{ { { .name = STR_INIT("a"), .url = STR_INIT("ftp://x/") } },
			"upstream a: \"ftp://x/\": a URL does not start" },
		{ { { .name = STR_INIT("a"), .url = STR_INIT("https://u:SECRET@x.test/") } }, "without user" },
		{ { { .name = STR_INIT("a"),
			  .url = STR_INIT("http://x.test/"),
			  .authorization = STR_INIT("Bearer SECRET") } },
			"in clear" },
		{ { { .name = STR_INIT("default"), /* as `registry` is: it may be private, nobody said that it is */
			  .url = STR_INIT("http://x.test/"),
			  .authorization = STR_INIT("Bearer SECRET"),
			  .private_addresses = true,
			  .private_assumed = true } },
			"in clear" },
		{ { { .name = STR_INIT("a"),
			  .url = STR_INIT("http://192.0.20.1/"),
			  .authorization = STR_INIT("Bearer SECRET") } },
			"in clear" },
		{ { { .name = STR_INIT("a"), .url = STR_INIT("https://x.test/"), .scopes = { bad_scope, 1 } } },
			"no scope" },
		{ { { .name = STR_INIT("a"), .url = STR_INIT("https://x.test/"), .scopes = { good_scope, 1 } },
			  { .name = STR_INIT("b"), .url = STR_INIT("https://y.test/"), .scopes = { good_scope, 1 } } },
			"scope @a has two upstreams, a and b" },
		{ { { .name = STR_INIT("a"), .url = STR_INIT("https://x.test/"), .is_default = true },
			  { .name = STR_INIT("b"), .url = STR_INIT("https://y.test/"), .is_default = true } },
			"two default upstreams" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct upstreams *u;
		struct err e = { 0 };
		size_t n = row[i].c[1].name.n ? 2 : 1;
		assert_int_equal(
			upstreams_new(&u, &(struct upstreams_opts){ .upstream = row[i].c, .n = n }, &e), ERR_USAGE);
		if (!strstr(e.msg, row[i].says))
			fail_msg("%s", e.msg);
		assert_null(strstr(e.msg, "SECRET"));
	}
}

static void test_breaker(void **state)
{
	int64_t now = 1000000;
	struct upstreams *u = make(two, 2, &now);
	struct http_opts ho = { 0 };
	struct registry_opts ro = { 0 };
	struct upstream_health health;
	struct err e;
	const str url = STR("https://registry.test/x"), other = STR("https://npm.acme.test/private/x");

	(void)state;
	upstreams_guard(u, &ho);
	upstreams_credentials(u, &ro);
	ro.observe(ro.observe_ctx, url, 503, ERR_NET);
	ro.observe(ro.observe_ctx, url, 0, ERR_TIMEOUT);
	ro.observe(ro.observe_ctx, url, 404, ERR_NOTFOUND); /* it lives */
	ro.observe(ro.observe_ctx, url, 0, ERR_NET);
	ro.observe(ro.observe_ctx, url, 200, ERR_NET);
	assert_true(ho.allow(u, url, &e));
	ro.observe(ro.observe_ctx, url, 502, ERR_NET);
	assert_false(ho.allow(u, url, &e));
	assert_int_equal(e.code, ERR_BUSY);
	assert_non_null(strstr(e.msg, "upstream public (https://registry.test:443) failed 3 times in a row"));
	assert_true(ho.allow(u, other, &e)); /* the others are not concerned */
	assert_true(upstream_health(u, 1, &health));
	assert_int_equal(health.state, UPSTREAM_OPEN);
	assert_int_equal(health.retry_in_ms, 1000);
	assert_int_equal(health.failures, 5);
	assert_int_equal(health.answers, 1);
	assert_int_equal(health.refused, 1);
	ro.observe(ro.observe_ctx, url, 0, ERR_BUSY); /* refused ones are no failures */
	now += 1000;
	unsigned probes = 0;
	while (ho.allow(u, url, &e))
		probes++;
	assert_int_equal(probes, 3);
	ro.observe(ro.observe_ctx, url, 500, ERR_NET); /* the probe failed: twice the pause */
	now += 1999;
	assert_false(ho.allow(u, url, &e));
	now += 1;
	assert_true(ho.allow(u, url, &e));
	ro.observe(ro.observe_ctx, url, 500, ERR_NET);
	assert_true(upstream_health(u, 1, &health));
	assert_int_equal(health.retry_in_ms, 3000); /* at most */
	now += 3000;
	assert_true(ho.allow(u, url, &e));
	now += 3000; /* probes that never came back do not shut it for ever */
	assert_true(ho.allow(u, url, &e));
	ro.observe(ro.observe_ctx, url, 304, 0);
	assert_true(upstream_health(u, 1, &health));
	assert_int_equal(health.state, UPSTREAM_CLOSED);
	for (unsigned i = 0; i < 10; i++)
		assert_true(ho.allow(u, url, &e));
	assert_false(upstream_health(u, 3, &health)); /* acme, public, cdn */
	upstreams_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_routes), cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_guard), cmocka_unit_test(test_tarballs), cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_clear), cmocka_unit_test(test_configuration), cmocka_unit_test(test_breaker) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
