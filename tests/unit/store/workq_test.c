/* workq_test — when the owner is woken: at once for a job somebody waits for, once for many where all are patient,
 * always before the workers run dry, or as they do. ctest label: threads */
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
	bool patient, fails; /* one that fails is patient no more */
};

static void run(void *job)
{
	struct one *j = job;

	sem_post(j->entered);
	sem_wait(j->go);
	j->patient &= !j->fails;
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
static void walk(bool all_patient, bool first_fails)
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
		job[i] = (struct one){ &entered, &go, all_patient, first_fails && i == 0 };
		assert_true(workq_push(q, &job[i]));
	}
	sem_wait(&entered);
	sem_post(&go);
	sem_wait(&entered);
	assert_int_equal(readable(q, 0), !all_patient || first_fails);
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
	walk(true, false);
}

static void test_impatient(void **state)
{
	(void)state;
	walk(false, false);
}

static void test_patient_until_it_failed(void **state)
{
	(void)state;
	walk(true, true);
}

/* Patient jobs that end one after the other: how often the owner hears before all have. LAST: it says that it brings no
 * more. */
static int told_before_all(struct workq *q, struct one *job, bool last)
{
	int told = 0;

	for (int i = 0; i < JOBS; i++)
		assert_true(workq_push(q, &job[i]));
	if (last)
		workq_last(q);
	for (int i = 0; i < JOBS; i++) {
		sem_wait(job->entered); /* the one before has ended */
		told += readable(q, 0);
		while (workq_pop(q)) {
		}
		sem_post(job->go);
	}
	assert_true(readable(q, PATIENCE_MS));
	while (!workq_pop(q)) {
	}
	return told;
}

/* When few are left, and when none is; only then, if it brings no more; and as before with the next job. */
static void test_told_before_all(void **state)
{
	struct workq_opts o = {
		.name = "test", .workers = 1, .depth = JOBS, .run = run, .drop = drop, .patient = patient
	};
	struct one job[JOBS];
	sem_t entered, go;
	struct workq *q;
	struct err e;

	(void)state;
	assert_int_equal(sem_init(&entered, 0, 0) | sem_init(&go, 0, 0), 0);
	assert_int_equal(workq_new(&q, &o, &e), 0);
	for (int i = 0; i < JOBS; i++)
		job[i] = (struct one){ &entered, &go, true, false };
	for (int i = 0; i < 4; i++)
		assert_int_equal(told_before_all(q, job, i & 1), !(i & 1));
	workq_free(q);
	sem_destroy(&entered);
	sem_destroy(&go);
}

/* Never as many jobs as "few" means for so many workers, and one of them stays: the owner hears when nothing is queued
 * any more, once until it brings something. */
static void test_one_stays(void **state)
{
	enum { WORKERS = 4 };
	struct workq_opts o = {
		.name = "test", .workers = WORKERS, .depth = JOBS + 1, .run = run, .drop = drop, .patient = patient
	};
	struct one job[JOBS + 1];
	sem_t entered, go, last;
	struct workq *q;
	struct err e;
	int popped = 0;

	(void)state;
	assert_int_equal(sem_init(&entered, 0, 0) | sem_init(&go, 0, 0) | sem_init(&last, 0, 0), 0);
	assert_int_equal(workq_new(&q, &o, &e), 0);
	for (int i = 0; i <= JOBS; i++)
		job[i] = (struct one){ &entered, i == 0 ? &last : &go, true, false };
	for (int i = 0; i < JOBS; i++)
		assert_true(workq_push(q, &job[i]));
	for (int i = 0; i < JOBS; i++) { /* so many have begun, and those that went before them have ended */
		sem_wait(&entered);
		assert_false(readable(q, 0));
		if (i >= WORKERS - 1)
			sem_post(&go);
	}
	assert_true(readable(q, PATIENCE_MS)); /* nothing is queued, WORKERS - 1 jobs run */
	for (; workq_pop(q); popped++) {
	}
	assert_int_equal(popped, JOBS - WORKERS + 1);
	sem_post(&go);
	while (!workq_pop(q)) /* nobody tells of this one */
		poll(NULL, 0, 1);
	assert_false(readable(q, 0));
	assert_true(workq_push(q, &job[JOBS]));
	sem_wait(&entered);
	sem_post(&go); /* this one or the last of the others */
	assert_true(readable(q, PATIENCE_MS));
	for (popped += 1; workq_pop(q); popped++) {
	}
	assert_int_equal(popped, JOBS - WORKERS + 3);
	sem_post(&go);
	sem_post(&last);
	while (popped < JOBS + 1) {
		assert_true(readable(q, PATIENCE_MS));
		while (workq_pop(q))
			popped++;
	}
	workq_free(q);
	sem_destroy(&entered);
	sem_destroy(&go);
	sem_destroy(&last);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_patient), cmocka_unit_test(test_impatient),
		cmocka_unit_test(test_patient_until_it_failed), cmocka_unit_test(test_told_before_all),
		cmocka_unit_test(test_one_stays) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
