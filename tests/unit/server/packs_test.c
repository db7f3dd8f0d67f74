/* Packs in the making: what becomes of tarballs that are as they should be, and of others. ctest label: threads */
#include "base/clock.h"
#include "packs_env.h"

static void what_is_asked_for_is_made_once(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 0);

	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	assert_int_equal(f.pack_size, 0); /* nobody waits for it */
	for (int k = 0; k < 5; k++)
		ask_all(v);
	wait_until(v, c.built == N && c.pending + c.building == 0);
	for (int i = 0; i < N; i++) {
		uint8_t key[PACKS_KEY], digest[32];
		uint64_t size;
		f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_true(f.pack_size > 0 && f.pack_size < v->tgz[i].n);
		assert_served(v, &f);
		assert_true(packs_key(key, v->sri[i]));
		assert_true(packs_find(v->p, digest, &size, key));
		assert_memory_equal(digest, f.pack, 32);
		assert_int_equal(size, f.pack_size);
	}
	assert_int_equal(v->s.requests, N);
	assert_false(packs_settled(v->p));
}

/* Who asks needs the machine for the install: what has no pack waits its time, and then its turn comes. */
static void what_is_asked_for_waits_its_time(void **state)
{
	static _Atomic uint64_t near;
	struct env *v = *state;

	v->o.near = &near;
	v->o.delay_ms = 24 * 3600 * 1000;
	v->o.builders = 1;
	packs_start(v);
	ask_all(v);
	assert_int_equal(packs_counts(v->p).pending, N);
	for (unsigned k = 0; k < 4; k++) {
		pthread_mutex_lock(&v->p->lock);
		v->p->item.p[k]->begin_ms = 0; /* the day is over for the first of those that wait, and for no other */
		pthread_cond_signal(&v->p->work);
		pthread_mutex_unlock(&v->p->lock);
		wait_until(v, c.built > k);
		assert_int_equal(packs_counts(v->p).pending, N - k - 1);
		assert_int_equal(v->s.requests, k + 1);
	}
	near = 1; /* who asked for the next may still be at the install */
	pthread_mutex_lock(&v->p->lock);
	v->p->item.p[4]->begin_ms = clock_ms();
	pthread_cond_signal(&v->p->work);
	pthread_mutex_unlock(&v->p->lock);
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	assert_int_equal(packs_counts(v->p).pending, N - 4);
	near = 0;
	wait_until(v, c.built == 5);
	packs_free(v->p);

	near = 1; /* and stays */
	v->o.delay_ms = 20;
	v->o.builders = 2;
	packs_start(v); /* the journal knows what was asked for */
	wait_until(v, c.built == N - 5 && c.warm == N);
	assert_int_equal(v->s.requests, N);
}

/* More than are looked for under the lock at once, some that nobody knows among them; some for who has another
 * package. */
static void many_are_found_together(void **state)
{
	enum { MANY = 200 };
	struct env *v = *state;
	uint8_t row[MANY][2 * PACKS_KEY] = { { 0 } };
	struct pack_found found[MANY];

	packs_start(v);
	ask_all(v);
	wait_until(v, c.built == N && c.pending + c.building == 0);
	for (int i = 0; i < MANY; i++) {
		if (i % (N + 1) == N)
			memset(row[i], i, PACKS_KEY);
		else
			assert_true(packs_key(row[i], v->sri[i % (N + 1)]));
		if (i % 2)
			assert_true(packs_key(row[i] + PACKS_KEY, v->sri[i % N]));
	}
	for (int from = 0; from < 2; from++) {
		memset(found, 1, sizeof(found));
		packs_find_all(v->p, found, row[0], MANY, sizeof(row[0]), from);
		for (int i = 0; i < MANY; i++) {
			if (i % (N + 1) == N) {
				assert_int_equal(found[i].size, 0);
				continue;
			}
			struct frame_package f = package(v, i % (N + 1));
			packs_of(v->p, &f, STR_NONE);
			assert_true(f.pack_size > 0);
			assert_int_equal(found[i].size, f.pack_size);
			assert_memory_equal(found[i].digest, f.pack, 32);
		}
	}
}

