/* What leaves a cache of files, what does not, and a name that leaves and comes at once. ctest label: threads */
#include "base/clock.h"
#include "blobs.h"
#include "workq.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

enum { N = 20, SIZE = 1000, MAX = 16000 };
struct env {
	char root[TEMP_PATH];
	struct blobs *b;
	int64_t now;
};

static void key_of(uint8_t key[32], int i)
{
	memset(key, 0, 32);
	key[0] = (uint8_t)(i * 11);
	key[31] = (uint8_t)i;
}

static void path_of(char out[160], const struct env *v, int i)
{
	uint8_t key[32];
	int n = 0;

	key_of(key, i);
	n = snprintf(out, 160, "%s/%02x/", v->root, key[0]);
	for (int k = 1; k < 32; k++)
		n += snprintf(out + n, 160 - (size_t)n, "%02x", key[k]);
}

/* A file of an earlier run, last used AGE seconds ago. */
static void left_over(const struct env *v, int i, int64_t age)
{
	char path[160];
	struct timespec t[2] = { { .tv_sec = v->now - age }, { .tv_sec = v->now - age } };
	char bytes[SIZE] = { 0 };

	path_of(path, v, i);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, SIZE), SIZE);
	assert_int_equal(futimens(fd, t), 0);
	close(fd);
}

static bool there(const struct env *v, int i)
{
	char path[160];

	path_of(path, v, i);
	return access(path, F_OK) == 0;
}

static void put(struct env *v, int i)
{
	char bytes[SIZE] = { 0 };
	uint8_t key[32];
	struct err e;

	key_of(key, i);
	if (blobs_put(v->b, key, (str){ bytes, SIZE }, &e) < 0)
		fail_msg("%s", e.msg);
}

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct err e;

	temp_make(v->root);
	v->now = (int64_t)time(NULL);
	if (blobs_new(&v->b, v->root, MAX, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	blobs_free(v->b);
	temp_remove(v->root);
	free(v);
	return 0;
}

static void test_longest_unused_go_after_a_restart(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < N; i++)
		left_over(v, i, 90000 - i * 100);
	blobs_scan(v->b);
	for (int i = 0; i < N; i++)
		assert_int_equal(there(v, i), i >= 6); /* down to nine tenths: 14 of 16 */
	struct blobs_counts n = blobs_counts(v->b);
	assert_int_equal(n.files, 14);
	assert_int_equal(n.bytes, 14 * SIZE);
	assert_int_equal(n.evicted, 6);
	assert_int_equal(n.evicted_young, 0);
}

static void test_what_is_in_use_stays_up_to_a_quarter(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < N; i++)
		left_over(v, i, i < 4 ? 300 : 5000 + i); /* the first four: used lately, a quarter of the limit */
	blobs_scan(v->b);
	for (int i = 0; i < N; i++)
		assert_int_equal(there(v, i), i < 4 || i < 14);
	assert_int_equal(blobs_counts(v->b).evicted_young, 6);
}

static void test_more_than_a_quarter_in_use_goes(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < N; i++)
		left_over(v, i, 500 - i);
	blobs_scan(v->b);
	for (int i = 0; i < N; i++)
		assert_int_equal(there(v, i), i >= 6);
}

/* The clock was put back by two hours while the server was down. What this run uses and writes is
 * later than all that is there. */
static void test_their_order_survives_a_clock_that_is_put_back(void **state)
{
	struct env *v = *state;
	uint8_t key[32];
	uint64_t size;

	for (int i = 0; i < 12; i++)
		left_over(v, i, -7200 + i); /* 0 was the last one used */
	key_of(key, 11);
	int fd = blobs_open(v->b, key, &size);
	assert_true(fd >= 0);
	close(fd);
	blobs_scan(v->b);
	for (int i = 12; i < 17; i++)
		put(v, i); /* the last of them makes it too much */
	for (int i = 0; i < 17; i++)
		assert_int_equal(there(v, i), i < 8 || i > 10);
	struct err e;
	blobs_free(v->b); /* and so after another restart, which knows it from the files */
	assert_int_equal(blobs_new(&v->b, v->root, MAX / 2, NULL, &e), 0);
	blobs_scan(v->b);
	for (int i = 0; i < 17; i++)
		assert_int_equal(there(v, i), i < 1 || i > 10);
}

static void test_a_fresh_write_is_neither_refused_nor_evicted(void **state)
{
	struct env *v = *state;

	for (int i = 0; i < N; i++)
		put(v, i);
	for (int i = 0; i < N; i++)
		assert_true(there(v, i));
	assert_int_equal(blobs_counts(v->b).bytes, N * SIZE);
	assert_int_equal(blobs_evict(v->b, v->now + 30), 0);
	assert_int_equal(blobs_evict(v->b, v->now + 1000), 6);
	assert_int_equal(blobs_counts(v->b).files, 14);
}

