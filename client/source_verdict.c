/* source_verdict — the policy check on the request's lockfile as a plan source: HELLO, VERDICT, DONE. */
#include <pthread.h>
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
	pthread_mutex_t lock;
	struct preload *preload[2]; /* while it runs */
	bool cancelled;
};

/* Lets cancel() reach P, which is the K-th. */
static void verdict_show(struct verdict *v, int k, struct preload *p)
{
	pthread_mutex_lock(&v->lock);
	v->preload[k] = p;
	if (p && v->cancelled)
		preload_cancel(p);
	pthread_mutex_unlock(&v->lock);
}

static int verdict_run(struct source *s, const struct request *req, frame_sink *sink, void *ctx, struct err *e)
{
	struct verdict *v = (struct verdict *)s;
	struct preload_opts o = { .now_ms = v->now_ms };
	struct preload *known = preload_new(v->known, &o), *fresh = preload_new(v->fresh, &o);
	AUTO(buf_release) struct buf text = BUF_INIT;

	verdict_show(v, 0, known);
	verdict_show(v, 1, fresh);
	struct policy_io io = { preload_io(known), preload_io(fresh), v->heads ? verdict_heads_io(v->heads) : NULL };
	int code = policy_hello(req, STR("direct"), sink, ctx, e);
	if (code == 0)
		code = policy_check(&text, req, &io, v->now_ms, e);
	if (code == 0)
		code = policy_verdict(buf_str(&text), sink, ctx, e);
	verdict_show(v, 0, NULL);
	verdict_show(v, 1, NULL);
	preload_free(known);
	preload_free(fresh);
	return code;
}

static void verdict_cancel(struct source *s)
{
	struct verdict *v = (struct verdict *)s;

	pthread_mutex_lock(&v->lock);
	v->cancelled = true;
	for (int k = 0; k < 2; k++) {
		if (v->preload[k])
			preload_cancel(v->preload[k]);
	}
	pthread_mutex_unlock(&v->lock);
	if (v->heads)
		verdict_heads_cancel(v->heads);
}

static void verdict_free(struct source *s)
{
	struct verdict *v = (struct verdict *)s;

	pthread_mutex_destroy(&v->lock);
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
	pthread_mutex_init(&v->lock, NULL);
	return &v->source;
}
