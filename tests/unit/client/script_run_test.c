/* Scripts that are interrupted: once gives them time for their end, twice does not. No clock says so: the time is
 * longer than the test may take. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "script_run.h"

enum { HOURS = 24 * 3600 * 1000, PATIENCE_S = 600 };

struct heard {
	bool ready;
	int pid, ended;
};

static void on_line(void *arg, const struct script *s, str line)
{
	struct heard *h = arg;
	uint64_t pid;

	(void)s;
	h->ready = str_starts(line, STR("ready ")) && str_u64(str_from(line, 6), &pid);
	if (h->ready)
		h->pid = (int)pid;
}

static void on_done(void *arg, const struct script *s, int code, const struct err *e)
{
	(void)s;
	(void)code;
	(void)e;
	((struct heard *)arg)->ended++;
}

/* A script that runs COMMAND and is at work, and what interrupts it. */
static struct script_set *begin(struct heard *h, int cancel[2], const char *command, unsigned end_ms)
{
	struct script_opts o = { .line = on_line, .done = on_done, .arg = h, .end_ms = end_ms };
	struct script s = { .title = STR("test"),
		.dir = STR("/tmp"),
		.stage = STR("install"),
		.command = str_of(command),
		.project_dir = STR("/tmp"),
		.user_agent = STR("test") };
	struct script_set *set = script_set_new(&o);
	struct err e;

	*h = (struct heard){ 0 };
	alarm(PATIENCE_S);
	assert_int_equal(pipe2(cancel, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(script_start(set, &s, &e), 0);
	while (!h->ready)
		assert_int_equal(script_turn(set, cancel[0], &e), 0);
	return set;
}

static void interrupt(const int cancel[2])
{
	assert_int_equal(write(cancel[1], "x", 1), 1);
}

static void end(int cancel[2])
{
	close(cancel[0]);
	close(cancel[1]);
	alarm(0);
}

/* A script that heeds SIGTERM cleans up and is waited for, after so many SIGNALS before anybody looked. */
static void heeded(int signals)
{
	struct heard h;
	int cancel[2];
	struct err e;

	struct script_set *set = begin(&h, cancel,
		"trap 'rm dray-script-test.$$; exit 0' TERM; : > dray-script-test.$$; echo ready $$; while :; do sleep 0.05; done",
		HOURS);
	for (int i = 0; i < signals; i++)
		interrupt(cancel);
	assert_int_equal(script_turn(set, cancel[0], &e), ERR_CANCELLED);
	script_set_free(set); /* waits for it */
	char left[64];
	snprintf(left, sizeof(left), "/tmp/dray-script-test.%d", h.pid);
	assert_int_equal(access(left, F_OK), -1);
	end(cancel);
}

static void test_once(void **state)
{
	(void)state;
	heeded(1);
}

static void test_once_unheeded(void **state)
{
	struct heard h;
	int cancel[2];
	struct err e;

	(void)state;
	struct script_set *set = begin(&h, cancel, "trap '' TERM; echo ready $$; while :; do sleep 0.05; done", 40);
	interrupt(cancel);
	assert_int_equal(script_turn(set, cancel[0], &e), ERR_CANCELLED);
	script_set_free(set);
	assert_int_equal(kill(h.pid, 0), -1);
	end(cancel);
}

static void test_twice(void **state)
{
	struct heard h;
	int cancel[2];
	struct err e;

	(void)state;
	struct script_set *set = begin(&h, cancel, "trap '' TERM; echo ready $$; while :; do sleep 0.05; done", HOURS);
	interrupt(cancel);
	assert_int_equal(script_turn(set, cancel[0], &e), ERR_CANCELLED);
	interrupt(cancel);
	script_set_free(set);
	assert_int_equal(kill(h.pid, 0), -1);
	end(cancel);
}

/* Two signals may be one by the time they are looked at: that is an interruption, not two. */
static void test_two_at_once(void **state)
{
	(void)state;
	heeded(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_once_unheeded),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_two_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
