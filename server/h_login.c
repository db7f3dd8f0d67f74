/* What is below "/-/": ping, whoami, login and logout; the rest is refused by name.
 *
 * `npm login` takes a token's name as the user and the token as the password, and gets a token of its own with the same
 * rights, which `npm logout` takes back. There are no other users and passwords here. */
#include "base/json.h"
#include "integrity.h"
#include "route.h"
#include "token_file.h"
#include <openssl/crypto.h>
#include <time.h>

enum { LOGIN_BODY = 16 * 1024 };
#define USER "-/user/org.couchdb.user:"

static bool method_is(const h2o_req_t *req, str m)
{
	return h2o_memis(req->method.base, req->method.len, m.p, m.n);
}

/* ---- login ---- */

static int login_work(const struct later *l, struct buf *out, struct err *e)
{
	AUTO(buf_release) struct buf token = BUF_INIT;

	if (token_login(&token, l->tokens, l->name, (int64_t)time(NULL), l->days, e) < 0)
		return e->code;
	buf_add(out, STR("{\"ok\":true,\"id\":"));
	AUTO(buf_release) struct buf id = BUF_INIT;
	buf_printf(&id, "org.couchdb.user:" STR_FMT, STR_ARG(l->name));
	json_put_str(out, buf_str(&id));
	buf_add(out, STR(",\"rev\":\"1\",\"token\":"));
	json_put_str(out, buf_str(&token));
	buf_add(out, STR("}\n"));
	OPENSSL_cleanse(token.p, token.n);
	log_info("auth", "login=" STR_FMT, STR_ARG(l->name));
	return 0;
}

static int login_read(str *user, str *password, str body, struct arena *a, struct err *e)
{
	struct json *j;

	if (body.n > LOGIN_BODY)
		return err_set(e, ERR_TOOBIG, "a login of %zu bytes; %d are taken", body.n, LOGIN_BODY);
	if (json_parse(&j, body, a, e) < 0)
		return e->code;
	*user = json_str(json_get(j, "name"));
	*password = json_str(json_get(j, "password"));
	return user->n && password->n ? 0 : err_set(e, ERR_USAGE, "a login has a name and a password");
}

bool h_login_wants(str path)
{
	return str_starts(path, STR(USER)) || str_starts(path, STR("-/v1/login"));
}

int h_login(h2o_req_t *req, str path)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(4096);
	AUTO(identity_drop) struct identity *who = NULL;
	struct server *s = req_loop(req)->s;
	str user, password;
	char peer[64];
	struct err e;

	if (!str_starts(path, STR(USER)))
		return answer_status(req, 404, ERR_UNSUPPORTED,
			"no login in a browser; npm then asks for user and password (npm login --auth-type=legacy)");
	if (!method_is(req, STR("PUT")))
		return answer_status(req, 405, ERR_UNSUPPORTED, "users cannot be looked at or changed here");
	if (login_read(&user, &password, (str){ req->entity.base, req->entity.len }, &a, &e) < 0) {
		answer_error(req, &e);
		return 0;
	}
	if (!str_eq(str_from(path, sizeof(USER) - 1), user))
		return answer_status(req, 400, ERR_USAGE, "the path names another user than the body");
	peer_print(peer, req);
	if (auth_login(&who, s->auth, user, password, str_of(peer), &e) < 0) {
		answer_auth(req, &e);
		return 0;
	}
	return h_registry_later(req, &(struct later){ .work = login_work,
					     .tokens = auth_token_file(s->auth),
					     .name = user,
					     .days = (unsigned)s->config->login_days,
					     .status = 201 });
}

/* ---- who is known ---- */

static int whoami(h2o_req_t *req, const struct identity *who)
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	if (!who->name.n)
		return answer_status(req, 401, ERR_AUTH, "this server has no tokens: nobody is anybody here");
	buf_add(&b, STR("{\"username\":"));
	json_put_str(&b, who->name);
	buf_add(&b, STR("}\n"));
	answer_text(req, 200, "application/json", buf_str(&b));
	return 0;
}

static int logout_work(const struct later *l, struct buf *out, struct err *e)
{
	if (token_revoke(l->tokens, STR_NONE, l->sha256, e) < 0)
		return e->code;
	log_info("auth", "logout=" STR_FMT, STR_ARG(l->name));
	buf_add(out, STR("{\"ok\":true}\n"));
	return 0;
}

/* npm logout: DELETE /-/user/token/TOKEN, by the one whose token it is. */
static int logout(h2o_req_t *req, const struct identity *who, str token)
{
	struct later l = {
		.work = logout_work, .tokens = auth_token_file(req_loop(req)->s->auth), .name = who->name, .status = 200
	};

	sha256(l.sha256, token.p, token.n);
	if (!who->name.n || memcmp(l.sha256, who->sha256, 32) != 0)
		return answer_status(
			req, 403, ERR_POLICY, "only the token that the request itself shows can be logged out");
	return h_registry_later(req, &l);
}

int h_own(h2o_req_t *req, const struct identity *who, str path)
{
	bool get = method_is(req, STR("GET"));

	if (get && str_eq(path, STR("-/ping"))) {
		answer_text(req, 200, "application/json", STR("{}\n"));
		return 0;
	}
	if (get && str_eq(path, STR("-/whoami")))
		return whoami(req, who);
	if (method_is(req, STR("DELETE")) && str_starts(path, STR("-/user/token/")))
		return logout(req, who, str_from(path, 13));
	if (str_starts(path, STR("-/npm/v1/security/")))
		return answer_status(req, 404, ERR_UNSUPPORTED,
			"this server has no audits; set audit=false, or audit against the registry");
	if (str_starts(path, STR("-/v1/search")))
		return answer_status(req, 404, ERR_UNSUPPORTED, "this server does not search; ask the registry");
	if (str_starts(path, STR("-/npm/v1/tokens")))
		return answer_status(req, 404, ERR_UNSUPPORTED,
			"tokens are listed and made by this server's operator (`drayd token`), or by npm login");
	return answer_status(req, 404, ERR_UNSUPPORTED, "this server knows no such command of the registry");
}
