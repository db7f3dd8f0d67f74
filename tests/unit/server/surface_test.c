/* ctest label: threads */
#include "fs.h"
#include "surface_impl.h"
#include "test_server.h"
#include "tgz.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct env {
	char root[64], url[64];
	struct server s;
	struct http *http;
	struct registry *registry;
	struct upstreams *upstreams;
	struct surface *surface;
	struct buf tgz;
	str sri;
	struct arena a;
	atomic_bool ended;
};

static atomic_bool full; /* the disk takes no new file */

int fs_fault(const char *op)
{
	return full && strcmp(op, "open") == 0 ? ENOSPC : 0;
}

/* Of x, whose second version has another digest than any tarball here. */
static void packument_put(struct buf *json, const struct env *v)
{
	buf_printf(json,
		"{\"name\":\"x\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{"
		"\"1.0.0\":{\"name\":\"x\",\"version\":\"1.0.0\",\"dist\":{\"tarball\":\"%sx/-/"
		"x-1.0.0.tgz\",\"integrity\":\"" STR_FMT "\"}},"
		"\"2.0.0\":{\"name\":\"x\",\"version\":\"2.0.0\",\"dist\":{\"tarball\":\"%sx/-/"
		"x-2.0.0.tgz\",\"shasum\":"
		"\"00112233445566778899aabbccddeeff00112233\"}}}}",
		v->url, STR_ARG(v->sri), v->url);
}

/* ---- the packuments of store/meta: memory has none, the index has what the test says, and nobody is asked ---- */

struct meta_record {
	struct buf bytes;
};

struct meta {
	struct meta_record *kept;
	unsigned looked;
};

struct meta_record *meta_peek(struct meta *m, str registry_url, str name, enum packument_form form)
{
	(void)m;
	(void)registry_url;
	(void)name;
	(void)form;
	return NULL;
}

struct meta_record *meta_look(struct meta *m, str registry_url, str name, enum packument_form form)
{
	(void)registry_url;
	assert_true(str_eq(name, STR("x")));
	assert_int_equal(form, PACKUMENT_ABBREVIATED);
	m->looked++;
	return m->kept;
}

void meta_want(struct meta *m, str registry_url, str name, enum packument_form form, meta_done *done, void *arg)
{
	struct err e;

	(void)m;
	(void)registry_url;
	(void)form;
	err_set(&e, ERR_NET, "asked for " STR_FMT, STR_ARG(name));
	done(arg, NULL, &e);
}

struct packument meta_packument(const struct meta_record *r)
{
	struct packument p;
	struct err e;

	assert_int_equal(packument_open(&p, (const uint8_t *)r->bytes.p, r->bytes.n, &e), 0);
	return p;
}

void meta_record_release(struct meta_record *r)
{
	(void)r; /* the test's */
}

/* ---- the upstream ---- */

