/* test_server — an HTTP/1.1 server on loopback, for tests, that misbehaves on command.
 *
 * One thread with poll(). The test's handler says for each request what bytes
 * go back and how. Counts what it saw; read the counts after server_stop() or
 * where nothing is under way. */
#pragma once
#include "base/base.h"
#include "workq.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct seen {
	str method, path, head; /* head: the whole header block */
	unsigned nth;           /* of this path, from 0 */
};
struct reply {
	struct buf bytes; /* the whole response, status line first */
	bool close;       /* after the bytes */
	bool stall;       /* afterwards nothing more, connection open */
	size_t drip;      /* bytes every 2 ms; 0: at once */
	bool hold;        /* until hold_until requests are here together */
};
typedef void handler_fn(void *arg, struct reply *r, const struct seen *q);

struct conn {
	int fd;
	struct buf in;
	struct reply r;
	size_t sent;
	bool busy, waiting, over;
};
struct path_count {
	char path[120];
	unsigned n;
};
struct server {
	int fd, wake[2];
	uint16_t port;
	handler_fn *handle;
	void *arg;
	pthread_t thread;
	VEC(struct conn *) conns;
	VEC(struct path_count) paths;
	atomic_uint hold_until;
	atomic_uint requests, connections, busy, most_busy;
};

static inline str header_of(const struct seen *q, const char *name)
{
	str line, rest = q->head, n, v;

	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ':', &n, &v) && n.n == strlen(name) && strncasecmp(n.p, name, n.n) == 0)
			return str_trim(v);
	}
	return STR_NONE;
}

static inline void reply_text(struct reply *r, int status, const char *headers, str body)
{
	buf_printf(&r->bytes, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status, body.n, headers);
	buf_add(&r->bytes, body);
}

static inline unsigned server_count(struct server *s, str path, bool add)
{
	for (size_t i = 0; i < s->paths.n; i++) {
		if (str_eq(str_of(s->paths.p[i].path), path))
			return add ? s->paths.p[i].n++ : s->paths.p[i].n;
	}
	if (add) {
		struct path_count *p = vec_add(&s->paths);
		snprintf(p->path, sizeof(p->path), STR_FMT, STR_ARG(path));
		p->n = 1;
	}
	return 0;
}

static inline void conn_parse(struct server *s, struct conn *c)
{
	if (c->busy || c->over)
		return;
	size_t end = str_find_str(buf_str(&c->in), STR("\r\n\r\n"), 0);
	if (end == SIZE_MAX)
		return;
	struct seen q = { .head = str_head(buf_str(&c->in), end + 2) };
	str rest;
	uint64_t body = 0;
	str_cut(q.head, ' ', &q.method, &rest);
	str_cut(rest, ' ', &q.path, &rest);
	str_u64(header_of(&q, "content-length"), &body);
	if (c->in.n < end + 4 + body)
		return;
	q.nth = server_count(s, q.path, true);
	atomic_fetch_add(&s->requests, 1);
	unsigned busy = atomic_fetch_add(&s->busy, 1) + 1;
	if (busy > atomic_load(&s->most_busy))
		atomic_store(&s->most_busy, busy);
	c->busy = true;
	c->sent = 0;
	memset(&c->r, 0, sizeof(c->r));
	s->handle(s->arg, &c->r, &q);
	c->waiting = c->r.hold;
	memmove(c->in.p, c->in.p + end + 4 + body, c->in.n - (end + 4 + body));
	c->in.n -= end + 4 + body;
}

