#include "policy.h"
#include "base/vec.h"
#include "dep_path.h"
#include "integrity.h"
#include "lock_walk.h"
#include "trust.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	BATCH = 256,
	HEADS_AT_ONCE = 16, /* a connection each: most are the tarballs' */
	HEADS_TRIED = 8,    /* without a time in any answer: this registry tells none */
	HEAD_GRAIN_MS = 1000,
};

/* What has to be looked up of an entry. */
struct need {
	bool age, trust, url;
};
struct entry {
	const struct lock_package *p;
	str name, version;
	struct need need;
	struct entry *next; /* of the same name */
};
/* A package name and what it waits for. */
struct group {
	str name, registry;
	struct entry *first;
	bool full; /* the form that is on its way */
	bool fresh;
	bool old;   /* it has not changed since the cutoff, and its versions are there: nothing is left to ask */
	bool young; /* it has: the short form will not do */
};
struct check {
	const struct request *r;
	const struct settings *s;
	const struct policy_io *io;
	int64_t now_ms, cutoff;
	struct arena a;
	struct map by_name;
	VEC(struct group *) group;
	VEC(str) violation;
	uint8_t *stays; /* by package of the lockfile; NULL: all */
	uint32_t waiting_known, waiting_fresh;
};

/* ---- which entries ---- */

static bool map_has(struct str_map m, str alias)
{
	return str_map_get(m, alias) != NULL;
}

/* The request's projects by path; another process may not have sorted them. */
static struct map projects_by_path(const struct request *r)
{
	struct map m = MAP_INIT;

	for (size_t i = 0; i < r->nimporters; i++)
		map_add(&m, r->importer[i].path, (uint32_t)i, NULL);
	return m;
}

static const struct manifest *manifest_at(const struct request *r, const struct map *by_path, str path)
{
	uint32_t i = map_get(by_path, path);

	return i == MAP_NONE ? NULL : &r->importer[i].manifest;
}

/* Whether M, which may be NULL, still names ALIAS. */
static bool names(const struct manifest *m, str alias)
{
	return m && (map_has(m->dependencies, alias) || map_has(m->dev_dependencies, alias) ||
			    map_has(m->optional_dependencies, alias) || map_has(m->peer_dependencies, alias));
}

bool policy_partial(const struct request *r)
{
	const struct lockfile *lf = r->lockfile;
	AUTO(map_release) struct map by_path = projects_by_path(r);

	for (size_t i = 0; lf && r->nimporters && i < lf->nimporters; i++) {
		const struct lock_importer *im = &lf->importer[i];
		const struct manifest *m = manifest_at(r, &by_path, im->path);
		for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
			if (!names(m, at.d->alias))
				return true;
		}
	}
	return false;
}

/* Snapshots that are reached from what stays. */
struct walk {
	const struct lockfile *lf;
	uint8_t *seen;
	VEC(size_t) todo;
	struct arena a;
};

static void walk_to(struct walk *w, str alias, str ref)
{
	str path = dep_path_from_ref(alias, ref, &w->a);
	const struct lock_snapshot *s = path.n ? lockfile_snapshot(w->lf, path) : NULL;

	if (!s || w->seen[s - w->lf->snapshot])
		return;
	w->seen[s - w->lf->snapshot] = 1;
	*vec_add(&w->todo) = (size_t)(s - w->lf->snapshot);
}

static void walk_importers(struct walk *w, const struct request *r)
{
	AUTO(map_release) struct map by_path = projects_by_path(r);

	for (size_t i = 0; i < w->lf->nimporters; i++) {
		const struct lock_importer *im = &w->lf->importer[i];
		const struct manifest *m = manifest_at(r, &by_path, im->path);
		for (struct lock_walk at = lock_walk(im); lock_next(&at);) {
			if (names(m, at.d->alias))
				walk_to(w, at.d->alias, at.d->ref);
		}
	}
}

