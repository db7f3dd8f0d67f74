/* The daemon's server and the client's source over loopback sockets. argv[1] is stub_drayd, which
 * says what its plans are. */
#include "wire_fixture.h"

static void test_plan(void **state)
{
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };

	if (ask(s->url, "many", STR_NONE, &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(g.packages, 3000);
	assert_int_equal(g.slots, 3000);
	assert_int_equal(g.last, FRAME_DONE);
	assert_true(wait_metric(s, "drayd_plans_done_total 1\n"));
}

/* Lets walks go on that wait at the gate. */
static void open_gate(const struct served *s)
{
	struct got g = { 0 };
	struct err e = { 0 };

	assert_int_equal(ask(s->url, "open the gate", STR_NONE, &g, &e), 0);
}

/* Frames come while the plan is still being made: the rest of it only when the first is here. */
static void test_streams(void **state)
{
	const struct served *s = *state;
	struct got g = { .open_gate = s };
	struct err e = { 0 };

	if (ask(s->url, "gated", STR_NONE, &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(g.slots, 20);
}

static void test_failures(void **state)
{
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };

	assert_int_equal(ask(s->url, "nomatch", STR_NONE, &g, &e), ERR_NOMATCH);
	assert_int_equal(g.frames, 0);
	assert_non_null(strstr(e.msg, "no version of \"x\" matches"));
	assert_int_equal(ask(s->url, "midway", STR_NONE, &g, &e), ERR_NOTFOUND);
	assert_int_equal(g.last, FRAME_FAILURE);
	assert_non_null(strstr(e.msg, "x is not in the registry"));
	assert_true(wait_metric(s, "drayd_plans_failed_total 2\n")); /* before its first frame, and behind some */
	assert_true(metric_is(s, "drayd_plans_done_total 0\n"));
	assert_int_equal(ask(s->url, "settings", STR_NONE, &g, &e), ERR_PROTOCOL);
	assert_int_equal(g.frames, 0); /* fail closed: nothing was handed on */
	assert_non_null(strstr(e.msg, "other settings"));
	assert_int_equal(ask(s->url, "newer", STR_NONE, &g, &e), ERR_PROTOCOL);
	assert_int_equal(g.frames, 0);
	assert_non_null(strstr(e.msg, "plan protocol 2"));
}

/* Strings of a plan have no NUL, as columns end them by one. Whose answer ends so is not waited for any more, and the
 * server stops at once. */
static void test_cannot_be_encoded(void **state)
{
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };

	assert_true(ask(s->url, "nul", STR_NONE, &g, &e) < 0);
	assert_true(g.last != FRAME_DONE);
	assert_true(wait_metric(s, "drayd_plans_active 0\n"));
	assert_true(metric_is(s, "drayd_plans_failed_total 1\n"));
	assert_int_equal(ask(s->url, "many", STR_NONE, &g, &e), 0);
}

static const char lock_text[] = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n"
				"  excludeLinksFromLockfile: false\n\nimporters:\n\n  .: {}\n";

static void test_lockfile_is_asked_for_once(void **state)
{
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };

	if (ask(s->url, "locked", str_of(lock_text), &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(metric_is(s, "drayd_lockfiles_needed_total 1\n"));
	assert_int_equal(ask(s->url, "locked", str_of(lock_text), &g, &e), 0);
	assert_true(metric_is(s, "drayd_lockfiles_needed_total 1\n"));
	assert_int_equal(ask(s->url, "many", STR("neither: [yaml\n"), &g, &e), ERR_PARSE);
}

static void test_bad_requests(void **state)
{
	const struct served *s = *state;
	const char *type = PLAN_REQUEST_TYPE;
	AUTO(buf_release) struct buf b = BUF_INIT;
	AUTO(buf_release) struct buf newer = BUF_INIT;

	assert_int_equal(status_of(s, "POST", "/v1/plan", type, STR("garbage")), 400);
	assert_int_equal(status_of(s, "POST", "/v1/plan", "text/plain", STR("x")), 415);
	assert_int_equal(status_of(s, "POST", "/v1/plan", type, STR_NONE), 400);
	assert_int_equal(status_of(s, "GET", "/v1/plan", NULL, STR_NONE), 405);
	assert_int_equal(status_of(s, "GET", "/v1/health", NULL, STR_NONE), 200);
	assert_int_equal(status_of(s, "GET", "/v1/ready", NULL, STR_NONE), 200);
	assert_int_equal(status_of(s, "GET", "/nowhere", NULL, STR_NONE), 404);
	size_t big = (8u << 20) + 1;
	memset(buf_reserve(&b, big), 'x', big);
	b.n = big;
	assert_int_equal(status_of(s, "POST", "/v1/plan", type, buf_str(&b)), 413);
	/* protocol 9, at least 9: a client from a future */
	frame_pack(&newer, STR("\x08\x09\x10\x09"), 3);
	assert_int_equal(status_of(s, "POST", "/v1/plan", type, buf_str(&newer)), 400);
}

/* Why the store cannot be used is for the log: who may see the page or ask whether it is ready is not told. */
static void test_unready(void **state)
{
	static const char *const path[] = { "/v1/ready", "/" };
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };
	struct answer a;

	if (ask(s->url, "spoil", STR_NONE, &g, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < 2; i++) {
		struct h2 *h = connect_to(s);
		start(h, &a, "GET", path[i], NULL, STR_NONE);
		assert_int_equal(drive_until(h, &a.done), 0);
		assert_int_equal(a.status, i ? 200 : 503);
		assert_true(str_find_str(buf_str(&a.body), STR("the store cannot be used; the log says why"), 0) !=
			    SIZE_MAX);
		assert_true(str_find_str(buf_str(&a.body), STR("secret"), 0) == SIZE_MAX);
		buf_release(&a.body);
		h2_close(h);
	}
}

static void test_http1(void **state)
{
	const struct served *s = *state;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const char q[] = "POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nxGET /v1/health "
				"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char got[4096];
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_port = htons((uint16_t)atoi(s->port));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, q, sizeof(q) - 1), sizeof(q) - 1);
	for (ssize_t k; n < sizeof(got) - 1 && (k = read(fd, got + n, sizeof(got) - 1 - n)) > 0;)
		n += (size_t)k;
	got[n] = 0;
	close(fd);
	assert_non_null(strstr(got, "HTTP/1.1 505"));
	assert_non_null(strstr(got, "HTTP/1.1 200"));
}

