/* packs_env — packs in the making, for tests: a registry of fixture tarballs, a folder, and who makes them.
 *
 * One program includes it once: it has the calls by which threads ask the scheduler for less, and by which files are
 * brought to the disk. */
#pragma once
#include "fs.h"
#include "pack.h"
#include "packs_impl.h"
#include "registry.h"
#include "test_server.h"
#include "tgz.h"
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

/* How often a journal that is written anew was on the disk before it had its name. */
static atomic_uint journal_syncs;
/* The disk has no room for packs. */
static atomic_bool full;
/* Whoever brings a pack to the disk waits there. */
static atomic_bool stalls;
static atomic_uint stalled;
int fdatasync(int fd)
{
	char link[64], to[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, to, sizeof(to));
	bool journal = n > 12 && memcmp(to + n - 12, "/tmp-journal", 12) == 0;
	journal_syncs += journal;
	stalled += stalls && !journal;
	while (stalls && !journal)
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	if (full && !journal) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* What the threads ask of the scheduler they get only where a test looks at that: beside others that are at work one
 * with SCHED_IDLE, and one that is nice, waits for minutes, and all other tests are about what it makes. */
static atomic_bool idle_for_real;
/* A thread of idle priority gets no CPU. */
static atomic_bool starved;
static atomic_uint asked_idle, asked_nice;
int pthread_setschedparam(pthread_t of, int policy, const struct sched_param *p)
{
	if (!pthread_equal(of, pthread_self()))
		abort();
	asked_idle += policy == SCHED_IDLE;
	while (policy == SCHED_IDLE && starved)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	return idle_for_real && syscall(SYS_sched_setscheduler, 0, policy, p) < 0 ? EPERM : 0;
}

int setpriority(__priority_which_t which, id_t who, int to)
{
	asked_nice++;
	return idle_for_real ? (int)syscall(SYS_setpriority, which, who, to) : 0;
}

enum { N = 12 };
struct env {
	char root[TEMP_PATH];
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

static inline void serve_tarball(void *arg, struct reply *r, const struct seen *q)
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

static inline struct buf make_tarball(const char *name, int i)
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

static inline void packs_start(struct env *v)
{
	struct err e;

	if (packs_new(&v->p, &v->o, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline int setup(void **state)
{
	struct env *v = xcalloc(1, sizeof(*v));
	struct err e;

	temp_make(v->root);
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%d", i);
		v->tgz[i] = make_tarball(name, i);
		v->sri[i] = tgz_sri(&v->tgz[i], &v->a);
	}
	server_start(&v->s, serve_tarball, v);
	assert_int_equal(http_new(&v->http, &(struct http_opts){ .private_addresses = true, .proxy = "" }, &e), 0);
	assert_int_equal(registry_new(&v->registry, v->http, &(struct registry_opts){ .no_retries = true }, &e), 0);
	v->o = (struct packs_opts){ .dir = v->root,
		.registry = v->registry,
		.idle_ms = 1,
		.no_settle = true,
		.eager = true,
		.leave_ms = 600000 };
	*state = v;
	return 0;
}

static inline int teardown(void **state)
{
	struct env *v = *state;

	full = stalls = false;
	http_stop(v->http);
	packs_free(v->p);
	registry_free(v->registry);
	http_free(v->http);
	server_stop(&v->s);
	temp_remove(v->root);
	for (int i = 0; i < N; i++)
		buf_release(&v->tgz[i]);
	arena_release(&v->a);
	free(v);
	return 0;
}

static inline struct frame_package package(struct env *v, int i)
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

static inline void ask_all(struct env *v)
{
	for (int i = 0; i < N; i++) {
		struct frame_package f = package(v, i);
		packs_of(v->p, &f, STR_NONE);
	}
}

static inline int any_row(void *arg, const struct pack_row *row, struct err *e)
{
	(void)e;
	(void)row;
	++*(int *)arg;
	return 0;
}

/* The pack that F names can be had, is what its digest says, and holds the package. */
static inline void assert_served(struct env *v, const struct frame_package *f)
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

static inline void journal_text(struct buf *out, const struct env *v)
{
	char path[100];
	struct err e;

	buf_clear(out);
	snprintf(path, sizeof(path), "%s/packs/journal", v->root);
	assert_int_equal(fs_read_file(out, AT_FDCWD, path, 1 << 20, &e), 0);
}
