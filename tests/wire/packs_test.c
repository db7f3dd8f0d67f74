/* Packs from a server to a store: all of them, the ones that are wrong, and the server that goes
 * away. argv[1] is stub_packs. */
#include "base/clock.h"
#include "fetch_packs.h"
#include "integrity.h"
#include "made_server.h"
#include "packs_fixture.h"
#include "packs_wire.h"
#include "stub_process.h"
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

enum { SMALL_AHEAD = 5000 };
static const char *stub;

struct env {
	char root[TEMP_PATH], url[64], port[8];
	pid_t pid;
	struct arena a;
	struct store *store;
	struct pool *pool;
	struct pack_fetcher *f;
	struct frame_package frame[FIXTURES];
	struct tree_package package[FIXTURES];
	struct fixture fix[FIXTURES];
	unsigned done, absent, wrong, kill_after, take, taken;
	ptrdiff_t taken_at;        /* of the last that was taken back; -1: none was */
	bool term;                 /* the kill is a SIGTERM */
	bool stream;               /* every pack is unpacked while it arrives */
	struct made_server *made;  /* instead of a drayd */
	unsigned connections;      /* 0: as many as an install has */
	uint64_t max_bytes, ahead; /* 0: as fetch_begin() has them */
	uint64_t stream_from;      /* likewise */
	unsigned share_ms, stall_ms;
	unsigned away_ms;                /* likewise */
	const struct pack_base_of *base; /* given with each */
	char why[400];                   /* of the last that was wrong */
};

/* From the store AT, on PORT; 0: any. */
static void serve_at(struct env *v, const char *fault, const char *at, const char *port)
{
	char ready[96], dir[96], listen[32];

	snprintf(ready, sizeof(ready), "%s/%s.ready", v->root, at);
	snprintf(dir, sizeof(dir), "%s/%s", v->root, at);
	snprintf(listen, sizeof(listen), "127.0.0.1:%s", port);
	v->pid = fork();
	if (v->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails half way leaves nobody behind */
		setenv("STUB_FAULT", fault, 1);
		execl(stub, stub, "--listen", listen, "--ready-file", ready, "--registry", "http://registry.test/",
			"--log-level", "error", "--store-dir", dir, (char *)NULL);
		_exit(127);
	}
	await_ready(ready, v->port, v->url);
}

static void serve(struct env *v, const char *fault)
{
	serve_at(v, fault, "drayd", "0");
}

static void on_done(void *arg, struct tree_package *p)
{
	struct env *v = arg;

	v->done++;
	assert_true(p->rec.p && p->cold);
	assert_true(str_eq(pkg_name(p->rec), p->f->name));
	if (v->kill_after && v->done == v->kill_after)
		kill(v->pid, v->term ? SIGTERM : SIGKILL);
}

static void on_absent(void *arg, struct tree_package *p, const struct err *e)
{
	struct env *v = arg;

	if (!p) {
		assert_true(e->code < 0);
		return;
	}
	assert_int_equal(p->state, PACKAGE_IDLE);
	v->absent++;
	v->wrong += e != NULL;
	if (e)
		snprintf(v->why, sizeof(v->why), "%.399s", e->msg);
}

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	char store[96];
	struct err e;

	temp_make(v->root);
	snprintf(store, sizeof(store), "%s/store", v->root);
	assert_int_equal(store_open(&v->store, store, NULL, &e), 0);
	assert_int_equal(pool_new(&v->pool, 2, &e), 0);
	for (uint32_t i = 0; i < FIXTURES; i++) {
		assert_int_equal(fixture_make(&v->fix[i], i, &v->a, &e), 0);
		v->frame[i] = (struct frame_package){ .id = i, .name = v->fix[i].name, .version = STR("1.0.0") };
		v->frame[i].meta.resolution.integrity = v->fix[i].sri;
		v->package[i] = (struct tree_package){ .f = &v->frame[i], .key = v->fix[i].sri };
	}
	*state = v;
	return 0;
}

