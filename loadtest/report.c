#include "report.h"
#include "base/html.h"
#include "fs.h"
#include "grid.h"
#include "report_parts.h"
#include "subject.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* clang-format off */
static const char style[] =
	"<meta name=viewport content='width=device-width,initial-scale=1'><style>\n"
	":root{--ink:#1d2733;--soft:#5b6b7c;--line:#dde3ea;--ours:#0b6e4f;--peer:#8fa3b8;--bad:#b3261e;--bg:#fff}\n"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9fb0c0;--line:#2d3a47;--ours:#3fbf8f;--peer:#5d7388;--bad:#ff8a80;--bg:#11181f}}\n"
	"*{box-sizing:border-box}\n"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--bg);max-width:68rem;margin:0 auto;padding:1.2rem}\n"
	"h1{font-size:1.6rem;margin:.2em 0}\n"
	"h2{margin:2.2em 0 .3em;font-size:1.25rem;border-bottom:2px solid var(--ink)}\n"
	"h3{margin:1.6em 0 .4em;font-size:1.02rem}\n"
	"p,.note{color:var(--soft);margin:.3em 0}\n"
	"table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}\n"
	".wide{overflow-x:auto}\n"
	"th,td{text-align:right;padding:.22rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap}\n"
	"th{white-space:normal;vertical-align:bottom}\n"
	"th:first-child,td:first-child{text-align:left}\n"
	/* A bar a subject: name, bar with a thin line from the fastest to the slowest run, figure. */
	".bar{display:grid;grid-template-columns:7.5rem 1fr 5.5rem;gap:.5rem;align-items:center;margin:.18rem 0;font-size:.88rem}\n"
	".bar b{font-weight:500;overflow:hidden;text-overflow:ellipsis}\n"
	".bar i{display:block;height:1.05rem;border-radius:2px;background:var(--peer);position:relative}\n"
	".bar i.ours{background:var(--ours)}\n"
	".bar i s{position:absolute;top:42%;height:16%;background:var(--ink);opacity:.55}\n"
	".bar span{text-align:right;font-variant-numeric:tabular-nums}\n"
	".stack{display:flex;height:1.05rem;border-radius:2px;overflow:hidden}\n"
	".stack i{height:100%;min-width:1px}\n"
	".key{font-size:.8rem;color:var(--soft)}\n"
	".key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}\n"
	".hist{display:flex;align-items:flex-end;height:2rem;min-width:7rem;gap:1px}\n"
	".hist i{flex:1;background:var(--ours);print-color-adjust:exact}\n"
	".line{width:100%;height:5rem}\n"
	".answer{color:var(--ink)}\n"
	"ul.answer{margin:.1em 0 .8em;padding-left:1.2em}\n"
	".gain{color:var(--ours);font-weight:600}\n"
	".loss{color:var(--bad);font-weight:600}\n"
	".even{color:var(--soft)}\n"
	".bad{color:var(--bad)}\n"
	"code{background:var(--line);padding:.1em .35em;border-radius:3px;overflow-wrap:anywhere}\n"
	"@media print{@page{size:A4;margin:12mm}\n"
	"body{max-width:none;font-size:11px;padding:0}\n"
	".wide{overflow:visible}\n"
	"table{font-size:8.5px}\n"
	"th,td{white-space:normal;padding:.15rem .3rem}\n"
	"td:nth-child(-n+4){white-space:nowrap}\n"
	".bar i,.stack i,.key i{print-color-adjust:exact}\n"
	"h2{break-before:page}\n"
	"section{break-inside:avoid}}\n"
	"</style>";
/* clang-format on */

static bool is_ours(const struct cell *c)
{
	return str_starts(c->subject, STR("dray"));
}

static bool same_place(const struct cell *a, const struct cell *b)
{
	return str_eq(a->project, b->project) && str_eq(a->link, b->link);
}

static void put_bar(struct buf *b, const struct cell *c, double most)
{
	const struct spread *w = &c->spread[METRIC_WALL];
	double width = 100 * w->median / most, from = 100 * w->min / w->median, to = 100 * w->max / w->median;

	buf_printf(b, "<div class=bar><b>");
	buf_add_html(b, c->subject);
	buf_printf(b, "</b><div><i class=%s style='width:%.2f%%'>", is_ours(c) ? "ours" : "peer", width);
	/* The thin line spans the fastest and the slowest run. */
	buf_printf(b, "<s style='left:%.1f%%;width:%.1f%%'></s></i></div><span>", from, to - from);
	buf_printf(b, w->median < 0.1 ? "%.1f ms</span></div>\n" : "%.2f s</span></div>\n",
		w->median < 0.1 ? w->median * 1000 : w->median);
}