/* What a client's lockfile says of a tarball is not what it is, and keeps nobody else from having it. */
static void a_pack_is_of_the_name_in_its_tarball(void **state)
{
	struct env *v = *state;
	struct frame_package evil = package(v, 3), own = package(v, 3), far = package(v, 4);
	uint8_t key[PACKS_KEY], digest[32];
	uint64_t size;

	evil.name = STR("evil");
	far.url = arena_printf(&v->a, "http://127.0.0.1:%u/99", v->s.port);
	packs_start(v);
	packs_of(v->p, &evil, STR_NONE);
	packs_of(v->p, &far, STR_NONE);
	wait_until(v, c.failed == 2 && c.pending + c.building == 0);
	assert_true(packs_key(key, v->sri[3]));
	assert_false(packs_find(v->p, digest, &size, key));
	packs_of(v->p, &evil, STR_NONE); /* it was tried */
	packs_of(v->p, &own, STR_NONE);
	far = package(v, 4);
	packs_of(v->p, &far, STR_NONE);
	wait_until(v, c.built == 2 && c.pending + c.building == 0);
	assert_int_equal(packs_counts(v->p).failed, 2);
	packs_of(v->p, &own, STR_NONE);
	assert_served(v, &own);
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
}

/* What is in a tarball stays so, wherever it lies and however often a server starts. */
static void what_no_url_mends_is_remembered(void **state)
{
	struct env *v = *state;
	struct frame_package many = package(v, 0), evil = package(v, 3), own = package(v, 3);
	struct buf t = BUF_INIT;

	tar_file(&t, "package/package.json", "{\"name\":\"p0\"}");
	for (int i = 0; i < 4000; i++) { /* whose digests take more than they do */
		char path[40], text[16];
		snprintf(path, sizeof(path), "package/%d", i);
		snprintf(text, sizeof(text), "%d", i);
		tar_file(&t, path, text);
	}
	tar_close(&t);
	buf_release(&v->tgz[0]);
	v->tgz[0] = tgz(&t);
	v->sri[0] = tgz_sri(&v->tgz[0], &v->a);
	many = package(v, 0);
	evil.name = STR("evil");
	packs_start(v);
	packs_of(v->p, &many, STR_NONE);
	packs_of(v->p, &evil, STR_NONE);
	wait_until(v, c.failed == 2 && c.pending + c.building == 0);
	for (int start = 0; start < 2; start++) {
		evil.name = start ? STR("evil2") : STR("evil1");
		evil.url = arena_printf(&v->a, "http://127.0.0.1:%u/3?%d", v->s.port, start);
		many.url = arena_printf(&v->a, "http://localhost:%u/0?%d", v->s.port, start);
		packs_of(v->p, &many, STR_NONE);
		packs_of(v->p, &evil, STR_NONE);
		assert_int_equal(packs_counts(v->p).pending + packs_counts(v->p).building, 0);
		packs_free(v->p);
		packs_start(v);
	}
	assert_int_equal(v->s.requests, 2);
	assert_int_equal(packs_failing(v->p), 0);
	packs_of(v->p, &own, STR_NONE);
	wait_until(v, c.warm == 1);
	packs_of(v->p, &own, STR_NONE);
	assert_served(v, &own);
}

/* A tarball that is not where it was said to be is looked for elsewhere at once; another query is nowhere else. */
static void another_place_is_tried_at_once(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 4);

	packs_start(v);
	for (int i = 0; i < 3; i++) {
		f.url = arena_printf(&v->a, "http://127.0.0.1:%u/99?%d", v->s.port, i);
		packs_of(v->p, &f, STR_NONE);
		wait_until(v, c.failed == 1 && c.pending + c.building == 0);
	}
	assert_int_equal(v->s.requests, 1);
	assert_int_equal(packs_failing(v->p), 1);
	f = package(v, 4);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.warm == 1);
	pthread_mutex_lock(&v->p->lock);
	assert_int_equal(v->p->item.p[0]->put_off_ms, 0); /* what failed once is encoded better as any other */
	pthread_mutex_unlock(&v->p->lock);
}