/* Tarballs are held until hold_until says otherwise. */
static void serve(void *arg, struct reply *r, const struct seen *q)
{
	struct env *v = arg;
	AUTO(buf_release) struct buf json = BUF_INIT;

	if (str_ends(q->path, STR(".tgz"))) {
		r->hold = true;
		reply_text(r, 200, "", buf_str(&v->tgz));
		return;
	}
	packument_put(&json, v);
	reply_text(r, 200, "", buf_str(&json));
}

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct buf t = BUF_INIT;
	struct err e;

	snprintf(v->root, sizeof(v->root), "/tmp/dray-surface-test-XXXXXX");
	assert_non_null(mkdtemp(v->root));
	tar_file(&t, "package/package.json", "{\"name\":\"x\",\"version\":\"1.0.0\"}");
	tar_close(&t);
	v->tgz = tgz(&t);
	v->sri = tgz_sri(&v->tgz, &v->a);
	server_start(&v->s, serve, v);
	v->s.hold_until = 1000;
	snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%u/", v->s.port);
	struct upstream_config up = {
		.name = STR("default"), .url = str_of(v->url), .is_default = true, .private_addresses = true
	};
	assert_int_equal(upstreams_new(&v->upstreams, &(struct upstreams_opts){ .upstream = &up, .n = 1 }, &e), 0);
	assert_int_equal(http_new(&v->http, &(struct http_opts){ .private_addresses = true }, &e), 0);
	assert_int_equal(registry_new(&v->registry, v->http, &(struct registry_opts){ .no_retries = true }, &e), 0);
	assert_int_equal(surface_new(&v->surface,
				 &(struct surface_opts){ .dir = v->root,
					 .registry = v->registry,
					 .upstreams = v->upstreams,
					 .max_bytes = 1 << 20,
					 .fresh_ms = 60000 },
				 &e),
		0);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;
	char cmd[128];

	http_stop(v->http);
	surface_free(v->surface);
	registry_free(v->registry);
	http_free(v->http);
	upstreams_free(v->upstreams);
	server_stop(&v->s);
	buf_release(&v->tgz);
	arena_release(&v->a);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", v->root);
	assert_int_equal(system(cmd), 0);
	free(v);
	return 0;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
}

/* A tarball that its upstream holds back, with the packument that says where it is. */
static void begin(struct env *v, struct tarball_src *src)
{
	enum doc_age age;
	struct doc *d;
	struct err e;
	str base = STR("http://here/");

	assert_int_equal(surface_doc(&d, &age, v->surface, STR("x"), PACKUMENT_FULL, base, false, &e), SURFACE_ASKS);
	assert_int_equal(v->s.requests, 0);
	assert_int_equal(surface_doc(&d, &age, v->surface, STR("x"), PACKUMENT_FULL, base, true, &e), 0);
	doc_release(d);
	assert_int_equal(surface_tarball(src, v->surface, STR("x"), STR("1.0.0"), base, false, &e), 0);
	assert_non_null(src->flight);
	for (int i = 0; v->s.requests < 2; i++) {
		assert_true(i < 12000);
		nap();
	}
}

/* What came of it, once the flight has ended. */
static struct flight_state await(struct tarball_src *src)
{
	struct flight_state st;

	for (int i = 0; flight_look(src->flight, &st, 0, NULL), !st.ended; i++) {
		assert_true(i < 12000);
		nap();
	}
	return st;
}

static void *end(void *arg)
{
	struct env *v = arg;

	surface_free(v->surface);
	v->ended = true;
	return NULL;
}

/* It ends only when the fetch thread has: that has its flights until then, and hands what arrived to its workers. */
static void it_outlives_its_fetches(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	pthread_t t;
	struct err e;

	begin(v, &src);
	flight_release(src.flight); /* its client leaves */
	assert_int_equal(workq_thread(&t, "end", end, v, &e), 0);
	for (int i = 0; i < 100; i++) {
		nap();
		assert_false(v->ended);
	}
	v->s.hold_until = 1;
	pthread_join(t, NULL);
	assert_true(v->ended);
	v->surface = NULL;
}

/* The same when all fetches are cut short. */
static void it_ends_with_its_fetches(void **state)
{
	struct env *v = *state;
	struct tarball_src src;

	begin(v, &src);
	http_stop(v->http);
	assert_int_equal(await(&src).code, ERR_CANCELLED);
	flight_release(src.flight);
	surface_free(v->surface);
	v->surface = NULL;
}

/* Once it ends no fetch begins: what asks for one then is refused, while what is under way is waited for. */
static void it_begins_nothing_as_it_ends(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	bool closing = false;
	pthread_t t;
	struct err e;

	begin(v, &src);
	flight_release(src.flight);
	assert_int_equal(workq_thread(&t, "end", end, v, &e), 0);
	for (int i = 0; !closing; i++) {
		assert_true(i < 12000);
		nap();
		pthread_mutex_lock(&v->surface->lock);
		closing = v->surface->closing;
		pthread_mutex_unlock(&v->surface->lock);
	}
	assert_int_equal(
		surface_tarball(&src, v->surface, STR("x"), STR("2.0.0"), STR("http://here/"), false, &e), ERR_BUSY);
	assert_non_null(strstr(e.msg, "shutting down"));
	assert_null(src.flight);
	v->s.hold_until = 1;
	pthread_join(t, NULL);
	v->surface = NULL;
}

