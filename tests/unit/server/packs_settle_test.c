/* Better encodings and deltas: that all are made, in which order and at whose cost, and what becomes of one that is
 * cut short. ctest label: threads */
#include "packs_env.h"
#include <dirent.h>

#include "base/clock.h"

static void all_of_them_settle(void **state)
{
	struct env *v = *state;
	struct frame_package warm[N];

	v->o.level = 3;
	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	for (int i = 0; i < N; i++) {
		warm[i] = package(v, i);
		packs_of(v->p, &warm[i], STR_NONE);
	}
	packs_free(v->p);
	v->o.no_settle = false;
	packs_start(v);
	wait_until(v, c.settled_ms >= 0); /* said, and written down, a moment after the last one is settled */
	assert_int_equal(packs_counts(v->p).settled, N);
	assert_true(packs_settled(v->p));
	bool better = false;
	for (int i = 0; i < N; i++) {
		struct frame_package f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_true(f.pack_size <= warm[i].pack_size);
		better |= f.pack_size < warm[i].pack_size;
		assert_served(v, &f);
		assert_served(v, &warm[i]); /* who has an older plan still gets what it names */
	}
	assert_true(better);
	struct packs_counts n = packs_counts(v->p);
	assert_true(n.settled_ms >= 0 && n.settled_us > 0 && n.settled_us <= n.build_us + n.settle_us);
	AUTO(buf_release) struct buf b = BUF_INIT;
	packs_metrics(v->p, &b);
	assert_true(str_find_str(buf_str(&b), STR("\ndrayd_packs_unsettled 0\n"), 0) != SIZE_MAX);
	assert_true(str_find_str(buf_str(&b), STR("\ndrayd_packs_time_to_settle_cpu_seconds 0."), 0) != SIZE_MAX);
}

static unsigned pack_files(const struct env *v)
{
	char path[100];
	unsigned n = 0;

	for (int i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "%s/packs/%02x", v->root, (unsigned)i);
		DIR *d = opendir(path);
		for (struct dirent *de; d && (de = readdir(d));)
			n += strlen(de->d_name) == 62;
		if (d)
			closedir(d);
	}
	return n;
}

/* A pack is evicted while a better one of it is being written: that one goes, too, since nobody names it. */
static void what_is_evicted_meanwhile_leaves_no_file(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, N - 1);

	v->o.level = 1;
	packs_start(v);
	packs_of(v->p, &f, STR_NONE);
	wait_until(v, c.warm == 1);
	packs_free(v->p);
	v->o.no_settle = false;
	v->o.max_bytes = 1;
	v->o.evict_ms = 600000;
	stalls = true;
	packs_start(v);
	wait_until(v, c.settled == 0 && stalled > 0);
	assert_int_equal(packs_evict(v->p, time(NULL) + 100000), 1);
	stalls = false;
	wait_until(v, c.settled_ms >= 0 && pack_files(v) == 0);
	assert_int_equal(packs_counts(v->p).settled, 0);
}

/* The time to settle is that of the packs which a restart found unsettled, too, with several settlers. */
static void a_restart_settles_the_rest(void **state)
{
	struct env *v = *state;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	assert_int_equal(packs_counts(v->p).settled_ms, -1);
	packs_free(v->p);
	v->o.no_settle = false;
	v->o.settlers = 3;
	packs_start(v);
	wait_until(v, c.settled_ms >= 0);
	struct packs_counts n = packs_counts(v->p);
	assert_int_equal(n.settled, N);
	assert_int_equal(n.resettled, N);
	assert_true(n.settle_us > 0);
	assert_int_equal(n.settled_us, n.settle_us);
	packs_free(v->p);
	packs_start(v); /* and one that finds nothing to do is settled at once */
	assert_int_equal(packs_counts(v->p).settled_ms, 0);
	assert_int_equal(packs_failing(v->p), 0);
}

