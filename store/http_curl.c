#include "addr.h"
#include "base/clock.h"
#include "http_impl.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

enum { MAX_HEADER_BYTES = 64 * 1024, MAX_ERROR_BODY = 64 * 1024, RECEIVE_BUFFER = 64 * 1024 };
/* So many sockets are read before those that are finished with are seen, and what comes too fast is held. */
enum { MAX_EVENTS = 16 };

/* libcurl's functions: loading the library costs 5 to 8 ms, which only who asks the network
 * pays. Constant once loaded. */
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
	X(curl_multi_socket_action)                                                                                    \
	X(curl_multi_assign)                                                                                           \
	X(curl_multi_info_read)                                                                                        \
	X(curl_multi_cleanup)
struct curl_api {
#define CURL_MEMBER(f) __typeof__(f) *f##_;
	CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
	void *library;
};

_Static_assert(sizeof(((struct http_call *)0)->reason) >= CURL_ERROR_SIZE, "libcurl writes this much");

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

/* ---- waiting ---- */

/* libcurl wants to know of WHAT happens to S. NOT_FIRST: it did before. */
static int on_interest(CURL *easy, curl_socket_t s, int what, void *arg, void *not_first)
{
	struct http *h = arg;
	struct epoll_event ev = {
		.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u), .data.fd = s
	};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(h->epoll, EPOLL_CTL_DEL, s, NULL); /* it may be closed by now, which has removed it */
		return 0;
	}
	if (!not_first)
		h->api->curl_multi_assign_(h->multi, s, h);
	/* Refused for want of kernel memory: the transfer ends as a stalled one. An error here would end all of
	 * them. */
	(void)epoll_ctl(h->epoll, not_first ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s, &ev);
	return 0;
}

static int on_timer(CURLM *m, long ms, void *arg)
{
	struct http *h = arg;

	(void)m;
	h->timer_ms = ms < 0 ? INT64_MAX : clock_ms() + ms;
	return 0;
}

/* What the loop waits with. */
static int loop_open(struct http *h, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };

	h->timer_ms = INT64_MAX;
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	h->waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ev.data.fd = h->waker;
	if (h->epoll < 0 || h->waker < 0 || epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->waker, &ev) != 0)
		return err_os(e, "wait for the network");
	return 0;
}