/* Marks the packages that stay. */
static uint8_t *staying(const struct request *r, struct arena *a)
{
	struct walk w = { .lf = r->lockfile, .a = ARENA_INIT(64 * 1024) };
	uint8_t *stays = arena_new(a, uint8_t, w.lf->npackages + 1);

	w.seen = arena_new(&w.a, uint8_t, w.lf->nsnapshots + 1);
	walk_importers(&w, r);
	while (w.todo.n) {
		const struct lock_snapshot *s = &w.lf->snapshot[w.todo.p[--w.todo.n]];
		const struct lock_package *p = lockfile_package(w.lf, dep_path_package_key(s->key));
		if (p)
			stays[p - w.lf->package] = 1;
		for (struct lock_deps_walk at = lock_deps_walk(s); lock_deps_next(&at);)
			walk_to(&w, at.d->alias, at.d->ref);
	}
	vec_release(&w.todo);
	arena_release(&w.a);
	return stays;
}

static bool is_http(str url)
{
	return str_starts(url, STR("http://")) || str_starts(url, STR("https://"));
}

/* Archives of hosts of git repositories stand under no registry. Source: pnpm's isGitHostedTarballUrl. */
static bool is_git_hosted(str url)
{
	static const str host[] = { STR_INIT("https://codeload.github.com/"), STR_INIT("https://bitbucket.org/"),
		STR_INIT("https://gitlab.com/") };

	for (size_t i = 0; i < sizeof(host) / sizeof(*host); i++) {
		if (str_starts(url, host[i]))
			return true;
	}
	return false;
}

static bool from_registry(const struct lock_package *p)
{
	const struct lock_resolution *q = &p->resolution;

	return q->kind == LOCK_RES_REGISTRY ||
	       (q->kind == LOCK_RES_TARBALL && is_http(q->tarball) && !is_git_hosted(q->tarball));
}

/* Runtimes and the like: "node@runtime:22.0.0" is no version. */
static bool is_version(str s)
{
	struct semver v;

	return semver_parse(&v, s, false);
}

static struct need need_of(const struct settings *s, const struct entry *x)
{
	bool whole;
	struct need n = { .url = x->p->resolution.tarball.n > 0 };

	n.age = s->minimum_release_age && !version_listed(s->minimum_release_age_exclude, x->name, x->version, &whole);
	n.trust = s->trust_policy != TRUST_OFF && !version_listed(s->trust_policy_exclude, x->name, x->version, &whole);
	return n;
}

/* Fills X; WHY is set when P is wrong by itself. False: nothing is to be looked up. */
static bool entry_of(struct entry *x, const struct settings *s, const struct lock_package *p, const char **why)
{
	str suffix;

	*why = NULL;
	*x = (struct entry){ .p = p };
	dep_path_split(p->key, &x->name, &x->version, &suffix);
	bool version = is_version(x->version);
	if (!from_registry(p)) {
		if (version)
			*why = "is named like a registry's package and comes from somewhere else";
		return false;
	}
	if (!p->resolution.integrity.n) {
		*why = "has no integrity, so what is downloaded for it could not be verified";
		return false;
	}
	if (!version)
		return false;
	x->need = need_of(s, x);
	return x->need.age || x->need.trust || x->need.url;
}

bool policy_asks(const struct request *r)
{
	const struct lockfile *lf = r->lockfile;
	struct entry x;
	const char *why;

	for (size_t i = 0; lf && i < lf->npackages; i++) {
		if (entry_of(&x, &r->settings, &lf->package[i], &why))
			return true;
	}
	return false;
}

/* ---- keeping a verdict ---- */

/* Each with its length, in an order of its own. */
static void put_sorted(struct buf *b, struct str_list l)
{
	str *p = xcalloc(l.n + 1, sizeof(*p));

	if (l.n)
		memcpy(p, l.p, l.n * sizeof(*p));
	qsort(p, l.n, sizeof(*p), strs_order);
	buf_printf(b, "%zu\n", l.n);
	for (size_t i = 0; i < l.n; i++)
		buf_printf(b, "%zu:" STR_FMT "\n", p[i].n, STR_ARG(p[i]));
	free(p);
}

void policy_key(uint8_t key[32], const struct settings *s, str lockfile)
{
	uint8_t digest[32];

	sha256(digest, lockfile.p, lockfile.n);
	policy_key_of(key, s, digest);
}

