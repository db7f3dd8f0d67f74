#include "serve.h"
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct body {
	char etag[32];
	struct buf plain, gzip;
};
struct server {
	const struct serve_opts *o;
	h2o_globalconf_t config;
	h2o_context_t ctx;
	h2o_accept_ctx_t accept;
	h2o_socket_t *listener;
	FILE *count;
	struct arena keys;
	struct map by_key; /* form, base and name -> index in .body */
	VEC(struct body *) body;
};
struct handler {
	h2o_handler_t super;
	struct server *s;
};
/* An answer on its way; in the request's pool. */
struct answer {
	h2o_generator_t super;
	bool cut; /* ends in the middle */
};

static volatile sig_atomic_t stopping; /* a signal handler reaches nothing else */

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static str header(const h2o_req_t *req, const h2o_token_t *token)
{
	ssize_t at = h2o_find_header(&req->headers, token, -1);

	return at < 0 ? STR_NONE : (str){ req->headers.entries[at].value.base, req->headers.entries[at].value.len };
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The path without query and percent escapes ("@scope%2fname"). */
static str path_of(h2o_req_t *req)
{
	str raw, query;

	str_cut((str){ req->path.base, req->path.len }, '?', &raw, &query);
	char *p = h2o_mem_alloc_pool(&req->pool, raw.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < raw.n; i++) {
		bool escape = raw.p[i] == '%' && i + 2 < raw.n && hex(raw.p[i + 1]) >= 0 && hex(raw.p[i + 2]) >= 0;
		p[n++] = escape ? (char)(hex(raw.p[i + 1]) * 16 + hex(raw.p[i + 2])) : raw.p[i];
		i += escape ? 2 : 0;
	}
	return (str){ p, n };
}

static struct body *body_new(const struct recording *r, str name, enum packument_form form, str base)
{
	struct body *b = xcalloc(1, sizeof(*b));

	if (!recording_json(&b->plain, r, name, form, base)) {
		free(b);
		return NULL;
	}
	snprintf(b->etag, sizeof(b->etag), "\"%016llx\"", (unsigned long long)str_hash(buf_str(&b->plain)));
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	if (!c)
		die_oom(0);
	size_t cap = libdeflate_gzip_compress_bound(c, b->plain.n);
	b->gzip.n = libdeflate_gzip_compress(c, b->plain.p, b->plain.n, buf_reserve(&b->gzip, cap), cap);
	libdeflate_free_compressor(c);
	return b;
}

/* Kept for the server's life: a recording does not change. NULL: not recorded. */
static struct body *body_of(struct server *s, str name, enum packument_form form, str base)
{
	char key[1024];
	int n = snprintf(key, sizeof(key), "%d " STR_FMT " " STR_FMT, (int)form, STR_ARG(base), STR_ARG(name));

	if (n < 0 || (size_t)n >= sizeof(key))
		return NULL;
	uint32_t i = map_get(&s->by_key, (str){ key, (size_t)n });
	if (i != MAP_NONE)
		return s->body.p[i];
	struct body *b = body_new(s->o->recording, name, form, base);
	if (b) {
		map_set(&s->by_key, arena_str(&s->keys, (str){ key, (size_t)n }), (uint32_t)s->body.n);
		*vec_add(&s->body) = b;
	}
	return b;
}

static void add_header(h2o_req_t *req, const h2o_token_t *token, str value)
{
	h2o_add_header(&req->pool, &req->res.headers, token, NULL, value.p, value.n);
}

/* A stalled answer stays where it is until the client leaves; another is over with its only send. */
static void proceed(h2o_generator_t *g, h2o_req_t *req)
{
	(void)g;
	(void)req;
}

static void count(struct server *s, const h2o_req_t *req, str path, int status)
{
	if (s->count)
		fprintf(s->count, "%.*s " STR_FMT " %d\n", (int)req->method.len, req->method.base, STR_ARG(path),
			status);
}

static void send_text(struct server *s, h2o_req_t *req, str path, int status, str text)
{
	count(s, req, path, status);
	req->res.status = status;
	req->res.reason = status < 300 ? "OK" : "Refused";
	req->res.content_length = text.n;
	add_header(req, H2O_TOKEN_CONTENT_TYPE, STR("application/json"));
	h2o_send_inline(req, text.p, text.n);
}

/* "bytes=N-" with a condition that holds: what is left of BYTES, and the header that says so. Other
 * ranges are not known here. */
static bool take_range(h2o_req_t *req, str *bytes, str etag)
{
	str range = header(req, H2O_TOKEN_RANGE), condition = header(req, H2O_TOKEN_IF_RANGE);
	uint64_t from;

	if (!str_starts(range, STR("bytes=")) || !str_ends(range, STR("-")) ||
		!str_u64((str){ range.p + 6, range.n - 7 }, &from) || from >= bytes->n ||
		(condition.n && !str_eq(condition, etag)))
		return false;
	char *said = h2o_mem_alloc_pool(&req->pool, 100);
	int n = snprintf(said, 100, "bytes %llu-%zu/%zu", (unsigned long long)from, bytes->n - 1, bytes->n);
	add_header(req, H2O_TOKEN_CONTENT_RANGE, (str){ said, (size_t)n });
	*bytes = str_from(*bytes, from);
	return true;
}

/* BYTES live as long as the server. */
static void send_bytes(struct server *s, h2o_req_t *req, str path, str bytes, str etag, const struct fault *f)
{
	struct answer *a = h2o_mem_alloc_pool(&req->pool, sizeof(*a));
	bool part = take_range(req, &bytes, etag);
	h2o_iovec_t body = { (char *)bytes.p, bytes.n };
	h2o_send_state_t state = H2O_SEND_STATE_FINAL;

	*a = (struct answer){ .super = { proceed, NULL } };
	req->res.status = part ? 206 : 200;
	req->res.reason = part ? "Partial Content" : "OK";
	count(s, req, path, req->res.status);
	req->res.content_length = bytes.n;
	if (f && f->kind == FAULT_INTEGRITY && bytes.n > 8) {
		body = h2o_strdup(&req->pool, bytes.p, bytes.n);
		body.base[4] ^= 1; /* gzip's time stamp: it unpacks, but has another digest */
	} else if (f) {
		body.len /= 2;
		state = f->kind == FAULT_STALL ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_ERROR;
	}
	if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")))
		body.len = 0; /* libh2o would send it */
	h2o_start_response(req, &a->super);
	h2o_send(req, &body, 1, state);
}

static struct fault *fault_of(struct server *s, str path)
{
	for (size_t i = 0; i < s->o->nfaults; i++) {
		struct fault *f = &s->o->fault[i];
		if (f->match.n && str_find_str(path, f->match, 0) == SIZE_MAX)
			continue;
		if (++f->seen % f->every == 0 && (!f->limit || f->done < f->limit)) {
			f->done++;
			return f;
		}
	}
	return NULL;
}

static str base_of(struct server *s, h2o_req_t *req)
{
	if (s->o->base.n)
		return s->o->base;
	h2o_iovec_t base = h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("http://")), req->authority);
	return (str){ base.base, base.len };
}

