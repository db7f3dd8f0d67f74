/* stub_packs — drayd's server with fixture packs in it, some of them damaged on disk as STUB_FAULT says:
 *   "flip"    p5's file has a changed byte      "short"  p5's file ends early (and the index says so)
 *   "long"    p5's index says one byte less     "gone"   p5's file is missing      "none"  no packs at all
 *   "old"     an older server: look-ups that name another version are refused, as unknown
 *   "slow"    nothing is wrong */
#include "packs_fixture.h"
#include "packs_impl.h"
#include "route.h"
#include "server.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* In h_packs_find()'s place, by the linker. */
int __wrap_h_packs_find(h2o_req_t *req);
int __real_h_packs_find(h2o_req_t *req);

int __wrap_h_packs_find(h2o_req_t *req)
{
	str body = { req->entity.base, req->entity.len };

	if (!str_eq(str_of(getenv("STUB_FAULT")), STR("old")) || !str_starts(body, STR(PACKS_FROM_MAGIC)))
		return __real_h_packs_find(req);
	answer_status(req, 400, ERR_PROTOCOL, "expected DPF1 and rows of 24 bytes");
	return 0;
}

static struct packs *packs_of_stub(void *ctx)
{
	return ctx;
}

static int no_plan(void *ctx, struct plan_request *r, const struct identity *who, struct arena *a, struct cancel *c,
	frame_sink *sink, void *sink_ctx, struct err *e)
{
	(void)ctx;
	(void)r;
	(void)who;
	(void)a;
	(void)c;
	(void)sink;
	(void)sink_ctx;
	return err_set(e, ERR_UNSUPPORTED, "no plans here");
}

static int seed(struct packs *p, uint32_t i, str fault, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct fixture f = { 0 };
	uint8_t key[PACKS_KEY];
	bool bad = i == 5;

	if (fixture_make(&f, i, &a, e) < 0 || !packs_key(key, f.sri))
		return e->code;
	if (bad && str_eq(fault, STR("flip")))
		f.pack.p[f.pack.n / 2] ^= 1;
	if (bad && str_eq(fault, STR("short")))
		f.pack.n -= 10;
	struct pack_item *it = packs_item(p, key, true);
	it->state = PACK_SETTLED;
	it->name = xstrndup(f.name);
	it->version = xstrndup(STR("1.0.0"));
	it->size = f.pack.n - (bad && str_eq(fault, STR("long")));
	memcpy(it->digest, f.digest, 32);
	int rc = bad && str_eq(fault, STR("gone")) ? 0 : packs_write(p, f.digest, buf_str(&f.pack), e);
	fixture_release(&f);
	return rc;
}

int main(int argc, char **argv)
{
	AUTO(config_release) struct config c = { 0 };
	struct backend b = { .plan = no_plan, .packs = packs_of_stub };
	struct packs *p = NULL;
	struct err e = { 0 };
	str fault = str_of(getenv("STUB_FAULT"));

	server_signals(true);
	int rc = config_load(&c, argc, argv, &e);
	log_setup(STDERR_FILENO, c.log_level, c.log_format);
	struct packs_opts po = { .dir = c.store_dir.p, .no_settle = true };
	if (rc == 0 && !str_eq(fault, STR("none")))
		rc = packs_new(&p, &po, &e);
	for (uint32_t i = 0; rc == 0 && p && i < FIXTURES; i++)
		rc = seed(p, i, fault, &e);
	b.ctx = p;
	if (rc == 0)
		rc = server_run(&c, &b, argc, argv, &e);
	packs_free(p);
	if (rc < 0)
		fprintf(stderr, "stub_packs: %s\n", e.msg);
	return err_exit_status(rc);
}
