#include "report_parts.h"
#include "base/html.h"
#include "base/json.h"
#include "grid.h"

static double number_at(const struct json *pair, uint32_t i)
{
	return json_is(pair, JSON_ARRAY) && i < pair->n ? result_value(&pair->child[i]) : 0;
}

/* Latencies as bars of one row, half powers of two. */
static void put_histogram(struct buf *b, const struct json *h)
{
	double most = 0;

	for (uint32_t i = 0; json_is(h, JSON_ARRAY) && i < h->n; i++)
		most = number_at(&h->child[i], 1) > most ? number_at(&h->child[i], 1) : most;
	buf_printf(b, "<div class=hist>");
	for (uint32_t i = 0; most > 0 && i < h->n; i++)
		buf_printf(b, "<i title='up to %.2f ms: %.0f' style='height:%.1f%%'></i>", number_at(&h->child[i], 0),
			number_at(&h->child[i], 1), 4 + 96 * number_at(&h->child[i], 1) / most);
	buf_printf(b, "</div>");
}

static void put_memory(struct buf *b, const struct json *rss)
{
	double most = 1, end = 1;

	for (uint32_t i = 0; json_is(rss, JSON_ARRAY) && i < rss->n; i++) {
		most = number_at(&rss->child[i], 1) > most ? number_at(&rss->child[i], 1) : most;
		end = number_at(&rss->child[i], 0) > end ? number_at(&rss->child[i], 0) : end;
	}
	if (!json_is(rss, JSON_ARRAY) || rss->n < 2)
		return;
	buf_printf(b,
		"<p>drayd's memory, up to %.0f MB, over %.0f s</p><svg class=line viewBox='0 0 600 80' "
		"preserveAspectRatio=none><polyline fill=none stroke='var(--ours)' stroke-width=2 points='",
		most, end);
	for (uint32_t i = 0; i < rss->n; i++)
		buf_printf(b, "%.1f,%.1f ", 600 * number_at(&rss->child[i], 0) / end,
			78 - 76 * number_at(&rss->child[i], 1) / most);
	buf_printf(b, "'/></svg>\n");
}

static void put_load(struct buf *b, const struct json *j)
{
	const struct json *kinds = json_get(j, "requests");
	double wall = result_number(j, "seconds");

	buf_printf(b,
		"<h2>drayd under load</h2><p>%.0f clients, a connection each, one request after the other for %.0f s. "
		"CPU: "
		"drayd %.2f s, load generator %.2f s.</p>\n",
		result_number(j, "clients"), wall, result_number(j, "drayd_cpu_s"),
		result_number(j, "generator_cpu_s"));
	buf_printf(b, "<div class=wide><table><tr><th>request<th>answers<th>a second<th>failed<th>p50, "
		      "ms<th>p90<th>p99<th>p99.9<th>slowest<th>latencies, logarithmic</tr>\n");
	for (uint32_t i = 0; json_is(kinds, JSON_ARRAY) && i < kinds->n; i++) {
		const struct json *k = &kinds->child[i];
		buf_printf(b, "<tr><td>");
		buf_add_html(b, json_str(json_get(k, "name")));
		buf_printf(b, "<td>%.0f<td>%.0f<td>%.0f<td>%.2f<td>%.2f<td>%.2f<td>%.2f<td>%.2f<td>",
			result_number(k, "n"), wall > 0 ? result_number(k, "n") / wall : 0, result_number(k, "failed"),
			result_number(k, "p50_ms"), result_number(k, "p90_ms"), result_number(k, "p99_ms"),
			result_number(k, "p999_ms"), result_number(k, "max_ms"));
		put_histogram(b, json_get(k, "histogram"));
		buf_printf(b, "</tr>\n");
	}
	buf_printf(b, "</table></div>\n");
	put_memory(b, json_get(j, "rss_mb"));
}

