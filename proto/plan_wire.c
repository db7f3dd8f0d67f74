#include "plan_wire.h"
#include "frame.h"
#include "integrity.h"
#include "wire_table.h"
#include <plan.pb-c.h>
#include <stdlib.h>

/* ---- frames: encode ---- */

struct plan_enc {
	struct enc en;
	uint32_t npackages, nslots, next_package;
	VEC(str) key; /* of each package */
};

struct plan_enc *plan_enc_new(void)
{
	return xcalloc(1, sizeof(struct plan_enc));
}

void plan_enc_free(struct plan_enc *pe)
{
	if (!pe)
		return;
	enc_release(&pe->en);
	vec_release(&pe->key);
	free(pe);
}

/* Splits "name@version" behind the scope's "@". */
static bool key_split(str key, str *name, str *version)
{
	size_t at = str_find(key, '@', 1);

	if (at == SIZE_MAX)
		return false;
	*name = str_head(key, at);
	*version = str_from(key, at + 1);
	return true;
}

static str unscoped(str name)
{
	str scope, rest;

	return str_starts(name, STR("@")) && str_cut(name, '/', &scope, &rest) ? rest : name;
}

/* What follows the registry in the URL that npm's registries give a tarball. */
static str tarball_tail(struct arena *a, str name, str version)
{
	str bare = unscoped(name);

	return arena_join(a, name, STR("/-/"), bare, STR("-"), version, STR(".tgz"));
}

static void put_url(struct enc *en, Dray__Package *o, const struct frame_package *f)
{
	str tail = tarball_tail(&en->tmp, f->name, f->version);

	if (f->url.n > tail.n && str_ends(f->url, tail))
		o->url_base = put(en, str_head(f->url, f->url.n - tail.n));
	else
		o->url = put(en, f->url);
}

/* The digest's bytes instead of the text where the text says nothing else. */
static void put_integrity(struct enc *en, Dray__Package *o, str sri)
{
	struct digest *d = arena_new(&en->tmp, struct digest, 1);

	if (integrity_plain(d, sri))
		o->digest = (ProtobufCBinaryData){ d->n, d->b };
	else
		o->integrity = put(en, sri);
}

#define PACKAGE_LISTS(X) X(cpu) X(os) X(libc) X(bundled) X(peer_optional)
#define PACKAGE_BOOLS(X) X(has_bin) X(prepare) X(requires_build) X(bundle_all)
#define RESOLUTION_STRINGS(X) X(directory) X(repo) X(commit) X(path) X(raw)

static void put_lock_package(struct enc *en, Dray__Package *o, const struct frame_package *f)
{
	const struct lock_package *p = &f->meta;
	const struct lock_resolution *r = &p->resolution;

	o->res_kind = r->kind;
	put_integrity(en, o, r->integrity);
	o->tarball_is_url = r->tarball.n && str_eq(r->tarball, f->url);
	if (!o->tarball_is_url)
		o->tarball = put(en, r->tarball);
	o->git_hosted = r->git_hosted;
#define X(m) o->m = put(en, r->m);
	RESOLUTION_STRINGS(X)
#undef X
	o->lock_id = put(en, p->id);
	o->lock_name = put(en, p->name);
	o->lock_version = put(en, p->version);
	o->deprecated = put(en, p->deprecated);
	put_map(en, p->engines, &o->n_engines, &o->engines);
	put_map(en, p->peer_dependencies, &o->n_peer_dependencies, &o->peer_dependencies);
#define X(m) put_list(en, p->m, &o->n_##m, &o->m);
	PACKAGE_LISTS(X)
#undef X
#define X(m) o->m = p->m;
	PACKAGE_BOOLS(X)
#undef X
}