/* A client that leaves ends the work: by its sink's wish, and by closing the connection. */
static void test_client_leaves(void **state)
{
	const struct served *s = *state;
	struct got g = { .stop_at = 1 };
	struct err e = { 0 };

	assert_int_equal(ask(s->url, "block", STR_NONE, &g, &e), ERR_CANCELLED);
	assert_true(wait_metric(s, "stub_cancelled 1\n"));
	g.stop_at = 5;
	assert_int_equal(ask(s->url, "some", STR_NONE, &g, &e), ERR_CANCELLED);
	assert_true(wait_metric(s, "stub_cancelled 2\n"));
	assert_true(wait_metric(s, "drayd_plans_active 0\n"));
	assert_true(wait_metric(s, "drayd_plans_cancelled_total 2\n"));
}

static void test_cached(void **state)
{
	const struct served *s = *state;
	struct got g = { 0 };
	struct err e = { 0 };

	assert_int_equal(ask(s->url, "many", STR_NONE, &g, &e), 0);
	assert_false(g.cached);
	assert_int_equal(ask(s->url, "many", STR_NONE, &g, &e), 0);
	assert_true(g.cached);
	assert_int_equal(g.slots, 3000);
	assert_int_equal(ask(s->url, "midway", STR_NONE, &g, &e), ERR_NOTFOUND);
	assert_int_equal(ask(s->url, "midway", STR_NONE, &g, &e), ERR_NOTFOUND);
	assert_true(metric_is(s, "stub_plans 3\n")); /* a failure is not kept */
}