static void send_packument(struct server *s, h2o_req_t *req, str path, const struct fault *f)
{
	bool abbreviated =
		str_find_str(header(req, H2O_TOKEN_ACCEPT), STR("application/vnd.npm.install-v1+json"), 0) != SIZE_MAX;
	const struct body *b =
		body_of(s, str_from(path, 1), abbreviated ? PACKUMENT_ABBREVIATED : PACKUMENT_FULL, base_of(s, req));

	if (!b) {
		send_text(s, req, path, 404, STR("{\"error\":\"not_found\"}"));
		return;
	}
	add_header(req, H2O_TOKEN_VARY, STR("accept, accept-encoding"));
	add_header(req, H2O_TOKEN_ETAG, str_of(b->etag));
	if (str_eq(header(req, H2O_TOKEN_IF_NONE_MATCH), str_of(b->etag))) {
		count(s, req, path, 304);
		req->res.status = 304;
		req->res.reason = "Not Modified";
		h2o_send_inline(req, NULL, 0);
		return;
	}
	add_header(req, H2O_TOKEN_CONTENT_TYPE,
		abbreviated ? STR("application/vnd.npm.install-v1+json") : STR("application/json"));
	bool gzip = str_find_str(header(req, H2O_TOKEN_ACCEPT_ENCODING), STR("gzip"), 0) != SIZE_MAX;
	if (gzip)
		add_header(req, H2O_TOKEN_CONTENT_ENCODING, STR("gzip"));
	send_bytes(s, req, path, buf_str(gzip ? &b->gzip : &b->plain), str_of(b->etag), f);
}

