#include "plan_cache.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int64_t now;

static int64_t clock_of_the_test(void)
{
	return now;
}

static void count(void *run)
{
	++*(int *)run;
}

static struct plan_cache *make(size_t max_bytes)
{
	now = 1000;
	return plan_cache_new(&(struct plan_cache_opts){ .max_bytes = max_bytes,
		.max_age_ms = 100,
		.max_waiters = 2,
		.now_ms = clock_of_the_test,
		.ref = count });
}

static void key_of(uint8_t key[32], unsigned i)
{
	memset(key, 0, 32);
	key[0] = 7; /* all in one bucket */
	memcpy(key + 8, &i, sizeof(i));
}

/* A walk of its own that ends with N bytes, the first of which tells I. */
static void keep(struct plan_cache *c, unsigned i, size_t n)
{
	struct plan_blob *b = calloc(1, sizeof(*b) + n), *hit;
	uint8_t key[32];
	int run = 0;
	void *joined;

	key_of(key, i);
	atomic_init(&b->refs, 1);
	b->n = n;
	b->bytes[0] = (char)i;
	assert_int_equal(plan_cache_enter(c, key, &run, &hit, &joined), PLAN_LEAD);
	plan_cache_end(c, key, &run, b);
	plan_blob_release(b);
}

static bool has(struct plan_cache *c, unsigned i)
{
	uint8_t key[32];

	key_of(key, i);
	struct plan_blob *b = plan_cache_hit(c, key);
	if (b)
		assert_int_equal(b->bytes[0], (char)i);
	plan_blob_release(b);
	return b != NULL;
}

static size_t plans_of(struct plan_cache *c)
{
	size_t plans, bytes;

	plan_cache_size(c, &plans, &bytes);
	return plans;
}

static void the_longest_unused_go(void **state)
{
	struct plan_cache *c = make(100000);

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		keep(c, i, 10000);
	assert_int_equal(plans_of(c), 9);
	assert_true(has(c, 0)); /* used again: 1 is the oldest now */
	assert_true(has(c, 4));
	keep(c, 9, 10000);
	keep(c, 10, 10000);
	for (unsigned i = 0; i <= 10; i++)
		assert_int_equal(has(c, i), i != 1 && i != 2);
	keep(c, 11, 99000); /* alone */
	assert_int_equal(plans_of(c), 1);
	assert_true(has(c, 11));
	keep(c, 12, 100000); /* with what it takes beside its bytes too large: not kept */
	assert_false(has(c, 12));
	assert_int_equal(plans_of(c), 1);
	assert_true(has(c, 11)); /* nothing made room for it */
	plan_cache_free(c);
}

/* What a plan takes beside its bytes counts, too. */
static void small_ones_are_bounded(void **state)
{
	struct plan_cache *c = make(100000);

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		keep(c, i, 1);
	assert_in_range(plans_of(c), 300, 1000);
	assert_true(has(c, 4999));
	assert_false(has(c, 0));
	plan_cache_free(c);
}

static void an_old_one_is_none(void **state)
{
	struct plan_cache *c = make(100000);
	size_t plans, bytes;

	(void)state;
	keep(c, 1, 10);
	now += 99;
	assert_true(has(c, 1));
	now += 1;
	assert_false(has(c, 1));
	plan_cache_size(c, &plans, &bytes);
	assert_int_equal(plans + bytes, 0);
	keep(c, 1, 10);
	assert_true(has(c, 1));
	plan_cache_free(c);
}

static void one_walk_for_all_who_ask(void **state)
{
	struct plan_cache *c = make(100000);
	struct plan_blob *hit;
	uint8_t key[32];
	int run = 0, other = 0;
	void *joined;

	(void)state;
	key_of(key, 1);
	assert_int_equal(plan_cache_enter(c, key, &run, &hit, &joined), PLAN_LEAD);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(plan_cache_enter(c, key, &other, &hit, &joined), PLAN_JOIN);
		assert_ptr_equal(joined, &run);
	}
	assert_int_equal(run, 2); /* referenced for each */
	assert_int_equal(plan_cache_enter(c, key, &other, &hit, &joined), PLAN_FULL);
	assert_false(plan_cache_leave(c, &run));
	assert_false(plan_cache_leave(c, &run));
	assert_true(plan_cache_leave(c, &run)); /* the last one */
	assert_int_equal(plan_cache_enter(c, key, &other, &hit, &joined), PLAN_LEAD);
	struct plan_blob *b = calloc(1, sizeof(*b) + 1);
	atomic_init(&b->refs, 1);
	plan_cache_end(c, key, &run, b); /* whom all left: not kept, and the other goes on */
	assert_int_equal(plans_of(c), 0);
	assert_int_equal(plan_cache_enter(c, key, &run, &hit, &joined), PLAN_JOIN);
	plan_cache_end(c, key, &other, b);
	assert_int_equal(plan_cache_enter(c, key, &run, &hit, &joined), PLAN_HIT);
	assert_ptr_equal(hit, b);
	plan_blob_release(hit);
	plan_blob_release(b);
	plan_cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_unused_go),
		cmocka_unit_test(small_ones_are_bounded),
		cmocka_unit_test(an_old_one_is_none),
		cmocka_unit_test(one_walk_for_all_who_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