void transfer_open(struct http *h)
{
	h->api = xcalloc(1, sizeof(*h->api));
	if (api_load(h->api, &h->load_err) < 0 || loop_open(h, &h->load_err) < 0)
		return;
	CURLM *m = h->api->curl_multi_init_();
	if (!m) {
		err_set(&h->load_err, ERR_UNSUPPORTED, "libcurl.so.4 makes no multi handle");
		return;
	}
	h->api->curl_multi_setopt_(m, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	h->api->curl_multi_setopt_(m, CURLMOPT_MAXCONNECTS, (long)h->o.max_active);
	h->api->curl_multi_setopt_(m, CURLMOPT_MAX_HOST_CONNECTIONS, (long)h->o.max_active);
	h->api->curl_multi_setopt_(m, CURLMOPT_SOCKETFUNCTION, on_interest);
	h->api->curl_multi_setopt_(m, CURLMOPT_SOCKETDATA, h);
	h->api->curl_multi_setopt_(m, CURLMOPT_TIMERFUNCTION, on_timer);
	h->api->curl_multi_setopt_(m, CURLMOPT_TIMERDATA, h);
	pthread_mutex_lock(&h->lock);
	h->multi = m;
	/* What came while libcurl was loaded woke nobody. */
	h->woken = h->inbox || h->told || h->stop;
	if (h->woken)
		transfer_wake(h);
	pthread_mutex_unlock(&h->lock);
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
		{ "content-range", offsetof(struct http_response, content_range) },
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

void http_response_reset(struct http_call *c)
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

	c->last_ms = clock_ms();
	c->header_bytes += line.n;
	if (c->header_bytes > MAX_HEADER_BYTES) {
		stop_call(c, ERR_TOOBIG, "the response has more than 64 KiB of headers");
		return 0;
	}
	if (str_starts(line, STR("HTTP/"))) { /* a new response: after 100, a proxy's CONNECT */
		size_t bytes = c->header_bytes;
		http_response_reset(c);
		c->header_bytes = bytes;
		c->res.status = status_of(line);
		c->multiplexed = str_starts(line, STR("HTTP/2"));
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
	if (!c->begun && !http_body_begin(c)) {
		stop_call(c, ERR_NET, "the answer is another part of the body than was asked for");
		return 0;
	}
	ptrdiff_t took = c->r.data(c->r.arg, p, n);

	if (took == 0) {
		c->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	c->gave_data = true;
	c->given += n;
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

	c->last_ms = clock_ms();
	if (n == 0)
		return 0;
	if (c->r.holdable && !c->multiplexed && c->res.received + n > HTTP_HELD && atomic_load(&c->h->hold)) {
		c->paused = c->held = c->h->any_held = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (good && (n > c->r.max_body - c->kept - c->res.received ||
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
		if (good && c->body.n == 0 && c->res.content_length > 0) /* not past the limit, as was checked */
			buf_reserve(&c->body, (size_t)c->res.content_length);
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
	const struct curl_api *a = c->h->api;
	str line, rest = c->r.headers;

	c->lines = a->curl_slist_append_(NULL, "Expect:");
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (line.n == 0 || (c->no_credentials && credential_line(line)))
			continue;
		c->lines = a->curl_slist_append_(c->lines, arena_str(&c->text, line).p);
	}
	if (c->kept)
		c->lines = a->curl_slist_append_(
			c->lines, arena_printf(&c->text, "Range: bytes=%llu-", (unsigned long long)c->kept).p);
	if (c->kept && c->strong.n)
		c->lines = a->curl_slist_append_(
			c->lines, arena_printf(&c->text, "If-Range: " STR_FMT, STR_ARG(c->strong)).p);
	a->curl_easy_setopt_(c->easy, CURLOPT_HTTPHEADER, c->lines);
}

static void set_method(struct http_call *c)
{
	const struct curl_api *a = c->h->api;

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

/* Where addresses are confined, what may be private is asked directly and all else by the operator's proxy or directly:
 * no environment, no exceptions by name, so that a direct connection is always one whose address was checked. */
static void set_proxy(struct http_call *c)
{
	const struct http_opts *o = &c->h->o;
	const struct curl_api *a = c->h->api;
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
	const struct curl_api *a = c->h->api;

	set_proxy(c);
	if (o->ca_file)
		a->curl_easy_setopt_(c->easy, CURLOPT_CAINFO, o->ca_file);
	/* A built-in CApath would keep libcurl from sharing the parsed authorities between connections: 40 ms
	 * of CPU for each of them. */
	a->curl_easy_setopt_(c->easy, CURLOPT_CAPATH, NULL);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSL_VERIFYPEER, o->insecure_tls ? 0L : 1L);
	a->curl_easy_setopt_(c->easy, CURLOPT_SSL_VERIFYHOST, o->insecure_tls ? 0L : 2L);
	a->curl_easy_setopt_(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
	a->curl_easy_setopt_(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	bool two = c->r.version == HTTP_VERSION_2;
	a->curl_easy_setopt_(
		c->easy, CURLOPT_HTTP_VERSION, two ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
	a->curl_easy_setopt_(c->easy, CURLOPT_PIPEWAIT, two && c->at.tls ? 1L : 0L);
	/* libcurl remembers per host whether it multiplexes, and one HTTP/1.1 answer makes it forget: requests of both
	 * versions to one host would open a connection each. A scope keeps their connections in two pools; it means
	 * nothing to the system but for link-local IPv6 addresses. */
	a->curl_easy_setopt_(c->easy, CURLOPT_ADDRESS_SCOPE, two && c->at.tls ? 1L : 0L);
	a->curl_easy_setopt_(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	a->curl_easy_setopt_(c->easy, CURLOPT_OPENSOCKETDATA, c);
	a->curl_easy_setopt_(c->easy, CURLOPT_PREREQFUNCTION, on_connected);
	a->curl_easy_setopt_(c->easy, CURLOPT_PREREQDATA, c);
}

void transfer_start(struct http_call *c)
{
	struct http *h = c->h;
	const struct curl_api *a = h->api;

	c->easy = h->spare.n ? h->spare.p[--h->spare.n] : a->curl_easy_init_();
	if (!c->easy)
		die_oom(0);
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
	if (a->curl_multi_add_handle_(h->multi, c->easy) != CURLM_OK)
		die_oom(0); /* its only error for a fresh handle */
}

void transfer_end(struct http_call *c)
{
	struct http *h = c->h;

	h->api->curl_multi_remove_handle_(h->multi, c->easy);
	h->api->curl_easy_reset_(c->easy);
	*vec_add(&h->spare) = c->easy;
	c->easy = NULL;
	h->api->curl_slist_free_all_(c->lines);
	c->lines = NULL;
}

void transfer_resume(struct http_call *c)
{
	c->h->api->curl_easy_pause_(c->easy, CURLPAUSE_CONT); /* an error shows as the transfer's end */
}

void transfer_timers(struct http *h)
{
	int running;

	if (h->timer_ms > clock_ms())
		return;
	h->timer_ms = INT64_MAX;
	h->api->curl_multi_socket_action_(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

void transfer_poll(struct http *h, int ms)
{
	struct epoll_event ev[MAX_EVENTS];
	int64_t left = h->timer_ms - clock_ms();
	int running;

	int n = epoll_wait(h->epoll, ev, MAX_EVENTS, left < 0 ? 0 : left < ms ? (int)left : ms);
	for (int i = 0; i < n; i++) {
		int fd = ev[i].data.fd;
		uint64_t count;
		if (fd == h->waker) {
			if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
				abort();
			continue;
		}
		/* What went wrong is told by reading: CURL_CSELECT_ERR would end the transfer before
		 * what has arrived is read. */
		int what = (ev[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
			   (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
		h->api->curl_multi_socket_action_(h->multi, fd, what, &running);
	}
}

void transfer_wake(struct http *h)
{
	uint64_t one = 1;

	if (write(h->waker, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* an eventfd of ours takes a write of 1 */
}

void transfer_close(struct http *h)
{
	for (size_t i = 0; i < h->spare.n; i++)
		h->api->curl_easy_cleanup_(h->spare.p[i]);
	if (h->multi) {
		h->api->curl_multi_cleanup_(h->multi);
		h->api->curl_global_cleanup_();
	}
	if (h->api && h->api->library)
		dlclose(h->api->library);
	if (h->epoll >= 0)
		close(h->epoll);
	if (h->waker >= 0)
		close(h->waker);
	free(h->api);
	vec_release(&h->spare);
}

static int code_of(CURLcode rc)
{
	if (rc == CURLE_OK)
		return 0;
	return rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NET;
}

static bool hopeless(CURLcode rc)
{
	return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
	       rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT || rc == CURLE_SSL_ISSUER_ERROR;
}

struct http_call *transfer_finished(struct http *h, struct transfer_result *out)
{
	int left;

	for (CURLMsg *m; (m = h->api->curl_multi_info_read_(h->multi, &left));) {
		if (m->msg != CURLMSG_DONE)
			continue;
		char *call = NULL, *location = NULL;
		CURLcode rc = m->data.result;
		h->api->curl_easy_getinfo_(m->easy_handle, CURLINFO_PRIVATE, &call);
		h->api->curl_easy_getinfo_(m->easy_handle, CURLINFO_REDIRECT_URL, &location);
		struct http_call *c = (void *)call;
		*out = (struct transfer_result){
			.code = code_of(rc),
			.connect = rc == CURLE_COULDNT_CONNECT,
			.hopeless = hopeless(rc),
			.why = str_of(c->reason[0] ? c->reason : h->api->curl_easy_strerror_(rc)),
			.location = location ? arena_str(&c->text, str_of(location)) : STR_NONE,
		};
		return c;
	}
	return NULL;
}
