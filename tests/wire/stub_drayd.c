/* stub_drayd — drayd's server with frames of its own making. What it does is chosen by the root importer's name:
 *   "many"     HELLO, 3,000 packages and slots, DONE
 *   "stopped"  the same with 20 packages, 50 ms apart, while the server has been told to stop
 *   "block"    HELLO, then nothing until the client leaves; "some": and two packages
 *   "nomatch"  fails before any frame; "midway": after HELLO
 *   "settings" HELLO with another digest
 *   "newer"    HELLO of a protocol to come
 *   "gated"    HELLO; 20 packages, 50 ms apart, once somebody has asked for "open the gate"
 *   "late"     fails then, before any frame
 *   "locked"   fails unless the lockfile came along
 *   "nul"      HELLO, 20 packages and slots, a package that is deprecated in words with a NUL, DONE
 *   "spoil"    its store cannot be used any more, for a reason that is nobody's business */
#include "server.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct stub {
	_Atomic uint64_t plans, cancelled;
	atomic_bool open; /* the gate */
	atomic_bool spoiled;
	pthread_mutex_t lock;
	uint8_t sha[32];
	char *text;
	size_t n;
};

static int hello(const struct plan_request *r, frame_sink *sink, void *ctx, struct err *e)
{
	str name = r->req.importer[0].manifest.name;
	struct frame f = { .kind = FRAME_HELLO, .hello = { .protocol = PLAN_PROTOCOL, .server = STR("stub") } };

	settings_digest(f.hello.settings_digest, &r->req.settings);
	if (str_eq(name, STR("settings")))
		f.hello.settings_digest[0] ^= 1;
	if (str_eq(name, STR("newer")))
		f.hello.protocol = PLAN_PROTOCOL + 1;
	return sink(ctx, &f, e);
}

static int package(uint32_t i, frame_sink *sink, void *ctx, struct err *e)
{
	char key[32];
	int k = snprintf(key, sizeof(key), "p%u@1.0.0", i);
	str dep_path = { key, (size_t)k };
	struct frame p = { .kind = FRAME_PACKAGE,
		.package = { .id = i,
			.name = str_head(dep_path, (size_t)k - 6),
			.version = STR("1.0.0"),
			.meta.key = dep_path } };
	struct frame s = { .kind = FRAME_SLOT, .slot = { .id = i, .package = i, .snap.key = dep_path } };

	return sink(ctx, &p, e) < 0 || sink(ctx, &s, e) < 0 ? e->code : 0;
}

static int packages(uint32_t n, unsigned pause_ms, frame_sink *sink, void *ctx, struct err *e)
{
	struct frame done = { .kind = FRAME_DONE, .done = { .packages = n, .slots = n } };

	for (uint32_t i = 0; i < n; i++) {
		if (package(i, sink, ctx, e) < 0)
			return e->code;
		if (pause_ms)
			nanosleep(&(struct timespec){ 0, (long)pause_ms * 1000000 }, NULL);
	}
	return sink(ctx, &done, e);
}

static int packages_and_nul(frame_sink *sink, void *ctx, struct err *e)
{
	struct frame p = { .kind = FRAME_PACKAGE,
		.package = { .id = 20,
			.name = STR("nul"),
			.version = STR("1.0.0"),
			.meta = { .key = STR("nul@1.0.0"), .deprecated = STR("a\0b") } } };
	struct frame done = { .kind = FRAME_DONE, .done = { .packages = 21, .slots = 20 } };

	for (uint32_t i = 0; i < 20; i++) {
		if (package(i, sink, ctx, e) < 0)
			return e->code;
	}
	return sink(ctx, &p, e) < 0 ? e->code : sink(ctx, &done, e);
}

static void wake(void *arg)
{
	ssize_t n = write(((int *)arg)[1], "x", 1);
	if (n != 1)
		abort();
}

static int block(struct cancel *c, struct err *e)
{
	int fd[2];
	char x;

	if (pipe(fd) != 0)
		return err_os(e, "pipe");
	cancel_hook(c, wake, fd);
	ssize_t n = read(fd[0], &x, 1);
	cancel_hook(c, NULL, NULL);
	close(fd[0]);
	close(fd[1]);
	return n == 1 ? err_set(e, ERR_CANCELLED, "the client left") : err_os(e, "read the pipe");
}

/* Waits until somebody asks for "open the gate". */
static int gate(struct stub *st, struct cancel *c, struct err *e)
{
	for (int i = 0; i < 20000; i++) {
		if (atomic_load(&st->open))
			return 0;
		if (cancel_is_set(c))
			return err_set(e, ERR_CANCELLED, "the client left");
		nanosleep(&(struct timespec){ 0, 10 * 1000000 }, NULL);
	}
	return err_set(e, ERR_TIMEOUT, "nobody opened the gate");
}

