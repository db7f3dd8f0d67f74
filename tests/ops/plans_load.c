/* Plan requests at drayd, many at the same time, for as little CPU as can be: whoever loads a server from the same
 * machine takes from what he measures.
 *
 *     plans_load PID PORT CONNECTIONS STREAMS ROUNDS BODY...
 *
 * Connection i sends the body i modulo their number, on STREAMS streams at once, ROUNDS times. With ROUNDS as "alone"
 * it is one round, and no connection asks before the one before it has its answer. Connections are made,
 * and answer all of a round, before the clock starts. In the timed part bytes that lie ready are sent, and answers are
 * waited for and left with the kernel (SO_RCVLOWAT; their size is known but for some bytes of headers), but where it
 * has no room for all of them. When all have come they are read, and each is compared, byte by byte, with the first one
 * to its body. Prints microseconds, a line for each request: from its own sending, and from the round's first, to the
 * last byte of its connection's answers; and, last, "cpu": of the process PID, and our own. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 9, FRAME_MOST = 16384, EVENTS = 256, FIRST_MOST = 16 << 20, PATIENCE_MS = 60000 };
enum { F_DATA = 0, F_HEADERS = 1, F_RST = 3, F_SETTINGS = 4, F_PING = 6, F_GOAWAY = 7, F_WINDOW = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

/* What is sent, and the answer to it. */
struct body {
	uint8_t *p, *answer;
	size_t n, answer_n;
};
struct conn {
	int fd;
	const struct body *body;
	uint8_t *out; /* a round's requests, but for the numbers of their streams */
	size_t out_n, each;
	uint8_t *in; /* a round's answers */
	size_t in_n, in_most, parsed;
	uint32_t next, first; /* numbers of streams: of the next round, of this one */
	uint64_t credit, taken;
	unsigned left;
	size_t least; /* so many bytes a round's answers have at least; 0: not known yet */
	bool came;
	int64_t sent_ns, came_ns, *end_ns;
};

