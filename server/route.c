#include "route.h"
#include "base/json.h"
#include <sys/socket.h>

struct row {
	const char *method, *path;
	int (*fn)(h2o_req_t *req);
	bool http2_only;
};
static const struct row rows[] = {
	{ "POST", "/v1/plan", h_plan, true },
	{ "POST", "/v1/packs", h_packs, true },
	{ "POST", "/v1/packs/find", h_packs_find, true },
	{ "GET", "/v1/packs/", h_pack, false }, /* and what follows it */
	{ "GET", "/v1/health", h_health, false },
	{ "GET", "/v1/ready", h_ready, false },
	{ "GET", "/metrics", h_metrics, false },
};

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

void conn_check(h2o_req_t *req, struct conn *c)
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
	h2o_send_inline(req, copy.base, copy.len);
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
	if (status == 429 || status == 503)
		answer_header(req, "retry-after", STR("1"));
	answer_text(req, status, "application/json", buf_str(&b));
}

void answer_error(h2o_req_t *req, const struct err *e)
{
	answer(req, err_http_status(e->code), e->code, str_of(e->msg));
}

void answer_status(h2o_req_t *req, int status, int code, const char *message)
{
	answer(req, status, code, str_of(message));
}

int route(h2o_handler_t *self, h2o_req_t *req)
{
	struct conn *c = req_conn(req);
	bool path_known = false;
	h2o_iovec_t path = h2o_iovec_init(req->path.base, req->query_at == SIZE_MAX ? req->path.len : req->query_at);

	(void)self;
	atomic_fetch_add_explicit(&req_loop(req)->s->n.requests, 1, memory_order_relaxed);
	if (c)
		c->requests++;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!row_is(path, rows[i].path))
			continue;
		path_known = true;
		if (!iov_is(req->method, rows[i].method))
			continue;
		if (rows[i].http2_only && req->version < 0x200) {
			answer_status(req, 505, ERR_PROTOCOL, "this path is served over HTTP/2 only");
			return 0;
		}
		return rows[i].fn(req);
	}
	if (path_known)
		answer_status(req, 405, ERR_USAGE, "method not allowed here");
	else
		answer_status(req, 404, ERR_NOTFOUND, "no such path");
	return 0;
}
