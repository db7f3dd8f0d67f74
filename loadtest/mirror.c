#include "mirror.h"
#include "draw.h"
#include "fs.h"
#include "http.h"
#include "mirror_doc.h"
#include "workq.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

enum { MOST_BODY = 512 << 20 };

/* A body that can be sent: mapped from disk or made from what is there. Lives as long as the mirror. */
struct entry {
	str key; /* path, or "host form gzip path" for a rendered packument */
	const char *p;
	size_t n;
	char etag[24];
	char modified[MIRROR_DOC_DATE]; /* a packument's, as in HTTP; or empty */
};
struct mirror {
	struct mirror_opts o;
	int dir;
	h2o_globalconf_t conf;
	h2o_context_t ctx;
	h2o_accept_ctx_t accept;
	h2o_loop_t *loop;
	h2o_multithread_receiver_t inbox;
	h2o_socket_t *listener, *stopper;
	struct http *http; /* recording only */
	struct arena names;
	struct map by_key;
	VEC(struct entry *) entries;
	struct libdeflate_compressor *gz;
	bool stop;
	uint64_t rng;
};
struct handler {
	h2o_handler_t super;
	struct mirror *m;
};
/* A fetch from the upstream: the request waits for it, unless its client leaves. */
struct fetch {
	h2o_multithread_message_t msg;
	h2o_generator_t gen;
	struct mirror *m;
	h2o_req_t *req;       /* NULL: gone */
	struct fetch **watch; /* in the request's memory, which outlives the fetch or tells it to forget the request */
	str path;
	const char *kind; /* what is fetched; the request may want the packument's other form */
	bool full, gzip;
	int code;
	long status;
	struct buf body;
	struct err err;
};

static struct entry *entry_add(struct mirror *m, str key, const char *p, size_t n)
{
	struct entry *en = arena_new(&m->names, struct entry, 1);

	*en = (struct entry){ .key = arena_str(&m->names, key), .p = p, .n = n };
	snprintf(
		en->etag, sizeof(en->etag), "\"%016llx\"", (unsigned long long)(draw_of((str){ p, n }) ^ draw_of(key)));
	map_set(&m->by_key, en->key, (uint32_t)m->entries.n);
	*vec_add(&m->entries) = en;
	return en;
}

static struct entry *entry_get(struct mirror *m, str key)
{
	uint32_t i = map_get(&m->by_key, key);

	return i == MAP_NONE ? NULL : m->entries.p[i];
}

str mirror_file(const char *kind, str path, struct arena *a)
{
	str file = arena_printf(a, "%s/" STR_FMT, kind, STR_ARG(path));

	for (char *p = (char *)(uintptr_t)file.p + file.n - path.n; *p; p++)
		*p = *p == '/' ? '!' : *p;
	return file;
}

static struct entry *entry_open(struct mirror *m, const char *kind, str path)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	struct stat st;

	str key = arena_printf(&a, "%s " STR_FMT, kind, STR_ARG(path));
	struct entry *known = entry_get(m, key);
	if (known)
		return known;
	int fd = openat(m->dir, mirror_file(kind, path, &a).p, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	void *p = MAP_FAILED;
	bool ok = fstat(fd, &st) == 0;
	if (ok && st.st_size > 0)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (ok && st.st_size == 0)
		return entry_add(m, key, "", 0); /* a recorded 404 */
	return p == MAP_FAILED ? NULL : entry_add(m, key, p, (size_t)st.st_size);
}

static int entry_save(struct mirror *m, const char *kind, str path, str body, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);

	return fs_write_file(m->dir, mirror_file(kind, path, &a).p, body, 0644, e);
}

static struct entry *render(struct mirror *m, str path, str host, bool full, bool gzip)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	const char *kind = full ? "full" : "corgi";

	str key = arena_printf(&a, STR_FMT " %s %d " STR_FMT, STR_ARG(host), kind, gzip, STR_ARG(path));
	struct entry *known = entry_get(m, key);
	if (known)
		return known;
	struct entry *raw = entry_open(m, kind, path);
	if (!raw || raw->n == 0)
		return raw;
	struct buf out = BUF_INIT, brief = BUF_INIT;
	str json = { raw->p, raw->n };
	if (!full && mirror_doc_abbreviate(&brief, json))
		json = buf_str(&brief);
	mirror_doc_rebase(&out, json, arena_printf(&a, "http://" STR_FMT "/", STR_ARG(host)));
	buf_release(&brief);
	if (gzip) {
		struct buf z = BUF_INIT;
		size_t cap = libdeflate_gzip_compress_bound(m->gz, out.n);
		z.n = libdeflate_gzip_compress(m->gz, out.p, out.n, buf_reserve(&z, cap), cap);
		buf_release(&out);
		out = z;
	}
	size_t n;
	char *p = buf_steal(&out, &n);
	struct entry *en = entry_add(m, key, p, n);
	mirror_doc_modified(en->modified, (str){ raw->p, raw->n });
	return en;
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)gen;
	(void)req;
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
	(void)gen;
	(void)req;
}

