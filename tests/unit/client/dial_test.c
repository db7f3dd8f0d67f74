/* Which of a host's addresses a connection goes to, with real sockets on loopback. */
#include "base/clock.h"
#include "host_dial.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 4, FILLERS = 4 };
/* A host's addresses; of each, what listens there. */
struct host {
	struct addrinfo ai[MOST];
	struct sockaddr_storage at[MOST];
	int listener[MOST]; /* -1: nobody */
	int filler[MOST][FILLERS];
	size_t n;
};
enum kind { ANSWERS, REFUSES, SWALLOWS };

static void host_init(struct host *h)
{
	*h = (struct host){ 0 };
	for (size_t i = 0; i < MOST; i++) {
		h->listener[i] = -1;
		for (size_t k = 0; k < FILLERS; k++)
			h->filler[i][k] = -1;
	}
}

static void host_release(struct host *h)
{
	for (size_t i = 0; i < MOST; i++) {
		if (h->listener[i] >= 0)
			close(h->listener[i]);
		for (size_t k = 0; k < FILLERS; k++) {
			if (h->filler[i][k] >= 0)
				close(h->filler[i][k]);
		}
	}
}

/* A listener whose queue is full drops what else wants to connect: it looks like a firewall that says nothing. */
static void fill(struct host *h, size_t i)
{
	for (size_t k = 0; k < FILLERS; k++) {
		struct tcp_info t;
		socklen_t n = sizeof(t);
		assert_int_equal(getsockopt(h->listener[i], IPPROTO_TCP, TCP_INFO, &t, &n), 0);
		if (t.tcpi_unacked > t.tcpi_sacked) /* of one that listens: how many wait, how many may */
			return;
		h->filler[i][k] = socket(h->ai[i].ai_family, SOCK_STREAM, 0);
		assert_true(h->filler[i][k] >= 0);
		assert_int_equal(connect(h->filler[i][k], h->ai[i].ai_addr, h->ai[i].ai_addrlen), 0);
	}
	fail_msg("the queue does not fill");
}

/* False: the machine has no such addresses. */
static bool host_add(struct host *h, int family, enum kind kind)
{
	size_t i = h->n++;
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	struct sockaddr *at = (struct sockaddr *)&h->at[i];

	if (family == AF_INET)
		*(struct sockaddr_in *)at =
			(struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	else
		*(struct sockaddr_in6 *)at =
			(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	h->ai[i] = (struct addrinfo){ .ai_family = family, .ai_addr = at, .ai_addrlen = n };
	if (i > 0)
		h->ai[i - 1].ai_next = &h->ai[i];
	int fd = socket(family, SOCK_STREAM, 0);
	if (fd < 0)
		return false;
	h->listener[i] = fd;
	if (bind(fd, at, n) != 0 || getsockname(fd, at, &n) != 0)
		return false;
	if (kind != REFUSES) /* nobody listens on a port that is taken */
		assert_int_equal(listen(fd, kind == SWALLOWS ? 0 : 8), 0);
	if (kind == SWALLOWS)
		fill(h, i);
	return true;
}

static uint16_t port_of(const struct sockaddr_storage *at)
{
	return at->ss_family == AF_INET ? ((const struct sockaddr_in *)at)->sin_port
					: ((const struct sockaddr_in6 *)at)->sin6_port;
}

/* One look at D, after waiting for news of it, at most for MS. */
static int turn(int *fd, struct host_dial *d, int64_t ms, struct err *e)
{
	struct pollfd p = { .fd = host_dial_fd(d), .events = POLLIN };
	int64_t due = host_dial_due_ms(d) - clock_ms();

	if (due < ms)
		ms = due > 0 ? due : 0;
	(void)poll(&p, 1, (int)ms);
	return host_dial_go(fd, d, e);
}

/* The address that was connected to; -1: none, *e says why. */
static int dial(struct host *h, struct err *e)
{
	struct host_dial *d;
	struct sockaddr_storage peer;
	socklen_t n = sizeof(peer);
	int64_t until = clock_ms() + 60000;
	int fd = -1, rc = 0, at = -1;

	if (host_dial_new(&d, h->ai, "made.example:443", e) < 0)
		return -1;
	while (rc == 0) {
		assert_true(clock_ms() < until);
		rc = turn(&fd, d, 1000, e);
	}
	host_dial_free(d);
	if (rc < 0)
		return -1;
	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &n), 0);
	for (size_t i = 0; i < h->n; i++) {
		if (peer.ss_family == h->at[i].ss_family && port_of(&peer) == port_of(&h->at[i]))
			at = (int)i;
	}
	close(fd);
	return at;
}

static int dial_of(const enum kind *kind, size_t n, struct err *e)
{
	struct host h;

	host_init(&h);
	for (size_t i = 0; i < n; i++)
		assert_true(host_add(&h, AF_INET, kind[i]));
	int at = dial(&h, e);
	host_release(&h);
	return at;
}

static void test_choice(void **state)
{
	static const struct {
		enum kind kind[MOST];
		size_t n;
		int at;
	} row[] = {
		{ { ANSWERS }, 1, 0 },
		{ { ANSWERS, ANSWERS }, 2, 0 },
		{ { REFUSES, ANSWERS }, 2, 1 },
		{ { SWALLOWS, ANSWERS }, 2, 1 },
		{ { SWALLOWS, REFUSES, SWALLOWS, ANSWERS }, 4, 3 },
		{ { REFUSES }, 1, -1 },
		{ { REFUSES, REFUSES, REFUSES }, 3, -1 },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		e = (struct err){ 0 };
		assert_int_equal(dial_of(row[i].kind, row[i].n, &e), row[i].at);
		assert_int_equal(e.code, row[i].at < 0 ? ERR_NET : 0);
		if (row[i].at < 0)
			assert_non_null(strstr(e.msg, "made.example:443"));
	}
}

/* One that is slow is still waited for while others are tried, and taken when it answers after all. */
static void test_late(void **state)
{
	struct host h;
	struct host_dial *d;
	struct err e;
	int64_t until = clock_ms() + 60000;
	int fd = -1, rc = 0;

	(void)state;
	host_init(&h);
	assert_true(host_add(&h, AF_INET, SWALLOWS) && host_add(&h, AF_INET, REFUSES));
	assert_int_equal(host_dial_new(&d, h.ai, "made.example:443", &e), 0);
	while (host_dial_due_ms(d) < INT64_MAX) {
		assert_true(clock_ms() < until);
		assert_int_equal(turn(&fd, d, 1000, &e), 0);
	}
	for (size_t k = 0; k < FILLERS && h.filler[0][k] >= 0; k++)
		close(accept(h.listener[0], NULL, NULL));
	while (rc == 0) {
		assert_true(clock_ms() < until);
		rc = turn(&fd, d, 1000, &e);
	}
	assert_int_equal(rc, 1);
	close(fd);
	host_dial_free(d);
	host_release(&h);
}

static void test_families(void **state)
{
	struct host h;
	struct err e;

	(void)state;
	host_init(&h);
	bool has = host_add(&h, AF_INET, SWALLOWS) && host_add(&h, AF_INET, ANSWERS) && host_add(&h, AF_INET6, ANSWERS);
	if (has)
		assert_int_equal(dial(&h, &e), 2);
	host_release(&h);
	if (!has)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
