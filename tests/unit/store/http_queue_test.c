/* Who may start: hosts that take all they can, and what is left to the others. */
#include "http_queue.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 171, EACH = 300 };
struct table {
	struct http_queue q;
	struct http_wait w[4][EACH];
	uint64_t seq;
};

/* EACH more wait for host I, which has been reached. */
static void fill(struct table *t, unsigned i, bool limited)
{
	const char key[] = { (char)('a' + i), 0 };

	for (unsigned k = 0; k < EACH; k++) {
		t->w[i][k] = (struct http_wait){ .seq = t->seq++ };
		http_queue_add(&t->q, &t->w[i][k], str_of(key), limited);
	}
	http_queue_reached(&t->w[i][0]);
}

/* Starts all that may start; how many of them are host I's. */
static unsigned start(struct table *t, unsigned i)
{
	unsigned n = 0;

	for (struct http_wait *w; (w = http_queue_take(&t->q));)
		n += w >= t->w[i] && w < t->w[i] + EACH;
	return n;
}

static void test_all_for_one(void **state)
{
	static struct table t;

	(void)state;
	t.q = (struct http_queue){ .max_active = 128, .max_per_host = 64 };
	fill(&t, 0, false);
	assert_int_equal(start(&t, 0), 128);
	http_queue_release(&t.q);
}

static void test_room_is_kept(void **state)
{
	static struct table t;

	(void)state;
	t.q = (struct http_queue){ .max_active = MOST, .max_per_host = 64, .keep_room = true };
	fill(&t, 0, false);
	assert_int_equal(start(&t, 0), 129); /* and nothing of it ends */
	fill(&t, 1, true);
	assert_int_equal(start(&t, 1), 32); /* of 42 */
	fill(&t, 2, false);
	assert_int_equal(start(&t, 2), 8);
	fill(&t, 3, false);
	assert_int_equal(start(&t, 3), 2);
	http_queue_end(&t.q, &t.w[3][0]);
	assert_int_equal(start(&t, 3), 1);
	assert_int_equal(t.q.active, MOST);
	http_queue_release(&t.q);
}

/* The bound of a limited host is the smaller of both; where there is room for one, one may always go. */
static void test_limits(void **state)
{
	static struct table t;

	(void)state;
	t.q = (struct http_queue){ .max_active = MOST, .max_per_host = 64, .keep_room = true };
	fill(&t, 0, true);
	assert_int_equal(start(&t, 0), 64);
	http_queue_release(&t.q);
	t.q = (struct http_queue){ .max_active = 1, .max_per_host = 64, .keep_room = true };
	fill(&t, 1, false);
	assert_int_equal(start(&t, 1), 1);
	http_queue_release(&t.q);
}

/* What is held keeps neither those behind it from starting nor its host from what it may take. */
static void test_held(void **state)
{
	struct http_queue q = { .max_active = 4, .max_per_host = 2, .hold = true };
	struct http_wait held[2] = { { .priority = 9, .seq = 0, .holdable = true },
		{ .priority = 9, .seq = 1, .holdable = true } };
	struct http_wait other[2] = { { .priority = 9, .seq = 2 }, { .priority = 1, .seq = 3 } };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		http_queue_add(&q, &held[i], STR("a"), true);
		http_queue_add(&q, &other[i], STR("a"), true);
	}
	http_queue_reached(&held[0]);
	assert_ptr_equal(http_queue_take(&q), &other[0]);
	assert_ptr_equal(http_queue_take(&q), &other[1]);
	assert_null(http_queue_take(&q));
	assert_int_equal(q.waiting, 2);
	http_queue_end(&q, &other[0]);
	assert_null(http_queue_take(&q));
	q.hold = false;
	assert_ptr_equal(http_queue_take(&q), &held[0]);
	assert_null(http_queue_take(&q)); /* two of one host, whichever they are */
	http_queue_drop(&q, &held[1]);
	assert_null(http_queue_any(&q));
	http_queue_release(&q);
}

/* By priority and arrival across both kinds, when none is held. */
static void test_order(void **state)
{
	struct http_queue q = { .max_active = 8, .max_per_host = 8 };
	struct http_wait w[] = { { .seq = 0 }, { .priority = 2, .seq = 1 }, { .seq = 2, .holdable = true },
		{ .priority = 2, .seq = 3, .holdable = true }, { .seq = 4 } };
	const unsigned order[] = { 1, 3, 0, 2, 4 };

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		http_queue_add(&q, &w[i], STR("a"), false);
	http_queue_reached(&w[0]);
	for (unsigned i = 0; i < 5; i++)
		assert_ptr_equal(http_queue_take(&q), &w[order[i]]);
	http_queue_release(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_for_one), cmocka_unit_test(test_room_is_kept),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_held), cmocka_unit_test(test_order) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