void policy_key_of(uint8_t key[32], const struct settings *s, const uint8_t lockfile[32])
{
	AUTO(buf_release) struct buf b = BUF_INIT;

	buf_add(&b, STR("dray-verdict-2\n"));
	buf_add(&b, (str){ (const char *)lockfile, 32 });
	put_sorted(&b, s->minimum_release_age_exclude);
	buf_printf(&b, "%d %llu\n", (int)s->trust_policy, (unsigned long long)s->trust_policy_ignore_after);
	put_sorted(&b, s->trust_policy_exclude);
	for (size_t i = 0; i < s->nregistry; i++)
		buf_printf(&b, "%zu:" STR_FMT " %zu:" STR_FMT "\n", s->registry[i].scope.n,
			STR_ARG(s->registry[i].scope), s->registry[i].url.n, STR_ARG(s->registry[i].url));
	sha256(key, b.p, b.n);
}

static int64_t cutoff_of(const struct settings *s, int64_t now_ms)
{
	return s->minimum_release_age ? settings_age_cutoff(s, now_ms) : INT64_MAX;
}

void policy_value(char value[POLICY_VALUE], const struct settings *s, int64_t now_ms)
{
	uint64_t v = (uint64_t)cutoff_of(s, now_ms);

	for (int i = 0; i < POLICY_VALUE; i++)
		value[i] = (char)(v >> 8 * i & 0xff);
}

bool policy_covers(str value, const struct settings *s, int64_t now_ms)
{
	uint64_t v = 0;

	if (value.n != POLICY_VALUE)
		return false;
	for (int i = 0; i < POLICY_VALUE; i++)
		v |= (uint64_t)(uint8_t)value.p[i] << 8 * i;
	return (int64_t)v <= cutoff_of(s, now_ms);
}

/* ---- judging ---- */

static void violates(struct check *c, const struct lock_package *p, str why)
{
	*vec_add(&c->violation) = arena_printf(&c->a, STR_FMT " " STR_FMT, STR_ARG(p->key), STR_ARG(why));
}

static str iso(int64_t ms, struct arena *a)
{
	struct tm t;
	time_t s = (time_t)(ms / 1000);
	char room[32];

	if (!gmtime_r(&s, &t) || !strftime(room, sizeof(room), "%Y-%m-%dT%H:%M:%SZ", &t))
		return STR("an unknown date");
	return arena_str(a, str_of(room));
}

/* Scheme, default port and the way a scope's slash is written are no difference. */
static str bare_url(str url, struct arena *a)
{
	size_t at = str_find_str(url, STR("://"), 0);
	struct buf b = BUF_INIT;

	url = at == SIZE_MAX ? url : str_from(url, at + 3);
	size_t slash = str_find(url, '/', 0);
	str host = slash == SIZE_MAX ? url : str_head(url, slash),
	    path = slash == SIZE_MAX ? STR("") : str_from(url, slash);
	if (str_ends(host, STR(":443")))
		host.n -= 4;
	else if (str_ends(host, STR(":80")))
		host.n -= 3;
	buf_add(&b, host);
	for (size_t i = 0; i < path.n; i++) {
		bool escaped =
			path.p[i] == '%' && i + 2 < path.n && path.p[i + 1] == '2' && (path.p[i + 2] | 32) == 'f';
		buf_add(&b, escaped ? STR("/") : (str){ path.p + i, 1 });
		i += escaped ? 2 : 0;
	}
	str out = arena_str(a, buf_str(&b));
	buf_release(&b);
	return out;
}

static void judge_url(struct check *c, const struct group *g, const struct entry *x, struct packument p, uint32_t at)
{
	const struct engine_io *io = c->io->known;
	str stated = at == UINT32_MAX ? STR("") : packument_tarball(p, at, &c->a);

	if (stated.n && io->tarball_url)
		stated = io->tarball_url(io->ctx, g->registry, g->name, stated, &c->a);
	if (!stated.n)
		violates(c, x->p, STR("has a tarball URL, and the registry states none for this version"));
	else if (!str_eq(bare_url(stated, &c->a), bare_url(x->p->resolution.tarball, &c->a)))
		violates(c, x->p,
			arena_printf(&c->a, "has the tarball URL " STR_FMT "; the registry's is " STR_FMT,
				STR_ARG(str_head(x->p->resolution.tarball, 200)), STR_ARG(str_head(stated, 200))));
}

/* Whether P says enough to judge X; the full form always does. */
static bool conclusive(const struct check *c, const struct group *g, const struct entry *x, struct packument p)
{
	uint32_t at = packument_find(p, x->version);

	if (g->full && (g->fresh || c->io->known == c->io->fresh))
		return true;
	if (at == UINT32_MAX || (x->need.trust && !g->full))
		return false;
	if (!x->need.age || packument_time(p, at))
		return true;
	int64_t modified = packument_modified(p);
	return !packument_has_time(p) && modified && modified < c->cutoff;
}