static inline void conn_send(struct server *s, struct conn *c)
{
	if (!c->busy || c->waiting || c->over)
		return;
	size_t left = c->r.bytes.n - c->sent, n = c->r.drip && c->r.drip < left ? c->r.drip : left;
	ssize_t k = n ? send(c->fd, c->r.bytes.p + c->sent, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
	if (k > 0)
		c->sent += (size_t)k;
	if (c->sent < c->r.bytes.n || c->r.stall)
		return;
	c->busy = false;
	atomic_fetch_sub(&s->busy, 1);
	c->over = c->r.close;
	buf_release(&c->r.bytes);
	conn_parse(s, c);
}

static inline void conn_read(struct server *s, struct conn *c)
{
	ssize_t k = recv(c->fd, buf_reserve(&c->in, 16384), 16384, MSG_DONTWAIT);

	if (k > 0)
		c->in.n += (size_t)k;
	else if (k == 0)
		c->over = true;
	if (c->in.n && c->in.p[0] == 0x16) /* a TLS handshake */
		c->over = true;
	conn_parse(s, c);
}

static inline void conn_close(struct server *s, size_t i)
{
	struct conn *c = s->conns.p[i];

	if (c->busy)
		atomic_fetch_sub(&s->busy, 1);
	close(c->fd);
	buf_release(&c->in);
	buf_release(&c->r.bytes);
	free(c);
	s->conns.p[i] = s->conns.p[--s->conns.n];
}

static inline void release_held(struct server *s)
{
	unsigned held = 0;

	for (size_t i = 0; i < s->conns.n; i++)
		held += s->conns.p[i]->waiting;
	if (held == 0 || held < s->hold_until)
		return;
	usleep(20000); /* time for one too many to show itself */
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	if (poll(&p, 1, 0) > 0)
		return;
	for (size_t i = 0; i < s->conns.n; i++)
		s->conns.p[i]->waiting = false;
}

static inline void *server_thread(void *arg)
{
	struct server *s = arg;
	VEC(struct pollfd) fds = VEC_INIT;

	for (;;) {
		fds.n = 0;
		*vec_add(&fds) = (struct pollfd){ .fd = s->wake[0], .events = POLLIN };
		*vec_add(&fds) = (struct pollfd){ .fd = s->fd, .events = POLLIN };
		for (size_t i = 0; i < s->conns.n; i++)
			*vec_add(&fds) = (struct pollfd){ .fd = s->conns.p[i]->fd, .events = POLLIN };
		size_t n = s->conns.n;
		poll(fds.p, fds.n, 2);
		if (fds.p[0].revents)
			break;
		for (size_t i = 0; i < n; i++) {
			if (fds.p[i + 2].revents)
				conn_read(s, s->conns.p[i]);
			conn_send(s, s->conns.p[i]);
		}
		release_held(s);
		for (size_t i = s->conns.n; i-- > 0;) {
			if (s->conns.p[i]->over)
				conn_close(s, i);
		}
		int fd = fds.p[1].revents ? accept4(s->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0) {
			struct conn *c = xcalloc(1, sizeof(*c));
			c->fd = fd;
			*vec_add(&s->conns) = c;
			atomic_fetch_add(&s->connections, 1);
		}
	}
	vec_release(&fds);
	return NULL;
}

static inline void server_start(struct server *s, handler_fn *handle, void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	struct err e;

	memset(s, 0, sizeof(*s));
	s->handle = handle;
	s->arg = arg;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, n) < 0 || listen(s->fd, 512) < 0 ||
		getsockname(s->fd, (struct sockaddr *)&a, &n) < 0 || pipe2(s->wake, O_CLOEXEC) < 0)
		abort();
	s->port = ntohs(a.sin_port);
	if (workq_thread(&s->thread, "test-server", server_thread, s, &e) < 0)
		abort();
}

/* Counts stay readable. */
static inline void server_stop(struct server *s)
{
	if (write(s->wake[1], "x", 1) != 1)
		abort();
	pthread_join(s->thread, NULL);
	while (s->conns.n)
		conn_close(s, s->conns.n - 1);
	vec_release(&s->conns);
	vec_release(&s->paths);
	close(s->fd);
	close(s->wake[0]);
	close(s->wake[1]);
}

/* "http://127.0.0.1:port" + PATH, in a static ring of texts. */
static inline str server_url(const struct server *s, const char *path)
{
	static char text[16][300];
	static unsigned at;
	char *t = text[at++ % 16];

	return (str){ t, (size_t)snprintf(t, 300, "http://127.0.0.1:%u%s", s->port, path) };
}
