/* Packs in the making: a registry of fixture tarballs, and what becomes of them. ctest label: threads */
#include "base/clock.h"
#include "fs.h"
#include "pack.h"
#include "packs_impl.h"
#include "registry.h"
#include "test_server.h"
#include "tgz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* How often a journal that is written anew was on the disk before it had its name. */
static atomic_uint journal_syncs;
/* The disk has no room for packs. */
static atomic_bool full;
int fdatasync(int fd)
{
	char link[64], to[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, to, sizeof(to));
	bool journal = n > 12 && memcmp(to + n - 12, "/tmp-journal", 12) == 0;
	journal_syncs += journal;
	if (full && !journal) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* What the threads ask of the scheduler they get only where a test looks at that: beside others that are at work one
 * with SCHED_IDLE, and one that is nice, waits for minutes, and all other tests are about what it makes. */
static atomic_bool idle_for_real;
static atomic_uint asked_idle, asked_nice;
int pthread_setschedparam(pthread_t of, int policy, const struct sched_param *p)
{
	if (!pthread_equal(of, pthread_self()))
		abort();
	asked_idle += policy == SCHED_IDLE;
	return idle_for_real && syscall(SYS_sched_setscheduler, 0, policy, p) < 0 ? EPERM : 0;
}

int setpriority(__priority_which_t which, id_t who, int to)
{
	asked_nice++;
	return idle_for_real ? (int)syscall(SYS_setpriority, which, who, to) : 0;
}

enum { N = 12 };
struct env {
	char root[64];
	struct server s;
	struct http *http;
	struct registry *registry;
	struct packs *p;
	struct packs_opts o;
	struct arena a;
	struct buf tgz[N];
	str sri[N];
	atomic_bool broken; /* tarballs arrive with a flipped byte */
};

static void serve_tarball(void *arg, struct reply *r, const struct seen *q)
{
	struct env *v = arg;
	uint64_t i = N;

	str_u64(str_from(q->path, 1), &i);
	if (i >= N) {
		reply_text(r, 404, "", STR("{}"));
		return;
	}
	reply_text(r, 200, "", buf_str(&v->tgz[i]));
	if (v->broken)
		r->bytes.p[r->bytes.n - 30] ^= 1;
}

static struct buf make_tarball(const char *name, int i)
{
	struct buf t = BUF_INIT;
	AUTO(buf_release) struct buf text = BUF_INIT;
	char json[100];

	snprintf(json, sizeof(json), "{\"name\":\"%s\",\"version\":\"1.0.%d\"}", name, i);
	tar_file(&t, "package/package.json", json);
	for (uint32_t k = 0, rng = (uint32_t)i; k < 1500u * (uint32_t)(i + 1); k++) {
		static const char *const word[] = { "const ", "return ", "function ", "value", "(", ")", " = ", ";\n" };
		rng = rng * 1664525 + 1013904223;
		buf_printf(&text, "%s%u", word[rng >> 29], rng >> 16 & 31);
	}
	tar_put(&t, "package/index.js", '0', 0644, text.n & 0xffffff, buf_str(&text));
	tar_close(&t);
	return tgz(&t);
}

static void packs_start(struct env *v)
{
	struct err e;

	if (packs_new(&v->p, &v->o, &e) < 0)
		fail_msg("%s", e.msg);
}

static int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct err e;

	snprintf(v->root, sizeof(v->root), "/tmp/dray-packs-test-XXXXXX");
	assert_non_null(mkdtemp(v->root));
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%d", i);
		v->tgz[i] = make_tarball(name, i);
		v->sri[i] = tgz_sri(&v->tgz[i], &v->a);
	}
	server_start(&v->s, serve_tarball, v);
	assert_int_equal(http_new(&v->http, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	assert_int_equal(registry_new(&v->registry, v->http, &(struct registry_opts){ .no_retries = true }, &e), 0);
	v->o = (struct packs_opts){
		.dir = v->root, .registry = v->registry, .idle_ms = 1, .no_settle = true, .eager = true
	};
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;
	char cmd[128];

	full = false;
	http_stop(v->http);
	packs_free(v->p);
	registry_free(v->registry);
	http_free(v->http);
	server_stop(&v->s);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", v->root);
	assert_int_equal(system(cmd), 0);
	for (int i = 0; i < N; i++)
		buf_release(&v->tgz[i]);
	arena_release(&v->a);
	free(v);
	return 0;
}

static struct frame_package package(struct env *v, int i)
{
	struct frame_package f = { .id = (uint32_t)i,
		.name = arena_printf(&v->a, "p%d", i),
		.version = arena_printf(&v->a, "1.0.%d", i),
		.url = arena_printf(&v->a, "http://127.0.0.1:%u/%d", v->s.port, i) };

	f.meta.resolution.integrity = v->sri[i];
	return f;
}

/* Asks for all, and waits until COND of the counts holds. */
#define wait_until(v, cond)                                                                                            \
	do {                                                                                                           \
		struct packs_counts c;                                                                                 \
		for (int tries = 0; c = packs_counts((v)->p), !(cond); tries++) {                                      \
			assert_true(tries < 48000); /* four minutes */                                                 \
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL);                                             \
		}                                                                                                      \
	} while (0)

