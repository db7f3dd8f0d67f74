/* Transfers that stall, drip, pause, are made again, cancelled or stopped. ctest label: threads */
#include "http_env.h"

static void test_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.stall_timeout_ms = 60;
	struct http *h = make(&o);
	OUTCOME(stall);
	OUTCOME(silent);

	get(h, &stall, server_url(&f->a, "/stall"), (struct http_request){ 0 });
	assert_int_equal(stall.code, ERR_TIMEOUT);
	assert_non_null(strstr(stall.msg, "no byte for 60 ms"));
	get(h, &silent, server_url(&f->a, "/silent"), (struct http_request){ 0 });
	assert_int_equal(silent.code, ERR_TIMEOUT);
	http_free(h);
}

/* A byte now and then, for longer than a stall may be, is none. Where the machine itself holds up a thread for as long
 * as that, once more, with twice the time for a stall and for the whole: who counts the whole never gets through. */
static void test_drip(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	bool through = false;

	for (o.stall_timeout_ms = 125; !through; o.stall_timeout_ms *= 2) {
		struct http *h = make(&o);
		OUTCOME(drip);
		char path[32];
		int64_t from = clock_ms();
		assert_true(o.stall_timeout_ms < 20000);
		snprintf(path, sizeof(path), "/drip?%u", o.stall_timeout_ms); /* a byte every 2 ms */
		get(h, &drip, server_url(&f->a, path), (struct http_request){ 0 });
		through = drip.code == 0;
		assert_int_equal(drip.code, through ? 0 : ERR_TIMEOUT);
		assert_int_equal(drip.body.n, through ? o.stall_timeout_ms : 0);
		assert_true(!through || clock_ms() - from > o.stall_timeout_ms);
		http_free(h);
		outcome_release(&drip);
	}
}

/* Who waits behind one that stalls starts when that is given up, though nothing else happens then. */
static void test_after_a_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.stall_timeout_ms = 100;
	o.max_active = 1;
	struct http *h = make(&o);
	OUTCOME(silent);
	OUTCOME(next);
	int64_t from = clock_ms();

	http_start(h, &(struct http_request){ .url = server_url(&f->a, "/silent"), .done = on_done, .arg = &silent });
	next.again_max = 1000; /* on a machine that holds up the server for so long, it stalls, too */
	get(h, &next, server_url(&f->a, "/ok"), (struct http_request){ .again = again });
	assert_int_equal(next.status, 200);
	assert_int_equal(silent.code, ERR_TIMEOUT);
	assert_true(clock_ms() - from < 30000); /* not the thread's next look, a minute later */
	http_free(h);
	outcome_release(&next);
}

static void test_pause_resume(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.pauses = 20;
	struct http_call *c = http_start(f->h, &(struct http_request){ .url = server_url(&f->a, "/big"),
						       .max_body = 1000000,
						       .data = on_data,
						       .done = on_done,
						       .arg = &o });

	for (unsigned left = 20; left > 0; left--) {
		pthread_mutex_lock(&o.lock);
		while (o.pauses != left - 1 && !o.done)
			pthread_cond_wait(&o.cond, &o.lock);
		http_resume(f->h, c); /* paused, so not done */
		pthread_mutex_unlock(&o.lock);
	}
	wait_done(&o, 1);
	assert_int_equal(o.code, 0);
	assert_int_equal(o.streamed.n, 1000000);
	for (unsigned i = 0; i < 10000; i++) {
		char want[101];
		snprintf(want, sizeof(want), "%0100u", i);
		assert_memory_equal(o.streamed.p + i * 100, want, 100);
	}
	outcome_release(&o);
}

/* A paused transfer is slow on purpose: no stall. Where the machine holds up what is not paused, once
 * more with twice the time. */