/* A tarball that is on disk is sent though its packument is not in memory, as after a restart: the index has one, of whatever age. A version that
 * this one does not have is asked for. */
static void on_disk_after_a_restart(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf json = BUF_INIT;
	struct meta_record kept = { .bytes = BUF_INIT };
	struct meta m = { 0 };
	struct tarball_src src;
	struct err e;
	str elsewhere = STR("http://there/"); /* nothing in memory is made for it */

	v->s.hold_until = 1;
	begin(v, &src);
	assert_int_equal(await(&src).code, 0);
	flight_release(src.flight);
	while (blobs_counts(v->surface->blobs).files < 2)
		nap();
	v->surface->o.meta = &m;
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), elsewhere, false, &e), SURFACE_ASKS);
	packument_put(&json, v);
	assert_int_equal(packument_compile(&kept.bytes, buf_str(&json), STR("x"), &e), 0);
	m.kept = &kept;
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), elsewhere, false, &e), 0);
	assert_true(src.fd >= 0);
	assert_null(src.flight);
	assert_int_equal(src.size, v->tgz.n);
	fs_close(src.fd);
	assert_int_equal(m.looked, 2);
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("3.0.0"), elsewhere, false, &e), SURFACE_ASKS);
	assert_int_equal(surface_tarball(&src, v->surface, STR("x"), STR("3.0.0"), elsewhere, true, &e), ERR_NET);
	buf_release(&kept.bytes);
}

/* Where the disk takes nothing a tarball is sent from memory, as long as there is some for it; past that it is this server that has no room, not the
 * upstream that failed. */
static void a_full_disk(void **state)
{
	struct env *v = *state;
	struct tarball_src src;
	struct err e;

	v->s.hold_until = 1;
	begin(v, &src); /* on disk */
	assert_int_equal(await(&src).code, 0);
	flight_release(src.flight);
	for (int i = 0; blobs_counts(v->surface->blobs).files < 2; i++) {
		assert_true(i < 12000);
		nap();
	}
	for (int left = 0; left < 2; left++) {
		uint64_t taken = left ? 0 : FLIGHT_MEMORY - v->tgz.n + 1;
		char got[4096];
		full = true;
		v->surface->flight_memory = taken;
		assert_int_equal(
			surface_tarball(&src, v->surface, STR("x"), STR("1.0.0"), STR("http://here/"), false, &e), 0);
		struct flight_state st = await(&src);
		full = false;
		assert_int_equal(st.code, left ? 0 : ERR_NOSPACE);
		assert_int_equal(st.own, !left);
		if (left) {
			assert_int_equal(st.size, v->tgz.n);
			assert_int_equal(pread(src.fd, got, sizeof(got), 0), v->tgz.n);
			assert_memory_equal(got, v->tgz.p, v->tgz.n);
		}
		flight_release(src.flight);
		for (int i = 0; v->surface->flight_memory != taken;
			i++) { /* the fetch thread has a moment with it yet */
			assert_true(i < 12000);
			nap();
		}
		struct surface_counts n = surface_counts(v->surface);
		assert_int_equal(n.tarball_failed, 1);
		assert_int_equal(n.tarball_unkept, left);
	}
	v->surface->flight_memory = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_outlives_its_fetches, setup, teardown),
		cmocka_unit_test_setup_teardown(it_ends_with_its_fetches, setup, teardown),
		cmocka_unit_test_setup_teardown(it_begins_nothing_as_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(on_disk_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