/* Every pack is unpacked while it arrives, a few thousand bytes at a time. */
static int setup_streamed(void **state)
{
	setup(state);
	((struct env *)*state)->stream = true;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	pack_fetcher_stop(v->f);
	pool_free(v->pool);
	pack_fetcher_free(v->f);
	if (v->pid > 0) {
		kill(v->pid, SIGTERM);
		waitpid(v->pid, NULL, 0);
	}
	made_free(v->made);
	for (int i = 0; i < FIXTURES; i++) {
		fixture_release(&v->fix[i]);
		free((void *)(uintptr_t)v->package[i].rec.p);
	}
	store_close(v->store);
	temp_remove(v->root);
	arena_release(&v->a);
	free(v);
	return 0;
}

static void fetch_begin(struct env *v)
{
	struct err e;
	struct pack_fetcher_opts o = { .url = str_of(v->url),
		.store = v->store,
		.connections = v->connections,
		.away_ms = v->away_ms ? v->away_ms : 300,
		.max_bytes = v->max_bytes ? v->max_bytes : 100000, /* less than one of them has */
		.stream_from = v->stream_from ? v->stream_from
			       : v->stream    ? 1
					      : 0,
		.small_ahead = SMALL_AHEAD,
		.share_ms = v->share_ms,
		.stall_ms = v->stall_ms,
		.ahead = v->ahead    ? (uint32_t)v->ahead
			 : v->stream ? 5000
				     : 0, /* likewise */
		.done = on_done,
		.absent = on_absent,
		.arg = v };

	assert_int_equal(pack_fetcher_new(&v->f, v->pool, &o, &e), 0);
}

static void fetch_one(struct env *v, unsigned i, bool look_up)
{
	if (!look_up) {
		memcpy(v->frame[i].pack, v->fix[i].digest, 32);
		v->frame[i].pack_size = v->fix[i].pack.n;
	}
	assert_true(pack_possible(&v->package[i], look_up));
	pack_fetch(v->f, &v->package[i], look_up, v->base);
}

/* A round of the loop, or MS without one. */
static void fetch_turn(struct env *v, int ms)
{
	struct pollfd fd[2] = { { .fd = pack_fetcher_fd(v->f), .events = POLLIN },
		{ .fd = pool_fd(v->pool), .events = POLLIN } };

	poll(fd, 2, ms);
	pack_fetcher_drain(v->f);
	pool_drain(v->pool);
}

static void fetch_rest(struct env *v)
{
	for (int64_t end = clock_ms() + PATIENCE_MS; pack_fetcher_pending(v->f) > 0;) {
		assert_true(clock_ms() < end);
		fetch_turn(v, 20);
	}
}

/* Asks for all and waits until each has come to its end. */
static void fetch_all(struct env *v, bool look_up)
{
	ptrdiff_t first = 0;

	fetch_begin(v);
	for (unsigned i = 0; i < FIXTURES; i++)
		fetch_one(v, i, look_up);
	v->taken_at = -1;
	for (unsigned i = 0; i < v->take; i++) {
		struct tree_package *p = pack_take(v->f, true);
		if (!p)
			break; /* their packs were found already */
		assert_int_equal(p->state, PACKAGE_IDLE);
		assert_true(p - v->package > v->taken_at);
		v->taken_at = p - v->package;
		first = v->taken++ ? first : v->taken_at;
	}
	fetch_rest(v);
	for (ptrdiff_t i = 0; i < first; i++)
		assert_non_null(v->package[i].rec.p); /* it had been found when the one behind it was taken */
	assert_int_equal(v->done + v->absent + v->taken, FIXTURES);
}

static void all_arrive(void **state)
{
	struct env *v = *state;

	serve(v, "");
	fetch_all(v, false);
	struct pack_counts n = pack_fetcher_counts(v->f);
	assert_int_equal(v->done, FIXTURES);
	assert_int_equal(n.packs, FIXTURES);
	assert_int_equal(n.reconnects, 0);
	assert_true(n.most_bytes <= v->fix[7].pack.n + 100000);
}

static void all_are_found(void **state)
{
	struct env *v = *state;

	serve(v, "");
	fetch_all(v, true);
	assert_int_equal(v->done, FIXTURES);
}