static void test_who_reads_reads_on(void **state)
{
	struct env *v = *state;
	uint8_t key[32];
	uint64_t size;
	char bytes[SIZE];

	left_over(v, 0, 90000);
	key_of(key, 0);
	int fd = blobs_open(v->b, key, &size);
	assert_true(fd >= 0);
	for (int i = 1; i < N; i++)
		put(v, i);
	assert_true(blobs_evict(v->b, v->now + 10000) > 0);
	assert_false(there(v, 0));
	assert_int_equal(read(fd, bytes, SIZE), SIZE);
	close(fd);
	assert_int_equal(blobs_open(v->b, key, &size), -1); /* and no answer outlives it */
}

/* When nothing may go, not every file that comes makes a pass over all. */
static void test_no_pass_for_each_that_comes(void **state)
{
	struct env *v = *state;
	int64_t begun = clock_ms();

	for (int i = 0; i < N; i++)
		put(v, i);
	uint64_t most = 1 + (uint64_t)(clock_ms() - begun) / 5000 + 1;
	struct blobs_counts n = blobs_counts(v->b);
	assert_true(n.bytes > MAX);
	assert_int_equal(n.evicted, 0);
	assert_true(n.passes >= 1 && n.passes <= most);        /* or one for each of the last four */
	assert_int_equal(blobs_evict(v->b, v->now + 1000), 6); /* who says that it is later is heard */
}

/* ---- many that find too much ---- */

enum { OTHERS = 7 };
struct pass {
	struct env *v;
	pthread_t tid;
	size_t evicted;
};
struct others {
	struct env *v;
	bool met;
	size_t evicted;
};

static void *evict(void *arg)
{
	struct pass *p = arg;

	p->evicted = blobs_evict(p->v->b, p->v->now + 1000);
	return NULL;
}

/* A pass is about to choose: others find too much as well, and end before it goes on. */
static void on_choice(void *arg)
{
	struct others *o = arg;
	struct pass p[OTHERS];
	struct err e;

	if (o->met)
		return;
	o->met = true;
	for (int i = 0; i < OTHERS; i++) {
		p[i] = (struct pass){ .v = o->v };
		assert_int_equal(workq_thread(&p[i].tid, "evict", evict, &p[i], &e), 0);
	}
	for (int i = 0; i < OTHERS; i++) {
		pthread_join(p[i].tid, NULL);
		o->evicted += p[i].evicted;
	}
}

/* One of them looks and chooses for all, and the next finds the way free. */
static void test_many_evict_as_one(void **state)
{
	struct env *v = *state;

	for (int round = 0; round < 2; round++) {
		struct others o = { .v = v };
		for (int i = 0; i < N; i++)
			put(v, i);
		uint64_t passes = blobs_counts(v->b).passes;
		blobs_on_choice(v->b, on_choice, &o);
		assert_int_equal(blobs_evict(v->b, v->now + 1000), 6);
		blobs_on_choice(v->b, NULL, NULL);
		assert_true(o.met);
		assert_int_equal(o.evicted, 0);
		assert_int_equal(blobs_counts(v->b).passes, passes + 1);
		assert_int_equal(blobs_counts(v->b).files, 14);
	}
}

/* ---- a name that leaves and comes at once ---- */

struct second {
	struct env *v;
	pthread_t tid;
	bool begun;
};

static void *put_again(void *arg)
{
	put(((struct second *)arg)->v, 0);
	return NULL;
}

/* The old file is about to be unlinked: a new one of its name comes now. The pause only lets it get as far as it
 * may. */
static void on_unlink(void *arg)
{
	struct second *s = arg;
	struct err e;

	if (s->begun)
		return;
	s->begun = true;
	assert_int_equal(workq_thread(&s->tid, "second", put_again, s, &e), 0);
	nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
}

static void test_a_name_that_leaves_and_comes(void **state)
{
	struct env *v = *state;
	struct second s = { .v = v };

	for (int i = 0; i < N; i++)
		left_over(v, i, 90000 - i * 10);
	blobs_on_unlink(v->b, on_unlink, &s);
	blobs_scan(v->b); /* evicts number 0 first */
	assert_true(s.begun);
	pthread_join(s.tid, NULL);
	assert_true(there(v, 0));
	assert_false(there(v, 1));
	assert_int_equal(blobs_counts(v->b).files, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_longest_unused_go_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_in_use_stays_up_to_a_quarter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_a_quarter_in_use_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_their_order_survives_a_clock_that_is_put_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_fresh_write_is_neither_refused_nor_evicted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_reads_reads_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_pass_for_each_that_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_evict_as_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_name_that_leaves_and_comes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