/* One of several that ask the same at the same time. */
struct asker {
	const char *url, *name;
	struct got got;
	struct err err;
	int rc;
	pthread_t tid;
};

static void *ask_thread(void *arg)
{
	struct asker *a = arg;
	struct request_importer im;
	struct request r = request_of(&im, a->name);
	struct source *src;

	a->rc = source_of(&src, a->url, &a->err);
	if (a->rc == 0) {
		a->rc = src->run(src, &r, sink, &a->got, &a->err);
		src->free(src);
	}
	return NULL;
}

/* All of them wait for one walk before it goes on. */
enum { ASKERS = 20 };
static void ask_all(const struct served *s, const char *name, struct asker *a, int first_stops_at)
{
	char joined[64];
	struct err e;

	for (int i = 0; i < ASKERS; i++) {
		a[i] = (struct asker){ .url = s->url, .name = name, .got.stop_at = i ? 0 : first_stops_at };
		assert_int_equal(workq_thread(&a[i].tid, "asker", ask_thread, &a[i], &e), 0);
		if (i == 0)
			assert_true(wait_metric(s, "stub_plans 1\n")); /* the first one leads */
	}
	snprintf(joined, sizeof(joined), "drayd_plans_joined_total %d\n", ASKERS - 1);
	assert_true(wait_metric(s, joined));
	open_gate(s);
	for (int i = 0; i < ASKERS; i++)
		pthread_join(a[i].tid, NULL);
}

static void test_single_flight(void **state)
{
	const struct served *s = *state;
	struct asker a[ASKERS];

	ask_all(s, "gated", a, 0);
	for (int i = 0; i < ASKERS; i++) {
		assert_int_equal(a[i].rc, 0);
		assert_int_equal(a[i].got.slots, 20);
	}
	assert_true(metric_is(s, "stub_plans 1\n"));
}

static void test_failed_leader(void **state)
{
	const struct served *s = *state;
	struct asker a[ASKERS];
	struct got g = { 0 };
	struct err e;

	ask_all(s, "late", a, 0);
	for (int i = 0; i < ASKERS; i++) {
		assert_int_equal(a[i].rc, ERR_NOMATCH);
		assert_non_null(strstr(a[i].err.msg, "late"));
	}
	assert_true(metric_is(s, "stub_plans 1\n"));
	assert_int_equal(ask(s->url, "late", STR_NONE, &g, &e), ERR_NOMATCH); /* and the next one tries again */
	assert_true(metric_is(s, "stub_plans 2\n"));
}

/* The client whose request began the walk leaves after some frames: it goes on, and all the others get their plan. */
static void test_cancelled_leader(void **state)
{
	const struct served *s = *state;
	struct asker a[ASKERS];

	ask_all(s, "gated", a, 12);
	assert_int_equal(a[0].rc, ERR_CANCELLED);
	for (int i = 1; i < ASKERS; i++) {
		assert_int_equal(a[i].rc, 0);
		assert_int_equal(a[i].got.slots, 20);
	}
	assert_true(metric_is(s, "stub_plans 1\n"));
}

struct cancelled {
	const struct served *s;
	struct source *src;
	int rc;
};

static void *cancel_when_begun(void *arg)
{
	struct cancelled *c = arg;

	if (wait_metric(c->s, "stub_plans 1\n"))
		c->src->cancel(c->src);
	return NULL;
}

static void test_cancel_from_another_thread(void **state)
{
	const struct served *s = *state;
	struct request_importer im;
	struct request r = request_of(&im, "block");
	struct cancelled c = { .s = s };
	struct got g = { 0 };
	struct err e = { 0 };
	pthread_t tid;

	assert_int_equal(source_of(&c.src, s->url, &e), 0);
	assert_int_equal(workq_thread(&tid, "cancel", cancel_when_begun, &c, &e), 0);
	assert_int_equal(c.src->run(c.src, &r, sink, &g, &e), ERR_CANCELLED);
	pthread_join(tid, NULL);
	c.src->free(c.src);
	assert_true(wait_metric(s, "stub_cancelled 1\n"));
}

