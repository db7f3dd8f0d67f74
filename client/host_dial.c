#include "host_dial.h"
#include "base/clock.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEXT_MS = 250, MAX_EVENTS = 8 };

struct attempt {
	const struct addrinfo *ai;
	int fd; /* -1: not begun, or over */
	bool begun;
};
struct host_dial {
	const char *where;
	struct attempt *all;
	size_t n, live;
	int epoll, family, os; /* of the last that was begun; why the last that failed did */
	int64_t next_ms;
};

static int socket_to(const struct addrinfo *ai)
{
	int one = 1, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 || errno == EINPROGRESS)
		return fd;
	int os = errno;
	close(fd);
	errno = os;
	return -1;
}

static bool attempt_begin(struct host_dial *d, struct attempt *t)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = t };

	t->begun = true;
	d->family = t->ai->ai_family;
	t->fd = socket_to(t->ai);
	if (t->fd >= 0 && epoll_ctl(d->epoll, EPOLL_CTL_ADD, t->fd, &ev) == 0) {
		d->live++;
		return true;
	}
	d->os = errno;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	return false;
}

/* The next in order, of another family than the one before if there is one. */
static struct attempt *attempt_next(struct host_dial *d)
{
	struct attempt *next = NULL;

	for (size_t i = 0; i < d->n; i++) {
		struct attempt *t = &d->all[i];
		if (t->begun)
			continue;
		if (t->ai->ai_family != d->family)
			return t;
		if (!next)
			next = t;
	}
	return next;
}

static void begin_next(struct host_dial *d)
{
	struct attempt *t = attempt_next(d);

	while (t && !attempt_begin(d, t))
		t = attempt_next(d);
	d->next_ms = attempt_next(d) ? clock_ms() + NEXT_MS : INT64_MAX;
}

static int dial_refused(const struct host_dial *d, struct err *e)
{
	errno = d->os;
	err_os(e, "connect to %s", d->where);
	return e->code = ERR_NET;
}

int host_dial_new(struct host_dial **out, const struct addrinfo *all, const char *where, struct err *e)
{
	struct host_dial *d = xcalloc(1, sizeof(*d));

	d->where = where;
	d->family = all->ai_family;
	for (const struct addrinfo *ai = all; ai; ai = ai->ai_next)
		d->n++;
	d->all = xcalloc(d->n, sizeof(*d->all));
	for (size_t i = 0; i < d->n; i++, all = all->ai_next)
		d->all[i] = (struct attempt){ .ai = all, .fd = -1 };
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll < 0)
		err_os(e, "wait for %s", where);
	else if (attempt_begin(d, &d->all[0]))
		d->next_ms = d->n > 1 ? clock_ms() + NEXT_MS : INT64_MAX;
	else
		begin_next(d);
	if (d->epoll >= 0 && d->live > 0) {
		*out = d;
		return 0;
	}
	if (d->epoll >= 0)
		dial_refused(d, e);
	host_dial_free(d);
	return e->code;
}

int host_dial_fd(const struct host_dial *d)
{
	return d->epoll;
}

int64_t host_dial_due_ms(const struct host_dial *d)
{
	return d->next_ms;
}

/* Whether T is connected; else it has failed. */
static bool attempt_end(struct host_dial *d, struct attempt *t)
{
	int os = 0;
	socklen_t n = sizeof(os);

	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &os, &n) != 0)
		os = errno;
	if (os == 0)
		return true;
	d->os = os;
	d->live--;
	close(t->fd);
	t->fd = -1;
	return false;
}

int host_dial_go(int *fd, struct host_dial *d, struct err *e)
{
	struct epoll_event ev[MAX_EVENTS];
	int n = epoll_wait(d->epoll, ev, MAX_EVENTS, 0); /* negative: a signal */

	for (int i = 0; i < n; i++) {
		struct attempt *t = ev[i].data.ptr;
		if (!attempt_end(d, t))
			continue;
		(void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, t->fd, NULL);
		*fd = t->fd;
		t->fd = -1;
		return 1;
	}
	if (n > 0 || clock_ms() >= d->next_ms)
		begin_next(d);
	return d->live > 0 ? 0 : dial_refused(d, e);
}

void host_dial_free(struct host_dial *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++) {
		if (d->all[i].fd >= 0)
			close(d->all[i].fd);
	}
	if (d->epoll >= 0)
		close(d->epoll);
	free(d->all);
	free(d);
}
