#include "dependencies_meta.h"
#include "frame.h"
#include "integrity.h"
#include "plan_wire.h"
#include "settings_fields.h"
#include "wire_table.h"
#include <plan.pb-c.h>

#define MANIFEST_STRINGS(X) X(name) X(version) X(directories_bin) X(publish_directory) X(deprecated)
#define MANIFEST_LISTS(X) X(peer_optional) X(bundled) X(os) X(cpu) X(libc)
#define MANIFEST_MAPS(X)                                                                                               \
	X(dependencies)                                                                                                \
	X(dev_dependencies) X(optional_dependencies) X(peer_dependencies) X(engines) X(bin) X(scripts)

static Dray__Manifest *put_manifest(struct enc *en, const struct manifest *m)
{
	Dray__Manifest *o = arena_new(&en->tmp, Dray__Manifest, 1);

	dray__manifest__init(o);
#define X(f) o->f = enc_str(en, m->f);
	MANIFEST_STRINGS(X)
#undef X
#define X(f) enc_list(en, m->f, &o->n_##f, &o->f);
	MANIFEST_LISTS(X)
#undef X
#define X(f) enc_map(en, m->f, &o->n_##f, &o->f);
	MANIFEST_MAPS(X)
#undef X
	uint32_t *alias = enc_room(en, m->ndependencies_meta, &o->n_meta, &o->meta);
	uint32_t *injected = enc_room(en, m->ndependencies_meta, &o->n_injected, &o->injected);
	for (size_t i = 0; i < m->ndependencies_meta; i++) {
		alias[i] = enc_str(en, m->dependencies_meta[i].alias);
		injected[i] = m->dependencies_meta[i].injected;
	}
	o->meta_text = enc_str(en, m->meta_text);
	o->bundle_all = m->bundle_all;
	o->libc_scalar = m->libc_scalar;
	o->publish_link_directory = m->publish_link_directory;
	return o;
}

static void get_manifest(struct dec *d, struct manifest *m, const Dray__Manifest *o)
{
	if (!o) {
		dec_fail(d, ERR_PROTOCOL, "an importer without a manifest");
		return;
	}
#define X(f) m->f = dec_str(d, o->f);
	MANIFEST_STRINGS(X)
#undef X
#define X(f) m->f = dec_list(d, o->n_##f, o->f);
	MANIFEST_LISTS(X)
#undef X
#define X(f) m->f = dec_map(d, o->n_##f, o->f);
	MANIFEST_MAPS(X)
#undef X
	if (o->n_meta != o->n_injected) {
		dec_fail(d, ERR_PROTOCOL, "dependenciesMeta with lists of different lengths");
		return;
	}
	m->ndependencies_meta = o->n_meta;
	m->dependencies_meta = dec_new(d, struct manifest_dep_meta, &m->ndependencies_meta);
	for (size_t i = 0; i < m->ndependencies_meta; i++) {
		if (o->injected[i] > META_NOT_INJECTED) {
			dec_fail(d, ERR_PROTOCOL, "dependenciesMeta of unknown kind");
			return;
		}
		m->dependencies_meta[i] =
			(struct manifest_dep_meta){ dec_str(d, o->meta[i]), (enum dep_meta)o->injected[i] };
	}
	m->meta_text = dec_str(d, o->meta_text);
	if (m->meta_text.n && !dependencies_meta_fits(m->meta_text)) {
		dec_fail(d, ERR_PROTOCOL, "dependenciesMeta of bad text");
		return;
	}
	m->bundle_all = o->bundle_all;
	m->libc_scalar = o->libc_scalar;
	m->publish_link_directory = o->publish_link_directory;
}

static Dray__Settings *put_settings(struct enc *en, const struct settings *s)
{
	Dray__Settings *o = arena_new(&en->tmp, Dray__Settings, 1);

	dray__settings__init(o);
#define X(f) o->f = s->f;
	SETTINGS_BOOLS(X)
	SETTINGS_NUMBERS(X)
#undef X
#define X(f) enc_list(en, s->f, &o->n_##f, &o->f);
	SETTINGS_LISTS(X)
#undef X
#define X(f) enc_map(en, s->f, &o->n_##f, &o->f);
	SETTINGS_MAPS(X)
#undef X
	o->package_extensions_checksum = enc_str(en, s->package_extensions_checksum);
	enc_rows(en, s->catalog, s->ncatalog, ROW_COLS(struct catalog_entry), &o->n_catalog, &o->catalog);
	enc_rows(en, s->patch, s->npatch, ROW_COLS(struct patch), &o->n_patch, &o->patch);
	enc_rows(en, s->registry, s->nregistry, ROW_COLS(struct registry_route), &o->n_registry, &o->registry);
	o->n_extension = s->nextension;
	o->extension = arena_new(&en->tmp, Dray__Extension *, s->nextension);
	for (size_t i = 0; i < s->nextension; i++) {
		const struct package_extension *x = &s->extension[i];
		Dray__Extension *y = o->extension[i] = arena_new(&en->tmp, Dray__Extension, 1);
		dray__extension__init(y);
		y->selector = enc_str(en, x->selector);
		enc_map(en, x->dependencies, &y->n_dependencies, &y->dependencies);
		enc_map(en, x->optional_dependencies, &y->n_optional_dependencies, &y->optional_dependencies);
		enc_map(en, x->peer_dependencies, &y->n_peer_dependencies, &y->peer_dependencies);
		enc_list(en, x->peer_optional, &y->n_peer_optional, &y->peer_optional);
	}
	return o;
}