static void *run_blocked(void *arg)
{
	struct cancelled *c = arg;
	struct request_importer im;
	struct request r = request_of(&im, "block");
	struct got g = { 0 };
	struct err e = { 0 };

	c->rc = c->src->run(c->src, &r, sink, &g, &e);
	return NULL;
}

/* Who joins a walk gets its frames as they come, not when it ends; and the last one to leave ends it. */
static void test_joiner_does_not_wait(void **state)
{
	const struct served *s = *state;
	struct cancelled first;
	struct got g = { .stop_at = 1 };
	struct err e = { 0 };
	pthread_t tid;

	assert_int_equal(source_of(&first.src, s->url, &e), 0);
	assert_int_equal(workq_thread(&tid, "first", run_blocked, &first, &e), 0);
	assert_true(wait_metric(s, "stub_plans 1\n"));
	assert_int_equal(ask(s->url, "block", STR_NONE, &g, &e), ERR_CANCELLED); /* it had its frame */
	assert_true(wait_metric(s, "drayd_plans_active 1\n"));
	assert_true(wait_metric(s, "drayd_plans_joined_total 1\n"));
	assert_true(metric_is(s, "stub_cancelled 0\n"));
	first.src->cancel(first.src);
	pthread_join(tid, NULL);
	first.src->free(first.src);
	assert_int_equal(first.rc, ERR_CANCELLED);
	assert_true(wait_metric(s, "stub_cancelled 1\n"));
	assert_true(metric_is(s, "stub_plans 1\n"));
}

static void body_of(struct buf *out, const char *name)
{
	struct request_importer im;
	struct request r = request_of(&im, name);
	struct err e;

	assert_int_equal(request_encode(out, &r, 0, false, &e), 0);
}

static void test_plans_per_client(void **state)
{
	const struct served *s = *state;
	struct answer a[4];
	struct h2 *h = connect_to(s);
	AUTO(buf_release) struct buf body = BUF_INIT;

	body_of(&body, "block");
	for (int i = 0; i < 4; i++)
		start(h, &a[i], "POST", "/v1/plan", PLAN_REQUEST_TYPE, buf_str(&body));
	assert_int_equal(drive_until(h, &a[3].done), 0);
	assert_int_equal(a[3].status, 429);
	assert_false(a[0].done);
	h2_close(h);
	for (int i = 0; i < 4; i++)
		buf_release(&a[i].body);
	assert_true(wait_metric(s, "drayd_plans_cancelled_total 3\n"));
	assert_true(wait_metric(s, "drayd_plans_refused_total 1\n"));
}

/* Streams opened and reset again and again: the connection goes, the server stays. */
static void test_reset_storm(void **state)
{
	const struct served *s = *state;
	struct h2 *h = connect_to(s);
	AUTO(buf_release) struct buf body = BUF_INIT;
	int rc = 0;

	body_of(&body, "block");
	for (int i = 0; i < 2000 && rc == 0; i++) {
		struct answer a;
		start(h, &a, "POST", "/v1/plan", PLAN_REQUEST_TYPE, buf_str(&body));
		a.unwanted = true;
		rc = drive_until(h, &a.done);
		buf_release(&a.body);
	}
	assert_int_equal(rc, ERR_NET);
	h2_close(h);
	assert_true(wait_metric(s, "drayd_abusive_connections_total 1\n"));
	assert_true(wait_metric(s, "drayd_plans_active 0\n"));
}

