/* Answers whose bytes are all there, of any kind, and the last bytes of those that stream: while a peer has
 * not taken them the request counts as under way, so that a drain waits for it, and a peer that takes
 * nothing at all is noticed. */
#include "base/clock.h"
#include "route.h"

/* In the request's pool; dispose() runs whichever way the request ends. */
struct answer {
	h2o_generator_t gen; /* first: h2o gives it back to us */
	struct loop *loop;
	struct answer *next, **link; /* of the loop's */
	h2o_req_t *req;
	const char *p;
	size_t left;
	struct sending sent;
};

void send_begin(struct sending *w, size_t n)
{
	w->n = n;
	w->ms = clock_ms();
}

bool send_stalls(struct sending *w, const h2o_req_t *req, int64_t stall_ms, int64_t now_ms)
{
	if (req->bytes_sent != w->taken) { /* HTTP/2: what its windows let through */
		w->taken = req->bytes_sent;
		w->ms = now_ms;
	}
	if (req->version < 0x200 && w->n > SEND_PIECE)
		stall_ms *= (int64_t)((w->n + SEND_PIECE - 1) / SEND_PIECE);
	return now_ms - w->ms >= stall_ms;
}

void send_check(struct sending *w, h2o_req_t *req, int64_t now_ms)
{
	if (!send_stalls(w, req, (int64_t)req_loop(req)->s->config->stall_s * 1000, now_ms))
		return;
	stalled(req, now_ms - w->ms);
	w->ms = now_ms;
}

static void answer_dispose(void *arg)
{
	struct answer *a = arg;

	*a->link = a->next;
	if (a->next)
		a->next->link = a->link;
	a->loop->njobs--;
}

/* N bytes of it are about to be sent. */
static struct answer *answer_new(h2o_req_t *req, size_t n)
{
	struct answer *a = h2o_mem_alloc_shared(&req->pool, sizeof(*a), answer_dispose);

	memset(a, 0, sizeof(*a));
	a->loop = req_loop(req);
	a->req = req;
	send_begin(&a->sent, n);
	a->next = a->loop->answers;
	a->link = &a->loop->answers;
	a->loop->answers = a;
	if (a->next)
		a->next->link = &a->next;
	a->loop->njobs++;
	return a;
}

static void answer_piece(struct answer *a)
{
	size_t n = a->req->version < 0x200 && a->left > SEND_PIECE ? (size_t)SEND_PIECE : a->left;
	h2o_iovec_t v = h2o_iovec_init(a->p, n);

	a->p += n;
	a->left -= n;
	send_begin(&a->sent, n);
	h2o_send(a->req, &v, n ? 1 : 0, a->left ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_FINAL);
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)req;
	answer_piece((struct answer *)gen);
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)gen;
	(void)req; /* the pool disposes, and the logger counts it */
}

void answer_bytes(h2o_req_t *req, const void *p, size_t n)
{
	struct answer *a = answer_new(req, 0);

	a->gen = (h2o_generator_t){ on_proceed, on_stop };
	a->p = p;
	a->left = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")) ? 0 : n;
	h2o_start_response(req, &a->gen);
	answer_piece(a);
}

void answer_whole(h2o_req_t *req, uint64_t n)
{
	/* HTTP/1.1 has decided by now how the end is to be told. */
	if (req->version >= 0x200 && req->res.content_length == SIZE_MAX)
		req->res.content_length = (size_t)n;
}

void answer_tail(h2o_req_t *req, uint64_t n, size_t tail)
{
	answer_whole(req, n);
	(void)answer_new(req, tail);
}

void answer_tick(struct loop *l, int64_t now_ms)
{
	for (struct answer *a = l->answers; a; a = a->next)
		send_check(&a->sent, a->req, now_ms);
}
