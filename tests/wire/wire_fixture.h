/* wire_fixture — the server's stub as a process, requests to it by hand, and plans as the client's source gets them. */
#pragma once
#include "base/clock.h"
#include "frame.h"
#include "h2_session.h"
#include "plan_wire.h"
#include "source_remote.h"
#include "stub_process.h"
#include "workq.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "temp.h"
#include <cmocka.h>

static const char *stub;

struct served {
	pid_t pid;
	char dir[TEMP_PATH], port[8], url[64];
};

/* Starts the stub with up to three more flags and waits for its ready file. */
static inline void serve(struct served *s, const char *f1, const char *f2, const char *f3)
{
	char ready[96];

	temp_make(s->dir);
	snprintf(ready, sizeof(ready), "%s/ready", s->dir);
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails half way leaves nobody behind */
		execl(stub, stub, "--listen", "127.0.0.1:0", "--ready-file", ready, "--registry",
			"http://registry.test/", "--log-level", "error", f1, f2, f3, (char *)NULL);
		_exit(127);
	}
	await_ready(ready, s->port, s->url);
	unlink(ready);
	rmdir(s->dir);
}

static inline int stop(struct served *s)
{
	int status = -1;

	kill(s->pid, SIGTERM);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int setup(void **state)
{
	struct served *s = calloc(1, sizeof(*s));

	serve(s, "--plans-per-client", "3", NULL);
	*state = s;
	return 0;
}

/* One connection may have as many plans under way as the limit can be. */
static inline int setup_many(void **state)
{
	struct served *s = calloc(1, sizeof(*s));

	serve(s, "--plans-per-client", "100", NULL);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	int rc = stop(*state);

	free(*state);
	return rc; /* whatever was done to it, it still leaves in order */
}

/* ---- one request by hand ---- */

struct answer {
	bool done, unwanted; /* its stream is reset at the first byte */
	int code, status;
	struct buf body;
};

static inline int take(void *arg, const struct h2_response *r, const void *p, size_t n)
{
	struct answer *a = arg;

	(void)r;
	buf_add(&a->body, (str){ p, n });
	return a->unwanted ? ERR_CANCELLED : 0;
}

static inline void done(void *arg, int code, const struct h2_response *r, const struct err *e)
{
	struct answer *a = arg;

	(void)e;
	a->done = true;
	a->code = code;
	a->status = r->status;
}

static inline int drive_until(struct h2 *h, const bool *until)
{
	struct err e;

	for (int64_t end = clock_ms() + PATIENCE_MS; clock_ms() < end;) {
		struct pollfd p = { .fd = h2_fd(h), .events = h2_events(h) };
		poll(&p, 1, 10);
		if (h2_drive(h, &e) < 0)
			return e.code;
		if (until ? *until : h2_ready(h))
			return 0;
	}
	return ERR_TIMEOUT;
}

static inline struct h2 *connect_to(const struct served *s)
{
	struct err e;
	struct h2 *h;

	assert_int_equal(h2_open(&h,
				 &(struct h2_opts){
					 .host = STR("127.0.0.1"), .port = str_of(s->port), .connect_ms = PATIENCE_MS },
				 &e),
		0);
	assert_int_equal(drive_until(h, NULL), 0);
	return h;
}

static inline void start(
	struct h2 *h, struct answer *a, const char *method, const char *path, const char *type, str body)
{
	struct err e;
	int32_t id;
	struct h2_request r = { .method = str_of(method),
		.path = str_of(path),
		.authority = STR("127.0.0.1"),
		.content_type = str_of(type),
		.body = body,
		.data = take,
		.done = done,
		.arg = a };

	*a = (struct answer){ 0 };
	assert_int_equal(h2_send(h, &id, &r, &e), 0);
}

static inline int status_of(const struct served *s, const char *method, const char *path, const char *type, str body)
{
	struct answer a;
	struct h2 *h = connect_to(s);

	start(h, &a, method, path, type, body);
	assert_int_equal(drive_until(h, &a.done), 0);
	assert_int_equal(a.code, 0);
	buf_release(&a.body);
	h2_close(h);
	return a.status;
}

static inline bool metric_is(const struct served *s, const char *line)
{
	struct answer a;
	struct h2 *h = connect_to(s);

	start(h, &a, "GET", "/metrics", NULL, STR_NONE);
	assert_int_equal(drive_until(h, &a.done), 0);
	bool hit = str_find_str(buf_str(&a.body), str_of(line), 0) != SIZE_MAX;
	buf_release(&a.body);
	h2_close(h);
	return hit;
}

struct got {
	unsigned frames, packages, slots;
	enum frame_kind last;
	int stop_at;
	bool cached;
	const struct served *open_gate; /* at the first frame */
};

static void open_gate(const struct served *s); /* the test's: lets walks go on that wait at the gate */

static inline int sink(void *ctx, const struct frame *f, struct err *e)
{
	struct got *g = ctx;

	if (!g->frames && g->open_gate)
		open_gate(g->open_gate);
	g->frames++;
	if (f->kind == FRAME_HELLO)
		g->cached = f->hello.cached;
	g->packages += f->kind == FRAME_PACKAGE;
	g->slots += f->kind == FRAME_SLOT;
	g->last = f->kind;
	return g->stop_at && (int)g->frames == g->stop_at ? err_set(e, ERR_CANCELLED, "enough") : 0;
}

static inline struct request request_of(struct request_importer *im, const char *name)
{
	*im = (struct request_importer){ .path = STR("."), .manifest = { .name = str_of(name) } };
	return (struct request){
		.importer = im, .nimporters = 1, .prod = true, .settings = { .auto_install_peers = true }
	};
}

static inline int source_of(struct source **src, const char *url, struct err *e)
{
	return source_remote_new(src, &(struct source_remote_opts){ .url = str_of(url), .connect_ms = PATIENCE_MS }, e);
}

static inline int ask(const char *url, const char *name, str lockfile, struct got *g, struct err *e)
{
	struct request_importer im;
	struct request r = request_of(&im, name);
	struct source *src;

	r.lockfile_text = lockfile;
	assert_int_equal(source_of(&src, url, e), 0);
	*g = (struct got){ .stop_at = g->stop_at, .open_gate = g->open_gate };
	int rc = src->run(src, &r, sink, g, e);
	assert_int_equal(source_remote_sent(src), g->frames != 0);
	src->free(src);
	return rc;
}

static inline bool wait_metric(const struct served *s, const char *line)
{
	for (int i = 0; i < 3000; i++) {
		if (metric_is(s, line))
			return true;
		pause_ms(10);
	}
	return false;
}
