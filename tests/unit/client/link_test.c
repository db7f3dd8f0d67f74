/* The slot linker as a structure: an all-cold batch must have two links under way at once, whatever the clock
 * says. ctest label: threads */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

#include "link.h"
#include "prune.h"

enum { SLOTS = 80 };

struct barrier {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned entered, least; /* links that must have entered before the first goes on */
	bool gave_up;
};
struct fixture {
	char dir[TEMP_PATH];
	int dirfd, vstore;
	struct store *store;
	struct pool *pool;
	struct tree tree;
	struct frame_package package[SLOTS];
	struct frame_slot slot[SLOTS];
	struct slot *out[SLOTS];
	size_t done, failed;
	unsigned more_files; /* of the next package */
	struct barrier barrier;
	struct linker *linker;
};

static void put(int dirfd, const char *path, const char *text)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void on_done(void *arg, struct slot *s)
{
	struct fixture *f = arg;

	f->done++;
	f->failed += s->state != SLOT_LINKED;
}

/* The first link waits until a second has entered, or more. A serial linker never lets a second in, so the wait has an
 * end (which is no measurement: it only turns a hang into a failure). */
static void on_entered(void *arg)
{
	struct barrier *b = arg;
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 120;
	pthread_mutex_lock(&b->lock);
	bool first = ++b->entered == 1;
	pthread_cond_broadcast(&b->more);
	while (first && b->entered < b->least && !b->gave_up)
		b->gave_up = pthread_cond_timedwait(&b->more, &b->lock, &end) != 0;
	pthread_mutex_unlock(&b->lock);
}

static void fixture_open(struct fixture *f)
{
	struct store_opts so = { .verify = STORE_VERIFY_STAT };
	char store[128];
	struct err e;

	*f = (struct fixture){
		.barrier = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .least = 2 }
	};
	temp_make(f->dir);
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(f->dirfd, "vstore", 0755), 0);
	f->vstore = openat(f->dirfd, "vstore", O_RDONLY | O_DIRECTORY);
	snprintf(store, sizeof(store), "%s/store", f->dir);
	assert_int_equal(store_open(&f->store, store, &so, &e), 0);
	assert_int_equal(pool_new(&f->pool, 0, &e), 0);
	tree_init(&f->tree);
}

static void fixture_close(struct fixture *f)
{
	tree_release(&f->tree);
	pool_free(f->pool);
	store_close(f->store);
	close(f->vstore);
	close(f->dirfd);
	remove_all(AT_FDCWD, f->dir);
}

/* A package NAME@1.0.0 whose bytes were just imported and whose slot is SNAP. */
static struct slot *fixture_slot(struct fixture *f, uint32_t i, const char *name, struct lock_snapshot snap)
{
	struct tree_package *p;
	struct slot *s;
	char json[128];
	struct err e = { 0 };

	snprintf(json, sizeof(json), "{\"name\":\"%s\",\"version\":\"1.0.0\"}", name);
	assert_int_equal(mkdirat(f->dirfd, "src", 0755), 0);
	int fd = openat(f->dirfd, "src", O_RDONLY | O_DIRECTORY);
	put(fd, "package.json", json);
	put(fd, "index.js", "module.exports = 1\n");
	for (unsigned k = 0; k < f->more_files; k++) {
		char file[16];
		snprintf(file, sizeof(file), "%u.js", k);
		put(fd, file, "");
	}
	f->package[i] = (struct frame_package){ .id = i, .name = str_of(name), .version = STR("1.0.0") };
	f->slot[i] = (struct frame_slot){ .id = i, .package = i, .snap = snap };
	assert_int_equal(tree_add_package(&p, &f->tree, &f->package[i], &e), 0);
	p->key = snap.key;
	struct import_opts o = { .key = p->key, .name = p->f->name, .version = p->f->version };
	if (import_directory(f->store, &o, fd, &p->rec, &e) != 0)
		fail_msg("%s", e.msg);
	p->owned = true;
	p->state = PACKAGE_READY;
	tree_package_ready(&f->tree, p);
	close(fd);
	assert_true(remove_all(f->dirfd, "src"));
	assert_int_equal(tree_add_slot(&s, &f->tree, &f->slot[i], &e), 0);
	s->cold = true;
	f->out[i] = s;
	return s;
}