static str header(h2o_req_t *req, const h2o_token_t *name)
{
	ssize_t i = h2o_find_header(&req->headers, name, -1);

	if (i < 0)
		return STR_NONE;
	return (str){ req->headers.entries[i].value.base, req->headers.entries[i].value.len };
}

static void send_error(h2o_req_t *req, int status, const char *text)
{
	req->res.status = status;
	req->res.reason = "Error";
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
	h2o_send_inline(req, text, strlen(text));
}

static void send_entry(struct mirror *m, h2o_req_t *req, struct entry *en, const char *type, bool gzip)
{
	static h2o_generator_t gen = { on_proceed, on_stop };

	if (en->n == 0) {
		send_error(req, 404, "{\"error\":\"Not found\"}");
		return;
	}
	req->res.status = 200;
	req->res.reason = "OK";
	if (str_eq(header(req, H2O_TOKEN_IF_NONE_MATCH), str_of(en->etag))) {
		req->res.status = 304;
		req->res.reason = "Not Modified";
	}
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, en->etag, strlen(en->etag));
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("public, max-age=300"));
	if (gzip)
		h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_ENCODING, NULL, H2O_STRLIT("gzip"));
	if (en->modified[0])
		h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_LAST_MODIFIED, NULL, en->modified,
			strlen(en->modified));
	if (req->res.status == 304) {
		h2o_send_inline(req, NULL, 0);
		return;
	}
	bool head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
	h2o_iovec_t body = { (char *)(uintptr_t)en->p, head ? 0 : en->n };
	req->res.content_length = en->n;
	m->o.counts->bytes += body.len;
	h2o_start_response(req, &gen);
	h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
}

static bool is_tarball(str path)
{
	return str_find_str(path, STR("/-/"), 0) != SIZE_MAX && str_ends(path, STR(".tgz"));
}

/* From what is there; false when it must be fetched. */
static bool answer(struct mirror *m, h2o_req_t *req, str path, bool full, bool gzip)
{
	struct entry *en;

	if (is_tarball(path)) {
		en = entry_open(m, "tarball", path);
		if (en)
			send_entry(m, req, en, "application/octet-stream", false);
		return en != NULL;
	}
	str host = { req->authority.base, req->authority.len };
	en = render(m, path, host, full, gzip);
	if (en)
		send_entry(m, req, en, full ? "application/json" : "application/vnd.npm.install-v1+json", gzip);
	return en != NULL;
}

/* What of PATH is not kept yet, the form that is asked for first; NULL: nothing. Who measures
 * may ask for either form. */
static const char *missing(struct mirror *m, str path, bool full)
{
	const char *const form[] = { full ? "full" : "corgi", full ? "corgi" : "full" };

	if (is_tarball(path))
		return entry_open(m, "tarball", path) ? NULL : "tarball";
	for (size_t i = 0; i < 2; i++) {
		if (!entry_open(m, form[i], path))
			return form[i];
	}
	return NULL;
}

/* On the fetch thread: the body is copied and handed to the loop. */
static void on_fetched(void *arg, int code, const struct http_response *r, str body, const struct err *e)
{
	struct fetch *f = arg;

	f->code = code;
	if (code < 0)
		f->err = *e;
	f->status = r ? r->status : 0;
	buf_add(&f->body, body);
	h2o_multithread_send_message(&f->m->inbox, &f->msg);
}

static void fetch_start(struct mirror *m, h2o_req_t *req, const char *kind, str path, bool full, bool gzip);