static void get_extensions(struct dec *d, struct settings *s, const Dray__Settings *o)
{
	s->nextension = o->n_extension;
	s->extension = dec_new(d, struct package_extension, &s->nextension);
	for (size_t i = 0; i < s->nextension; i++) {
		const Dray__Extension *y = o->extension[i];
		s->extension[i] = (struct package_extension){
			.selector = dec_str(d, y->selector),
			.dependencies = dec_map(d, y->n_dependencies, y->dependencies),
			.optional_dependencies = dec_map(d, y->n_optional_dependencies, y->optional_dependencies),
			.peer_dependencies = dec_map(d, y->n_peer_dependencies, y->peer_dependencies),
			.peer_optional = dec_list(d, y->n_peer_optional, y->peer_optional),
		};
	}
}

static void get_settings(struct dec *d, struct settings *s, const Dray__Settings *o)
{
	dec_enum(d, o->resolution_mode, RESOLVE_LOWEST_DIRECT, "resolutionMode is none that this server knows");
	dec_enum(d, o->trust_policy, TRUST_NO_DOWNGRADE, "trustPolicy is none that this server knows");
#define X(f) s->f = o->f;
	SETTINGS_BOOLS(X)
	SETTINGS_NUMBERS(X)
#undef X
#define X(f) s->f = dec_list(d, o->n_##f, o->f);
	SETTINGS_LISTS(X)
#undef X
#define X(f) s->f = dec_map(d, o->n_##f, o->f);
	SETTINGS_MAPS(X)
#undef X
	s->package_extensions_checksum = dec_str(d, o->package_extensions_checksum);
	s->catalog = dec_rows(d, o->n_catalog, o->catalog, ROW_COLS(struct catalog_entry), &s->ncatalog);
	s->patch = dec_rows(d, o->n_patch, o->patch, ROW_COLS(struct patch), &s->npatch);
	s->registry = dec_rows(d, o->n_registry, o->registry, ROW_COLS(struct registry_route), &s->nregistry);
	get_extensions(d, s, o);
}

static void put_request(struct enc *en, Dray__Request *o, const struct request *r)
{
	o->mode = r->mode;
	o->settings = put_settings(en, &r->settings);
	o->os = enc_str(en, r->platform.os);
	o->cpu = enc_str(en, r->platform.cpu);
	o->libc = enc_str(en, r->platform.libc);
	o->node_version = enc_str(en, r->platform.node_version);
	o->prod = r->prod;
	o->dev = r->dev;
	o->optional = r->optional;
	o->ignore_scripts = r->ignore_scripts;
	o->root = enc_str(en, r->root);
	o->home = enc_str(en, r->home);
	o->n_importer = r->nimporters;
	o->importer = arena_new(&en->tmp, Dray__Importer *, r->nimporters);
	for (size_t i = 0; i < r->nimporters; i++) {
		Dray__Importer *im = o->importer[i] = arena_new(&en->tmp, Dray__Importer, 1);
		dray__importer__init(im);
		im->path = enc_str(en, r->importer[i].path);
		im->manifest = put_manifest(en, &r->importer[i].manifest);
	}
	o->n_local = r->nlocal;
	o->local = arena_new(&en->tmp, Dray__Local *, r->nlocal);
	for (size_t i = 0; i < r->nlocal; i++) {
		Dray__Local *l = o->local[i] = arena_new(&en->tmp, Dray__Local, 1);
		dray__local__init(l);
		l->path = enc_str(en, r->local[i].path);
		l->is_dir = r->local[i].is_dir;
		l->integrity = enc_str(en, r->local[i].integrity);
		l->manifest = put_manifest(en, &r->local[i].manifest);
	}
}

static int put_lockfile(Dray__Request *o, const struct request *r, bool with_text, uint8_t digest[32], struct err *e)
{
	if (r->lockfile_text.n == 0)
		return 0;
	if (r->lockfile_text.n > PLAN_MAX_LOCKFILE)
		return err_set(e, ERR_TOOBIG, "lockfile of %zu bytes, a server takes at most %u", r->lockfile_text.n,
			PLAN_MAX_LOCKFILE);
	sha256(digest, r->lockfile_text.p, r->lockfile_text.n);
	o->lockfile_sha256 = (ProtobufCBinaryData){ 32, digest };
	if (with_text)
		o->lockfile_text = pb_bytes(r->lockfile_text);
	return 0;
}

