#include "load.h"
#include "draw.h"
#include "h2_session.h"
#include "measure.h"
#include "packs_wire.h"
#include "plan_wire.h"
#include <poll.h>
#include <stdlib.h>

static const char *const kinds[LOAD_NKINDS] = { "plan, asked before", "plan, new", "packs" };

const char *load_kind_name(enum load_kind k)
{
	return kinds[k];
}

struct load;
struct client {
	struct load *l;
	struct h2 *h;
	int32_t id;
	enum load_kind kind;
	const struct load_body *of; /* whose packs are next */
	struct buf ask;
	double sent_s;
	uint64_t bytes;
	bool busy;
	uint64_t rng;
};
struct load {
	const struct load_opts *o;
	struct load_result *out;
	struct client *client;
	size_t next_known, next_fresh;
	double start_s;
	bool over;
};

static void add_sample(struct load_kind_result *k, double ms)
{
	if (k->n == LOAD_MOST_SAMPLES)
		return;
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 4096;
		k->ms = xrealloc(k->ms, k->cap * sizeof(*k->ms));
	}
	k->ms[k->n++] = (float)ms;
}

static int on_data(void *arg, const struct h2_response *r, const void *p, size_t n)
{
	struct client *c = arg;

	(void)r;
	(void)p;
	c->bytes += n;
	h2_consume(c->h, c->id, n);
	return 0;
}

static void on_done(void *arg, int code, const struct h2_response *r, const struct err *e)
{
	struct client *c = arg;
	struct load_result *out = c->l->out;
	struct load_kind_result *k = &out->kind[c->kind];
	int status = code == 0 ? r->status : 0;

	c->busy = false;
	if (c->l->over)
		return; /* cut off by the end of the run */
	out->status[status >= 0 && status < LOAD_MOST_STATUS ? status : 0]++;
	k->bytes += c->bytes;
	if (status == 200)
		add_sample(k, (measure_now() - c->sent_s) * 1e3);
	else
		k->failed++;
	if (code < 0)
		out->last = *e;
}

/* Some of the packs of the plan that came last, chosen anew each time. */
static void ask_packs(struct client *c)
{
	buf_clear(&c->ask);
	buf_add(&c->ask, STR(PACKS_MAGIC));
	for (unsigned i = 0; i < c->l->o->packs; i++)
		buf_add(&c->ask,
			(str){ (const char *)c->of->rows + draw(&c->rng) % c->of->npacks * PACKS_ROW, PACKS_ROW });
}

static int send_next(struct client *c, struct err *e)
{
	struct load *l = c->l;
	const struct load_opts *o = l->o;
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	struct h2_request r = { .method = STR("POST"), .data = on_data, .done = on_done, .arg = c };

	r.authority = arena_printf(&a, STR_FMT ":" STR_FMT, STR_ARG(o->host), STR_ARG(o->port));
	if (c->of && c->of->npacks && o->packs) {
		ask_packs(c);
		c->of = NULL;
		c->kind = LOAD_PACKS;
		r.path = STR("/v1/packs");
		r.content_type = STR(PACKS_TYPE);
		r.body = buf_str(&c->ask);
	} else {
		bool fresh = l->next_fresh < o->nfresh && draw(&c->rng) % 100 < o->fresh_percent;
		c->of = fresh ? &o->fresh[l->next_fresh++] : &o->known[l->next_known++ % o->nknown];
		c->kind = fresh ? LOAD_FRESH : LOAD_PLAN;
		r.path = STR("/v1/plan");
		r.content_type = STR(PLAN_REQUEST_TYPE);
		r.body = c->of->body;
	}
	c->bytes = 0;
	c->sent_s = measure_now();
	c->busy = true;
	return h2_send(c->h, &c->id, &r, e);
}

/* Opens, drives, sends; what breaks is opened again. */
static void client_step(struct client *c)
{
	struct h2_opts conn = { .host = c->l->o->host, .port = c->l->o->port, .connect_ms = 5000 };
	struct err e = { 0 };

	if (!c->h && h2_open(&c->h, &conn, &e) < 0) {
		c->h = NULL;
		c->l->out->status[0]++;
		c->l->out->last = e;
		return;
	}
	bool lost = h2_drive(c->h, &e) < 0;
	if (!lost && !c->busy && h2_ready(c->h) && !c->l->over)
		lost = send_next(c, &e) < 0 || h2_drive(c->h, &e) < 0;
	if (!lost)
		return;
	if (!c->busy) /* else its request was counted */
		c->l->out->status[0]++;
	c->l->out->last = e;
	h2_close(c->h);
	c->h = NULL;
	c->busy = false;
	c->of = NULL;
}

static void poll_clients(struct load *l, struct pollfd *fds)
{
	unsigned n = l->o->clients;

	for (unsigned i = 0; i < n; i++) {
		struct client *c = &l->client[i];
		fds[i] = (struct pollfd){ .fd = c->h ? h2_fd(c->h) : -1, .events = c->h ? h2_events(c->h) : 0 };
	}
	poll(fds, n, 20);
	for (unsigned i = 0; i < n; i++) {
		if (fds[i].revents || !l->client[i].h)
			client_step(&l->client[i]);
	}
}

