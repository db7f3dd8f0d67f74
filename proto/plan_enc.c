#include "dependencies_meta.h"
#include "frame.h"
#include "integrity.h"
#include "plan_body.h"
#include "plan_frames.h"
#include "plan_wire.h"
#include "wire_table.h"
#include <plan.pb-c.h>
#include <stdlib.h>

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

static void put_url(struct enc *en, Dray__Package *o, const struct frame_package *f)
{
	str tail = plan_tarball_tail(&en->tmp, f->name, f->version);

	if (f->url.n > tail.n && str_ends(f->url, tail))
		o->url_base = enc_str(en, str_head(f->url, f->url.n - tail.n));
	else
		o->url = enc_str(en, f->url);
}

/* The digest's bytes instead of the text where the text says nothing else. */
static void put_integrity(struct enc *en, Dray__Package *o, str sri)
{
	struct digest *d = arena_new(&en->tmp, struct digest, 1);

	if (integrity_plain(d, sri))
		o->digest = (ProtobufCBinaryData){ d->n, d->b };
	else
		o->integrity = enc_str(en, sri);
}

static void put_lock_package(struct enc *en, Dray__Package *o, const struct frame_package *f)
{
	const struct lock_package *p = &f->meta;
	const struct lock_resolution *r = &p->resolution;

	o->res_kind = r->kind;
	put_integrity(en, o, r->integrity);
	o->tarball_is_url = r->tarball.n && str_eq(r->tarball, f->url);
	if (!o->tarball_is_url)
		o->tarball = enc_str(en, r->tarball);
	o->git_hosted = r->git_hosted;
#define X(m) o->m = enc_str(en, r->m);
	RESOLUTION_STRINGS(X)
#undef X
	o->lock_id = enc_str(en, p->id);
	o->lock_name = enc_str(en, p->name);
	o->lock_version = enc_str(en, p->version);
	o->deprecated = enc_str(en, p->deprecated);
	enc_map(en, p->engines, &o->n_engines, &o->engines);
	enc_map(en, p->peer_dependencies, &o->n_peer_dependencies, &o->peer_dependencies);
#define X(m) enc_list(en, p->m, &o->n_##m, &o->m);
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
	o->key = enc_str(en, f->meta.key);
	*vec_add(&pe->key) = arena_str(&en->keep, f->meta.key);
	bool split = plan_key_split(f->meta.key, &name, &version);
	if (!split || !str_eq(name, f->name))
		o->name = enc_str(en, f->name);
	if (!split || !str_eq(version, f->version))
		o->version = enc_str(en, f->version);
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
	uint32_t *p = enc_room(en, deps.n * 2, n, out);
	size_t used = 0;

	for (size_t i = 0; i < deps.n; i++) {
		str alias = deps.p[i].alias, ref = deps.p[i].ref;

		if (alias.n && str_find(alias, '@', 1) == SIZE_MAX) {
			str plain = arena_join(&en->tmp, alias, STR("@"), ref);
			/* An alias of another package: the ref alone is that package's dep path,
			 * which is announced anyway. */
			uint32_t known = enc_known(en, plain);
			if (known || !enc_known(en, ref)) {
				p[used++] = (known ? known : enc_str(en, plain)) << 1;
				continue;
			}
		}
		p[used++] = enc_str(en, alias) << 1 | 1;
		p[used++] = enc_str(en, ref);
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
		o->key = enc_str(en, f->snap.key);
	o->package_skip = (int32_t)(f->package - pe->next_package);
	pe->next_package = f->package + 1;
	o->skip = f->skip;
	o->optional = f->snap.optional;
	put_edges(en, f->snap.dependencies, &o->n_dependencies, &o->dependencies);
	put_edges(en, f->snap.optional_dependencies, &o->n_optional_dependencies, &o->optional_dependencies);
	enc_list(en, f->snap.transitive_peers, &o->n_transitive_peers, &o->transitive_peers);
	return 0;
}

static void put_importer(struct enc *en, Dray__PlanImporter *o, const struct lock_importer *im)
{
	size_t cols = ROW_COLS(struct lock_direct);

	o->path = enc_str(en, im->path);
	enc_rows(en, im->deps[LOCK_PROD].p, im->deps[LOCK_PROD].n, cols, &o->n_prod, &o->prod);
	enc_rows(en, im->deps[LOCK_DEV].p, im->deps[LOCK_DEV].n, cols, &o->n_dev, &o->dev);
	enc_rows(en, im->deps[LOCK_OPTIONAL].p, im->deps[LOCK_OPTIONAL].n, cols, &o->n_optional, &o->optional);
	enc_list(en, im->injected, &o->n_injected, &o->injected);
	enc_list(en, im->not_injected, &o->n_not_injected, &o->not_injected);
	enc_list(en, im->meta_empty, &o->n_meta_empty, &o->meta_empty);
	o->publish_directory = enc_str(en, im->publish_directory);
	o->publish_unlinked = im->publish_unlinked;
	const str *text = str_map_get(im->extra, STR(DEPENDENCIES_META_KEY));
	if (text && dependencies_meta_fits(*text)) /* what a lockfile has instead of a map is nothing to a resolver */
		o->meta_text = enc_str(en, *text);
}

static void put_head(struct enc *en, Dray__LockHead *o, const struct lock_head *h)
{
#define X(f) o->f = h->f;
	HEAD_BOOLS(X)
	X(peers_suffix_max_length)
#undef X
	enc_rows(en, h->catalog, h->ncatalog, ROW_COLS(struct lock_catalog_entry), &o->n_catalog, &o->catalog);
	enc_map(en, h->overrides, &o->n_overrides, &o->overrides);
	o->package_extensions_checksum = enc_str(en, h->package_extensions_checksum);
	o->pnpmfile_checksum = enc_str(en, h->pnpmfile_checksum);
	enc_map(en, h->patched, &o->n_patched, &o->patched);
	enc_list(en, h->ignored_optional, &o->n_ignored_optional, &o->ignored_optional);
	enc_map(en, h->time, &o->n_time, &o->time);
}

static void put_peer_issue(struct enc *en, Dray__PeerIssue *o, const struct frame_peer_issue *f)
{
	o->kind = f->kind;
	o->importer = enc_str(en, f->importer);
	o->peer = enc_str(en, f->peer);
	o->wanted = enc_str(en, f->wanted);
	o->found = enc_str(en, f->found);
	o->by = enc_str(en, f->by);
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
		b->warning.package = enc_str(en, f->warning.package);
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

/* Columns end strings by a NUL, and no reader takes one in them. JSON can say it, so a packument may. */
static int check_strings(const struct enc *en, const struct frame *f, struct err *e)
{
	for (size_t i = 0; i < en->fresh.n; i++) {
		if (!memchr(en->fresh.p[i].data, 0, en->fresh.p[i].len))
			continue;
		err_set(e, ERR_UNSUPPORTED, "a string with a NUL, which plans do not carry; install with --direct");
		return f->kind == FRAME_PACKAGE ? err_ctx(e, "package " STR_FMT, STR_ARG(f->package.meta.key))
						: e->code;
	}
	return 0;
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
	if (check_strings(en, f, e) < 0)
		return e->code;
	o.n_str = en->fresh.n;
	o.str = en->fresh.p;
	size_t before = out->n;
	if (!plan_body_put(out, &o))
		out->n += dray__frame__pack(&o, (uint8_t *)buf_reserve(out, dray__frame__get_packed_size(&o)));
	size_t n = out->n - before;
	if (n <= FRAME_MAX)
		return 0;
	out->n = before;
	return err_set(e, ERR_TOOBIG, "frame of %zu bytes, at most %u", n, FRAME_MAX);
}