static void run(struct fixture *f)
{
	while (pool_live(f->pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(f->pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(f->pool);
	}
}

static struct linker *fixture_linker(struct fixture *f, bool barrier)
{
	struct linker_opts o = { .vstore = f->vstore,
		.vstore_to_root = STR("../.."),
		.store = f->store,
		.method = PKG_AUTO,
		.done = on_done,
		.arg = f };

	if (barrier) {
		o.entered = on_entered;
		o.entered_arg = &f->barrier;
	}
	return linker_new(f->pool, &f->tree, &o);
}

static void a_cold_batch_links_in_parallel(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
	fixture_slot(&f, 1, "b", (struct lock_snapshot){ .key = STR("b@1.0.0") });
	struct linker *l = fixture_linker(&f, true);
	link_slots_parallel(l, f.out, 2);
	run(&f);
	assert_int_equal(f.done, 2);
	assert_int_equal(f.failed, 0);
	assert_false(f.barrier.gave_up);
	assert_true(linker_counts(l).most >= 2);
	assert_int_equal(linker_counts(l).cold, 2);
	linker_free(l);
	fixture_close(&f);
}

/* A store that has a part of the packages: those link while what is downloaded links, whichever batch came first. A
 * linker that finished one batch before the next would keep the barrier's first link alone. */
static void warm_and_cold_batches_link_at_once(void **state)
{
	(void)state;

	for (unsigned first = 0; first < 2; first++) {
		struct fixture f;
		fixture_open(&f);
		fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
		fixture_slot(&f, 1, "b", (struct lock_snapshot){ .key = STR("b@1.0.0") });
		f.out[0]->cold = false;
		struct linker *l = fixture_linker(&f, true);
		link_slots_parallel(l, &f.out[first], 1);
		link_slots_parallel(l, &f.out[1 - first], 1);
		run(&f);
		assert_int_equal(f.failed, 0);
		assert_false(f.barrier.gave_up);
		assert_true(linker_counts(l).most >= 2);
		assert_int_equal(linker_counts(l).warm, 1);
		assert_int_equal(linker_counts(l).cold, 1);
		linker_free(l);
		fixture_close(&f);
	}
}

/* A machine of many CPUs is given as many jobs as its workers need, and one link that stays holds back no other. */
static void a_link_that_stays_holds_no_others(void **state)
{
	char name[SLOTS][8], key[SLOTS][16];
	struct fixture f;
	struct err e;

	(void)state;
	fixture_open(&f);
	pool_free(f.pool);
	assert_int_equal(pool_new(&f.pool, SLOTS / 2, &e), 0); /* each slot is a job */
	f.barrier.least = SLOTS;
	for (uint32_t i = 0; i < SLOTS; i++) {
		snprintf(name[i], sizeof(name[i]), "p%u", i);
		snprintf(key[i], sizeof(key[i]), "p%u@1.0.0", i);
		fixture_slot(&f, i, name[i], (struct lock_snapshot){ .key = str_of(key[i]) });
	}
	struct linker *l = fixture_linker(&f, true);
	link_slots_parallel(l, f.out, SLOTS);
	assert_int_equal(pool_live(f.pool), SLOTS); /* on so many workers no few are kept back */
	run(&f);
	assert_int_equal(f.done, SLOTS);
	assert_int_equal(f.failed, 0);
	assert_false(f.barrier.gave_up);
	linker_free(l);
	fixture_close(&f);
}

/* A package that is fetched again for one of its slots gets another record while the others are linked. */
static void a_slot_keeps_the_record_that_it_was_given(void **state)
{
	struct fixture f;
	struct stat st;

	(void)state;
	fixture_open(&f);
	struct tree_package *p = fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") })->package;
	struct pkg rec = p->rec;
	struct linker *l = fixture_linker(&f, true);
	link_slots_parallel(l, f.out, 1);
	p->rec = (struct pkg){ 0 };
	on_entered(&f.barrier); /* whichever comes first, this or the link, waits for the other */
	run(&f);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.failed, 0);
	assert_false(f.barrier.gave_up);
	assert_int_equal(fstatat(f.vstore, "a@1.0.0/node_modules/a/index.js", &st, 0), 0);
	p->rec = rec;
	linker_free(l);
	fixture_close(&f);
}

static void a_slot_has_its_files_and_its_dependencies(void **state)
{
	struct lock_dep deps[] = { { STR_INIT("b"), STR_INIT("1.0.0") }, { STR_INIT("@s/c"), STR_INIT("1.0.0") },
		{ STR_INIT("alias"), STR_INIT("b@1.0.0") }, { STR_INIT("local"), STR_INIT("link:packages/local") },
		{ STR_INIT("gone"), STR_INIT("1.0.0") } };
	static const char *const links[][2] = {
		{ "a@1.0.0/node_modules/b", "../../b@1.0.0/node_modules/b" },
		{ "a@1.0.0/node_modules/@s/c", "../../../@s+c@1.0.0/node_modules/@s/c" },
		{ "a@1.0.0/node_modules/alias", "../../b@1.0.0/node_modules/b" },
		{ "a@1.0.0/node_modules/local", "../../../../packages/local" },
	};
	struct fixture f;
	struct stat st;
	char text[256];
	str gone = STR("gone");

	(void)state;
	fixture_open(&f);
	struct slot *a =
		fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0"), .dependencies = { deps, 5 } });
	fixture_slot(&f, 1, "@s/c", (struct lock_snapshot){ .key = STR("@s/c@1.0.0") });
	a->absent = (struct str_list){ &gone, 1 };
	struct linker *l = fixture_linker(&f, false);
	link_slots_parallel(l, f.out, 2);
	run(&f);
	assert_int_equal(f.failed, 0);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		ssize_t n = readlinkat(f.vstore, links[i][0], text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = 0;
		assert_string_equal(text, links[i][1]);
	}
	assert_int_not_equal(fstatat(f.vstore, "a@1.0.0/node_modules/gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(f.vstore, "a@1.0.0/node_modules/a/package.json", &st, 0), 0);
	assert_int_equal(fstatat(f.vstore, "@s+c@1.0.0/node_modules/@s/c/index.js", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_true(slot_stands(f.vstore, a));
	linker_free(l);
	fixture_close(&f);
}

/* A slot that was seen whole is known again by one time; what is taken away, or marked, or made anew is looked at. */
static void a_slot_that_was_whole(void **state)
{
	struct fixture f;
	struct timespec other[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	(void)state;
	fixture_open(&f);
	struct slot *slot[] = { fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") }),
		fixture_slot(&f, 1, "@s/c", (struct lock_snapshot){ .key = STR("@s/c@1.0.0") }) };
	static const char *const modules[] = { "a@1.0.0/node_modules", "@s+c@1.0.0/node_modules" }, *const package[] = {
		"a@1.0.0/node_modules/a", "@s+c@1.0.0/node_modules/@s/c"
	};
	struct linker *l = fixture_linker(&f, false);
	link_slots_parallel(l, f.out, 2);
	run(&f);
	for (size_t i = 0; i < 2; i++) {
		assert_true(slot_stands_still(f.vstore, slot[i]));
		assert_int_equal(fchmodat(f.vstore, modules[i], 01755, 0), 0);
		assert_false(slot_stands_still(f.vstore, slot[i]));
		assert_int_equal(fchmodat(f.vstore, modules[i], 0755, 0), 0);
		assert_int_equal(utimensat(f.vstore, modules[i], other, 0), 0);
		assert_true(slot_stands_still(f.vstore, slot[i]));
		assert_int_equal(slot[i]->modules_ns, 1000000000);
		assert_int_equal(renameat(f.vstore, package[i], f.vstore, "away"), 0);
		assert_false(slot_stands_still(f.vstore, slot[i]));
		assert_int_equal(renameat(f.vstore, "away", f.vstore, package[i]), 0);
		assert_true(slot_stands_still(f.vstore, slot[i]));
	}
	linker_free(l);
	fixture_close(&f);
}

/* A slot that a killed install left behind still has the sticky bit, and is replaced as a whole. */
static void an_interrupted_slot_does_not_stand(void **state)
{
	struct fixture f;
	struct stat st;

	(void)state;
	fixture_open(&f);
	struct slot *a = fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
	assert_false(slot_stands(f.vstore, a));
	assert_int_equal(mkdirat(f.vstore, "a@1.0.0", 0755), 0);
	assert_false(slot_stands(f.vstore, a));
	assert_int_equal(mkdirat(f.vstore, "a@1.0.0/node_modules", 01755), 0);
	assert_int_equal(mkdirat(f.vstore, "a@1.0.0/node_modules/a", 0755), 0);
	put(f.vstore, "a@1.0.0/node_modules/a/left-over", "x");
	assert_false(slot_stands(f.vstore, a));
	struct linker *l = fixture_linker(&f, false);
	link_slots_parallel(l, f.out, 1);
	run(&f);
	assert_int_equal(f.failed, 0);
	assert_true(slot_stands(f.vstore, a));
	assert_int_equal(fstatat(f.vstore, "a@1.0.0/node_modules", &st, 0), 0);
	assert_int_equal(st.st_mode & S_ISVTX, 0);
	assert_int_not_equal(fstatat(f.vstore, "a@1.0.0/node_modules/a/left-over", &st, 0), 0);
	uint64_t removed = 0;
	prune_vstore(f.vstore, &f.tree, &removed); /* what was set aside goes */
	assert_int_equal(removed, 0);
	linker_free(l);
	fixture_close(&f);
}

static bool layered;

/* In place of the C library's: overlayfs does not rename a folder of a layer below. */
int renameat(int fromfd, const char *from, int tofd, const char *to)
{
	struct stat st;

	if (layered && fstatat(fromfd, from, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		errno = EXDEV;
		return -1;
	}
	return (int)syscall(SYS_renameat2, fromfd, from, tofd, to, 0);
}

static bool exists(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What a slot replaces is set aside, even where a killed process of the same number has left something; the record of
 * what slots are made of goes first. An install that fails puts the slot back, one that goes well has it pruned. */
static void a_slot_is_replaced_and_put_back(void **state)
{
	(void)state;

	for (unsigned undo = 0; undo < 2; undo++) {
		struct fixture f;
		char old[ASIDE_NAME], path[ASIDE_NAME + 8];
		uint64_t removed = 0;
		fixture_open(&f);
		struct slot *a = fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
		fixture_slot(&f, 1, "b", (struct lock_snapshot){ .key = STR("b@1.0.0") });
		assert_int_equal(mkdirat(f.vstore, "a@1.0.0", 0755), 0);
		put(f.vstore, "a@1.0.0/was", "x");
		put(f.vstore, "lock.yaml", "x");
		slot_aside(old, a);
		assert_int_equal(mkdirat(f.vstore, old, 0755), 0);
		snprintf(path, sizeof(path), "%s/older", old);
		put(f.vstore, path, "x");
		struct linker *l = fixture_linker(&f, false);
		link_slots_parallel(l, f.out, 2);
		run(&f);
		assert_int_equal(f.failed, 0);
		assert_true(slot_stands(f.vstore, a));
		assert_false(exists(f.vstore, path));
		assert_false(exists(f.vstore, "lock.yaml"));
		assert_true(exists(f.vstore, ASIDE_LOCK));
		if (undo) {
			prune_made(f.vstore, &f.tree);
			assert_true(exists(f.vstore, "a@1.0.0/was"));
			assert_false(exists(f.vstore, "a@1.0.0/node_modules"));
			assert_false(exists(f.vstore, "b@1.0.0"));
		} else {
			assert_int_equal(mkdirat(f.vstore, "gone@1.0.0", 0555), 0);
			put(f.vstore, ASIDE "file", "x");
			prune_vstore(f.vstore, NULL, &removed);
			assert_true(exists(f.vstore, "gone@1.0.0"));
			prune_vstore(f.vstore, &f.tree, &removed);
			assert_int_equal(removed, 1);
			assert_false(exists(f.vstore, "gone@1.0.0"));
			assert_true(exists(f.vstore, ASIDE_LOCK)); /* until there is a new one */
			assert_false(exists(f.vstore, ASIDE "file"));
			assert_true(slot_stands(f.vstore, a));
		}
		assert_false(exists(f.vstore, old));
		linker_free(l);
		fixture_close(&f);
	}
}

/* Where folders cannot be renamed, slots are replaced and removed where they lie. */
static void slots_of_a_layer_below_go_in_place(void **state)
{
	struct fixture f;
	char old[ASIDE_NAME];
	uint64_t removed = 0;

	(void)state;
	fixture_open(&f);
	struct slot *a = fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
	assert_int_equal(mkdirat(f.vstore, "a@1.0.0", 0755), 0);
	assert_int_equal(mkdirat(f.vstore, "a@1.0.0/node_modules", 0755), 0);
	put(f.vstore, "a@1.0.0/node_modules/was", "x");
	assert_int_equal(mkdirat(f.vstore, "gone@1.0.0", 0755), 0);
	assert_int_equal(mkdirat(f.vstore, "gone@1.0.0/node_modules", 0755), 0);
	put(f.vstore, "lock.yaml", "x");
	layered = true;
	struct linker *l = fixture_linker(&f, false);
	link_slots_parallel(l, f.out, 1);
	run(&f);
	assert_int_equal(f.failed, 0);
	assert_true(slot_stands(f.vstore, a));
	assert_false(exists(f.vstore, "a@1.0.0/node_modules/was"));
	assert_true(exists(f.vstore, ASIDE_LOCK));
	slot_aside(old, a);
	assert_false(exists(f.vstore, old));
	prune_vstore(f.vstore, &f.tree, &removed);
	assert_int_equal(removed, 1);
	assert_false(exists(f.vstore, "gone@1.0.0"));
	assert_false(prune_made(f.vstore, &f.tree)); /* the record of the tree stays aside */
	assert_false(exists(f.vstore, "a@1.0.0"));
	layered = false;
	linker_free(l);
	fixture_close(&f);
}

static void on_done_stop(void *arg, struct slot *s)
{
	struct fixture *f = arg;

	on_done(arg, s);
	linker_stop(f->linker);
}

/* Who has failed waits for what runs, not for all that was to come. */
static void a_stopped_linker_begins_nothing_more(void **state)
{
	char name[SLOTS][8], key[SLOTS][16];
	struct fixture f;
	size_t begun = 0;

	(void)state;
	fixture_open(&f);
	for (uint32_t i = 0; i < SLOTS; i++) {
		snprintf(name[i], sizeof(name[i]), "p%u", i);
		snprintf(key[i], sizeof(key[i]), "p%u@1.0.0", i);
		fixture_slot(&f, i, name[i], (struct lock_snapshot){ .key = str_of(key[i]) });
	}
	struct linker_opts o = { .vstore = f.vstore,
		.vstore_to_root = STR("../.."),
		.store = f.store,
		.in_flight = 1,
		.done = on_done_stop,
		.arg = &f };
	f.linker = linker_new(f.pool, &f.tree, &o);
	link_slots_parallel(f.linker, f.out, SLOTS);
	while (pool_live(f.pool) > 0) {
		struct pollfd fd = { .fd = pool_fd(f.pool), .events = POLLIN };
		poll(&fd, 1, -1);
		pool_drain(f.pool);
	}
	assert_int_equal(f.done, 1);
	for (uint32_t i = 0; i < SLOTS; i++)
		begun += f.out[i]->begun;
	assert_true(begun >= 1 && begun < SLOTS);
	linker_free(f.linker);
	fixture_close(&f);
}

static void slots_that_share_a_folder_have_one_owner(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
	fixture_slot(&f, 1, "b", (struct lock_snapshot){ .key = STR("b@1.0.0") });
	f.out[1]->dir = f.out[0]->dir;
	f.out[1]->name = f.out[0]->name;
	struct linker *l = fixture_linker(&f, false);
	link_slots_parallel(l, f.out, 2);
	run(&f);
	assert_int_equal(f.done, 2);
	assert_int_equal(f.failed, 0);
	assert_int_equal(linker_counts(l).links, 2); /* package.json and index.js, once */
	linker_free(l);
	fixture_close(&f);
}

/* Begun last, the one large package would keep one worker busy while the others idle: of few slots, one that
 * is larger than the others. */
static void a_large_slot_is_begun_first(void **state)
{
	static const unsigned files[] = { 600, 150 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		fixture_open(&f);
		fixture_slot(&f, 0, "a", (struct lock_snapshot){ .key = STR("a@1.0.0") });
		fixture_slot(&f, 1, "b", (struct lock_snapshot){ .key = STR("b@1.0.0") });
		f.more_files = files[i];
		struct slot *large = fixture_slot(&f, 2, "c", (struct lock_snapshot){ .key = STR("c@1.0.0") });
		f.more_files = 0;
		struct slot *last = fixture_slot(&f, 3, "d", (struct lock_snapshot){ .key = STR("d@1.0.0") });
		struct linker *l = fixture_linker(&f, false);
		link_slots_parallel(l, f.out, 4);
		assert_ptr_equal(f.out[0], large);
		assert_ptr_equal(f.out[3], last);
		run(&f);
		assert_int_equal(f.done, 4);
		assert_int_equal(f.failed, 0);
		linker_free(l);
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cold_batch_links_in_parallel),
		cmocka_unit_test(warm_and_cold_batches_link_at_once),
		cmocka_unit_test(a_slot_keeps_the_record_that_it_was_given),
		cmocka_unit_test(a_link_that_stays_holds_no_others),
		cmocka_unit_test(a_slot_has_its_files_and_its_dependencies),
		cmocka_unit_test(a_slot_that_was_whole),
		cmocka_unit_test(an_interrupted_slot_does_not_stand),
		cmocka_unit_test(a_slot_is_replaced_and_put_back),
		cmocka_unit_test(slots_of_a_layer_below_go_in_place),
		cmocka_unit_test(a_stopped_linker_begins_nothing_more),
		cmocka_unit_test(slots_that_share_a_folder_have_one_owner),
		cmocka_unit_test(a_large_slot_is_begun_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
