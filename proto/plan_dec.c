#include "dependencies_meta.h"
#include "integrity.h"
#include "plan_frames.h"
#include "plan_wire.h"
#include "wire_table.h"
#include <plan.pb-c.h>
#include <stdlib.h>

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
		return dec_str(d, o->integrity);
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

	r->kind = dec_enum(d, o->res_kind, LOCK_RES_OTHER, "a resolution of unknown kind");
	r->integrity = get_integrity(d, o);
	r->tarball = o->tarball_is_url ? f->url : dec_str(d, o->tarball);
	r->git_hosted = o->git_hosted;
#define X(m) r->m = dec_str(d, o->m);
	RESOLUTION_STRINGS(X)
#undef X
	p->id = dec_str(d, o->lock_id);
	p->name = dec_str(d, o->lock_name);
	p->version = dec_str(d, o->lock_version);
	p->deprecated = dec_str(d, o->deprecated);
	p->engines = dec_map(d, o->n_engines, o->engines);
	p->peer_dependencies = dec_map(d, o->n_peer_dependencies, o->peer_dependencies);
#define X(m) p->m = dec_list(d, o->n_##m, o->m);
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
	f->meta.key = dec_str(d, o->key);
	*vec_add(&pd->key) = f->meta.key;
	plan_key_split(f->meta.key, &f->name, &f->version);
	if (o->name)
		f->name = dec_str(d, o->name);
	if (o->version)
		f->version = dec_str(d, o->version);
	f->url = dec_str(d, o->url);
	if (o->url_base) {
		str base = dec_str(d, o->url_base), tail = plan_tarball_tail(d->tmp, f->name, f->version);
		f->url = arena_printf(d->tmp, STR_FMT STR_FMT, STR_ARG(base), STR_ARG(tail));
	}
	f->unpacked_size = o->unpacked_size;
	f->file_count = o->file_count;
	f->skip = o->skip;
	f->has_install_script = o->has_install_script;
	dec_digest(d, f->pack, o->pack);
	f->pack_size = o->pack_size;
	get_lock_package(d, f, o);
}

static bool get_edge(struct dec *d, struct lock_dep *out, const uint32_t *p, size_t n, size_t *at)
{
	uint32_t v = p[(*at)++];
	str s = dec_str(d, v >> 1);

	if (!(v & 1)) {
		if (!plan_key_split(s, &out->alias, &out->ref))
			dec_fail(d, ERR_PROTOCOL, "an edge without a version");
		return d->code == 0;
	}
	if (*at == n) {
		dec_fail(d, ERR_PROTOCOL, "an edge that breaks off");
		return false;
	}
	*out = (struct lock_dep){ s, dec_str(d, p[(*at)++]) };
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
		f->snap.key = o->key ? dec_str(d, o->key) : pd->key.p[f->package];
	f->skip = o->skip;
	f->snap.optional = o->optional;
	f->snap.dependencies = get_edges(d, o->n_dependencies, o->dependencies);
	f->snap.optional_dependencies = get_edges(d, o->n_optional_dependencies, o->optional_dependencies);
	f->snap.transitive_peers = dec_list(d, o->n_transitive_peers, o->transitive_peers);
}

static struct lock_directs get_directs(struct dec *d, size_t n, const uint32_t *p)
{
	struct lock_directs l;

	l.p = dec_rows(d, n, p, ROW_COLS(struct lock_direct), &l.n);
	return l;
}

static void get_importer(struct dec *d, struct lock_importer *im, const Dray__PlanImporter *o)
{
	im->path = dec_str(d, o->path);
	im->deps[LOCK_PROD] = get_directs(d, o->n_prod, o->prod);
	im->deps[LOCK_DEV] = get_directs(d, o->n_dev, o->dev);
	im->deps[LOCK_OPTIONAL] = get_directs(d, o->n_optional, o->optional);
	im->injected = dec_list(d, o->n_injected, o->injected);
	im->not_injected = dec_list(d, o->n_not_injected, o->not_injected);
	im->meta_empty = dec_list(d, o->n_meta_empty, o->meta_empty);
	im->publish_directory = dec_str(d, o->publish_directory);
	im->publish_unlinked = o->publish_unlinked;
	str text = dec_str(d, o->meta_text);
	if (!text.n)
		return;
	if (!dependencies_meta_fits(text)) {
		dec_fail(d, ERR_PROTOCOL, "dependenciesMeta of bad text");
		return;
	}
	size_t one = 1;
	im->extra = (struct str_map){ dec_new(d, struct str_kv, &one), one };
	if (one)
		im->extra.p[0] = (struct str_kv){ STR(DEPENDENCIES_META_KEY), text };
}

static void get_head(struct dec *d, struct lock_head *h, const Dray__LockHead *o)
{
#define X(f) h->f = o->f;
	HEAD_BOOLS(X)
	X(peers_suffix_max_length)
#undef X
	h->catalog = dec_rows(d, o->n_catalog, o->catalog, ROW_COLS(struct lock_catalog_entry), &h->ncatalog);
	h->overrides = dec_map(d, o->n_overrides, o->overrides);
	h->package_extensions_checksum = dec_str(d, o->package_extensions_checksum);
	h->pnpmfile_checksum = dec_str(d, o->pnpmfile_checksum);
	h->patched = dec_map(d, o->n_patched, o->patched);
	h->ignored_optional = dec_list(d, o->n_ignored_optional, o->ignored_optional);
	h->time = dec_map(d, o->n_time, o->time);
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
	dec_digest(d, f->lockfile_digest, o->lockfile_digest);
}

static void get_peer_issue(struct dec *d, struct frame_peer_issue *f, const Dray__PeerIssue *o)
{
	f->kind = o->kind == PEER_BAD || o->kind == PEER_CONFLICT ? o->kind : PEER_MISSING;
	f->importer = dec_str(d, o->importer);
	f->peer = dec_str(d, o->peer);
	f->wanted = dec_str(d, o->wanted);
	f->found = dec_str(d, o->found);
	f->by = dec_str(d, o->by);
	f->chain = dec_bytes(d, o->chain);
	f->optional = o->optional;
}

static void get_failure(struct dec *d, struct frame_failure *f, const Dray__Failure *o)
{
	/* A newer server may have codes that we lack: its text still counts. */
	f->code = o->code < 0 && o->code >= ERR_LAST ? o->code : ERR_PROTOCOL;
	f->package = dec_bytes(d, o->package);
	f->chain = dec_bytes(d, o->chain);
	f->text = dec_bytes(d, o->text);
}

static void get_hello(struct dec *d, struct frame_hello *f, const Dray__Hello *o)
{
	f->protocol = o->protocol;
	f->server = dec_bytes(d, o->server);
	dec_digest(d, f->settings_digest, o->settings_digest);
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
		f->verdict.kind = dec_enum(d, o->verdict->kind, VERDICT_VIOLATION, "a verdict of unknown kind");
		f->verdict.text = dec_bytes(d, o->verdict->text);
		return true;
	case DRAY__FRAME__BODY_WARNING:
		f->kind = FRAME_WARNING;
		f->warning.kind = o->warning->kind == WARN_DEPRECATED || o->warning->kind == WARN_AGE_EXCLUDED
					  ? o->warning->kind
					  : WARN_OTHER;
		f->warning.package = dec_str(d, o->warning->package);
		f->warning.text = dec_bytes(d, o->warning->text);
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
