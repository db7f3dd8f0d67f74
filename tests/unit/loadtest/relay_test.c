/* The link emulator against arithmetic: a known transfer takes the time that rate, round trip and slow start give. */
#include "draw.h"
#include "relay.h"
#include "workq.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
	struct relay *relay;
	struct relay_route route;
	int stop, origin;
	size_t bytes; /* that the origin sends to everybody who connects and says a byte */
	pthread_t relay_tid, origin_tid;
};

static void *relay_thread(void *arg)
{
	struct rig *g = arg;
	struct err e;

	if (relay_run(g->relay, g->stop, &e) < 0)
		abort();
	return NULL;
}

static void *serve_one(void *arg)
{
	struct rig *g = ((void **)arg)[0];
	int fd = (int)(intptr_t)((void **)arg)[1];
	static const char zeros[65536];
	char c;

	free(arg);
	if (recv(fd, &c, 1, 0) == 1) {
		for (size_t left = g->bytes; left;) {
			ssize_t n = send(fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros), MSG_NOSIGNAL);
			if (n <= 0)
				break;
			left -= (size_t)n;
		}
	}
	close(fd);
	return NULL;
}

static void *origin_thread(void *arg)
{
	struct rig *g = arg;
	struct err e;

	for (int fd; (fd = accept(g->origin, NULL, NULL)) >= 0;) {
		void **pair = xcalloc(2, sizeof(void *));
		pthread_t t;
		pair[0] = g;
		pair[1] = (void *)(intptr_t)fd;
		if (workq_thread(&t, "origin", serve_one, pair, &e) < 0)
			abort();
		pthread_detach(t);
	}
	return NULL;
}

static void rig_open(struct rig *g, struct relay_opts o, uint32_t rtt_us, size_t bytes)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct err e;

	*g = (struct rig){ .bytes = bytes, .stop = eventfd(0, 0) };
	g->origin = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(g->origin, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(g->origin, 64), 0);
	getsockname(g->origin, (struct sockaddr *)&at, &n);
	g->route = (struct relay_route){ .target = ntohs(at.sin_port), .rtt_us = rtt_us };
	o.route = &g->route;
	o.nroutes = 1;
	assert_int_equal(relay_new(&g->relay, &o, &e), 0);
	assert_int_equal(workq_thread(&g->relay_tid, "relay", relay_thread, g, &e), 0);
	assert_int_equal(workq_thread(&g->origin_tid, "origin", origin_thread, g, &e), 0);
}

static void rig_start(struct rig *g, uint32_t rtt_us, uint64_t rate_bps, size_t bytes)
{
	rig_open(g, (struct relay_opts){ .rate_bps = rate_bps }, rtt_us, bytes);
}

static void rig_stop(struct rig *g)
{
	uint64_t one = 1;

	assert_int_equal(write(g->stop, &one, 8), 8);
	pthread_join(g->relay_tid, NULL);
	shutdown(g->origin, SHUT_RDWR);
	close(g->origin);
	pthread_join(g->origin_tid, NULL);
	relay_free(g->relay);
	close(g->stop);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CONNECTIONS at once ask for the origin's bytes; seconds until all have everything. */
static double fetch(const struct rig *g, unsigned connections)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(g->route.listen)
	};
	int fd[16];
	char b[65536];
	double start = now_s();

	for (unsigned i = 0; i < connections; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(send(fd[i], "x", 1, 0), 1);
	}
	for (unsigned i = 0; i < connections; i++) {
		size_t got = 0;
		for (ssize_t n; (n = recv(fd[i], b, sizeof(b), 0)) > 0;)
			got += (size_t)n;
		assert_int_equal(got, g->bytes);
		close(fd[i]);
	}
	return now_s() - start;
}

/* What TCP would take: a round trip to connect, one to ask and get the first byte, then windows of 10, 20, 40 …
 * segments a round trip until the rate is the limit. */
static double expected(double bytes, double rtt, double rate_bps, unsigned connections)
{
	double t = 2 * rtt, window = 14600.0 * connections, left = bytes * connections;

	while (left > window && window * 8 / rate_bps < rtt) {
		left -= window;
		window *= 2;
		t += rtt;
	}
	return t + left * 8 / rate_bps;
}