int load_run(struct load_result *out, const struct load_opts *o, struct err *e)
{
	struct load l = { .o = o, .out = out };
	struct pollfd *fds = xcalloc(o->clients, sizeof(*fds));
	double ticked = 0;

	*out = (struct load_result){ 0 };
	if (o->nknown == 0) {
		free(fds);
		return err_set(e, ERR_USAGE, "no request to send");
	}
	l.client = xcalloc(o->clients, sizeof(*l.client));
	l.start_s = measure_now();
	for (unsigned i = 0; i < o->clients; i++) {
		l.client[i].l = &l;
		l.client[i].rng = DRAW_SEED + i; /* neighbours soon differ in all bits */
		client_step(&l.client[i]);
	}
	for (double at = 0; at < o->seconds; at = measure_now() - l.start_s) {
		poll_clients(&l, fds);
		if (o->tick && at >= ticked) {
			o->tick(o->arg, at);
			ticked += 0.25;
		}
	}
	out->wall_s = measure_now() - l.start_s;
	l.over = true;
	for (unsigned i = 0; i < o->clients; i++) {
		if (l.client[i].h)
			h2_close(l.client[i].h);
		buf_release(&l.client[i].ask);
	}
	free(l.client);
	free(fds);
	return 0;
}

void load_result_release(struct load_result *r)
{
	for (int k = 0; k < LOAD_NKINDS; k++)
		free(r->kind[k].ms);
	*r = (struct load_result){ 0 };
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

double load_percentile(struct load_kind_result *k, double share)
{
	if (k->n == 0)
		return 0;
	qsort(k->ms, k->n, sizeof(*k->ms), by_value);
	size_t i = (size_t)(share * (double)k->n);
	return (double)k->ms[i < k->n ? i : k->n - 1];
}

/* ---- one request, and where its packs are, asked as a client does ---- */

struct lesson {
	struct h2 *h;
	int32_t id;
	struct plan_reader *reader;
	struct buf keys, found;
	struct err err;
	bool finding, done;
};

static int on_frame(void *ctx, const struct frame *f, struct err *e)
{
	struct lesson *l = ctx;
	uint8_t key[PACKS_KEY];

	if (f->kind == FRAME_FAILURE)
		return err_set(e, f->failure.code, STR_FMT, STR_ARG(f->failure.text));
	if (f->kind == FRAME_PACKAGE && !f->package.skip && packs_key(key, f->package.meta.resolution.integrity) &&
		l->keys.n < (size_t)PACKS_MOST_KEYS * PACKS_KEY)
		buf_add(&l->keys, (str){ (const char *)key, PACKS_KEY });
	return 0;
}

static int on_lesson_data(void *arg, const struct h2_response *r, const void *p, size_t n)
{
	struct lesson *l = arg;

	h2_consume(l->h, l->id, n);
	if (r->status == 200 && l->finding)
		buf_add(&l->found, (str){ p, n });
	return r->status == 200 && !l->finding ? plan_reader_push(l->reader, (str){ p, n }, on_frame, l, &l->err) : 0;
}

static void on_lesson_done(void *arg, int code, const struct h2_response *r, const struct err *e)
{
	struct lesson *l = arg;

	l->done = true;
	if (code < 0 && l->err.code == 0)
		l->err = *e;
	else if (code == 0 && r->status != 200)
		err_set(&l->err, ERR_NET, "drayd answers %d", r->status);
	else if (code == 0 && !l->finding)
		code = plan_reader_end(l->reader, &l->err); /* stands in l->err */
}

/* Sends R and waits for the end of the answer. */
static int lesson_ask(struct lesson *l, struct h2_request *r, struct err *e)
{
	bool sent = false;
	int rc = 0;

	l->done = false;
	while (rc == 0 && !l->done) {
		struct pollfd fd = { .fd = h2_fd(l->h), .events = h2_events(l->h) };
		poll(&fd, 1, sent ? 100 : 1);
		rc = h2_drive(l->h, e);
		if (rc == 0 && !sent && h2_ready(l->h)) {
			sent = true;
			rc = h2_send(l->h, &l->id, r, e);
		}
	}
	if (rc == 0 && l->err.code < 0) {
		*e = l->err;
		rc = e->code;
	}
	return rc;
}

/* Rows of the packs that are ready: an answer's digest and size, as a request's digest and first byte. */
static void keep_rows(struct load_body *b, str found, struct arena *a)
{
	AUTO(buf_release) struct buf rows = BUF_INIT;
	uint8_t digest[32];

	for (size_t at = 0; at + PACKS_ROW <= found.n; at += PACKS_ROW) {
		if (packs_row_get(digest, found.p + at) > 0)
			packs_row_put(&rows, digest, 0);
	}
	b->rows = (uint8_t *)(uintptr_t)arena_str(a, buf_str(&rows)).p;
	b->npacks = rows.n / PACKS_ROW;
}

int load_learn(struct load_body *b, const struct load_opts *o, struct arena *a, struct err *e)
{
	struct lesson l = { .reader = plan_reader_new() };
	struct h2_opts conn = { .host = o->host, .port = o->port, .connect_ms = 5000 };
	struct h2_request r = { .method = STR("POST"),
		.path = STR("/v1/plan"),
		.content_type = STR(PLAN_REQUEST_TYPE),
		.body = b->body,
		.data = on_lesson_data,
		.done = on_lesson_done,
		.arg = &l };

	r.authority = arena_printf(a, STR_FMT ":" STR_FMT, STR_ARG(o->host), STR_ARG(o->port));
	buf_add(&l.keys, STR(PACKS_FIND_MAGIC));
	int rc = h2_open(&l.h, &conn, e);
	if (rc == 0)
		rc = lesson_ask(&l, &r, e);
	if (rc == 0) {
		l.finding = true;
		r.path = STR("/v1/packs/find");
		r.content_type = STR(PACKS_FIND_TYPE);
		r.body = buf_str(&l.keys);
		rc = lesson_ask(&l, &r, e);
	}
	if (rc == 0)
		keep_rows(b, buf_str(&l.found), a);
	if (l.h)
		h2_close(l.h);
	plan_reader_free(l.reader);
	buf_release(&l.keys);
	buf_release(&l.found);
	return rc;
}
