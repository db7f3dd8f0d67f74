#include "route.h"
#include "base/json.h"
#include "http1_head.h"
#include "integrity.h"
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct row {
	const char *method, *path;
	int (*fn)(h2o_req_t *req);
	bool http2_only;
	bool open;   /* for whoever can reach this server; or it asks admit() itself */
	bool polled; /* by machines, every few seconds: logged at debug */
	bool shared; /* what caches between may keep for others: no id in the answer but the client's own */
};
static const struct row rows[] = {
	{ "POST", "/v1/plan", h_plan, true, true, false, false },
	{ "POST", "/v1/packs", h_packs, true, true, false, false },
	{ "POST", "/v1/packs/find", h_packs_find, true, true, false, false },
	{ "GET", "/v1/packs/", h_pack, false, true, false, true }, /* and what follows it */
	{ "GET", "/v1/info", h_info, false, true, false, false },
	{ "GET", "/v1/health", h_health, false, true, true, false },
	{ "GET", "/v1/ready", h_ready, false, true, true, false },
	{ "GET", "/metrics", h_metrics, false, false, true, false },
	{ "GET", "/", h_page, false, true, false, false },
};
enum { NROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)NROWS < (int)METRICS_ROUTES, "a counter for each row and one for what has none");

/* Streams that a peer has opened and reset before it counts as abuse, and their share of all. */
enum { RESETS_MAX = 200 };

/* A row whose path ends with a slash stands for everything below it that has no row before it. */
static bool row_is(h2o_iovec_t path, const char *s)
{
	size_t n = strlen(s);

	return n > 1 && s[n - 1] == '/' ? path.len > n && memcmp(path.base, s, n) == 0
					: h2o_memis(path.base, path.len, s, n);
}

static bool iov_is(h2o_iovec_t v, const char *s)
{
	return h2o_memis(v.base, v.len, s, strlen(s));
}

struct loop *req_loop(h2o_req_t *req)
{
	return H2O_STRUCT_FROM_MEMBER(struct loop, ctx, req->conn->ctx);
}

struct conn *req_conn(h2o_req_t *req)
{
	h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);

	return sock ? sock->on_close.data : NULL;
}

/* Shuts the connection's socket down when its peer resets streams as nothing but an attacker does. */
static void conn_check(h2o_req_t *req, struct conn *c)
{
	if (c->resets < RESETS_MAX || c->resets < c->requests / 2)
		return;
	h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
	if (sock && c->resets != UINT32_MAX) {
		log_warn("abuse", "what=resets requests=%u resets=%u", c->requests, c->resets);
		atomic_fetch_add(&c->loop->s->n.abusive, 1);
		shutdown(h2o_socket_get_fd(sock), SHUT_RDWR); /* closing under h2o's feet is not ours to do */
		c->resets = UINT32_MAX;
	}
}

/* ---- a request's id ---- */

static const char id_name[] = "x-request-id";
enum { ID_NAME = sizeof(id_name) - 1 };

str req_id(h2o_req_t *req)
{
	h2o_iovec_t *v = h2o_req_getenv(req, id_name, ID_NAME, 0);

	return v ? (str){ v->base, v->len } : STR("-");
}

static void id_answer(h2o_req_t *req)
{
	str id = req_id(req);

	if (h2o_find_header_by_str(&req->res.headers, id_name, ID_NAME, -1) < 0)
		h2o_add_header_by_str(&req->pool, &req->res.headers, id_name, ID_NAME, 0, NULL, id.p, id.n);
}

/* ---- answers ---- */

void answer_header(h2o_req_t *req, const char *name, str value)
{
	h2o_iovec_t v = h2o_strdup(&req->pool, value.p, value.n);

	h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 0, NULL, v.base, v.len);
}

void answer_text(h2o_req_t *req, int status, const char *type, str body)
{
	h2o_iovec_t copy = h2o_strdup(&req->pool, body.p, body.n);

	req->res.status = status;
	req->res.reason = "";
	req->res.content_length = body.n;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
	answer_bytes(req, copy.base, copy.len);
}

void answer_json(struct buf *b, int code, str message)
{
	buf_printf(b, "{\"error\":\"%s\",\"message\":", err_name(code));
	json_put_str(b, message);
	buf_add(b, STR("}\n"));
}

static void answer(h2o_req_t *req, int status, int code, str message)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	answer_json(&b, code, message);
	id_answer(req);
	if ((status == 429 || status == 503) &&
		h2o_find_header_by_str(&req->res.headers, H2O_STRLIT("retry-after"), -1) < 0)
		answer_header(req, "retry-after", STR("1"));
	answer_text(req, status, "application/json", buf_str(&b));
}

void answer_error(h2o_req_t *req, const struct err *e)
{
	answer(req, err_http_status(e->code), e->code, str_of(e->msg));
}

