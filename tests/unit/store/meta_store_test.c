/* ctest label: threads
 * Packuments through the real compiler into the real index and out again. */
#include "meta.h"
#include "test_server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "temp.h"
#include <cmocka.h>

static void serve(void *arg, struct reply *r, const struct seen *q)
{
	AUTO(buf_release) struct buf json = BUF_INIT;
	str name = str_from(q->path, 1);

	atomic_fetch_add((atomic_uint *)arg, header_of(q, "if-none-match").n > 0);
	if (header_of(q, "if-none-match").n) {
		reply_text(r, 304, "", STR_NONE);
		return;
	}
	buf_printf(
		&json, "{\"name\":\"" STR_FMT "\",\"dist-tags\":{\"latest\":\"1.2.3\"},\"versions\":{", STR_ARG(name));
	for (unsigned i = 0; i < 200; i++)
		buf_printf(&json,
			"%s\"1.2.%u\":{\"name\":\"" STR_FMT
			"\",\"version\":\"1.2.%u\",\"dependencies\":{\"b\":\"^1.0.%u\"},"
			"\"dist\":{\"tarball\":\"http://x/"
			"t.tgz\",\"shasum\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}}",
			i ? "," : "", i, STR_ARG(name), i, i);
	buf_add(&json, STR("}}"));
	reply_text(r, 200, "ETag: \"e1\"\r\n", buf_str(&json));
}

struct got {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned done, good;
};

static void on_record(void *arg, struct meta_record *r, const struct err *e)
{
	struct got *g = arg;
	bool good = false;

	if (r) {
		struct packument p = meta_packument(r);
		good = packument_nversions(p) == 200 &&
		       str_eq(packument_version(p, packument_tag(p, STR("latest"))), STR("1.2.3"));
	} else {
		fprintf(stderr, "%s\n", e->msg);
	}
	meta_record_release(r);
	pthread_mutex_lock(&g->lock);
	g->done++;
	g->good += good;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

/* One run: a process' life as far as meta is concerned. */
static struct meta_counts run(const char *dir, const struct server *s, struct meta_opts o)
{
	struct got g = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct store *store;
	struct http *h;
	struct registry *r;
	struct meta *m;
	struct err e;

	assert_int_equal(store_open(&store, dir, &(struct store_opts){ .map_size = 64u << 20 }, &e), 0);
	assert_int_equal(http_new(&h, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	assert_int_equal(registry_new(&r, h, &(struct registry_opts){ 0 }, &e), 0);
	assert_int_equal(meta_new(&m, store, r, &o, &e), 0);
	for (unsigned i = 0; i < 200; i++) {
		char name[20];
		snprintf(name, sizeof(name), "p%u", i % 50);
		meta_want(m, server_url(s, "/"), str_of(name), PACKUMENT_FULL, on_record, &g);
	}
	pthread_mutex_lock(&g.lock);
	while (g.done < 200)
		pthread_cond_wait(&g.cond, &g.lock);
	pthread_mutex_unlock(&g.lock);
	assert_int_equal(g.good, 200);
	struct meta_counts n = meta_counts(m);
	meta_free(m);
	http_free(h);
	registry_free(r);
	store_close(store);
	return n;
}

static void test_runs(void **state)
{
	char dir[TEMP_PATH], command[100];
	atomic_uint conditional = 0;
	struct server s;

	(void)state;
	temp_make(dir);
	server_start(&s, serve, &conditional);
	struct meta_counts n = run(dir, &s, (struct meta_opts){ 0 });
	assert_int_equal(n.fetched, 50);
	assert_int_equal(n.put_dropped, 0);
	n = run(dir, &s, (struct meta_opts){ 0 }); /* asked again, nothing sent */
	assert_int_equal(n.revalidated, 50);
	assert_int_equal(n.fetched, 0);
	unsigned requests = atomic_load(&s.requests);
	assert_int_equal(requests, 100);
	assert_int_equal(atomic_load(&conditional), 50);
	n = run(dir, &s, (struct meta_opts){ .max_age_ms = INT64_MAX });
	assert_int_equal(n.fetched + n.revalidated, 0);
	n = run(dir, &s, (struct meta_opts){ .offline = true });
	assert_int_equal(n.failed, 0);
	assert_int_equal(atomic_load(&s.requests), requests);
	server_stop(&s);
	snprintf(command, sizeof(command), "chmod -R u+w %s && rm -r %s", dir, dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_runs) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
