/* The thread behind fetch_packs.h: sessions with the server, opened again when they are lost. */
#include "base/clock.h"
#include "pack_conn_impl.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	RETRY_MS = 100,
	MOST_DOUBLED = 3, /* times that this is doubled: a server that comes back is not kept waiting */
	BULK = 1 << 20,   /* with more bytes than this under way, or not unpacked, none is waited for */
	GATHER_NS = 2000000,
};

static bool is_wanting(const struct thread *t)
{
	return t->find.n || t->get.n || t->large.n;
}

/* -- connections ----------------------------------------------------------------------------- */

/* Whether it is worth another attempt: of a server that was there, however often nobody is reached, until
 * it has been away for long. */
static bool conn_may(const struct conn *c)
{
	return c->failures < MOST_TRIES && (!c->misses || c->retry_at - c->missed_at < c->t->f->o.away_ms);
}

static void conn_lost(struct conn *c, const struct err *e)
{
	struct thread *t = c->t;
	bool left = false;

	h2_close(c->h);
	c->h = NULL;
	c->over = c->stalled = false;
	if (c->up || !t->ever)
		c->failures++;
	else if (c->misses++ == 0)
		c->missed_at = clock_ms();
	c->up = false;
	unsigned times = c->failures + c->misses;
	c->retry_at = clock_ms() + (RETRY_MS << (times < MOST_DOUBLED ? times : MOST_DOUBLED));
	/* Who was never there is tried over each of them, once: one may be refused where there are too many. */
	for (unsigned i = 0; i < t->n; i++)
		left |= t->conn[i].h || (t->ever ? conn_may(&t->conn[i]) : t->conn[i].failures < 1);
	if (!left)
		thread_useless(t, e);
}

static void conn_open(struct conn *c)
{
	struct thread *t = c->t;
	struct err e;
	struct h2_opts o = { .host = t->f->url.host,
		.port = t->f->url.port,
		.tls = t->f->url.tls,
		.ca_file = t->f->o.ca_file,
		.connect_ms = t->f->o.connect_ms,
		.window = t->f->o.ahead,
		.tls_kept = &t->tls };

	if (c->retry_at)
		t->add.reconnects++;
	c->due = true;
	if (h2_open(&c->h, &o, &e) == 0)
		return;
	c->h = NULL;
	if (!t->ever) /* its name, say: that takes as long again */
		thread_useless(t, &e);
	conn_lost(c, &e);
}

static void conn_up(struct conn *c)
{
	c->t->ever = c->up = true;
	c->misses = 0;
}

static void conns_keep(struct thread *t)
{
	static const struct err leaves = { .code = ERR_BUSY, .msg = "the server is shutting down" };
	static const struct err mute = { .code = ERR_TIMEOUT, .msg = "the server stopped sending" };
	int64_t now = clock_ms();

	for (unsigned i = 0; i < t->n; i++) {
		struct conn *c = &t->conn[i];
		struct err e;
		if (!c->h && !t->useless && is_wanting(t) && conn_may(c) && now >= c->retry_at)
			conn_open(c);
		bool due = c->due;
		c->due = false;
		int rc = !c->h ? 0 : due ? h2_drive(c->h, &e) : h2_flush(c->h, &e);
		if (rc < 0)
			conn_lost(c, &e);
		else if (c->h && h2_ready(c->h))
			conn_up(c);
		if (due && rc == 0 && c->h) /* what has come counts, however late it is read */
			asks_stalled(c);
		if (c->h && (c->over || h2_going(c->h)) && c->nasks == 0) /* the server need not close it */
			conn_lost(c, c->stalled ? &mute : &leaves);
	}
}

/* -- the thread --------------------------------------------------------------------------------- */

