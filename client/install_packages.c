/* install_packages — a package on its way into the store: asked for, fetched as pack or tarball, patched,
 * and its slots let loose. */
#include <stdlib.h>

#include "import_stage.h"
#include "install_impl.h"
#include "integrity.h"
#include "net_opts.h"
#include "pack_base.h"
#include "packs_wire.h"
#include "patch_stage.h"

enum {
	PACKS_SLOW_US = 500 * 1000,
	GRACE_US = 300 * 1000,
	GRACE_UNKNOWN_US = 200 * 1000,
	GRACE_EACH_US = 125, /* a package that comes as a tarball takes a core several times as long */
	GRACE_MOST_US = 600 * 1000,
	EARLY_MOST = 40, /* tarballs before the server has said what it has */
	EARLY_PART = 4,  /* and of what is looked up a quarter */
	EARLY_OF = 1000, /* of more than so many none */
	LATE_LEAST = 4,  /* tarballs at once when the answer is late, twice as many after each LATE_MS */
	LATE_MS = 50,
	LATE_ALL_MS = 5 * LATE_MS, /* then as many as there may be */
};

int install_net(struct install *in, struct err *e)
{
	struct net_opts o;

	if (in->registry)
		return 0;
	if (hasher_ready(e) < 0) /* what comes is hashed */
		return e->code;
	int code = net_opts_make(&o, in->o->project, &in->arena, e);
	if (code == 0)
		code = http_new(&in->http, &o.http, e);
	if (code == 0)
		code = registry_new(&in->registry, in->http, &o.registry, e);
	return code;
}

static void package_failed(struct install *in, struct tree_package *p, int code, const struct err *e);
static void on_fetched(void *arg, struct tree_package *p, int code, const struct err *e);

static void waiters_go(struct install *in, const struct tree_package *base, bool from);

static int fetch_tarball(struct install *in, struct tree_package *p, struct err *e)
{
	pack_pairs_leave(p);
	waiters_go(in, p, false);
	if (install_net(in, e) < 0)
		return e->code;
	if (!in->fetcher) {
		struct fetcher_opts fo = {
			.http = in->http, .registry = in->registry, .store = in->store, .done = on_fetched, .arg = in
		};
		if (fetcher_new(&in->fetcher, in->pool, &fo, e) < 0)
			return e->code;
	}
	fetch_package(in->fetcher, p);
	return 0;
}

static void on_pack(void *arg, struct tree_package *p)
{
	waiters_go(arg, p, true); /* first: what follows may patch it */
	on_fetched(arg, p, 0, NULL);
}

/* No pack, or none that is right: the registry has the package, too. */
static void on_pack_absent(void *arg, struct tree_package *p, const struct err *why)
{
	struct install *in = arg;
	struct err e;
	bool lost = why && (!p || why->code == ERR_NET || why->code == ERR_TIMEOUT || why->code == ERR_BUSY ||
				   why->code == ERR_AUTH);

	if (in->failed)
		return;
	if (why && !lost && in->o->packs_stop) {
		e = *why;
		err_ctx(&e, "--bad-pack stop, or drayBadPack");
		install_fail(in, e.code, &e);
		return;
	}
	if (why && !(lost && in->packs_lost))
		progress_warn(in->o->progress, "%s; fetching %s from the registry instead", why->msg,
			lost ? "what is left" : "its tarball");
	in->packs_lost |= lost;
	if (p && fetch_tarball(in, p, &e) < 0)
		install_fail(in, e.code, &e);
}

/* Whether the server that is asked for packs has just sent the plan. Of another it is not known that it answers at
 * all. */
static bool packs_server_known(const struct install *in)
{
	return in->o->source && !in->o->locked && !in->kept_plan;
}

/* Which server had packs for an install before: of one that has not, a plan that was made here costs no waiting. */
static const char servers_table[] = "servers";

static bool packs_server_helped(const struct install *in)
{
	struct err ignored;
	str had;

	return store_kv_get(&had, in->read, servers_table, in->o->packs_url, &ignored) > 0;
}

void packages_end(struct install *in)
{
	if (!in->packs)
		return;
	struct pack_counts n = pack_fetcher_counts(in->packs);
	bool helped = packs_server_helped(in);
	/* best effort: a full queue costs a later install its wait */
	if (n.packs && !helped)
		(void)store_kv_put(in->store, servers_table, in->o->packs_url, STR("packs"));
	if (!n.packs && helped && in->looked_up)
		(void)store_kv_put(in->store, servers_table, in->o->packs_url, STR_NONE);
}

/* For how long the answer to look-ups is waited for, µs. A server that is there says within two or three round trips
 * what it has, which is a fraction of what the tarballs would take: the more are asked for, the more time there is. */