static void put_member(struct buf *b, const struct json *j, const char *key)
{
	buf_add_html(b, json_str(json_get(j, key)));
}

static void put_warning(struct buf *b, const struct json *j)
{
	buf_printf(b, "<p><span class=bad>Warning:</span> ");
	put_member(b, j, "project");
	buf_printf(b, ": ");
	put_member(b, j, "text");
	buf_printf(b, ".</p>\n");
}

static void put_unavailable(struct buf *b, const struct json *j)
{
	buf_printf(b, "<p><span class=bad>Not available:</span> ");
	put_member(b, j, "subject");
	buf_printf(b, " in ");
	put_member(b, j, "project");
	buf_printf(b, ": ");
	put_member(b, j, "why");
	buf_printf(b, ".</p>\n");
}

static void put_prepared(struct buf *b, const struct json *j)
{
	buf_printf(b, "<p>Before measuring: ");
	put_member(b, j, "project");
	buf_printf(b, ", the server of ");
	put_member(b, j, "subject");
	buf_printf(b, " made its packs in %.0f s, %.0f s of CPU.</p>\n", result_number(j, "wall_s"),
		result_number(j, "drayd_cpu_s"));
}

void report_notes(struct buf *b, const struct result *r)
{
	for (size_t i = 0; i < r->nnotes; i++) {
		const struct result_note *note = &r->note[i];
		if (str_eq(note->kind, STR("load")))
			put_load(b, note->line);
		else if (str_eq(note->kind, STR("warning")))
			put_warning(b, note->line);
		else if (str_eq(note->kind, STR("prepared")))
			put_prepared(b, note->line);
		else if (result_is_last_unavailable(r, i))
			put_unavailable(b, note->line);
	}
}

static void put_grid_cell(struct buf *b, const struct result *r, const struct cell *like, unsigned rtt, unsigned mbit)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	str link = grid_link(rtt, mbit, &a);
	const struct cell *d = result_find(r, like->project, link, like->phase, STR("dray-direct"));
	const struct cell *s = result_find(r, like->project, link, like->phase, STR("dray-warm"));

	if (!d || !s || !d->n || !s->n) {
		buf_printf(b, "<td>–");
		return;
	}
	const struct spread *p = &d->spread[METRIC_WALL], *q = &s->spread[METRIC_WALL];
	bool apart = spread_apart(p, q);
	buf_printf(b, "<td class=%s>%.2f%s",
		!apart                  ? "even"
		: q->median < p->median ? "gain"
					: "loss",
		q->median / p->median, apart ? "" : " =");
}

static void put_grid(struct buf *b, const struct result *r, const struct cell *like)
{
	buf_printf(b, "<h3>");
	buf_add_html(b, like->project);
	buf_printf(b, " · ");
	buf_add_html(b, like->phase);
	buf_printf(b, "</h3><table><tr><th>round trip");
	for (size_t m = 0; m < GRID_RATES; m++)
		buf_printf(b, "<th>%u Mbit/s", grid_mbit[m]);
	buf_printf(b, "</tr>\n");
	for (size_t t = 0; t < GRID_RTTS; t++) {
		buf_printf(b, "<tr><td>%u ms", grid_rtt_ms[t]);
		for (size_t m = 0; m < GRID_RATES; m++)
			put_grid_cell(b, r, like, grid_rtt_ms[t], grid_mbit[m]);
		buf_printf(b, "</tr>\n");
	}
	buf_printf(b, "</table>\n");
}

void report_grid(struct buf *b, const struct result *r)
{
	bool any = false;

	for (size_t i = 0; i < r->n; i++) {
		if (!grid_begins(r, i))
			continue;
		if (!any)
			buf_printf(b, "<h2>When is a server not worth it?</h2><p>Time with a warm server ÷ time "
				      "without. “=”: the runs overlap, no difference.</p>\n");
		any = true;
		put_grid(b, r, &r->cell[i]);
	}
}
