/* ctest label: threads */
#include "watch.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"
#include "lock_timed.h"
#include "log.h"
#include "metrics.h"
#include "running.h"
#include "server.h"
#include "workq.h"
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* What a watch of a loop that stopped beating says. */
static void test_blocked(void **state)
{
	struct watch_slot slot, *slots[] = { &slot };
	_Atomic uint64_t blocked = 0;
	struct watch *w;
	struct err e;
	int fd[2];
	char text[512] = "";

	(void)state;
	assert_int_equal(pipe(fd), 0);
	log_setup(fd[1], LOG_INFO, LOG_TEXT);
	watch_slot_init(&slot);
	assert_int_equal(
		watch_new(&w, &(struct watch_opts){ .slot = slots, .n = 1, .limit_ms = 50, .blocked = &blocked }, &e),
		0);
	pause_ms(500);
	assert_int_equal(blocked, 0); /* a loop that has not begun */
	watch_beat(&slot);
	watch_enter(&slot, STR("/v1/\"pl\nan"), STR("abc"));
	while (blocked == 0)
		pause_ms(10);
	pause_ms(500);
	assert_int_equal(blocked, 1); /* told once */
	watch_leave(&slot);
	watch_rest(&slot);
	watch_free(w);
	assert_true(read(fd[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "in=\"/v1/?pl an id=abc\"\n"));
	log_setup(STDERR_FILENO, LOG_WARN, LOG_TEXT);
	watch_slot_release(&slot);
}

static bool store_is_well;

static bool ready(void *ctx, struct err *e)
{
	(void)ctx;
	if (!store_is_well)
		err_set(e, ERR_IO, "the index is gone");
	return store_is_well;
}

/* Anybody may ask whether it is ready, as often as they like: a line for each change, not for each that asks. */
static void test_ready(void **state)
{
	static const bool well[] = { true, true, false, false, false, true, true, false };
	const struct backend backend = { .ready = ready };
	static struct server s;
	int fd[2];
	char text[2048] = "";
	unsigned lines = 0;

	(void)state;
	s.backend = &backend;
	assert_int_equal(pipe(fd), 0);
	log_setup(fd[1], LOG_INFO, LOG_TEXT);
	for (size_t i = 0; i < sizeof(well) / sizeof(well[0]); i++) {
		struct err e = { 0 };
		store_is_well = well[i];
		assert_int_equal(server_ready(&s, &e), well[i]);
		assert_int_equal(e.code, well[i] ? 0 : ERR_IO);
	}
	log_setup(STDERR_FILENO, LOG_WARN, LOG_TEXT);
	assert_true(read(fd[0], text, sizeof(text) - 1) > 0);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 3);
	const char *bad = strstr(text, "ready error=\"the index is gone\"\n"), *good = strstr(text, "ready again=1\n");
	assert_true(bad && good && bad < good);
	close(fd[0]);
	close(fd[1]);
}

static void test_stage(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		struct watch *w;
		struct err e;
		if (watch_new(&w, &(struct watch_opts){ 0 }, &e) < 0)
			_exit(2);
		watch_stage(w, "quick", 60000);
		watch_stage(w, "stuck", 50);
		pause_ms(250000); /* a machine may be slow; a test's time is over later */
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

static struct client_key key4(const char *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct client_key k;

	inet_pton(AF_INET, s, &sa.sin_addr);
	client_key_of(&k, (struct sockaddr *)&sa);
	return k;
}

static struct client_key key6(const char *s)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	struct client_key k;

	inet_pton(AF_INET6, s, &sa.sin6_addr);
	client_key_of(&k, (struct sockaddr *)&sa);
	return k;
}

static void test_clients(void **state)
{
	struct clients *c = clients_new(5, 2);
	struct client_key a = key4("192.0.2.1"), b = key4("192.0.2.2"), v6 = key6("2001:db8::1"),
			  same = key6("2001:db8::ffff:1"), other = key6("2001:db8:0:1::1");

	(void)state;
	assert_true(clients_enter(c, &a) && clients_enter(c, &a));
	assert_false(clients_enter(c, &a));
	assert_true(clients_enter(c, &b));
	assert_true(clients_enter(c, &v6) && clients_enter(c, &same));
	assert_false(clients_enter(c, &other)); /* all five are taken */
	clients_leave(c, &b);
	assert_false(clients_enter(c, &v6)); /* one /64 is one client */
	assert_true(clients_enter(c, &other));
	for (int i = 0; i < 2; i++)
		clients_leave(c, &a);
	assert_true(clients_enter(c, &a) && clients_enter(c, &b)); /* two had left */
	assert_false(clients_enter(c, &a));
	struct client_key mapped = key6("::ffff:192.0.2.1"), another = key6("::ffff:192.0.2.9");
	assert_memory_equal(&mapped, &a, sizeof(a)); /* as one who listens on [::] sees it */
	assert_memory_not_equal(&mapped, &another, sizeof(a));
	clients_free(c);
}