static bool all_zero(const uint8_t p[32])
{
	for (int i = 0; i < 32; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static int put_package(struct plan_enc *pe, Dray__Package *o, const struct frame_package *f, struct err *e)
{
	struct enc *en = &pe->en;
	str name, version;

	if (f->id != pe->npackages)
		return err_set(e, ERR_PROTOCOL, "package " STR_FMT " has id %u where %u is next", STR_ARG(f->meta.key),
			f->id, pe->npackages);
	pe->npackages++;
	o->key = put(en, f->meta.key);
	*vec_add(&pe->key) = arena_str(&en->keep, f->meta.key);
	bool split = key_split(f->meta.key, &name, &version);
	if (!split || !str_eq(name, f->name))
		o->name = put(en, f->name);
	if (!split || !str_eq(version, f->version))
		o->version = put(en, f->version);
	put_url(en, o, f);
	o->unpacked_size = f->unpacked_size;
	o->file_count = f->file_count;
	o->skip = f->skip;
	o->has_install_script = f->has_install_script;
	o->pack_size = f->pack_size;
	if (!all_zero(f->pack))
		o->pack = pb_bytes((str){ (const char *)f->pack, 32 });
	put_lock_package(en, o, f);
	return 0;
}

static void put_edges(struct enc *en, struct lock_deps deps, size_t *n, uint32_t **out)
{
	uint32_t *p = put_room(en, deps.n * 2, n, out);
	size_t used = 0;

	for (size_t i = 0; i < deps.n; i++) {
		str alias = deps.p[i].alias, ref = deps.p[i].ref;

		if (alias.n && str_find(alias, '@', 1) == SIZE_MAX) {
			str plain = arena_join(&en->tmp, alias, STR("@"), ref);
			/* An alias of another package: the ref alone is that package's dep path, which is announced anyway. */
			if (map_get(&en->ref, plain) != MAP_NONE || map_get(&en->ref, ref) == MAP_NONE) {
				p[used++] = put(en, plain) << 1;
				continue;
			}
		}
		p[used++] = put(en, alias) << 1 | 1;
		p[used++] = put(en, ref);
	}
	*n = used;
}

static int put_slot(struct plan_enc *pe, Dray__Slot *o, const struct frame_slot *f, struct err *e)
{
	struct enc *en = &pe->en;

	if (f->id != pe->nslots || f->package >= pe->npackages)
		return err_set(e, ERR_PROTOCOL, "slot " STR_FMT " has id %u where %u is next, package %u of %u",
			STR_ARG(f->snap.key), f->id, pe->nslots, f->package, pe->npackages);
	pe->nslots++;
	/* Most slots have no peers and follow their packages' order. */
	if (!str_eq(f->snap.key, pe->key.p[f->package]))
		o->key = put(en, f->snap.key);
	o->package_skip = (int32_t)(f->package - pe->next_package);
	pe->next_package = f->package + 1;
	o->skip = f->skip;
	o->optional = f->snap.optional;
	put_edges(en, f->snap.dependencies, &o->n_dependencies, &o->dependencies);
	put_edges(en, f->snap.optional_dependencies, &o->n_optional_dependencies, &o->optional_dependencies);
	put_list(en, f->snap.transitive_peers, &o->n_transitive_peers, &o->transitive_peers);
	return 0;
}

static void put_importer(struct enc *en, Dray__PlanImporter *o, const struct lock_importer *im)
{
	size_t cols = ROW_COLS(struct lock_direct);

	o->path = put(en, im->path);
	put_rows(en, im->deps[LOCK_PROD].p, im->deps[LOCK_PROD].n, cols, &o->n_prod, &o->prod);
	put_rows(en, im->deps[LOCK_DEV].p, im->deps[LOCK_DEV].n, cols, &o->n_dev, &o->dev);
	put_rows(en, im->deps[LOCK_OPTIONAL].p, im->deps[LOCK_OPTIONAL].n, cols, &o->n_optional, &o->optional);
	put_list(en, im->injected, &o->n_injected, &o->injected);
	put_list(en, im->not_injected, &o->n_not_injected, &o->not_injected);
	put_list(en, im->meta_empty, &o->n_meta_empty, &o->meta_empty);
	o->publish_directory = put(en, im->publish_directory);
}

#define HEAD_BOOLS(X) X(auto_install_peers) X(exclude_links_from_lockfile) X(dedupe_peers) X(inject_workspace_packages)

static void put_head(struct enc *en, Dray__LockHead *o, const struct lock_head *h)
{
#define X(f) o->f = h->f;
	HEAD_BOOLS(X)
	X(peers_suffix_max_length)
#undef X
	put_rows(en, h->catalog, h->ncatalog, ROW_COLS(struct lock_catalog_entry), &o->n_catalog, &o->catalog);
	put_map(en, h->overrides, &o->n_overrides, &o->overrides);
	o->package_extensions_checksum = put(en, h->package_extensions_checksum);
	o->pnpmfile_checksum = put(en, h->pnpmfile_checksum);
	put_map(en, h->patched, &o->n_patched, &o->patched);
	put_list(en, h->ignored_optional, &o->n_ignored_optional, &o->ignored_optional);
	put_map(en, h->time, &o->n_time, &o->time);
}

static void put_peer_issue(struct enc *en, Dray__PeerIssue *o, const struct frame_peer_issue *f)
{
	o->kind = f->kind;
	o->importer = put(en, f->importer);
	o->peer = put(en, f->peer);
	o->wanted = put(en, f->wanted);
	o->found = put(en, f->found);
	o->by = put(en, f->by);
	o->chain = pb_bytes(f->chain);
	o->optional = f->optional;
}

static void put_done(Dray__Done *o, const struct frame_done *f)
{
	o->packages = f->packages;
	o->slots = f->slots;
	o->fetched = f->fetched;
	o->revalidated = f->revalidated;
	o->from_cache = f->from_cache;
	o->failed = f->failed;
	o->resolve_us = f->resolve_us;
	o->total_us = f->total_us;
	o->lockfile_digest = pb_bytes((str){ (const char *)f->lockfile_digest, 32 });
}

/* Where a frame's message lies while it is packed. */
union body {
	Dray__Hello hello;
	Dray__Package package;
	Dray__Slot slot;
	Dray__PlanImporter importer;
	Dray__Verdict verdict;
	Dray__Warning warning;
	Dray__PeerIssue peer_issue;
	Dray__LockHead lock_head;
	Dray__Done done;
	Dray__Failure failure;
};
#define BODY(kind, field, type)                                                                                        \
	(dray__##type##__init(&b->field), o->body_case = DRAY__FRAME__BODY_##kind, o->field = &b->field)

static int put_frame(struct plan_enc *pe, Dray__Frame *o, union body *b, const struct frame *f, struct err *e)
{
	struct enc *en = &pe->en;

	switch (f->kind) {
	case FRAME_HELLO:
		BODY(HELLO, hello, hello);
		b->hello.protocol = f->hello.protocol;
		b->hello.server = pb_bytes(f->hello.server);
		b->hello.settings_digest = pb_bytes((str){ (const char *)f->hello.settings_digest, 32 });
		b->hello.cached = f->hello.cached;
		return 0;
	case FRAME_PACKAGE:
		BODY(PACKAGE, package, package);
		return put_package(pe, &b->package, &f->package, e);
	case FRAME_SLOT:
		BODY(SLOT, slot, slot);
		return put_slot(pe, &b->slot, &f->slot, e);
	case FRAME_IMPORTER:
		BODY(IMPORTER, importer, plan_importer);
		put_importer(en, &b->importer, &f->importer.importer);
		return 0;
	case FRAME_VERDICT:
		BODY(VERDICT, verdict, verdict);
		b->verdict.kind = f->verdict.kind;
		b->verdict.text = pb_bytes(f->verdict.text);
		return 0;
	case FRAME_WARNING:
		BODY(WARNING, warning, warning);
		b->warning.kind = f->warning.kind;
		b->warning.package = put(en, f->warning.package);
		b->warning.text = pb_bytes(f->warning.text);
		return 0;
	case FRAME_PEER_ISSUE:
		BODY(PEER_ISSUE, peer_issue, peer_issue);
		put_peer_issue(en, &b->peer_issue, &f->peer_issue);
		return 0;
	case FRAME_LOCK_HEAD:
		BODY(LOCK_HEAD, lock_head, lock_head);
		put_head(en, &b->lock_head, &f->lock_head);
		return 0;
	case FRAME_DONE:
		BODY(DONE, done, done);
		put_done(&b->done, &f->done);
		return 0;
	case FRAME_FAILURE:
		BODY(FAILURE, failure, failure);
		b->failure.code = f->failure.code;
		b->failure.package = pb_bytes(f->failure.package);
		b->failure.chain = pb_bytes(f->failure.chain);
		b->failure.text = pb_bytes(f->failure.text);
		return 0;
	}
	return err_set(e, ERR_PROTOCOL, "frame of unknown kind %d", (int)f->kind);
}

int plan_enc_frame(struct plan_enc *pe, const struct frame *f, struct buf *out, struct err *e)
{
	struct enc *en = &pe->en;
	Dray__Frame o = DRAY__FRAME__INIT;
	union body b;

	enc_begin(en);
	if (put_frame(pe, &o, &b, f, e) < 0)
		return e->code;
	if (en->ref.n > PLAN_MAX_STRINGS || en->bytes > PLAN_MAX_STRING_BYTES)
		return err_set(e, ERR_TOOBIG, "plan with more than %u strings or %u bytes of them", PLAN_MAX_STRINGS,
			PLAN_MAX_STRING_BYTES);
	o.n_str = en->fresh.n;
	o.str = en->fresh.p;
	size_t n = dray__frame__get_packed_size(&o);
	if (n > FRAME_MAX)
		return err_set(e, ERR_TOOBIG, "frame of %zu bytes, at most %u", n, FRAME_MAX);
	dray__frame__pack(&o, (uint8_t *)buf_reserve(out, n));
	out->n += n;
	return 0;
}

/* ---- frames: decode ---- */

struct plan_dec {
	struct arena keep, tmp;
	struct dec d;
	uint32_t npackages, nslots, next_package;
	VEC(str) key; /* of each package */
	bool hello, complete;
};

struct plan_dec *plan_dec_new(void)
{
	struct plan_dec *pd = xcalloc(1, sizeof(*pd));

	pd->d.keep = &pd->keep;
	pd->d.tmp = &pd->tmp;
	return pd;
}

void plan_dec_free(struct plan_dec *pd)
{
	if (!pd)
		return;
	vec_release(&pd->d.str);
	vec_release(&pd->key);
	arena_release(&pd->keep);
	arena_release(&pd->tmp);
	free(pd);
}

bool plan_dec_complete(const struct plan_dec *pd)
{
	return pd->complete;
}

static str get_integrity(struct dec *d, const Dray__Package *o)
{
	struct digest g = { 0 };

	if (o->digest.len == 0)
		return get(d, o->integrity);
	switch (o->digest.len) {
	case 20:
		g.alg = DIGEST_SHA1;
		break;
	case 32:
		g.alg = DIGEST_SHA256;
		break;
	case 48:
		g.alg = DIGEST_SHA384;
		break;
	case 64:
		g.alg = DIGEST_SHA512;
		break;
	default:
		dec_fail(d, ERR_PROTOCOL, "an integrity of no known length");
		return STR_NONE;
	}
	g.n = (uint8_t)o->digest.len;
	memcpy(g.b, o->digest.data, g.n);
	return integrity_print(&g, d->tmp);
}

static void get_lock_package(struct dec *d, struct frame_package *f, const Dray__Package *o)
{
	struct lock_package *p = &f->meta;
	struct lock_resolution *r = &p->resolution;

	r->kind = get_enum(d, o->res_kind, LOCK_RES_OTHER, "a resolution of unknown kind");
	r->integrity = get_integrity(d, o);
	r->tarball = o->tarball_is_url ? f->url : get(d, o->tarball);
	r->git_hosted = o->git_hosted;
#define X(m) r->m = get(d, o->m);
	RESOLUTION_STRINGS(X)
#undef X
	p->id = get(d, o->lock_id);
	p->name = get(d, o->lock_name);
	p->version = get(d, o->lock_version);
	p->deprecated = get(d, o->deprecated);
	p->engines = get_map(d, o->n_engines, o->engines);
	p->peer_dependencies = get_map(d, o->n_peer_dependencies, o->peer_dependencies);
#define X(m) p->m = get_list(d, o->n_##m, o->m);
	PACKAGE_LISTS(X)
#undef X
#define X(m) p->m = o->m;
	PACKAGE_BOOLS(X)
#undef X
}

static void get_package(struct plan_dec *pd, struct frame_package *f, const Dray__Package *o)
{
	struct dec *d = &pd->d;

	f->id = pd->npackages++;
	if (pd->npackages > PLAN_MAX_PACKAGES)
		dec_fail(d, ERR_TOOBIG, "a plan of more than 1,000,000 packages");
	f->meta.key = get(d, o->key);
	*vec_add(&pd->key) = f->meta.key;
	key_split(f->meta.key, &f->name, &f->version);
	if (o->name)
		f->name = get(d, o->name);
	if (o->version)
		f->version = get(d, o->version);
	f->url = get(d, o->url);
	if (o->url_base) {
		str base = get(d, o->url_base), tail = tarball_tail(d->tmp, f->name, f->version);
		f->url = arena_printf(d->tmp, STR_FMT STR_FMT, STR_ARG(base), STR_ARG(tail));
	}
	f->unpacked_size = o->unpacked_size;
	f->file_count = o->file_count;
	f->skip = o->skip;
	f->has_install_script = o->has_install_script;
	get_digest(d, f->pack, o->pack);
	f->pack_size = o->pack_size;
	get_lock_package(d, f, o);
}

static bool get_edge(struct dec *d, struct lock_dep *out, const uint32_t *p, size_t n, size_t *at)
{
	uint32_t v = p[(*at)++];
	str s = get(d, v >> 1);

	if (!(v & 1)) {
		if (!key_split(s, &out->alias, &out->ref))
			dec_fail(d, ERR_PROTOCOL, "an edge without a version");
		return d->code == 0;
	}
	if (*at == n) {
		dec_fail(d, ERR_PROTOCOL, "an edge that breaks off");
		return false;
	}
	*out = (struct lock_dep){ s, get(d, p[(*at)++]) };
	return d->code == 0;
}

static struct lock_deps get_edges(struct dec *d, size_t n, const uint32_t *p)
{
	size_t cap = n, used = 0;
	struct lock_dep *dep = dec_new(d, struct lock_dep, &cap);

	for (size_t at = 0; at < n && cap && get_edge(d, &dep[used], p, n, &at);)
		used++;
	return (struct lock_deps){ dep, used };
}

static void get_slot(struct plan_dec *pd, struct frame_slot *f, const Dray__Slot *o)
{
	struct dec *d = &pd->d;

	f->id = pd->nslots++;
	if (pd->nslots > PLAN_MAX_SLOTS)
		dec_fail(d, ERR_TOOBIG, "a plan of more than 2,000,000 slots");
	f->package = pd->next_package + (uint32_t)o->package_skip;
	pd->next_package = f->package + 1;
	if (f->package >= pd->npackages)
		dec_fail(d, ERR_PROTOCOL, "a slot of a package that was not announced");
	else
		f->snap.key = o->key ? get(d, o->key) : pd->key.p[f->package];
	f->skip = o->skip;
	f->snap.optional = o->optional;
	f->snap.dependencies = get_edges(d, o->n_dependencies, o->dependencies);
	f->snap.optional_dependencies = get_edges(d, o->n_optional_dependencies, o->optional_dependencies);
	f->snap.transitive_peers = get_list(d, o->n_transitive_peers, o->transitive_peers);
}

static struct lock_directs get_directs(struct dec *d, size_t n, const uint32_t *p)
{
	struct lock_directs l;

	l.p = get_rows(d, n, p, ROW_COLS(struct lock_direct), &l.n);
	return l;
}

static void get_importer(struct dec *d, struct lock_importer *im, const Dray__PlanImporter *o)
{
	im->path = get(d, o->path);
	im->deps[LOCK_PROD] = get_directs(d, o->n_prod, o->prod);
	im->deps[LOCK_DEV] = get_directs(d, o->n_dev, o->dev);
	im->deps[LOCK_OPTIONAL] = get_directs(d, o->n_optional, o->optional);
	im->injected = get_list(d, o->n_injected, o->injected);
	im->not_injected = get_list(d, o->n_not_injected, o->not_injected);
	im->meta_empty = get_list(d, o->n_meta_empty, o->meta_empty);
	im->publish_directory = get(d, o->publish_directory);
}

static void get_head(struct dec *d, struct lock_head *h, const Dray__LockHead *o)
{
#define X(f) h->f = o->f;
	HEAD_BOOLS(X)
	X(peers_suffix_max_length)
#undef X
	h->catalog = get_rows(d, o->n_catalog, o->catalog, ROW_COLS(struct lock_catalog_entry), &h->ncatalog);
	h->overrides = get_map(d, o->n_overrides, o->overrides);
	h->package_extensions_checksum = get(d, o->package_extensions_checksum);
	h->pnpmfile_checksum = get(d, o->pnpmfile_checksum);
	h->patched = get_map(d, o->n_patched, o->patched);
	h->ignored_optional = get_list(d, o->n_ignored_optional, o->ignored_optional);
	h->time = get_map(d, o->n_time, o->time);
}

static void get_done(struct dec *d, struct frame_done *f, const Dray__Done *o)
{
	f->packages = o->packages;
	f->slots = o->slots;
	f->fetched = o->fetched;
	f->revalidated = o->revalidated;
	f->from_cache = o->from_cache;
	f->failed = o->failed;
	f->resolve_us = o->resolve_us;
	f->total_us = o->total_us;
	get_digest(d, f->lockfile_digest, o->lockfile_digest);
}

static void get_peer_issue(struct dec *d, struct frame_peer_issue *f, const Dray__PeerIssue *o)
{
	f->kind = o->kind == PEER_BAD || o->kind == PEER_CONFLICT ? o->kind : PEER_MISSING;
	f->importer = get(d, o->importer);
	f->peer = get(d, o->peer);
	f->wanted = get(d, o->wanted);
	f->found = get(d, o->found);
	f->by = get(d, o->by);
	f->chain = get_bytes(d, o->chain);
	f->optional = o->optional;
}

static void get_failure(struct dec *d, struct frame_failure *f, const Dray__Failure *o)
{
	/* A newer server may have codes that we lack: its text still counts. */
	f->code = o->code < 0 && o->code >= ERR_LAST ? o->code : ERR_PROTOCOL;
	f->package = get_bytes(d, o->package);
	f->chain = get_bytes(d, o->chain);
	f->text = get_bytes(d, o->text);
}

static void get_hello(struct dec *d, struct frame_hello *f, const Dray__Hello *o)
{
	f->protocol = o->protocol;
	f->server = get_bytes(d, o->server);
	get_digest(d, f->settings_digest, o->settings_digest);
	f->cached = o->cached;
}

/* The kind of F is what the message is; false when we do not know it. */
static bool get_frame(struct plan_dec *pd, struct frame *f, const Dray__Frame *o)
{
	struct dec *d = &pd->d;

	switch (o->body_case) {
	case DRAY__FRAME__BODY_HELLO:
		f->kind = FRAME_HELLO;
		get_hello(d, &f->hello, o->hello);
		return true;
	case DRAY__FRAME__BODY_PACKAGE:
		f->kind = FRAME_PACKAGE;
		get_package(pd, &f->package, o->package);
		return true;
	case DRAY__FRAME__BODY_SLOT:
		f->kind = FRAME_SLOT;
		get_slot(pd, &f->slot, o->slot);
		return true;
	case DRAY__FRAME__BODY_IMPORTER:
		f->kind = FRAME_IMPORTER;
		get_importer(d, &f->importer.importer, o->importer);
		return true;
	case DRAY__FRAME__BODY_VERDICT:
		f->kind = FRAME_VERDICT;
		f->verdict.kind = get_enum(d, o->verdict->kind, VERDICT_VIOLATION, "a verdict of unknown kind");
		f->verdict.text = get_bytes(d, o->verdict->text);
		return true;
	case DRAY__FRAME__BODY_WARNING:
		f->kind = FRAME_WARNING;
		f->warning.kind = o->warning->kind >= WARN_DEPRECATED && o->warning->kind <= WARN_AGE_EXCLUDED
					  ? o->warning->kind
					  : WARN_OTHER;
		f->warning.package = get(d, o->warning->package);
		f->warning.text = get_bytes(d, o->warning->text);
		return true;
	case DRAY__FRAME__BODY_PEER_ISSUE:
		f->kind = FRAME_PEER_ISSUE;
		get_peer_issue(d, &f->peer_issue, o->peer_issue);
		return true;
	case DRAY__FRAME__BODY_LOCK_HEAD:
		f->kind = FRAME_LOCK_HEAD;
		get_head(d, &f->lock_head, o->lock_head);
		return true;
	case DRAY__FRAME__BODY_DONE:
		f->kind = FRAME_DONE;
		get_done(d, &f->done, o->done);
		return true;
	case DRAY__FRAME__BODY_FAILURE:
		f->kind = FRAME_FAILURE;
		get_failure(d, &f->failure, o->failure);
		return true;
	default:
		return false;
	}
}

/* The order that plan.h promises: HELLO once and first, nothing behind DONE or FAILURE. */
static void check_order(struct plan_dec *pd, const struct frame *f)
{
	if (pd->complete)
		dec_fail(&pd->d, ERR_PROTOCOL, "a frame behind the last one");
	if ((f->kind == FRAME_HELLO) == pd->hello && f->kind != FRAME_FAILURE)
		dec_fail(&pd->d, ERR_PROTOCOL, pd->hello ? "a second hello" : "a plan that does not start with hello");
	if (f->kind == FRAME_HELLO)
		pd->hello = true;
	if (f->kind == FRAME_DONE && (f->done.packages != pd->npackages || f->done.slots != pd->nslots))
		dec_fail(&pd->d, ERR_PROTOCOL, "counts at the end that differ from what was sent");
	if (f->kind == FRAME_DONE || f->kind == FRAME_FAILURE)
		pd->complete = true;
}

int plan_dec_frame(struct plan_dec *pd, str msg, struct frame *out, struct err *e)
{
	struct dec *d = &pd->d;
	struct frame f;

	arena_rewind(&pd->tmp);
	memset(&f, 0, sizeof(f));
	d->e = e;
	d->code = 0;
	d->allocated = 0;
	ProtobufCAllocator alloc = dec_allocator(d);
	const Dray__Frame *o = dray__frame__unpack(&alloc, msg.n, (const uint8_t *)msg.p);
	if (!o)
		return dec_fail(d, ERR_PROTOCOL, "a plan frame that is none");
	dec_strings(d, o->n_str, o->str);
	bool known = get_frame(pd, &f, o);
	if (known)
		check_order(pd, &f);
	if (d->code < 0)
		return err_ctx(e, "plan");
	if (known)
		*out = f;
	return known;
}

/* ---- whole plans ---- */

struct plan_writer {
	struct plan_enc *enc;
	struct frame_out *fo;
	struct buf msg, out;
};

struct plan_writer *plan_writer_new(int level)
{
	struct plan_writer *pw = xcalloc(1, sizeof(*pw));

	pw->enc = plan_enc_new();
	pw->fo = frame_out_new(level);
	return pw;
}

int plan_writer_add(struct plan_writer *pw, const struct frame *f, struct err *e)
{
	buf_clear(&pw->msg);
	if (plan_enc_frame(pw->enc, f, &pw->msg, e) < 0)
		return e->code;
	return frame_out_put(pw->fo, buf_str(&pw->msg), &pw->out, e);
}

int plan_writer_take(struct plan_writer *pw, struct buf *out, bool end, struct err *e)
{
	int rc = end ? frame_out_end(pw->fo, &pw->out, e) : frame_out_flush(pw->fo, &pw->out, e);

	buf_add(out, buf_str(&pw->out));
	buf_clear(&pw->out);
	return rc;
}

void plan_writer_free(struct plan_writer *pw)
{
	if (!pw)
		return;
	plan_enc_free(pw->enc);
	frame_out_free(pw->fo);
	buf_release(&pw->msg);
	buf_release(&pw->out);
	free(pw);
}

int plan_encode(struct buf *out, const struct frame *f, size_t n, int level, struct err *e)
{
	struct plan_writer *pw = plan_writer_new(level);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = plan_writer_add(pw, &f[i], e);
	if (rc == 0)
		rc = plan_writer_take(pw, out, true, e);
	plan_writer_free(pw);
	return rc;
}

struct plan_reader {
	struct frame_in *fi;
	struct plan_dec *dec;
};

struct plan_reader *plan_reader_new(void)
{
	struct plan_reader *pr = xcalloc(1, sizeof(*pr));

	pr->fi = frame_in_new();
	pr->dec = plan_dec_new();
	return pr;
}

int plan_reader_push(struct plan_reader *pr, str bytes, frame_sink *sink, void *ctx, struct err *e)
{
	struct frame f;
	str msg;
	int rc;

	frame_in_push(pr->fi, bytes.p, bytes.n);
	while ((rc = frame_in_next(pr->fi, &msg, e)) > 0) {
		rc = plan_dec_frame(pr->dec, msg, &f, e);
		if (rc > 0)
			rc = sink(ctx, &f, e);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int plan_reader_end(const struct plan_reader *pr, struct err *e)
{
	if (!plan_dec_complete(pr->dec))
		return err_set(e, ERR_PROTOCOL, "the plan broke off before its last frame");
	return frame_in_end(pr->fi, e);
}

void plan_reader_free(struct plan_reader *pr)
{
	if (!pr)
		return;
	frame_in_free(pr->fi);
	plan_dec_free(pr->dec);
	free(pr);
}

int plan_decode(str bytes, frame_sink *sink, void *ctx, struct err *e)
{
	struct plan_reader *pr = plan_reader_new();
	int rc = plan_reader_push(pr, bytes, sink, ctx, e);

	if (rc == 0)
		rc = plan_reader_end(pr, e);
	plan_reader_free(pr);
	return rc;
}