static void ask_all(struct env *v)
{
	for (int i = 0; i < N; i++) {
		struct frame_package f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
	}
}

static int any_row(void *arg, const struct pack_row *row, struct err *e)
{
	(void)e;
	(void)row;
	++*(int *)arg;
	return 0;
}

/* The pack that F names can be had, is what its digest says, and holds the package. */
static void assert_served(struct env *v, const struct frame_package *f)
{
	uint64_t size;
	int fd = packs_open(v->p, f->pack, &size), rows = 0;
	struct err e;

	assert_true(fd >= 0);
	assert_int_equal(size, f->pack_size);
	void *p = malloc(size);
	assert_int_equal(read(fd, p, size), size);
	if (pack_unpack(p, size, f->pack, f->name, PACK_CHECK, any_row, &rows, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(rows, 2);
	free(p);
	close(fd);
}

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

static void journal_text(struct buf *out, const struct env *v)
{
	char path[100];
	struct err e;

	buf_clear(out);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_read_file(out, AT_FDCWD, path, 1 << 20, &e), 0);
}

/* As a drayd wrote it that did not look at names: packages' lines have another word. p3's says that it is evil's,
 * p4's is of another version. */
static void journal_make_older(const struct env *v)
{
	AUTO(buf_release) struct buf text = BUF_INIT, old = BUF_INIT;
	char path[100];
	str line, body, sum, w[8];
	struct err e;

	journal_text(&text, v);
	for (str rest = buf_str(&text); str_cut(rest, '\n', &line, &rest);) {
		size_t at = old.n, n = 0;
		assert_true(str_rcut(line, ' ', &body, &sum));
		for (str words = body; words.n && n < 8; n++)
			str_cut(words, ' ', &w[n], &words);
		if (!str_eq(w[0], STR("warm2")))
			continue;
		assert_int_equal(n, 8);
		buf_printf(&old, "warm");
		for (size_t i = 1; i < 6; i++)
			buf_printf(&old, " " STR_FMT, STR_ARG(w[i]));
		buf_printf(&old, " " STR_FMT " " STR_FMT, STR_ARG(str_eq(w[6], STR("p3")) ? STR("evil") : w[6]),
			STR_ARG(str_eq(w[6], STR("p4")) ? STR("9.9.9") : w[7]));
		packs_line_end(&old, at);
	}
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&old), 0644, &e), 0);
}

/* Made before names were looked at, a pack is given to nobody until its own has been read; then it is as
 * good as any, or made anew. */
static void packs_of_an_older_server_are_proved(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct frame_package evil = package(v, 3), f;

	evil.name = STR("evil");
	packs_start(v);
	ask_all(v);
	wait_until(v, c.warm == N && c.pending + c.building == 0);
	packs_free(v->p);
	journal_make_older(v);
	packs_start(v);
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	wait_until(v, c.unproved == 0);
	assert_int_equal(packs_counts(v->p).warm, N - 1);
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	wait_until(v, c.failed == 1 && c.pending + c.building == 0);
	assert_int_equal(v->s.requests, N + 1);
	ask_all(v);
	wait_until(v, c.warm == N);
	assert_int_equal(v->s.requests, N + 2); /* nothing but p3 */
	packs_free(v->p);
	packs_start(v);
	assert_int_equal(packs_counts(v->p).unproved, 0); /* once for all */
	for (int i = 0; i < N; i++) {
		f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
		assert_served(v, &f);
	}
	packs_of(v->p, &evil, STR_NONE);
	assert_int_equal(evil.pack_size, 0);
	journal_text(&text, v);
	assert_true(str_find_str(buf_str(&text), STR(" p4 1.0.4 "), 0) != SIZE_MAX);
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
	assert_int_equal(v->p->item.p[0]->retry_ms, 0); /* what failed once is encoded better as any other */
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

/* The descriptor of the journal that this process has open. */
static int journal_fd(void)
{
	char link[64], to[4096];

	for (int fd = 3; fd < 1000; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, to, sizeof(to));
		if (n > 14 && memcmp(to + n - 14, "/packs/journal", 14) == 0)
			return fd;
	}
	fail();
	return -1;
}