int request_encode(struct buf *out, const struct request *r, uint32_t accept, bool with_lockfile, struct err *e)
{
	AUTO(enc_release) struct enc en = { 0 };
	AUTO(buf_release) struct buf plain = BUF_INIT;
	Dray__Request o = DRAY__REQUEST__INIT;
	uint8_t digest[32];

	o.protocol = PLAN_PROTOCOL;
	o.protocol_min = PLAN_PROTOCOL_MIN;
	o.accept = accept;
	put_request(&en, &o, r);
	if (put_lockfile(&o, r, with_lockfile, digest, e) < 0)
		return e->code;
	o.n_str = en.fresh.n;
	o.str = en.fresh.p;
	size_t n = dray__request__get_packed_size(&o);
	if (n > PLAN_MAX_REQUEST)
		return err_set(e, ERR_TOOBIG, "request of %zu bytes, at most %u", n, PLAN_MAX_REQUEST);
	dray__request__pack(&o, (uint8_t *)buf_reserve(&plain, n));
	plain.n = n;
	frame_pack(out, buf_str(&plain), 3);
	return 0;
}

static void get_members(struct dec *d, struct request *r, const Dray__Request *o)
{
	if (o->n_importer > PLAN_MAX_IMPORTERS || o->n_local > PLAN_MAX_LOCALS) {
		dec_fail(d, ERR_TOOBIG, "more than 20,000 importers or local packages");
		return;
	}
	r->nimporters = o->n_importer;
	r->importer = dec_new(d, struct request_importer, &r->nimporters);
	for (size_t i = 0; i < r->nimporters; i++) {
		r->importer[i].path = dec_str(d, o->importer[i]->path);
		get_manifest(d, &r->importer[i].manifest, o->importer[i]->manifest);
	}
	r->nlocal = o->n_local;
	r->local = dec_new(d, struct request_local, &r->nlocal);
	for (size_t i = 0; i < r->nlocal; i++) {
		const Dray__Local *l = o->local[i];
		r->local[i].path = dec_str(d, l->path);
		r->local[i].is_dir = l->is_dir;
		r->local[i].integrity = dec_str(d, l->integrity);
		get_manifest(d, &r->local[i].manifest, l->manifest);
	}
}

static void get_lockfile(struct dec *d, struct plan_request *out, const Dray__Request *o)
{
	uint8_t digest[32];

	out->has_lockfile = o->lockfile_sha256.len != 0;
	dec_digest(d, out->lockfile_sha256, o->lockfile_sha256);
	if (o->lockfile_text.len == 0)
		return;
	if (o->lockfile_text.len > PLAN_MAX_LOCKFILE) {
		dec_fail(d, ERR_TOOBIG, "lockfile of more than 48 MiB");
		return;
	}
	sha256(digest, o->lockfile_text.data, o->lockfile_text.len);
	if (!out->has_lockfile || memcmp(digest, out->lockfile_sha256, 32) != 0)
		dec_fail(d, ERR_INTEGRITY, "the lockfile's text does not have the digest that came with it");
	out->req.lockfile_text = arena_str(d->keep, (str){ (char *)o->lockfile_text.data, o->lockfile_text.len });
}

static int get_request(struct dec *d, struct plan_request *out, str plain)
{
	ProtobufCAllocator alloc = dec_allocator(d);
	struct request *r = &out->req;
	Dray__Request *o = dray__request__unpack(&alloc, plain.n, (const uint8_t *)plain.p);

	if (!o)
		return dec_fail(d, ERR_PROTOCOL, "the body is no plan request");
	out->protocol = o->protocol;
	out->protocol_min = o->protocol_min;
	out->accept = o->accept;
	if (o->protocol < PLAN_PROTOCOL_MIN || o->protocol_min > PLAN_PROTOCOL)
		return d->code = err_set(d->e, ERR_PROTOCOL,
			       "client speaks plan protocol %u to %u, this side %u to %u: update the older one",
			       o->protocol_min, o->protocol, PLAN_PROTOCOL_MIN, PLAN_PROTOCOL);
	if (!o->settings)
		return dec_fail(d, ERR_PROTOCOL, "a plan request without settings");
	dec_strings(d, o->n_str, o->str);
	r->mode = dec_enum(d, o->mode, REQUEST_VERDICT, "a request mode that this server does not know");
	get_settings(d, &r->settings, o->settings);
	r->platform = (struct platform){ .os = dec_str(d, o->os),
		.cpu = dec_str(d, o->cpu),
		.libc = dec_str(d, o->libc),
		.node_version = dec_str(d, o->node_version) };
	r->prod = o->prod;
	r->dev = o->dev;
	r->optional = o->optional;
	r->ignore_scripts = o->ignore_scripts;
	r->root = dec_str(d, o->root);
	r->home = dec_str(d, o->home);
	get_members(d, r, o);
	get_lockfile(d, out, o);
	return d->code;
}

int request_decode(struct plan_request *out, str body, struct arena *a, struct err *e)
{
	AUTO(buf_release) struct buf plain = BUF_INIT;
	struct plan_request r = { 0 };

	if (frame_unpack(&plain, body, PLAN_MAX_REQUEST, e) < 0)
		return err_ctx(e, "plan request");
	struct dec d = { .keep = a, .tmp = a, .e = e };
	int rc = get_request(&d, &r, buf_str(&plain));
	vec_release(&d.str);
	if (rc < 0)
		return err_ctx(e, "plan request");
	*out = r;
	return 0;
}