static void base_make(struct env *v, struct pack_base_of *base)
{
	struct import_opts o = { .key = v->fix[0].sri, .sri = v->fix[0].sri };
	struct err e;

	assert_true(packs_key(base->key, v->fix[0].sri));
	assert_int_equal(import_tarball(v->store, &o, v->fix[0].tgz.p, v->fix[0].tgz.n, &base->rec, &e), 0);
}

/* Look-ups with another version beside them; FAULT "old": a server that does not know of those is asked without. */
static void found_beside_another_version(struct env *v, const char *fault)
{
	struct pack_base_of base = { 0 };

	base_make(v, &base);
	serve(v, fault);
	v->base = &base;
	fetch_all(v, true);
	free((void *)(uintptr_t)base.rec.p);
	assert_int_equal(v->done, FIXTURES);
	assert_int_equal(v->absent, 0);
}

static void other_versions_are_named(void **state)
{
	found_beside_another_version(*state, "");
}

static void an_older_server_is_asked_as_it_knows(void **state)
{
	found_beside_another_version(*state, "old");
}

/* All are looked up beside a version that is still to come, but EARLY, for which it comes at once; until they are
 * found. */
static void found_and_parked(struct env *v, struct pack_base_of *base, unsigned early)
{
	struct pkg to_come = base->rec;

	base->rec = (struct pkg){ 0 };
	v->base = base;
	serve(v, "");
	fetch_begin(v);
	for (unsigned i = 0; i < FIXTURES; i++) {
		fetch_one(v, i, true);
		if (i < early)
			pack_base_comes(&v->package[i], to_come);
	}
	base->rec = to_come;
	for (int64_t end = clock_ms() + 500; clock_ms() < end || v->done < early;) {
		assert_true(clock_ms() < end + PATIENCE_MS);
		fetch_turn(v, 20);
	}
	assert_int_equal(v->done, early);
	assert_int_equal(v->absent, 0);
	assert_int_equal(pack_fetcher_pending(v->f), FIXTURES - early);
}

/* What is found beside a version that is still to come is asked for when that comes, or looked up again when it will
 * not; whether the answer was there by then or was not. */
static void found_before_its_base(void **state)
{
	struct env *v = *state;
	struct pack_base_of base = { 0 };

	base_make(v, &base);
	found_and_parked(v, &base, 2);
	struct pack_base_of to_come = base;
	to_come.rec = (struct pkg){ 0 };
	v->base = NULL;
	for (unsigned i = 2; i < FIXTURES; i++) {
		struct tree_package *p = &v->package[i];
		if (i % 2 == 0) {
			pack_base_comes(p, base.rec);
			assert_false(pack_base_lost(p));
			continue;
		}
		assert_true(pack_base_lost(p));
		assert_int_equal(p->state, PACKAGE_IDLE);
		v->base = &to_come;
		fetch_one(v, i, true);
		assert_true(pack_base_lost(p)); /* before its answer is there */
		v->base = NULL;
		fetch_one(v, i, true);
	}
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES);
	assert_int_equal(v->absent, 0);
	free((void *)(uintptr_t)base.rec.p);
}

/* Those that wait for another version learn that the server is gone. */
static void a_server_that_goes_while_some_wait(void **state)
{
	struct env *v = *state;
	struct pack_base_of base = { 0 };

	base_make(v, &base);
	found_and_parked(v, &base, 1);
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	v->pid = 0;
	v->base = NULL;
	assert_true(pack_base_lost(&v->package[1]));
	fetch_one(v, 1, true);
	fetch_rest(v);
	assert_int_equal(v->absent, FIXTURES - 1);
	assert_int_equal(v->wrong, FIXTURES - 1);
	for (unsigned i = 1; i < FIXTURES; i++)
		assert_false(pack_base_lost(&v->package[i]));
	free((void *)(uintptr_t)base.rec.p);
}

static void some_are_taken_back(void **state)
{
	struct env *v = *state;

	serve(v, "");
	v->take = 3;
	fetch_all(v, true);
	assert_int_equal(v->absent, 0);
}

