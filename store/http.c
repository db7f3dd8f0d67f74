#include "http.h"
#include "addr.h"
#include "http_queue.h"
#include "url.h"
#include "workq.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <strings.h>
#include <time.h>
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

enum {
	MAX_REDIRECTS = 5,
	MAX_HEADER_BYTES = 64 * 1024,
	MAX_ERROR_BODY = 64 * 1024,
	STALL_CHECK_MS = 250,
	IDLE_POLL_MS = 60 * 1000,
	RECEIVE_BUFFER = 64 * 1024,
};
#define DEFAULT_MAX_BODY (64u << 20)

/* libcurl's functions: loading the library costs 5 to 8 ms, which only who asks the network pays. Constant once loaded. */
#define CURL_FUNCTIONS(X)                                                                                              \
	X(curl_global_init)                                                                                            \
	X(curl_global_cleanup)                                                                                         \
	X(curl_easy_init)                                                                                              \
	X(curl_easy_setopt)                                                                                            \
	X(curl_easy_getinfo)                                                                                           \
	X(curl_easy_reset)                                                                                             \
	X(curl_easy_pause)                                                                                             \
	X(curl_easy_cleanup)                                                                                           \
	X(curl_easy_strerror)                                                                                          \
	X(curl_slist_append)                                                                                           \
	X(curl_slist_free_all)                                                                                         \
	X(curl_multi_init)                                                                                             \
	X(curl_multi_setopt)                                                                                           \
	X(curl_multi_add_handle)                                                                                       \
	X(curl_multi_remove_handle)                                                                                    \
	X(curl_multi_perform)                                                                                          \
	X(curl_multi_info_read)                                                                                        \
	X(curl_multi_poll)                                                                                             \
	X(curl_multi_wakeup)                                                                                           \
	X(curl_multi_cleanup)
struct curl_api {
#define CURL_MEMBER(f) __typeof__(f) *f##_;
	CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
	void *library;
};

enum call_state { CALL_NEW, CALL_WAITING, CALL_ACTIVE, CALL_DELAYED };
struct http_call {
	struct http *h;
	struct http_wait wait;
	enum call_state state;
	struct http_request r;       /* method, headers, body: copies in `text` */
	struct arena text, head;     /* of the request; of the response's headers */
	const char *url, *first_url; /* where it is now; in `text` */
	struct url at;               /* url, taken apart */
	bool no_credentials;         /* a redirect has left the first origin */
	unsigned redirects;
	CURL *easy;
	struct curl_slist *lines;
	struct http_response res;
	struct buf body;
	size_t header_bytes;
	bool paused, cut, gave_data, by_proxy, refused_address;
	int stop_code; /* why a callback of ours ended the transfer, with `why`; 0: it did not */
	int64_t last_ms, due_ms;
	struct err why;
	char reason[CURL_ERROR_SIZE];
	/* Under http.lock. */
	struct http_call *next; /* in the inbox */
	struct http_call *next_told;
	bool in_inbox, told, want_cancel;
};