static void die(const char *what)
{
	fprintf(stderr, "plans_load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

static int64_t now_ns(clockid_t c)
{
	struct timespec t;

	if (clock_gettime(c, &t) < 0)
		die("clock");
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t own_cpu_ns(void)
{
	return now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void *memory(size_t n)
{
	void *p = malloc(n);

	if (!p)
		die("memory");
	memset(p, 1, n); /* it is there from now on */
	return p;
}

/* ---- what is sent ---- */

static uint32_t u32_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void u32_put(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint8_t *frame_put(uint8_t *to, size_t n, int type, int flags)
{
	to[0] = (uint8_t)(n >> 16);
	to[1] = (uint8_t)(n >> 8);
	to[2] = (uint8_t)n;
	to[3] = (uint8_t)type;
	to[4] = (uint8_t)flags;
	u32_put(to + 5, 0);
	return to + HEAD;
}

/* A literal that is not indexed, of a name in HPACK's static table (RFC 7541 6.2.2). */
static uint8_t *field_put(uint8_t *to, unsigned name, const char *value)
{
	size_t n = strlen(value);

	if (name < 15) {
		*to++ = (uint8_t)name;
	} else {
		*to++ = 15;
		*to++ = (uint8_t)(name - 15);
	}
	*to++ = (uint8_t)n;
	memcpy(to, value, n);
	return to + n;
}

/* One request; its size. */
static size_t request_put(uint8_t *to, const struct body *b, const char *authority)
{
	uint8_t fields[512], *f = fields, *at;
	char length[24];

	*f++ = 0x80 | 3; /* :method POST */
	*f++ = 0x80 | 6; /* :scheme http */
	f = field_put(f, 4, "/v1/plan");
	f = field_put(f, 1, authority);
	f = field_put(f, 31, "application/x-dray-request");
	snprintf(length, sizeof(length), "%zu", b->n);
	f = field_put(f, 28, length);
	at = frame_put(to, (size_t)(f - fields), F_HEADERS, END_HEADERS);
	memcpy(at, fields, (size_t)(f - fields));
	at += f - fields;
	for (size_t done = 0; done < b->n;) {
		size_t n = b->n - done < FRAME_MOST ? b->n - done : FRAME_MOST;
		at = frame_put(at, n, F_DATA, done + n == b->n ? END_STREAM : 0);
		memcpy(at, b->p + done, n);
		at += n;
		done += n;
	}
	return (size_t)(at - to);
}

static void number_streams(struct conn *c, unsigned streams)
{
	c->first = c->next;
	c->next += 2 * streams;
	for (uint8_t *at = c->out, *end = c->out + c->out_n; at < end;) {
		size_t n = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
		u32_put(at + 5, c->first + 2 * (uint32_t)((size_t)(at - c->out) / c->each));
		at += HEAD + n;
	}
}

static void send_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno != EINTR)
			die("send");
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
}

/* ---- what comes ---- */

static void ack(struct conn *c, int type, const uint8_t *payload, size_t n)
{
	uint8_t f[HEAD + 8];

	memcpy(frame_put(f, n, type, ACK), payload, n);
	send_all(c->fd, f, HEAD + n);
}

/* The frames that are whole. */
static void parse(struct conn *c, int64_t now)
{
	while (c->in_n - c->parsed >= HEAD) {
		const uint8_t *f = c->in + c->parsed;
		size_t n = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
		uint32_t stream = u32_of(f + 5);
		if (c->in_n - c->parsed < HEAD + n)
			return;
		c->parsed += HEAD + n;
		if (f[3] == F_DATA) {
			c->taken += n;
			if (f[4] & END_STREAM) {
				c->end_ns[(stream - c->first) / 2] = now;
				c->left--;
			}
		} else if (f[3] == F_SETTINGS && !(f[4] & ACK)) {
			ack(c, F_SETTINGS, f, 0);
		} else if (f[3] == F_PING && n == 8 && !(f[4] & ACK)) {
			ack(c, F_PING, f + HEAD, 8);
		} else if (f[3] == F_WINDOW && stream == 0) {
			c->credit += u32_of(f + HEAD);
		} else if (f[3] == F_RST || f[3] == F_GOAWAY || (f[3] == F_HEADERS && f[4] & END_STREAM)) {
			errno = 0;
			die("a request was not answered with a plan");
		}
	}
}

static void receive(struct conn *c, int flags)
{
	if (c->in_n == c->in_most) {
		errno = 0;
		die("more came than the answers");
	}
	ssize_t k = recv(c->fd, c->in + c->in_n, c->in_most - c->in_n, flags);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (k <= 0)
		die("drayd closed the connection");
	c->in_n += (size_t)k;
	parse(c, c->came ? c->came_ns : now_ns(CLOCK_MONOTONIC));
}

static void wake_at(const struct conn *c, size_t n)
{
	int most = n < INT32_MAX ? (int)n : INT32_MAX;

	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &most, sizeof(most)) < 0)
		die("SO_RCVLOWAT");
}

static void round_prepare(struct conn *c, unsigned streams)
{
	errno = 0;
	memmove(c->in, c->in + c->parsed, c->in_n - c->parsed); /* a part of a frame of the connection's */
	c->in_n -= c->parsed;
	c->parsed = 0;
	number_streams(c, streams);
	c->left = streams;
	c->came = false;
	wake_at(c, 2 * c->least + 1); /* its buffer grows with that, and stays so: there is room for all of them */
	wake_at(c, c->least ? c->least : 1);
	if (c->credit < streams * c->body->n || c->taken > INT32_MAX / 2 || c->next > INT32_MAX / 2)
		die("too many requests for one connection");
	c->credit -= streams * c->body->n;
}

static void ask(struct conn *c)
{
	c->sent_ns = now_ns(CLOCK_MONOTONIC);
	send_all(c->fd, c->out, c->out_n);
}

/* Whether they lie with the kernel: it wakes us for less, too, when it has no room for more. */
static bool are_there(const struct conn *c)
{
	int n;

	if (ioctl(c->fd, FIONREAD, &n) < 0)
		die("FIONREAD");
	return (size_t)n >= c->least;
}

/* Until the last byte of OPEN connections' answers. */
static void answers_take(unsigned open, int ep)
{
	struct epoll_event ev[EVENTS];

	while (open) {
		int k = epoll_wait(ep, ev, EVENTS, PATIENCE_MS);
		if (k == 0 || (k < 0 && errno != EINTR))
			die("no answer");
		for (int i = 0; i < k; i++) {
			struct conn *of = ev[i].data.ptr;
			bool was = of->came;
			if (!was && of->least && !are_there(of)) {
				of->least = 0; /* they are read as they come */
				wake_at(of, 1);
			}
			if (!of->least)
				receive(of, MSG_DONTWAIT);
			if (was || (!of->least && of->left))
				continue;
			of->came = true;
			of->came_ns = now_ns(CLOCK_MONOTONIC);
			open--;
		}
	}
}

/* What was left with the kernel. */
static void answers_read(struct conn *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		wake_at(&c[i], 1);
		while (c[i].left)
			receive(&c[i], 0);
	}
}

