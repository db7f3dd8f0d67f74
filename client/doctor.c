#include "doctor.h"
#include "base/clock.h"
#include "base/json.h"
#include "h2_session.h"
#include "plan_wire.h"
#include "url.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 10000, ANSWER_MAX = 1 << 20 };
struct doctor {
	const struct doctor_opts *o;
	struct arena a;
	struct buf *out;
	struct h2 *h;
	int32_t id;
	struct buf body;
	bool ended;
	int status, code; /* code: of the first finding that is wrong */
	struct err err;
};

PRINTF_LIKE(2, 3)
static void well(struct doctor *d, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(d->out, "ok    %s\n", text);
}

/* WHAT is wrong, and REMEDY. */
static void wrong(struct doctor *d, int code, str what, const char *remedy)
{
	buf_printf(d->out, "FAIL  " STR_FMT "\n      %s\n", STR_ARG(what), remedy);
	if (!d->code)
		d->code = code;
}

/* ---- the question ---- */

static int on_data(void *arg, const struct h2_response *r, const void *p, size_t n)
{
	struct doctor *d = arg;

	(void)r;
	if (d->body.n + n <= ANSWER_MAX)
		buf_add(&d->body, (str){ p, n });
	h2_consume(d->h, d->id, n);
	return 0;
}

static void on_done(void *arg, int code, const struct h2_response *r, const struct err *e)
{
	struct doctor *d = arg;

	d->ended = true;
	d->status = r->status;
	if (code < 0)
		d->err = *e;
}

static int drive(struct doctor *d, const bool *until, int64_t by)
{
	for (;;) {
		int64_t left = by - clock_ms();
		struct pollfd p = { .fd = h2_fd(d->h), .events = h2_events(d->h) };
		if (left <= 0)
			return err_set(&d->err, ERR_TIMEOUT, "no answer within %d s", ANSWER_MS / 1000);
		if (poll(&p, 1, left < 100 ? (int)left : 100) < 0)
			continue;
		struct err e;
		int rc = h2_drive(d->h, &e);
		if (until && *until)
			return d->err.code;
		if (rc < 0)
			d->err = e;
		if (rc < 0 || (!until && h2_ready(d->h)))
			return d->err.code;
	}
}

static int question(struct doctor *d)
{
	AUTO(buf_release) struct buf path = BUF_INIT;
	str url = d->o->url, host;
	char port[8];
	struct url at;

	if (url_parse(&at, url, &d->err) < 0 || at.userinfo.p)
		return err_set(&d->err, ERR_USAGE, "the server's URL is malformed: expected http[s]://host[:port]");
	host = arena_str(&d->a, at.host);
	if (host.n && host.p[0] == '[')
		host = arena_str(&d->a, (str){ host.p + 1, host.n - 2 });
	snprintf(port, sizeof(port), "%u", at.port);
	const struct project *p = d->o->project;
	struct h2_opts ho = { .host = host,
		.port = str_of(port),
		.tls = at.tls,
		.ca_file = p && p->cafile.n ? p->cafile.p : NULL,
		.connect_ms = CONNECT_MS };
	if (h2_open(&d->h, &ho, &d->err) < 0 || drive(d, NULL, clock_ms() + CONNECT_MS + 1000) < 0)
		return d->err.code;
	buf_add(&path, at.path);
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	buf_add(&path, STR("/v1/info"));
	str token = d->o->token;
	struct h2_request q = { .method = STR("GET"),
		.path = buf_str(&path),
		.authority = arena_printf(&d->a, STR_FMT ":%s", STR_ARG(at.host), port),
		.authorization = token.n ? arena_printf(&d->a, "Bearer " STR_FMT, STR_ARG(token)) : STR_NONE,
		.data = on_data,
		.done = on_done,
		.arg = d };
	if (h2_send(d->h, &d->id, &q, &d->err) < 0)
		return d->err.code;
	return drive(d, &d->ended, clock_ms() + ANSWER_MS);
}

/* ---- findings ---- */