/* A host whose address is refused may have another one in ten minutes. */
static void a_refused_address_is_tried_again(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 1);
	struct registry_opts o = { .no_retries = true };
	struct registry *r;
	struct http *h;
	struct err e;

	assert_int_equal(http_new(&h, &(struct http_opts){ 0 }, &e), 0);
	assert_int_equal(registry_new(&r, h, &o, &e), 0);
	v->o.registry = r;
	f.url = arena_printf(&v->a, "http://localhost:%u/1", v->s.port);
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.failed == 1);
	assert_int_equal(packs_failing(v->p), 1);
	assert_int_equal(v->s.requests, 0);
	http_stop(h);
	packs_free(v->p);
	v->p = NULL;
	registry_free(r);
	http_free(h);
}

/* The version, too, is the tarball's: which delta pays goes by it. A byte order mark is no part
 * of JSON, and npm takes it. */
static void the_version_is_the_tarballs(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct frame_package f;
	struct buf t = BUF_INIT;

	tar_file(&t, "package/package.json", "\xEF\xBB\xBF{\"name\":\"p2\",\"version\":\"1.2.3\"}");
	tar_file(&t, "package/index.js", "1");
	tar_close(&t);
	buf_release(&v->tgz[2]);
	v->tgz[2] = tgz(&t);
	v->sri[2] = tgz_sri(&v->tgz[2], &v->a);
	f = package(v, 2);
	f.version = STR("9.9.9");
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.warm == 1);
	packs_free(v->p);
	v->p = NULL;
	journal_text(&text, v);
	size_t at = str_find_str(buf_str(&text), STR("warm2 "), 0);
	assert_true(at != SIZE_MAX && str_find_str(buf_str(&text), STR(" p2 1.2.3 "), at) != SIZE_MAX);
}

/* What a lockfile names and nobody can have takes no more than a bound of memory; what had a
 * pack once does not count. */
static void what_there_is_not_has_a_bound(void **state)
{
	struct env *v = *state;
	struct frame_package f;

	v->o.max_unmade = 3;
	packs_start(v);
	for (int i = 0; i < 3; i++) {
		f = package(v, i);
		f.url = arena_printf(&v->a, "http://127.0.0.1:%u/99", v->s.port);
		packs_of(v->p, &f, STR_NONE);
	}
	wait_until(v, c.failed == 3 && c.pending + c.building == 0);
	for (int start = 0; start < 2; start++) {
		assert_int_equal(packs_counts(v->p).unmade, 3);
		f = package(v, 4);
		packs_of(v->p, &f, STR_NONE);
		assert_int_equal(packs_counts(v->p).dropped, 1);
		assert_int_equal(packs_counts(v->p).pending + packs_counts(v->p).building, 0);
		packs_free(v->p);
		packs_start(v); /* which tries again what was wanted */
		wait_until(v, c.failed == 3 && c.pending + c.building == 0);
	}
	f = package(v, 0);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.built == 1 && c.unmade == 2);
	f = package(v, 4);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.built == 2 && c.unmade == 2 && packs_unsettled_of(&c) == c.warm);
	packs_free(v->p);
	packs_start(v);
	assert_int_equal(packs_counts(v->p).unmade, 2);
}

