/* A server of plans that goes away between a client's requests: with a GOAWAY in time, too late, or always. */
#include "made_server.h"
#include "plan_wire.h"
#include "source_remote.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char lockfile[] = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n"
			       "  excludeLinksFromLockfile: false\n\nimporters:\n\n  .: {}\n";

struct seen {
	unsigned frames;
	enum frame_kind last;
};

static int sink(void *ctx, const struct frame *f, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	s->frames++;
	s->last = f->kind;
	return 0;
}

static void plan_make(struct buf *out, const struct request *r)
{
	struct frame hello = { .kind = FRAME_HELLO, .hello = { .protocol = PLAN_PROTOCOL, .server = STR("made") } };
	struct frame done = { .kind = FRAME_DONE };
	struct plan_writer *w = plan_writer_new(1);
	struct err e;

	settings_digest(hello.hello.settings_digest, &r->settings);
	assert_int_equal(plan_writer_add(w, &hello, &e), 0);
	assert_int_equal(plan_writer_add(w, &done, &e), 0);
	assert_int_equal(plan_writer_take(w, out, true, &e), 0);
	plan_writer_free(w);
}

/* Asks a server that goes away as LEAVE says; CONNECTIONS and ASKED: how often it was come to. */
static void ask(enum made_leave leave, int expected, unsigned connections, unsigned asked)
{
	AUTO(buf_release) struct buf body = BUF_INIT;
	struct request_importer im = { .path = STR("."), .manifest = { .name = STR("p") } };
	struct request r = { .importer = &im,
		.nimporters = 1,
		.prod = true,
		.settings = { .auto_install_peers = true },
		.lockfile_text = { lockfile, sizeof(lockfile) - 1 } };
	struct made_plans plans = { .leave = leave };
	struct made_opts o = { .plans = &plans };
	struct seen seen = { 0 };
	struct source *src;
	struct err e = { 0 };
	char url[64];

	plan_make(&body, &r);
	plans.body = buf_str(&body);
	struct made_server *s = made_new(&o);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", made_port(s));
	assert_int_equal(
		source_remote_new(&src, &(struct source_remote_opts){ .url = str_of(url), .connect_ms = 60000 }, &e),
		0);
	if (src->run(src, &r, sink, &seen, &e) != expected)
		fail_msg("%d: %s", e.code, e.msg);
	assert_int_equal(seen.frames, expected == 0 ? 2 : 0);
	assert_true(expected < 0 || seen.last == FRAME_DONE);
	assert_int_equal(made_connections(s), connections);
	assert_int_equal(made_asked(s), asked);
	src->free(src);
	made_free(s);
}

static void one_that_stays(void **state)
{
	(void)state;
	ask(MADE_STAYS, 0, 1, 2);
}

static void one_that_leaves_between_two_requests(void **state)
{
	(void)state;
	ask(MADE_GOAWAY, 0, 2, 2);
	ask(MADE_CLOSES, 0, 2, 2);
}

static void one_whose_goaway_comes_late(void **state)
{
	(void)state;
	ask(MADE_REFUSES, 0, 2, 3);
	ask(MADE_HURRIES, 0, 2, 3);
}

static void one_that_always_leaves(void **state)
{
	(void)state;
	ask(MADE_LEAVES, ERR_BUSY, 2, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_stays),
		cmocka_unit_test(one_that_leaves_between_two_requests),
		cmocka_unit_test(one_whose_goaway_comes_late),
		cmocka_unit_test(one_that_always_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
