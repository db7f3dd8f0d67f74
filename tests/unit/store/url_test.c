/* Addresses that are private, and URLs. */
#include "addr.h"
#include "url.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
