#include "accept.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A loop keeps what it has accepted unless another one has so many connections less. */
enum { FEWER = 2, AT_ONCE = 16, TELL_MS = 60000 };

/* A connection that another loop has accepted. */
struct handed {
	struct loop_call call; /* first */
	struct loop *to;
	int fd;
	struct client_key client;
};

static void near_add(const struct loop *l, const struct client_key *k, int n)
{
	if (l->s->backend->near && client_is_near(k))
		atomic_fetch_add(l->s->backend->near, (uint64_t)n);
}

static void on_close(void *data)
{
	struct conn *c = data;

	clients_leave(c->loop->door->clients, &c->client);
	near_add(c->loop, &c->client, -1);
	atomic_fetch_sub(&c->loop->nconns, 1);
	atomic_fetch_sub(&c->loop->s->n.connections_open, 1);
	free(c);
}

/* The connection FD, which is counted, is L's. */
static void conn_begin(struct loop *l, int fd, const struct client_key *client)
{
	h2o_socket_t *sock = h2o_evloop_socket_create(l->ctx.loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->client = *client;
	sock->on_close.cb = on_close;
	sock->on_close.data = c;
	l->accept.ssl_ctx = atomic_load(&l->door->tls);
	h2o_accept(&l->accept, sock);
}

static void on_handed(struct loop_call *call)
{
	struct handed *h = (struct handed *)call;

	conn_begin(h->to, h->fd, &h->client);
	free(h);
}

static struct loop *loop_choose(struct loop *l)
{
	struct loop *best = l;
	unsigned least = atomic_load(&l->nconns);

	least = least < FEWER ? 0 : least - (FEWER - 1);
	for (size_t i = 0; i < l->door->nloops; i++) {
		struct loop *other = &l->door->loop[i];
		if (atomic_load(&other->takes) && atomic_load(&other->nconns) < least) {
			best = other;
			least = atomic_load(&other->nconns);
		}
	}
	return best;
}

static void conn_give(struct loop *l, int fd, const struct client_key *client)
{
	struct loop *to = loop_choose(l);

	atomic_fetch_add(&to->nconns, 1);
	atomic_fetch_add(&l->s->n.connections, 1);
	atomic_fetch_add(&l->s->n.connections_open, 1);
	near_add(l, client, 1);
	if (to == l) {
		conn_begin(l, fd, client);
		return;
	}
	struct handed *h = xcalloc(1, sizeof(*h));
	*h = (struct handed){ .call = { .run = on_handed }, .to = to, .fd = fd, .client = *client };
	h2o_multithread_send_message(&to->calls, &h->call.super);
}

/* There is no descriptor, or no memory, for a connection more (OS). It stays in the kernel's line, and the listener
 * would say so without an end: nothing is accepted for a moment. */
static void accept_pause(struct loop *l, int os)
{
	struct door *d = l->door;
	int64_t now = clock_ms(), told = atomic_load(&d->told_ms);

	for (size_t i = 0; i < l->nlisteners; i++)
		h2o_socket_read_stop(l->listener[i]);
	l->paused_ms = now;
	atomic_fetch_add(&l->s->n.accept_pauses, 1);
	if ((!told || now - told >= TELL_MS) && atomic_compare_exchange_strong(&d->told_ms, &told, now))
		log_error("accept",
			"error=\"%s\" connections=%llu: new ones wait until others end (LimitNOFILE, max-connections)",
			strerror(os), (unsigned long long)atomic_load(&l->s->n.connections_open));
}

static bool is_shortage(int os)
{
	return os == EMFILE || os == ENFILE || os == ENOBUFS || os == ENOMEM;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
	struct loop *l = listener->data;

	if (err)
		return;
	for (int i = 0; i < AT_ONCE; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t n = sizeof(peer);
		int one = 1, fd = accept4(h2o_socket_get_fd(listener), (struct sockaddr *)&peer, &n, SOCK_CLOEXEC);
		struct client_key key;
		if (fd < 0 && is_shortage(errno))
			accept_pause(l, errno);
		if (fd < 0)
			return;
		client_key_of(&key, (const struct sockaddr *)&peer);
		if (!clients_enter(l->door->clients, &key)) {
			atomic_fetch_add(&l->s->n.connections_refused, 1);
			close(fd);
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		conn_give(l, fd, &key);
	}
}

int door_open(struct loop *l, struct door *d, const int *fd, size_t n, struct err *e)
{
	l->door = d;
	l->listener = xcalloc(n, sizeof(h2o_socket_t *));
	for (; l->nlisteners < n; l->nlisteners++) {
		int own = fcntl(fd[l->nlisteners], F_DUPFD_CLOEXEC, 0);
		if (own < 0)
			return err_os(e, "dup of a listening socket");
		h2o_socket_t *sock = h2o_evloop_socket_create(l->ctx.loop, own, H2O_SOCKET_FLAG_DONT_READ);
		sock->data = l;
		l->listener[l->nlisteners] = sock;
		h2o_socket_read_start(sock, on_accept);
	}
	atomic_store(&l->takes, true);
	return 0;
}

void door_tick(struct loop *l, int64_t now_ms)
{
	if (!l->paused_ms || now_ms - l->paused_ms < DOOR_PAUSE_MS)
		return;
	l->paused_ms = 0;
	for (size_t i = 0; i < l->nlisteners; i++)
		h2o_socket_read_start(l->listener[i], on_accept);
}

void door_close(struct loop *l)
{
	atomic_store(&l->takes, false);
	for (size_t i = 0; i < l->nlisteners; i++)
		h2o_socket_close(l->listener[i]);
	l->nlisteners = 0;
}