static void find_unreachable(struct doctor *d)
{
	const char *remedy =
		d->err.code == ERR_PROTOCOL ? "What answers there speaks no HTTP/2: is it a drayd? A proxy in front of "
					      "it has to pass HTTP/2 on."
		: d->err.code == ERR_USAGE  ? "Give it as http://host:port or https://host:port."
		: d->err.code == ERR_TIMEOUT
			? "Nothing answers in time: check host, port and firewall, and that drayd runs (`curl "
			  "URL/v1/health`)."
			: "Check host and port, that drayd runs and listens on that address (its log says addr=...), "
			  "and for https that its certificate is one that this machine trusts (cafile in ~/.npmrc).";

	wrong(d, d->err.code, arena_printf(&d->a, "reachable: %s", d->err.msg), remedy);
}

static void find_refused(struct doctor *d, const struct json *j)
{
	str text = json_str(json_get(j, "message"));
	const char *remedy = "It is no drayd, or an older one than this dray: update it.";
	int code = ERR_PROTOCOL;

	if (d->status == 401 || d->status == 403) {
		code = ERR_AUTH;
		remedy = d->o->token.n
				 ? "The token that is set is not accepted: get a new one from the server's operator "
				   "(`drayd token add NAME`)."
				 : "No token is set for this host and port: put //HOST:PORT/:_authToken=TOKEN into "
				   "~/.npmrc, or set DRAY_TOKEN.";
	} else if (d->status == 429 || d->status == 503) {
		code = ERR_BUSY;
		remedy = "The server is overloaded or stopping: try again in a minute.";
	}
	wrong(d, code,
		arena_printf(&d->a, "%s: answered %d: " STR_FMT, code == ERR_AUTH ? "authorised" : "a drayd", d->status,
			STR_ARG(text.n ? text : STR("no drayd's answer"))),
		remedy);
}

static unsigned number(const struct json *j, const char *key)
{
	const struct json *v = json_get(j, key);
	uint64_t n = 0;

	return v && v->type == JSON_NUMBER && str_u64(v->s, &n) && n < 1000 ? (unsigned)n : 0;
}

static void find_protocol(struct doctor *d, const struct json *j)
{
	unsigned low = number(j, "protocol_min"), high = number(j, "protocol");

	if (high >= PLAN_PROTOCOL_MIN && low <= PLAN_PROTOCOL && high)
		well(d, "protocol: the server speaks %u to %u, this dray %u to %u", low, high, PLAN_PROTOCOL_MIN,
			PLAN_PROTOCOL);
	else
		wrong(d, ERR_PROTOCOL,
			arena_printf(&d->a,
				"protocol: the server (" STR_FMT ") speaks %u to %u, this dray (" DRAY_VERSION
				") %u to %u",
				STR_ARG(json_str(json_get(j, "version"))), low, high, PLAN_PROTOCOL_MIN, PLAN_PROTOCOL),
			high < PLAN_PROTOCOL_MIN ? "Update the server." : "Update dray.");
}

static str bare(str url)
{
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	return url;
}

static bool list_has(const struct json *l, str v, bool url)
{
	for (uint32_t i = 0; l && i < l->n; i++) {
		str s = json_str(&l->child[i]);
		if (str_eq(url ? bare(s) : s, url ? bare(v) : v))
			return true;
	}
	return false;
}

/* The upstream that the server takes SCOPE from: its own, else the default one. */
static const struct json *upstream_of(const struct json *j, str scope)
{
	const struct json *l = json_get(j, "upstreams"), *def = NULL;

	for (uint32_t i = 0; l && i < l->n; i++) {
		if (scope.n && list_has(json_get(&l->child[i], "scopes"), scope, false))
			return &l->child[i];
		if (json_is(json_get(&l->child[i], "default"), JSON_TRUE))
			def = &l->child[i];
	}
	return def;
}

