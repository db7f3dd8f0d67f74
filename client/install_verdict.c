/* install_verdict — the policy check on an existing lockfile, beside the install.
 *
 * A second source with a queue of its own: a drayd, or the check in this process, which begins when the downloads have.
 * Packages are fetched and linked meanwhile; nothing is built, and the install does not end, before it is fine. A
 * verdict that is fine is kept in the store ("verdicts"), by the lockfile's digest, the rules and the cutoff; where one
 * is kept, nothing is asked and libcurl is not loaded. */
#include "install_impl.h"

#include "base/clock.h"
#include "dep_path.h"
#include "integrity.h"
#include "plan_keep.h"
#include "policy.h"
#include "verdict_heads.h"

enum { HELLO_MS = 1000 }; /* a server that has said nothing by then is not waited for */

struct verdict_stage {
	struct request req; /* the install's, for a verdict only */
	struct frames *frames;
	struct source *own; /* the check in this process */
	struct meta *known; /* packuments of any age */
	struct verdict_heads *heads;
	bool deferred; /* until the plan is whole */
	bool unproven; /* a download failed that the verdict may rest on */
	bool fetched;  /* it may rest on downloads, so it is kept at the end */
	bool remote, judged, fine, heard;
	uint64_t asked_us;
	bool partial; /* the verdict is not one on the whole lockfile */
	uint8_t key[32];
	int64_t now_ms;
};

static bool verdict_kept(struct install *in, const uint8_t key[32], int64_t now_ms)
{
	char hex[65];
	struct err e;
	str value;

	hex_print(hex, key, 32);
	return store_kv_get(&value, in->read, "verdicts", str_of(hex), &e) > 0 &&
	       policy_covers(value, &in->o->req->settings, now_ms);
}

/* Best effort: a full queue costs the next install a check. */
static void verdict_keep(struct install *in, const uint8_t key[32], int64_t now_ms)
{
	char hex[65], value[POLICY_VALUE];

	hex_print(hex, key, 32);
	policy_value(value, &in->o->req->settings, now_ms);
	(void)store_kv_put(in->store, "verdicts", str_of(hex), (str){ value, sizeof(value) });
}

int verdict_judge(struct install *in, const struct frame_verdict *f, struct err *e)
{
	str line, rest = f->text, first;
	size_t n = 0;

	if (f->kind == VERDICT_OK)
		return 0;
	str_cut(f->text, '\n', &first, &rest);
	for (rest = f->text; rest.n; n++) {
		str_cut(rest, '\n', &line, &rest);
		progress_warn(in->o->progress, "pnpm-lock.yaml: " STR_FMT, STR_ARG(line));
	}
	return err_set(e, ERR_POLICY,
		"pnpm-lock.yaml has entries that the project's rules do not let in, the first: " STR_FMT
		". Nothing was built. Look at who changed the lockfile; resolve again without it, or change the rule",
		STR_ARG(str_head(first, 500)));
}

/* What this install fetches from its registry, so that a time is enough to judge it. Packs come from elsewhere. */
static void heads_open(struct install *in, struct verdict_stage *v)
{
	if (!in->o->locked || !in->planned || in->packs || in->o->offline || v->heads)
		return;
	v->heads = verdict_heads_new(in->registry);
	for (size_t i = 0; i < in->tree.npackages; i++) {
		const struct tree_package *p = in->tree.package[i];
		str name, version, suffix;
		if (p->state != PACKAGE_COMING || p->f->meta.resolution.kind != LOCK_RES_REGISTRY)
			continue;
		dep_path_split(p->f->meta.key, &name, &version, &suffix);
		verdict_heads_plan(v->heads, name, version);
	}
	v->fetched = verdict_heads_planned(v->heads) > 0;
}

/* In this process: packuments that the store has answer, whatever their age; the registry is asked for the rest. */
static int verdict_direct(struct install *in, struct verdict_stage *v, struct err *e)
{
	struct meta_opts any = { .offline = in->o->offline, .max_age_ms = INT64_MAX };
	struct meta_opts asked = { .offline = in->o->offline };

	v->remote = false;
	if (install_net(in, e) < 0)
		return e->code;
	bool shared = in->meta != NULL; /* the resolver's: each name is asked for once */
	if (!shared && meta_new(&in->meta, in->store, in->registry, &asked, e) < 0)
		return e->code;
	if (!shared && meta_new(&v->known, in->store, in->registry, &any, e) < 0)
		return e->code;
	heads_open(in, v);
	v->own = source_verdict_new(v->known ? v->known : in->meta, in->meta, v->heads, v->now_ms);
	return frames_start(&v->frames, v->own, &v->req, e);
}

static int verdict_start(struct install *in, struct verdict_stage *v, struct err *e)
{
	v->deferred = !in->o->verdict_source && in->o->locked;
	if (v->deferred)
		return 0;
	if (!in->o->verdict_source)
		return verdict_direct(in, v, e);
	v->remote = true;
	v->asked_us = clock_us();
	return frames_start(&v->frames, in->o->verdict_source, &v->req, e);
}

