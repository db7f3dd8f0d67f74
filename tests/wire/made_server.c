#include "made_server.h"
#include "packs_wire.h"
#include "plan_wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS = 64, ROWS = 1024, PIECE = 1000 };

struct made_stream {
	struct made_conn *c;
	int32_t id;
	struct buf in, out;
	size_t at;
	bool held;
	struct made_stream *next;
};
struct made_conn {
	struct made_server *s;
	int fd;
	unsigned number;
	nghttp2_session *h;
	struct made_stream *streams;
	struct buf out;
	uint64_t sent;
	bool ends, ended, cut, shut;
	int32_t flooded; /* stream; 0: none */
};
struct made_server {
	struct made_opts o;
	int fd;
	unsigned port;
	pthread_t thread;
	atomic_bool stop, released;
	atomic_uint nconns, nended, nrows, nasked;
	struct made_conn *conn[CONNS];
	struct made_row row[ROWS];
};

static void fail(const char *what)
{
	perror(what);
	abort();
}

static void end_now(struct made_conn *c, int32_t last)
{
	c->ended = true;
	atomic_fetch_add(&c->s->nended, 1);
	nghttp2_submit_goaway(c->h, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

/* -- answers ---------------------------------------------------------------------- */

static void answer_make(struct made_stream *st)
{
	struct made_server *s = st->c->s;
	const uint8_t *row;
	size_t n;
	struct err e;

	if (packs_body(&row, &n, buf_str(&st->in), STR(PACKS_MAGIC), PACKS_ROW, PACKS_MOST, &e) < 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		uint8_t digest[32];
		uint64_t from = packs_row_get(digest, row + i * PACKS_ROW);
		unsigned k = 0, at = atomic_load(&s->nrows);
		while (k < s->o.nfix && memcmp(digest, s->o.fix[k].digest, 32) != 0)
			k++;
		if (k == s->o.nfix || from > s->o.fix[k].pack.n || at == ROWS)
			abort();
		packs_row_put(&st->out, digest, s->o.fix[k].pack.n - from);
		buf_add(&st->out, str_from(buf_str(&s->o.fix[k].pack), from));
		st->held |= s->o.holds && k == s->o.holds;
		s->row[at] = (struct made_row){ .fix = k, .conn = st->c->number, .from = from };
		atomic_store(&s->nrows, at + 1);
	}
}

static ssize_t on_read(
	nghttp2_session *h, int32_t id, uint8_t *to, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	struct made_stream *st = src->ptr;
	struct made_conn *c = st->c;
	size_t n = st->out.n - st->at;

	(void)h;
	(void)id;
	(void)arg;
	if (c->ended && c->s->o.end != MADE_LAST)
		return NGHTTP2_ERR_DEFERRED;
	if (st->held && st->at > 0 && !atomic_load(&c->s->released)) {
		c->flooded = c->s->o.floods ? id : 0;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (c->ends && !c->ended && c->sent >= c->s->o.every) {
		if (c->s->o.end == MADE_LAST) {
			end_now(c, INT32_MAX);
		} else {
			end_now(c, 0); /* of none under way there is more */
			c->cut = c->s->o.end == MADE_CUT;
			return NGHTTP2_ERR_DEFERRED;
		}
	}
	n = n < cap ? n : cap;
	n = n < PIECE ? n : PIECE;
	memcpy(to, st->out.p + st->at, n);
	st->at += n;
	c->sent += n;
	if (st->at == st->out.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void refuse(struct made_stream *st)
{
	int32_t last = st->id > 2 ? st->id - 2 : 0;

	if (nghttp2_submit_goaway(st->c->h, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) != 0)
		abort();
	atomic_fetch_add(&st->c->s->nended, 1);
}

/* The N-th request. */
static int answer_plan(struct made_stream *st, unsigned n)
{
#define NV(NAME, VALUE)                                                                                                \
	{                                                                                                              \
		(uint8_t *)(uintptr_t)NAME, (uint8_t *)(uintptr_t)VALUE, sizeof(NAME) - 1, sizeof(VALUE) - 1, 0        \
	}
	static const nghttp2_nv need[] = { NV(":status", "428"), NV("dray-need", "lockfile") };
	static const nghttp2_nv good[] = { NV(":status", "200"), NV("content-type", PLAN_CONTENT_TYPE) };
#undef NV
	const struct made_plans *p = st->c->s->o.plans;
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = on_read };
	bool hurries = p->leave == MADE_HURRIES;

	if ((hurries && n == 0) || (p->leave == MADE_REFUSES && n == 1) || (p->leave == MADE_LEAVES && n > 0)) {
		refuse(st);
		return 0;
	}
	if (n > hurries) {
		buf_add(&st->out, p->body);
		return nghttp2_submit_response(st->c->h, st->id, good, 2, &body);
	}
	int rc = nghttp2_submit_response(st->c->h, st->id, need, 2, NULL);
	if (p->leave == MADE_GOAWAY || p->leave == MADE_CLOSES)
		end_now(st->c, st->id);
	st->c->cut = p->leave == MADE_CLOSES;
	return rc;
}

static int on_begin(nghttp2_session *h, const nghttp2_frame *f, void *arg)
{
	struct made_conn *c = arg;
	struct made_stream *st = xcalloc(1, sizeof(*st));

	st->c = c;
	st->id = f->hd.stream_id;
	st->next = c->streams;
	c->streams = st;
	return nghttp2_session_set_stream_user_data(h, st->id, st);
}

static int on_chunk(nghttp2_session *h, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct made_stream *st = nghttp2_session_get_stream_user_data(h, id);

	(void)flags;
	(void)arg;
	buf_add(&st->in, (str){ (const char *)p, n });
	return 0;
}

static int on_frame(nghttp2_session *h, const nghttp2_frame *f, void *arg)
{
	static const nghttp2_nv head[] = {
		{ (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3, 0 },
		{ (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "503", 7, 3, 0 },
	};

	(void)arg;
	if (f->hd.type != NGHTTP2_DATA || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct made_stream *st = nghttp2_session_get_stream_user_data(h, f->hd.stream_id);
	if (st->c->s->o.fails) {
		atomic_fetch_add(&st->c->s->nasked, 1);
		return nghttp2_submit_response(h, st->id, &head[1], 1, NULL);
	}
	if (st->c->s->o.plans)
		return answer_plan(st, atomic_fetch_add(&st->c->s->nasked, 1));
	answer_make(st);
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = on_read };
	return nghttp2_submit_response(h, st->id, head, 1, &body);
}

static int on_close(nghttp2_session *h, int32_t id, uint32_t code, void *arg)
{
	struct made_conn *c = arg;
	struct made_stream **at = &c->streams, *st = nghttp2_session_get_stream_user_data(h, id);

	(void)code;
	while (st && *at != st)
		at = &(*at)->next;
	if (!st)
		return 0;
	*at = st->next;
	buf_release(&st->in);
	buf_release(&st->out);
	free(st);
	return 0;
}

/* -- connections ------------------------------------------------------------------------ */

static void conn_free(struct made_conn *c)
{
	c->s->conn[c->number] = NULL;
	close(c->fd);
	nghttp2_session_del(c->h);
	for (struct made_stream *st; (st = c->streams);) {
		c->streams = st->next;
		buf_release(&st->in);
		buf_release(&st->out);
		free(st);
	}
	buf_release(&c->out);
	free(c);
}

static void conn_new(struct made_server *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	nghttp2_session_callbacks *cb;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct made_conn *c = xcalloc(1, sizeof(*c));
	c->s = s;
	c->fd = fd;
	c->number = atomic_load(&s->nconns);
	if (c->number == CONNS)
		abort();
	c->ends = s->o.end != MADE_NEVER && c->number < s->o.most;
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (nghttp2_session_server_new(&c->h, cb, c) != 0)
		abort();
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(c->h, NGHTTP2_FLAG_NONE, NULL, 0);
	if (c->ends && s->o.every == 0)
		end_now(c, s->o.end == MADE_LAST ? INT32_MAX : 0);
	s->conn[c->number] = c;
	atomic_store(&s->nconns, c->number + 1);
}

/* False: the connection is over. */
static bool conn_read(struct made_conn *c)
{
	uint8_t b[8192];
	ssize_t n = recv(c->fd, b, sizeof(b), 0);

	if (n < 0)
		return errno == EAGAIN;
	return n > 0 && nghttp2_session_mem_recv(c->h, b, (size_t)n) == n;
}

/* Who says GOAWAY before the first answer leaves after it. */
static bool is_gone(const struct made_conn *c)
{
	return c->ended && !c->s->o.plans && c->s->o.every == 0 && !nghttp2_session_want_read(c->h) &&
	       !nghttp2_session_want_write(c->h);
}

static void conn_resume(struct made_conn *c)
{
	for (struct made_stream *st = c->streams; st; st = st->next) {
		if (st->held && nghttp2_session_resume_data(c->h, st->id) == 0)
			st->held = false;
	}
}

/* As fast as the client takes them. False: it is gone. */
static bool conn_flood(struct made_conn *c)
{
	enum { FRAME = 9, FRAMES = 4096 };
	uint8_t b[FRAME * FRAMES] = { 0 };
	size_t at = 0;

	for (size_t i = 0; i < sizeof(b); i += FRAME) {
		b[i + 7] = (uint8_t)(c->flooded >> 8);
		b[i + 8] = (uint8_t)c->flooded;
	}
	for (ssize_t n; (n = send(c->fd, b + at, sizeof(b) - at, MSG_NOSIGNAL)) > 0;)
		at = (at + (size_t)n) % sizeof(b);
	if (errno != EAGAIN)
		return false;
	if (at) /* the rest of a frame comes first */
		buf_add(&c->out, (str){ (const char *)b + at, sizeof(b) - at });
	return true;
}

/* A frame after the other, so that a connection is cut behind what was sent before. */
static bool conn_write(struct made_conn *c)
{
	for (;;) {
		const uint8_t *p;
		ssize_t n = c->out.n ? 0 : nghttp2_session_mem_send(c->h, &p);
		if (n < 0)
			return false;
		if (n > 0)
			buf_add(&c->out, (str){ (const char *)p, (size_t)n });
		if (c->out.n == 0)
			break;
		n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		memmove(c->out.p, c->out.p + n, c->out.n - (size_t)n);
		c->out.n -= (size_t)n;
	}
	if (c->cut && !c->shut)
		shutdown(c->fd, SHUT_WR); /* a close could take back what was sent */
	c->shut = c->cut;
	return c->flooded ? conn_flood(c) : !is_gone(c);
}

static void *run(void *arg)
{
	struct made_server *s = arg;

	while (!atomic_load(&s->stop)) {
		struct pollfd p[CONNS + 1] = { { .fd = s->fd, .events = POLLIN } };
		unsigned n = atomic_load(&s->nconns);
		for (unsigned i = 0; i < n; i++) {
			p[i + 1].fd = s->conn[i] ? s->conn[i]->fd : -1;
			p[i + 1].events = s->conn[i] && s->conn[i]->out.n ? POLLIN | POLLOUT : POLLIN;
		}
		poll(p, n + 1, 20);
		for (unsigned i = 0; i < n; i++) {
			struct made_conn *c = s->conn[i];
			if (c && atomic_load(&s->released))
				conn_resume(c);
			if (c && ((p[i + 1].revents && !conn_read(c)) || !conn_write(c)))
				conn_free(c);
		}
		if (p[0].revents)
			conn_new(s);
	}
	return NULL;
}

struct made_server *made_new(const struct made_opts *o)
{
	struct made_server *s = xcalloc(1, sizeof(*s));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);

	s->o = *o;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, n) != 0 || listen(s->fd, CONNS) != 0 ||
		getsockname(s->fd, (struct sockaddr *)&a, &n) != 0)
		fail("made server");
	s->port = ntohs(a.sin_port);
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		fail("made server's thread");
	return s;
}

unsigned made_port(const struct made_server *s)
{
	return s->port;
}

unsigned made_rows(struct made_server *s, const struct made_row **row)
{
	*row = s->row;
	return atomic_load(&s->nrows);
}

unsigned made_connections(struct made_server *s)
{
	return atomic_load(&s->nconns);
}

unsigned made_asked(struct made_server *s)
{
	return atomic_load(&s->nasked);
}

unsigned made_ended(struct made_server *s)
{
	return atomic_load(&s->nended);
}

void made_release(struct made_server *s)
{
	atomic_store(&s->released, true);
}

void made_free(struct made_server *s)
{
	if (!s)
		return;
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < CONNS; i++) {
		if (s->conn[i])
			conn_free(s->conn[i]);
	}
	close(s->fd);
	free(s);
}