struct http {
	struct http_opts o;
	struct arena text; /* strings of o */
	struct curl_api api;
	struct err load_err; /* code < 0: libcurl is not there */
	struct http_queue queue;
	VEC(struct http_call *) active;
	VEC(struct http_call *) delayed;
	VEC(CURL *) spare;
	uint64_t seq;
	int64_t stall_checked_ms;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t first;
	CURLM *multi;                         /* NULL until the first request; set once */
	struct http_call *inbox, **inbox_end; /* new calls */
	struct http_call *told;               /* calls that were cancelled or resumed */
	bool stop, quit;                      /* cancel everything; and the thread ends */
	struct http_counts counts;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- loading ---- */

static int api_load(struct curl_api *a, struct err *e)
{
	a->library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!a->library)
		return err_set(e, ERR_UNSUPPORTED, "libcurl.so.4 cannot be loaded (%s); install libcurl 7.85 or later",
			dlerror());
	void *f;
#define CURL_LOAD(name)                                                                                                \
	f = dlsym(a->library, #name);                                                                                  \
	if (!f)                                                                                                        \
		return err_set(e, ERR_UNSUPPORTED, "libcurl.so.4 lacks " #name "; 7.85 or later is needed");           \
	memcpy(&a->name##_, &f, sizeof(f)); /* ISO C has no cast from void * to a function pointer */
	CURL_FUNCTIONS(CURL_LOAD)
#undef CURL_LOAD
	if (a->curl_global_init_(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_UNSUPPORTED, "libcurl.so.4 does not initialise");
	return 0;
}

static void multi_open(struct http *h)
{
	if (api_load(&h->api, &h->load_err) < 0)
		return;
	CURLM *m = h->api.curl_multi_init_();
	if (!m) {
		err_set(&h->load_err, ERR_UNSUPPORTED, "libcurl.so.4 makes no multi handle");
		return;
	}
	h->api.curl_multi_setopt_(m, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	h->api.curl_multi_setopt_(m, CURLMOPT_MAXCONNECTS, (long)h->o.max_active);
	h->api.curl_multi_setopt_(m, CURLMOPT_MAX_HOST_CONNECTIONS, (long)h->o.max_per_host);
	pthread_mutex_lock(&h->lock);
	h->multi = m;
	pthread_mutex_unlock(&h->lock);
}

/* ---- messages ---- */

/* Puts "GET https://host/path: " before what E says, and takes control characters out of it. */
static int name_call(const struct http_call *c, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	for (char *p = e->msg; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	url_put_public(&b, str_of(c->url));
	return err_ctx(e, STR_FMT " " STR_FMT, STR_ARG(c->r.method), STR_ARG(buf_str(&b)));
}

/* From a callback of libcurl's: the transfer ends with CODE. */
static void stop_call(struct http_call *c, int code, const char *why)
{
	c->stop_code = err_set(&c->why, code, "%s", why);
}

/* ---- libcurl's callbacks ---- */

static void header_value(struct http_call *c, str line)
{
	static const struct {
		const char *name;
		size_t at;
	} kept[] = {
		{ "etag", offsetof(struct http_response, etag) },
		{ "last-modified", offsetof(struct http_response, last_modified) },
		{ "content-type", offsetof(struct http_response, content_type) },
		{ "content-encoding", offsetof(struct http_response, content_encoding) },
		{ "retry-after", offsetof(struct http_response, retry_after) },
		{ "cache-control", offsetof(struct http_response, cache_control) },
	};
	str name, value;
	uint64_t n;

	if (!str_cut(line, ':', &name, &value))
		return;
	value = str_trim(value);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (strlen(kept[i].name) == name.n && strncasecmp(kept[i].name, name.p, name.n) == 0) {
			str copy = arena_str(&c->head, value);
			memcpy((char *)&c->res + kept[i].at, &copy, sizeof(copy));
		}
	}
	if (name.n == 14 && strncasecmp(name.p, "content-length", 14) == 0 && str_u64(value, &n) && n <= INT64_MAX)
		c->res.content_length = (int64_t)n;
}

static void response_reset(struct http_call *c)
{
	arena_release(&c->head);
	c->res = (struct http_response){ .content_length = -1 };
	buf_clear(&c->body);
	c->header_bytes = 0;
}

static long status_of(str line)
{
	str version, rest;
	uint64_t n = 0;

	str_cut(line, ' ', &version, &rest);
	return str_u64(str_head(rest, 3), &n) ? (long)n : 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	str line = { p, size * n };

	c->last_ms = now_ms();
	c->header_bytes += line.n;
	if (c->header_bytes > MAX_HEADER_BYTES) {
		stop_call(c, ERR_TOOBIG, "the response has more than 64 KiB of headers");
		return 0;
	}
	if (str_starts(line, STR("HTTP/"))) { /* a new response: after 100, a proxy's CONNECT */
		size_t bytes = c->header_bytes;
		response_reset(c);
		c->header_bytes = bytes;
		c->res.status = status_of(line);
	} else {
		header_value(c, line);
	}
	return line.n;
}

static void too_big(struct http_call *c)
{
	char why[100];

	snprintf(
		why, sizeof(why), "the body is larger than the limit of %llu bytes", (unsigned long long)c->r.max_body);
	stop_call(c, ERR_TOOBIG, why);
}

static size_t take_chunk(struct http_call *c, const char *p, size_t n)
{
	ptrdiff_t took = c->r.data(c->r.arg, p, n);

	if (took == 0) {
		c->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	c->gave_data = true;
	if (took < 0) {
		stop_call(c, ERR_CANCELLED, "the receiver stopped");
		return 0;
	}
	if ((size_t)took != n)
		abort(); /* all or nothing, says the header */
	return n;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct http_call *c = arg;
	size_t n = size * count;
	bool good = c->res.status / 100 == 2;

	c->last_ms = now_ms();
	if (n == 0)
		return 0;
	if (good && (n > c->r.max_body - c->res.received ||
			    (c->res.content_length > 0 && (uint64_t)c->res.content_length > c->r.max_body))) {
		too_big(c);
		return 0;
	}
	if (good && c->r.data) {
		size_t took = take_chunk(c, p, n);
		if (took != n)
			return took;
	} else {
		if (!good && n > MAX_ERROR_BODY - c->body.n) {
			buf_add(&c->body, (str){ p, MAX_ERROR_BODY - c->body.n });
			c->cut = true;
			return 0;
		}
		buf_add(&c->body, (str){ p, n });
	}
	c->res.received += n;
	return n;
}

static void reached(struct http_call *c)
{
	if (c->wait.host)
		http_queue_reached(&c->wait);
}

static bool may_be_private(const struct http_call *c)
{
	const struct http_opts *o = &c->h->o;

	return o->private_addresses || (o->allow_private && o->allow_private(o->allow_ctx, str_of(c->url)));
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_call *c = arg;
	struct http *h = c->h;

	(void)purpose;
	reached(c);
	if (!h->o.private_addresses && !c->by_proxy && addr_private(&a->addr) && !may_be_private(c)) {
		c->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	pthread_mutex_lock(&h->lock);
	h->counts.connections++;
	pthread_mutex_unlock(&h->lock);
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	(void)ip, (void)local_ip, (void)port, (void)local_port;
	reached(arg);
	return CURL_PREREQFUNC_OK;
}

/* ---- one transfer ---- */

static bool credential_line(str line)
{
	static const char *const names[] = { "authorization:", "cookie:", "proxy-authorization:", "npm-otp:" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (line.n >= strlen(names[i]) && strncasecmp(line.p, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static void set_headers(struct http_call *c)
{
	const struct curl_api *a = &c->h->api;
	str line, rest = c->r.headers;

	c->lines = a->curl_slist_append_(NULL, "Expect:");
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (line.n == 0 || (c->no_credentials && credential_line(line)))
			continue;
		c->lines = a->curl_slist_append_(c->lines, arena_str(&c->text, line).p);
	}
	a->curl_easy_setopt_(c->easy, CURLOPT_HTTPHEADER, c->lines);
}

static void set_method(struct http_call *c)
{
	const struct curl_api *a = &c->h->api;

	if (str_eq(c->r.method, STR("HEAD"))) {
		a->curl_easy_setopt_(c->easy, CURLOPT_NOBODY, 1L);
	} else if (!str_eq(c->r.method, STR("GET"))) {
		if (c->r.body.n || str_eq(c->r.method, STR("POST")) || str_eq(c->r.method, STR("PUT"))) {
			a->curl_easy_setopt_(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->r.body.n);
			a->curl_easy_setopt_(c->easy, CURLOPT_POSTFIELDS, c->r.body.p);
		}
		a->curl_easy_setopt_(c->easy, CURLOPT_CUSTOMREQUEST, c->r.method.p);
	}
}

/* Where addresses are confined, what may be private is asked directly and all else by the operator's proxy or directly: no
 * environment, no exceptions by name, so that a direct connection is always one whose address was checked. */
static void set_proxy(struct http_call *c)
{
	const struct http_opts *o = &c->h->o;
	const struct curl_api *a = &c->h->api;
	const char *proxy = c->at.tls && o->https_proxy ? o->https_proxy : o->proxy;

	if (!o->private_addresses) {
		c->by_proxy = proxy && !may_be_private(c);
		a->curl_easy_setopt_(c->easy, CURLOPT_PROXY, c->by_proxy ? proxy : "");
		a->curl_easy_setopt_(c->easy, CURLOPT_NOPROXY, "");
		return;
	}
	if (proxy)
		a->curl_easy_setopt_(c->easy, CURLOPT_PROXY, proxy);
	if (o->no_proxy)
		a->curl_easy_setopt_(c->easy, CURLOPT_NOPROXY, o->no_proxy);
}

static void set_network(struct http_call *c)
{
	const struct http_opts *o = &c->h->o;
	const struct curl_api *a = &c->h->api;

	set_proxy(c);
	if (o->ca_file)
		a->curl_easy_setopt_(c->easy, CURLOPT_CAINFO, o->ca_file);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSL_VERIFYPEER, o->insecure_tls ? 0L : 1L);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSL_VERIFYHOST, o->insecure_tls ? 0L : 2L);
	a->curl_easy_setopt_(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
	a->curl_easy_setopt_(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	bool two = c->r.version == HTTP_VERSION_2;
	a->curl_easy_setopt_(
		c->easy, CURLOPT_HTTP_VERSION, two ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
	a->curl_easy_setopt_(c->easy, CURLOPT_PIPEWAIT, two && c->at.tls ? 1L : 0L);
	/* libcurl remembers per host whether it multiplexes, and one HTTP/1.1 answer makes it forget: requests of both versions to one
	 * host would open a connection each. A scope keeps their connections in two pools; it means nothing to the system but for
	 * link-local IPv6 addresses. */
	a->curl_easy_setopt_(c->easy, CURLOPT_ADDRESS_SCOPE, two && c->at.tls ? 1L : 0L);
	a->curl_easy_setopt_(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	a->curl_easy_setopt_(c->easy, CURLOPT_OPENSOCKETDATA, c);
	a->curl_easy_setopt_(c->easy, CURLOPT_PREREQFUNCTION, on_connected);
	a->curl_easy_setopt_(c->easy, CURLOPT_PREREQDATA, c);
}

/* Starts C, which the queue has counted as active. */
static void call_start(struct http_call *c)
{
	struct http *h = c->h;
	const struct curl_api *a = &h->api;

	c->easy = h->spare.n ? h->spare.p[--h->spare.n] : a->curl_easy_init_();
	if (!c->easy)
		die_oom(0);
	response_reset(c);
	c->reason[0] = 0;
	c->paused = c->cut = c->refused_address = false;
	c->stop_code = 0;
	c->last_ms = now_ms();
	a->curl_easy_setopt_(c->easy, CURLOPT_URL, c->url);
	a->curl_easy_setopt_(c->easy, CURLOPT_PRIVATE, c);
	a->curl_easy_setopt_(c->easy, CURLOPT_ERRORBUFFER, c->reason);
	a->curl_easy_setopt_(c->easy, CURLOPT_NOSIGNAL, 1L);
	a->curl_easy_setopt_(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	a->curl_easy_setopt_(c->easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	a->curl_easy_setopt_(c->easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
	a->curl_easy_setopt_(c->easy, CURLOPT_WRITEFUNCTION, on_body);
	a->curl_easy_setopt_(c->easy, CURLOPT_WRITEDATA, c);
	a->curl_easy_setopt_(c->easy, CURLOPT_HEADERFUNCTION, on_header);
	a->curl_easy_setopt_(c->easy, CURLOPT_HEADERDATA, c);
	set_method(c);
	set_headers(c);
	set_network(c);
	c->state = CALL_ACTIVE;
	*vec_add(&h->active) = c;
	pthread_mutex_lock(&h->lock);
	h->counts.requests++;
	h->counts.most_active = h->queue.most_active;
	pthread_mutex_unlock(&h->lock);
	if (a->curl_multi_add_handle_(h->multi, c->easy) != CURLM_OK)
		die_oom(0); /* its only error for a fresh handle */
}

/* Takes C off libcurl and the queue; the response stays. */
static void call_detach(struct http_call *c)
{
	struct http *h = c->h;

	reached(c); /* or not to be reached: the others need not find out one by one */
	h->api.curl_multi_remove_handle_(h->multi, c->easy);
	h->api.curl_easy_reset_(c->easy);
	*vec_add(&h->spare) = c->easy;
	c->easy = NULL;
	h->api.curl_slist_free_all_(c->lines);
	c->lines = NULL;
	http_queue_end(&h->queue, &c->wait);
	for (size_t i = 0; i < h->active.n; i++) {
		if (h->active.p[i] == c) {
			h->active.p[i] = h->active.p[--h->active.n];
			break;
		}
	}
	c->state = CALL_NEW;
}

/* ---- the end of a call ---- */

static void call_free(struct http_call *c)
{
	struct http *h = c->h;

	pthread_mutex_lock(&h->lock);
	for (struct http_call **p = &h->told; c->told && *p; p = &(*p)->next_told) {
		if (*p == c) {
			*p = c->next_told;
			break;
		}
	}
	pthread_mutex_unlock(&h->lock);
	buf_release(&c->body);
	arena_release(&c->head);
	arena_release(&c->text);
	free(c);
}

static void call_enqueue(struct http_call *c);

static void call_again(struct http_call *c, int64_t delay)
{
	struct http *h = c->h;

	if (c->gave_data)
		(void)c->r.data(c->r.arg, NULL, 0);
	c->gave_data = c->no_credentials = false;
	c->redirects = 0;
	c->url = c->first_url;
	c->state = CALL_DELAYED;
	c->due_ms = now_ms() + delay;
	*vec_add(&h->delayed) = c;
	pthread_mutex_lock(&h->lock);
	h->counts.repeats++;
	pthread_mutex_unlock(&h->lock);
}

/* C is in no list: repeat it or tell its owner. E is C's own or the caller's. */
static void call_settle(struct http_call *c, int code, struct err *e)
{
	str body = code != 0 || (c->r.data && c->res.status / 100 == 2) ? STR_NONE : buf_str(&c->body);

	if (code != 0)
		name_call(c, e);
	if (c->r.again && code != ERR_CANCELLED && c->h->load_err.code == 0) {
		int64_t delay = c->r.again(c->r.arg, code, &c->res, body, e);
		if (delay >= 0) {
			call_again(c, delay);
			return;
		}
	}
	pthread_mutex_lock(&c->h->lock);
	c->h->counts.received += c->res.received;
	pthread_mutex_unlock(&c->h->lock);
	c->r.done(c->r.arg, code, &c->res, body, e);
	call_free(c);
}

/* C is in no list. */
static void call_fail(struct http_call *c, int code, const char *why)
{
	err_set(&c->why, code, "%s", why);
	call_settle(c, code, &c->why);
}

static void call_cancel(struct http_call *c)
{
	struct http *h = c->h;

	if (c->state == CALL_ACTIVE)
		call_detach(c);
	else if (c->state == CALL_WAITING)
		http_queue_drop(&h->queue, &c->wait);
	for (size_t i = 0; c->state == CALL_DELAYED && i < h->delayed.n; i++) {
		if (h->delayed.p[i] == c)
			h->delayed.p[i] = h->delayed.p[--h->delayed.n];
	}
	c->state = CALL_NEW;
	call_fail(c, ERR_CANCELLED, "cancelled");
}

/* Puts C into the queue of its URL's host, if that may be asked at all. */
static void call_enqueue(struct http_call *c)
{
	struct http *h = c->h;
	AUTO(buf_release) struct buf key = BUF_INIT;

	c->why.code = 0;
	if (h->load_err.code < 0) {
		c->res.hopeless = true;
		call_fail(c, h->load_err.code, h->load_err.msg);
		return;
	}
	if (url_parse(&c->at, str_of(c->url), &c->why) < 0) {
		c->res.hopeless = true;
		call_settle(c, c->why.code, &c->why);
		return;
	}
	if (h->o.allow && !h->o.allow(h->o.allow_ctx, str_of(c->url), &c->why)) {
		c->res.hopeless = true;
		if (c->why.code == 0)
			err_set(&c->why, ERR_POLICY, "not allowed");
		call_settle(c, c->why.code, &c->why);
		return;
	}
	bool multiplexed = c->at.tls && c->r.version == HTTP_VERSION_2;
	url_put_origin(&key, &c->at);
	buf_addc(&key, multiplexed ? '2' : '1');
	c->state = CALL_WAITING;
	http_queue_add(&h->queue, &c->wait, buf_str(&key), !multiplexed);
}

static bool is_redirect(const struct http_call *c)
{
	long s = c->res.status;

	return (s == 301 || s == 302 || s == 303 || s == 307 || s == 308) &&
	       (str_eq(c->r.method, STR("GET")) || str_eq(c->r.method, STR("HEAD")));
}

/* C has been answered with a redirect to TO. */
static void call_redirect(struct http_call *c, str to)
{
	struct url from = c->at, next;
	struct err bad;

	if (c->redirects++ == MAX_REDIRECTS) {
		call_fail(c, ERR_NET, "more than 5 redirects");
		return;
	}
	if (url_parse(&next, to, &bad) < 0) {
		c->res.hopeless = true;
		call_fail(c, ERR_NET, "the redirect leads to a URL that dray does not ask");
		return;
	}
	if (from.tls && !next.tls) {
		c->res.hopeless = true;
		call_fail(c, ERR_POLICY, "the redirect leads from https to http");
		return;
	}
	if (!url_same_origin(&from, &next))
		c->no_credentials = true;
	c->url = to.p;
	response_reset(c);
	call_enqueue(c);
}

static int code_of(CURLcode rc)
{
	return rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NET;
}

static bool hopeless(CURLcode rc)
{
	return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
	       rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT || rc == CURLE_SSL_ISSUER_ERROR;
}

/* libcurl is finished with C. */
static void call_over(struct http_call *c, CURLcode rc)
{
	struct http *h = c->h;
	char *location = NULL;
	str to = STR_NONE;

	if (h->api.curl_easy_getinfo_(c->easy, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location)
		to = arena_str(&c->text, str_of(location));
	call_detach(c);
	if (c->stop_code < 0) {
		call_settle(c, c->stop_code, &c->why);
	} else if (c->refused_address && rc == CURLE_COULDNT_CONNECT) {
		c->res.hopeless = true;
		call_fail(c, ERR_POLICY, "its host has a private address, which is not allowed here");
	} else if (rc != CURLE_OK && !c->cut) {
		c->res.hopeless = hopeless(rc);
		call_fail(c, code_of(rc), c->reason[0] ? c->reason : h->api.curl_easy_strerror_(rc));
	} else if (is_redirect(c) && to.p) {
		call_redirect(c, to);
	} else {
		call_settle(c, 0, &c->why);
	}
}

/* ---- the fetch thread ---- */

static bool reap(struct http *h)
{
	bool any = false;
	int left;

	for (CURLMsg *m; (m = h->api.curl_multi_info_read_(h->multi, &left));) {
		if (m->msg != CURLMSG_DONE)
			continue;
		char *call = NULL;
		CURLcode rc = m->data.result; /* M dies when the handle is removed */
		h->api.curl_easy_getinfo_(m->easy_handle, CURLINFO_PRIVATE, &call);
		call_over((void *)call, rc);
		any = true;
	}
	return any;
}

static int64_t stall_check_ms(const struct http *h)
{
	return h->o.stall_timeout_ms < 4 * STALL_CHECK_MS ? h->o.stall_timeout_ms / 4 + 1 : STALL_CHECK_MS;
}

static void end_stalled(struct http *h, int64_t now)
{
	if (now - h->stall_checked_ms < stall_check_ms(h))
		return;
	h->stall_checked_ms = now;
	for (size_t i = h->active.n; i-- > 0;) {
		struct http_call *c = h->active.p[i];
		if (c->paused || now - c->last_ms < h->o.stall_timeout_ms)
			continue;
		call_detach(c);
		err_set(&c->why, ERR_TIMEOUT, "no byte for %u ms", h->o.stall_timeout_ms);
		call_settle(c, ERR_TIMEOUT, &c->why);
	}
}

static void wake_delayed(struct http *h, int64_t now)
{
	for (size_t i = 0; i < h->delayed.n;) {
		struct http_call *c = h->delayed.p[i];
		if (c->due_ms > now) {
			i++;
			continue;
		}
		h->delayed.p[i] = h->delayed.p[--h->delayed.n];
		response_reset(c);
		call_enqueue(c);
	}
}

static int poll_ms(const struct http *h, int64_t now)
{
	int64_t ms = IDLE_POLL_MS;

	if (h->active.n)
		ms = stall_check_ms(h);
	for (size_t i = 0; i < h->delayed.n; i++) {
		int64_t left = h->delayed.p[i]->due_ms - now;
		if (left < ms)
			ms = left > 0 ? left : 0;
	}
	return (int)ms;
}

static void resume(struct http_call *c)
{
	if (c->state != CALL_ACTIVE || !c->paused)
		return;
	c->paused = false;
	c->last_ms = now_ms();
	c->h->api.curl_easy_pause_(c->easy, CURLPAUSE_CONT); /* an error shows as the transfer's end */
}

/* Puts C on the list of those to look at; under the lock. */
static void tell(struct http_call *c)
{
	if (c->told || c->in_inbox)
		return;
	c->told = true;
	c->next_told = c->h->told;
	c->h->told = c;
}

/* Takes over the new calls. Returns whether everything is to be cancelled. */
static bool take(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	while (!h->multi && !h->inbox && !h->quit)
		pthread_cond_wait(&h->first, &h->lock);
	bool stop = h->stop;
	struct http_call *fresh = h->inbox;
	h->inbox = NULL;
	h->inbox_end = &h->inbox;
	for (struct http_call *c = fresh; c; c = c->next) {
		c->in_inbox = false;
		if (c->want_cancel)
			tell(c);
	}
	pthread_mutex_unlock(&h->lock);

	if (!stop && !h->multi && h->load_err.code == 0)
		multi_open(h);
	for (struct http_call *c, *next; (c = fresh); fresh = next) {
		next = c->next;
		c->wait.seq = h->seq++;
		if (stop)
			call_cancel(c);
		else
			call_enqueue(c);
	}
	return stop;
}

static void obey(struct http *h)
{
	for (;;) {
		pthread_mutex_lock(&h->lock);
		struct http_call *c = h->told;
		bool cancel = false;
		if (c) {
			h->told = c->next_told;
			cancel = c->want_cancel;
			c->told = c->want_cancel = false;
		}
		pthread_mutex_unlock(&h->lock);
		if (!c)
			return;
		if (cancel)
			call_cancel(c);
		else
			resume(c);
	}
}

static void cancel_all(struct http *h)
{
	struct http_wait *w;

	while (h->active.n)
		call_cancel(h->active.p[h->active.n - 1]);
	while (h->delayed.n)
		call_cancel(h->delayed.p[h->delayed.n - 1]);
	while ((w = http_queue_any(&h->queue)))
		call_cancel(w->call);
}

static void run_transfers(struct http *h)
{
	int running;

	wake_delayed(h, now_ms());
	do {
		for (struct http_wait *w; (w = http_queue_take(&h->queue));)
			call_start(w->call);
		h->api.curl_multi_perform_(h->multi, &running);
	} while (reap(h));
	end_stalled(h, now_ms());
}

static bool may_quit(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	bool yes = h->quit && !h->inbox;
	pthread_mutex_unlock(&h->lock);
	return yes;
}

static void *fetch_thread(void *arg)
{
	struct http *h = arg;

	for (;;) {
		bool stop = take(h);
		obey(h);
		if (stop)
			cancel_all(h);
		if (stop && may_quit(h))
			return NULL;
		if (!h->multi)
			continue;
		if (!stop)
			run_transfers(h);
		h->api.curl_multi_poll_(h->multi, NULL, 0, poll_ms(h, now_ms()), NULL);
	}
}

/* ---- the other threads' side ---- */

/* Under the lock. */
static void wake(struct http *h)
{
	if (h->multi)
		h->api.curl_multi_wakeup_(h->multi);
	else
		pthread_cond_signal(&h->first);
}

static const char *keep(struct arena *a, const char *s)
{
	return s ? arena_str(a, str_of(s)).p : NULL;
}

int http_new(struct http **out, const struct http_opts *o, struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->o = *o;
	h->o.max_active = o->max_active ? o->max_active : 128;
	h->o.max_per_host = o->max_per_host ? o->max_per_host : 64;
	h->o.connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 30000;
	h->o.stall_timeout_ms = o->stall_timeout_ms ? o->stall_timeout_ms : 60000;
	h->o.version = o->version ? o->version : HTTP_VERSION_2;
	h->o.ca_file = keep(&h->text, o->ca_file);
	h->o.proxy = keep(&h->text, o->proxy);
	h->o.https_proxy = keep(&h->text, o->https_proxy);
	h->o.no_proxy = keep(&h->text, o->no_proxy);
	h->queue.max_active = h->o.max_active;
	h->queue.max_per_host = h->o.max_per_host;
	h->inbox_end = &h->inbox;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->first, NULL);
	if (workq_thread(&h->thread, "fetch", fetch_thread, h, e) < 0) {
		arena_release(&h->text);
		free(h);
		return e->code;
	}
	*out = h;
	return 0;
}

void http_stop(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	wake(h);
	pthread_mutex_unlock(&h->lock);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = h->quit = true;
	wake(h);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	for (size_t i = 0; i < h->spare.n; i++)
		h->api.curl_easy_cleanup_(h->spare.p[i]);
	if (h->multi) {
		h->api.curl_multi_cleanup_(h->multi);
		h->api.curl_global_cleanup_();
	}
	if (h->api.library)
		dlclose(h->api.library);
	http_queue_release(&h->queue);
	vec_release(&h->active);
	vec_release(&h->delayed);
	vec_release(&h->spare);
	arena_release(&h->text);
	pthread_cond_destroy(&h->first);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

struct http_call *http_start(struct http *h, const struct http_request *r)
{
	struct http_call *c = xcalloc(1, sizeof(*c));

	c->h = h;
	c->r = *r;
	c->text.chunk_size = 512;
	c->head.chunk_size = 1024;
	c->r.url = arena_str(&c->text, r->url);
	c->r.method = r->method.n ? arena_str(&c->text, r->method) : STR("GET");
	c->r.headers = arena_str(&c->text, r->headers);
	c->r.body = arena_str(&c->text, r->body);
	c->url = c->first_url = c->r.url.p;
	c->res.content_length = -1;
	if (c->r.max_body == 0)
		c->r.max_body = DEFAULT_MAX_BODY;
	if (c->r.version == HTTP_VERSION_DEFAULT)
		c->r.version = h->o.version;
	c->wait.priority = r->priority;
	c->wait.call = c;
	c->in_inbox = true;
	pthread_mutex_lock(&h->lock);
	*h->inbox_end = c;
	h->inbox_end = &c->next;
	wake(h);
	pthread_mutex_unlock(&h->lock);
	return c;
}

void http_resume(struct http *h, struct http_call *c)
{
	pthread_mutex_lock(&h->lock);
	tell(c);
	wake(h);
	pthread_mutex_unlock(&h->lock);
}

void http_cancel(struct http *h, struct http_call *c)
{
	pthread_mutex_lock(&h->lock);
	c->want_cancel = true;
	tell(c);
	wake(h);
	pthread_mutex_unlock(&h->lock);
}

struct http_counts http_counts(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	struct http_counts n = h->counts;
	pthread_mutex_unlock(&h->lock);
	return n;
}
