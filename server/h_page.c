/* The status page: one HTML document without scripts, that renews itself. */
#include "base/clock.h"
#include "base/html.h"
#include "plan_cache.h"
#include "route.h"
#include <stdio.h>
#include <time.h>

static const char style[] =
	":root{--bg:#f6f7f9;--card:#fff;--ink:#1c2430;--dim:#647084;--line:#e3e7ed;--accent:#2563c9;--track:#e8ecf2;"
	"--ok:#1a7f4b;--okbg:#e3f5ea;--bad:#b3261e;--badbg:#fce8e6;--mid:#8a5a00;--midbg:#fdf1d8}"
	"@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e6eaf0;--dim:#93a0b3;--line:#"
	"2b333f;"
	"--accent:#6ea8ff;--track:#2b333f;--ok:#6fd6a0;--okbg:#173326;--bad:#ff9a90;--badbg:#3d1c1a;--mid:#f2c46d;--"
	"midbg:#3a2c10}}"
	"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
	"font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
	"main{max-width:960px;margin:0 auto;padding:20px 16px 40px}"
	"header{display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 14px;margin-bottom:18px}"
	"h1{font-size:24px;margin:0;letter-spacing:-.01em}h2{font-size:15px;margin:0 0 10px}"
	".dim{color:var(--dim)}.badge{border-radius:99px;padding:2px "
	"10px;font-size:13px;font-weight:600;white-space:nowrap}"
	".ok{color:var(--ok);background:var(--okbg)}.bad{color:var(--bad);background:var(--badbg)}"
	".mid{color:var(--mid);background:var(--midbg)}"
	".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(210px,100%),1fr));gap:12px;margin-bottom:"
	"12px}"
	"section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px "
	"16px;margin-bottom:12px}"
	".cards "
	"section{margin:0}.big{font-size:26px;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}"
	".bar{height:6px;border-radius:3px;background:var(--track);margin:8px 0 6px;overflow:hidden}"
	".bar i{display:block;height:100%;background:var(--accent);border-radius:3px}"
	"table{width:100%;border-collapse:collapse}th{font-weight:500;color:var(--dim);font-size:13px;text-align:left}"
	"th,td{padding:6px 8px 6px 0;border-top:1px solid var(--line);overflow-wrap:anywhere;vertical-align:top}"
	"tr:first-child "
	"th{border-top:0}td.n,th.n{text-align:right;padding-right:0;padding-left:10px;white-space:nowrap;"
	"font-variant-numeric:tabular-nums}p{margin:4px 0 "
	"0}footer{font-size:13px}code{font-size:13px}a{color:var(--accent)}"
	"@media(max-width:520px){.hide{display:none}main{padding:14px 10px 30px}}";

/* 1234567 as "1 234 567", with thin spaces. */
static void put_count(struct buf *b, uint64_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			buf_add(b, STR("&#8239;"));
		buf_addc(b, digits[i]);
	}
}

static void put_bytes(struct buf *b, double v)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	int i = 0;

	while (v >= 1024 && i < 4) {
		v /= 1024;
		i++;
	}
	buf_printf(b, i && v < 100 ? "%.1f&nbsp;%s" : "%.0f&nbsp;%s", v, unit[i]);
}

static void put_time(struct buf *b, double s)
{
	if (s < 1)
		buf_printf(b, "%.0f&nbsp;ms", s * 1000);
	else if (s < 100)
		buf_printf(b, "%.1f&nbsp;s", s);
	else if (s < 7200)
		buf_printf(b, "%.0f&nbsp;min", s / 60);
	else if (s < 48 * 3600)
		buf_printf(b, "%.0f&nbsp;h", s / 3600);
	else
		buf_printf(b, "%.0f&nbsp;days", s / 86400);
}

static double ratio(uint64_t part, uint64_t rest)
{
	return part + rest ? (double)part / (double)(part + rest) : 0;
}