/* Keeps what came. False: nothing did. */
static bool fetch_keep(struct fetch *f)
{
	str body = f->status == 404 ? STR("") : buf_str(&f->body);

	if (f->code == 0 && f->status != 200 && f->status != 404)
		err_set(&f->err, ERR_NET, STR_FMT ": the registry answers %ld", STR_ARG(f->path), f->status);
	else if (f->code == 0 && entry_save(f->m, f->kind, f->path, body, &f->err) == 0)
		return true;
	fprintf(stderr, "mirror: %s\n", f->err.msg);
	return false;
}

/* The request is answered when both forms are kept, or what it wants if the other cannot be had. */
static void fetch_finish(struct fetch *f)
{
	struct mirror *m = f->m;
	const char *next = fetch_keep(f) && f->req ? missing(m, f->path, f->full) : NULL;

	if (f->req)
		*f->watch = NULL; /* answering may end the request, and the fetch ends here */
	if (next)
		fetch_start(m, f->req, next, f->path, f->full, f->gzip);
	else if (f->req && !answer(m, f->req, f->path, f->full, f->gzip))
		send_error(f->req, 502, "{\"error\":\"not there\"}");
	buf_release(&f->body);
	free((void *)(uintptr_t)f->path.p);
	free(f);
}

static void on_inbox(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	while (!h2o_linklist_is_empty(messages)) {
		struct fetch *f = H2O_STRUCT_FROM_MEMBER(struct fetch, msg.link, messages->next);
		h2o_linklist_unlink(&f->msg.link);
		fetch_finish(f);
	}
}

/* The request's memory tells when the client has left. */
static void on_gone(void *p)
{
	struct fetch **f = p;

	if (*f)
		(*f)->req = NULL;
}

static void fetch_start(struct mirror *m, h2o_req_t *req, const char *kind, str path, bool full, bool gzip)
{
	struct fetch *f = xcalloc(1, sizeof(*f));
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);

	*f = (struct fetch){ .m = m, .req = req, .kind = kind, .full = full, .gzip = gzip };
	f->path = (str){ xstrndup(path), path.n };
	f->watch = h2o_mem_alloc_shared(&req->pool, sizeof(*f->watch), on_gone);
	*f->watch = f;
	struct http_request r = { .max_body = MOST_BODY, .done = on_fetched, .arg = f };
	r.url = arena_printf(&a, STR_FMT STR_FMT, STR_ARG(m->o.upstream), STR_ARG(path));
	r.headers = strcmp(kind, "corgi") == 0 ? STR("Accept: application/vnd.npm.install-v1+json\n")
					       : STR("Accept: application/json, */*\n");
	http_start(m->http, &r);
}

static bool fails(struct mirror *m)
{
	uint32_t ppm = m->o.error_ppm ? *m->o.error_ppm : 0;
	uint64_t seed = m->o.error_seed ? atomic_exchange(m->o.error_seed, 0) : 0;

	if (seed)
		m->rng = seed;
	return ppm && draw_share(&m->rng) * 1e6 < ppm;
}

/* A request's path as it lies on disk: scopes come as %2f or as a slash. */
static str plain_path(h2o_req_t *req, str path)
{
	char *to = h2o_mem_alloc_pool(&req->pool, path.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		bool escaped =
			path.p[i] == '%' && i + 2 < path.n && path.p[i + 1] == '2' && (path.p[i + 2] | 32) == 'f';
		to[n++] = escaped ? '/' : path.p[i];
		i += escaped ? 2 : 0;
	}
	return (str){ to, n };
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
	struct mirror *m = ((struct handler *)self)->m;
	str path = { req->path.base + 1, req->path.len - 1 }, query;

	str_cut(path, '?', &path, &query);
	m->o.counts->requests++;
	if (str_eq(path, STR("-/ping"))) {
		h2o_send_inline(req, H2O_STRLIT("{}"));
		return 0;
	}
	if (fails(m)) {
		send_error(req, 503, "{\"error\":\"Service Unavailable\"}");
		return 0;
	}
	path = plain_path(req, path);
	str accept = header(req, H2O_TOKEN_ACCEPT), enc = header(req, H2O_TOKEN_ACCEPT_ENCODING);
	bool full = str_find_str(accept, STR("vnd.npm.install-v1+json"), 0) == SIZE_MAX;
	bool gzip = str_find_str(enc, STR("gzip"), 0) != SIZE_MAX;
	const char *kind = m->http && path.n ? missing(m, path, full) : NULL;
	if (kind) {
		fetch_start(m, req, kind, path, full, gzip);
		return 0;
	}
	if (answer(m, req, path, full, gzip))
		return 0;
	m->o.counts->misses++;
	snprintf(m->o.counts->last_miss, sizeof(m->o.counts->last_miss), "%s " STR_FMT, full ? "full" : "corgi",
		STR_ARG(path));
	send_error(req, 404, "{\"error\":\"Not found\"}");
	return 0;
}

