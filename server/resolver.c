#include "resolver.h"
#include "base/clock.h"
#include "index_limit.h"
#include "log.h"
#include "meta.h"
#include "packs.h"
#include "plan_io.h"
#include "slow.h"
#include "store_admin.h"
#include "surface.h"
#include "upstream.h"
#include "verdict.h"
#include <stdlib.h>
#include <time.h>

/* Each takes some 300 MB at level 19 for a large package. */
enum { SETTLERS_MOST = 4, ABSENT_MS = 30 * 1000 };
/* Bytes of a URL dependency, held in memory while its plan is made. */
enum { REMOTE_TARBALL_MAX = 64 << 20 };

struct resolver {
	struct backend b;
	const struct config *config;
	struct store *store;
	struct upstreams *upstreams;
	struct http *http;
	struct registry *registry;
	struct meta *meta;
	struct packs *packs;
	struct surface *surface;
	struct slow *slow;
	struct index_limit *limit;
	_Atomic uint64_t writes_dropped, lock_waits, near;
};

/* What a project takes for its registries has to be what this server asks for those names, by
 * its own URL or an alias. */
static int check_registries(const struct resolver *r, const struct settings *s, struct arena *a, struct err *e)
{
	for (size_t i = 0; i < s->nregistry; i++) {
		str url, scope = s->registry[i].scope, asked = s->registry[i].url;
		str name = scope.n ? arena_printf(a, STR_FMT "/x", STR_ARG(scope)) : STR("x");
		if (upstream_route(&url, r->upstreams, name, asked, e) < 0)
			return e->code;
	}
	return 0;
}

static void resolver_lockfile_keep(void *ctx, const uint8_t sha[32], str text);

/* Adds the pack that is ready to each package; what has none yet is prepared. The lockfile that all of them make is
 * kept: who changes a manifest next asks with its digest. */
struct packs_sink {
	struct resolver *r;
	struct arena *a;
	const struct identity *who;
	bool wanted;
	frame_sink *sink;
	void *ctx;
};

static int add_pack(void *ctx, const struct frame *f, struct err *e)
{
	struct packs_sink *ps = ctx;
	struct frame copy;

	if (f->kind == FRAME_DONE && f->done.lockfile.n)
		resolver_lockfile_keep(ps->r, f->done.lockfile_digest, f->done.lockfile);
	if (f->kind != FRAME_PACKAGE)
		return ps->sink(ps->ctx, f, e);
	/* A lockfile may bring names whose packuments nobody asked for. */
	if (identity_may_see(ps->who, f->package.name, e) < 0)
		return e->code;
	/* The pack is made from where this server finds the tarball; the client is told where it does. */
	copy = *f;
	copy.package.url = upstream_of_alias(ps->r->upstreams, f->package.name, f->package.url, ps->a);
	packs_of(ps->r->packs, &copy.package, ps->who->name);
	copy.package.url = f->package.url;
	return ps->sink(ps->ctx, ps->wanted ? &copy : f, e);
}

static int resolver_plan(void *ctx, struct plan_request *req, const struct identity *who, struct arena *a,
	struct cancel *c, frame_sink *sink, void *sink_ctx, struct err *e)
{
	struct resolver *r = ctx;

	if (check_registries(r, &req->req.settings, a, e) < 0)
		return e->code;
	if (req->req.mode == REQUEST_VERDICT) {
		struct verdict_opts vo = {
			.store = r->store, .meta = r->meta, .upstreams = r->upstreams, .now_ms = clock_wall_ms()
		};
		return verdict_send(&vo, &req->req, who, c, sink, sink_ctx, e);
	}
	struct plan_io_opts io_opts = { .meta = r->meta,
		.preload = { .now_ms = clock_wall_ms(),
			.early = true,
			.remote = { .registry = r->registry, .max_bytes = REMOTE_TARBALL_MAX } },
		.upstreams = r->upstreams,
		.who = who,
		.cancel = c };
	struct plan_io io;
	plan_io_init(&io, &io_opts);
	struct packs_sink ps = { r, a, who, req->accept & PLAN_ACCEPT_PACKS, sink, sink_ctx };
	int rc = engine_run(&req->req, &io.io, add_pack, &ps, e);
	plan_io_release(&io);
	return rc;
}

static bool resolver_lockfile(void *ctx, str *out, const uint8_t sha[32], struct arena *a)
{
	const struct resolver *r = ctx;

	return index_lockfile_find(out, r->store, sha, clock_wall_ms(), a);
}

static void resolver_lockfile_keep(void *ctx, const uint8_t sha[32], str text)
{
	struct resolver *r = ctx;

	/* The writer's queue may be full: the next request brings it again. */
	if (!index_lockfile_keep(r->store, sha, text, clock_wall_ms()))
		atomic_fetch_add(&r->writes_dropped, 1);
}

