/* route — from a request's method and path to its handler, and answers that are not plans.
 *
 * The one includer of h2o: who includes this are listen, accept, answer, route and the
 * handlers, h_*. Everything here runs on the loop's thread. */
#pragma once
#include "clients.h"
#include "server.h"
#include "watch.h"
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <semaphore.h>

/* One thread's loop. */
struct loop {
	struct server *s;
	h2o_context_t ctx;
	h2o_accept_ctx_t accept;
	h2o_multithread_receiver_t receiver; /* messages of plans */
	h2o_multithread_receiver_t calls;    /* struct loop_call */
	struct reg_job *registry_jobs;       /* whose response has not ended */
	h2o_timeout_t flush;                 /* how long a frame may wait for company */
	struct plan_job *jobs;               /* whose response has not ended */
	struct packs_stream *streams;        /* likewise */
	struct answer *answers;              /* likewise; answer.c */
	struct watch_slot watch;
	uint64_t next_id; /* of requests */
	unsigned njobs;
	_Atomic unsigned nconns; /* also those that it is yet to be handed */
	atomic_bool takes;       /* connections that other loops accepted */
	struct door *door;
	int64_t paused_ms; /* since when it accepts nothing; 0: it does */
	h2o_socket_t **listener;
	size_t nlisteners;
	pthread_t tid;
	sem_t up; /* posted when it serves, or RC tells why not */
	int rc;
	struct err err;
};
/* A message that runs on the loop's thread. */
struct loop_call {
	h2o_multithread_message_t super; /* first */
	void (*run)(struct loop_call *c);
};
/* One connection; hangs on the socket's on_close.data. */
struct conn {
	struct loop *loop;
	unsigned requests, resets, plans;
	struct client_key client;
};
/* The loop on whose thread this is. */
struct loop *req_loop(h2o_req_t *req);
/* Who sent REQ, to be released; false: it has been answered (401, 429). */
bool admit(struct identity **out, h2o_req_t *req);
/* The peer's address as text, for counting and logs; "-" where h2o does not tell. */
void peer_print(char out[64], const h2o_req_t *req);
/* Answers an error of auth.h: 401, 403, or 429 with Retry-After. */
void answer_auth(h2o_req_t *req, const struct err *e);
/* NULL where h2o does not tell. */
struct conn *req_conn(h2o_req_t *req);
/* REQ's peer did not wait for its answer: counted once a request, however often it is said. Who resets streams
 * as nothing but an attacker does is cut off. Said by whoever alone knows (a stream of unknown length); of the
 * rest the logger sees it. */
void count_reset(h2o_req_t *req);

/* h2o's handler of all requests. */
int route(h2o_handler_t *self, h2o_req_t *req);
/* The rows' labels in metrics, the last one for what has no row; N of them. */
void route_labels(const char *label[METRICS_ROUTES], unsigned *n);
/* h2o's logger: counts and logs a request that has ended. */
void route_log(h2o_logger_t *self, h2o_req_t *req);
/* Its X-Request-Id: the client's where that is sane, else one of ours; lives as long as REQ. */
str req_id(h2o_req_t *req);
/* The body of an error, for curl's user and for a client: {"error":"ERR_DRAY_…","message":"…"}. */
void answer_json(struct buf *b, int code, str message);
/* As answer_json() has it: E, with the status of its code; CODE and MESSAGE with STATUS, for a handler to end with (0).
 * BODY, a text of TYPE. A header of the answer that follows. All is copied. */
void answer_error(h2o_req_t *req, const struct err *e);
int answer_status(h2o_req_t *req, int status, int code, const char *message);
void answer_text(h2o_req_t *req, int status, const char *type, str body);
void answer_header(h2o_req_t *req, const char *name, str value);
/* answer.c: N bytes at P, which REQ's pool has or holds, with the head that is set; of HEAD that alone. */
void answer_bytes(h2o_req_t *req, const void *p, size_t n);
/* What streams has an end, behind N bytes: said before the last of them are sent, so that the logger can tell
 * whether its peer took them all. */
void answer_whole(h2o_req_t *req, uint64_t n);
/* The same, and the last, TAIL bytes, are not watched by who sends them: it counts as under way
 * until its peer has them. */
void answer_tail(h2o_req_t *req, uint64_t n, size_t tail);
/* Bytes that are with h2o: since when its peer has taken none of them. */
struct sending {
	size_t n;
	uint64_t taken; /* of the response, when that was last looked at */
	int64_t ms;
};
enum { SEND_PIECE = 256 * 1024 };
/* N bytes more were given to h2o. */
void send_begin(struct sending *w, size_t n);
/* For STALL_MS; over HTTP/1.1, where h2o does not say how far it has come, for as long as that for
 * each SEND_PIECE of them. */
bool send_stalls(struct sending *w, const h2o_req_t *req, int64_t stall_ms, int64_t now_ms);
/* Shuts down the connection of REQ if so. */
void send_check(struct sending *w, h2o_req_t *req, int64_t now_ms);

int h_plan(h2o_req_t *req);
/* On the loop's thread: a plan has something to send. */
void h_plan_message(h2o_multithread_message_t *m);
/* Shuts down the connection of REQ, whose peer takes nothing of a response for longer than `stall`. */
void stalled(h2o_req_t *req, int64_t ms);
/* Every second: so with packs, with plans, with tarballs that stream, and with answers that are whole. */
void h_packs_tick(struct loop *l, int64_t now_ms);
void h_plan_tick(struct loop *l, int64_t now_ms);
void h_registry_tick(struct loop *l, int64_t now_ms);
void answer_tick(struct loop *l, int64_t now_ms);
/* The loop ends: its plans are cancelled and send no more messages. */
void h_plan_abandon(struct loop *l);
/* h_packs.c */
int h_packs(h2o_req_t *req);
int h_packs_find(h2o_req_t *req);
int h_pack(h2o_req_t *req);
/* h_registry.c: what has no row. */
int h_registry(h2o_req_t *req);
/* A change of the token file, by a worker since it may wait, and its answer: JSON appended to OUT, sent with `status`.
 * The server may end meanwhile, so work() has nothing of it but copies. */
struct later {
	int (*work)(const struct later *l, struct buf *out, struct err *e);
	str tokens, name; /* the file; copied, both */
	uint8_t sha256[32];
	unsigned days;
	int status;
};
/* Only where there is a surface. */
int h_registry_later(h2o_req_t *req, const struct later *l);
/* h_login.c: paths below "-/", without the slash before it. Login needs no identity. */
bool h_login_wants(str path);
int h_login(h2o_req_t *req, str path);
int h_own(h2o_req_t *req, const struct identity *who, str path);
/* Whether REQ is an npm client's, for paths that are also names of packages. */
bool h_registry_wants(h2o_req_t *req);
/* The loop ends: its requests send no more messages. */
void h_registry_abandon(struct loop *l);
/* What GET /v1/info, /v1/health, /v1/ready and /metrics answer. */
int h_info(h2o_req_t *req);
int h_health(h2o_req_t *req);
int h_ready(h2o_req_t *req);
int h_metrics(h2o_req_t *req);
/* h_page.c: the status page. */
int h_page(h2o_req_t *req);
