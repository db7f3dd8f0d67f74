/* workq_test — when the owner is woken: at once for a job somebody waits for, once for many where all are patient, always before the workers run dry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <semaphore.h>

#include "workq.h"

enum { JOBS = 12, PATIENCE_MS = 20000 };

struct one {
	sem_t *entered, *go;
	bool patient;
};

static void run(void *job)
{
	struct one *j = job;

	sem_post(j->entered);
	sem_wait(j->go);
}

static void drop(void *job)
{
	(void)job;
}

static bool patient(const void *job)
{
	return ((const struct one *)job)->patient;
}

static bool readable(const struct workq *q, int ms)
{
	struct pollfd fd = { .fd = workq_fd(q), .events = POLLIN };

	return poll(&fd, 1, ms) == 1;
}

/* One worker; the first job has ended when the second has begun, and JOBS - 2 are queued. */
static void walk(bool all_patient)
{
	struct workq_opts o = {
		.name = "test", .workers = 1, .depth = JOBS, .run = run, .drop = drop, .patient = patient
	};
	struct one job[JOBS];
	sem_t entered, go;
	struct workq *q;
	struct err e;
	int popped = 0;

	assert_int_equal(sem_init(&entered, 0, 0) | sem_init(&go, 0, 0), 0);
	assert_int_equal(workq_new(&q, &o, &e), 0);
	for (int i = 0; i < JOBS; i++) {
		job[i] = (struct one){ &entered, &go, all_patient };
		assert_true(workq_push(q, &job[i]));
	}
	sem_wait(&entered);
	sem_post(&go);
	sem_wait(&entered);
	assert_int_equal(readable(q, 0), !all_patient);
	for (int i = 1; i < JOBS; i++)
		sem_post(&go);
	while (popped < JOBS) {
		assert_true(readable(q, PATIENCE_MS));
		while (workq_pop(q))
			popped++;
	}
	while (readable(q, 0)) /* told of what was taken already: at most once */
		assert_null(workq_pop(q));
	workq_free(q);
	sem_destroy(&entered);
	sem_destroy(&go);
}

static void test_patient(void **state)
{
	(void)state;
	walk(true);
}

static void test_impatient(void **state)
{
	(void)state;
	walk(false);
}

/* Of patient jobs that end one after the other the owner hears twice: when few are left, and when none is. */
static void test_told_twice(void **state)
{
	struct workq_opts o = {
		.name = "test", .workers = 1, .depth = JOBS, .run = run, .drop = drop, .patient = patient
	};
	struct one job[JOBS];
	sem_t entered, go;
	struct workq *q;
	struct err e;
	int told = 0;

	(void)state;
	assert_int_equal(sem_init(&entered, 0, 0) | sem_init(&go, 0, 0), 0);
	assert_int_equal(workq_new(&q, &o, &e), 0);
	for (int i = 0; i < JOBS; i++) {
		job[i] = (struct one){ &entered, &go, true };
		assert_true(workq_push(q, &job[i]));
	}
	for (int i = 0; i < JOBS; i++) {
		sem_wait(&entered); /* the one before has ended */
		told += readable(q, 0);
		while (workq_pop(q)) {
		}
		sem_post(&go);
	}
	assert_int_equal(told, 1);
	assert_true(readable(q, PATIENCE_MS));
	while (!workq_pop(q)) {
	}
	workq_free(q);
	sem_destroy(&entered);
	sem_destroy(&go);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_patient), cmocka_unit_test(test_impatient),
		cmocka_unit_test(test_told_twice) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
