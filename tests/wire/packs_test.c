/* Packs from a server to a store: all of them, the ones that are wrong, and the server that goes away. argv[1] is stub_packs. */
#include "fetch_packs.h"
#include "integrity.h"
#include "packs_fixture.h"
#include "packs_wire.h"
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *stub;

struct env {
	char root[64], url[64], port[8];
	pid_t pid;
	struct arena a;
	struct store *store;
	struct pool *pool;
	struct pack_fetcher *f;
	struct frame_package frame[FIXTURES];
	struct tree_package package[FIXTURES];
	struct fixture fix[FIXTURES];
	unsigned done, absent, wrong, kill_after, take, taken;
	bool stream;                     /* every pack is unpacked while it arrives */
	const struct pack_base_of *base; /* given with each */
	char why[400];                   /* of the last that was wrong */
};

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void serve(struct env *v, const char *fault)
{
	char ready[96], dir[96], line[128] = "";

	snprintf(ready, sizeof(ready), "%s/ready", v->root);
	snprintf(dir, sizeof(dir), "%s/drayd", v->root);
	v->pid = fork();
	if (v->pid == 0) {
		setenv("STUB_FAULT", fault, 1);
		execl(stub, stub, "--listen", "127.0.0.1:0", "--ready-file", ready, "--registry",
			"http://registry.test/", "--log-level", "error", "--store-dir", dir, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && !line[0]; i++) {
		FILE *f = fopen(ready, "r");
		if (f) {
			assert_non_null(fgets(line, sizeof(line), f));
			fclose(f);
		} else {
			pause_ms(10);
		}
	}
	assert_true(line[0]);
	snprintf(v->port, sizeof(v->port), "%d", atoi(strrchr(line, ':') + 1));
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%s", v->port);
}

static void on_done(void *arg, struct tree_package *p)
{
	struct env *v = arg;

	v->done++;
	assert_true(p->rec.p && p->cold);
	assert_true(str_eq(pkg_name(p->rec), p->f->name));
	if (v->kill_after && v->done == v->kill_after)
		kill(v->pid, SIGKILL);
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

	snprintf(v->root, sizeof(v->root), "/tmp/packs-wire-XXXXXX");
	assert_non_null(mkdtemp(v->root));
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
	char cmd[128];

	pack_fetcher_stop(v->f);
	pool_free(v->pool);
	pack_fetcher_free(v->f);
	if (v->pid > 0) {
		kill(v->pid, SIGTERM);
		waitpid(v->pid, NULL, 0);
	}
	for (int i = 0; i < FIXTURES; i++) {
		fixture_release(&v->fix[i]);
		free((void *)(uintptr_t)v->package[i].rec.p);
	}
	store_close(v->store);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", v->root);
	assert_int_equal(system(cmd), 0);
	arena_release(&v->a);
	free(v);
	return 0;
}

/* Asks for all and waits until each has come to its end. */
static void fetch_all(struct env *v, bool look_up)
{
	struct err e;
	struct pack_fetcher_opts o = { .url = str_of(v->url),
		.store = v->store,
		.max_bytes = 100000, /* less than one of them has */
		.stream_from = v->stream ? 1 : 0,
		.ahead = v->stream ? 5000 : 0, /* likewise */
		.done = on_done,
		.absent = on_absent,
		.arg = v };

	assert_int_equal(pack_fetcher_new(&v->f, v->pool, &o, &e), 0);
	for (int i = 0; i < FIXTURES; i++) {
		if (!look_up) {
			memcpy(v->frame[i].pack, v->fix[i].digest, 32);
			v->frame[i].pack_size = v->fix[i].pack.n;
		}
		assert_true(pack_possible(&v->package[i], look_up));
		pack_fetch(v->f, &v->package[i], look_up, v->base);
	}
	for (unsigned i = 0; i < v->take; i++) {
		struct tree_package *p = pack_take(v->f);
		if (!p)
			break; /* their packs were found already */
		assert_int_equal(p->state, PACKAGE_IDLE);
		assert_true(v->taken > 0 || p == &v->package[0]);
		v->taken++;
	}
	for (int turns = 0; pack_fetcher_pending(v->f) > 0; turns++) {
		struct pollfd fd[2] = { { .fd = pack_fetcher_fd(v->f), .events = POLLIN },
			{ .fd = pool_fd(v->pool), .events = POLLIN } };
		assert_true(turns < 3000);
		poll(fd, 2, 20);
		pack_fetcher_drain(v->f);
		pool_drain(v->pool);
	}
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

/* Look-ups with another version beside them; FAULT "old": a server that does not know of those is asked without. */
static void found_beside_another_version(struct env *v, const char *fault)
{
	struct pack_base_of base = { 0 };
	struct import_opts o = { .key = v->fix[0].sri, .sri = v->fix[0].sri };
	struct err e;

	assert_true(packs_key(base.key, v->fix[0].sri));
	assert_int_equal(import_tarball(v->store, &o, v->fix[0].tgz.p, v->fix[0].tgz.n, &base.rec, &e), 0);
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
		assert_int_equal(poll(&p, 1, 10000), 1);
		close(accept(fd, NULL, NULL));
	}
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

static void no_server(void **state)
{
	struct env *v = *state;

	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:9"); /* discard: nobody listens */
	fetch_all(v, false);
	assert_int_equal(v->wrong, FIXTURES);
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
		BOTH(no_server),
		cmocka_unit_test_setup_teardown(connected_before_the_first, setup, teardown),
	};

	if (argc != 2)
		return 2;
	stub = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
