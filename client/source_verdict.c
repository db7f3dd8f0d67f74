/* source_verdict — the policy check on the request's lockfile as a plan source: HELLO, VERDICT, DONE. */
#include <stdlib.h>

#include "policy.h"
#include "preload.h"
#include "source.h"
#include "verdict_heads.h"

struct verdict {
	struct source source;
	struct meta *known, *fresh;
	struct verdict_heads *heads;
	int64_t now_ms;
	struct preload_seat seat[2]; /* of known, of fresh */
};

static int verdict_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct verdict *v = (struct verdict *)s;
	struct preload_opts o = { .now_ms = v->now_ms };
	struct preload *known = preload_new(v->known, &o), *fresh = preload_new(v->fresh, &o);
	AUTO(buf_release) struct buf text = BUF_INIT;

	preload_seat_put(&v->seat[0], known);
	preload_seat_put(&v->seat[1], fresh);
	struct policy_io io = { preload_io(known), preload_io(fresh), v->heads ? verdict_heads_io(v->heads) : NULL };
	int code = policy_hello(req, STR("direct"), sink, ctx, e);
	if (code == 0)
		code = policy_check(&text, req, &io, v->now_ms, e);
	if (code == 0)
		code = policy_verdict(buf_str(&text), sink, ctx, e);
	preload_seat_put(&v->seat[0], NULL);
	preload_seat_put(&v->seat[1], NULL);
	preload_free(known);
	preload_free(fresh);
	return code;
}

static void verdict_cancel(struct source *s)
{
	struct verdict *v = (struct verdict *)s;

	for (int k = 0; k < 2; k++)
		preload_seat_cancel(&v->seat[k]);
	if (v->heads)
		verdict_heads_cancel(v->heads);
}

static void verdict_free(struct source *s)
{
	struct verdict *v = (struct verdict *)s;

	for (int k = 0; k < 2; k++)
		preload_seat_release(&v->seat[k]);
	free(v);
}

struct source *source_verdict_new(struct meta *known, struct meta *fresh, struct verdict_heads *heads, int64_t now_ms)
{
	struct verdict *v = xcalloc(1, sizeof(*v));

	v->source =
		(struct source){ .run = verdict_run, .cancel = verdict_cancel, .free = verdict_free, .name = "direct" };
	v->known = known;
	v->fresh = fresh;
	v->heads = heads;
	v->now_ms = now_ms;
	for (int k = 0; k < 2; k++)
		preload_seat_init(&v->seat[k]);
	return &v->source;
}