/* Nor is what a lockfile has in place of a word kept, however long it is. */
static void what_is_too_long_is_not_kept(void **state)
{
	struct env *v = *state;
	char *text = malloc(9001);

	memset(text, 'a', 9000);
	text[9000] = 0;
	packs_start(v);
	for (int i = 0; i < 4; i++) {
		struct frame_package f = package(v, i);
		str sri = f.meta.resolution.integrity,
		    *of[] = { &f.url, &f.name, &f.version, &f.meta.resolution.integrity };
		*of[i] = i == 0   ? arena_printf(&v->a, "http://127.0.0.1:1/%s", text)
			 : i == 3 ? arena_printf(&v->a, STR_FMT "?%s", STR_ARG(sri), text)
				  : (str){ text, 9000 };
		packs_of(v->p, &f, STR_NONE);
		assert_int_equal(packs_counts(v->p).unmade, 0);
	}
	free(text);
}

/* A client takes no more of that bound than it leaves to others; who has no name shares with all. */
static void what_there_is_not_has_a_share(void **state)
{
	struct env *v = *state;
	struct frame_package f;
	/* 8: half is the first one's, half of what is left the second one's. */
	static const struct {
		const char *client;
		unsigned unmade, dropped;
	} step[] = { { "a", 1, 0 }, { "a", 2, 0 }, { "a", 3, 0 }, { "a", 4, 0 }, { "a", 4, 1 }, { "b", 5, 1 },
		{ "b", 6, 1 }, { "b", 6, 2 }, { "", 7, 2 }, { "a", 7, 3 }, { "", 8, 3 }, { "", 8, 4 } };

	v->o.max_unmade = 8;
	packs_start(v);
	for (int i = 0; i < (int)(sizeof(step) / sizeof(step[0])); i++) {
		f = package(v, i);
		f.url = arena_printf(&v->a, "http://127.0.0.1:%u/99", v->s.port);
		packs_of(v->p, &f, str_of(step[i].client));
		assert_int_equal(packs_counts(v->p).unmade, step[i].unmade);
		assert_int_equal(packs_counts(v->p).dropped, step[i].dropped);
	}
}

static void what_was_made_leaves_its_share(void **state)
{
	struct env *v = *state;
	struct frame_package f;

	v->o.max_unmade = 4;
	packs_start(v);
	for (int i = 0; i < 4; i++) {
		f = package(v, i);
		packs_of(v->p, &f, STR("a"));
		wait_until(v, c.built == (uint64_t)i + 1);
	}
	for (int i = 4; i < 7; i++) {
		f = package(v, i);
		f.url = arena_printf(&v->a, "http://127.0.0.1:%u/99", v->s.port);
		packs_of(v->p, &f, STR("a"));
		assert_int_equal(packs_counts(v->p).unmade, i < 6 ? i - 3 : 2);
		assert_int_equal(packs_counts(v->p).dropped, i < 6 ? 0 : 1);
	}
}

/* A tarball that is larger than is read: not fetched again from there, after a restart either,
 * unless more is read then. */
static void what_is_too_large_is_remembered(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 11), far = package(v, 11), own = package(v, 11);

	far.url = arena_printf(&v->a, "http://localhost:%u/11", v->s.port);
	v->o.max_tarball = v->tgz[11].n - 1;
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.failed == 1 && c.pending + c.building == 0);
	for (int start = 0; start < 2; start++) {
		packs_free(v->p);
		packs_start(v);
		packs_of(v->p, &f, STR_NONE);
		assert_int_equal(packs_counts(v->p).pending + packs_counts(v->p).building, 0);
		assert_int_equal(packs_failing(v->p), 0);
	}
	assert_int_equal(v->s.requests, 1);
	packs_of(v->p, &far, STR_NONE); /* whoever named the first place may have lied */
	wait_until(v, c.failed == 1 && c.pending + c.building == 0);
	assert_int_equal(v->s.requests, 2);
	packs_free(v->p);
	packs_start(v);
	packs_of(v->p, &far, STR_NONE);
	assert_int_equal(packs_counts(v->p).pending + packs_counts(v->p).building, 0);
	packs_free(v->p);
	v->o.max_tarball++;
	packs_start(v);
	wait_until(v, c.warm == 1); /* it was wanted */
	packs_of(v->p, &own, STR_NONE);
	assert_served(v, &own);
	assert_int_equal(v->s.requests, 3);
}