/* A socket that listens where V's url points. */
static int listen_only(struct env *v)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 16) == 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
	return fd;
}

/* Who expects packs is connected before it knows of one, over every connection. */
static void connected_before_the_first(void **state)
{
	struct env *v = *state;
	struct pack_fetcher_opts o = { .store = v->store, .connections = 3, .connect = true, .done = on_done };
	int fd = listen_only(v);
	struct err e;

	o.url = str_of(v->url);
	assert_int_equal(pack_fetcher_new(&v->f, v->pool, &o, &e), 0);
	for (int i = 0; i < 3; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		close(accept(fd, NULL, NULL));
	}
	close(fd);
}

/* A server that has enough of them may refuse a connection: the others go on. */
static void one_connection_is_refused(void **state)
{
	struct env *v = *state;
	struct pack_fetcher_opts o = { .store = v->store,
		.connections = 3,
		.connect_ms = PATIENCE_MS,
		.connect = true,
		.done = on_done,
		.absent = on_absent,
		.arg = v };
	int fd = listen_only(v), conn[3];
	struct err e;
	char url[80];

	/* Nothing is open before a word of the server's. */
	snprintf(url, sizeof(url), "https%s", v->url + strlen("http"));
	o.url = str_of(url);
	assert_int_equal(pack_fetcher_new(&v->f, v->pool, &o, &e), 0);
	for (int i = 0; i < 3; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		conn[i] = accept(fd, NULL, NULL);
	}
	fetch_one(v, 0, false);
	close(conn[0]);
	for (int64_t end = clock_ms() + 300; clock_ms() < end;)
		fetch_turn(v, 20);
	assert_int_equal(v->absent, 0);
	close(conn[1]);
	close(conn[2]);
	close(fd);
	fetch_rest(v);
	assert_int_equal(v->wrong, 1);
}

/* One that takes the connection and does not begin to speak TLS is given up when its time is over, also where nothing
 * but that time wakes the thread. */
static void a_mute_server_is_given_up(void **state)
{
	struct env *v = *state;
	struct pack_fetcher_opts o = { .store = v->store,
		.connections = 2,
		.connect_ms = 300,
		.connect = true,
		.done = on_done,
		.absent = on_absent,
		.arg = v };
	int fd = listen_only(v);
	struct err e;
	char url[80];

	snprintf(url, sizeof(url), "https%s", v->url + strlen("http"));
	o.url = str_of(url);
	assert_int_equal(pack_fetcher_new(&v->f, v->pool, &o, &e), 0);
	fetch_one(v, 0, false);
	fetch_rest(v);
	assert_int_equal(v->wrong, 1);
	assert_non_null(strstr(v->why, "did not answer within 300 ms"));
	close(fd);
}

/* A server that takes the connection and never says a word keeps nobody. */
static void a_silent_server_keeps_nobody(void **state)
{
	struct env *v = *state;
	int fd = listen_only(v);

	v->take = FIXTURES + 1;
	fetch_all(v, true);
	assert_int_equal(v->taken, FIXTURES);
	assert_int_equal(pack_fetcher_unanswered(v->f), FIXTURES);
	close(fd);
}

/* What the plan names a pack for comes from its server. */
static void a_named_pack_is_not_taken_back(void **state)
{
	struct env *v = *state;

	serve(v, "");
	v->take = 1;
	fetch_all(v, false);
	assert_int_equal(v->taken, 0);
}

static void a_wrong_pack_is_refused(struct env *v, const char *fault, bool look_up)
{
	serve(v, fault);
	fetch_all(v, look_up);
	assert_int_equal(v->done, FIXTURES - 1);
	assert_int_equal(v->wrong, 1);
	assert_null(v->package[5].rec.p);
	assert_non_null(strstr(v->why, "p5@1.0.0"));
	struct store_read *r;
	struct pkg p;
	struct err e;
	store_flush(v->store);
	assert_int_equal(store_read_begin(&r, v->store, &e), 0);
	assert_int_equal(store_get(&p, r, v->fix[5].sri, &e), 0);
	assert_int_equal(store_get(&p, r, v->fix[6].sri, &e), 1);
	store_read_end(r);
}

