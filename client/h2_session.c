#include "h2_session.h"
#include "base/clock.h"
#include "host_dial.h"
#include "host_lookup.h"
#include "tls_lib.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 16 << 20, PING_AFTER_MS = 15000, DEAD_AFTER_MS = 30000, READ_SIZE = 128 * 1024, OUT_MAX = 256 * 1024 };
/* Reads in a row; then others have their turn, and the time is looked at: who sends without an end ends it nowhere. */
enum { READS = 32 };
enum state { H2_TCP, H2_TLS, H2_OPEN, H2_LOST };

struct stream {
	int32_t id;
	size_t sent;
	struct h2_request req;
	struct h2_response res;
	struct err err;
	struct stream *next;
};
struct h2 {
	enum state state;
	int fd;
	char *host; /* for certificate and messages */
	char *where;
	struct addrinfo *all;
	struct host_dial *dial;    /* NULL: connected */
	const struct tls_lib *lib; /* with TLS */
	SSL_CTX *tls;
	SSL *ssl;
	bool want_write; /* TLS waits for the socket */
	int64_t connect_by, heard, pinged;
	unsigned connect_ms;
	uint32_t window;
	nghttp2_session *s;
	struct stream *streams;
	struct buf out; /* to be written, from `at` on */
	size_t at;
	bool goaway;
	bool more; /* there was more to read than READS */
	char *read;
	struct err lost;
};

/* ---- streams ---- */

static struct stream *stream_of(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->s, id);
}

/* Takes the stream off the list and tells its owner. */
static void stream_end(struct h2 *h, struct stream *st, int code, const struct err *e)
{
	struct stream **at = &h->streams;

	while (*at != st)
		at = &(*at)->next;
	*at = st->next;
	st->req.done(st->req.arg, code, &st->res, e);
	free(st);
}

static void keep(char *to, size_t cap, const uint8_t *v, size_t n)
{
	if (n >= cap)
		n = cap - 1;
	memcpy(to, v, n);
	to[n] = 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *v,
	size_t vn, uint8_t flags, void *arg)
{
	struct stream *st = stream_of(arg, f->hd.stream_id);
	str k = { (const char *)name, nn };
	uint64_t status;

	(void)s;
	(void)flags;
	if (!st)
		return 0;
	if (str_eq(k, STR(":status")) && str_u64((str){ (const char *)v, vn }, &status) && status < 1000)
		st->res.status = (int)status;
	else if (str_eq(k, STR("content-type")))
		keep(st->res.content_type, sizeof(st->res.content_type), v, vn);
	else if (str_eq(k, STR("dray-need")))
		keep(st->res.need, sizeof(st->res.need), v, vn);
	else if (str_eq(k, STR("dray-plan")))
		keep(st->res.plan, sizeof(st->res.plan), v, vn);
	else if (str_eq(k, STR("retry-after")))
		keep(st->res.retry_after, sizeof(st->res.retry_after), v, vn);
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct stream *st = stream_of(arg, id);

	(void)flags;
	nghttp2_session_consume_connection(s, n);
	if (!st || st->err.code) /* cancelled: it was on its way already */
		return 0;
	if (st->req.data(st->req.arg, &st->res, p, n) < 0)
		h2_cancel(arg, id);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h = arg;
	struct stream *st = stream_of(h, id);

	(void)s;
	if (!st)
		return 0;
	if (st->err.code == 0 && code == NGHTTP2_REFUSED_STREAM)
		err_set(&st->err, ERR_BUSY, "%s refused the request", h->where);
	else if (st->err.code == 0 && code != NGHTTP2_NO_ERROR)
		err_set(&st->err, ERR_NET, "%s broke off the answer (%s)", h->where, nghttp2_http2_strerror(code));
	struct err e = st->err;
	stream_end(h, st, e.code, &e);
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
	struct h2 *h = arg;

	(void)s;
	if (f->hd.type == NGHTTP2_GOAWAY)
		h->goaway = true;
	if (f->hd.type == NGHTTP2_PING)
		h->pinged = 0;
	return 0;
}

static ssize_t on_body(
	nghttp2_session *s, int32_t id, uint8_t *to, size_t cap, uint32_t *flags, nghttp2_data_source *src, void *arg)
{
	struct stream *st = src->ptr;
	size_t left = st->req.body.n - st->sent, n = left < cap ? left : cap;

	(void)s;
	(void)id;
	(void)arg;
	if (n)
		memcpy(to, st->req.body.p + st->sent, n);
	st->sent += n;
	if (st->sent == st->req.body.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, str v)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)v.p, strlen(name), v.n,
		NGHTTP2_NV_FLAG_NO_COPY_NAME };
}

