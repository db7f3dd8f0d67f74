/* pool_test — in which order jobs begin. ctest label: threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <semaphore.h>

#include "pool.h"

enum { FEW = 20, MANY = 1000, PATIENCE_MS = 20000 }; /* many: more than the pool hands to its queue at once */

struct walk;
struct one {
	struct job job; /* first */
	struct walk *w;
	unsigned begun; /* as which one */
};
struct walk {
	struct one one[MANY + 1];
	sem_t entered, go;
	unsigned n; /* the worker's */
};

/* The first waits. */
static void run(struct job *j)
{
	struct one *o = (struct one *)j;

	o->begun = o->w->n++;
	if (o->begun > 0)
		return;
	sem_post(&o->w->entered);
	sem_wait(&o->w->go);
}

static void done(struct job *j, void *ctx)
{
	(void)j;
	(void)ctx;
}

static void submit(struct pool *p, struct walk *w, unsigned i, bool urgent)
{
	w->one[i].w = w;
	w->one[i].job = (struct job){ .run = run, .done = done, .urgent = urgent };
	pool_submit(p, &w->one[i].job);
}

/* One worker, which has the first of N jobs, and then an urgent one. Returns as which one that began. */
static unsigned urgent_behind(unsigned n)
{
	static struct walk w;
	struct pool *p;
	struct err e;
	unsigned last = 0;

	w = (struct walk){ 0 };
	assert_int_equal(sem_init(&w.entered, 0, 0) | sem_init(&w.go, 0, 0), 0);
	assert_int_equal(pool_new(&p, 1, &e), 0);
	for (unsigned i = 0; i < n; i++)
		submit(p, &w, i, false);
	sem_wait(&w.entered);
	submit(p, &w, n, true);
	sem_post(&w.go);
	while (pool_live(p) > 0) {
		struct pollfd fd = { .fd = pool_fd(p), .events = POLLIN };
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
		pool_drain(p);
	}
	assert_int_equal(w.n, n + 1);
	for (unsigned i = 0; i < n; i++) { /* the others keep their order */
		assert_true(i == 0 || w.one[i].begun > last);
		last = w.one[i].begun;
	}
	pool_free(p);
	sem_destroy(&w.entered);
	sem_destroy(&w.go);
	return w.one[n].begun;
}

static void test_urgent_is_next(void **state)
{
	(void)state;
	assert_int_equal(urgent_behind(FEW), 1);
	assert_int_equal(urgent_behind(1), 1);
}

/* Behind what the queue has been given, before the rest. */
static void test_urgent_among_many(void **state)
{
	(void)state;
	assert_in_range(urgent_behind(MANY), 1, MANY / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_urgent_is_next),
		cmocka_unit_test(test_urgent_among_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