static void a_flipped_byte(void **state)
{
	a_wrong_pack_is_refused(*state, "flip", true);
}

static void a_short_file(void **state)
{
	a_wrong_pack_is_refused(*state, "short", false);
}

static void a_short_file_that_says_so(void **state)
{
	a_wrong_pack_is_refused(*state, "short", true);
}

static void more_than_was_promised(void **state)
{
	a_wrong_pack_is_refused(*state, "long", true);
}

static void a_lost_pack_is_absent(void **state)
{
	struct env *v = *state;

	serve(v, "gone");
	fetch_all(v, false);
	assert_int_equal(v->done, FIXTURES - 1);
	assert_int_equal(v->absent, 1);
	assert_int_equal(v->wrong, 0);
}

static void a_server_without_packs(void **state)
{
	struct env *v = *state;

	serve(v, "none");
	fetch_all(v, true);
	assert_int_equal(v->absent, FIXTURES);
}

static void a_killed_server(void **state)
{
	struct env *v = *state;

	serve(v, "");
	v->kill_after = 3;
	fetch_all(v, false);
	assert_true(v->done >= 3 && v->absent > 0);
	assert_int_equal(v->wrong, v->absent);
}

/* A server that is restarted costs nothing but the time: what is missing comes from it, however often
 * nobody was reached meanwhile. */
static void a_server_that_comes_back(void **state)
{
	struct env *v = *state;
	unsigned more_than_an_answerless_one_gets = 5;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	char port[8];
	int held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	/* Nobody else gets the port while the server is away. */
	assert_int_equal(setsockopt(held, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(held, (struct sockaddr *)&at, n), 0);
	assert_int_equal(getsockname(held, (struct sockaddr *)&at, &n), 0);
	snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
	serve_at(v, "", "drayd", port);
	v->kill_after = 3;
	v->connections = 1;
	v->away_ms = PATIENCE_MS;
	fetch_begin(v);
	for (unsigned i = 0; i < FIXTURES; i++)
		fetch_one(v, i, false);
	for (int64_t end = clock_ms() + PATIENCE_MS;
		pack_fetcher_counts(v->f).reconnects < more_than_an_answerless_one_gets;) {
		assert_true(clock_ms() < end && v->absent == 0);
		fetch_turn(v, 20);
	}
	v->kill_after = 0;
	waitpid(v->pid, NULL, 0);
	serve_at(v, "", "again", port);
	close(held);
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES);
	assert_int_equal(v->absent, 0);
}

static void no_server(void **state)
{
	struct env *v = *state;

	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:9"); /* discard: nobody listens */
	fetch_all(v, false);
	assert_int_equal(v->wrong, FIXTURES);
}

/* -- connections that end ------------------------------------------------------------ */

static void serve_made(struct env *v, enum made_end end, uint64_t every, unsigned most)
{
	struct made_opts o = { .fix = v->fix, .nfix = FIXTURES, .end = end, .every = every, .most = most };

	v->made = made_new(&o);
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u", made_port(v->made));
}

static uint64_t bytes_of_all(const struct env *v)
{
	uint64_t n = 0;

	for (int i = 0; i < FIXTURES; i++)
		n += v->fix[i].pack.n;
	return n;
}

/* A GOAWAY that lets finish what was asked for: the rest comes over new connections, and nothing twice. */
static void a_goaway_costs_no_byte(void **state)
{
	struct env *v = *state;
	const struct made_row *row;

	v->connections = 3;
	serve_made(v, MADE_LAST, 8000, 6);
	fetch_all(v, false);
	struct pack_counts n = pack_fetcher_counts(v->f);
	assert_int_equal(v->done, FIXTURES);
	assert_true(n.reconnects > 0);
	assert_true(made_ended(v->made) > 0 && made_connections(v->made) <= 6 + 3);
	assert_int_equal(made_rows(v->made, &row), FIXTURES);
	assert_int_equal(n.bytes, bytes_of_all(v) + (uint64_t)FIXTURES * PACKS_ROW);
}

