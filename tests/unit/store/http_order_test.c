/* Who goes when many wait: bounds, room for others, priority, and what is held. ctest label: threads */
#include "http_env.h"

static void many(struct fixture *f, unsigned max_active, unsigned max_per_host, bool small, unsigned bound)
{
	struct http_opts o = plain();
	o.max_active = max_active;
	o.max_per_host = max_per_host;
	struct http *h = make(&o);
	OUTCOME(all);
	f->a.hold_until = 0;
	OUTCOME(first); /* reaches the host, so that all may go */
	get(h, &first, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	outcome_release(&first);
	atomic_store(&f->a.most_busy, 0);
	f->a.hold_until = bound;
	unsigned n = 300 / bound * bound;
	for (unsigned i = 0; i < n; i++)
		http_start(
			h, &(struct http_request){
				   .url = server_url(&f->a, "/held"), .small = small, .done = on_done, .arg = &all });
	wait_done(&all, n);
	assert_int_equal(all.code, 0);
	assert_int_equal(atomic_load(&f->a.most_busy), bound);
	http_free(h);
	outcome_release(&all);
}

static void test_bounds(void **state)
{
	many(*state, 50, 60, false, 50);
	many(*state, 50, 15, false, 15);
	many(*state, 50, 15, true, 50);
}

/* An upstream that never answers what it is asked for takes its share, not everybody's. */
static void test_keep_room(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 16;
	o.keep_room = true;
	o.stall_timeout_ms = 100 * 1000; /* else nobody would end */
	struct http *h = make(&o);
	OUTCOME(hung);
	OUTCOME(first);
	OUTCOME(tarball);
	OUTCOME(other);

	get(h, &first, server_url(&f->a, "/ok"), (struct http_request){ .small = true });
	f->a.hold_until = 1000;
	for (unsigned i = 0; i < 20; i++)
		http_start(
			h, &(struct http_request){
				   .url = server_url(&f->a, "/held"), .small = true, .done = on_done, .arg = &hung });
	while (atomic_load(&f->a.busy) < 12)
		usleep(1000);
	get(h, &tarball, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	get(h, &other, server_url(&f->b, "/ok"), (struct http_request){ .small = true });
	pthread_mutex_lock(&hung.lock);
	unsigned hung_done = hung.done;
	pthread_mutex_unlock(&hung.lock);
	http_free(h);
	assert_int_equal(tarball.status, 200);
	assert_int_equal(other.status, 200);
	assert_int_equal(hung_done, 0);
	assert_int_equal(hung.done, 20);
	outcome_release(&first);
	outcome_release(&tarball);
	outcome_release(&other);
}

static void note(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	(void)code, (void)r, (void)body, (void)e;
	struct chain *c = arg;
	buf_add(&c->o->streamed, c->url);
	on_done(c->o, code, r, STR_NONE, e);
}

static void test_priority(void **state)
{
	struct fixture *f = *state;
	struct http_opts o = plain();
	o.max_active = 1;
	struct http *h = make(&o);
	OUTCOME(all);
	OUTCOME(last);
	struct chain c[] = { { h, STR("0"), &all }, { h, STR("a"), &all }, { h, STR("b"), &all }, { h, STR("c"), &all },
		{ h, STR("d"), &all } };
	const int priority[] = { 0, 1, 7, 1, 9 };
	f->a.hold_until = 1000;
	for (unsigned i = 0; i < 5; i++) {
		http_start(h, &(struct http_request){ .url = i ? server_url(&f->a, "/ok") : server_url(&f->a, "/held"),
				      .done = note,
				      .arg = &c[i],
				      .priority = priority[i] });
		while (i == 0 && atomic_load(&f->a.busy) == 0)
			usleep(1000);
	}
	/* What came last is taken out of the queue: all are in it. */
	http_cancel(h, http_start(h, &(struct http_request){
					     .url = server_url(&f->a, "/ok"), .done = on_done, .arg = &last }));
	wait_done(&last, 1);
	assert_int_equal(last.code, ERR_CANCELLED);
	f->a.hold_until = 1;
	wait_done(&all, 5);
	assert_true(str_eq(buf_str(&all.streamed), STR("0dbac")));
	http_free(h);
	outcome_release(&all);
}

/* What is held does not start, and keeps nothing else from its host. */
static void test_hold(void **state)
{
	struct fixture *f = *state;
	struct http_request r = { .url = server_url(&f->a, "/ok"), .priority = 1, .small = true, .done = on_done };
	OUTCOME(first);
	OUTCOME(held);
	OUTCOME(small);
	OUTCOME(tarball);

	get(f->h, &first, r.url, r); /* the host has been reached */
	http_hold(f->h, true);
	http_hold(f->h, true); /* for somebody else */
	r.arg = &held;
	r.holdable = true;
	http_start(f->h, &r);
	http_hold(f->h, false);
	get(f->h, &small, server_url(&f->a, "/ok"), (struct http_request){ .small = true });
	get(f->h, &tarball, server_url(&f->a, "/ok"), (struct http_request){ 0 });
	assert_true(small.status == 200 && tarball.status == 200);
	assert_int_equal(atomic_load(&f->a.requests), 3);
	http_hold(f->h, false);
	wait_done(&held, 1);
	assert_int_equal(held.status, 200);
	assert_true(str_eq(buf_str(&held.body), STR("hello")));
	outcome_release(&first);
	outcome_release(&held);
	outcome_release(&small);
	outcome_release(&tarball);
}

struct holder {
	struct outcome o; /* first: on_done() gets it */
	struct http *h;
	bool held;
};

static ptrdiff_t hold_and_take(void *arg, const void *p, size_t n)
{
	struct holder *x = arg;

	if (!x->held)
		http_hold(x->h, true);
	x->held = true;
	return on_data(&x->o, p, n);
}

static size_t streamed(struct outcome *o)
{
	pthread_mutex_lock(&o->lock);
	size_t n = o->streamed.n;
	pthread_mutex_unlock(&o->lock);
	return n;
}

/* What is held has come in part only, until it may go on. */
static void test_hold_of_large(void **state)
{
	struct fixture *f = *state;
	struct holder x = { .o = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }, .h = f->h };
	OUTCOME(other);

	http_start(f->h, &(struct http_request){ .url = server_url(&f->a, "/big"),
				 .holdable = true,
				 .small = true,
				 .data = hold_and_take,
				 .done = on_done,
				 .arg = &x });
	for (unsigned i = 0; i < 60000 && streamed(&x.o) == 0; i++)
		usleep(1000);
	usleep(200000); /* for what should not come */
	size_t n = streamed(&x.o);
	assert_true(n > 0 && n <= HTTP_HELD);
	get(f->h, &other, server_url(&f->a, "/big"), (struct http_request){ .small = true });
	assert_int_equal(other.body.n, 1000000);
	http_hold(f->h, false);
	wait_done(&x.o, 1);
	assert_int_equal(x.o.code, 0);
	assert_int_equal(x.o.streamed.n, 1000000);
	outcome_release(&x.o);
	outcome_release(&other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_bounds),
		T(test_keep_room),
		T(test_priority),
		T(test_hold),
		T(test_hold_of_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