/* One hit ratio with its bar. */
static void card_ratio(struct buf *b, const char *title, uint64_t hits, uint64_t rest, const char *unit)
{
	double r = ratio(hits, rest) * 100;

	buf_printf(b, "<section><h2>%s</h2><div class=big>", title);
	if (hits + rest)
		buf_printf(b, "%.1f&#8239;%%", r);
	else
		buf_add(b, STR("&ndash;"));
	buf_printf(b, "</div><div class=bar><i style=\"width:%.1f%%\"></i></div><p class=dim>", r);
	put_count(b, hits);
	buf_add(b, STR(" of "));
	put_count(b, hits + rest);
	buf_printf(b, " %s</p></section>", unit);
}

static void head_put(struct buf *b, struct server *s)
{
	struct err e = { 0 };
	bool drain = atomic_load(&s->draining);
	bool ready = !drain && server_ready(s, &e);
	int64_t up = (clock_ms() - s->started_ms) / 1000;

	buf_add(b, STR("<!doctype html><html lang=en><head><meta charset=utf-8><title>drayd</title>"
		       "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
		       "<meta http-equiv=refresh content=5><meta name=color-scheme content=\"light dark\"><style>"));
	buf_add(b, ((str){ style, sizeof(style) - 1 }));
	buf_printf(b, "</style></head><body><main><header><h1>drayd</h1><span id=ready class=\"badge %s\">%s</span>",
		ready ? "ok" : "bad",
		ready   ? "ready"
		: drain ? "shutting down"
			: "not ready");
	buf_add(b, STR("<span class=dim>version " DRAY_VERSION ", up <span id=uptime>"));
	put_time(b, (double)up);
	buf_add(b, STR("</span>"));
	if (!ready && !drain)
		buf_add(b, STR(" &middot; the store cannot be used; the log says why"));
	buf_add(b, STR("</span></header>"));
}

/* What would have been fetched and computed without the caches; averages of what was. */
static void card_saved(struct buf *b, struct server *s, const struct backend_status *st)
{
	const struct counts *n = &s->n;
	uint64_t made = atomic_load(&n->plans_missed);
	double plan_s = made ? (double)atomic_load(&n->plan_resolve.sum_us) / 1e6 / (double)made : 0;
	double packument = st->meta.fetched ? (double)st->meta.bytes / (double)st->meta.fetched : 0;
	double saved_s = plan_s * (double)(atomic_load(&n->plans_cached) + atomic_load(&n->plans_joined));
	double packs = st->packs.pack_bytes
			       ? (double)st->packs.sent_bytes *
					 ((double)st->packs.tarball_bytes / (double)st->packs.pack_bytes - 1)
			       : 0;

	buf_add(b, STR("<section id=saved><h2>Saved</h2><div class=big>"));
	put_bytes(b, packument * (double)(st->meta.from_cache + st->meta.revalidated) + (packs > 0 ? packs : 0));
	buf_add(b, STR("</div><p class=dim>not fetched again or not sent, and "));
	put_time(b, saved_s);
	buf_add(b, STR(" of resolving; by the averages of what was</p></section>"));
}

static void cards_put(struct buf *b, struct server *s, const struct backend_status *st)
{
	const struct counts *n = &s->n;
	uint64_t shared = atomic_load(&n->plans_cached) + atomic_load(&n->plans_joined);

	buf_add(b, STR("<div class=cards id=hits>"));
	card_ratio(b, "Plans from cache", shared, atomic_load(&n->plans_missed), "plans");
	card_ratio(b, "Packuments cached", st->meta.from_cache + st->meta.revalidated, st->meta.fetched, "asked for");
	card_saved(b, s, st);
	buf_add(b, STR("<section id=now><h2>Now</h2><div class=big>"));
	put_count(b, atomic_load(&n->plans_running));
	buf_add(b, STR("</div><p class=dim>plans resolving, "));
	put_count(b, atomic_load(&n->plans_active));
	buf_add(b, STR(" being answered, "));
	put_count(b, atomic_load(&n->connections_open));
	buf_add(b, STR(" connections open</p></section></div>"));
}