static void test_pause_is_no_stall(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	bool through = false;

	for (o.stall_timeout_ms = 250; !through; o.stall_timeout_ms *= 2) {
		struct http *h = make(&o);
		OUTCOME(w);
		w.pauses = 1;
		assert_true(o.stall_timeout_ms < 20000);
		struct http_call *c = http_start(h, &(struct http_request){ .url = server_url(&f->a, "/big"),
							    .max_body = 1000000,
							    .data = on_data,
							    .done = on_done,
							    .arg = &w });
		pthread_mutex_lock(&w.lock);
		while (!w.paused && !w.done)
			pthread_cond_wait(&w.cond, &w.lock);
		pthread_mutex_unlock(&w.lock);
		usleep(o.stall_timeout_ms * 2500);
		pthread_mutex_lock(&w.lock);
		if (!w.done)
			http_resume(h, c);
		pthread_mutex_unlock(&w.lock);
		wait_done(&w, 1);
		through = w.code == 0;
		assert_int_equal(w.code, through ? 0 : ERR_TIMEOUT);
		assert_int_equal(w.streamed.n == 1000000, through);
		http_free(h);
		outcome_release(&w);
	}
}

static void test_receiver_stops(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.answer = -1;
	get(f->h, &o, server_url(&f->a, "/big"), (struct http_request){ .data = on_data });
	assert_int_equal(o.code, ERR_CANCELLED);
	assert_int_equal(o.body.n, 0);
}

static void test_again(void **state)
{
	struct fixture *f = *state;
	OUTCOME(o);
	o.again_max = 5;
	get(f->h, &o, server_url(&f->a, "/flaky"), (struct http_request){ .data = on_data, .again = again });
	assert_int_equal(o.code, 0);
	assert_int_equal(o.agains, 2);
	assert_int_equal(o.voided, 2);
	assert_true(str_eq(buf_str(&o.streamed), STR("whole")));
	assert_int_equal(http_counts(f->h).repeats, 2);
	outcome_release(&o);
}

/* In the queue, under way, paused, between two attempts: each is cancelled, and done is called once. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 2;
	struct http *h = make(&o);
	OUTCOME(all);
	struct http_call *c[10];
	f->a.hold_until = 1000;
	pthread_mutex_lock(&all.lock); /* no done may return before the handles are used */
	for (unsigned i = 0; i < 10; i++)
		c[i] = http_start(
			h, &(struct http_request){ .url = server_url(&f->a, "/held"), .done = on_done, .arg = &all });
	while (atomic_load(&f->a.busy) < 2)
		usleep(1000);
	for (unsigned i = 10; i-- > 0;)
		http_cancel(h, c[i]);
	pthread_mutex_unlock(&all.lock);
	wait_done(&all, 10);
	assert_int_equal(all.code, ERR_CANCELLED);
	assert_int_equal(atomic_load(&f->a.requests), 2);

	OUTCOME(waits);
	waits.again_max = 1;
	for (unsigned i = 0; i < 3; i++)
		http_start(
			h, &(struct http_request){ .url = server_url(&f->a, "/held"), .done = on_done, .arg = &waits });
	http_free(h); /* what is under way ends */
	assert_int_equal(waits.done, 3);
	assert_int_equal(waits.code, ERR_CANCELLED);
}

static void start_another(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	struct chain *c = arg;

	http_start(c->h, &(struct http_request){ .url = c->url, .done = on_done, .arg = c->o });
	on_done(c->o, code, r, body, e);
}

static void test_stop_is_final(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	struct http *h = make(&o);
	OUTCOME(all);
	struct chain c = { h, server_url(&f->a, "/silent"), &all };
	http_start(h, &(struct http_request){ .url = c.url, .done = start_another, .arg = &c });
	while (atomic_load(&f->a.busy) < 1)
		usleep(1000);
	http_stop(h);
	wait_done(&all, 2);
	assert_int_equal(all.code, ERR_CANCELLED);
	http_free(h);
	http_free(make(&o)); /* never used: libcurl never loaded */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_stall),
		T(test_drip),
		T(test_after_a_stall),
		T(test_pause_resume),
		T(test_pause_is_no_stall),
		T(test_receiver_stops),
		T(test_again),
		T(test_cancel),
		T(test_stop_is_final),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