static void put_row(struct buf *b, const struct cell *c, const struct cell *peer, const struct cell *floor)
{
	const struct spread *s = c->spread;

	buf_printf(b, "<tr><td>");
	buf_add_html(b, c->subject);
	if (c->n == 0) {
		buf_printf(b, "<td colspan=10 class=bad style='text-align:left'>failed: ");
		buf_add_html(b, c->why);
		buf_printf(b, "</tr>\n");
		return;
	}
	buf_printf(b, "<td>%.3f<td>%.3f – %.3f<td>", s[METRIC_WALL].median, s[METRIC_WALL].min, s[METRIC_WALL].max);
	bool to_peer = peer && peer != c;
	if (to_peer && !spread_apart(&s[METRIC_WALL], &peer->spread[METRIC_WALL]))
		buf_printf(b, "no difference");
	else if (to_peer)
		buf_printf(b, "%.2f ×", s[METRIC_WALL].median / peer->spread[METRIC_WALL].median);
	if (floor)
		buf_printf(b, "%s%.2f × floor", to_peer ? ", " : "",
			s[METRIC_WALL].median / floor->spread[METRIC_WALL].median);
	buf_printf(b, "<td>%.2f<td>%.0f<td>%.1f<td>%.0f<td>%.0f", s[METRIC_CPU].median, s[METRIC_PEAK_MB].median,
		s[METRIC_DOWN_MB].median, s[METRIC_REQUESTS].median, s[METRIC_SWITCHES].median);
	buf_printf(b, "<td>%.2f / %.2f / %.2f", s[METRIC_MIRROR_CPU].median, s[METRIC_RELAY_CPU].median,
		s[METRIC_DRAYD_CPU].median);
	if (c->store_mb > 0)
		buf_printf(b, "<td>%.1f / %.1f / %.2f", c->store_mb, c->modules_mb, c->lockfile_kb / 1e3);
	else
		buf_printf(b, "<td>");
	if (c->failed)
		buf_printf(b, "<td><span class=bad>%zu failed</span>", c->failed);
	buf_printf(b, "</tr>\n");
}

static void put_scenario(struct buf *b, const struct result *r, size_t first)
{
	const struct cell *head = &r->cell[first], *peer = result_best_peer(r, head);
	char phase[16];
	double most = 0;

	snprintf(phase, sizeof(phase), STR_FMT, STR_ARG(head->phase));
	enum phase p = phase_read(phase);
	buf_printf(b, "<section><h3>%s — %s</h3>\n", phase, p < NPHASES ? phase_title(p) : "");
	for (size_t i = first; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (same_place(c, head) && str_eq(c->phase, head->phase) && c->n && c->spread[METRIC_WALL].max > most)
			most = c->spread[METRIC_WALL].max;
	}
	for (size_t i = first; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (same_place(c, head) && str_eq(c->phase, head->phase) && c->n)
			put_bar(b, c, most);
	}
	buf_printf(b,
		"<div class=wide><table><tr><th>subject<th>median, s<th>min – max<th>to %.*s<th>user+sys, s<th>peak, "
		"MB<th>down, MB<th>requests<th>switches<th>CPU of mirror / relay / drayd, s<th>store / node_modules / "
		"lockfile, MB</tr>\n",
		STR_ARG(peer ? peer->subject : STR("best peer")));
	for (size_t i = first; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		if (same_place(c, head) && str_eq(c->phase, head->phase))
			put_row(b, c, peer, result_floor(r, c));
	}
	buf_printf(b, "</table></div></section>\n");
}

/* dray's own account: how long each stage was busy. Stages overlap, so a stack may be longer than the wall. */
static const struct {
	const char *key, *title, *colour;
} stages[] = {
	{ "resolve_us", "resolve", "#4063d8" },
	{ "fetch_us", "fetch", "#389826" },
	{ "import_us", "import", "#cb9a3c" },
	{ "link_warm_us", "link warm", "#9558b2" },
	{ "link_cold_us", "link cold", "#c75d9b" },
	{ "bins_us", "bins", "#5f9ea0" },
	{ "scripts_us", "scripts", "#b0482a" },
	{ "finish_us", "finish", "#708090" },
};
enum { NSTAGES = sizeof(stages) / sizeof(*stages) };

/* Median of the runs that say how long STAGE was busy; 0: none does. */
static double stage_us(const struct cell *c, size_t stage)
{
	double *v = xcalloc(c->n, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct json *j = json_get(c->dray[i], stages[stage].key);
		uint64_t us;
		if (json_is(j, JSON_NUMBER) && str_u64(j->s, &us))
			v[n++] = (double)us;
	}
	double median = spread_of(v, n).median;
	free(v);
	return median;
}