static void on_accept(h2o_socket_t *listener, const char *failed)
{
	struct mirror *m = listener->data;

	for (int i = 0; !failed && i < 64; i++) {
		h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
		if (!sock)
			return;
		h2o_accept(&m->accept, sock);
	}
}

static void on_stop_fd(h2o_socket_t *sock, const char *failed)
{
	struct mirror *m = sock->data;

	(void)failed;
	m->stop = true;
	h2o_socket_read_stop(sock);
}

static int mirror_listen(struct mirror *m, uint16_t *port, struct err *e)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(m->o.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t n = sizeof(at);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_os(e, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0 ||
		getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
		err_os(e, "listen on 127.0.0.1:%u", m->o.port);
		close(fd);
		return e->code;
	}
	*port = ntohs(at.sin_port);
	m->listener = h2o_evloop_socket_create(m->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	m->listener->data = m;
	h2o_socket_read_start(m->listener, on_accept);
	return 0;
}

/* Where it is kept: made when recording; a mirror that has nothing would only ever answer 404. */
static int mirror_open_dir(struct mirror *m, struct err *e)
{
	static const char *const kinds[] = { "full", "corgi", "tarball" };
	const char *dir = m->o.dir;

	if (m->o.upstream.n && fs_mkdir_p(AT_FDCWD, dir, 0755, e) < 0)
		return e->code;
	m->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; m->o.upstream.n && m->dir >= 0 && i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (fs_mkdir_p(m->dir, kinds[i], 0755, e) < 0)
			return err_ctx(e, "%s", dir);
	}
	if (m->dir >= 0 && faccessat(m->dir, kinds[0], F_OK, 0) == 0)
		return 0;
	return errno == ENOENT ? err_set(e, ERR_NOTFOUND,
					 "%s holds no recorded registry: `dray-bench record PROJECT...` makes one", dir)
			       : err_os(e, "open %s", dir);
}

int mirror_new(struct mirror **out, const struct mirror_opts *o, uint16_t *port, struct err *e)
{
	struct mirror *m = xcalloc(1, sizeof(*m));

	m->o = *o;
	m->dir = -1;
	m->rng = DRAW_SEED;
	m->names = ARENA_INIT(1 << 20);
	m->gz = libdeflate_alloc_compressor(6);
	if (mirror_open_dir(m, e) < 0)
		goto fail;
	if (o->upstream.n && http_new(&m->http, &(struct http_opts){ .private_addresses = true }, e) < 0)
		goto fail;
	h2o_config_init(&m->conf);
	h2o_hostconf_t *host = h2o_config_register_host(&m->conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	struct handler *h = (struct handler *)h2o_create_handler(path, sizeof(*h));
	h->super.on_req = on_req;
	h->m = m;
	m->loop = h2o_evloop_create();
	h2o_context_init(&m->ctx, m->loop, &m->conf);
	h2o_multithread_register_receiver(m->ctx.queue, &m->inbox, on_inbox);
	m->accept = (h2o_accept_ctx_t){ .ctx = &m->ctx, .hosts = m->conf.hosts };
	if (mirror_listen(m, port, e) < 0)
		goto fail;
	*out = m;
	return 0;
fail:
	mirror_free(m);
	return e->code;
}

int mirror_run(struct mirror *m, int stop_fd, struct err *e)
{
	int fd = fcntl(stop_fd, F_DUPFD_CLOEXEC, 0); /* h2o closes it */

	if (fd < 0)
		return err_os(e, "the stop descriptor");
	signal(SIGPIPE, SIG_IGN); /* clients leave in the middle of an answer */
	m->stopper = h2o_evloop_socket_create(m->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	m->stopper->data = m;
	h2o_socket_read_start(m->stopper, on_stop_fd);
	while (!m->stop)
		h2o_evloop_run(m->loop, INT32_MAX);
	return 0;
}

/* The process ends with the mirror: h2o's loop and contexts go with it. */
void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	http_free(m->http);
	libdeflate_free_compressor(m->gz);
	map_release(&m->by_key);
	vec_release(&m->entries);
	arena_release(&m->names);
	fs_close_auto(&m->dir);
	free(m);
}
