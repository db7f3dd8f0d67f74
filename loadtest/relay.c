#include "relay.h"
#include "draw.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What TCP does, in the figures of Linux: segment, initial window, and a ceiling as tcp_wmem gives it. */
enum { SEGMENT = 1460, FIRST_WINDOW = 10 * SEGMENT, MOST_WINDOW = 6 << 20, CHUNK = 16 * SEGMENT };
/* After how many bytes at most a connection that is to be reset is, once it has had the chunk that they end in. */
enum { RESET_WITHIN = 200000 };
/* What may queue before the wire, as time on it: a router's buffer, and short of a full one the time to look again. */
enum { QUEUE_NS = 20000000, QUEUE_AGAIN_NS = 19000000 };
/* A sender idle for longer than this starts slowly again (RFC 5681 4.1), as Linux does by default. */
#define IDLE_US(rtt) ((rtt) + 200000)
/* epoll's data: a route's number, one of these, or an end of a connection (watch()). */
#define DATA_STOP UINT64_MAX
#define DATA_TIMER (UINT64_MAX - 1)

struct chunk {
	struct chunk *next;
	uint64_t at_us; /* when it arrives */
	uint32_t n, done;
	char b[];
};
struct ack {
	uint64_t at_us;
	uint32_t n; /* bytes */
};
/* One direction of one connection. */
struct flow {
	struct conn *conn;
	int from, to;
	struct chunk *head, **tail;
	uint64_t in_flight, window; /* bytes */
	uint64_t delivered;         /* bytes */
	uint64_t sent_us;           /* when it last sent; 0: never */
	uint64_t arrives_us;        /* when that is there */
	struct ack *ack;            /* ring */
	size_t ack_head, nack, cap_ack;
	bool readable, eof, shut, blocked;
	struct flow *wait_next; /* in the link's round robin */
	bool waiting;
};
struct conn {
	struct conn *next, *prev;
	struct flow up, down;
	size_t route;
	int client, server;
	uint64_t open_us;     /* set-up is over */
	uint64_t reset_after; /* bytes that came down; 0: never */
	bool dead;
};
struct link_dir {
	uint64_t free_ns; /* when the wire is free again */
	struct flow *wait, **wait_tail;
};
struct relay {
	struct relay_opts o;
	int ep, timer;
	int *listen;
	struct relay_counts *counts, *own_counts;
	struct conn conns; /* list head */
	struct link_dir dir[2];
	uint64_t rng, now_ns;
	size_t chunk; /* bytes that travel, and are acknowledged, together */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Whether one of the faults that befall SHARE of all happens now. */
static bool strikes(struct relay *r, double share)
{
	return share > 0 && draw_share(&r->rng) < share;
}

static uint32_t flow_rtt(const struct relay *r, const struct flow *f)
{
	return r->o.route[f->conn->route].rtt_us;
}

static bool is_down(const struct flow *f)
{
	return f == &f->conn->down;
}

static void flow_init(struct flow *f, struct conn *c, int from, int to)
{
	*f = (struct flow){ .conn = c, .from = from, .to = to, .window = FIRST_WINDOW };
	f->tail = &f->head;
}

static void flow_release(struct flow *f)
{
	for (struct chunk *c = f->head, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(f->ack);
	f->head = NULL;
	f->ack = NULL;
}

static void ack_push(struct flow *f, uint64_t at_us, uint32_t n)
{
	if (f->nack == f->cap_ack) {
		size_t cap = f->cap_ack ? f->cap_ack * 2 : 16;
		struct ack *more = xcalloc(cap, sizeof(*more));
		for (size_t i = 0; i < f->nack; i++)
			more[i] = f->ack[(f->ack_head + i) % f->cap_ack];
		free(f->ack);
		f->ack = more;
		f->ack_head = 0;
		f->cap_ack = cap;
	}
	f->ack[(f->ack_head + f->nack++) % f->cap_ack] = (struct ack){ at_us, n };
}

/* Takes acknowledgements that have come back: frees window, and grows it by as much (slow start; the link drops
 * nothing, so it never leaves it). */
static void flow_acks(struct flow *f, uint64_t now_us)
{
	while (f->nack && f->ack[f->ack_head].at_us <= now_us) {
		uint32_t n = f->ack[f->ack_head].n;
		f->ack_head = (f->ack_head + 1) % f->cap_ack;
		f->nack--;
		f->in_flight -= n;
		if (f->window < MOST_WINDOW)
			f->window += n;
	}
}

static void conn_kill(struct conn *c, bool reset)
{
	if (c->dead)
		return;
	c->dead = true;
	if (reset) {
		struct linger now = { .l_onoff = 1 };
		setsockopt(c->client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(c->client);
	close(c->server);
}

static bool link_full(const struct relay *r, const struct link_dir *d)
{
	return r->o.rate_bps && d->free_ns > r->now_ns + QUEUE_NS;
}

static uint64_t link_send(struct relay *r, struct link_dir *d, uint32_t n)
{
	if (r->o.rate_bps == 0)
		return r->now_ns;
	uint64_t start = d->free_ns > r->now_ns ? d->free_ns : r->now_ns;
	d->free_ns = start + (uint64_t)((double)n * 8e9 / (double)r->o.rate_bps);
	return d->free_ns;
}

/* The next chunk of F's socket, of at most WANT bytes; empty at the end. NULL: there is nothing now, or
 * the connection is broken. */
static struct chunk *flow_read(struct flow *f, size_t want)
{
	struct chunk *c = xmalloc(sizeof(*c) + want);
	ssize_t n = recv(f->from, c->b, want, 0);

	if (n >= 0) {
		*c = (struct chunk){ .n = (uint32_t)n };
		return c;
	}
	bool none = errno == EAGAIN, again = errno == EINTR;
	free(c);
	f->readable = again;
	if (!none && !again)
		conn_kill(f->conn, true);
	return NULL;
}

/* When what leaves F at OUT_US is there: in order, whatever befell what was sent before. */
static uint64_t flow_arrival(struct relay *r, const struct flow *f, uint64_t out_us)
{
	uint64_t open_us = f->conn->open_us, at = (out_us > open_us ? out_us : open_us) + flow_rtt(r, f) / 2;

	if (f->in_flight == 0 && strikes(r, r->o.faults.slow_share))
		at += r->o.faults.slow_us;
	if (strikes(r, r->o.faults.stall_share))
		at += r->o.faults.stall_us;
	return at > f->arrives_us ? at : f->arrives_us;
}

/* Moves at most one chunk of F from its socket onto the link. False when it can't send now. */
static bool flow_send_one(struct relay *r, struct flow *f)
{
	struct link_dir *d = &r->dir[is_down(f)];
	uint64_t now_us = r->now_ns / 1000;

	if (f->conn->dead || !f->readable || f->eof)
		return false;
	if (f->in_flight == 0 && f->sent_us && now_us > f->sent_us + IDLE_US(flow_rtt(r, f)))
		f->window = FIRST_WINDOW;
	if (f->in_flight >= f->window || link_full(r, d))
		return false;
	uint64_t room = f->window - f->in_flight;
	struct chunk *c = flow_read(f, room < r->chunk ? (size_t)room : r->chunk);
	if (!c)
		return f->readable && !f->conn->dead;
	f->eof = c->n == 0; /* an empty chunk carries the end, in order */
	c->at_us = f->arrives_us = flow_arrival(r, f, link_send(r, d, c->n) / 1000);
	*f->tail = c;
	f->tail = &c->next;
	f->in_flight += c->n;
	f->sent_us = now_us;
	struct relay_counts *k = &r->counts[f->conn->route];
	*(is_down(f) ? &k->down_bytes : &k->up_bytes) += c->n;
	return !f->eof;
}

static void link_wait(struct link_dir *d, struct flow *f)
{
	if (f->waiting)
		return;
	f->waiting = true;
	f->wait_next = NULL;
	*d->wait_tail = f;
	d->wait_tail = &f->wait_next;
}

static void flow_send(struct relay *r, struct flow *f)
{
	if (f->readable && !f->eof && !f->conn->dead)
		link_wait(&r->dir[is_down(f)], f);
}

/* One chunk for each flow that waits, round and round, until the link is full or nobody can. */
static void link_pump(struct relay *r, struct link_dir *d)
{
	while (d->wait && !link_full(r, d)) {
		struct flow *f = d->wait;
		d->wait = f->wait_next;
		if (!d->wait)
			d->wait_tail = &d->wait;
		f->waiting = false;
		if (flow_send_one(r, f))
			link_wait(d, f);
	}
}

/* Writes the whole of C, which has arrived. False: not yet, as the receiver is full, or never, as it is gone. */
static bool chunk_write(struct flow *f, struct chunk *c)
{
	if (c->n == 0) {
		shutdown(f->to, SHUT_WR);
		f->shut = true;
	}
	while (c->done < c->n) {
		ssize_t n = send(f->to, c->b + c->done, c->n - c->done, MSG_NOSIGNAL);
		if (n < 0) {
			f->blocked = errno == EAGAIN;
			if (errno != EAGAIN && errno != EINTR)
				conn_kill(f->conn, true);
			return false;
		}
		c->done += (uint32_t)n;
		f->delivered += (uint64_t)n;
	}
	return true;
}

/* The end of a connection: of both its directions, or where it is to be reset. */
static void conn_end(struct conn *c, const struct flow *f)
{
	if (c->reset_after && is_down(f) && f->delivered >= c->reset_after)
		conn_kill(c, true);
	else if (c->up.shut && c->down.shut)
		conn_kill(c, false);
}

/* Writes what has arrived; the acknowledgement travels back for half a round trip after the receiver took it. */
static void flow_deliver(struct relay *r, struct flow *f)
{
	uint64_t now_us = r->now_ns / 1000;

	while (!f->conn->dead && !f->blocked && f->head && f->head->at_us <= now_us) {
		struct chunk *c = f->head;
		if (!chunk_write(f, c))
			return;
		if (c->n)
			ack_push(f, now_us + flow_rtt(r, f) / 2, c->n);
		f->head = c->next;
		if (!f->head)
			f->tail = &f->head;
		free(c);
		conn_end(f->conn, f); /* chunk by chunk: what waited for a slow receiver goes on at once */
	}
}

static int tcp_socket(struct err *e)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return err_os(e, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
}

/* epoll's data says which end of which connection: the pointer's low bit is free. */
static void watch(struct relay *r, int fd, struct conn *c, bool client)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)(uintptr_t)c | client };

	epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &ev);
}

