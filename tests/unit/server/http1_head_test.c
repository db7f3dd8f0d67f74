#include "http1_head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LINE "GET /x HTTP/1.1\r\n"
#define POST "PUT /x HTTP/1.1\r\n"

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *head, *why;
		bool chunked;
	} row[] = {
		{ LINE "\r\n", NULL, false },
		{ "\r\n" LINE "Host: a\r\n\r\n", NULL, false },
		{ "GET /x HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", NULL, false },
		{ LINE "Host: a\r\nX-Content-Length: 1\r\nContent-Length: 1\r\n\r\nContent-Length: 2\r\n", NULL,
			false },
		{ POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL, true },
		{ POST "transfer-ENCODING:chunked\r\ncontent-LENGTH:3\r\n\r\n", "Transfer-Encoding and", false },
		{ POST "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", "Transfer-Encoding and", false },
		{ POST "content-length: 3\r\nhost: a\r\ncontent-length: 3\r\n\r\n", "twice", false },
		{ POST "transfer-encoding: x\r\ntransfer-encoding: chunked\r\n\r\n", "twice", false },
		{ "PUT /x HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.0", false },
		{ LINE "Host: a\r\nHost: a\r\n\r\n", "two Hosts", false },
		{ LINE "Host: a\r\n content-length: 1\r\n\r\n", "folded", false },
		{ LINE "Host: a\r\n\t\r\n\r\n", "folded", false },
		{ "GET /x HTTP/1.1\n\r\n", "without CR", false },
		{ "\n" LINE "\r\n", "without CR", false },
		{ LINE "Host: a\n\r\n", "without CR", false },
		{ LINE "Host: a\r\n\n", "without CR", false },
		{ LINE "Host: a\r\n", "without CR", false },
		{ "", "without CR", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		bool chunked = !row[i].chunked;
		const char *why = http1_head_refuse(&chunked, str_of(row[i].head));
		if (!row[i].why != !why || (why && !strstr(why, row[i].why)) || chunked != row[i].chunked)
			fail_msg("row %zu: %s, chunked %d", i, why ? why : "taken", chunked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