static void resolver_renew(void *ctx, const uint8_t *keys, size_t n)
{
	const struct resolver *r = ctx;
	uint8_t digest[32];
	uint64_t size;

	for (size_t i = 0; i < n; i++) /* finding one is a use of it; one that is gone is made again */
		(void)packs_find(r->packs, digest, &size, keys + i * PACKS_KEY);
}

/* Credentials of upstreams, from their files and variables as they are now. */
static int resolver_reload(void *ctx, const struct config *c, struct err *e)
{
	const struct resolver *r = ctx;

	(void)e;
	if (c->sections_hash != r->config->sections_hash)
		return 0; /* sections need a restart; said by who asks */
	for (size_t i = 0; i < c->nupstreams; i++) {
		const struct upstream_config *u = &c->upstream[i];
		if (u->authorization.n && !registry_reauthorize(r->registry, u->url, u->authorization))
			log_warn("reload", "upstream=" STR_FMT " credential=kept", STR_ARG(u->name));
	}
	return 0;
}

static void put(struct buf *b, const char *name, const char *help, uint64_t v)
{
	metric_print(b, name, "counter", help, (double)v);
}

static void upstreams_metric(struct upstreams *u, struct buf *b, const char *name, const char *type, const char *help,
	double (*of)(const struct upstream_health *h))
{
	struct upstream_health h;

	metric_head(b, name, type, help);
	for (size_t i = 0; upstream_health(u, i, &h); i++)
		buf_printf(b, "drayd_%s{upstream=\"" STR_FMT "\",origin=\"" STR_FMT "\"} %.15g\n", name,
			STR_ARG(h.name), STR_ARG(h.origin), of(&h));
}

static double health_up(const struct upstream_health *h)
{
	return h->state == UPSTREAM_CLOSED ? 1 : 0;
}

static double health_answers(const struct upstream_health *h)
{
	return (double)h->answers;
}

static double health_failures(const struct upstream_health *h)
{
	return (double)h->failures;
}

static double health_opened(const struct upstream_health *h)
{
	return (double)h->opened;
}

static double health_refused(const struct upstream_health *h)
{
	return (double)h->refused;
}

static void upstreams_metrics(struct upstreams *u, struct buf *b)
{
	upstreams_metric(u, b, "upstream_up", "gauge", "1: asked; 0: its circuit breaker is open.", health_up);
	upstreams_metric(u, b, "upstream_answers_total", "counter", "Attempts that it answered.", health_answers);
	upstreams_metric(u, b, "upstream_failures_total", "counter", "Attempts that failed.", health_failures);
	upstreams_metric(u, b, "upstream_opened_total", "counter", "Times its breaker opened.", health_opened);
	upstreams_metric(u, b, "upstream_refused_total", "counter", "Requests its breaker refused.", health_refused);
	put(b, "upstream_denied_total", "URLs refused because no upstream lists their origin.", upstreams_denied(u));
}

/* A store that cannot be read cannot serve: a full table of readers, a lost disk. */
static bool resolver_ready(void *ctx, struct err *e)
{
	struct resolver *r = ctx;
	struct store_read *read;

	if (store_read_begin(&read, r->store, e) < 0)
		return false;
	store_read_end(read);
	return true;
}

static void resolver_status(void *ctx, struct backend_status *out)
{
	struct resolver *r = ctx;

	out->meta = meta_counts(r->meta);
	out->packs = packs_counts(r->packs);
	store_index_size(r->store, &out->index_entries, &out->index_bytes);
	while (out->nupstreams < STATUS_UPSTREAMS &&
		upstream_health(r->upstreams, out->nupstreams, &out->upstream[out->nupstreams]))
		out->nupstreams++;
	out->nslow = slow_list(r->slow, out->slow);
}

static void resolver_metrics(void *ctx, struct buf *b)
{
	const struct resolver *r = ctx;
	struct meta_counts n = meta_counts(r->meta);

	put(b, "packuments_fetched_total", "Packuments fetched from upstream.", n.fetched);
	put(b, "packuments_revalidated_total", "Packuments confirmed by a 304.", n.revalidated);
	put(b, "packuments_cached_total", "Packuments answered without asking upstream.", n.from_cache);
	put(b, "packuments_failed_total", "Packuments that could not be had.", n.failed);
	put(b, "packuments_absent_total", "Answers that there is no such package, remembered.", n.absent);
	put(b, "packuments_stale_total", "Stale packuments used because upstream failed.", n.stale_used);
	put(b, "packument_bytes_total", "Bytes of packuments received.", n.bytes);
	put(b, "cache_writes_dropped_total",
		"Optional writes to the index that its queue had no room for, or a full disk did not take.",
		n.put_dropped + atomic_load(&r->writes_dropped) + store_index_lost(r->store));
	metric_print(b, "packument_memory_bytes", "gauge", "Compiled packuments kept in memory.", (double)n.memory);
	uint64_t entries, bytes;
	store_index_size(r->store, &entries, &bytes);
	metric_print(b, "index_entries", "gauge", "Rows of the index.", (double)entries);
	metric_print(b, "index_bytes", "gauge", "Pages of the index in use.", (double)bytes);
	put(b, "index_evicted_total", "Rows of the index that went because of its limit.",
		index_limit_evicted(r->limit));
	upstreams_metrics(r->upstreams, b);
	slow_metrics(r->slow, b);
	packs_metrics(r->packs, b);
	surface_metrics(r->surface, b);
}