static void accept_one(struct relay *r, size_t route, int fd)
{
	struct err e;
	int one = 1, server = tcp_socket(&e);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct sockaddr_in to = loopback(r->o.route[route].target);
	if (server < 0 || (connect(server, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
		if (server >= 0)
			close(server);
		close(fd);
		return;
	}
	struct conn *c = xcalloc(1, sizeof(*c));
	*c = (struct conn){ .route = route, .client = fd, .server = server };
	/* The kernel's handshake took no time; the link's takes one round trip before the first byte leaves. */
	c->open_us = r->now_ns / 1000 + r->o.route[route].rtt_us;
	flow_init(&c->up, c, fd, server);
	flow_init(&c->down, c, server, fd);
	if (strikes(r, r->o.faults.reset_share))
		c->reset_after = 1 + (uint64_t)(draw_share(&r->rng) * RESET_WITHIN);
	c->next = r->conns.next;
	c->prev = &r->conns;
	r->conns.next->prev = c;
	r->conns.next = c;
	r->counts[route].connections++;
	watch(r, fd, c, true);
	watch(r, server, c, false);
}

static void on_listen(struct relay *r, size_t route)
{
	for (int fd; (fd = accept4(r->listen[route], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
		accept_one(r, route, fd);
}

static void on_conn(struct relay *r, uint64_t data, uint32_t events)
{
	struct conn *c = (struct conn *)(uintptr_t)(data & ~(uint64_t)1);
	bool client = data & 1;
	struct flow *in = client ? &c->up : &c->down, *out = client ? &c->down : &c->up;

	if (c->dead)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		in->readable = true;
		flow_send(r, in);
	}
	if (events & EPOLLOUT) {
		out->blocked = false;
		flow_deliver(r, out);
	}
}

static uint64_t flow_next_us(const struct flow *f)
{
	uint64_t at = UINT64_MAX;

	if (f->head && !f->blocked)
		at = f->head->at_us;
	if (f->nack && f->ack[f->ack_head].at_us < at)
		at = f->ack[f->ack_head].at_us;
	return at;
}

static void conn_advance(struct relay *r, struct conn *c)
{
	for (int i = 0; i < 2 && !c->dead; i++) {
		struct flow *f = i ? &c->down : &c->up;
		flow_deliver(r, f);
		flow_acks(f, r->now_ns / 1000);
		flow_send(r, f);
	}
}

static void conn_free(struct conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	flow_release(&c->up);
	flow_release(&c->down);
	free(c);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When a link that is full has room again. */
static uint64_t link_next_us(const struct link_dir *d)
{
	return d->wait && d->free_ns ? (d->free_ns - QUEUE_AGAIN_NS) / 1000 : UINT64_MAX;
}

/* All that time brings: arrivals, acknowledgements, the link getting free. Returns when to look again. */
static uint64_t relay_tick(struct relay *r)
{
	uint64_t next = UINT64_MAX;

	r->now_ns = now_ns();
	for (struct conn *c = r->conns.next; c != &r->conns; c = c->next)
		conn_advance(r, c);
	for (int i = 0; i < 2; i++) {
		link_pump(r, &r->dir[i]);
		next = sooner(next, link_next_us(&r->dir[i]));
	}
	for (struct conn *c = r->conns.next, *after; c != &r->conns; c = after) {
		after = c->next;
		if (c->dead && !c->up.waiting && !c->down.waiting)
			conn_free(c);
		else
			next = sooner(next, sooner(flow_next_us(&c->up), flow_next_us(&c->down)));
	}
	return next;
}

static void timer_set(const struct relay *r, uint64_t at_us)
{
	struct itimerspec its = { 0 };

	if (at_us != UINT64_MAX) {
		its.it_value.tv_sec = (time_t)(at_us / 1000000);
		its.it_value.tv_nsec = (long)(at_us % 1000000) * 1000 + 1;
	}
	timerfd_settime(r->timer, TFD_TIMER_ABSTIME, &its, NULL);
}

/* 1: it is to stop. */
static int on_event(struct relay *r, const struct epoll_event *ev, struct err *e)
{
	uint64_t d = ev->data.u64, x;

	if (d == DATA_STOP)
		return 1;
	if (d == DATA_TIMER)
		return read(r->timer, &x, sizeof(x)) < 0 && errno != EAGAIN ? err_os(e, "read the timer") : 0;
	if (d < r->o.nroutes)
		on_listen(r, (size_t)d);
	else
		on_conn(r, d, ev->events);
	return 0;
}

int relay_run(struct relay *r, int stop_fd, struct err *e)
{
	struct epoll_event ev[128], stop = { .events = EPOLLIN, .data.u64 = DATA_STOP };
	int rc = 0;

	if (epoll_ctl(r->ep, EPOLL_CTL_ADD, stop_fd, &stop) < 0)
		return err_os(e, "watch the stop descriptor");
	while (rc == 0) {
		timer_set(r, relay_tick(r));
		int n = epoll_wait(r->ep, ev, 128, -1);
		if (n < 0 && errno != EINTR)
			return err_os(e, "epoll_wait");
		r->now_ns = now_ns();
		for (int i = 0; i < n && rc == 0; i++)
			rc = on_event(r, &ev[i], e);
	}
	return rc < 0 ? rc : 0;
}

static int relay_listen(struct relay *r, size_t i, struct err *e)
{
	struct relay_route *route = &r->o.route[i];
	struct sockaddr_in at = loopback(route->listen);
	socklen_t n = sizeof(at);
	int one = 1, fd = tcp_socket(e);

	r->listen[i] = fd;
	if (fd < 0)
		return e->code;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0 ||
		getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return err_os(e, "listen on 127.0.0.1:%u", route->listen);
	route->listen = ntohs(at.sin_port);
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = i };
	if (epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_os(e, "watch port %u", route->listen);
	return 0;
}

int relay_new(struct relay **out, struct relay_opts *o, struct err *e)
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->o = *o;
	/* A quarter of a millisecond of the wire, in segments: finer costs CPU, coarser delays acknowledgements. */
	r->chunk = o->rate_bps ? (size_t)(o->rate_bps / 8 / 4000) / SEGMENT * SEGMENT : CHUNK;
	if (r->chunk < SEGMENT)
		r->chunk = SEGMENT;
	if (r->chunk > CHUNK)
		r->chunk = CHUNK;
	r->rng = o->seed ? o->seed : DRAW_SEED;
	r->conns.next = r->conns.prev = &r->conns;
	r->own_counts = xcalloc(o->nroutes, sizeof(*r->counts));
	r->counts = o->counts ? o->counts : r->own_counts;
	r->listen = xcalloc(o->nroutes, sizeof(*r->listen));
	for (size_t i = 0; i < o->nroutes; i++)
		r->listen[i] = -1;
	r->dir[0].wait_tail = &r->dir[0].wait;
	r->dir[1].wait_tail = &r->dir[1].wait;
	r->ep = epoll_create1(EPOLL_CLOEXEC);
	r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = DATA_TIMER };
	if (r->ep < 0 || r->timer < 0 || epoll_ctl(r->ep, EPOLL_CTL_ADD, r->timer, &ev) < 0) {
		err_os(e, "epoll and timer");
		goto fail;
	}
	for (size_t i = 0; i < o->nroutes; i++) {
		if (relay_listen(r, i, e) < 0)
			goto fail;
	}
	*out = r;
	return 0;
fail:
	relay_free(r);
	return e->code;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	while (r->conns.next != &r->conns) {
		conn_kill(r->conns.next, false);
		conn_free(r->conns.next);
	}
	for (size_t i = 0; i < r->o.nroutes; i++) {
		if (r->listen[i] >= 0)
			close(r->listen[i]);
	}
	if (r->timer >= 0)
		close(r->timer);
	if (r->ep >= 0)
		close(r->ep);
	free(r->listen);
	free(r->own_counts);
	free(r);
}