static void put_stacks(struct buf *b, const struct result *r, const struct cell *head)
{
	bool any = false;

	for (size_t i = 0; i < r->n; i++) {
		const struct cell *c = &r->cell[i];
		double us[NSTAGES], sum = 0;
		if (!same_place(c, head) || !is_ours(c) || !c->n || str_eq(c->phase, STR("p5")))
			continue;
		for (size_t k = 0; k < NSTAGES; k++)
			sum += us[k] = stage_us(c, k);
		if (sum <= 0)
			continue;
		if (!any)
			buf_printf(
				b, "<h3>Where dray's time goes</h3><p>Busy time of each stage; stages overlap.</p>\n");
		any = true;
		buf_printf(b, "<div class=bar><b>" STR_FMT " ", STR_ARG(c->phase));
		buf_add_html(b, c->subject);
		buf_printf(b, "</b><div class=stack>");
		for (size_t k = 0; k < NSTAGES; k++) {
			if (us[k] > 0)
				buf_printf(b, "<i title='%s %.1f ms' style='width:%.2f%%;background:%s'></i>",
					stages[k].title, us[k] / 1000, 100 * us[k] / sum, stages[k].colour);
		}
		buf_printf(b, "</div><span>%.0f ms</span></div>\n", sum / 1000);
	}
	if (!any)
		return;
	buf_printf(b, "<p class=key>");
	for (size_t k = 0; k < NSTAGES; k++)
		buf_printf(b, "<i style='background:%s'></i>%s", stages[k].colour, stages[k].title);
	buf_printf(b, "</p>\n");
}

/* "2026-11-21T06:28:16Z · Some CPU, 2 cores · 23.5 GB · Linux 6.1" */
static void put_machine(struct buf *b, const struct result *r, str command)
{
	const struct json *m = r->machine;

	buf_printf(b, "<p>");
	if (m) {
		buf_add_html(b, json_str(json_get(m, "when")));
		buf_printf(b, " · ");
		buf_add_html(b, json_str(json_get(m, "cpu")));
		buf_printf(b, " · %.0f cores · %.1f GB · ", result_number(m, "cpus"),
			result_number(m, "memory_mb") / 1024);
		buf_add_html(b, json_str(json_get(m, "kernel")));
	}
	buf_printf(b, "</p>\n<p>");
	const struct json *versions = r->machine ? json_get(r->machine, "versions") : NULL;
	for (uint32_t i = 0; json_is(versions, JSON_OBJECT) && i < versions->n; i++) {
		buf_printf(b, "%s", i ? "· " : "");
		buf_add_html(b, versions->key[i]);
		buf_addc(b, ' ');
		buf_add_html(b, json_str(&versions->child[i]));
		buf_addc(b, ' ');
	}
	buf_printf(b, "</p>\n");
	if (command.n) {
		buf_printf(b, "<p>Made by <code>");
		buf_add_html(b, command);
		buf_printf(b, "</code></p>\n");
	}
	buf_printf(b, "<p>Interleaved rounds in reversed order; medians, with the fastest and the slowest run as the "
		      "thin line. "
		      "Where spreads overlap, or one is of a single run, the table says “no difference”.</p>\n");
}

/* A project over a link: its scenarios, then where dray's time goes in them. FIRST is its first cell. */
static void put_place(struct buf *b, const struct result *r, size_t first)
{
	const struct cell *head = &r->cell[first];

	buf_printf(b, "<h2>");
	buf_add_html(b, head->project);
	buf_printf(b, " · ");
	buf_add_html(b, head->link);
	buf_printf(b, "</h2>\n");
	for (size_t k = first; k < r->n; k++) {
		bool fresh = same_place(&r->cell[k], head);
		for (size_t m = first; m < k; m++)
			fresh &= !(same_place(&r->cell[m], head) && str_eq(r->cell[m].phase, r->cell[k].phase));
		if (fresh)
			put_scenario(b, r, k);
	}
	put_stacks(b, r, head);
}

static void put_page(struct buf *b, const struct result *r, str command)
{
	buf_printf(b,
		"<!doctype html><html lang=en><meta charset=utf-8><title>dray-bench</title>%s<h1>dray-bench</h1>\n",
		style);
	report_answers(b, r);
	put_machine(b, r, command);
	for (size_t i = 0; i < r->n; i++) {
		bool first = !grid_is_link(r->cell[i].link);
		for (size_t k = 0; k < i; k++)
			first &= !same_place(&r->cell[k], &r->cell[i]);
		if (first)
			put_place(b, r, i);
	}
	report_grid(b, r);
	report_notes(b, r);
	buf_printf(b, "</html>\n");
}

int report_write(const char *path, const struct result *r, str command, struct err *e)
{
	AUTO(buf_release) struct buf html = BUF_INIT;

	put_page(&html, r, command);
	struct stat st;
	if (lstat(path, &st) < 0 ? errno == ENOENT : S_ISREG(st.st_mode))
		return fs_write_file(AT_FDCWD, path, buf_str(&html), 0644, e);
	/* /dev/stdout and its like are written to, not replaced. */
	AUTO(fs_close_auto) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd < 0 || fs_write_all(fd, html.p, html.n) != 0 ? err_os(e, "write %s", path) : 0;
}