/* All that lies ready, on all connections, at once or one after the other (ALONE). The time of the first sending. */
static int64_t round_run(struct conn *c, unsigned n, bool alone, int ep)
{
	int64_t begun = now_ns(CLOCK_MONOTONIC);

	for (unsigned i = 0; i < n; i++) {
		ask(&c[i]);
		if (alone)
			answers_take(1, ep);
	}
	if (!alone)
		answers_take(n, ep);
	return begun;
}

/* ---- afterwards ---- */

/* Whether HEADERS begin with :status 200, which is in the static table; before it the table's size may be set. */
static bool is_200(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] & 0xe0) == 0x20) {
		bool more = (p[i++] & 0x1f) == 0x1f;
		while (more && i < n)
			more = p[i++] & 0x80;
	}
	return i < n && p[i] == (0x80 | 8);
}

/* Every answer of the round: 200, and these bytes. ANSWER NULL: the first one is copied there. */
static void check(struct conn *c, unsigned streams, struct body *b)
{
	size_t *got = calloc(streams, sizeof(*got));
	bool *good = calloc(streams, sizeof(*good));

	if (!got || !good)
		die("memory");
	errno = 0;
	if (!b->answer)
		b->answer = memory(c->in_most);
	for (const uint8_t *f = c->in, *end = c->in + c->parsed; f < end;) {
		size_t n = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
		uint32_t at = (u32_of(f + 5) - c->first) / 2;
		if (f[3] == F_HEADERS && at < streams)
			good[at] = is_200(f + HEAD, n);
		if (f[3] == F_DATA) {
			if (at >= streams || f[4] & PADDED)
				die("an answer that nobody asked for");
			if (!b->answer_n)
				memcpy(b->answer + got[at], f + HEAD, n);
			else if (got[at] + n > b->answer_n || memcmp(b->answer + got[at], f + HEAD, n) != 0)
				die("an answer differs");
			got[at] += n;
		}
		f += HEAD + n;
	}
	for (unsigned i = 0; i < streams; i++) {
		if (!good[i] || got[i] == 0 || (b->answer_n && got[i] != b->answer_n))
			die("an answer is not whole, or no 200");
	}
	if (!b->answer_n)
		b->answer_n = got[0];
	/* However it is cut into frames: an empty one of headers, and as few with data as there can be. */
	c->least = streams * (HEAD + b->answer_n + (b->answer_n + FRAME_MOST - 1) / FRAME_MOST * HEAD);
	free(got);
	free(good);
}

/* ---- connections ---- */

static void conn_open(struct conn *c, const struct sockaddr_in *to, const struct body *b, unsigned streams, int ep)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	uint8_t hello[64], *at = hello;
	char authority[32];
	int one = 1;

	*c = (struct conn){
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .body = b, .next = 1, .credit = 65535
	};
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ||
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		die("connect");
	memcpy(at, preface, sizeof(preface) - 1);
	at = frame_put(at + sizeof(preface) - 1, 6, F_SETTINGS, 0);
	at[0] = 0;
	at[1] = 4; /* INITIAL_WINDOW_SIZE */
	u32_put(at + 2, INT32_MAX);
	at = frame_put(at + 6, 4, F_WINDOW, 0);
	u32_put(at, INT32_MAX - 65535);
	send_all(c->fd, hello, (size_t)(at + 4 - hello));
	snprintf(authority, sizeof(authority), "127.0.0.1:%u", ntohs(to->sin_port));
	size_t most = b->n + b->n / FRAME_MOST * HEAD + 1024;
	c->out = memory(streams * most);
	c->each = request_put(c->out, b, authority);
	for (unsigned i = 1; i < streams; i++)
		memcpy(c->out + i * c->each, c->out, c->each);
	c->out_n = streams * c->each;
	c->in_most = b->answer_n ? streams * (b->answer_n + b->answer_n / 64 + 4096) + 65536 : FIRST_MOST;
	c->in = memory(c->in_most);
	c->end_ns = memory(streams * sizeof(*c->end_ns));
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = c };
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll");
}

