#include "source_remote.h"
#include "base/clock.h"
#include "base/json.h"
#include "h2_session.h"
#include "plan_wire.h"
#include "server_url.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct remote {
	struct source base; /* first */
	struct arena a;
	struct h2_opts conn;
	str authority, path, authorization;
	uint32_t accept;
	int wake; /* eventfd: cancel() */
	bool sent, foreign;
};

/* One run: a connection and the one or two requests on it. */
struct run {
	struct remote *r;
	struct h2 *h;
	int32_t id;
	frame_sink *sink;
	void *ctx;
	uint8_t digest[32];
	struct plan_reader *reader;
	struct buf text; /* of an answer that is no plan */
	bool ended, need_lockfile, cached;
	struct err err; /* code 0: the plan is complete */
};
enum { TEXT_MAX = 64 * 1024 };

/* Compares before anything is handed on: what the server did not honour must not reach the disk. */
static int check_hello(struct run *u, const struct frame_hello *f, struct err *e)
{
	if (f->protocol < PLAN_PROTOCOL_MIN || f->protocol > PLAN_PROTOCOL)
		return err_set(e, ERR_PROTOCOL, STR_FMT " answers in plan protocol %u, this dray speaks %u to %u",
			STR_ARG(u->r->authority), f->protocol, PLAN_PROTOCOL_MIN, PLAN_PROTOCOL);
	if (memcmp(f->settings_digest, u->digest, 32) != 0)
		return err_set(e, ERR_PROTOCOL, STR_FMT " (" STR_FMT ") honours other settings than were asked for",
			STR_ARG(u->r->authority), STR_ARG(f->server));
	return 0;
}

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct run *u = ctx;
	struct frame hello;

	if (f->kind == FRAME_HELLO) {
		if (check_hello(u, &f->hello, e) < 0)
			return e->code;
		hello = *f; /* a cached plan is replayed as it was made; that it was cached stands in a header */
		hello.hello.cached |= u->cached;
		f = &hello;
	}
	u->r->sent = true;
	int rc = u->sink(u->ctx, f, e);
	if (rc == 0 && f->kind == FRAME_FAILURE) {
		err_set(e, f->failure.code, STR_FMT, STR_ARG(f->failure.text));
		return e->code;
	}
	return rc;
}

static int on_data(void *arg, const struct h2_response *res, const void *p, size_t n)
{
	struct run *u = arg;
	int rc = 0;

	u->cached = str_eq(str_of(res->plan), STR("cached"));
	if (res->status == 200 && str_eq(str_of(res->content_type), STR(PLAN_CONTENT_TYPE)))
		rc = plan_reader_push(u->reader, (str){ p, n }, on_frame, u, &u->err);
	else if (u->text.n + n <= TEXT_MAX)
		buf_add(&u->text, (str){ p, n });
	h2_consume(u->h, u->id, n);
	return rc;
}

/* The server's own words: {"error":"ERR_DRAY_…","message":"…"}. Where a drayd has plans it never answers 404. */
static int refused(struct run *u, const struct h2_response *res)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct err ignored;
	struct json *j = NULL;
	str name = STR_NONE, text = STR_NONE;
	int code = res->status == 401 || res->status == 403   ? ERR_AUTH
		   : res->status == 429 || res->status == 503 ? ERR_BUSY
		   : res->status >= 500                       ? ERR_NET
							      : ERR_PROTOCOL;

	/* What is no JSON is not ours: a proxy's page, named by its status. */
	if (json_parse(&j, buf_str(&u->text), &a, &ignored) == 0) {
		name = json_str(json_get(j, "error"));
		text = json_str(json_get(j, "message"));
	}
	bool known = false;
	for (int c = -1; c >= ERR_LAST && name.n && res->status != 404; c--) {
		if (str_eq(name, str_of(err_name(c)))) {
			code = c;
			known = true;
		}
	}
	u->r->foreign = !known && code == ERR_PROTOCOL;
	if (u->r->foreign)
		return err_set(&u->err, code,
			STR_FMT " answered %d to POST " STR_FMT
				": no drayd answers there. Check the server's address, or see `dray doctor`",
			STR_ARG(u->r->authority), res->status, STR_ARG(u->r->path));
	return err_set(&u->err, code, STR_FMT " answered %d: " STR_FMT, STR_ARG(u->r->authority), res->status,
		STR_ARG(text.n ? text : STR("no drayd's answer; see `dray doctor`")));
}

static void on_done(void *arg, int code, const struct h2_response *res, const struct err *e)
{
	struct run *u = arg;

	u->ended = true;
	if (u->err.code)
		return; /* the reason why it was reset */
	if (code < 0)
		u->err = *e;
	else if (res->status == 428 && str_eq(str_of(res->need), STR("lockfile")))
		u->need_lockfile = true;
	else if (res->status != 200 || !str_eq(str_of(res->content_type), STR(PLAN_CONTENT_TYPE)))
		refused(u, res);
	else if (plan_reader_end(u->reader, &u->err) < 0)
		err_ctx(&u->err, STR_FMT, STR_ARG(u->r->authority));
}

/* Until the request has ended, the connection is lost, or somebody cancels. */
static int drive(struct run *u, const bool *until, struct err *e)
{
	for (;;) {
		int64_t by = h2_deadline_ms(u->h), wait = by < 0 ? -1 : by - clock_ms();
		struct pollfd p[2] = { { .fd = h2_fd(u->h), .events = h2_events(u->h) },
			{ .fd = u->r->wake, .events = POLLIN } };

		if (by >= 0 && wait < 0)
			wait = 0;
		if (poll(p, 2, wait > INT_MAX ? INT_MAX : (int)wait) < 0 && errno != EINTR)
			return err_os(e, "poll");
		if (p[1].revents)
			return err_set(e, ERR_CANCELLED, "cancelled");
		int rc = h2_drive(u->h, e);
		if (until && *until) /* a server that is going away closes with its last bytes */
			return 0;
		if (rc < 0)
			return rc;
		if (!until && h2_ready(u->h))
			return 0;
	}
}