int answer_status(h2o_req_t *req, int status, int code, const char *message)
{
	answer(req, status, code, str_of(message));
	return 0;
}

/* ---- what is known of a request ---- */

static h2o_iovec_t req_path(const h2o_req_t *req)
{
	return h2o_iovec_init(req->path.base, req->query_at == SIZE_MAX ? req->path.len : req->query_at);
}

static unsigned req_row(const h2o_req_t *req)
{
	h2o_iovec_t path = req_path(req);

	for (unsigned i = 0; i < NROWS; i++) {
		if (row_is(path, rows[i].path) && iov_is(req->method, rows[i].method))
			return i;
	}
	return NROWS;
}

void route_labels(const char *label[METRICS_ROUTES], unsigned *n)
{
	for (unsigned i = 0; i < NROWS; i++)
		label[i] = rows[i].path;
	label[NROWS] = "other";
	*n = NROWS + 1;
}

/* What is sane in a log line: up to 64 of [A-Za-z0-9._-]. */
static bool id_sane(h2o_iovec_t v)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = v.base[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
			    c == '_' || c == '-'))
			return false;
	}
	return v.len > 0 && v.len <= 64;
}

/* Kept with the request. What is sent by the thousand and may be cached goes without an id of ours in its answer: one
 * that differs each time costs more than its bytes (probably as HPACK's table fills with them). */
static void id_give(h2o_req_t *req)
{
	ssize_t i = h2o_find_header_by_str(&req->headers, id_name, ID_NAME, -1);
	bool given = i >= 0 && id_sane(req->headers.entries[i].value);
	uint64_t id = req_loop(req)->next_id++;
	uint8_t be[8];
	h2o_iovec_t v;

	if (given) {
		v = req->headers.entries[i].value;
	} else {
		for (int k = 0; k < 8; k++)
			be[k] = (uint8_t)(id >> (56 - 8 * k));
		v = h2o_iovec_init(h2o_mem_alloc_pool(&req->pool, 17), 16);
		hex_print(v.base, be, 8);
	}
	*h2o_req_getenv(req, id_name, ID_NAME, 1) = v;
	unsigned row = given ? NROWS : req_row(req);
	if (given || row == NROWS || !rows[row].shared)
		id_answer(req);
}

void peer_print(char out[64], const h2o_req_t *req)
{
	struct sockaddr_storage sa;
	socklen_t n = req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&sa);

	snprintf(out, 64, "-");
	if (n && sa.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&sa)->sin_addr, out, 64);
	else if (n && sa.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&sa)->sin6_addr, out, 64);
}

/* What may be told of PATH: npm logs out of the token that it writes there. */
static h2o_iovec_t path_told(h2o_iovec_t path)
{
	static const char token[] = "/-/user/token/";
	size_t n = sizeof(token) - 1;

	return path.len > n && memcmp(path.base, token, n) == 0 ? h2o_iovec_init(path.base, n) : path;
}

/* The first ROOM - 1 bytes of what its sender wrote, a path or, over HTTP/2, a method: it may hold anything. */
static void sent_print(char *out, size_t room, h2o_iovec_t v)
{
	size_t n = v.len < room ? v.len : room - 1;

	for (size_t i = 0; i < n; i++) {
		char c = v.base[i];
		out[i] = c > ' ' && c < 0x7f && c != '"' && c != '\\' ? c : '?';
	}
	out[n] = 0;
}

static uint64_t us_since(const struct timeval *from)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	int64_t us = (int64_t)(now.tv_sec - from->tv_sec) * 1000000 + (now.tv_usec - from->tv_usec);
	return us > 0 ? (uint64_t)us : 0;
}

/* Whether its peer took less of the answer than there is. Of what streams only its handler knows. */
static bool cut_short(const h2o_req_t *req)
{
	return req->res.status == 0 ||
	       (req->res.content_length != SIZE_MAX && req->bytes_sent < req->res.content_length &&
		       !iov_is(req->method, "HEAD"));
}

void count_reset(h2o_req_t *req)
{
	static const char name[] = "reset-counted";
	struct conn *c = req_conn(req);
	h2o_iovec_t *counted = h2o_req_getenv(req, name, sizeof(name) - 1, 1);

	if (counted->base)
		return;
	*counted = h2o_iovec_init(name, sizeof(name) - 1);
	atomic_fetch_add(&req_loop(req)->s->n.resets, 1);
	if (!c)
		return;
	c->resets += c->resets != UINT32_MAX;
	conn_check(req, c);
}

