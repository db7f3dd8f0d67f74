/* GET /v1/info: what `dray doctor` compares a project with. */
#include "base/json.h"
#include "plan.h"
#include "plan_wire.h"
#include "route.h"
#include "upstream.h"
#include "url.h"
#include <stdlib.h>

static void put_member(struct buf *b, const char *name, str v)
{
	buf_printf(b, ",\"%s\":", name);
	json_put_str(b, v);
}

static void put_list(struct buf *b, const char *name, struct str_list l)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < l.n; i++) {
		if (i)
			buf_addc(b, ',');
		json_put_str(b, l.p[i]);
	}
	buf_addc(b, ']');
}

/* An origin that several upstreams share has the first one's name. */
static const char *state_of(const struct backend_status *st, const struct upstream_config *u)
{
	AUTO(buf_release) struct buf origin = BUF_INIT;
	struct url at;
	struct err e;

	if (url_parse(&at, u->url, &e) == 0)
		url_put_origin(&origin, &at);
	for (size_t i = 0; i < st->nupstreams; i++) {
		const struct upstream_health *h = &st->upstream[i];
		if (h->state != UPSTREAM_CLOSED && (str_eq(h->name, u->name) || str_eq(h->origin, buf_str(&origin))))
			return "down";
	}
	return "up";
}

static void put_upstreams(struct buf *b, const struct config *c, const struct backend_status *st)
{
	buf_add(b, STR(",\"upstreams\":["));
	for (size_t i = 0; i < c->nupstreams; i++) {
		const struct upstream_config *u = &c->upstream[i];
		buf_printf(b, "%s{\"default\":%s,\"state\":\"%s\"", i ? "," : "", u->is_default ? "true" : "false",
			state_of(st, u));
		put_member(b, "name", u->name);
		put_member(b, "url", u->url);
		put_list(b, "scopes", u->scopes);
		put_list(b, "aliases", u->aliases);
		buf_addc(b, '}');
	}
	buf_addc(b, ']');
}

int h_info(h2o_req_t *req)
{
	const struct server *s = req_loop(req)->s;
	AUTO(identity_drop) struct identity *who = NULL;
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct backend_status *st;

	if (!admit(&who, req))
		return 0;
	st = xcalloc(1, sizeof(*st));
	if (s->backend->status)
		s->backend->status(s->backend->ctx, st);
	buf_printf(&b, "{\"protocol_min\":%u,\"protocol\":%u,\"tokens\":%s,\"read_only\":%s,\"restricted\":%s",
		PLAN_PROTOCOL_MIN, PLAN_PROTOCOL, auth_required(s->auth) ? "true" : "false",
		who->read_only ? "true" : "false", identity_restricted(who) ? "true" : "false");
	put_member(&b, "server", STR("drayd"));
	put_member(&b, "version", STR(DRAY_VERSION));
	put_member(&b, "who", who->name);
	put_upstreams(&b, s->config, st);
	buf_add(&b, STR("}\n"));
	free(st);
	answer_text(req, 200, "application/json", buf_str(&b));
	return 0;
}