static void send_status_fault(struct server *s, h2o_req_t *req, str path, const struct fault *f)
{
	if (f->retry_after_s >= 0) {
		char *text = h2o_mem_alloc_pool(&req->pool, 16);
		int n = snprintf(text, 16, "%d", f->retry_after_s);
		h2o_add_header_by_str(
			&req->pool, &req->res.headers, H2O_STRLIT("retry-after"), 0, NULL, text, (size_t)n);
	}
	send_text(s, req, path, f->status, STR("{\"error\":\"a fault that a test asked for\"}"));
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
	struct server *s = ((struct handler *)(void *)self)->s;
	str path = path_of(req);
	bool get = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")),
	     head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));

	if (!get && !head) {
		send_text(s, req, path, 405, STR("{\"error\":\"only GET and HEAD\"}"));
		return 0;
	}
	const struct fault *f = fault_of(s, path);
	if (f && f->kind == FAULT_STATUS) {
		send_status_fault(s, req, path, f);
		return 0;
	}
	str tarball = s->o->packages ? packages_tarball(s->o->packages, path) : STR_NONE;
	if (str_eq(path, STR("/-/ping"))) {
		send_text(s, req, path, 200, STR("{}"));
	} else if (tarball.n) {
		add_header(req, H2O_TOKEN_CONTENT_TYPE, STR("application/octet-stream"));
		char *etag = h2o_mem_alloc_pool(&req->pool, 32);
		snprintf(etag, 32, "\"%016llx\"", (unsigned long long)str_hash(tarball));
		add_header(req, H2O_TOKEN_ETAG, str_of(etag));
		send_bytes(s, req, path, tarball, str_of(etag), f);
	} else {
		send_packument(s, req, path, f);
	}
	return 0;
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
	h2o_socket_t *sock = error ? NULL : h2o_evloop_socket_accept(listener);

	if (sock)
		h2o_accept(listener->data, sock);
}

static int listen_on(uint16_t port, uint16_t *bound, struct err *e)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t n = sizeof(a);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_os(e, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 1024) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return err_os(e, "listening on 127.0.0.1:%u", port);
	*bound = ntohs(a.sin_port);
	return fd;
}

static void server_init(struct server *s, int fd)
{
	h2o_config_init(&s->config);
	h2o_hostconf_t *host = h2o_config_register_host(&s->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	struct handler *h = (struct handler *)(void *)h2o_create_handler(path, sizeof(*h));
	h->super.on_req = on_request;
	h->s = s;
	h2o_context_init(&s->ctx, h2o_evloop_create(), &s->config);
	s->accept.ctx = &s->ctx;
	s->accept.hosts = s->config.hosts;
	s->listener = h2o_evloop_socket_create(s->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	s->listener->data = &s->accept;
	h2o_socket_read_start(s->listener, on_accept);
}

static void bodies_free(struct server *s)
{
	for (size_t i = 0; i < s->body.n; i++) {
		buf_release(&s->body.p[i]->plain);
		buf_release(&s->body.p[i]->gzip);
		free(s->body.p[i]);
	}
	vec_release(&s->body);
	map_release(&s->by_key);
	arena_release(&s->keys);
}

int serve(const struct serve_opts *o, struct err *e)
{
	static struct server s; /* libh2o keeps pointers into it until the process ends */
	uint16_t port = 0;
	int fd = listen_on(o->port, &port, e);

	if (fd < 0)
		return fd;
	s.o = o;
	if (o->count && !(s.count = fopen(o->count, "a")))
		return err_os(e, "%s", o->count);
	if (s.count)
		setvbuf(s.count, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	server_init(&s, fd);
	printf("http://127.0.0.1:%u/\n", port);
	fflush(stdout);
	while (!stopping)
		h2o_evloop_run(s.ctx.loop, 200);
	h2o_socket_close(s.listener);
	h2o_evloop_run(s.ctx.loop, 0);
	if (s.count)
		fclose(s.count);
	bodies_free(&s);
	return 0;
}
