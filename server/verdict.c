#include "verdict.h"
#include "dep_path.h"
#include "integrity.h"
#include "plan_io.h"
#include "policy.h"
#include "store.h"

static bool kept(const struct verdict_opts *o, const struct settings *s, str key)
{
	struct store_read *rd;
	struct err ignored; /* what cannot be read is checked again */
	str value;

	if (store_read_begin(&rd, o->store, &ignored) < 0)
		return false;
	bool hit = store_kv_get(&value, rd, "verdicts", key, &ignored) > 0 && policy_covers(value, s, o->now_ms);
	store_read_end(rd);
	return hit;
}

/* Names that are kept from WHO are not looked up, and no kept verdict speaks of them. */
static int may_see_all(const struct lockfile *lf, const struct identity *who, struct err *e)
{
	str name, version, suffix;

	for (size_t i = 0; lf && i < lf->npackages; i++) {
		dep_path_split(lf->package[i].key, &name, &version, &suffix);
		if (identity_may_see(who, name, e) < 0)
			return e->code;
	}
	return 0;
}

static int check(struct buf *text, const struct verdict_opts *o, const struct request *r, const struct identity *who,
	struct cancel *c, struct err *e)
{
	struct plan_io_opts opts = {
		.meta = o->meta, .preload = { .now_ms = o->now_ms }, .upstreams = o->upstreams, .who = who, .cancel = c
	};
	struct plan_io io;

	plan_io_init(&io, &opts);
	int rc = policy_check(text, r, &(struct policy_io){ &io.io, &io.io, NULL }, o->now_ms, e);
	plan_io_release(&io);
	return rc;
}

int verdict_send(const struct verdict_opts *o, const struct request *r, const struct identity *who, struct cancel *c,
	frame_sink *sink, void *ctx, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	uint8_t sha[32];
	char hex[65], value[POLICY_VALUE];

	if (may_see_all(r->lockfile, who, e) < 0 || policy_hello(r, STR("drayd/" DRAY_VERSION), sink, ctx, e) < 0)
		return e->code;
	policy_key(sha, &r->settings, r->lockfile_text);
	hex_print(hex, sha, 32);
	if (!kept(o, &r->settings, str_of(hex))) {
		if (check(&text, o, r, who, c, e) < 0)
			return e->code;
		policy_value(value, &r->settings, o->now_ms);
		/* One that the writer has no room for is found again by the next request. */
		if (!text.n && !policy_partial(r))
			(void)store_kv_put(o->store, "verdicts", str_of(hex), (str){ value, sizeof(value) });
	}
	return policy_verdict(buf_str(&text), sink, ctx, e);
}