/* Takes what the loop handed in, hands back what there is. False: stop. */
static bool exchange(struct thread *t)
{
	struct pack_fetcher *f = t->f;
	struct want_list in;
	uint64_t one = 1;

	pthread_mutex_lock(&f->lock);
	bool go = !f->stop;
	in = f->in;
	f->in = (struct want_list){ 0 };
	bool tell = t->news.n > 0 || t->tell;
	t->tell = false;
	for (struct pack_want *w; (w = want_take(&t->news));)
		want_add(&f->news, w);
	f->counts.bytes += t->add.bytes;
	f->counts.requests += t->add.requests;
	f->counts.reconnects += t->add.reconnects;
	if (t->add.most_bytes > f->counts.most_bytes)
		f->counts.most_bytes = t->add.most_bytes;
	t->add = (struct pack_counts){ .most_bytes = t->add.most_bytes };
	pthread_mutex_unlock(&f->lock);
	if (tell && write(f->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
	for (struct pack_want *w; (w = want_take(&in));) {
		if (w->size)
			want_known(t, w);
		else
			want_add(&t->find, w);
	}
	return go;
}

static void asks_drop(struct thread *t, struct conn *c)
{
	for (struct ask *a; (a = c->asks);) {
		c->asks = a->next;
		for (struct pack_want *w; (w = want_take(&a->want));) {
			if (a->kind != ASK_FIND)
				atomic_fetch_sub(&t->f->held, w->hold);
			want_absent(t, w, &t->why);
		}
		ask_free(a);
	}
	c->nasks = 0;
}

/* No more of this server: whatever is under way has to come from somewhere else. */
static void give_up(struct thread *t)
{
	struct want_list parked, *l[] = { &t->find, &t->large, &t->get, &parked };

	for (unsigned i = 0; i < t->n; i++) {
		h2_close(t->conn[i].h); /* calls nobody back */
		t->conn[i].h = NULL;
		asks_drop(t, &t->conn[i]);
	}
	t->streams = 0;
	pthread_mutex_lock(&t->f->lock);
	parked = t->f->parked;
	t->f->parked = (struct want_list){ 0 };
	pthread_mutex_unlock(&t->f->lock);
	for (int i = 0; i < 4; i++) {
		for (struct pack_want *w; (w = want_take(l[i]));)
			want_absent(t, w, &t->why);
	}
}

/* A link brings a few segments at a time. To look after each took 1.2 s of CPU for 284 MB at 200 Mbit/s, and 0.5 s
 * so. */
static void gather(const struct thread *t)
{
	if (atomic_load(&t->f->held) > BULK)
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_NS }, NULL);
}

static void wait_events(struct thread *t)
{
	struct pollfd p[MOST_CONNECTIONS + 1] = { { .fd = t->f->wake, .events = POLLIN } };
	int64_t now = clock_ms(), by = t->share ? share_ends_ms(t) : INT64_MAX;
	uint64_t count;

	for (unsigned i = 0; i < t->n; i++) {
		struct conn *c = &t->conn[i];
		int64_t at = -1;
		p[i + 1].fd = -1;
		if (c->h) {
			p[i + 1] = (struct pollfd){ .fd = h2_fd(c->h), .events = h2_events(c->h) };
			at = h2_deadline_ms(c->h);
			int64_t stall = asks_stall_ms(c);
			by = stall < by ? stall : by;
		} else if (is_wanting(t) && conn_may(c)) {
			at = c->retry_at;
		}
		if (at >= 0 && at < by)
			by = at;
	}
	int64_t wait = by == INT64_MAX ? -1 : by > now ? by - now : 0;
	if (poll(p, t->n + 1, wait > INT_MAX ? INT_MAX : (int)wait) < 0 && errno != EINTR)
		abort();
	for (unsigned i = 0; i < t->n; i++)
		t->conn[i].due |= p[i + 1].revents != 0 || asks_stall_ms(&t->conn[i]) <= clock_ms();
	if (p[0].revents && read(t->f->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
}

static void list_drop(struct want_list *l)
{
	for (struct pack_want *w; (w = want_take(l));) {
		if (!w->feed) /* else the fetcher has it */
			want_free(w);
	}
}

static void thread_end(struct thread *t)
{
	give_up(t);
	list_drop(&t->find);
	list_drop(&t->large);
	list_drop(&t->get);
	list_drop(&t->news);
	h2_tls_free(&t->tls);
}

void *pack_conn_run(void *fetcher)
{
	struct pack_fetcher *f = fetcher;
	struct thread t = { .f = f, .n = f->o.connections < MOST_CONNECTIONS ? f->o.connections : MOST_CONNECTIONS };

	for (unsigned i = 0; i < t.n; i++) {
		t.conn[i].t = &t;
		if (f->o.connect && !t.useless) /* a name server that says nothing is waited for once */
			conn_open(&t.conn[i]);
	}
	while (exchange(&t)) {
		for (bool more = true; more && !t.useless;) {
			conns_keep(&t);
			more = streams_go(&t);
			more |= !t.useless && ask_all(&t); /* which goes out */
		}
		if (t.useless)
			give_up(&t);
		if (t.news.n == 0 && !t.tell) {
			gather(&t);
			wait_events(&t);
		}
	}
	thread_end(&t);
	return NULL;
}