/* What the same takes through a relay that holds nothing back: this machine's own part. */
static double unhindered(size_t bytes, unsigned connections)
{
	struct rig g;
	double best = 1e9;

	rig_start(&g, 0, 0, bytes);
	for (int i = 0; i < 10; i++) {
		double t = fetch(&g, connections);
		best = t < best ? t : best;
	}
	rig_stop(&g);
	return best;
}

/* Seconds for which the machine kept this process's threads, or itself a CPU, from running, in all. */
static double held_up(void)
{
	DIR *d = opendir("/proc/self/task");
	double sum = 0;

	for (struct dirent *en; d && (en = readdir(d));) {
		char path[300];
		unsigned long long ran, waited;
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", en->d_name);
		FILE *f = fopen(path, "re");
		if (f && fscanf(f, "%llu %llu", &ran, &waited) == 2)
			sum += (double)waited / 1e9;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long stolen;
	if (f && fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &stolen) == 1)
		sum += (double)stolen / (double)sysconf(_SC_CLK_TCK);
	if (f)
		fclose(f);
	return sum;
}

static void check(uint32_t rtt_us, uint64_t rate, size_t bytes, unsigned connections)
{
	struct rig g;
	double want = expected((double)bytes, rtt_us / 1e6, (double)rate, connections), best = 1e9;

	rig_start(&g, rtt_us, rate, bytes);
	/* The machine may be busy, never too fast: the best of some tries, without what it was held up for, is what the
	 * emulator does. A quiet machine needs one; 2 Gbit/s beside fifteen other runnable threads has taken more than
	 * six. */
	for (int i = 0; i < 40; i++) {
		double held = held_up(), t = fetch(&g, connections);
		assert_true(t > want * 0.97);
		held = held_up() - held; /* threads of the origin that have ended take theirs with them */
		t -= held > 0 ? held : 0;
		best = t < best ? t : best;
		if (best < want * 1.03)
			break;
	}
	print_message("rtt %u us, rate %llu, %u x %zu bytes: %.4f s, computed %.4f s\n", rtt_us,
		(unsigned long long)rate, connections, bytes, best, want);
	rig_stop(&g);
	if (best < want * 1.03)
		return;
	/* A machine that takes a large part of that time by itself cannot show how exact the emulator is. */
	double own = unhindered(bytes, connections);
	print_message("without a link: %.4f s\n", own);
	assert_true(own > want / 8);
}

static void transfers_take_the_computed_time(void **state)
{
	(void)state;
	check(50000, 200000000, 10000000, 1);
	check(50000, 200000000, 1000000, 8);
	check(2000, 2000000000, 40000000, 1);
	check(100000, 20000000, 500000, 1);
}

static void the_rate_is_shared_by_all_connections(void **state)
{
	(void)state;
	check(10000, 100000000, 1000000, 10);
}

/* Which of 64 connections, one after the other, were reset, as bits. */
static uint64_t resets(uint64_t seed)
{
	struct rig g;
	char b[65536];
	uint64_t bits = 0;

	rig_open(&g, (struct relay_opts){ .faults.reset_share = 0.5, .seed = seed }, 0, 300000);
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(g.route.listen)
	};
	for (unsigned i = 0; i < 64; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		size_t got = 0;
		assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(send(fd, "x", 1, 0), 1);
		for (ssize_t n; (n = recv(fd, b, sizeof(b), 0)) > 0;)
			got += (size_t)n;
		assert_true(got <= g.bytes);
		bits |= (uint64_t)(got < g.bytes) << i;
		close(fd);
	}
	rig_stop(&g);
	return bits;
}

/* Who is measured has the luck of the round, not of who came before. */
static void faults_fall_as_the_seed_says(void **state)
{
	uint64_t first = resets(draw_seed(1)), again = resets(draw_seed(1)), other = resets(draw_seed(2));

	(void)state;
	assert_true(first == again);
	assert_true(first != other);
	assert_true(__builtin_popcountll(first) > 8 && __builtin_popcountll(first) < 56);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_take_the_computed_time),
		cmocka_unit_test(the_rate_is_shared_by_all_connections),
		cmocka_unit_test(faults_fall_as_the_seed_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
