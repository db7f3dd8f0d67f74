/* ctest label: threads */
#include "base/clock.h"
#include "fetch.h"
#include "http.h"
#include "store_env.h"
#include "test_server.h"
#include <poll.h>

enum {
	SMALL = 60,
	LARGE = 3,
	PACKAGES = SMALL + LARGE,
	WORKERS = 2,
	MAX_BYTES = 512 << 10,
	PIECE = 128 << 10,
	RETRIES = 2
};

/* A job that keeps a worker until it is let go. */
struct blocker {
	struct job job;
	atomic_bool *go;
};
struct install {
	struct env *v;
	struct server server;
	struct http *http;
	struct registry *registry;
	struct pool *pool;
	struct fetcher *fetcher;
	struct buf tgz[PACKAGES];
	struct frame_package frame[PACKAGES];
	struct tree_package package[PACKAGES];
	unsigned done, failed;
	unsigned cut;     /* packages whose first answer breaks off in the middle; the rest is to be had by a range */
	unsigned spoiled; /* packages of whose first answers a byte is another … */
	unsigned times;   /* … so many of them */
	/* The server's thread's while it runs. */
	unsigned ranges; /* requests for the rest of a body */
	unsigned odd;    /* requests of a body again that were for anything else */
	bool lengths;    /* answers state how long they are */
	struct blocker blocker[WORKERS];
	atomic_bool go;
};

static void blocker_run(struct job *j)
{
	struct blocker *b = (struct blocker *)j;

	while (!atomic_load(b->go))
		usleep(1000);
}

static void blocker_done(struct job *j, void *ctx)
{
	(void)j, (void)ctx;
}

static void on_ready(void *arg, struct tree_package *p, int code, const struct err *e)
{
	struct install *in = arg;

	if (code < 0 && in->times > RETRIES) {
		/* What is unpacked as it comes may be damaged first. */
		assert_true(code == ERR_INTEGRITY || code == ERR_PARSE);
		assert_non_null(strstr(e->msg, "(3 attempts)"));
	} else if (code < 0) {
		print_error("%s\n", e->msg);
	}
	in->done++;
	in->failed += code < 0 || p->state != PACKAGE_READY;
}

/* Bytes that do not compress. */
static struct buf package_tgz(unsigned nth, size_t size)
{
	struct buf t = BUF_INIT, data = BUF_INIT;
	uint32_t x = 2463534242u + nth;

	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		buf_addc(&data, (char)x);
	}
	tar_file(&t, "package/package.json", "{\"name\":\"p\",\"version\":\"1.0.0\"}");
	tar_put(&t, "package/data", '0', 0644, data.n, buf_str(&data));
	tar_close(&t);
	buf_release(&data);
	return tgz(&t);
}

static void answer(void *arg, struct reply *r, const struct seen *q)
{
	struct install *in = arg;
	uint64_t nth = 0;

	str_u64(str_from(q->path, 1), &nth);
	const struct buf *z = &in->tgz[nth];
	char rest[40];
	size_t half = z->n / 2;
	snprintf(rest, sizeof(rest), "bytes=%zu-", half);
	if (q->nth > 0 && str_eq(header_of(q, "range"), str_of(rest))) {
		in->ranges++;
		buf_printf(&r->bytes,
			"HTTP/1.1 206 X\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\n\r\n",
			z->n - half, half, z->n - 1, z->n);
		buf_add(&r->bytes, str_from(buf_str(z), half));
		return;
	}
	in->odd += q->nth > 0;
	if (in->lengths)
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nContent-Length: %zu\r\n\r\n", z->n);
	else
		buf_printf(&r->bytes, "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n");
	bool cut = nth < in->cut && q->nth == 0;
	buf_add(&r->bytes, str_head(buf_str(z), cut ? half : z->n));
	if (nth < in->spoiled && q->nth < in->times)
		r->bytes.p[r->bytes.n - half] ^= 1;
	r->close = cut || !in->lengths;
}

static void install_begin(struct install *in, struct env *v)
{
	struct http_opts ho = { .private_addresses = true, .proxy = "", .max_per_host = 96 };
	struct registry_opts ro = { .retries = RETRIES, .retry_min_ms = 1, .retry_max_ms = 2 };
	struct err e;

	in->v = v;
	server_start(&in->server, answer, in);
	for (unsigned i = 0; i < PACKAGES; i++) {
		in->tgz[i] = package_tgz(i, i < LARGE ? 300000 : 10000 + 1500 * i);
		struct frame_package *f = &in->frame[i];
		char path[16];
		snprintf(path, sizeof(path), "/%u", i);
		f->url = arena_str(&v->a, server_url(&in->server, path));
		f->name = arena_printf(&v->a, "p%u", i);
		f->version = STR("1.0.0");
		f->meta.resolution.integrity = tgz_sri(&in->tgz[i], &v->a);
		in->package[i] = (struct tree_package){ .f = f, .key = f->meta.resolution.integrity };
	}
	assert_int_equal(http_new(&in->http, &ho, &e), 0);
	assert_int_equal(registry_new(&in->registry, in->http, &ro, &e), 0);
	assert_int_equal(pool_new(&in->pool, WORKERS, &e), 0);
	struct fetcher_opts fo = { .http = in->http,
		.registry = in->registry,
		.store = v->s,
		.max_bytes = MAX_BYTES,
		.piece = PIECE,
		.done = on_ready,
		.arg = in };
	assert_int_equal(fetcher_new(&in->fetcher, in->pool, &fo, &e), 0);
}