/* How many were asked for from a byte behind their first. */
static unsigned asked_again(struct env *v, unsigned *times)
{
	const struct made_row *row;
	unsigned n = made_rows(v->made, &row), later = 0;

	*times = n;
	for (unsigned i = 0; i < n; i++)
		later += row[i].from > 0;
	return later;
}

/* An answer that ends in its middle: what is missing of it is asked for, from that byte on. */
static void an_answer_goes_on(struct env *v, enum made_end end)
{
	unsigned rows;

	v->connections = 2;
	serve_made(v, end, 20500, 4);
	fetch_all(v, false);
	struct pack_counts n = pack_fetcher_counts(v->f);
	assert_int_equal(v->done, FIXTURES);
	unsigned later = asked_again(v, &rows), ended = made_ended(v->made);
	assert_true(ended > 0 && n.reconnects > 0 && later > 0 && later <= ended * 4);
	/* Each head may have come and nothing behind it. */
	assert_true(n.bytes <= bytes_of_all(v) + (uint64_t)rows * PACKS_ROW);
	assert_true(made_connections(v->made) <= 4 + 2);
}

static void an_answer_that_a_goaway_ends_goes_on(void **state)
{
	an_answer_goes_on(*state, MADE_REFUSE);
}

static void an_answer_that_was_cut_goes_on(void **state)
{
	an_answer_goes_on(*state, MADE_CUT);
}

/* It takes no request that comes after its GOAWAY, and that comes first: a few attempts, then all of
 * it comes from elsewhere. */
static void a_server_that_always_leaves(struct env *v, enum made_end end)
{
	v->connections = 2;
	serve_made(v, end, 0, UINT32_MAX);
	fetch_all(v, false);
	assert_int_equal(v->wrong, v->absent);
	assert_true(end == MADE_LAST || v->done == 0);
	/* Three attempts each, and more where an answer came. */
	assert_true(made_connections(v->made) <= 2 * 3 + v->done);
	assert_true(v->absent == 0 || strstr(v->why, "pack of "));
}

static void a_server_that_always_says_goaway(void **state)
{
	a_server_that_always_leaves(*state, MADE_LAST);
}

static void a_server_that_always_refuses(void **state)
{
	a_server_that_always_leaves(*state, MADE_REFUSE);
}

/* drayd is told to stop: what arrives is whole, the rest is absent, and nobody waits. */
static void a_server_that_drains(void **state)
{
	struct env *v = *state;

	serve(v, "");
	v->term = true;
	v->kill_after = 3;
	fetch_all(v, false);
	assert_true(v->done >= 3);
	assert_int_equal(v->wrong, v->absent);
	assert_true(pack_fetcher_counts(v->f).bytes <=
		    bytes_of_all(v) + (uint64_t)pack_fetcher_counts(v->f).requests * 256 * PACKS_ROW);
}

/* -- large packs ------------------------------------------------------------------------- */

/* As long as the loop unpacks none, no more of them are asked for than may be held, though each
 * fits into what may be ahead. */
static void large_packs_are_held_within_bounds(void **state)
{
	struct env *v = *state;
	const struct made_row *row;
	unsigned n = 0, before;
	uint64_t held = 0;

	v->max_bytes = 50000;
	v->ahead = 1 << 20;
	serve_made(v, MADE_NEVER, 0, 0);
	fetch_begin(v);
	for (unsigned i = 8; i < FIXTURES; i++)
		fetch_one(v, i, false);
	for (int quiet = 0, turns = 0; quiet < 10; turns++) {
		before = n;
		pause_ms(30);
		n = made_rows(v->made, &row);
		quiet = n > 2 && n == before ? quiet + 1 : 0; /* some come, and then no more */
		assert_true(turns < 8000);
	}
	for (unsigned i = 0; i < n; i++)
		held += v->fix[row[i].fix].pack.n;
	assert_true(held <= v->max_bytes);
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES - 8);
	assert_true(pack_fetcher_counts(v->f).most_bytes <= v->max_bytes);
}