static void wrong_bytes_make_no_pack(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 5);

	v->broken = true;
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.failed == 1);
	packs_of(v->p, &f, STR_NONE); /* not again at once */
	assert_int_equal(f.pack_size, 0);
	assert_int_equal(packs_counts(v->p).pending, 0);
	assert_int_equal(packs_counts(v->p).warm, 0);
}

static void a_lost_file_is_made_again(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 1);
	uint64_t size;
	char cmd[128];

	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.warm == 1);
	struct packs_counts n = packs_counts(v->p);
	packs_of(v->p, &f, STR_NONE);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'/packs/??", v->root);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(packs_open(v->p, f.pack, &size), -1);
	assert_int_equal(packs_counts(v->p).pack_bytes + packs_counts(v->p).tarball_bytes, 0);
	f = package(v, 1);
	packs_of(v->p, &f, STR_NONE);
	assert_int_equal(f.pack_size, 0);
	wait_until(v, c.built == 2);
	packs_of(v->p, &f, STR_NONE);
	assert_served(v, &f);
	assert_int_equal(packs_counts(v->p).pack_bytes, n.pack_bytes);
	assert_int_equal(packs_counts(v->p).tarball_bytes, n.tarball_bytes);
}

/* A file that is not as long as it was made is given to nobody: each client would refuse it, for ever. */
static void a_cut_file_is_made_again(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 0), g = f, h = f;
	char hex[65], path[200];
	uint64_t size;

	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.built == 1 && c.pending + c.building == 0);
	packs_of(v->p, &f, STR_NONE);
	hex_print(hex, f.pack, 32);
	snprintf(path, sizeof(path), "%s/packs/%.2s/%s", v->root, hex, hex + 2);
	assert_int_equal(truncate(path, (off_t)f.pack_size - 1), 0);
	assert_int_equal(packs_open(v->p, f.pack, &size), -1);
	assert_int_equal(access(path, F_OK), -1);
	packs_of(v->p, &g, STR_NONE);
	assert_int_equal(g.pack_size, 0);
	wait_until(v, c.built == 2 && c.pending + c.building == 0);
	packs_of(v->p, &h, STR_NONE);
	assert_memory_equal(h.pack, f.pack, 32);
	assert_served(v, &h);
}

/* A file that cannot be opened is not gone: a server that has too many open forgets nothing. */
static void too_many_descriptors_lose_no_pack(void **state)
{
	struct env *v = *state;
	struct rlimit was, few;
	uint64_t size;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	struct frame_package f = package(v, 0);
	packs_of(v->p, &f, STR_NONE);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	few.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int fd = packs_open(v->p, f.pack, &size);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(packs_counts(v->p).warm, N);
	assert_served(v, &f);
}

static void one_process_has_the_packs(void **state)
{
	struct env *v = *state;
	struct packs *other;
	struct err e;

	packs_start(v);
	assert_int_equal(packs_new(&other, &v->o, &e), ERR_BUSY);
	assert_non_null(strstr(e.msg, "drayd_packs_unsettled"));
}

static void what_is_under_way_does_not_hold_the_end(void **state)
{
	struct env *v = *state;

	packs_start(v);
	ask_all(v);
	http_stop(v->http);
	packs_free(v->p);
	v->p = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_asked_for_is_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_asked_for_waits_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(many_are_found_together, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pack_is_of_the_name_in_its_tarball, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_url_mends_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(another_place_is_tried_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_address_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(the_version_is_the_tarballs, setup, teardown),
		cmocka_unit_test_setup_teardown(what_there_is_not_has_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_not_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(what_there_is_not_has_a_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_made_leaves_its_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_large_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_bytes_make_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_file_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_file_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_descriptors_lose_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_has_the_packs, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_under_way_does_not_hold_the_end, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