static void find_route(struct doctor *d, const struct json *j, str scope, str asked)
{
	const struct json *up = upstream_of(j, scope);
	str what = scope.n ? arena_printf(&d->a, "scope " STR_FMT, STR_ARG(scope)) : STR("default registry");

	if (!up) {
		wrong(d, ERR_POLICY, arena_printf(&d->a, STR_FMT ": the server has no upstream for it", STR_ARG(what)),
			"Its operator adds an [upstream NAME] section with this scope, or sets `registry`.");
		return;
	}
	str url = json_str(json_get(up, "url")), name = json_str(json_get(up, "name"));
	if (!str_eq(bare(url), bare(asked)) && !list_has(json_get(up, "aliases"), asked, true))
		wrong(d, ERR_POLICY,
			arena_printf(&d->a,
				STR_FMT ": the project takes it from " STR_FMT ", the server from upstream " STR_FMT
					" (" STR_FMT ")",
				STR_ARG(what), STR_ARG(asked), STR_ARG(name), STR_ARG(url)),
			"Set the project's .npmrc to the server's URL, or have its operator add the project's as an "
			"alias.");
	else if (str_eq(json_str(json_get(up, "state")), STR("down")))
		wrong(d, ERR_NET,
			arena_printf(&d->a, STR_FMT ": upstream " STR_FMT " fails at the moment", STR_ARG(what),
				STR_ARG(name)),
			"The server answers from its cache meanwhile; its status page and log say what the upstream "
			"answers.");
	else
		well(d, STR_FMT ": upstream " STR_FMT ", " STR_FMT, STR_ARG(what), STR_ARG(name), STR_ARG(url));
}

/* Scopes that the server keeps for an upstream of its own while the project takes them from its default registry. */
static void find_scopes(struct doctor *d, const struct json *j, const struct settings *s)
{
	const struct json *l = json_get(j, "upstreams");

	for (uint32_t i = 0; l && i < l->n; i++) {
		const struct json *scopes = json_get(&l->child[i], "scopes");
		for (uint32_t k = 0; scopes && k < scopes->n; k++) {
			str scope = json_str(&scopes->child[k]);
			bool has = false;
			for (size_t r = 0; r < s->nregistry; r++)
				has |= str_eq(s->registry[r].scope, scope);
			if (!has)
				well(d, "scope " STR_FMT ": upstream " STR_FMT " (the project does not set it)",
					STR_ARG(scope), STR_ARG(json_str(json_get(&l->child[i], "name"))));
		}
	}
}

static void find_all(struct doctor *d, const struct json *j, int64_t ms)
{
	str who = json_str(json_get(j, "who"));

	well(d, "reachable: " STR_FMT ", drayd " STR_FMT ", %lld ms", STR_ARG(d->o->url),
		STR_ARG(json_str(json_get(j, "version"))), (long long)ms);
	if (who.n)
		well(d, "authorised: token " STR_FMT "%s%s", STR_ARG(who),
			json_is(json_get(j, "read_only"), JSON_TRUE) ? ", read-only" : "",
			json_is(json_get(j, "restricted"), JSON_TRUE) ? ", not every package may be seen" : "");
	else
		well(d, "authorised: the server asks for no token");
	find_protocol(d, j);
	if (!d->o->project)
		return;
	const struct settings *s = &d->o->project->req.settings;
	for (size_t i = 0; i < s->nregistry; i++)
		find_route(d, j, s->registry[i].scope, s->registry[i].url);
	find_scopes(d, j, s);
}

int doctor_run(struct buf *out, const struct doctor_opts *o)
{
	struct doctor d = { .o = o, .out = out };
	struct json *j = NULL;
	int64_t begun = clock_ms();

	if (!o->url.n) {
		wrong(&d, ERR_USAGE, STR("no server is configured"),
			"Give one by --server URL, DRAY_SERVER or drayServer in pnpm-workspace.yaml.");
		return d.code;
	}
	if (question(&d) < 0) {
		find_unreachable(&d);
	} else {
		struct err ignored; /* what is no JSON is no drayd's, and is named by its status */
		if (json_parse(&j, buf_str(&d.body), &d.a, &ignored) < 0)
			j = NULL;
		if (d.status != 200 || !str_eq(json_str(json_get(j, "server")), STR("drayd")))
			find_refused(&d, j);
		else
			find_all(&d, j, clock_ms() - begun);
	}
	if (d.h)
		h2_close(d.h);
	buf_release(&d.body);
	arena_release(&d.a);
	return d.code;
}