static void conn_close(struct conn *c)
{
	close(c->fd);
	free(c->out);
	free(c->in);
	free(c->end_ns);
}

/* The answer to B, as it is from now on. */
static void body_learn(struct body *b, const struct sockaddr_in *to)
{
	struct conn c;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	conn_open(&c, to, b, 1, ep);
	round_prepare(&c, 1);
	(void)round_run(&c, 1, true, ep);
	answers_read(&c, 1);
	check(&c, 1, b);
	conn_close(&c);
	close(ep);
}

static void body_read(struct body *b, const char *path)
{
	FILE *f = fopen(path, "rb");

	*b = (struct body){ .p = memory(65536) };
	if (!f)
		die(path);
	b->n = fread(b->p, 1, 65536, f);
	fclose(f);
	errno = 0;
	if (b->n == 0 || b->n == 65536)
		die("a body of 1 to 65535 bytes is what a stream's window takes");
}

static void rest(void)
{
	/* What drayd does behind an answer is its cost, too. */
	nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
}

int main(int argc, char **argv)
{
	if (argc < 7) {
		fprintf(stderr, "plans_load PID PORT CONNECTIONS STREAMS ROUNDS BODY...\n");
		return 2;
	}
	bool alone = strcmp(argv[5], "alone") == 0;
	unsigned n = (unsigned)atoi(argv[3]), streams = (unsigned)atoi(argv[4]), nbodies = (unsigned)argc - 6,
		 rounds = alone ? 1 : (unsigned)atoi(argv[5]);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	struct body *body = memory(nbodies * sizeof(*body));
	struct conn *c = memory(n * sizeof(*c));
	int64_t *us = memory((size_t)rounds * n * streams * 2 * sizeof(*us)), own = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	clockid_t server;
	size_t k = 0;

	if (clock_getcpuclockid((pid_t)atoi(argv[1]), &server) != 0)
		die("no such process");
	for (unsigned i = 0; i < nbodies; i++) {
		body_read(&body[i], argv[6 + i]);
		body_learn(&body[i], &to);
	}
	for (unsigned i = 0; i < n; i++)
		conn_open(&c[i], &to, &body[i % nbodies], streams, ep);
	int64_t cpu = 0;
	for (unsigned r = 0; r <= rounds; r++) { /* the first is not counted */
		for (unsigned i = 0; i < n; i++)
			round_prepare(&c[i], streams);
		if (r == 1) {
			rest();
			cpu = now_ns(server);
		}
		int64_t before = own_cpu_ns(), begun = round_run(c, n, alone && r, ep);
		own += r ? own_cpu_ns() - before : 0;
		answers_read(c, n);
		for (unsigned i = 0; i < n; i++) {
			check(&c[i], streams, &body[i % nbodies]);
			for (unsigned s = 0; s < streams && r; s++) {
				us[k++] = (c[i].end_ns[s] - c[i].sent_ns) / 1000;
				us[k++] = (c[i].end_ns[s] - begun) / 1000;
			}
		}
	}
	rest();
	cpu = now_ns(server) - cpu;
	for (size_t i = 0; i < k; i += 2)
		printf("%lld %lld\n", (long long)us[i], (long long)us[i + 1]);
	printf("cpu %lld %lld\n", (long long)cpu / 1000, (long long)own / 1000);
	for (unsigned i = 0; i < n; i++)
		conn_close(&c[i]);
	for (unsigned i = 0; i < nbodies; i++) {
		free(body[i].p);
		free(body[i].answer);
	}
	free(body);
	free(c);
	free(us);
	close(ep);
	return 0;
}