static void judge_age(struct check *c, const struct entry *x, struct packument p, uint32_t at)
{
	int64_t t = at == UINT32_MAX ? 0 : packument_time(p, at);

	if (at == UINT32_MAX)
		violates(c, x->p, STR("cannot be dated: the registry does not list this version (minimumReleaseAge)"));
	else if (t > c->cutoff)
		violates(c, x->p,
			arena_printf(&c->a,
				"was published at " STR_FMT ", less than %llu minutes ago (minimumReleaseAge)",
				STR_ARG(iso(t, &c->a)), (unsigned long long)c->s->minimum_release_age));
}

static void judge_trust(struct check *c, const struct entry *x, struct packument p, uint32_t at)
{
	int before = 0, has = 0;

	if (at == UINT32_MAX)
		violates(c, x->p, STR("cannot be judged: the registry does not list this version (trustPolicy)"));
	else if (!trust_allows(c->s, c->now_ms, p, at, &before, &has))
		violates(c, x->p,
			arena_printf(&c->a, "has %s, an earlier version had %s (trustPolicy: no-downgrade)",
				trust_word(has), trust_word(before)));
}

/* One violation an entry, the first. */
static void judge(struct check *c, const struct group *g, const struct entry *x, struct packument p)
{
	uint32_t at = packument_find(p, x->version);
	size_t had = c->violation.n;

	if (x->need.url)
		judge_url(c, g, x, p, at);
	if (x->need.age && c->violation.n == had)
		judge_age(c, x, p, at);
	if (x->need.trust && c->violation.n == had)
		judge_trust(c, x, p, at);
}

/* ---- asking ---- */

static void group_ask(struct check *c, uint32_t i, bool full, bool fresh)
{
	struct group *g = c->group.p[i];
	const struct engine_io *io = fresh ? c->io->fresh : c->io->known;

	g->full = full;
	g->fresh = fresh;
	*(fresh ? &c->waiting_fresh : &c->waiting_known) += 1;
	io->want(io->ctx, i * 2 + full, g->registry, g->name, full ? PACKUMENT_FULL : PACKUMENT_ABBREVIATED);
}

static int group_answer(struct check *c, uint32_t i, const struct engine_packument *got, struct err *e)
{
	struct group *g = c->group.p[i];
	bool enough = true;

	if (!got->rec.p) {
		*e = *got->err;
		return err_ctx(e, "pnpm-lock.yaml cannot be checked: " STR_FMT, STR_ARG(g->name));
	}
	for (const struct entry *x = g->first; x && enough; x = x->next)
		enough = conclusive(c, g, x, got->rec);
	if (!enough) {
		group_ask(c, i, true, true);
		return 0;
	}
	for (const struct entry *x = g->first; x; x = x->next)
		judge(c, g, x, got->rec);
	return 0;
}

/* Takes what has arrived, until nothing is waited for. Both ios may be one. */
static int collect(struct check *c, const struct engine_io *io, uint32_t *waiting, struct err *e)
{
	uint32_t ticket[BATCH];
	const struct engine_packument *got[BATCH];

	while (*waiting) {
		int n = io->wait(io->ctx, ticket, got, BATCH, e);
		if (n < 0)
			return n;
		for (int k = 0; k < n; k++) {
			--*waiting;
			if (group_answer(c, ticket[k] / 2, got[k], e) < 0)
				return e->code;
		}
	}
	return 0;
}

/* Whether all that is asked of G is its age, of versions whose tarballs show that they are there. */
static bool head_is_enough(const struct check *c, const struct group *g)
{
	const struct policy_heads *h = c->io->heads;

	for (const struct entry *x = g->first; x; x = x->next) {
		if (x->need.trust || x->need.url || !h->planned(h->ctx, x->name, x->version))
			return false;
	}
	return true;
}