static uint64_t packages_grace(const struct install *in)
{
	uint64_t grace = GRACE_US;

	if (!in->packs || in->packs_lost || (in->kept_plan && !in->packs_helped))
		return 0;
	if (!packs_server_known(in)) {
		grace = GRACE_UNKNOWN_US + in->looked_up * GRACE_EACH_US;
		grace = grace < GRACE_MOST_US ? grace : GRACE_MOST_US;
	}
	return grace;
}

/* By how much the answer is late, ms, if it was to come within GRACE: below 0 there is time. */
static int64_t packages_late_ms(const struct install *in, uint64_t grace)
{
	return ((int64_t)(install_since(in) - in->packs_asked) - (int64_t)grace) / 1000;
}

/* How many tarballs may be under way while packs are looked up. As long as the answer is waited for a few: the link
 * would be idle, but a tarball is larger than its pack and takes a core several times as long, and where many come two
 * round trips are little beside that. After it as many as the registry is asked for at once, and only what comes after
 * them waits: a server that is cold, slow or gone costs nothing more. These begin few at a time: the answer may be a
 * moment late, and the first packages are the largest. */
static size_t tarballs_meanwhile(const struct install *in, uint64_t grace, int64_t late_ms)
{
	/* How many there are is known at the end of the plan. */
	size_t part = !in->planned || in->looked_up > EARLY_OF ? 0 : in->looked_up / EARLY_PART;
	size_t early = part < EARLY_MOST ? part : EARLY_MOST;

	if (!in->packs)
		return 0;
	if (late_ms < 0)
		return early;
	if (!grace || late_ms >= LATE_ALL_MS)
		return NET_TARBALLS;
	size_t late = (size_t)LATE_LEAST << (late_ms / LATE_MS);
	return late > early ? late : early;
}

int packages_wait_ms(const struct install *in)
{
	uint64_t grace = packages_grace(in);
	int64_t late = packages_late_ms(in, grace);

	if (!grace)
		return 0;
	if (late < 0)
		return (int)-late;
	return tarballs_meanwhile(in, grace, late) < NET_TARBALLS ? LATE_MS - (int)(late % LATE_MS) : 0;
}

/* Look-ups of packs and tarballs go on side by side. */
void packages_meanwhile(struct install *in)
{
	uint64_t grace = packages_grace(in);
	int64_t late = packages_late_ms(in, grace);
	size_t busy = in->fetcher ? fetcher_pending(in->fetcher) : 0, most = tarballs_meanwhile(in, grace, late);
	struct err e;

	for (; busy < most && !in->failed; busy++) {
		struct tree_package *p = pack_take(in->packs, late >= 0);
		if (!p)
			return;
		if (fetch_tarball(in, p, &e) < 0)
			install_fail(in, e.code, &e);
	}
}

/* The install is through without a word of the server's. */
void packages_unanswered(struct install *in)
{
	if (!in->packs || in->packs_lost || !pack_fetcher_unanswered(in->packs) ||
		install_since(in) - in->packs_asked < PACKS_SLOW_US)
		return;
	progress_warn(in->o->progress,
		"the server did not say within %.1f s which packs it has: %zu package(s) came from the registry",
		(double)(install_since(in) - in->packs_asked) / 1e6, pack_fetcher_unanswered(in->packs));
}

static bool looks_up(const struct install *in)
{
	return in->o->locked || in->kept_plan || in->r->plan_cached;
}

/* A copy of P's record: a patched variant may take that one's place. */
static struct pkg record_copy(struct install *in, const struct tree_package *p)
{
	uint64_t *copy = arena_new(&in->arena, uint64_t, p->rec.n / sizeof(uint64_t) + 1);

	memcpy(copy, p->rec.p, p->rec.n);
	return (struct pkg){ (const uint8_t *)copy, p->rec.n };
}

/* P, from FROM, which the store has or which is on its way as a pack. */
static void fetch_pack_from(struct install *in, struct tree_package *p, const struct tree_package *from)
{
	struct pack_base_of base;

	base.rec = from->state == PACKAGE_READY ? record_copy(in, from) : (struct pkg){ 0 };
	bool known = packs_key(base.key, from->f->meta.resolution.integrity);
	pack_fetch(in->packs, p, looks_up(in), known ? &base : NULL);
}

/* Those that wait for BASE are asked for: FROM it, or (it comes from the registry) for themselves, for which they are
 * looked up once more. */
static void waiters_go(struct install *in, const struct tree_package *base, bool from)
{
	for (struct tree_package *p; !in->failed && (p = pack_pairs_next(base));) {
		if (from)
			pack_base_comes(p, record_copy(in, base));
		else if (pack_base_lost(p))
			pack_fetch(in->packs, p, looks_up(in), NULL);
	}
}

