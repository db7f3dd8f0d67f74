/* What a heap keeps when its data is gone, and that it is given back. ctest label: threads */
#include "heap.h"
#include "workq.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* THREADS threads fill 12 MiB each in pieces of 2 KiB, and free all but one in 64: no page run is at a heap's end,
 * where free() would give it back by itself. */
enum { THREADS = 8, PIECES = 6144, PIECE = 2048, STAYS = 64 };

struct filler {
	pthread_t tid;
	char *p[PIECES];
};

static void *fill(void *arg)
{
	struct filler *f = arg;

	for (int i = 0; i < PIECES; i++) {
		f->p[i] = xmalloc(PIECE);
		memset(f->p[i], i, PIECE);
	}
	return NULL;
}

static void free_most(struct filler *f)
{
	for (int i = 0; i < PIECES; i++) {
		if (i % STAYS != STAYS - 1) {
			free(f->p[i]);
			f->p[i] = NULL;
		}
	}
}

static void test_kept(void **state)
{
	struct filler *f = xcalloc(THREADS, sizeof(*f));
	struct err e;

	(void)state;
	heap_setup();
	if (heap_sizes().used == 0) { /* a sanitizer's allocator: nothing is trimmed */
		assert_false(heap_trim());
		free(f);
		skip();
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(workq_thread(&f[i].tid, "filler", fill, &f[i], &e), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(f[i].tid, NULL);
	struct heap_sizes full = heap_sizes();
	assert_true(full.used > (uint64_t)THREADS * PIECES * PIECE);
	assert_false(heap_trim()); /* all of it is in use */
	for (int i = 0; i < THREADS; i++)
		free_most(&f[i]);
	struct heap_sizes empty = heap_sizes();
	assert_true(empty.used < full.used / 16);
	assert_true(empty.kept > full.used / 2);
	assert_true(heap_trim());
	struct heap_sizes trimmed = heap_sizes();
	assert_true(trimmed.kept < empty.kept / 4);
	assert_false(heap_trim()); /* nothing to gain any more */
	for (int i = 0; i < THREADS; i++) {
		for (int k = STAYS - 1; k < PIECES; k += STAYS) {
			assert_int_equal((unsigned char)f[i].p[k][PIECE - 1], k & 255);
			free(f[i].p[k]);
		}
	}
	free(f);
}

static void test_thread(void **state)
{
	_Atomic uint64_t trims = 0;
	struct heap *h;
	struct err e;

	(void)state;
	assert_int_equal(heap_new(&h, &trims, &e), 0);
	heap_free(h);
	assert_int_equal(trims, 0);
	heap_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_kept), cmocka_unit_test(test_thread) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
