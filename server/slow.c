#include "slow.h"
#include "base/clock.h"
#include <stdlib.h>
#include <time.h>

enum { OPEN = 1024, KEEP_S = 3600 };

/* A request under way. */
struct open_url {
	uint64_t hash, from_us; /* from_us 0: free */
};
struct slow {
	bool (*allow)(void *ctx, str url, struct err *e);
	bool (*allow_private)(void *ctx, str url);
	void *allow_ctx;
	void (*observe)(void *ctx, str url, long status, int code);
	void *observe_ctx;
	pthread_mutex_t lock;       /* all below */
	struct open_url open[OPEN]; /* by hash; two in one place lose one measurement, nothing else */
	struct slow_package top[STATUS_SLOWEST];
	size_t ntop;
	struct histogram upstream;
};

static uint64_t url_hash(str url)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < url.n; i++)
		h = (h ^ (uint8_t)url.p[i]) * 1099511628211u;
	return h;
}

/* "https://host/@acme%2fthing" is @acme/thing, "…/thing/-/thing-1.0.0.tgz" is thing-1.0.0.tgz. */
static void name_of(char out[96], str url)
{
	str rest, scheme, host, path, file;
	size_t n = 0;

	if (!str_cut(url, ':', &scheme, &rest) || rest.n < 3)
		rest = url;
	str_cut(str_from(rest, 2), '/', &host, &path);
	if (str_find_str(path, STR("/-/"), 0) != SIZE_MAX && str_rcut(path, '/', &rest, &file))
		path = file;
	else if (str_rcut(path, '/', &rest, &file) && !(file.n && rest.n && rest.p[0] == '@'))
		path = file;
	for (size_t i = 0; i < path.n && n < 95; i++) {
		bool slash = i + 2 < path.n && path.p[i] == '%' && path.p[i + 1] == '2' && (path.p[i + 2] | 32) == 'f';
		if (path.p[i] == '?')
			break;
		out[n++] = slash ? '/' : path.p[i];
		i += slash ? 2 : 0;
	}
	out[n] = 0;
}

static int slower_first(const void *a, const void *b)
{
	const struct slow_package *x = a, *y = b;

	return (x->ms < y->ms) - (x->ms > y->ms);
}

/* Under the lock. A name is there once, with its worst time. */
static void top_add(struct slow *s, str url, unsigned ms)
{
	struct slow_package p = { .ms = ms, .at = time(NULL) };
	size_t keep = 0;

	for (size_t i = 0; i < s->ntop; i++) {
		if (p.at - s->top[i].at < KEEP_S)
			s->top[keep++] = s->top[i];
	}
	s->ntop = keep;
	if (s->ntop == STATUS_SLOWEST && s->top[s->ntop - 1].ms >= ms)
		return;
	name_of(p.name, url);
	for (size_t i = 0; i < s->ntop; i++) {
		if (strcmp(s->top[i].name, p.name) != 0)
			continue;
		if (s->top[i].ms >= ms)
			return;
		s->top[i] = s->top[--s->ntop];
		break;
	}
	if (s->ntop == STATUS_SLOWEST)
		s->ntop--;
	s->top[s->ntop++] = p;
	qsort(s->top, s->ntop, sizeof(s->top[0]), slower_first);
}

static bool on_allow(void *ctx, str url, struct err *e)
{
	struct slow *s = ctx;
	uint64_t h = url_hash(url);

	if (!s->allow(s->allow_ctx, url, e))
		return false;
	pthread_mutex_lock(&s->lock);
	s->open[h % OPEN] = (struct open_url){ h, clock_us() };
	pthread_mutex_unlock(&s->lock);
	return true;
}

static bool on_private(void *ctx, str url)
{
	struct slow *s = ctx;

	return s->allow_private(s->allow_ctx, url);
}

static void on_observe(void *ctx, str url, long status, int code)
{
	struct slow *s = ctx;
	uint64_t h = url_hash(url);

	pthread_mutex_lock(&s->lock);
	struct open_url *o = &s->open[h % OPEN];
	if (o->from_us && o->hash == h) {
		uint64_t us = clock_us() - o->from_us;
		histogram_add(&s->upstream, us);
		top_add(s, url, (unsigned)(us / 1000));
		o->from_us = 0;
	}
	pthread_mutex_unlock(&s->lock);
	s->observe(s->observe_ctx, url, status, code);
}

struct slow *slow_new(void)
{
	struct slow *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void slow_watch(struct slow *s, struct http_opts *ho, struct registry_opts *ro)
{
	s->allow = ho->allow;
	s->allow_private = ho->allow_private;
	s->allow_ctx = ho->allow_ctx;
	s->observe = ro->observe;
	s->observe_ctx = ro->observe_ctx;
	ho->allow = on_allow;
	ho->allow_private = on_private;
	ho->allow_ctx = s;
	ro->observe = on_observe;
	ro->observe_ctx = s;
}

size_t slow_list(struct slow *s, struct slow_package out[STATUS_SLOWEST])
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->ntop;
	memcpy(out, s->top, n * sizeof(*out));
	pthread_mutex_unlock(&s->lock);
	return n;
}

void slow_metrics(struct slow *s, struct buf *b)
{
	histogram_print(
		b, "upstream_seconds", "From asking upstream until its answer's end, an attempt.", &s->upstream);
}

void slow_free(struct slow *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}
