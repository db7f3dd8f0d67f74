/* ctest label: threads */
/* The index under several writers and readers, its bounds, and the uses that it refuses. */
#include "base/clock.h"
#include "kv.h"
#include "workq.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

struct env {
	char dir[TEMP_PATH];
	struct kv *k;
};

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct err e;

	temp_make(v->dir);
	assert_int_equal(kv_open(&v->k, v->dir, &(struct kv_opts){ .map_size = 64 << 20 }, &e), 0);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	kv_close(v->k);
	temp_remove(v->dir);
	free(v);
	return 0;
}

static str get(struct env *v, struct kv_read **r, const char *table, str key)
{
	struct err e;
	str out = STR_NONE;

	assert_int_equal(kv_read_begin(r, v->k, &e), 0);
	assert_true(kv_get(&out, *r, table, key, &e) >= 0);
	return out;
}

static void test_basic(void **state)
{
	struct env *v = *state;
	struct kv_read *r;
	struct err e;

	assert_true(kv_put(v->k, "t", STR("a"), STR("1"), true));
	assert_true(kv_put(v->k, "t", STR("empty"), STR(""), true));
	assert_int_equal(kv_flush(v->k, &e), 0);
	str got = get(v, &r, "t", STR("a"));
	assert_true(str_eq(got, STR("1")));
	/* a value lives as long as its view, whatever is written meanwhile */
	kv_put(v->k, "t", STR("a"), STR("2"), true);
	assert_int_equal(kv_flush(v->k, &e), 0);
	assert_true(str_eq(got, STR("1")));
	kv_read_end(r);
	assert_true(str_eq(get(v, &r, "t", STR("a")), STR("2")));
	assert_int_equal(kv_get(&got, r, "t", STR("empty"), &e), 1);
	assert_int_equal(got.n, 0);
	kv_read_end(r);
	kv_del_if(v->k, "t", STR("a"), STR("1"));
	assert_int_equal(kv_flush(v->k, &e), 0);
	assert_true(str_eq(get(v, &r, "t", STR("a")), STR("2"))); /* was not what it was taken for */
	kv_read_end(r);
	kv_del_if(v->k, "t", STR("a"), STR("2"));
	kv_put(v->k, "t", STR("empty"), STR_NONE, true);
	assert_int_equal(kv_flush(v->k, &e), 0);
	assert_null(get(v, &r, "t", STR("a")).p);
	assert_int_equal(kv_get(&got, r, "t", STR("empty"), &e), 0);
	kv_read_end(r);
}

static int collect(void *arg, str key, str value)
{
	buf_printf(arg, STR_FMT "=" STR_FMT " ", STR_ARG(key), STR_ARG(value));
	return 0;
}

static void test_tables(void **state)
{
	struct env *v = *state;
	struct kv_read *r;
	struct err e;
	struct buf b = BUF_INIT;

	kv_put(v->k, "ab", STR("x"), STR("1"), true);
	kv_put(v->k, "a", STR("y"), STR("2"), true);
	kv_put(v->k, "a", STR("b"), STR("3"), true);
	kv_put(v->k, "b", STR("x"), STR("4"), true);
	assert_int_equal(kv_flush(v->k, &e), 0);
	assert_int_equal(kv_read_begin(&r, v->k, &e), 0);
	assert_int_equal(kv_each(r, "a", collect, &b, &e), 0);
	assert_true(str_eq(buf_str(&b), STR("b=3 y=2 ")));
	kv_read_end(r);
	buf_release(&b);
}

