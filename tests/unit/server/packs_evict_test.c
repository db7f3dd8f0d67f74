/* Packs above their limit: which go first, also after a restart, and under a clock that is put back.
 * ctest label: threads */
#include "packs_env.h"

/* Nothing is evicted but when a test says so: else, where what it does takes a while, its packs go meanwhile. */
static int setup_by_hand(void **state)
{
	int rc = setup(state);

	((struct env *)*state)->o.evict_ms = 3600 * 1000;
	return rc;
}

static bool is_there(struct env *v, int i)
{
	struct frame_package f = package(v, i);
	uint8_t key[PACKS_KEY], digest[32];
	uint64_t size;

	assert_true(packs_key(key, f.meta.resolution.integrity));
	return packs_find(v->p, digest, &size, key);
}

static void the_longest_unused_go(void **state)
{
	struct env *v = *state;
	struct frame_package f[N];
	uint64_t size;
	int64_t now;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	for (int i = 0; i < N; i++) {
		f[i] = package(v, i);
		packs_of(v->p, &f[i], STR_NONE);
	}
	uint64_t all = packs_counts(v->p).pack_bytes;
	packs_free(v->p);
	v->o.max_bytes = all / 2;
	packs_start(v);
	assert_int_equal(packs_counts(v->p).pack_bytes, all); /* the limit waits for the first pass */
	for (int i = 0; i < 3; i++) {                         /* the small ones: under a quarter of the limit */
		struct frame_package again = package(v, i);
		packs_of(v->p, &again, STR_NONE);
	}
	now = time(NULL);
	size_t gone = packs_evict(v->p, now);
	struct packs_counts n = packs_counts(v->p);
	assert_true(gone > 0 && gone < N - 3);
	assert_int_equal(n.evicted, gone);
	assert_int_equal(n.evicted_young, gone); /* all were used a moment ago */
	assert_true(n.pack_bytes <= v->o.max_bytes / 100 * 90 && n.pack_bytes > v->o.max_bytes / 2);
	assert_int_equal(n.warm, N - gone);
	assert_int_equal(n.leased_bytes, f[0].pack_size + f[1].pack_size + f[2].pack_size);
	int files = 0;
	for (int i = 0; i < N; i++) {
		int fd = packs_open(v->p, f[i].pack, &size);
		assert_true(fd >= 0 || i > 2);
		files += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(files, N - gone);
	assert_int_equal(packs_evict(v->p, now), 0); /* below the limit */
	ask_all(v);                                  /* what went is made again, and being fresh it stays */
	wait_until(v, c.warm == N);
	assert_int_equal(packs_counts(v->p).built, gone);
	for (int i = 0; i < 3; i++)
		assert_true(is_there(v, i));
	packs_evict(v->p, now);
	assert_true(packs_counts(v->p).pack_bytes > v->o.max_bytes);
	packs_evict(v->p, now + 3600);
	assert_true(packs_counts(v->p).pack_bytes <= v->o.max_bytes);
}

static void their_order_survives_a_restart(void **state)
{
	struct env *v = *state;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	uint64_t all = packs_counts(v->p).pack_bytes;
	nanosleep(&(struct timespec){ 2, 100000000 }, NULL); /* times are kept in seconds */
	assert_true(is_there(v, 1) && is_there(v, 4));
	packs_free(v->p);
	v->o.max_bytes = all / 4;
	packs_start(v);
	assert_true(packs_evict(v->p, time(NULL)) > 0);
	struct packs_counts left = packs_counts(v->p);
	packs_free(v->p);
	v->o.max_bytes = 0;
	packs_start(v); /* what went stays gone, and is not asked for by itself */
	assert_int_equal(packs_counts(v->p).warm, left.warm);
	assert_int_equal(packs_counts(v->p).pack_bytes, left.pack_bytes);
	assert_int_equal(packs_counts(v->p).tarball_bytes, left.tarball_bytes);
	assert_int_equal(packs_counts(v->p).pending, 0);
	assert_true(is_there(v, 1) && is_there(v, 4));
}

/* As a run wrote it whose clock was a day ahead. */
static void journal_used_tomorrow(struct env *v, int i)
{
	struct frame_package f = package(v, i);
	uint8_t key[PACKS_KEY], sha[32];
	char hex[2 * PACKS_KEY + 1], line[256], sum[9], path[128];

	assert_true(packs_key(key, f.meta.resolution.integrity));
	hex_print(hex, key, PACKS_KEY);
	int n = snprintf(line, sizeof(line), "used %s %lld", hex, (long long)time(NULL) + 86400);
	sha256(sha, line, (size_t)n);
	hex_print(sum, sha, 4);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	FILE *j = fopen(path, "a");
	assert_non_null(j);
	fprintf(j, "%s %s\n", line, sum);
	assert_int_equal(fclose(j), 0);
}

static void their_order_survives_a_clock_that_is_put_back(void **state)
{
	struct env *v = *state;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	uint64_t all = packs_counts(v->p).pack_bytes;
	packs_free(v->p);
	for (int i = 0; i < N; i++)
		journal_used_tomorrow(v, i);
	packs_start(v);
	nanosleep(&(struct timespec){ 1, 100000000 }, NULL); /* times are kept in seconds */
	assert_true(is_there(v, 1) && is_there(v, 4));
	packs_free(v->p);
	v->o.max_bytes = all / 4;
	packs_start(v);
	assert_true(packs_evict(v->p, time(NULL)) > 0);
	assert_true(is_there(v, 1) && is_there(v, 4));
	assert_true(packs_counts(v->p).warm < N);
}

/* Two packages whose tarballs are the same bytes have one pack: it goes with the last of them. */
static void what_another_has_stays(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 0), same = f;
	struct digest d = { .alg = DIGEST_SHA256, .n = 32 };
	uint64_t size;

	sha256(d.b, v->tgz[0].p, v->tgz[0].n);
	same.meta.resolution.integrity = integrity_print(&d, &v->a);
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	packs_of(v->p, &same, STR_NONE);
	wait_until(v, c.warm == 2);
	nanosleep(&(struct timespec){ 1, 100000000 }, NULL); /* times are kept in seconds */
	for (int i = 1; i < N; i++) {
		struct frame_package other = package(v, i);
		packs_of(v->p, &other, STR_NONE);
	}
	wait_until(v, c.warm == N + 1);
	uint64_t all = packs_counts(v->p).pack_bytes;
	packs_free(v->p);
	v->o.max_bytes = all - 1;
	packs_start(v);
	packs_of(v->p, &same, STR_NONE); /* a plan names it: it stays, and what f has is the longest unused */
	assert_int_not_equal(same.pack_size, 0);
	assert_true(packs_evict(v->p, time(NULL)) > 0);
	assert_false(is_there(v, 0));
	int fd = packs_open(v->p, same.pack, &size);
	assert_true(fd >= 0 && size == same.pack_size);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_longest_unused_go, setup_by_hand, teardown),
		cmocka_unit_test_setup_teardown(what_another_has_stays, setup_by_hand, teardown),
		cmocka_unit_test_setup_teardown(their_order_survives_a_restart, setup_by_hand, teardown),
		cmocka_unit_test_setup_teardown(their_order_survives_a_clock_that_is_put_back, setup_by_hand, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
