/* The first lines of the page: what a server buys each project, in a sentence. */
#include "base/html.h"
#include "report_parts.h"

static const char *const places[] = { "home", "ci", "loopback", "bad" };
static const struct {
	const char *phase, *what;
} questions[] = { { "p0", "A fresh install" }, { "p3", "An install with a lockfile" },
	{ "p4", "An install with a lockfile and a full store" }, { "update", "An update of some dependencies" } };

static void put_seconds(struct buf *b, double s)
{
	buf_printf(b, s < 0.1 ? "%.0f ms" : s < 10 ? "%.2f s" : "%.1f s", s < 0.1 ? s * 1000 : s);
}

static const struct cell *good(
	const struct result *r, str project, const char *link, const char *phase, const char *subject)
{
	const struct cell *c = result_find(r, project, str_of(link), str_of(phase), str_of(subject));

	return c && c->n ? c : NULL;
}

/* "; the fastest peer, bun, takes 24.5 s" */
static void put_peer(struct buf *b, const struct result *r, const struct cell *ours)
{
	const struct cell *peer = result_best_peer(r, ours);

	if (!peer)
		return;
	buf_printf(b, "; the fastest peer, ");
	buf_add_html(b, peer->subject);
	buf_printf(b, ", takes ");
	put_seconds(b, peer->spread[METRIC_WALL].median);
}

static bool put_answer(struct buf *b, const struct result *r, str project, const char *link, size_t question)
{
	const char *phase = questions[question].phase;
	const struct cell *direct = good(r, project, link, phase, "dray-direct");
	const struct cell *server = good(r, project, link, phase, "dray-warm");

	if (!direct || !server)
		return false;
	const struct spread *d = &direct->spread[METRIC_WALL], *s = &server->spread[METRIC_WALL];
	buf_printf(b, "<li>%s takes <b>", questions[question].what);
	put_seconds(b, s->median);
	buf_printf(b, "</b> with a warm server and ");
	put_seconds(b, d->median);
	bool apart = spread_apart(s, d);
	buf_printf(b, " without: <span class=%s>", !apart ? "even" : s->median < d->median ? "gain" : "loss");
	if (apart)
		buf_printf(b, "%.2f times as long</span>", s->median / d->median);
	else
		buf_printf(b, "no difference</span>");
	put_peer(b, r, s->median < d->median ? server : direct);
	buf_printf(b, ".</li>\n");
	return true;
}

static void put_project(struct buf *b, const struct result *r, str project)
{
	for (size_t l = 0; l < sizeof(places) / sizeof(*places); l++) {
		bool any = false;
		if (!good(r, project, places[l], "p0", "dray-warm") && !good(r, project, places[l], "p3", "dray-warm"))
			continue;
		buf_printf(b, "<p class=answer><b>");
		buf_add_html(b, project);
		buf_printf(b, "</b>, %s</p><ul class=answer>\n", places[l]);
		for (size_t q = 0; q < sizeof(questions) / sizeof(*questions); q++)
			any |= put_answer(b, r, project, places[l], q);
		if (!any)
			buf_printf(b, "<li>Nothing to compare a server with.</li>\n");
		buf_printf(b, "</ul>\n");
		return; /* the first link that was measured is the one that is spoken of */
	}
}

void report_answers(struct buf *b, const struct result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		bool first = true;
		for (size_t k = 0; k < i; k++)
			first &= !str_eq(r->cell[k].project, r->cell[i].project);
		if (first)
			put_project(b, r, r->cell[i].project);
	}
}