int h2_send(struct h2 *h, int32_t *id, const struct h2_request *r, struct err *e)
{
	nghttp2_nv head[7];
	size_t n = 0;

	if (h->state == H2_LOST)
		return *e = h->lost, e->code;
	if (h->goaway)
		return err_set(e, ERR_BUSY, "%s is shutting down", h->where);
	struct stream *st = xcalloc(1, sizeof(*st));
	st->req = *r;
	head[n++] = nv(":method", r->method);
	head[n++] = nv(":scheme", h->tls ? STR("https") : STR("http"));
	head[n++] = nv(":authority", r->authority);
	head[n++] = nv(":path", r->path);
	if (r->content_type.n)
		head[n++] = nv("content-type", r->content_type);
	if (r->authorization.n) {
		head[n] = nv("authorization", r->authorization);
		head[n++].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
	}
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = on_body };
	st->id = nghttp2_submit_request(h->s, NULL, head, n, r->body.n ? &body : NULL, st);
	if (st->id < 0) {
		err_set(e, ERR_NET, "request to %s: %s", h->where, nghttp2_strerror(st->id));
		free(st);
		return e->code;
	}
	st->next = h->streams;
	h->streams = st;
	*id = st->id;
	return 0;
}

void h2_cancel(struct h2 *h, int32_t id)
{
	struct stream *st = stream_of(h, id);

	if (!st || st->err.code)
		return;
	err_set(&st->err, ERR_CANCELLED, "cancelled");
	nghttp2_submit_rst_stream(h->s, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

void h2_consume(struct h2 *h, int32_t id, size_t n)
{
	nghttp2_session_consume_stream(h->s, id, n);
}

/* ---- connection ---- */

static void session_start(struct h2 *h)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	nghttp2_settings_entry set[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->window },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0)
		die_oom(0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	if (nghttp2_session_client_new2(&h->s, cb, h, opt) != 0 ||
		nghttp2_submit_settings(h->s, NGHTTP2_FLAG_NONE, set, 2) != 0 ||
		nghttp2_session_set_local_window_size(h->s, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
		die_oom(0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
}

static int tls_error(const struct h2 *h, struct err *e)
{
	long bad = h->ssl ? h->lib->SSL_get_verify_result_(h->ssl) : X509_V_OK;
	char text[200];

	if (bad != X509_V_OK)
		return err_set(e, ERR_NET, "certificate of %s: %s (cafile in ~/.npmrc names a private authority)",
			h->where, h->lib->X509_verify_cert_error_string_(bad));
	unsigned long code = h->lib->ERR_get_error_();
	h->lib->ERR_error_string_n_(code, text, sizeof(text));
	return err_set(e, ERR_NET, "TLS with %s: %s", h->where, code ? text : "the connection was closed");
}

static int tls_init(struct h2 *h, const struct h2_opts *o, struct err *e)
{
	static const unsigned char alpn[] = "\x02h2";

	h->lib = tls_lib(e);
	if (!h->lib)
		return e->code;
	if (o->tls_kept && *o->tls_kept) {
		h->tls = *o->tls_kept;
		h->lib->SSL_CTX_up_ref_(h->tls);
		return 0;
	}
	h->tls = h->lib->SSL_CTX_new_(h->lib->TLS_client_method_());
	if (!h->tls)
		die_oom(0);
	h->lib->SSL_CTX_ctrl_(h->tls, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
	h->lib->SSL_CTX_set_verify_(h->tls, SSL_VERIFY_PEER, NULL);
	h->lib->SSL_CTX_ctrl_(
		h->tls, SSL_CTRL_MODE, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
	if (o->ca_file ? h->lib->SSL_CTX_load_verify_locations_(h->tls, o->ca_file, NULL) != 1
		       : h->lib->SSL_CTX_set_default_verify_paths_(h->tls) != 1)
		return err_set(
			e, ERR_USAGE, "no usable certificates in %s", o->ca_file ? o->ca_file : "the system's store");
	h->lib->SSL_CTX_set_alpn_protos_(h->tls, alpn, 3);
	if (o->tls_kept) {
		*o->tls_kept = h->tls;
		h->lib->SSL_CTX_up_ref_(h->tls);
	}
	return 0;
}

void h2_tls_free(SSL_CTX **kept)
{
	struct err e;

	if (*kept) /* so the library is there */
		tls_lib(&e)->SSL_CTX_free_(*kept);
	*kept = NULL;
}

static int tls_start(struct h2 *h, struct err *e)
{
	unsigned char ip[16];

	h->ssl = h->lib->SSL_new_(h->tls);
	if (!h->ssl || h->lib->SSL_set_fd_(h->ssl, h->fd) != 1)
		return tls_error(h, e);
	if (inet_pton(AF_INET, h->host, ip) == 1 || inet_pton(AF_INET6, h->host, ip) == 1) {
		h->lib->X509_VERIFY_PARAM_set1_ip_asc_(h->lib->SSL_get0_param_(h->ssl), h->host);
	} else {
		h->lib->SSL_ctrl_(h->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, h->host);
		h->lib->SSL_set1_host_(h->ssl, h->host);
	}
	h->lib->SSL_set_connect_state_(h->ssl);
	h->state = H2_TLS;
	return 0;
}

/* Bytes, 0 when the socket is not ready, negative on error or at the end. */
static ssize_t io_result(struct h2 *h, ssize_t n, const char *what, struct err *e)
{
	if (n > 0)
		return n;
	if (h->ssl) {
		int why = h->lib->SSL_get_error_(h->ssl, (int)n);
		h->want_write |= why == SSL_ERROR_WANT_WRITE;
		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
			return 0;
		if (why == SSL_ERROR_SSL)
			return tls_error(h, e);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	if (n == 0 || errno == 0)
		return err_set(e, ERR_NET, "%s closed the connection", h->where);
	err_os(e, "%s %s", what, h->where);
	return e->code = ERR_NET;
}

static int handshake(struct h2 *h, struct err *e)
{
	const unsigned char *alpn;
	unsigned n;

	h->want_write = false;
	h->lib->ERR_clear_error_();
	int rc = h->lib->SSL_do_handshake_(h->ssl);
	if (rc != 1)
		return (int)io_result(h, rc, "TLS with", e);
	h->lib->SSL_get0_alpn_selected_(h->ssl, &alpn, &n);
	if (n != 2 || memcmp(alpn, "h2", 2) != 0)
		return err_set(e, ERR_PROTOCOL, "%s does not speak HTTP/2 (no h2 in ALPN): is it a drayd?", h->where);
	h->state = H2_OPEN;
	h->heard = clock_ms();
	return 0;
}

static int dial(struct h2 *h, struct err *e)
{
	int rc = host_dial_go(&h->fd, h->dial, e);

	if (rc <= 0)
		return rc;
	host_dial_free(h->dial);
	h->dial = NULL;
	if (h->tls)
		return tls_start(h, e);
	h->state = H2_OPEN;
	h->heard = clock_ms();
	return 0;
}

static int read_all(struct h2 *h, struct err *e)
{
	h->more = false;
	for (int reads = 0; reads < READS; reads++) {
		if (h->ssl)
			h->lib->ERR_clear_error_();
		errno = 0;
		ssize_t n = h->ssl ? h->lib->SSL_read_(h->ssl, h->read, READ_SIZE) : recv(h->fd, h->read, READ_SIZE, 0);
		n = io_result(h, n, "read from", e);
		if (n <= 0)
			return (int)n;
		h->heard = clock_ms();
		h->pinged = 0;
		ssize_t took = nghttp2_session_mem_recv(h->s, (const uint8_t *)h->read, (size_t)n);
		if (took < 0)
			return err_set(e, ERR_PROTOCOL, "%s breaks HTTP/2: %s", h->where, nghttp2_strerror((int)took));
		if (!h->ssl && n < READ_SIZE) /* that was all; poll() tells of more, and of the end */
			return 0;
	}
	h->more = true;
	return 0;
}

static int write_all(struct h2 *h, struct err *e)
{
	for (;;) {
		const uint8_t *p;
		while (h->out.n - h->at < OUT_MAX) {
			ssize_t n = nghttp2_session_mem_send(h->s, &p);
			if (n < 0)
				return err_set(
					e, ERR_PROTOCOL, "HTTP/2 with %s: %s", h->where, nghttp2_strerror((int)n));
			if (n == 0)
				break;
			buf_add(&h->out, (str){ (const char *)p, (size_t)n });
		}
		if (h->at == h->out.n)
			return 0;
		if (h->ssl)
			h->lib->ERR_clear_error_();
		errno = 0;
		size_t left = h->out.n - h->at;
		ssize_t n =
			h->ssl ? h->lib->SSL_write_(h->ssl, h->out.p + h->at, left > INT32_MAX ? INT32_MAX : (int)left)
			       : send(h->fd, h->out.p + h->at, left, MSG_NOSIGNAL);
		n = io_result(h, n, "write to", e);
		if (n <= 0)
			return (int)n;
		h->at += (size_t)n;
		if (h->at == h->out.n) {
			buf_clear(&h->out);
			h->at = 0;
		}
	}
}

static int check_time(struct h2 *h, struct err *e)
{
	int64_t now = clock_ms();

	if (h->state < H2_OPEN && now >= h->connect_by)
		return err_set(e, ERR_TIMEOUT, "%s did not answer within %u ms", h->where, h->connect_ms);
	if (h->state != H2_OPEN || !h->streams)
		return 0;
	if (h->pinged && now - h->pinged >= DEAD_AFTER_MS)
		return err_set(e, ERR_NET, "%s has not answered a PING for %d s", h->where, DEAD_AFTER_MS / 1000);
	if (!h->pinged && now - h->heard >= PING_AFTER_MS) {
		h->pinged = now;
		nghttp2_submit_ping(h->s, NGHTTP2_FLAG_NONE, NULL);
	}
	return 0;
}

/* READS: there may be something to read. */
static int drive(struct h2 *h, bool reads, struct err *e)
{
	int64_t by = h2_deadline_ms(h);

	reads |= by >= 0 && clock_ms() >= by; /* who only writes is late, too */
	if (h->dial && reads) {
		if (dial(h, e) < 0) /* TLS, if it may begin, speaks first */
			return e->code;
	}
	if (reads && h->state == H2_TLS && handshake(h, e) < 0)
		return e->code;
	if (h->state == H2_OPEN)
		h->want_write = false;
	if (reads && h->state == H2_OPEN && read_all(h, e) < 0)
		return e->code;
	/* What has come counts, however late this process was given the CPU to take it. */
	if (reads && check_time(h, e) < 0)
		return e->code;
	return h->state == H2_OPEN ? write_all(h, e) : 0;
}

static int drive_or_lose(struct h2 *h, bool reads, struct err *e)
{
	if (h->state == H2_LOST)
		return *e = h->lost, e->code;
	if (drive(h, reads, &h->lost) == 0)
		return 0;
	h->state = H2_LOST;
	while (h->streams)
		stream_end(h, h->streams, h->lost.code, &h->lost);
	*e = h->lost;
	return e->code;
}

int h2_drive(struct h2 *h, struct err *e)
{
	return drive_or_lose(h, true, e);
}

int h2_flush(struct h2 *h, struct err *e)
{
	return drive_or_lose(h, false, e);
}

int h2_open(struct h2 **out, const struct h2_opts *o, struct err *e)
{
	struct h2 *h = xcalloc(1, sizeof(*h));
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);

	h->fd = -1;
	h->host = xstrndup(o->host);
	str where = arena_printf(&a, STR_FMT ":" STR_FMT, STR_ARG(o->host), STR_ARG(o->port));
	h->where = xstrndup(where);
	h->connect_ms = o->connect_ms;
	h->window = o->window ? o->window : WINDOW;
	h->connect_by = clock_ms() + o->connect_ms;
	h->read = xmalloc(READ_SIZE);
	session_start(h);
	if (host_lookup(&h->all, o->host, o->port, h->connect_by, e) < 0)
		goto fail;
	if ((o->tls && tls_init(h, o, e) < 0) || host_dial_new(&h->dial, h->all, h->where, e) < 0)
		goto fail;
	*out = h;
	return 0;
fail:
	h2_close(h);
	return e->code;
}

int h2_fd(const struct h2 *h)
{
	return h->dial ? host_dial_fd(h->dial) : h->fd;
}

short h2_events(const struct h2 *h)
{
	if (h->dial)
		return POLLIN;
	if (h->state == H2_TLS)
		return h->want_write ? POLLOUT : POLLIN;
	return h->want_write || h->at < h->out.n || nghttp2_session_want_write(h->s) ? POLLIN | POLLOUT : POLLIN;
}

int64_t h2_deadline_ms(const struct h2 *h)
{
	if (h->dial && host_dial_due_ms(h->dial) < h->connect_by)
		return host_dial_due_ms(h->dial);
	if (h->state < H2_OPEN)
		return h->connect_by;
	if (h->more)
		return 0;
	if (!h->streams)
		return -1;
	return h->pinged ? h->pinged + DEAD_AFTER_MS : h->heard + PING_AFTER_MS;
}

bool h2_ready(const struct h2 *h)
{
	return h->state == H2_OPEN;
}

bool h2_going(const struct h2 *h)
{
	return h->goaway;
}

void h2_close(struct h2 *h)
{
	if (!h)
		return;
	while (h->streams) {
		struct stream *st = h->streams;
		h->streams = st->next;
		free(st);
	}
	nghttp2_session_del(h->s);
	if (h->lib) {
		h->lib->SSL_free_(h->ssl);
		h->lib->SSL_CTX_free_(h->tls);
	}
	host_dial_free(h->dial);
	if (h->fd >= 0)
		close(h->fd);
	if (h->all)
		freeaddrinfo(h->all);
	buf_release(&h->out);
	free(h->read);
	free(h->host);
	free(h->where);
	free(h);
}