static int frames(struct stub *st, const struct plan_request *r, struct cancel *c, frame_sink *sink, void *sink_ctx,
	struct err *e)
{
	str name = r->req.nimporters ? r->req.importer[0].manifest.name : STR_NONE;

	if (str_eq(name, STR("open the gate"))) {
		atomic_store(&st->open, true);
		return hello(r, sink, sink_ctx, e) < 0 ? e->code : packages(0, 0, sink, sink_ctx, e);
	}
	st->plans++;
	if (str_eq(name, STR("spoil")))
		st->spoiled = true;
	if (str_eq(name, STR("late")))
		return gate(st, c, e) < 0 ? e->code : err_set(e, ERR_NOMATCH, "late");
	if (str_eq(name, STR("nomatch")))
		return err_set(e, ERR_NOMATCH, "no version of \"x\" matches");
	if (str_eq(name, STR("locked")) && (!r->req.lockfile || r->req.lockfile->nimporters != 1))
		return err_set(e, ERR_OUTDATED, "no lockfile");
	if (hello(r, sink, sink_ctx, e) < 0)
		return e->code;
	if (str_eq(name, STR("midway")))
		return err_set(e, ERR_NOTFOUND, "x is not in the registry");
	if (str_eq(name, STR("some")) && (package(0, sink, sink_ctx, e) < 0 || package(1, sink, sink_ctx, e) < 0))
		return e->code;
	if (str_eq(name, STR("block")) || str_eq(name, STR("some")))
		return block(c, e);
	if (str_eq(name, STR("nul")))
		return packages_and_nul(sink, sink_ctx, e);
	bool slow = str_eq(name, STR("gated")) || str_eq(name, STR("stopped"));
	if (str_eq(name, STR("gated")) && gate(st, c, e) < 0)
		return e->code;
	if (str_eq(name, STR("stopped")) && kill(getpid(), SIGTERM) != 0)
		return err_os(e, "SIGTERM");
	return slow ? packages(20, 50, sink, sink_ctx, e) : packages(3000, 0, sink, sink_ctx, e);
}

static int plan(void *ctx, struct plan_request *r, const struct identity *who, struct arena *a, struct cancel *c,
	frame_sink *sink, void *sink_ctx, struct err *e)
{
	struct stub *st = ctx;

	(void)a;
	(void)who;
	int rc = frames(st, r, c, sink, sink_ctx, e);
	/* Wherever it was told: a client may leave before the first frame is out. */
	st->cancelled += rc == ERR_CANCELLED;
	return rc;
}

static bool lockfile(void *ctx, str *out, const uint8_t sha[32], struct arena *a)
{
	struct stub *st = ctx;

	pthread_mutex_lock(&st->lock);
	bool hit = st->text && memcmp(sha, st->sha, 32) == 0;
	if (hit)
		*out = arena_str(a, (str){ st->text, st->n });
	pthread_mutex_unlock(&st->lock);
	return hit;
}

static void lockfile_keep(void *ctx, const uint8_t sha[32], str text)
{
	struct stub *st = ctx;

	pthread_mutex_lock(&st->lock);
	free(st->text);
	st->text = xstrndup(text);
	st->n = text.n;
	memcpy(st->sha, sha, 32);
	pthread_mutex_unlock(&st->lock);
}

static bool ready(void *ctx, struct err *e)
{
	struct stub *st = ctx;

	return !st->spoiled || (err_set(e, ERR_IO, "open /secret/place: broken"), false);
}

static void metrics(void *ctx, struct buf *b)
{
	struct stub *st = ctx;

	buf_printf(b, "stub_cancelled %llu\nstub_plans %llu\n", (unsigned long long)st->cancelled,
		(unsigned long long)st->plans);
}

int main(int argc, char **argv)
{
	AUTO(config_release) struct config c = { 0 };
	struct stub st = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct backend b = { .ctx = &st,
		.plan = plan,
		.lockfile = lockfile,
		.lockfile_keep = lockfile_keep,
		.ready = ready,
		.metrics = metrics };
	struct err e = { 0 };

	server_signals(true);
	int rc = config_load(&c, argc, argv, &e);
	log_setup(STDERR_FILENO, c.log_level, c.log_format);
	if (rc == 0)
		rc = server_run(&c, &b, argc, argv, &e);
	free(st.text);
	if (rc < 0)
		fprintf(stderr, "stub_drayd: %s\n", e.msg);
	return err_exit_status(rc);
}