static void install_turn(struct install *in)
{
	struct pollfd p[] = { { .fd = fetcher_fd(in->fetcher), .events = POLLIN },
		{ .fd = pool_fd(in->pool), .events = POLLIN } };

	(void)poll(p, 2, 10);
	fetcher_drain(in->fetcher);
	pool_drain(in->pool);
}

static void install_end(struct install *in)
{
	int64_t until = clock_ms() + 240000;
	unsigned fail = in->times > RETRIES ? in->spoiled : 0;

	while (fetcher_pending(in->fetcher) && clock_ms() < until)
		install_turn(in);
	assert_int_equal(in->done, PACKAGES);
	assert_int_equal(in->failed, fail);
	struct fetch_counts n = fetcher_counts(in->fetcher);
	assert_int_equal(n.tarballs, PACKAGES - fail);
	assert_true(n.most_bytes > 0 && n.most_bytes <= MAX_BYTES);
	while (pool_live(in->pool))
		install_turn(in);
	http_stop(in->http);
	registry_free(in->registry);
	http_free(in->http);
	fetcher_free(in->fetcher);
	pool_free(in->pool);
	server_stop(&in->server);
	for (unsigned i = 0; i < PACKAGES; i++) {
		free((void *)(uintptr_t)in->package[i].rec.p);
		buf_release(&in->tgz[i]);
	}
}

/* The network is faster than the workers: downloads wait for room, whole tarballs go, and what is
 * held stays below the limit. */
static void waits_for_room(void **state)
{
	struct install in = { .lengths = true };
	int64_t until = clock_ms() + 240000;

	install_begin(&in, *state);
	for (unsigned i = 0; i < WORKERS; i++) {
		in.blocker[i] = (struct blocker){ { .run = blocker_run, .done = blocker_done }, &in.go };
		pool_submit(in.pool, &in.blocker[i].job);
	}
	for (unsigned i = 0; i < PACKAGES; i++)
		fetch_package(in.fetcher, &in.package[i]);
	while ((atomic_load(&in.server.requests) < PACKAGES ||
		       fetcher_counts(in.fetcher).most_bytes < MAX_BYTES / 4 * 3) &&
		clock_ms() < until)
		install_turn(&in);
	for (unsigned i = 0; i < 20; i++)
		install_turn(&in);
	assert_int_equal(in.done, 0);
	assert_true(fetcher_counts(in.fetcher).most_bytes >= MAX_BYTES / 4 * 3);
	assert_true(fetcher_counts(in.fetcher).pieces <= LARGE + WORKERS);
	atomic_store(&in.go, true);
	install_end(&in);
}

/* Nothing says how long a tarball is. */
static void unknown_lengths(void **state)
{
	struct install in = { .lengths = false };

	install_begin(&in, *state);
	for (unsigned i = 0; i < PACKAGES; i++)
		fetch_package(in.fetcher, &in.package[i]);
	install_end(&in);
}

/* Only what is missing is asked for again: no byte comes twice. */
static void breaks_go_on(void **state)
{
	struct install in = { .lengths = true, .cut = 20 };

	install_begin(&in, *state);
	for (unsigned i = 0; i < PACKAGES; i++)
		fetch_package(in.fetcher, &in.package[i]);
	install_end(&in);
	assert_int_equal(in.ranges, in.cut);
	assert_int_equal(in.odd, 0);
}

/* What came is not the tarball: it is asked for anew, whole, small ones and those that are imported in pieces. */
static void spoiled_once(void **state)
{
	struct install in = { .lengths = true, .spoiled = LARGE + 10, .times = RETRIES };

	install_begin(&in, *state);
	for (unsigned i = 0; i < PACKAGES; i++)
		fetch_package(in.fetcher, &in.package[i]);
	install_end(&in);
	assert_int_equal(in.odd, in.spoiled * RETRIES);
	assert_int_equal(in.ranges, 0);
}

/* It never is. */
static void spoiled_for_good(void **state)
{
	struct install in = { .lengths = true, .spoiled = LARGE + 10, .times = RETRIES + 1 };

	install_begin(&in, *state);
	for (unsigned i = 0; i < PACKAGES; i++)
		fetch_package(in.fetcher, &in.package[i]);
	install_end(&in);
	assert_int_equal(in.odd, in.spoiled * RETRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(waits_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(breaks_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(spoiled_once, setup, teardown),
		cmocka_unit_test_setup_teardown(spoiled_for_good, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