int verdict_open(struct install *in, struct err *e)
{
	const struct request *r = in->o->req;
	AUTO(buf_release) struct buf text = BUF_INIT;

	if (!r->lockfile || r->lockfile->absent || in->o->project->client.trust_lockfile)
		return 0;
	struct verdict_stage *v = in->verdict = arena_new(&in->arena, struct verdict_stage, 1);
	*v = (struct verdict_stage){ .req = *r, .now_ms = in->wall_ms, .judged = true };
	v->partial = !in->o->locked && policy_partial(r);
	v->req.mode = REQUEST_VERDICT;
	v->req.nlocal = 0;
	if (!v->partial)
		v->req.nimporters = 0; /* the question is the same for whoever has this lockfile */
	if (!policy_asks(r)) {
		if (policy_check(&text, &v->req, NULL, v->now_ms, e) < 0)
			return e->code;
		return verdict_judge(
			in, &(struct frame_verdict){ text.n ? VERDICT_VIOLATION : VERDICT_OK, buf_str(&text) }, e);
	}
	const struct plan_keep *k = in->o->keep;
	if (k &&
		k->taken) /* hashed to find the plan: the lockfile as it was, also where a pin has come into it since */
		policy_key_of(v->key, &r->settings, k->lockfile);
	else
		policy_key(v->key, &r->settings, r->lockfile_text);
	if (verdict_kept(in, v->key, v->now_ms)) {
		progress_event(in->o->progress, "verdict", "\"source\":\"kept\"");
		return 0;
	}
	v->judged = false;
	return verdict_start(in, v, e);
}

int verdict_planned(struct install *in, struct err *e)
{
	struct verdict_stage *v = in->verdict;

	if (!v || !v->deferred)
		return 0;
	v->deferred = false;
	return verdict_direct(in, v, e);
}

int verdict_fd(const struct install *in)
{
	return verdict_pending(in) && in->verdict->frames ? frames_fd(in->verdict->frames) : -1;
}

bool verdict_pending(const struct install *in)
{
	return in->verdict && !in->verdict->judged;
}

/* A server that is gone, busy or older does not judge; this process does, which comes to the same. */
static bool verdict_falls_back(const struct verdict_stage *v, const struct err *e)
{
	return v->remote && (e->code == ERR_NET || e->code == ERR_TIMEOUT || e->code == ERR_BUSY ||
				    e->code == ERR_PROTOCOL || e->code == ERR_AUTH);
}

static int verdict_ended(struct install *in, struct verdict_stage *v, int code, bool fine, struct err *e)
{
	if (code < 0 && verdict_falls_back(v, e)) {
		progress_warn(
			in->o->progress, "the server did not check the lockfile, checking it here instead: %s", e->msg);
		frames_free(v->frames);
		v->frames = NULL;
		v->fine = false; /* whatever it said before it ended like that */
		return verdict_direct(in, v, e);
	}
	if (code == 0 && !fine)
		code = err_set(e, ERR_PROTOCOL, "the check of the lockfile ended without a verdict");
	if (code < 0)
		return code;
	v->judged = true;
	progress_event(in->o->progress, "verdict", "\"source\":\"%s\"", v->remote ? "server" : "direct");
	if (!v->partial && !v->fetched)
		verdict_keep(in, v->key, v->now_ms);
	return 0;
}

void verdict_unproven(struct install *in)
{
	if (in->verdict)
		in->verdict->unproven = true;
}

void verdict_finish(struct install *in)
{
	struct verdict_stage *v = in->verdict;

	if (v && v->judged && v->fetched && !v->unproven && !v->partial)
		verdict_keep(in, v->key, v->now_ms);
}

void verdict_drain(struct install *in)
{
	struct verdict_stage *v = in->verdict;
	struct err e = { 0 };
	int code = 0;

	if (!verdict_pending(in) || !v->frames)
		return;
	for (struct frame_batch *b; code == 0 && (b = frames_take(v->frames)); frame_batch_free(b)) {
		for (size_t i = 0; code == 0 && i < b->n; i++) {
			const struct frame *f = b->frame[i];
			v->heard = true;
			if (f->kind == FRAME_VERDICT)
				code = verdict_judge(in, &f->verdict, &e);
			v->fine |= f->kind == FRAME_VERDICT && code == 0;
		}
	}
	int end = 0;
	if (code == 0 && frames_ended(v->frames, &end, &e))
		code = verdict_ended(in, v, end, v->fine, &e);
	else if (code == 0 && v->remote && !v->heard && clock_us() - v->asked_us > HELLO_MS * 1000)
		code = verdict_ended(in, v, err_set(&e, ERR_TIMEOUT, "no answer within %d ms", HELLO_MS), false, &e);
	if (code < 0)
		install_fail(in, code, &e);
}

void verdict_made(struct install *in, const uint8_t key[32])
{
	if (!in->o->project->client.trust_lockfile && in->young.n == 0)
		verdict_keep(in, key, in->wall_ms);
}

void verdict_stop(struct install *in)
{
	if (in->verdict)
		frames_free(in->verdict->frames);
}

void verdict_release(struct install *in)
{
	if (!in->verdict)
		return;
	meta_free(in->verdict->known);
	if (in->verdict->own)
		in->verdict->own->free(in->verdict->own);
	verdict_heads_free(in->verdict->heads);
}
