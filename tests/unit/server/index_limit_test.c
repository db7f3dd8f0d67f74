/* An index that grows without end, and what goes when. ctest label: threads */
#include "index_limit.h"
#include "integrity.h"
#include "policy.h"
#include "store_admin.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

enum { N = 200, TEXT = 20000, MINUTE = 60 * 1000 };
static const int64_t start = 1000000 * (int64_t)MINUTE;

static void sha_of(uint8_t sha[32], int i)
{
	memset(sha, i, 32);
	sha[0] = (uint8_t)(i >> 8);
}

static bool has(struct store *s, int i, int64_t now)
{
	struct arena a = ARENA_INIT(4096);
	uint8_t sha[32];
	str text;

	sha_of(sha, i);
	bool hit = index_lockfile_find(&text, s, sha, now, &a);
	if (hit)
		assert_int_equal(text.n, TEXT);
	arena_release(&a);
	return hit;
}

static void keep(struct store *s, int i, int64_t now)
{
	char *text = xmalloc(TEXT);
	uint8_t sha[32];

	memset(text, 'x', TEXT);
	sha_of(sha, i);
	assert_true(index_lockfile_keep(s, sha, (str){ text, TEXT }, now));
	free(text);
}

/* A store in a new folder, whose path goes to ROOT. */
static struct store *begin(char *root)
{
	struct store *s;
	struct err e;

	temp_make(root);
	assert_int_equal(store_open(&s, root, &(struct store_opts){ 0 }, &e), 0);
	return s;
}

static void end(struct store *s, const char *root)
{
	store_close(s);
	temp_remove(root);
}

static void test_longest_unused_go(void **state)
{
	char root[TEMP_PATH];
	struct store *s;
	struct index_limit *l;
	uint64_t entries, before, after;
	struct err e;

	(void)state;
	s = begin(root);
	for (int i = 0; i < N; i++) {
		keep(s, i, start + i * MINUTE);
		if (i % 50 == 49)
			store_flush(s);
	}
	store_flush(s);
	assert_true(has(s, 0, start + N * MINUTE)); /* used: it is not the oldest any more */
	store_flush(s);
	store_index_size(s, &entries, &before);
	assert_int_equal(index_limit_new(&l, s, before, &e), 0); /* all of it is just allowed */
	assert_int_equal(index_limit_pass(l, start + 1000 * MINUTE), 0);
	index_limit_free(l);
	assert_int_equal(index_limit_new(&l, s, before / 2, &e), 0);
	(void)index_limit_pass(l, start + 1000 * MINUTE); /* if its thread has not done it */
	store_index_size(s, &entries, &after);
	assert_true(after <= before / 2);
	assert_true(after > before / 3);
	assert_true(index_limit_evicted(l) >= N / 2);
	assert_true(has(s, 0, start + N * MINUTE));
	assert_false(has(s, 1, start + N * MINUTE));
	for (int i = N - 50; i < N; i++)
		assert_true(has(s, i, start + N * MINUTE));
	index_limit_free(l);
	end(s, root);
}

static void test_fresh_rows_stay(void **state)
{
	char root[TEMP_PATH];
	int64_t now = (int64_t)time(NULL) * 1000;
	struct store *s;
	struct index_limit *l;
	struct err e;

	(void)state;
	s = begin(root);
	for (int i = 0; i < 20; i++)
		keep(s, i, now);
	store_flush(s);
	assert_int_equal(index_limit_new(&l, s, 1, &e), 0);
	assert_int_equal(index_limit_pass(l, now + 5 * MINUTE), 0);
	assert_int_equal(index_limit_pass(l, now + 11 * MINUTE), 20);
	index_limit_free(l);
	end(s, root);
}

/* Each plan of a project makes its lockfile again: that is a use of it, and no write of its text. */
static void test_a_lockfile_is_written_once(void **state)
{
	char root[TEMP_PATH];
	int64_t now = (int64_t)time(NULL) * 1000;
	uint8_t sha[32];
	struct store *s;
	struct index_limit *l;
	struct err e;

	(void)state;
	s = begin(root);
	for (int i = 0; i < 20; i++)
		keep(s, i, now - 130 * MINUTE);
	store_flush(s);
	sha_of(sha, 7);
	assert_true(index_lockfile_keep(s, sha, STR("another"), now));
	store_flush(s);
	assert_int_equal(index_limit_new(&l, s, 1, &e), 0);
	(void)index_limit_pass(l, now); /* if its thread has not done it */
	assert_int_equal(index_limit_evicted(l), 19);
	assert_true(has(s, 7, now));
	index_limit_free(l);
	end(s, root);
}

/* What was used before the clock was put back: not fresh for as long as it takes to come by again. */
static void test_rows_of_a_later_time_go(void **state)
{
	char root[TEMP_PATH];
	int64_t now = (int64_t)time(NULL) * 1000;
	struct store *s;
	struct index_limit *l;
	struct err e;

	(void)state;
	s = begin(root);
	for (int i = 0; i < 20; i++)
		keep(s, i, i < 15 ? now + 1440 * MINUTE : now);
	store_flush(s);
	assert_int_equal(index_limit_new(&l, s, 1, &e), 0);
	(void)index_limit_pass(l, now); /* if its thread has not done it */
	assert_int_equal(index_limit_evicted(l), 15);
	for (int i = 0; i < 20; i++)
		assert_int_equal(has(s, i, now), i >= 15);
	index_limit_free(l);
	end(s, root);
}

static int count_row(void *arg, str key, str value)
{
	(void)key;
	(void)value;
	++*(int *)arg;
	return 0;
}

static int verdicts(struct store *s)
{
	struct store_read *r;
	struct err e;
	int n = 0;

	assert_int_equal(store_read_begin(&r, s, &e), 0);
	assert_int_equal(store_kv_each(r, "verdicts", count_row, &n, &e), 0);
	store_read_end(r);
	return n;
}

/* A verdict is kept for each lockfile that was ever judged: these go as well, in their order, and
 * nothing goes in their stead. */
static void test_verdicts_go(void **state)
{
	char root[TEMP_PATH];
	int64_t now = (int64_t)time(NULL) * 1000;
	struct store *s;
	struct index_limit *l;
	struct err e;

	(void)state;
	s = begin(root);
	for (int i = 0; i < 20; i++) {
		char key[65], value[POLICY_VALUE];
		snprintf(key, sizeof(key), "%064d", i);
		for (int k = 0; k < POLICY_VALUE; k++)
			value[k] = (char)((uint64_t)(now - (i < 15 ? 1440 : 1) * MINUTE) >> 8 * k & 0xff);
		assert_true(store_kv_put(s, "verdicts", (str){ key, 64 }, (str){ value, sizeof(value) }));
	}
	keep(s, 0, now);
	store_flush(s);
	assert_int_equal(index_limit_new(&l, s, 1, &e), 0);
	(void)index_limit_pass(l, now); /* if its thread has not done it */
	assert_int_equal(index_limit_evicted(l), 15);
	assert_int_equal(verdicts(s), 5);
	assert_true(has(s, 0, now));
	index_limit_free(l);
	end(s, root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_unused_go),
		cmocka_unit_test(test_fresh_rows_stay),
		cmocka_unit_test(test_a_lockfile_is_written_once),
		cmocka_unit_test(test_rows_of_a_later_time_go),
		cmocka_unit_test(test_verdicts_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