static int packs_open(struct install *in, bool connect, struct err *e)
{
	uint64_t timeout = in->o->project->client.fetch_timeout_ms; /* the registry's answers end at that, too */
	struct pack_fetcher_opts po = { .url = in->o->packs_url,
		.token = in->o->packs_token,
		.store = in->store,
		.stall_ms = (unsigned)(timeout < UINT32_MAX / 2 ? timeout : UINT32_MAX / 2),
		.connect = connect,
		.done = on_pack,
		.absent = on_pack_absent,
		.arg = in };

	return pack_fetcher_new(&in->packs, in->pool, &po, e);
}

int packages_expected(struct install *in, struct err *e)
{
	if (in->o->locked || in->o->lockfile_only || !in->o->packs_url.n)
		return 0;
	return packs_open(in, true, e);
}

/* 1 when the server was asked for P. A plan that was just made names the packs that are ready; what is older, or made
 * here, says nothing of them, so they are looked up. */
static int fetch_pack(struct install *in, struct tree_package *p, struct err *e)
{
	bool look_up = looks_up(in);
	struct pack_base_of base;

	if (!in->o->packs_url.n || p->again || !pack_possible(p, look_up))
		return 0;
	int has_base = pack_base_find(&base, in->o->req->lockfile, in->read, p, e);
	if (has_base < 0)
		return has_base;
	if (!in->packs && packs_open(in, false, e) < 0)
		return e->code;
	if (!in->packs_asked) {
		in->packs_asked = install_since(in);
		in->packs_helped = packs_server_helped(in);
	}
	in->looked_up += look_up;
	struct tree_package *from = pack_pairs_add(&in->pairs, p, has_base);
	if (from)
		fetch_pack_from(in, p, from);
	else
		pack_fetch(in->packs, p, look_up, has_base ? &base : NULL);
	return 1;
}

static int fetch_start(struct install *in, struct tree_package *p, struct err *e)
{
	const struct lock_resolution *r = &p->f->meta.resolution;

	if (import_is_local(p)) {
		struct local_opts lo = { .store = in->store, .root = in->root, .done = on_fetched, .arg = in };
		import_local(in->pool, &lo, p);
		return 0;
	}
	if (!p->f->url.n)
		return err_set(e, ERR_UNSUPPORTED, STR_FMT ": dray cannot fetch this kind of package yet (%s)",
			STR_ARG(p->f->meta.key), r->kind == LOCK_RES_GIT ? "git repository" : "no tarball");
	if (in->o->offline)
		return err_set(e, ERR_NOTFOUND, STR_FMT " is not in the store and --offline forbids to fetch it",
			STR_ARG(p->f->meta.key));
	if (!in->r->t.fetch_first)
		in->r->t.fetch_first = install_since(in);
	int asked = fetch_pack(in, p, e);
	if (asked < 0)
		return asked;
	return asked ? 0 : fetch_tarball(in, p, e);
}

/* What the resolution itself put into the store, a URL dependency, came after this install's view of the index. */
static int package_since(struct install *in, struct tree_package *p, struct err *e)
{
	struct store_read *r;
	struct pkg rec;

	if (!in->meta || p->f->meta.resolution.kind != LOCK_RES_TARBALL)
		return 0;
	if (store_read_begin(&r, in->store, e) < 0)
		return e->code;
	int have = store_get(&rec, r, p->key, e);
	if (have > 0) {
		uint8_t *copy = xmalloc(rec.n);
		memcpy(copy, rec.p, rec.n);
		p->rec = (struct pkg){ copy, rec.n };
		p->owned = true;
	}
	store_read_end(r);
	return have;
}

/* 1 when the store has P without a patch. */
static int package_plain(struct install *in, struct tree_package *p, struct err *e)
{
	int have = p->key.n ? store_get(&p->rec, in->read, p->key, e) : 0;

	return have || !p->key.n ? have : package_since(in, p, e);
}

/* 1 when the store has P as this project wants it: patched, where there is a patch. */
static int package_lookup(struct install *in, struct tree_package *p, struct err *e)
{
	str key = p->patch ? patch_key(p, &in->arena) : STR_NONE;

	if (!p->patch)
		return package_plain(in, p, e);
	return key.n ? store_get(&p->rec, in->read, key, e) : 0;
}

int package_again(struct install *in, struct tree_package *p, struct err *e)
{
	progress_warn(in->o->progress, "the store's copy of " STR_FMT " is damaged: fetching it again",
		STR_ARG(p->f->meta.key));
	if (p->owned) /* other slots of P may be at a worker */
		*vec_add(&in->lost_rec) = p->rec;
	p->owned = p->patched = false;
	p->again = true;
	p->state = PACKAGE_IDLE;
	return package_want(in, p, e);
}