/* All that P had to note has been taken from the pipe FD into TOOK, and P writes to REAL again, which is open as TO. */
static void take_notes(struct buf *took, struct packs *p, int fd, int real, int to)
{
	char text[4096];

	for (bool all = false;;) {
		for (ssize_t n; (n = read(fd, text, sizeof(text))) > 0;)
			buf_add(took, (str){ text, (size_t)n });
		if (all)
			return;
		struct packs_counts c = packs_counts(p);
		if (c.built == N && c.pending + c.building == 0 && pthread_mutex_trylock(&p->writing) == 0) {
			pthread_mutex_lock(&p->lock);
			all = p->lines.n == 0; /* nor is any being written */
			pthread_mutex_unlock(&p->lock);
			if (all)
				assert_int_equal(dup2(real, to), to);
			pthread_mutex_unlock(&p->writing);
		}
		if (!all)
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
}

/* Nobody who asks waits for a disk that takes nothing; it is a pipe here that nobody reads. What is written once it
 * takes something is all that there was to note: a restart knows it. */
static void a_disk_that_stalls_holds_up_nobody(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf took = BUF_INIT;
	uint8_t key[PACKS_KEY], digest[32];
	char text[4096] = { 0 };
	size_t filled = 0;
	uint64_t size;
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	packs_start(v);
	int journal = journal_fd(), real = dup(journal);
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	for (ssize_t n; (n = write(fd[1], text, sizeof(text))) > 0;)
		filled += (size_t)n;
	assert_int_equal(fcntl(fd[1], F_SETFL, 0), 0);
	assert_int_equal(dup2(fd[1], journal), journal);
	alarm(600); /* before all is held up for good */
	ask_all(v);
	wait_until(v, c.built >= 2); /* by two builders, which then wait for the disk */
	ask_all(v);
	assert_true(packs_key(key, v->sri[0]));
	(void)packs_find(v->p, digest, &size, key);
	assert_int_equal(packs_evict(v->p, 0), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	take_notes(&took, v->p, fd[0], real, journal);
	alarm(0);
	assert_int_equal(packs_counts(v->p).unnoted, 0);
	close(fd[0]);
	close(fd[1]);
	packs_free(v->p);
	v->p = NULL;
	assert_true(took.n > filled);
	assert_int_equal(fs_write_all(real, took.p + filled, took.n - filled), 0);
	close(real);
	packs_start(v);
	struct packs_counts c = packs_counts(v->p);
	assert_int_equal(c.warm, N);
	assert_int_equal(c.pending + c.building + c.built, 0);
	assert_int_equal(v->s.requests, N);
}

static off_t journal_length(const struct env *v)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* A server that runs for months notes every use: its journal is written anew when that pays, and knows the same. */
static void a_long_journal_is_shortened(void **state)
{
	struct env *v = *state;
	struct frame_package f[N];

	v->o.journal_slack = 1;
	packs_start(v);
	for (int i = 1; i < N; i++) {
		f[i] = package(v, i);
		packs_of(v->p, &f[i], STR_NONE);
	}
	wait_until(v, c.built == N - 1 && packs_unsettled_of(&c) == c.warm);
	packjournal_write(v->p);
	off_t was = journal_length(v);
	unsigned syncs = journal_syncs;
	packjournal_shorten(v->p);
	off_t is = journal_length(v);
	assert_int_equal(journal_syncs, syncs + 1);
	assert_true(is < was * 3 / 4); /* what was wanted and is made */
	packjournal_shorten(v->p);
	assert_int_equal(journal_length(v), is); /* nothing is gained */
	f[0] = package(v, 0);
	packs_of(v->p, &f[0], STR_NONE);
	wait_until(v, c.built == N && packs_unsettled_of(&c) == c.warm);
	struct packs_counts before = packs_counts(v->p);
	packs_free(v->p);
	assert_true(journal_length(v) > is);
	packs_start(v);
	assert_int_equal(packs_counts(v->p).warm, before.warm);
	assert_int_equal(packs_counts(v->p).settled, before.settled); /* deltas */
	for (int i = 0; i < N; i++) {
		packs_of(v->p, &f[i], STR_NONE);
		assert_served(v, &f[i]);
	}
	assert_int_equal(v->s.requests, N);
}

/* A line of the journal that is not as it was written says nothing: what it was about is made again. */
static void a_spoiled_line_is_none(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	uint8_t key[PACKS_KEY], digest[32];
	char path[100];
	uint64_t size;
	struct err e;

	packs_start(v);
	ask_all(v);
	wait_until(v, c.built == N && c.pending + c.building == 0);
	packs_free(v->p);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_read_file(&text, AT_FDCWD, path, 1 << 20, &e), 0);
	size_t at = str_find_str(buf_str(&text), STR("warm2 "), 0);
	assert_true(at != SIZE_MAX);
	char *d = text.p + at + 6 + 2 * PACKS_KEY + 1; /* the digest of the first one that was made */
	*d = *d == '0' ? '1' : '0';
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&text), 0644, &e), 0);
	packs_start(v);
	wait_until(v, c.warm == N); /* one of them anew */
	assert_int_equal(packs_counts(v->p).built, 1);
	for (int i = 0; i < N; i++) {
		assert_true(packs_key(key, v->sri[i]));
		assert_true(packs_find(v->p, digest, &size, key));
		int fd = packs_open(v->p, digest, &size);
		assert_true(fd >= 0);
		close(fd);
	}
}