enum { WRITERS = 4, EACH = 3000 };
static void *write_some(void *arg)
{
	struct kv *k = arg;
	char key[32];

	for (int i = 0; i < EACH; i++) {
		snprintf(key, sizeof(key), "%d", i);
		if (!kv_put(k, "t", str_of(key), STR("v"), true))
			abort();
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct env *v = *state;
	pthread_t tid[WRITERS];
	struct err e;
	struct kv_stats st;
	int64_t from = clock_ms();

	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(workq_thread(&tid[i], "test", write_some, v->k, &e), 0);
	for (int i = 0; i < 200; i++) {
		struct kv_read *r;
		get(v, &r, "t", STR("7"));
		kv_read_end(r);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(tid[i], NULL);
	assert_int_equal(kv_flush(v->k, &e), 0);
	kv_stats(v->k, &st);
	assert_int_equal(st.entries, EACH);
	/* Batches, not one commit a write: each has 64 of them or has waited 20 ms, but for what the flush and
	 * the first look cut short. */
	assert_true(st.commits <= WRITERS * EACH / 64 + (uint64_t)(clock_ms() - from) / 20 + 3);
}

static void test_queue_bound(void **state)
{
	struct env *v = *state;
	struct err e;
	char dir[80];
	struct kv *k;
	unsigned refused = 0;

	snprintf(dir, sizeof(dir), "%s/small", v->dir);
	snprintf(dir + strlen(dir), 2, "/");
	char cmd[100];
	snprintf(cmd, sizeof(cmd), "mkdir -p '%s'", dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(kv_open(&k, dir, &(struct kv_opts){ .map_size = 16 << 20, .depth = 3 }, &e), 0);
	for (int i = 0; i < 2000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%d", i);
		refused += !kv_put(k, "t", str_of(key), STR("v"), false);
	}
	assert_true(refused > 0);
	kv_close(k);
}

static void test_full_map(void **state)
{
	struct env *v = *state;
	struct err e;
	static char big[8 << 20];
	char key[16];
	struct kv_read *r;

	kv_put(v->k, "t", STR("before"), STR("1"), true);
	assert_int_equal(kv_flush(v->k, &e), 0);
	for (int i = 0; i < 9; i++) {
		snprintf(key, sizeof(key), "big%d", i);
		kv_put(v->k, "t", str_of(key), (str){ big, sizeof(big) }, true);
	}
	assert_int_equal(kv_flush(v->k, &e), ERR_NOSPACE);
	assert_non_null(strstr(e.msg, "67108864"));
	assert_int_equal(kv_flush(v->k, &e), 0); /* said once */
	assert_true(str_eq(get(v, &r, "t", STR("before")), STR("1")));
	kv_read_end(r);
}

static void test_refused(void **state)
{
	struct env *v = *state;
	struct err e;
	struct kv *twice;
	struct kv_read *r;
	int status;

	assert_int_equal(kv_open(&twice, v->dir, &(struct kv_opts){ 0 }, &e), ERR_USAGE);
	pid_t pid = fork();
	if (pid == 0)
		_exit(kv_read_begin(&r, v->k, &e) == ERR_USAGE && !kv_put(v->k, "t", STR("a"), STR("b"), false) ? 0
														: 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(kv_read_begin(&r, v->k, &e), 0); /* and nothing broke here */
	kv_read_end(r);
}

/* Readers that were killed keep their places until somebody looks. */
static void test_dead_readers(void **state)
{
	struct env *v = *state;
	struct err e;
	struct kv_read *r;
	int status;

	kv_close(v->k);
	for (int i = 0; i < 12; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct kv *k;
			if (kv_open(&k, v->dir, &(struct kv_opts){ .map_size = 64 << 20 }, &e) < 0)
				_exit(1);
			for (int n = 0; n < 100; n++)
				if (kv_read_begin(&r, k, &e) < 0)
					_exit(2);
			_exit(0); /* without ending them */
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_int_equal(kv_open(&v->k, v->dir, &(struct kv_opts){ .map_size = 64 << 20 }, &e), 0);
	assert_int_equal(kv_read_begin(&r, v->k, &e), 0);
	kv_read_end(r);
}

/* Whether the map of PATH's data is one that the kernel reads a page at a time ("rr" among its flags);
 * -1: there is no such map. */
static int map_random(const char *path)
{
	char line[1024];
	FILE *f = fopen("/proc/self/smaps", "re");
	int random = -1;
	bool here = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		size_t word = strcspn(line, " \n");
		if (word && line[word - 1] != ':') /* "from-to mode …", not "Name: value" */
			here = strstr(line, path) && strstr(line, "/data.mdb");
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			random = strstr(line, " rr") != NULL;
	}
	(void)fclose(f);
	return random;
}

/* KiB of PATH's data that this process has mapped. */
static long map_rss(const char *path)
{
	char line[1024];
	FILE *f = fopen("/proc/self/smaps", "re");
	long kib = 0, n;
	bool here = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		size_t word = strcspn(line, " \n");
		if (word && line[word - 1] != ':')
			here = strstr(line, path) && strstr(line, "/data.mdb");
		else if (here && sscanf(line, "Rss: %ld", &n) == 1)
			kib += n;
	}
	(void)fclose(f);
	return kib;
}

/* Who reads all of a large index holds a small part of it. */
static void test_let_go(void **state)
{
	enum { VALUES = 1500, SIZE = 24 << 10 }; /* 35 MiB, of which 8 are kept */
	struct env *v = *state;
	struct kv_read *r;
	char key[16], *value = xcalloc(1, SIZE);
	struct err e;
	str got;

	for (int i = 0; i < VALUES; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_true(kv_put(v->k, "t", str_of(key), (str){ value, SIZE }, true));
	}
	assert_int_equal(kv_flush(v->k, &e), 0);
	kv_close(v->k);
	assert_int_equal(kv_open(&v->k, v->dir, &(struct kv_opts){ .map_size = 64 << 20 }, &e), 0);
	assert_int_equal(kv_read_begin(&r, v->k, &e), 0);
	for (int i = 0; i < VALUES; i++) {
		snprintf(key, sizeof(key), "%d", i * 7 % VALUES);
		assert_int_equal(kv_get(&got, r, "t", str_of(key), &e), 1);
		assert_memory_equal(got.p, value, SIZE);
		if (i % 100 == 99)
			assert_true(map_rss(v->dir) < 20 << 10);
	}
	kv_read_end(r);
	free(value);
}

/* Without it the first install after a start of the machine waited for the disk 4,000 times. */
static void test_readahead(void **state)
{
	struct env *v = *state;
	struct err e;

	assert_int_equal(map_random(v->dir), 1);
	kv_close(v->k);
	assert_int_equal(kv_open(&v->k, v->dir, &(struct kv_opts){ .map_size = 64 << 20, .readahead = true }, &e), 0);
	assert_int_equal(map_random(v->dir), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_basic),
		T(test_tables),
		T(test_threads),
		T(test_queue_bound),
		T(test_full_map),
		T(test_refused),
		T(test_dead_readers),
		T(test_readahead),
		T(test_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