/* ALL: whoever looks may see every package; another is not told what others work on. */
static void running_put(struct buf *b, struct server *s, bool all)
{
	struct running_plan p[RUNNING_MOST];
	size_t n = running_list(&s->running, p);
	uint64_t now = clock_us();

	buf_add(b, STR("<section id=running><h2>Running plans</h2>"));
	if (n == 0)
		buf_add(b, STR("<p class=dim>None at this moment.</p>"));
	else
		buf_add(b, STR("<table><tr><th>Project<th class=hide>Request<th class=n>Since</tr>"));
	for (size_t i = 0; i < n; i++) {
		buf_add(b, STR("<tr><td>"));
		buf_add_html(b, !all ? STR("(not shown)") : p[i].project[0] ? str_of(p[i].project) : STR("(no name)"));
		buf_add(b, STR("<td class=hide><code>"));
		buf_add_html(b, str_of(p[i].id));
		buf_add(b, STR("</code><td class=n>"));
		put_time(b, now > p[i].begun_us ? (double)(now - p[i].begun_us) / 1e6 : 0);
		buf_add(b, STR("</tr>"));
	}
	buf_printf(b, "%s</section>", n ? "</table>" : "");
}

static void upstreams_put(struct buf *b, const struct backend_status *st)
{
	static const char *const word[] = { "well", "not asked", "probing" }, *const badge[] = { "ok", "bad", "mid" };

	buf_add(b, STR("<section id=upstreams><h2>Upstreams</h2><table><tr><th>Registry<th>State<th class=n>Answers"
		       "<th class=n>Failures</tr>"));
	for (size_t i = 0; i < st->nupstreams; i++) {
		const struct upstream_health *h = &st->upstream[i];
		buf_add(b, STR("<tr><td>"));
		buf_add_html(b, h->name);
		buf_add(b, STR("<br><span class=dim>"));
		buf_add_html(b, h->origin);
		buf_printf(b, "</span><td><span class=\"badge %s\">%s</span>", badge[h->state], word[h->state]);
		if (h->retry_in_ms) {
			buf_add(b, STR(" <span class=dim>asked again in "));
			put_time(b, (double)h->retry_in_ms / 1e3);
			buf_add(b, STR("</span>"));
		}
		buf_add(b, STR("<td class=n>"));
		put_count(b, h->answers);
		buf_add(b, STR("<td class=n>"));
		put_count(b, h->failures);
		buf_add(b, STR("</tr>"));
	}
	buf_add(b, STR("</table></section>"));
}

static void slow_put(struct buf *b, const struct backend_status *st, bool all)
{
	size_t n = all ? st->nslow : 0;

	buf_add(b, STR("<section id=slowest><h2>Slowest packages <span class=dim>upstream, last hour</span></h2>"));
	if (!all)
		buf_add(b, STR("<p class=dim>Not shown: there are packages that you may not see.</p>"));
	else if (n == 0)
		buf_add(b, STR("<p class=dim>Nothing was fetched.</p>"));
	else
		buf_add(b, STR("<table>"));
	for (size_t i = 0; i < n; i++) {
		buf_add(b, STR("<tr><td>"));
		buf_add_html(b, str_of(st->slow[i].name));
		buf_add(b, STR("<td class=n>"));
		put_time(b, (double)st->slow[i].ms / 1e3);
		buf_add(b, STR("</tr>"));
	}
	buf_printf(b, "%s</section>", n ? "</table>" : "");
}

static void row_count(struct buf *b, const char *what, uint64_t v)
{
	buf_printf(b, "<tr><td>%s<td class=n>", what);
	put_count(b, v);
	buf_add(b, STR("<td class=n></tr>"));
}

static void row_sized(struct buf *b, const char *what, uint64_t v, uint64_t bytes)
{
	buf_printf(b, "<tr><td>%s<td class=n>", what);
	put_count(b, v);
	buf_add(b, STR("<td class=n>"));
	put_bytes(b, (double)bytes);
	buf_add(b, STR("</tr>"));
}