/* What was wanted when a server ended is made by the next one; a journal of many lines about
 * few packs is written anew. */
static void a_start_goes_on(void **state)
{
	struct env *v = *state;
	AUTO(buf_release) struct buf text = BUF_INIT;
	uint8_t key[PACKS_KEY];
	char path[100], hex[2 * PACKS_KEY + 1];
	struct err e;

	packs_start(v);
	packs_free(v->p);
	assert_true(packs_key(key, v->sri[0]));
	hex_print(hex, key, PACKS_KEY);
	buf_printf(&text, "want %s " STR_FMT " http://127.0.0.1:%u/0 p0 1.0.0", hex, STR_ARG(v->sri[0]), v->s.port);
	packs_line_end(&text, 0);
	for (int i = 0; i < 2000; i++) {
		size_t at = text.n;
		buf_printf(&text, "used %s %d", hex, 1000000 + i);
		packs_line_end(&text, at);
	}
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_write_file(AT_FDCWD, path, buf_str(&text), 0644, &e), 0);
	unsigned syncs = journal_syncs;
	packs_start(v);
	assert_int_equal(journal_syncs, syncs + 1);
	assert_true(journal_length(v) < 1000);
	wait_until(v, c.built == 1 && c.warm == 1);
}

static void packs_outlive_the_server(void **state)
{
	struct env *v = *state;
	struct frame_package f = package(v, 3), g = package(v, 3);

	packs_start(v);
	ask_all(v);
	wait_until(v, c.built == N);
	packs_of(v->p, &f, STR_NONE);
	packs_free(v->p);
	char cmd[200]; /* half a line, as a killed server leaves it, and one that is not ours */
	snprintf(cmd, sizeof(cmd), "printf 'settled 00 11 1 1 1 x y 00000000\\nwarm 0123' >> '%s/packs/journal'",
		v->root);
	assert_int_equal(system(cmd), 0);
	packs_start(v);
	packs_of(v->p, &g, STR_NONE);
	assert_memory_equal(f.pack, g.pack, 32);
	assert_served(v, &g);
	assert_int_equal(packs_counts(v->p).warm, N);
	assert_int_equal(v->s.requests, N);
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
	wait_until(v, c.settled == N);
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
		off = v->p->item.p[i]->retry_ms ? v->p->item.p[i] : off;
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
	off->retry_ms = 1; /* ten minutes later */
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

static void one_process_has_the_packs(void **state)
{
	struct env *v = *state;
	struct packs *other;
	struct err e;

	packs_start(v);
	assert_int_equal(packs_new(&other, &v->o, &e), ERR_BUSY);
	assert_non_null(strstr(e.msg, "drayd_packs_unsettled"));
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

static void what_is_under_way_does_not_hold_the_end(void **state)
{
	struct env *v = *state;

	packs_start(v);
	ask_all(v);
	http_stop(v->http);
	packs_free(v->p);
	v->p = NULL;
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
	wait_until(v, c.settled == N && c.warm == 0);
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
		cmocka_unit_test_setup_teardown(what_is_asked_for_is_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pack_is_of_the_name_in_its_tarball, setup, teardown),
		cmocka_unit_test_setup_teardown(packs_of_an_older_server_are_proved, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_url_mends_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(another_place_is_tried_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_address_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(the_version_is_the_tarballs, setup, teardown),
		cmocka_unit_test_setup_teardown(what_there_is_not_has_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(what_there_is_not_has_a_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_made_leaves_its_share, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_large_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_stalls_holds_up_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_journal_is_shortened, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spoiled_line_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(packs_outlive_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_bytes_make_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_file_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_descriptors_lose_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(all_of_them_settle, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_settles_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_no_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(settling_pauses_while_it_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(the_largest_settles_first, setup, teardown),
		cmocka_unit_test_setup_teardown(deltas_found_last_are_made_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_left_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_has_the_packs, setup, teardown),
		cmocka_unit_test_setup_teardown(the_longest_unused_go, setup, teardown),
		cmocka_unit_test_setup_teardown(their_order_survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(their_order_survives_a_clock_that_is_put_back, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_under_way_does_not_hold_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_first_encoding_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(settling_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(a_delta_is_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(deltas_are_for_idle_times, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