static void on_patched(void *arg, struct tree_package *p, int code, const struct err *e)
{
	struct install *in = arg;

	if (in->failed)
		return;
	if (code < 0 && p->spoiled && !p->again) {
		struct err why;
		if (package_again(in, p, &why) < 0)
			install_fail(in, why.code, &why);
		return;
	}
	if (code < 0) {
		package_failed(in, p, code, e);
		return;
	}
	tree_package_ready(&in->tree, p);
	package_link(in, p);
}

/* The untouched package is there, its patched variant is not. */
static void package_patch(struct install *in, struct tree_package *p)
{
	struct patch_opts po = {
		.store = in->store, .vstore = in->vstore, .root = in->o->project->root, .done = on_patched, .arg = in
	};

	patch_start(in->pool, &po, p);
}

/* A slot's dep path says which patch its package gets, and all slots of a package get the same. */
int package_note_patch(struct install *in, struct tree_package *p, str snapshot_key, struct err *e)
{
	const struct patch *patch;

	if (patch_find(&patch, &in->o->req->settings, snapshot_key, e) < 0)
		return e->code;
	if (p->patch && p->patch != patch && !str_eq(p->patch->hash, patch ? patch->hash : STR("")))
		return err_set(e, ERR_PROTOCOL, "plan: " STR_FMT " is patched in two ways", STR_ARG(snapshot_key));
	if (!patch || p->patch)
		return 0;
	p->patch = patch;
	if (p->state != PACKAGE_READY || in->o->lockfile_only)
		return 0;
	struct pkg plain = p->rec;
	int have = package_lookup(in, p, e);
	if (have < 0)
		return have;
	if (have == 0) {
		p->rec = plain;
		package_patch(in, p);
		return 0;
	}
	tree_package_ready(&in->tree, p);
	if (p->owned) {
		free((void *)(uintptr_t)plain.p);
		p->owned = false;
	}
	return 0;
}

/* Asks the store, else the registry. */
int package_want(struct install *in, struct tree_package *p, struct err *e)
{
	if (p->state != PACKAGE_IDLE)
		return 0;
	int have = p->again ? 0 : package_lookup(in, p, e);
	if (have < 0)
		return have;
	if (!have && p->patch && !p->again) {
		have = package_plain(in, p, e);
		if (have < 0)
			return have;
		if (have) {
			package_patch(in, p);
			return 0;
		}
	}
	if (have) {
		p->state = PACKAGE_READY;
		tree_package_ready(&in->tree, p);
		in->r->reused++;
		in->o->progress->reused++;
		return 0;
	}
	return fetch_start(in, p, e);
}

/* What the store knows of a package whose slot stands: its commands. It need not have it. */
int package_peek(struct install *in, struct tree_package *p, struct err *e)
{
	int have = p->state == PACKAGE_IDLE ? package_lookup(in, p, e) : 0;

	if (have == 1) {
		p->state = PACKAGE_READY;
		tree_package_ready(&in->tree, p);
	}
	return have < 0 ? have : 0;
}

void package_link(struct install *in, struct tree_package *p)
{
	for (struct slot *s = p->slots; s; s = s->next) {
		s->cold = p->cold;
		if (s->state == SLOT_WAITING && !s->deferred)
			slot_ready(in, s);
	}
}

/* An optional dependency may be missing; what failed is said. */
static void package_failed(struct install *in, struct tree_package *p, int code, const struct err *e)
{
	verdict_unproven(in);
	if (!p->slots)
		return; /* withdrawn, or a slot is still to come and will ask again */
	for (struct slot *s = p->slots; s; s = s->next) {
		if (s->state == SLOT_SKIPPED)
			continue;
		if (!s->snap->optional) {
			install_fail(in, code, e);
			return;
		}
	}
	progress_warn(in->o->progress, "optional dependency " STR_FMT " could not be fetched: %s",
		STR_ARG(p->f->meta.key), e->msg);
	for (struct slot *s = p->slots; s; s = s->next) {
		if (s->state == SLOT_WAITING)
			slot_finish(in, s, SLOT_FAILED);
	}
}

int slot_want(struct install *in, struct slot *s, struct err *e)
{
	int rc = package_want(in, s->package, e);

	if (rc != ERR_NOTFOUND || !in->o->offline || !s->snap->optional)
		return rc;
	package_failed(in, s->package, rc, e);
	return in->failed ? rc : 0;
}

static void on_fetched(void *arg, struct tree_package *p, int code, const struct err *e)
{
	struct install *in = arg;

	if (in->failed)
		return;
	in->r->t.fetch_last = install_since(in);
	if (code < 0) {
		package_failed(in, p, code, e);
		return;
	}
	tree_package_ready(&in->tree, p);
	in->r->fetched++;
	in->o->progress->downloaded++;
	if (p->patch)
		package_patch(in, p);
	else
		package_link(in, p);
}