/* A few at a time, from the first on; where the registry tells no times it is left at the first few. */
static int ask_heads(struct check *c, struct err *e)
{
	const struct policy_heads *h = c->io->heads;
	uint32_t next = 0, live = 0, told = 0, silent = 0, ticket;
	int64_t modified;

	for (;;) {
		for (; next < c->group.n && live < HEADS_AT_ONCE && (told || silent < HEADS_TRIED); next++) {
			const struct group *g = c->group.p[next];
			if (!head_is_enough(c, g))
				continue;
			live++;
			h->want(h->ctx, next, g->registry, g->name);
		}
		if (!live)
			return 0;
		int rc = h->wait(h->ctx, &ticket, &modified, e);
		if (rc < 0)
			return rc;
		live--;
		told += modified != 0;
		silent += modified == 0;
		struct group *g = c->group.p[ticket];
		g->old = modified && modified + HEAD_GRAIN_MS <= c->cutoff;
		g->young = modified && !g->old;
	}
}

static int ask_all(struct check *c, struct err *e)
{
	bool one = c->io->known == c->io->fresh;

	if (c->io->heads && ask_heads(c, e) < 0)
		return e->code;
	for (uint32_t i = 0; i < c->group.n; i++) {
		if (c->group.p[i]->old)
			continue;
		bool full = c->group.p[i]->young;
		for (const struct entry *x = c->group.p[i]->first; x; x = x->next)
			full |= x->need.trust;
		group_ask(c, i, full, one);
	}
	if (!one && collect(c, c->io->known, &c->waiting_known, e) < 0)
		return e->code;
	return collect(c, c->io->fresh, &c->waiting_fresh, e);
}

static void entry_add(struct check *c, const struct lock_package *p)
{
	struct entry *x = arena_new(&c->a, struct entry, 1);
	const char *why;
	bool fresh, asks = entry_of(x, c->s, p, &why);

	if (why)
		violates(c, p, str_of(why));
	if (!asks)
		return;
	uint32_t i = map_add(&c->by_name, x->name, (uint32_t)c->group.n, &fresh);
	if (fresh) {
		struct group *g = arena_new(&c->a, struct group, 1);
		*g = (struct group){ .name = x->name, .registry = settings_registry(c->s, x->name) };
		*vec_add(&c->group) = g;
	}
	x->next = c->group.p[i]->first;
	c->group.p[i]->first = x;
}

static void report(struct check *c, struct buf *text)
{
	if (c->violation.n)
		qsort(c->violation.p, c->violation.n, sizeof(*c->violation.p), strs_order);
	for (size_t i = 0; i < c->violation.n && i < POLICY_SHOWN; i++)
		buf_printf(text, "%s" STR_FMT, i ? "\n" : "", STR_ARG(c->violation.p[i]));
	if (c->violation.n > POLICY_SHOWN)
		buf_printf(text, "\nand %zu more", c->violation.n - POLICY_SHOWN);
}

int policy_check(struct buf *text, const struct request *r, const struct policy_io *io, int64_t now_ms, struct err *e)
{
	struct check c = { .r = r,
		.s = &r->settings,
		.io = io,
		.now_ms = now_ms,
		.cutoff = cutoff_of(&r->settings, now_ms),
		.a = ARENA_INIT(64 * 1024) };

	if (policy_partial(r))
		c.stays = staying(r, &c.a);
	for (size_t i = 0; r->lockfile && i < r->lockfile->npackages; i++) {
		if (!c.stays || c.stays[i])
			entry_add(&c, &r->lockfile->package[i]);
	}
	int rc = c.group.n ? ask_all(&c, e) : 0;
	if (rc == 0)
		report(&c, text);
	vec_release(&c.group);
	vec_release(&c.violation);
	map_release(&c.by_name);
	arena_release(&c.a);
	return rc;
}

int policy_hello(const struct request *r, str server, frame_sink *sink, void *ctx, struct err *e)
{
	struct frame hello = { .kind = FRAME_HELLO, .hello = { .protocol = PLAN_PROTOCOL, .server = server } };

	settings_digest(hello.hello.settings_digest, &r->settings);
	return sink(ctx, &hello, e);
}

int policy_verdict(str text, frame_sink *sink, void *ctx, struct err *e)
{
	struct frame verdict = { .kind = FRAME_VERDICT,
		.verdict = { .kind = text.n ? VERDICT_VIOLATION : VERDICT_OK, .text = text } };
	struct frame done = { .kind = FRAME_DONE };

	return sink(ctx, &verdict, e) < 0 ? e->code : sink(ctx, &done, e);
}
