#include "peer_report.h"
#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>

static int order(const void *a, const void *b)
{
	const struct frame_peer_issue *x = a, *y = b;
	int c = str_cmp(x->importer, y->importer);
	if (!c)
		c = (x->kind != PEER_BAD) - (y->kind != PEER_BAD);
	if (!c)
		c = str_cmp(x->peer, y->peer);
	if (!c)
		c = str_cmp(x->found, y->found);
	if (!c)
		c = str_cmp(x->wanted, y->wanted);
	return c ? c : str_cmp(x->by, y->by); /* pnpm: in the order of a hash table */
}

/* What comes from a registry must not move the cursor. */
static void put_clean(struct buf *b, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		buf_addc(b, c < 0x20 || c == 0x7f ? '?' : s.p[i]);
	}
}

static void put_line(struct buf *b, const char *indent, size_t depth, const char *head, str text, const char *tail)
{
	buf_printf(b, "%s%*s%s", indent, (int)depth, "", head);
	put_clean(b, text);
	buf_printf(b, "%s\n", tail);
}

static const char *headline(const struct frame_peer_issue *x)
{
	return x->kind == PEER_BAD        ? "\u2715 unmet peer "
	       : x->kind == PEER_CONFLICT ? "\u2715 conflicting peer "
					  : "\u2715 missing peer ";
}

/* Before a peer's first issue. */
static void put_peer(struct buf *b, const char *indent, const struct frame_peer_issue *x)
{
	put_line(b, indent, 0, headline(x), x->peer, "");
	if (x->kind == PEER_BAD)
		put_line(b, indent, 2, "Installed: ", x->found, "");
	put_line(b, indent, 2, "Wanted:", STR_NONE, "");
}

static void put_range(struct buf *b, const char *indent, str wanted)
{
	bool quoted = str_find_str(wanted, STR(" "), 0) != SIZE_MAX || str_eq(wanted, STR("*"));

	put_line(b, indent, 4, quoted ? "\"" : "", wanted, quoted ? "\":" : ":");
}

/* What of X stands under another heading than WAS, which is printed before it or NULL. */
static void put_issue(
	struct buf *b, const struct frame_peer_issue *x, const struct frame_peer_issue *was, bool projects)
{
	const char *indent = projects ? "  " : "";
	bool project = !was || !str_eq(was->importer, x->importer);
	bool peer = project || was->kind != x->kind || !str_eq(was->peer, x->peer) || !str_eq(was->found, x->found);
	bool range = peer || !str_eq(was->wanted, x->wanted);

	if (peer && was)
		buf_addc(b, '\n');
	if (project && projects)
		put_line(b, "", 0, "", x->importer, "");
	if (peer)
		put_peer(b, indent, x);
	if (range)
		put_range(b, indent, x->wanted);
	if (range || !str_eq(was->by, x->by))
		put_line(b, indent, 6, "", x->by, "");
}

/* As pnpm lays it out; projects have a heading unless all issues are the root's. */
static void render(struct buf *b, const struct frame_peer_issue *p, size_t n)
{
	bool projects = false;

	for (size_t i = 0; i < n; i++)
		projects = projects || !str_eq(p[i].importer, STR("."));
	for (size_t i = 0; i < n; i++)
		put_issue(b, &p[i], i ? &p[i - 1] : NULL, projects);
}

static void say_json(struct progress *p, const struct frame_peer_issue *x)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	const struct {
		const char *key;
		str value;
	} field[] = { { "project", x->importer }, { "peer", x->peer }, { "wanted", x->wanted }, { "found", x->found },
		{ "by", x->by }, { "chain", x->chain } };
	buf_printf(&b, "\"kind\":\"%s\"",
		x->kind == PEER_BAD        ? "bad"
		: x->kind == PEER_CONFLICT ? "conflict"
					   : "missing");
	for (size_t i = 0; i < sizeof(field) / sizeof(*field); i++) {
		if (!field[i].value.n)
			continue;
		buf_printf(&b, ",\"%s\":", field[i].key);
		json_put_str(&b, field[i].value);
	}
	progress_event(
		p, "peer-issue", STR_FMT ",\"optional\":%s", STR_ARG(buf_str(&b)), x->optional ? "true" : "false");
}

void peer_issues_say(struct progress *p, struct frame_peer_issue *issue, size_t n)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	if (n == 0)
		return;
	qsort(issue, n, sizeof(*issue), order);
	for (size_t i = 0; i < n; i++)
		say_json(p, &issue[i]);
	if (p->reporter == REPORTER_NDJSON || p->reporter == REPORTER_SILENT)
		return;
	progress_warn(p, "issues with peer dependencies found");
	render(&b, issue, n);
	fwrite(b.p, 1, b.n, stderr);
}