static void test_histogram(void **state)
{
	struct counts *n = xcalloc(1, sizeof(*n));
	AUTO(buf_release) struct buf b = BUF_INIT;
	const char *label[] = { "/a", "other" };

	(void)state;
	histogram_add(&n->request, 500);
	histogram_add(&n->request, 501);
	histogram_add(&n->request, 99000000);
	counts_request(n, 1, 404);
	counts_request(n, METRICS_ROUTES, 200);
	counts_request(n, 0, 42);
	counts_print(&b, n, label, 2);
	buf_addc(&b, 0);
	assert_non_null(strstr(b.p, "drayd_request_seconds_bucket{le=\"0.0005\"} 1\n"));
	assert_non_null(strstr(b.p, "drayd_request_seconds_bucket{le=\"0.001\"} 2\n"));
	assert_non_null(strstr(b.p, "drayd_request_seconds_bucket{le=\"30\"} 2\n"));
	assert_non_null(strstr(b.p, "drayd_request_seconds_bucket{le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(b.p, "drayd_request_seconds_sum 99.001001\n"));
	assert_non_null(strstr(b.p, "drayd_responses_total{route=\"other\",status=\"404\"} 1\n"));
	assert_non_null(strstr(b.p, "drayd_responses_total{route=\"/a\",status=\"200\"} 0\n"));
	free(n);
}

static void test_running(void **state)
{
	struct running r;
	struct running_plan got[RUNNING_MOST];
	int seat[RUNNING_MOST + 1];

	(void)state;
	running_init(&r);
	for (int i = 0; i <= RUNNING_MOST; i++)
		seat[i] = running_enter(&r, STR("id"), STR("p"), (uint64_t)(1000 - i));
	assert_int_equal(seat[RUNNING_MOST], -1);
	assert_int_equal(running_list(&r, got), RUNNING_MOST);
	assert_true(got[0].begun_us < got[1].begun_us);
	for (int i = 0; i <= RUNNING_MOST; i++)
		running_leave(&r, seat[i]);
	assert_int_equal(running_list(&r, got), 0);
	running_release(&r);
}

/* A pipe that nobody reads neither blocks nor mixes lines; a field for each pair. */
static void test_log(void **state)
{
	uint64_t before = log_dropped();
	char text[65536];
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	log_setup(fd[1], LOG_INFO, LOG_JSON);
	log_info("x", "a=1 b=\"two words\" and text");
	ssize_t n = read(fd[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text, "\"event\":\"x\",\"a\":\"1\",\"b\":\"two words\",\"text\":\"and text\"}\n"));
	for (int i = 0; i < 5000; i++)
		log_info("fill", "i=%d", i);
	assert_true(log_dropped() > before);
	n = read(fd[0], text, sizeof(text));
	assert_true(n > 0 && text[n - 1] == '\n');
	log_setup(STDERR_FILENO, LOG_WARN, LOG_TEXT);
	close(fd[0]);
	close(fd[1]);
}

struct contended {
	pthread_mutex_t lock;
	atomic_bool held;
};

static void *hold(void *arg)
{
	struct contended *c = arg;

	pthread_mutex_lock(&c->lock);
	c->held = true;
	pause_ms(20);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Long waits for a lock are counted, and nothing else is. */
static void test_lock_waits(void **state)
{
	struct contended c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	_Atomic uint64_t waits = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		lock_timed(&c.lock, &waits);
		pthread_mutex_unlock(&c.lock);
	}
	assert_int_equal(waits, 0);
	for (int i = 1; waits == 0; i++) { /* who is held up before it asks need not wait */
		struct err e;
		pthread_t tid;
		assert_true(i < 1000);
		c.held = false;
		assert_int_equal(workq_thread(&tid, "hold", hold, &c, &e), 0);
		while (!c.held)
			sched_yield();
		lock_timed(&c.lock, &waits);
		pthread_mutex_unlock(&c.lock);
		lock_timed(&c.lock, NULL);
		pthread_mutex_unlock(&c.lock);
		pthread_join(tid, NULL);
	}
	assert_int_equal(waits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_stage),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_lock_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