static int ask(struct run *u, const struct request *req, bool with_lockfile, struct err *e)
{
	AUTO(buf_release) struct buf body = BUF_INIT;

	if (request_encode(&body, req, u->r->accept, with_lockfile, e) < 0)
		return e->code;
	struct h2_request q = { .method = STR("POST"),
		.path = u->r->path,
		.authority = u->r->authority,
		.content_type = STR(PLAN_REQUEST_TYPE),
		.authorization = u->r->authorization,
		.body = buf_str(&body),
		.data = on_data,
		.done = on_done,
		.arg = u };
	u->ended = u->need_lockfile = false;
	buf_clear(&u->text);
	if (h2_send(u->h, &u->id, &q, e) < 0)
		return e->code;
	int rc = drive(u, &u->ended, e);
	if (u->err.code) /* says more than that the connection went */
		return *e = u->err, e->code;
	u->r->foreign = rc == ERR_PROTOCOL; /* it is not even HTTP/2 */
	return rc;
}

/* A connection of its own, and nothing of an earlier one's answer. */
static int run_connect(struct run *u, struct err *e)
{
	h2_close(u->h);
	u->h = NULL;
	plan_reader_free(u->reader);
	u->reader = plan_reader_new();
	u->err = (struct err){ 0 };
	int rc = h2_open(&u->h, &u->r->conn, e);
	if (rc == 0)
		rc = drive(u, NULL, e);
	u->r->foreign = rc == ERR_PROTOCOL;
	return rc;
}

/* A server that goes away begins nothing new: its address is asked once more, since somebody else may answer there by
 * now. Nothing was handed on yet, and to make a plan changes nothing. */
static int ask_who_stays(struct run *u, const struct request *req, bool with_lockfile, struct err *e)
{
	int rc = ask(u, req, with_lockfile, e);

	if ((rc != ERR_BUSY && rc != ERR_NET) || u->r->sent || !h2_going(u->h))
		return rc;
	if (run_connect(u, e) < 0)
		return err_ctx(e, STR_FMT " went away, and again", STR_ARG(u->r->authority));
	return ask(u, req, with_lockfile, e);
}

static int remote_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct remote *r = (struct remote *)s;
	struct run u = { .r = r, .sink = sink, .ctx = ctx };

	r->sent = r->foreign = false;
	settings_digest(u.digest, &req->settings);
	int rc = run_connect(&u, e);
	if (rc == 0)
		rc = ask_who_stays(&u, req, false, e);
	if (rc == 0 && u.need_lockfile)
		rc = ask_who_stays(&u, req, true, e);
	if (rc == 0 && u.need_lockfile)
		rc = err_set(e, ERR_PROTOCOL, STR_FMT " asks for the lockfile again after it was sent",
			STR_ARG(r->authority));
	plan_reader_free(u.reader);
	buf_release(&u.text);
	h2_close(u.h);
	return rc;
}

static void remote_cancel(struct source *s)
{
	struct remote *r = (struct remote *)s;
	uint64_t one = 1;

	if (write(r->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* an eventfd of ours takes a write of 1 */
}

static void remote_free(struct source *s)
{
	struct remote *r = (struct remote *)s;

	close(r->wake);
	arena_release(&r->a);
	free(r);
}

static int parse_url(struct remote *r, str url, struct err *e)
{
	struct server_url u;

	if (server_url_parse(&u, url, &r->a, e) < 0)
		return e->code;
	r->conn.tls = u.tls;
	r->conn.host = u.host;
	r->conn.port = u.port;
	r->authority = u.authority;
	r->path = arena_printf(&r->a, STR_FMT "/v1/plan", STR_ARG(u.prefix));
	return 0;
}

/* Others would make a header that ends the stream. */
static int check_token(str token, struct err *e)
{
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] <= ' ' || token.p[i] >= 0x7f)
			return err_set(e, ERR_USAGE,
				"the server's token (DRAY_TOKEN, or _authToken in .npmrc) has a character in it that "
				"no token has: a space, a line's end, or one beyond ASCII");
	}
	return 0;
}

int source_remote_new(struct source **out, const struct source_remote_opts *o, struct err *e)
{
	struct remote *r = xcalloc(1, sizeof(*r));

	r->base = (struct source){ .run = remote_run, .cancel = remote_cancel, .free = remote_free, .name = "server" };
	r->accept = o->accept | PLAN_ACCEPT_COLUMNS;
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake < 0) {
		err_os(e, "eventfd");
		free(r);
		return e->code;
	}
	r->conn.connect_ms = o->connect_ms ? o->connect_ms : 1000;
	if (o->ca_file)
		r->conn.ca_file = arena_str(&r->a, str_of(o->ca_file)).p;
	if (o->token.n)
		r->authorization = arena_printf(&r->a, "Bearer " STR_FMT, STR_ARG(o->token));
	if (check_token(o->token, e) < 0 || parse_url(r, o->url, e) < 0) {
		remote_free(&r->base);
		return e->code;
	}
	*out = &r->base;
	return 0;
}

bool source_remote_sent(const struct source *s)
{
	return ((const struct remote *)s)->sent;
}

bool source_remote_foreign(const struct source *s)
{
	return ((const struct remote *)s)->foreign;
}