/* It may be the one that has the window, for which others wait: larger ones that become known
 * meanwhile come after it. */
static void a_large_pack_that_broke_off_goes_first(void **state)
{
	struct env *v = *state;
	const struct made_row *row;
	unsigned small = 9, cuts = 2, n;

	for (unsigned i = 8; i < FIXTURES; i++)
		small = v->fix[i].pack.n < v->fix[small].pack.n && v->fix[i].pack.n > 2500 ? i : small;
	v->connections = 1;
	serve_made(v, MADE_CUT, 1500, cuts);
	fetch_begin(v);
	fetch_one(v, small, false);
	for (int64_t end = clock_ms() + PATIENCE_MS; made_ended(v->made) == 0;) {
		assert_true(clock_ms() < end);
		fetch_turn(v, 5);
	}
	for (unsigned i = 8; i < FIXTURES; i++) {
		if (i != small)
			fetch_one(v, i, false);
	}
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES - 8);
	n = made_rows(v->made, &row);
	assert_true(n > 2 && row[0].fix == small && row[0].from == 0);
	assert_true(row[1].fix == small && row[1].from > 0 && row[1].conn == 1);
	bool whole[FIXTURES] = { false };
	for (unsigned i = 0; i < n; i++) { /* the second cut: likewise, whoever it met */
		if (row[i].from == 0)
			assert_false(whole[row[i].fix]);
		whole[row[i].fix] = true;
	}
}

/* Over several blocks, the second of which is half full when the connection breaks off. */
static void a_large_pack_goes_on_inside_a_block(void **state)
{
	struct env *v = *state;
	const struct made_row *row;

	v->connections = 1;
	v->ahead = 4 << 20;
	serve_made(v, MADE_CUT, 400000, 1);
	assert_true(v->fix[7].pack.n > 600000);
	fetch_begin(v);
	fetch_one(v, 7, false);
	fetch_rest(v);
	assert_int_equal(v->done, 1);
	assert_int_equal(made_rows(v->made, &row), 2);
	assert_true(row[1].from > 0 && row[1].from < v->fix[7].pack.n);
}

/* Number 7 is large, and no more than its first bytes arrive. Then a small one comes, which has more than may be ahead,
 * and all others are wanted. */
static void begin_with_one_held(struct env *v)
{
	struct made_opts o = { .fix = v->fix, .nfix = FIXTURES, .holds = 7 };
	const struct made_row *row;
	unsigned first = 8;

	while (v->fix[first].pack.n <= SMALL_AHEAD)
		first++;
	v->made = made_new(&o);
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u", made_port(v->made));
	v->max_bytes = v->ahead = 4 << 20;
	v->stream_from = 100000;
	fetch_begin(v);
	fetch_one(v, 7, false);
	for (int64_t end = clock_ms() + PATIENCE_MS; made_rows(v->made, &row) == 0;) {
		assert_true(clock_ms() < end);
		fetch_turn(v, 5);
	}
	fetch_one(v, first, false);
	for (int64_t end = clock_ms() + PATIENCE_MS; v->done < 1;) {
		assert_true(clock_ms() < end);
		fetch_turn(v, 5);
	}
	for (unsigned i = 8; i < FIXTURES; i++) {
		if (i != first)
			fetch_one(v, i, false);
	}
}

static void small_packs_keep_to_their_share(void **state)
{
	struct env *v = *state;
	const struct made_row *row;

	v->share_ms = 10 * PATIENCE_MS;
	begin_with_one_held(v);
	for (int turn = 0; turn < 20; turn++)
		fetch_turn(v, 10);
	assert_int_equal(made_rows(v->made, &row), 2);
	made_release(v->made);
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES - 7);
}

static void a_large_pack_that_stalls_keeps_no_small_ones_back(void **state)
{
	struct env *v = *state;

	v->share_ms = 50;
	begin_with_one_held(v);
	for (int64_t end = clock_ms() + PATIENCE_MS; v->done < FIXTURES - 8;) {
		assert_true(clock_ms() < end);
		fetch_turn(v, 20);
	}
	assert_int_equal(pack_fetcher_pending(v->f), 1);
	made_release(v->made);
	fetch_rest(v);
	assert_int_equal(v->done, FIXTURES - 7);
}