static struct packs *resolver_packs(void *ctx)
{
	const struct resolver *r = ctx;

	return r->packs;
}

static struct surface *resolver_surface(void *ctx)
{
	const struct resolver *r = ctx;

	return r->surface;
}

/* The store, and packuments through the upstreams' policy. */
static int open_registry(struct resolver *r, const struct config *c, struct err *e)
{
	struct upstreams_opts uo = { .upstream = c->upstream, .n = c->nupstreams };
	/* Three quarters of them are the 128 that one upstream has use for. */
	struct http_opts ho = { .ready = true, .max_active = 171, .keep_room = true };
	struct registry_opts ro = { .user_agent = STR("drayd/" DRAY_VERSION) };
	int64_t age_ms = (int64_t)c->packument_age_s * 1000;
	struct meta_opts mo = {
		.lock_waits = &r->lock_waits, .max_age_ms = age_ms, .absent_ms = age_ms < ABSENT_MS ? age_ms : ABSENT_MS
	};
	struct store_opts so = { 0 };

	if (upstreams_new(&r->upstreams, &uo, e) < 0)
		return e->code;
	upstreams_guard(r->upstreams, &ho);
	upstreams_credentials(r->upstreams, &ro);
	slow_watch(r->slow, &ho, &ro);
	if (store_open(&r->store, c->store_dir.p, &so, e) < 0 || http_new(&r->http, &ho, e) < 0 ||
		registry_new(&r->registry, r->http, &ro, e) < 0 ||
		meta_new(&r->meta, r->store, r->registry, &mo, e) < 0)
		return e->code;
	store_expect_writes(r->store); /* the first plan does not wait for it */
	return 0;
}

static unsigned settlers(void)
{
	unsigned cpus = workq_cpus();

	return cpus < SETTLERS_MOST ? cpus : SETTLERS_MOST;
}

static int open_packs(struct resolver *r, const struct config *c, struct err *e)
{
	bool settle = c->command == CONFIG_SETTLE; /* nobody is served meanwhile */
	struct packs_opts po = { .dir = c->store_dir.p,
		.lock_waits = &r->lock_waits,
		.eager = settle,
		.near = &r->near,
		.delay_ms = settle ? 0 : (unsigned)c->pack_delay_s * 1000,
		.idle_ms = settle ? 1 : 0,
		.settlers = settle ? settlers() : 1,
		.registry = r->registry,
		.upstreams = r->upstreams,
		.settled_level = (int)c->pack_settle_level,
		.no_settle = c->pack_settle_level == 0,
		.max_bytes = c->pack_cache_mib << 20 };

	return packs_new(&r->packs, &po, e);
}

static int open_surface(struct resolver *r, const struct config *c, struct err *e)
{
	struct surface_opts fo = { .dir = c->store_dir.p,
		.lock_waits = &r->lock_waits,
		.registry = r->registry,
		.upstreams = r->upstreams,
		.meta = r->meta,
		.max_bytes = c->tarball_cache_mib << 20,
		.fresh_ms = (int64_t)c->packument_age_s * 1000 };

	return surface_new(&r->surface, &fo, e);
}

int resolver_new(struct resolver **out, const struct config *c, struct err *e)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->config = c;
	r->b = (struct backend){ .ctx = r,
		.plan = resolver_plan,
		.ready = resolver_ready,
		.lockfile = resolver_lockfile,
		.lockfile_keep = resolver_lockfile_keep,
		.renew = resolver_renew,
		.reload = resolver_reload,
		.lock_waits = &r->lock_waits,
		.near = &r->near,
		.metrics = resolver_metrics,
		.packs = resolver_packs,
		.surface = resolver_surface,
		.status = resolver_status };
	r->slow = slow_new();
	if (open_registry(r, c, e) < 0 || open_packs(r, c, e) < 0 || open_surface(r, c, e) < 0 ||
		index_limit_new(&r->limit, r->store, c->index_mib << 20, e) < 0) {
		resolver_free(r);
		return e->code;
	}
	*out = r;
	return 0;
}

const struct backend *resolver_backend(const struct resolver *r)
{
	return &r->b;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	if (r->http)
		http_stop(r->http);
	index_limit_free(r->limit);
	packs_free(r->packs);
	surface_free(r->surface);
	if (r->meta)
		meta_free(r->meta);
	if (r->registry)
		registry_free(r->registry);
	if (r->http)
		http_free(r->http);
	if (r->store)
		store_close(r->store);
	slow_free(r->slow);
	upstreams_free(r->upstreams);
	free(r);
}
