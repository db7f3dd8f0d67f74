/* load — many clients at one drayd at the same time: each asks for a plan, then for some of its packs, over and over.
 *
 * A client is one HTTP/2 connection (client/h2_session); one thread polls them
 * all. A client sends its next request when it has the last answer, so the
 * concurrency is constant and a slow server is asked less often: latencies are
 * those of a closed loop. */
#pragma once
#include "base/base.h"

/* A plan request that can be sent, and the packs of its plan that were ready when it was learned. */
struct load_body {
	str body;
	uint8_t *rows; /* npacks rows as packs_wire.h has them */
	size_t npacks;
};
enum load_kind { LOAD_PLAN, LOAD_FRESH, LOAD_PACKS, LOAD_NKINDS }; /* asked before; never asked before; packs */
const char *load_kind_name(enum load_kind k);

enum { LOAD_MOST_SAMPLES = 4 << 20, LOAD_MOST_STATUS = 600 };
struct load_kind_result {
	float *ms; /* a latency each, in order of arrival */
	size_t n, cap;
	uint64_t bytes, failed;
};
struct load_result {
	struct load_kind_result kind[LOAD_NKINDS];
	uint64_t status[LOAD_MOST_STATUS]; /* answers by HTTP status; 0: connection or stream lost */
	double wall_s;
	struct err last; /* of what failed */
};
struct load_opts {
	str host, port;
	const struct load_body *known; /* asked in turn */
	size_t nknown;
	const struct load_body *fresh; /* each is asked once; then only known ones */
	size_t nfresh;
	unsigned clients, fresh_percent, packs; /* PACKS in a request for them; 0: none */
	double seconds;
	void (*tick)(void *arg, double at_s); /* four times a second */
	void *arg;
};
/* Asks once for B's plan, then which of its packs are ready, and keeps those (memory of A). ERR_NET, or
 * what the plan failed with. */
MUST_USE int load_learn(struct load_body *b, const struct load_opts *o, struct arena *a, struct err *e);
/* Runs for o->seconds. What fails is counted, not returned; ERR_USAGE: there is nothing to ask. */
MUST_USE int load_run(struct load_result *out, const struct load_opts *o, struct err *e);
void load_result_release(struct load_result *r);
/* The latency below which SHARE of the answers lie, in ms; sorts. 0 without answers. */
double load_percentile(struct load_kind_result *k, double share);