/* Number 7, of which no more than the first bytes arrive, is asked for three times, then comes from elsewhere. FLOODS:
 * frames without a byte are no progress, however many there are, and keep the thread from nothing. */
static void given_up(struct env *v, bool floods)
{
	struct made_opts o = { .fix = v->fix, .nfix = FIXTURES, .holds = 7, .floods = floods };
	const struct made_row *row;

	v->made = made_new(&o);
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u", made_port(v->made));
	v->connections = 1;
	v->stall_ms = 300;
	fetch_begin(v);
	fetch_one(v, 7, false);
	fetch_rest(v);
	assert_int_equal(v->wrong, 1);
	assert_non_null(strstr(v->why, "pack of p7@1.0.0: the server sent no byte for 300 ms"));
	assert_int_equal(made_rows(v->made, &row), 3);
	assert_int_equal(made_connections(v->made), 3); /* another one may be better off */
}

static void a_pack_that_stalls_is_given_up(void **state)
{
	given_up(*state, false);
}

static void empty_frames_are_no_progress(void **state)
{
	given_up(*state, true);
}

/* One that answers nothing but failures is asked a few times, and not for each package. */
static void a_server_that_fails(void **state)
{
	struct env *v = *state;
	struct made_opts o = { .fix = v->fix, .nfix = FIXTURES, .fails = true };

	v->made = made_new(&o);
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u", made_port(v->made));
	fetch_all(v, !v->stream);
	assert_int_equal(v->wrong, FIXTURES);
	assert_non_null(strstr(v->why, "503"));
	assert_true(made_asked(v->made) < FIXTURES);
}

#define BOTH(TEST)                                                                                                     \
	cmocka_unit_test_setup_teardown(TEST, setup, teardown),                                                        \
		cmocka_unit_test_setup_teardown(TEST, setup_streamed, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BOTH(all_arrive),
		BOTH(all_are_found),
		BOTH(other_versions_are_named),
		BOTH(an_older_server_is_asked_as_it_knows),
		BOTH(found_before_its_base),
		BOTH(a_server_that_goes_while_some_wait),
		BOTH(some_are_taken_back),
		BOTH(a_silent_server_keeps_nobody),
		BOTH(a_named_pack_is_not_taken_back),
		BOTH(a_flipped_byte),
		BOTH(a_short_file),
		BOTH(a_short_file_that_says_so),
		BOTH(more_than_was_promised),
		BOTH(a_lost_pack_is_absent),
		BOTH(a_server_without_packs),
		BOTH(a_killed_server),
		BOTH(a_server_that_comes_back),
		BOTH(no_server),
		cmocka_unit_test_setup_teardown(connected_before_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(one_connection_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mute_server_is_given_up, setup, teardown),
		BOTH(a_goaway_costs_no_byte),
		BOTH(an_answer_that_a_goaway_ends_goes_on),
		BOTH(an_answer_that_was_cut_goes_on),
		BOTH(a_server_that_always_says_goaway),
		BOTH(a_server_that_always_refuses),
		BOTH(a_server_that_drains),
		BOTH(a_server_that_fails),
		cmocka_unit_test_setup_teardown(large_packs_are_held_within_bounds, setup_streamed, teardown),
		cmocka_unit_test_setup_teardown(a_large_pack_that_broke_off_goes_first, setup_streamed, teardown),
		cmocka_unit_test_setup_teardown(a_large_pack_goes_on_inside_a_block, setup_streamed, teardown),
		cmocka_unit_test_setup_teardown(small_packs_keep_to_their_share, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_pack_that_stalls_keeps_no_small_ones_back, setup, teardown),
		BOTH(a_pack_that_stalls_is_given_up),
		BOTH(empty_frames_are_no_progress),
	};

	if (argc != 2)
		return 2;
	stub = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
