#include "route.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A peer of HTTP/2 is waited for as long as it takes any; one of HTTP/1.1, of which only the end of a send is known,
 * has its time for each piece. */
static void test_stalls(void **state)
{
	static h2o_req_t req;
	struct sending w = { 0 };

	(void)state;
	send_begin(&w, 10 * SEND_PIECE);
	int64_t t = w.ms;
	req.version = 0x200;
	assert_false(send_stalls(&w, &req, 1000, t + 999));
	assert_true(send_stalls(&w, &req, 1000, t + 1000));
	req.bytes_sent = 1;
	assert_false(send_stalls(&w, &req, 1000, t + 1500));
	assert_false(send_stalls(&w, &req, 1000, t + 2499));
	assert_true(send_stalls(&w, &req, 1000, t + 2500));
	w.ms = t;
	req.version = 0x101;
	assert_false(send_stalls(&w, &req, 1000, t + 9999));
	assert_true(send_stalls(&w, &req, 1000, t + 10000));
	w.n++;
	assert_false(send_stalls(&w, &req, 1000, t + 10999));
	assert_true(send_stalls(&w, &req, 1000, t + 11000));
	w.n = 1;
	assert_true(send_stalls(&w, &req, 1000, t + 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stalls) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
