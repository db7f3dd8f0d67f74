#include "base/clock.h"
#include "http_impl.h"

enum { MAX_REDIRECTS = 5, STALL_CHECK_MS = 250, IDLE_POLL_MS = 60 * 1000, RESUME_AT_ONCE = 16 };
#define DEFAULT_MAX_BODY (64u << 20)

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

/* Starts C, which the queue has counted as active. */
static void call_start(struct http_call *c)
{
	struct http *h = c->h;

	http_response_reset(c);
	c->reason[0] = 0;
	c->paused = c->held = c->cut = c->refused_address = c->begun = c->wrong = false;
	c->given = 0;
	c->stop_code = 0;
	c->last_ms = clock_ms();
	c->state = CALL_ACTIVE;
	*vec_add(&h->active) = c;
	pthread_mutex_lock(&h->lock);
	h->counts.requests++;
	h->counts.most_active = h->queue.most_active;
	pthread_mutex_unlock(&h->lock);
	transfer_start(c);
}

/* Takes C off libcurl and off the queue; the response stays. */
static void call_detach(struct http_call *c)
{
	struct http *h = c->h;

	http_queue_reached(&c->wait); /* or not to be reached: the others need not find out one by one */
	transfer_end(c);
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

static void call_again(struct http_call *c, int code, int64_t delay)
{
	struct http *h = c->h;

	http_body_end(c, code);
	c->no_credentials = false;
	c->redirects = 0;
	c->url = c->first_url;
	c->state = CALL_DELAYED;
	c->due_ms = clock_ms() + delay;
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
			call_again(c, code, delay);
			return;
		}
	}
	c->res.received += c->kept;
	pthread_mutex_lock(&c->h->lock);
	c->h->counts.received += c->res.received;
	pthread_mutex_unlock(&c->h->lock);
	c->res.memory = &c->body;
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
	bool multiplexed = c->at.tls && c->r.version == HTTP_VERSION_2, small = c->r.small && !multiplexed;
	url_put_origin(&key, &c->at);
	buf_addc(&key, multiplexed ? '2' : small ? 's' : '1');
	c->state = CALL_WAITING;
	c->wait.holdable = c->r.holdable;
	http_queue_add(&h->queue, &c->wait, buf_str(&key), !multiplexed && !small);
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
	http_response_reset(c);
	call_enqueue(c);
}

/* libcurl is finished with C. */
static void call_over(struct http_call *c, const struct transfer_result *r)
{
	call_detach(c);
	if (c->stop_code < 0) {
		call_settle(c, c->stop_code, &c->why);
	} else if (c->refused_address && r->connect) {
		c->res.hopeless = true;
		call_fail(c, ERR_POLICY, "its host has a private address, which is not allowed here");
	} else if (r->code != 0 && !c->cut) {
		c->res.hopeless = r->hopeless;
		call_fail(c, r->code, r->why.p);
	} else if (is_redirect(c) && r->location.n) {
		call_redirect(c, r->location);
	} else {
		if (c->kept && !c->begun && c->res.status / 100 == 2)
			http_body_void(c); /* an empty body, whatever it is a part of */
		call_settle(c, 0, &c->why);
	}
}

/* ---- the fetch thread ---- */

static bool reap(struct http *h)
{
	struct transfer_result r;
	bool any = false;

	for (struct http_call *c; (c = transfer_finished(h, &r)); any = true)
		call_over(c, &r);
	return any;
}

static int64_t stall_check_ms(const struct http *h)
{
	return h->o.stall_timeout_ms < 4 * STALL_CHECK_MS ? h->o.stall_timeout_ms / 4 + 1 : STALL_CHECK_MS;
}

/* Whether any was: others may start in their place. */
static bool end_stalled(struct http *h, int64_t now)
{
	bool any = false;

	if (now - h->stall_checked_ms < stall_check_ms(h))
		return false;
	h->stall_checked_ms = now;
	for (size_t i = h->active.n; i-- > 0;) {
		struct http_call *c = h->active.p[i];
		if (c->paused || now - c->last_ms < h->o.stall_timeout_ms)
			continue;
		call_detach(c);
		err_set(&c->why, ERR_TIMEOUT, "no byte for %u ms", h->o.stall_timeout_ms);
		call_settle(c, ERR_TIMEOUT, &c->why);
		any = true;
	}
	return any;
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
		http_response_reset(c);
		call_enqueue(c);
	}
}

static int poll_ms(const struct http *h, int64_t now)
{
	int64_t ms = IDLE_POLL_MS;

	if (h->any_held && !atomic_load(&h->hold))
		return 0;
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
	c->paused = c->held = false;
	c->last_ms = clock_ms();
	transfer_resume(c);
}

/* What was held goes on, if nothing is to be held any more: a few at a time, since each brings what
 * libcurl has of it at once. */
static void resume_held(struct http *h)
{
	unsigned n = 0;

	if (!h->any_held || atomic_load(&h->hold))
		return;
	h->any_held = false;
	for (size_t i = 0; i < h->active.n; i++) {
		if (!h->active.p[i]->held)
			continue;
		if (n++ == RESUME_AT_ONCE) {
			h->any_held = true;
			return;
		}
		resume(h->active.p[i]);
	}
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
	bool load = h->o.ready && h->load_err.code == 0;
	while (!h->multi && !h->inbox && !h->quit && (!load || h->stop))
		pthread_cond_wait(&h->first, &h->lock);
	bool stop = h->stop;
	h->woken = false;
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
		transfer_open(h);
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
	wake_delayed(h, clock_ms());
	do {
		h->queue.hold = atomic_load(&h->hold);
		for (struct http_wait *w; (w = http_queue_take(&h->queue));)
			call_start(w->call);
		transfer_timers(h);
	} while (reap(h) || end_stalled(h, clock_ms()));
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
		resume_held(h);
		if (stop)
			cancel_all(h);
		if (stop && may_quit(h))
			return NULL;
		if (!h->multi)
			continue;
		if (!stop)
			run_transfers(h);
		transfer_poll(h, poll_ms(h, clock_ms()));
	}
}

/* ---- the other threads' side ---- */

/* Under the lock. The fetch thread looks at everything when it wakes: once is enough. */
static void wake(struct http *h)
{
	if (!h->multi)
		pthread_cond_signal(&h->first);
	else if (!h->woken)
		transfer_wake(h);
	h->woken = h->multi != NULL;
}

static const char *keep(struct arena *a, const char *s)
{
	return s ? arena_str(a, str_of(s)).p : NULL;
}

int http_new(struct http **out, const struct http_opts *o, struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->epoll = h->waker = -1;
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
	h->queue.keep_room = h->o.keep_room;
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
	transfer_close(h);
	http_queue_release(&h->queue);
	vec_release(&h->active);
	vec_release(&h->delayed);
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

void http_hold(struct http *h, bool held)
{
	pthread_mutex_lock(&h->lock);
	h->holders = held ? h->holders + 1 : h->holders - 1;
	atomic_store(&h->hold, h->holders > 0);
	if (h->holders == 0)
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