void route_log(h2o_logger_t *self, h2o_req_t *req)
{
	struct loop *l = req_loop(req);
	struct counts *n = &l->s->n;
	unsigned row = req_row(req);
	int status = req->res.status ? req->res.status : 499;
	uint64_t us = us_since(&req->timestamps.request_begin_at);
	char peer[64], method[17], path[256];

	(void)self;
	if (cut_short(req))
		count_reset(req);
	counts_request(n, row, status);
	histogram_add(&n->request, us);
	atomic_fetch_sub_explicit(&n->streams, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&n->response_bytes, req->bytes_sent, memory_order_relaxed);
	if (status == 429 || status == 503)
		atomic_fetch_add_explicit(&n->rejected, 1, memory_order_relaxed);
	/* What machines ask every few seconds is no news. */
	enum log_level level = row < NROWS && rows[row].polled ? LOG_DEBUG : LOG_INFO;
	if (!log_on(level))
		return;
	peer_print(peer, req);
	sent_print(method, sizeof(method), req->method);
	sent_print(path, sizeof(path), path_told(req_path(req)));
	log_at(level, "access", "id=" STR_FMT " client=%s method=%s path=\"%s\" status=%d bytes=%zu ms=%.1f h=%d.%d",
		STR_ARG(req_id(req)), peer, method, path, status, req->bytes_sent, (double)us / 1000, req->version >> 8,
		req->version & 255);
}

void answer_auth(h2o_req_t *req, const struct err *e)
{
	if (e->code == ERR_BUSY) {
		answer_header(req, "retry-after", STR("60"));
		answer_status(req, 429, e->code, e->msg);
		return;
	}
	if (e->code == ERR_AUTH)
		answer_header(req, "www-authenticate", /* a browser asks its user only for what it calls basic */
			req_path(req).len == 1 ? STR("Basic realm=\"drayd: a token as the password\"")
					       : STR("Bearer realm=\"drayd\""));
	answer_error(req, e);
}

bool admit(struct identity **out, h2o_req_t *req)
{
	ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, -1);
	str authorization =
		i < 0 ? STR_NONE : (str){ req->headers.entries[i].value.base, req->headers.entries[i].value.len };
	char peer[64];
	struct err e;

	if (auth_anybody(out, req_loop(req)->s->auth))
		return true;
	peer_print(peer, req);
	if (auth_who(out, req_loop(req)->s->auth, authorization, str_of(peer), &e) == 0)
		return true;
	answer_auth(req, &e);
	return false;
}

/* For handlers that treat everybody alike. */
static bool admitted(h2o_req_t *req)
{
	struct identity *who;
	bool ok = admit(&who, req);

	if (ok)
		identity_release(who);
	return ok;
}

/* Whether REQ is framed as RFC 9112 asks; else it is answered, and its connection ends behind that. Until it is
 * answered the socket's input begins with its head. */
static bool framed(h2o_req_t *req)
{
	h2o_socket_t *sock = req->version < 0x200 ? req->conn->callbacks->get_socket(req->conn) : NULL;
	char text[128];
	bool chunked;

	if (!sock)
		return true;
	const char *why = http1_head_refuse(&chunked, (str){ sock->input->bytes, sock->input->size });
	if (why || chunked)
		req->http1_is_persistent = 0;
	if (!why)
		return true;
	snprintf(text, sizeof(text), "%s: RFC 9112 has no such request", why);
	answer_status(req, 400, ERR_PROTOCOL, text);
	return false;
}

static int route_row(h2o_req_t *req);

int route(h2o_handler_t *self, h2o_req_t *req)
{
	struct loop *l = req_loop(req);
	struct counts *n = &l->s->n;
	struct conn *c = req_conn(req);
	h2o_iovec_t path = path_told(req_path(req));

	(void)self;
	atomic_fetch_add_explicit(&n->requests, 1, memory_order_relaxed);
	if (c)
		c->requests++;
	id_give(req);
	bool full = atomic_fetch_add_explicit(&n->streams, 1, memory_order_relaxed) >= l->s->config->max_requests;
	if (!framed(req)) /* before anything else is answered: nothing may be read behind such a request */
		return 0;
	if (full)
		return answer_status(req, 503, ERR_BUSY, "too many requests at the same time (max-requests)");
	watch_enter(&l->watch, (str){ path.base, path.len }, req_id(req));
	int rc = route_row(req);
	watch_leave(&l->watch);
	return rc;
}

static int route_row(h2o_req_t *req)
{
	bool path_known = false;
	h2o_iovec_t path = req_path(req);

	for (size_t i = 0; i < NROWS; i++) {
		if (!row_is(path, rows[i].path))
			continue;
		if (rows[i].path[1] != 'v' && h_registry_wants(req))
			break; /* a package may be called "metrics" */
		path_known = true;
		if (!iov_is(req->method, rows[i].method))
			continue;
		if (rows[i].http2_only && req->version < 0x200) {
			return answer_status(req, 505, ERR_PROTOCOL, "this path is served over HTTP/2 only");
		}
		return rows[i].open || admitted(req) ? rows[i].fn(req) : 0;
	}
	if (path_known)
		answer_status(req, 405, ERR_USAGE, "method not allowed here");
	else
		return h_registry(req);
	return 0;
}