/* SIGTERM with a plan under way: the plan ends whole, nothing new is accepted, exit 0. */
static void test_drain(void **state)
{
	struct served s;
	struct got g = { 0 };
	struct err e = { 0 };
	int status;

	(void)state;
	serve(&s, NULL, NULL, NULL);
	if (ask(s.url, "stopped", STR_NONE, &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(g.last, FRAME_DONE);
	assert_int_equal(g.slots, 20);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	assert_int_equal(ask(s.url, "many", STR_NONE, &g, &e), ERR_NET);
}

/* With a plan that would never end the drain's bound holds. */
static void test_drain_bound(void **state)
{
	struct served s;
	struct answer a;
	AUTO(buf_release) struct buf body = BUF_INIT;

	(void)state;
	serve(&s, "--drain", "1", NULL);
	struct h2 *h = connect_to(&s);
	body_of(&body, "block");
	start(h, &a, "POST", "/v1/plan", PLAN_REQUEST_TYPE, buf_str(&body));
	for (int64_t end = clock_ms() + PATIENCE_MS; clock_ms() < end && !a.body.n;) {
		struct err e;
		pause_ms(5);
		assert_int_equal(h2_drive(h, &e), 0);
	}
	assert_true(a.body.n);
	assert_int_equal(stop(&s), 0);
	h2_close(h);
	buf_release(&a.body);
}

/* A listener that accepts and says nothing: the time budget decides. */
static void test_silent_server(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char url[64];
	struct request_importer im;
	struct request r = request_of(&im, "many");
	struct source *src;
	struct got g = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d", ntohs(sa.sin_port));
	assert_int_equal(
		source_remote_new(&src, &(struct source_remote_opts){ .url = str_of(url), .connect_ms = 200 }, &e), 0);
	assert_int_equal(src->run(src, &r, sink, &g, &e), ERR_TIMEOUT);
	src->free(src);
	close(fd);
	assert_int_equal(ask(url, "many", STR_NONE, &g, &e), ERR_NET);
}

static void test_tls(void **state)
{
	char dir[TEMP_PATH], cert[64], key[64], command[512], url[64], certflag[80], keyflag[80];
	struct served s;
	struct request_importer im;
	struct request r = request_of(&im, "many");
	struct source *src;
	struct got g = { 0 };
	struct err e = { 0 };

	(void)state;
	temp_make(dir);
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test "
		"-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
		key, cert);
	assert_int_equal(system(command), 0);
	snprintf(certflag, sizeof(certflag), "--tls-cert=%s", cert);
	snprintf(keyflag, sizeof(keyflag), "--tls-key=%s", key);
	serve(&s, certflag, keyflag, NULL);
	snprintf(url, sizeof(url), "https://127.0.0.1:%s", s.port);
	assert_int_equal(
		source_remote_new(&src,
			&(struct source_remote_opts){ .url = str_of(url), .ca_file = cert, .connect_ms = PATIENCE_MS },
			&e),
		0);
	if (src->run(src, &r, sink, &g, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(g.packages, 3000);
	src->free(src);
	/* Without the authority the server is not believed, and not believed in another's name. */
	assert_int_equal(ask(url, "many", STR_NONE, &g, &e), ERR_NET);
	assert_non_null(strstr(e.msg, "certificate"));
	snprintf(url, sizeof(url), "https://localhost:%s", s.port);
	assert_int_equal(
		source_remote_new(&src,
			&(struct source_remote_opts){ .url = str_of(url), .ca_file = cert, .connect_ms = PATIENCE_MS },
			&e),
		0);
	g = (struct got){ 0 };
	assert_int_equal(src->run(src, &r, sink, &g, &e), ERR_NET);
	src->free(src);
	kill(s.pid, SIGHUP); /* reload must not disturb */
	assert_int_equal(stop(&s), 0);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cannot_be_encoded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lockfile_is_asked_for_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_single_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_leader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_leader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_joiner_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_from_another_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plans_per_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_storm, setup_many, teardown),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_bound),
		cmocka_unit_test(test_silent_server),
		cmocka_unit_test(test_tls),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: wire_test STUB_DRAYD\n");
		return 2;
	}
	stub = argv[1];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