/* How far packs are from their best, or how long that took. */
static void settled_put(struct buf *b, const struct packs_counts *n)
{
	row_count(b, "Packs not at their best", packs_unsettled_of(n));
	if (n->settled_ms > 0) {
		buf_add(b, STR("<tr><td>Packs settled within<br><span class=dim>CPU "));
		put_time(b, (double)n->settled_us / 1e6);
		buf_add(b, STR("</span><td class=n><td class=n>"));
		put_time(b, (double)n->settled_ms / 1e3);
		buf_add(b, STR("</tr>"));
	}
	buf_add(b, STR("<tr><td>CPU on packs since start<td class=n><td class=n>"));
	put_time(b, (double)(n->build_us + n->settle_us) / 1e6);
	buf_add(b, STR("</tr>"));
}

static void cached_put(struct buf *b, struct server *s, const struct backend_status *st)
{
	size_t plans, bytes;

	plan_cache_size(s->cache, &plans, &bytes);
	buf_add(b, STR("<section id=cached><h2>Cached</h2><table>"));
	row_sized(b, "Plans in memory", plans, bytes);
	row_sized(b, "Rows of the index", st->index_entries, st->index_bytes);
	row_sized(b, "Packs ready", st->packs.warm + st->packs.settled, st->packs.pack_bytes);
	row_count(b, "Packs being made", st->packs.pending + st->packs.building);
	settled_put(b, &st->packs);
	buf_add(b, STR("<tr><td>Packuments in memory<td class=n><td class=n>"));
	put_bytes(b, (double)st->meta.memory);
	buf_add(b, STR("</tr><tr><td>Memory of the process<td class=n><td class=n>"));
	put_bytes(b, (double)metrics_rss());
	buf_add(b, STR("</tr></table></section>"));
}

static void traffic_put(struct buf *b, struct server *s, const struct backend_status *st)
{
	const struct counts *n = &s->n;

	buf_add(b, STR("<section id=traffic><h2>Since start</h2><table>"));
	row_sized(b, "Requests", atomic_load(&n->requests), atomic_load(&n->response_bytes));
	row_count(b, "Plans failed", atomic_load(&n->plans_failed));
	row_count(b, "Plans whose client left", atomic_load(&n->plans_cancelled));
	row_count(b, "Refused by a limit", atomic_load(&n->rejected) + atomic_load(&n->connections_refused));
	row_count(b, "Stale packuments used", st->meta.stale_used);
	row_count(b, "Log lines dropped", log_dropped());
	buf_add(b, STR("</table></section>"));
}

int h_page(h2o_req_t *req)
{
	struct server *s = req_loop(req)->s;
	struct backend_status st = { 0 };
	AUTO(buf_release) struct buf b = BUF_INIT;
	AUTO(identity_drop) struct identity *who = NULL;

	if (!admit(&who, req))
		return 0;
	bool all = identity_sees_all(who);
	if (s->backend->status)
		s->backend->status(s->backend->ctx, &st);
	head_put(&b, s);
	cards_put(&b, s, &st);
	running_put(&b, s, all);
	upstreams_put(&b, &st);
	buf_add(&b, STR("<div class=cards>"));
	cached_put(&b, s, &st);
	traffic_put(&b, s, &st);
	buf_add(&b, STR("</div>"));
	slow_put(&b, &st, all);
	buf_add(&b, STR("<footer class=dim>Renewed every 5 seconds. For machines: <a href=/metrics>/metrics</a>, "
			"<a href=/v1/ready>/v1/ready</a>, <a "
			"href=/v1/health>/v1/health</a></footer></main></body></html>\n"));
	answer_header(req, "cache-control", STR("no-store"));
	answer_header(req, "content-security-policy", STR("default-src 'none'; style-src 'unsafe-inline'"));
	answer_header(req, "x-content-type-options", STR("nosniff"));
	answer_text(req, 200, "text/html; charset=utf-8", buf_str(&b));
	return 0;
}