static int files_count(struct env *v)
{
	char cmd[160];
	int n = -1;

	snprintf(cmd, sizeof(cmd), "find '%s/packs' -type f ! -name journal | wc -l", v->root);
	FILE *f = popen(cmd, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* All have packs, of a level so low that some can be had better. */
static void make_all(struct env *v)
{
	v->o.level = 1;
	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	packs_free(v->p);
	v->o.no_settle = false;
}

static void all_are_served(struct env *v)
{
	for (int i = 0; i < N; i++) {
		struct frame_package f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_served(v, &f);
	}
}

/* What cannot be written better stays as it is. Who waits for all of it is told, after a few attempts. */
static void a_full_disk_loses_no_pack(void **state)
{
	struct env *v = *state;
	struct err e;

	make_all(v);
	full = true;
	unsigned idle = asked_idle;
	packs_start(v);
	for (int tries = 0; !packs_stuck(v->p, &e); tries++) {
		assert_true(tries < 48000);
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
	assert_int_equal(e.code, ERR_NOSPACE);
	assert_int_equal(asked_idle, idle); /* somebody waits for it */
	struct packs_counts n = packs_counts(v->p);
	assert_true(n.warm > 0 && n.warm + n.settled == N);
	assert_true(n.failed >= PACK_MISSES_MOST && n.failed <= N + PACK_MISSES_MOST);
	assert_int_equal(n.settled_ms, -1);
	assert_int_equal(n.built, 0);
	assert_int_equal(files_count(v), N);
	all_are_served(v);
	packs_free(v->p);
	full = false;
	packs_start(v);
	wait_until(v, c.settled_ms >= 0);
	assert_int_equal(packs_counts(v->p).settled, N);
	assert_false(packs_stuck(v->p, &e));
	all_are_served(v);
}

/* One file that cannot be read keeps no other from its better encoding, and who waits is told of it in the end. */
static void a_pack_that_cannot_be_read_comes_last(void **state)
{
	struct env *v = *state;
	struct err e;
	char cmd[300];

	make_all(v);
	snprintf(cmd, sizeof(cmd),
		"cd '%s/packs' && f=$(find . -path './*/*' -type f | head -n 1) && rm \"$f\" && ln -s \"${f##*/}\" \"$f\"",
		v->root); /* a link to itself */
	assert_int_equal(system(cmd), 0);
	packs_start(v);
	for (int tries = 0; !packs_stuck(v->p, &e); tries++) {
		assert_true(tries < 48000);
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
	assert_int_equal(e.code, ERR_IO);
	assert_int_equal(packs_counts(v->p).settled, N - 1);
	assert_int_equal(packs_counts(v->p).warm, 1);
}

/* A server tries again after a while: last of all the one that could not be had, since it may be only that one. */
static void settling_pauses_while_it_cannot(void **state)
{
	struct env *v = *state;
	struct pack_item *off = NULL;
	struct err e;

	make_all(v);
	v->o.eager = false;
	full = true;
	unsigned idle = asked_idle;
	packs_start(v);
	wait_until(v, c.failed == 1);
	assert_true(asked_idle > idle);
	pthread_mutex_lock(&v->p->lock);
	assert_true(v->p->settle_after_ms > 0);
	for (size_t i = 0; i < v->p->item.n; i++)
		off = v->p->item.p[i]->put_off_ms ? v->p->item.p[i] : off;
	assert_non_null(off);
	assert_int_equal(off->state, PACK_WARM);
	full = false;
	v->p->settle_after_ms = 0; /* a minute later */
	pthread_cond_broadcast(&v->p->settle);
	pthread_mutex_unlock(&v->p->lock);
	wait_until(v, c.settled == N - 1);
	assert_int_equal(packs_counts(v->p).failed, 1);
	assert_false(packs_stuck(v->p, &e));
	pthread_mutex_lock(&v->p->lock);
	assert_int_equal(off->state, PACK_WARM);
	assert_int_equal(v->p->unsettled_misses.n, 0);
	off->put_off_ms = 1; /* ten minutes later */
	pthread_cond_broadcast(&v->p->settle);
	pthread_mutex_unlock(&v->p->lock);
	wait_until(v, c.settled_ms >= 0);
	assert_int_equal(packs_counts(v->p).settled, N);
	all_are_served(v);
}

/* What a better encoding replaced goes some time after a restart, too, and so does what was being written. */
static void nothing_is_left_behind(void **state)
{
	struct env *v = *state;
	char cmd[160];

	v->o.level = 1;
	v->o.no_settle = false;
	packs_start(v);
	ask_all(v);
	wait_until(v, c.settled_ms >= 0);
	int before = files_count(v);
	assert_true(before > N);
	packs_free(v->p);
	snprintf(cmd, sizeof(cmd), "echo x > '%s/packs/tmp-0123'", v->root);
	assert_int_equal(system(cmd), 0);
	packs_start(v);
	assert_int_equal(files_count(v), before);
	packs_free(v->p);
	v->o.keep_s = 1;
	packs_start(v);
	for (int i = 0; i < 6000 && files_count(v) > N; i++) {
		struct frame_package f = package(v, 0);
		nanosleep(&(struct timespec){ 0, 20 * 1000 * 1000 }, NULL);
		packs_of(v->p, &f, STR_NONE);
	}
	assert_int_equal(files_count(v), N);
	for (int i = 0; i < N; i++) {
		struct frame_package f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_served(v, &f);
	}
}

/* A tarball of SIZE bytes: of SLOW ones the content takes many seconds to encode at level 19. */
enum { SLOW = 12 << 20, QUICK = 1 << 20 };
static void make_code(struct env *v, int i, size_t size)
{
	struct buf t = BUF_INIT;
	AUTO(buf_release) struct buf code = BUF_INIT;
	char json[100], *to = buf_reserve(&code, size);
	uint64_t rng = 7;

	snprintf(json, sizeof(json), "{\"name\":\"slow\",\"version\":\"1.0.%d\"}", i);
	for (size_t k = 0; k < size; k++) {
		rng = rng * 6364136223846793005 + 1442695040888963407;
		to[k] = (char)('a' + (rng >> 61) * (rng >> 58 & 3));
	}
	for (size_t k = 0; k < size; k += 64) /* as another version's: alike, and nowhere for long */
		to[k] = (char)(to[k] + i);
	code.n = size;
	tar_file(&t, "package/package.json", json);
	tar_put(&t, "package/slow.node", '0', 0755, size, buf_str(&code));
	tar_close(&t);
	buf_release(&v->tgz[i]);
	v->tgz[i] = tgz(&t);
	v->sri[i] = tgz_sri(&v->tgz[i], &v->a);
}

static void ask_slow(struct env *v, int i)
{
	struct frame_package f = package(v, i);

	f.name = STR("slow");
	packs_of(v->p, &f, STR_NONE);
}

static void stop_within(struct env *v)
{
	nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
	packs_free(v->p);
	v->p = NULL;
}

static void a_first_encoding_is_cut_short(void **state)
{
	struct env *v = *state;

	make_code(v, 0, SLOW);
	v->o.level = 19;
	packs_start(v);
	ask_slow(v, 0);
	wait_until(v, c.building == 1);
	stop_within(v);
	assert_int_equal(files_count(v), 0); /* an encoding that came to its end would have left one */
	v->o.level = 1;
	packs_start(v);
	assert_int_equal(packs_failing(v->p), 0);
	ask_slow(v, 0);
	wait_until(v, c.warm == 1);
}

static void settling_is_cut_short(void **state)
{
	struct env *v = *state;

	make_code(v, 0, SLOW);
	v->o.level = 1;
	v->o.no_settle = false;
	packs_start(v);
	ask_slow(v, 0);
	wait_until(v, c.warm == 1);
	stop_within(v);
	v->o.no_settle = true;
	packs_start(v);
	struct packs_counts n = packs_counts(v->p);
	assert_int_equal(n.warm, 1); /* as it was, and to be settled yet */
	assert_int_equal(n.settled, 0);
	assert_int_equal(files_count(v), 1);
}

static void a_delta_is_cut_short(void **state)
{
	struct env *v = *state;

	make_code(v, 0, SLOW);
	make_code(v, 1, SLOW);
	v->o.level = 1;
	v->o.builders = 1;    /* one after the other: else there may be a delta back, too */
	v->o.idle_ms = 60000; /* no delta yet */
	packs_start(v);
	ask_slow(v, 0);
	ask_slow(v, 1);
	wait_until(v, c.warm == 2 && c.deltas_pending == 1);
	packs_free(v->p);
	v->o.no_settle = false; /* else deltas, too, are first encodings */
	v->o.idle_ms = 1;
	v->o.settlers = 1;
	packs_start(v);
	wait_until(v, c.deltas_building == 1);
	assert_int_equal(packs_counts(v->p).warm, 2); /* a delta comes before what is encoded better */
	stop_within(v);
	assert_int_equal(files_count(v), 2);
	packs_start(v);
	struct packs_counts n = packs_counts(v->p);
	assert_int_equal(n.warm, 2);
	assert_int_equal(n.settled, 0);
	assert_int_equal(n.deltas_pending, 2); /* begun anew, one way and the other */
}

/* The policy of the thread of that name; -1: there is none. */
static int policy_of(const char *name)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	DIR *d = opendir("/proc/self/task");
	int policy = -1;

	assert_non_null(d);
	for (struct dirent *t; policy < 0 && (t = readdir(d));) {
		AUTO(buf_release) struct buf comm = BUF_INIT;
		struct err e;
		if (t->d_name[0] != '.' &&
			fs_read_file(&comm, AT_FDCWD, arena_printf(&a, "/proc/self/task/%s/comm", t->d_name).p, 64,
				&e) == 0 &&
			str_eq(str_trim(buf_str(&comm)), str_of(name)))
			policy = sched_getscheduler(atoi(t->d_name));
	}
	closedir(d);
	return policy;
}

/* Nobody waits for a delta: no builder makes one, and who makes it gets what CPU is left over. */
static void deltas_are_for_idle_times(void **state)
{
	struct env *v = *state;

	make_code(v, 0, QUICK);
	make_code(v, 1, QUICK);
	v->o.level = 1;
	v->o.builders = 1;
	v->o.eager = false;
	v->o.idle_ms = 60000;
	idle_for_real = true;
	unsigned idle = asked_idle, nice = asked_nice;
	packs_start(v);
	ask_slow(v, 0);
	ask_slow(v, 1);
	wait_until(v, c.warm == 2);
	assert_int_equal(asked_idle, idle); /* a first encoding is what the next client waits for */
	assert_int_equal(asked_nice, nice + 2);
	struct packs_counts n = packs_counts(v->p);
	assert_int_equal(n.pending + n.building, 0);
	assert_int_equal(n.deltas_pending, 1);
	assert_int_equal(n.deltas_building, 0);
	assert_false(packs_settled(v->p));
	/* Who takes the lock has the priority of those who wait for it. */
	for (int i = 0; i < 6000 && policy_of("settle") < 0; i++) /* its name comes after it */
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	assert_int_equal(policy_of("settle"), SCHED_OTHER);
	assert_int_equal(policy_of("pack"), SCHED_OTHER);
	idle_for_real = false;
	packs_free(v->p);
	idle = asked_idle;
	nice = asked_nice;
	v->o.idle_ms = 1;
	packs_start(v);
	wait_until(v, c.delta_us > 0 && c.deltas_pending == 0);
	assert_true(asked_idle > idle);
	assert_true(asked_nice > nice);
	assert_int_equal(packs_counts(v->p).build_us, 0);
	packs_free(v->p);
	idle = asked_idle;
	make_code(v, 2, QUICK);
	v->o.eager = true; /* somebody waits for it */
	packs_start(v);
	ask_slow(v, 2);
	wait_until(v, c.warm == 3 && c.deltas_pending == 0);
	assert_true(packs_counts(v->p).delta_us > 0);
	assert_int_equal(asked_idle, idle);
}

/* On a machine that is busy, the end does not wait for a thread of idle priority. */
static void a_starved_settler_is_left(void **state)
{
	static struct packs *volatile left; /* it has it until it ends, and nobody after that */
	struct env *v = *state;
	unsigned idle = asked_idle;

	v->o.no_settle = v->o.eager = false;
	v->o.leave_ms = 50;
	starved = true;
	packs_start(v);
	ask_all(v);
	while (asked_idle == idle)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	left = v->p;
	v->p = NULL;
	packs_free(left);
	assert_true(policy_of("settle") >= 0);
	starved = false;
	while (policy_of("settle") >= 0)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
}

/* A settler that comes to the end of what the journal knew makes the deltas it found last at once, not when it
 * next wakes: within a minute. */
static void deltas_found_last_are_made_at_once(void **state)
{
	struct env *v = *state;

	v->o.idle_ms = 60000;         /* no delta yet */
	for (int i = 0; i < 2; i++) { /* versions of one package */
		buf_release(&v->tgz[i]);
		v->tgz[i] = make_tarball("p", i);
		v->sri[i] = tgz_sri(&v->tgz[i], &v->a);
	}
	packs_start(v);
	for (int i = 0; i < 2; i++) {
		struct frame_package f = package(v, i);
		f.name = STR("p");
		packs_of(v->p, &f, STR_NONE);
	}
	wait_until(v, c.warm == 2);
	packs_free(v->p);
	v->o.idle_ms = 1;
	v->o.eager = false; /* else all are found before a settler begins */
	packs_start(v);
	int64_t begun = clock_ms();
	wait_until(v, c.delta_us > 0);
	assert_true(clock_ms() - begun < 50 * 1000);
}

static void the_largest_settles_first(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct err e;
	char path[128];
	int last = N, seen = 0;
	str line;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N);
	packs_free(v->p);
	v->o.no_settle = false;
	v->o.settlers = 1;
	packs_start(v);
	wait_until(v, c.settled_ms >= 0); /* by then the journal has the last of them, too */
	assert_int_equal(packs_counts(v->p).settled, N);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_read_file(&text, AT_FDCWD, path, 1 << 20, &e), 0);
	for (str rest = buf_str(&text); str_cut(rest, '\n', &line, &rest);) {
		size_t at = str_find_str(line, STR(" p"), 0);
		if (!str_starts(line, STR("settled2 ")) || at == SIZE_MAX)
			continue;
		int i = atoi(line.p + at + 2);
		assert_true(i < last);
		last = i;
		seen++;
	}
	assert_int_equal(seen, N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_of_them_settle, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_evicted_meanwhile_leaves_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pack_that_cannot_be_read_comes_last, setup, teardown),
		cmocka_unit_test_setup_teardown(settling_pauses_while_it_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_settles_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(the_largest_settles_first, setup, teardown),
		cmocka_unit_test_setup_teardown(deltas_found_last_are_made_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_left_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(a_first_encoding_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(settling_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(a_delta_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(a_starved_settler_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(deltas_are_for_idle_times, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
