#include "plan_emit.h"
#include "base/clock.h"
#include "catalog.h"
#include "dep_path.h"
#include "dependencies_meta.h"
#include "integrity.h"
#include "lock_walk.h"
#include "metas.h"
#include "order.h"
#include "overrides.h"
#include "package.h"
#include "workspace.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct emit {
	struct run *r;
	struct graph *g;
	struct lockfile lf;
};

static int send(struct run *r, const struct frame *f, struct err *e)
{
	return r->sink(r->sink_ctx, f, e);
}

/* --- packages --- */

static str without_scheme(str s)
{
	return str_starts(s, STR("https://")) ? str_from(s, 8) : str_starts(s, STR("http://")) ? str_from(s, 7) : s;
}

/* Equal but for the scheme and an escaped scope. */
static bool same_url(struct run *r, str a, str b)
{
	a = without_scheme(a);
	b = without_scheme(b);
	size_t at = str_find_str(b, STR("%2f"), 0);
	if (at == SIZE_MAX)
		at = str_find_str(b, STR("%2F"), 0);
	if (at != SIZE_MAX)
		b = arena_printf(
			&r->arena, STR_FMT "/" STR_FMT, STR_ARG(str_head(b, at)), STR_ARG(str_from(b, at + 3)));
	return str_eq(a, b);
}

static struct str_map map_of(struct run *r, struct packument p, uint32_t v, enum packument_map which)
{
	uint32_t n = packument_map_n(p, v, which);
	struct str_map m = { .p = n ? arena_new(&r->arena, struct str_kv, n) : NULL };
	for (uint32_t i = 0; i < n; i++) {
		str k, s;
		packument_map_at(p, v, which, i, &k, &s);
		if (which != PACKUMENT_ENGINES || !str_eq(s, STR("*")))
			m.p[m.n++] = (struct str_kv){ k, s };
	}
	return m;
}

/* Whether P needs nobody for its peer NAME: it is itself, or an optional dependency of its own. */
static bool needs_none(const struct pkg *p, atom name)
{
	const struct deps *d = &p->deps;

	if (name == p->peer_name)
		return true;
	return kv_find(d->opt, d->nopt, name) != NULL;
}

/* All that the manifest declares, also what its own dependencies provide, but not itself nor
 * what its optional ones do. */
static void peers_of(struct run *r, struct lock_package *m, const struct pkg *p)
{
	const struct deps *d = &p->deps;
	m->peer_dependencies =
		(struct str_map){ .p = arena_new(&r->arena, struct str_kv, d->npeer + d->npeer_optional + 1) };
	m->peer_optional = (struct str_list){ .p = arena_new(&r->arena, str, d->npeer_optional + 1) };
	for (uint32_t i = 0; i < d->npeer; i++)
		if (!needs_none(p, d->peer[i].k))
			m->peer_dependencies.p[m->peer_dependencies.n++] =
				(struct str_kv){ sof(r, d->peer[i].k), sof(r, d->peer[i].v) };
	for (uint32_t i = 0; i < d->npeer_optional; i++) {
		if (needs_none(p, d->peer_optional[i]))
			continue;
		str name = sof(r, d->peer_optional[i]);
		if (!str_map_get(m->peer_dependencies, name))
			m->peer_dependencies.p[m->peer_dependencies.n++] = (struct str_kv){ name, STR("*") };
		if (!str_list_has(m->peer_optional, name))
			m->peer_optional.p[m->peer_optional.n++] = name;
	}
}

static void meta_of_registry(struct run *r, struct frame_package *f, const struct pkg *p)
{
	struct lock_package *m = &f->meta;
	str tarball = packument_tarball(p->pm, p->pv, &r->arena), name = packument_name(p->pm);
	if (tarball.n && r->io->tarball_url)
		tarball = r->io->tarball_url(r->io->ctx, p->registry, name, tarball, &r->arena);
	str usual = settings_tarball_url(r->set, name, sof(r, p->version), &r->arena);
	f->url = tarball.n ? tarball : usual;
	f->unpacked_size = packument_unpacked_size(p->pm, p->pv);
	f->file_count = packument_file_count(p->pm, p->pv);
	f->has_install_script = packument_has_install_script(p->pm, p->pv);
	m->resolution.integrity = packument_integrity(p->pm, p->pv);
	if (!m->resolution.integrity.n || r->set->lockfile_include_tarball_url ||
		(tarball.n && !same_url(r, usual, tarball))) {
		m->resolution.kind = LOCK_RES_TARBALL;
		m->resolution.tarball = f->url;
	}
	m->engines = map_of(r, p->pm, p->pv, PACKUMENT_ENGINES);
	m->os = package_list(r, p, PACKUMENT_OS);
	m->cpu = package_list(r, p, PACKUMENT_CPU);
	m->libc = package_list(r, p, PACKUMENT_LIBC);
	m->libc_scalar = packument_libc_scalar(p->pm, p->pv);
	m->deprecated = packument_deprecated(p->pm, p->pv);
	m->has_bin = packument_has_bin(p->pm, p->pv);
	m->bundle_all = packument_bundle_all(p->pm, p->pv);
	m->bundled = package_list(r, p, PACKUMENT_BUNDLED);
}

static void meta_of_manifest(struct run *r, struct frame_package *f, const struct pkg *p)
{
	struct lock_package *m = &f->meta;
	const struct manifest *x = p->manifest;
	if (p->kind == PKG_DIRECTORY) {
		m->resolution.kind = LOCK_RES_DIRECTORY;
		m->resolution.directory = sof(r, p->directory);
	} else {
		bool remote = str_starts(sof(r, p->directory), STR("http"));
		m->resolution.kind = LOCK_RES_TARBALL;
		m->resolution.integrity = p->integrity;
		m->resolution.tarball =
			remote ? sof(r, p->directory) : arena_printf(&r->arena, "file:" STR_FMT, SA(r, p->directory));
		m->version = x->version.n ? x->version : STR("0.0.0"); /* as pnpm has it */
		f->url = m->resolution.tarball;
	}
	m->engines.p = arena_new(&r->arena, struct str_kv, x->engines.n + 1);
	for (size_t i = 0; i < x->engines.n; i++)
		if (!str_eq(x->engines.p[i].v, STR("*")))
			m->engines.p[m->engines.n++] = x->engines.p[i];
	m->os = x->os;
	m->cpu = x->cpu;
	m->libc = x->libc;
	m->libc_scalar = x->libc_scalar;
	m->deprecated = x->deprecated;
	m->has_bin = x->bin.n || x->directories_bin.n;
	m->bundle_all = x->bundle_all;
	m->bundled = x->bundled;
}

/* What of a package that is taken over is written again: fields of other versions of pnpm are not. */
static struct lock_package known_meta(const struct lock_package *p)
{
	struct lock_package m = *p;
	m.extra = (struct str_map){ 0 };
	m.id = m.name = STR_NONE;
	m.prepare = m.requires_build = false;
	return m;
}

static bool same_resolution(const struct lock_resolution *a, const struct lock_resolution *b)
{
	return a->kind == b->kind && str_eq(a->integrity, b->integrity) && str_eq(a->tarball, b->tarball);
}

static void package_frame(struct run *r, struct frame_package *f, const struct pkg *p)
{
	str name, version, suffix;
	dep_path_split(sof(r, p->key), &name, &version, &suffix);
	if (p->kind == PKG_REGISTRY) {
		meta_of_registry(r, f, p);
	} else if (p->kind == PKG_LOCKED) {
		str usual = settings_tarball_url(r->set, name, version, &r->arena);
		f->meta = known_meta(p->locked);
		struct lock_resolution *res = &f->meta.resolution;
		f->url = res->tarball.n && str_starts(res->tarball, STR("http")) ? res->tarball : usual;
		/* a URL that lockfileIncludeTarballUrl put there goes with that */
		if (!r->set->lockfile_include_tarball_url && res->kind == LOCK_RES_TARBALL && res->integrity.n &&
			!res->git_hosted && same_url(r, usual, res->tarball)) {
			res->kind = LOCK_RES_REGISTRY;
			res->tarball = STR_NONE;
		}
	} else if (p->locked) {
		f->meta = known_meta(p->locked); /* a URL that was not read again */
		f->url = f->meta.resolution.tarball;
	} else {
		meta_of_manifest(r, f, p);
	}
	f->meta.key = sof(r, p->key);
	f->name = sof(r, p->name);
	f->version = p->manifest_version ? sof(r, p->manifest_version) : version;
	peers_of(r, &f->meta, p);
	const struct lock_package *old = r->req->lockfile ? lockfile_package(r->req->lockfile, f->meta.key) : NULL;
	if (old && !f->meta.deprecated.n && same_resolution(&old->resolution, &f->meta.resolution))
		f->meta.deprecated = old->deprecated;
}

struct lock_package plan_row(struct run *r, const struct pkg *p)
{
	struct frame_package f = { 0 };

	package_frame(r, &f, p);
	return f.meta;
}

/* Where it is kept which PACKAGE frame P has. */
static uint32_t *frame_of(struct run *r, const struct pkg *p)
{
	r->frame_of = by_atom(r->frame_of, &r->nframe_of, p->id, sizeof(*r->frame_of));
	return &r->frame_of[p->id];
}

static int send_package(struct run *r, struct frame *f, const struct pkg *p, bool skip, struct err *e)
{
	*f = (struct frame){ .kind = FRAME_PACKAGE };
	f->package.id = r->npackage_frames++;
	f->package.skip = skip;
	*frame_of(r, p) = r->npackage_frames;
	package_frame(r, &f->package, p);
	return send(r, f, e);
}

int plan_hello(struct run *r, struct err *e)
{
	struct frame f = { .kind = FRAME_HELLO, .hello = { .protocol = PLAN_PROTOCOL, .server = STR("direct") } };
	if (r->hello_sent)
		return 0;
	r->hello_sent = true;
	settings_digest(f.hello.settings_digest, r->set);
	return send(r, &f, e);
}

int plan_early(struct run *r, struct err *e)
{
	const struct request *q = r->req;
	if (!r->io->early || q->mode == REQUEST_LOCKFILE_ONLY || !q->prod || !q->dev)
		return 0;
	for (; r->early_at < r->pkg.n; r->early_at++) {
		struct pkg *p = pkg_at(r, r->early_at);
		struct frame f;
		/* what only optional dependencies ask for may be skipped on this platform */
		if (p->kind != PKG_REGISTRY || p->optional || *frame_of(r, p))
			continue;
		int rc = plan_hello(r, e);
		if (!rc)
			rc = send_package(r, &f, p, false, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int emit_packages(struct emit *x, const uint32_t *order, uint32_t n, struct err *e)
{
	struct run *r = x->r;
	bool *wanted = xcalloc(r->pkg.n + 1, sizeof(*wanted)), *done = xcalloc(r->pkg.n + 1, sizeof(*done));
	int rc = 0;
	x->lf.package = arena_new(&r->arena, struct lock_package, n + 1);
	for (uint32_t i = 0; i < n; i++)
		if (x->g->node.p[order[i]].reached)
			wanted[x->g->node.p[order[i]].pkg] = true;
	for (int pass = 0; pass < 2 && !rc; pass++)
		for (uint32_t i = 0; i < n && !rc; i++) {
			uint32_t pkg = x->g->node.p[order[i]].pkg;
			struct pkg *p = pkg_at(r, pkg);
			struct frame f = { .kind = FRAME_PACKAGE };
			if (done[pkg] || wanted[pkg] != (pass == 0))
				continue;
			done[pkg] = true;
			if (*frame_of(r, p))
				package_frame(r, &f.package, p);
			else
				rc = send_package(r, &f, p, pass == 1, e);
			x->lf.package[x->lf.npackages++] = f.package.meta;
		}
	free(wanted);
	free(done);
	return rc;
}

/* --- slots --- */

static str ref_of(struct run *r, struct graph *g, atom alias, const struct gedge *edge)
{
	if (edge->dp == NONE)
		return arena_printf(&r->arena, "link:" STR_FMT, SA(r, edge->link));
	return dep_path_to_ref(deppath_text(g->paths, edge->dp), sof(r, alias));
}

static struct lock_snapshot snapshot_of(struct run *r, struct graph *g, const struct gnode *n)
{
	struct lock_snapshot s = { .key = deppath_text(g->paths, n->dp), .optional = n->only_optional };
	struct lock_dep *p = arena_new(&r->arena, struct lock_dep, 2 * (size_t)n->nedge + 1);
	s.dependencies.p = p;
	s.optional_dependencies.p = p + n->nedge;
	for (uint32_t i = 0; i < n->nedge; i++) {
		struct lock_deps *d = n->edge[i].optional ? &s.optional_dependencies : &s.dependencies;
		d->p[d->n++] =
			(struct lock_dep){ sof(r, n->edge[i].alias), ref_of(r, g, n->edge[i].alias, &n->edge[i]) };
	}
	s.transitive_peers.p = arena_new(&r->arena, str, n->transitive->n + 1);
	for (uint32_t i = 0; i < n->transitive->n; i++)
		s.transitive_peers.p[s.transitive_peers.n++] = sof(r, n->transitive->v[i]);
	qsort(s.transitive_peers.p, s.transitive_peers.n, sizeof(str), strs_order);
	return s;
}

static int emit_slots(struct emit *x, const uint32_t *order, uint32_t n, struct err *e)
{
	struct run *r = x->r;
	x->lf.snapshot = arena_new(&r->arena, struct lock_snapshot, n + 1);
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < n; i++) {
			const struct gnode *q = &x->g->node.p[order[i]];
			if (q->reached != (pass == 0))
				continue;
			struct frame f = { .kind = FRAME_SLOT };
			f.slot.id = (uint32_t)x->lf.nsnapshots;
			f.slot.package = *frame_of(r, pkg_at(r, q->pkg)) - 1;
			f.slot.skip = pass == 1;
			f.slot.snap = snapshot_of(r, x->g, q);
			x->lf.snapshot[x->lf.nsnapshots++] = f.slot.snap;
			int rc = send(r, &f, e);
			if (rc)
				return rc;
		}
	return 0;
}

/* --- importers --- */

static str direct_ref(struct run *r, struct graph *g, const struct importer *imp, const struct gdirect *d)
{
	if (d->dp == NONE) {
		str to = path_relative(&r->arena, imp->req->path, sof(r, d->link));
		if (!to.n && pkg_at(r, d->pkg)->kind == PKG_DIRECTORY)
			to = STR("."); /* an injected copy of itself; one that is linked is "link:" */
		return arena_printf(&r->arena, "link:" STR_FMT, STR_ARG(to));
	}
	return dep_path_to_ref(deppath_text(g->paths, d->dp), sof(r, d->alias));
}

/* Whether ALIAS is asked for with "workspace:", directly or in a catalog. */
static bool of_workspace(struct run *r, const struct importer *imp, atom alias, str spec)
{
	const struct catalog_user u = { imp->req->path, &r->arena };
	struct err ignored;
	str meant = spec;
	return str_starts(spec, STR("workspace:")) ||
	       (!catalog_resolve(r->set, &meant, sof(r, alias), spec, &u, &ignored) &&
		       str_starts(meant, STR("workspace:")));
}

static struct lock_importer importer_of(struct run *r, struct graph *g, uint32_t at)
{
	const struct importer *imp = &r->importer[at];
	const struct manifest *m = &imp->req->manifest;
	struct lock_importer out = { .path = imp->req->path,
		.publish_directory = m->publish_directory,
		.publish_unlinked = m->publish_directory.n && !m->publish_link_directory };
	for (int t = 0; t < LOCK_NTYPES; t++)
		out.deps[t].p = arena_new(&r->arena, struct lock_direct, g->direct[at].n + 1);
	for (uint32_t i = 0; i < g->direct[at].n; i++) {
		const struct gdirect *d = &g->direct[at].p[i];
		enum lock_dep_type type;
		const struct kv *k = importer_declares(r, imp, d->alias, &type);
		if (!k)
			continue;
		str spec = sof(r, k->v);
		if (d->dp == NONE && r->set->exclude_links_from_lockfile && !of_workspace(r, imp, d->alias, spec))
			continue;
		out.deps[type].p[out.deps[type].n++] =
			(struct lock_direct){ sof(r, d->alias), spec, direct_ref(r, g, imp, d) };
	}
	if (m->meta_text.n) {
		out.extra = (struct str_map){ arena_new(&r->arena, struct str_kv, 1), 1 };
		out.extra.p[0] = (struct str_kv){ STR(DEPENDENCIES_META_KEY), m->meta_text };
		return out;
	}
	struct str_list *meta[] = {
		[META_EMPTY] = &out.meta_empty, [META_INJECTED] = &out.injected, [META_NOT_INJECTED] = &out.not_injected
	};
	for (size_t k = 0; k < 3; k++)
		meta[k]->p = arena_new(&r->arena, str, m->ndependencies_meta + 1);
	for (size_t i = 0; i < m->ndependencies_meta; i++) {
		struct str_list *l = meta[m->dependencies_meta[i].injected];
		l->p[l->n++] = m->dependencies_meta[i].alias;
	}
	return out;
}

static int emit_importers(struct emit *x, struct err *e)
{
	struct run *r = x->r;
	x->lf.importer = arena_new(&r->arena, struct lock_importer, r->nimporter + 1);
	for (uint32_t i = 0; i < r->nimporter; i++) {
		struct frame f = { .kind = FRAME_IMPORTER };
		f.importer.importer = importer_of(r, x->g, i);
		x->lf.importer[x->lf.nimporters++] = f.importer.importer;
		int rc = send(r, &f, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- the rest of the lockfile --- */

static bool catalog_noted(const struct lock_head *h, str catalog, str alias)
{
	bool noted = false;
	for (size_t i = 0; i < h->ncatalog && !noted; i++)
		noted = str_eq(h->catalog[i].catalog, catalog) && str_eq(h->catalog[i].alias, alias);
	return noted;
}

/* The entry of a catalog that D goes by, where it does and the entry is not there yet. */
static void catalog_note(struct run *r, struct lock_head *h, const struct lock_direct *d)
{
	str catalog = catalog_name(d->specifier), spec, name, version, suffix;
	const struct catalog_user u = { STR("."), &r->arena };
	struct err ignored;
	if (!catalog.n || catalog_resolve(r->set, &spec, d->alias, d->specifier, &u, &ignored) ||
		catalog_noted(h, catalog, d->alias))
		return;
	bool local = catalog_local(spec);
	if (local)
		spec = *catalog_entry(r->set, d->alias, catalog);
	str dp = dep_path_from_ref(d->alias, d->ref, &r->arena);
	/* a folder has no version here, whatever the entry is. Source: pnpm 12.21's behaviour */
	if (local || !dp.n)
		version = spec;
	else
		dep_path_split(dp, &name, &version, &suffix);
	*arena_add(&r->arena, h->catalog, h->ncatalog) =
		(struct lock_catalog_entry){ catalog, d->alias, spec, version };
}

static void catalogs_of(struct emit *x, struct lock_head *h)
{
	for (size_t i = 0; i < x->lf.nimporters; i++)
		for (struct lock_walk at = lock_walk(&x->lf.importer[i]); lock_next(&at);)
			catalog_note(x->r, h, at.d);
}

static str iso_time(struct run *r, struct packument p, uint32_t v)
{
	str text = packument_time_text(p, v);
	int64_t ms = packument_time(p, v);
	if (text.n || !ms)
		return text;
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&t, &tm);
	return arena_printf(&r->arena, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

/* When a package that was taken over from the lockfile was published: time-based resolution has asked for
 * all direct dependencies. */
static str locked_time(struct run *r, const struct pkg *p)
{
	struct packument pm;
	const struct err *why;
	if (p->kind != PKG_LOCKED || !p->version || metas_get(r->metas, p->name, true, &pm, &why) != META_HERE)
		return STR_NONE;
	uint32_t v = packument_find(pm, sof(r, p->version));
	return v < packument_nversions(pm) ? iso_time(r, pm, v) : STR_NONE;
}

/* When P was published, for the lockfile: what this run knows of it, where it is to be asked, else WAS. */
static str time_of(struct run *r, const struct pkg *p, const str *was)
{
	bool timed = r->time_based && atomset_has(r->timed, p->key);
	if (timed && p->kind == PKG_REGISTRY && p->published)
		return iso_time(r, p->pm, p->pv);
	if (was)
		return *was;
	return timed ? locked_time(r, p) : STR_NONE;
}

static void time_note(struct run *r, struct lock_head *h, const struct lock_head *old, const struct importer *imp,
	const struct gdirect *d)
{
	const struct pkg *p = pkg_at(r, d->pkg);
	str key = sof(r, p->key);
	enum lock_dep_type type;
	if (d->dp == NONE || !importer_declares(r, imp, d->alias, &type) || str_map_get(h->time, key))
		return;
	str at = time_of(r, p, old ? str_map_get(old->time, key) : NULL);
	if (at.n)
		h->time.p[h->time.n++] = (struct str_kv){ key, at };
}

/* Publish times of direct dependencies: of those that would be chosen without the lockfile's pins what this run knows,
 * else what was recorded. Where every recorded one is gone the section stays, empty; one that was empty before goes.
 * Source: pnpm 12.21's behaviour. */
static void times_of(struct emit *x, struct lock_head *h)
{
	struct run *r = x->r;
	size_t total = 0;
	const struct lock_head *old = r->req->lockfile ? &r->req->lockfile->head : NULL;
	if (!r->time_based && !(old && old->time.n))
		return;
	for (uint32_t i = 0; i < r->nimporter; i++)
		total += x->g->direct[i].n;
	h->time.p = arena_new(&r->arena, struct str_kv, total + 1);
	h->has_time = old && old->time.n;
	for (uint32_t i = 0; i < r->nimporter; i++)
		for (uint32_t k = 0; k < x->g->direct[i].n; k++)
			time_note(r, h, old, &r->importer[i], &x->g->direct[i].p[k]);
}

static int emit_head(struct emit *x, struct err *e)
{
	struct run *r = x->r;
	const struct settings *s = r->set;
	struct frame f = { .kind = FRAME_LOCK_HEAD };
	struct lock_head *h = &f.lock_head;
	h->auto_install_peers = s->auto_install_peers;
	h->exclude_links_from_lockfile = s->exclude_links_from_lockfile;
	h->dedupe_peers = s->dedupe_peers;
	h->inject_workspace_packages = s->inject_workspace_packages;
	h->peers_suffix_max_length = lock_suffix_of(s->peers_suffix_max_length);
	h->overrides = overrides_resolved(r);
	h->package_extensions_checksum = s->package_extensions_checksum;
	h->ignored_optional = s->ignored_optional;
	h->patched.p = arena_new(&r->arena, struct str_kv, s->npatch + 1);
	for (size_t i = 0; i < s->npatch; i++)
		h->patched.p[h->patched.n++] = (struct str_kv){ s->patch[i].selector, s->patch[i].hash };
	catalogs_of(x, h);
	times_of(x, h);
	x->lf.head = *h;
	return send(r, &f, e);
}

static int emit_warnings(struct run *r, struct err *e)
{
	for (size_t i = 0; i < r->warning.n; i++) {
		struct frame f = { .kind = FRAME_WARNING, .warning = r->warning.p[i] };
		int rc = send(r, &f, e);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < r->nyoung; i++) {
		struct frame f = { .kind = FRAME_WARNING, .warning = { .kind = WARN_AGE_EXCLUDED } };
		f.warning.package = sof(r, pkg_at(r, r->young[i])->key);
		f.warning.text = STR("nothing older than minimumReleaseAge satisfies what asks for it");
		int rc = send(r, &f, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int emit_done(struct emit *x, uint64_t started_us, uint64_t resolved_us, struct err *e)
{
	struct run *r = x->r;
	AUTO(buf_release) struct buf b = BUF_INIT;
	struct frame f = { .kind = FRAME_DONE };
	lockfile_sort(&x->lf);
	lockfile_versions(&x->lf);
	lockfile_print(&b, &x->lf);
	sha256(f.done.lockfile_digest, b.p, b.n);
	f.done.lockfile = buf_str(&b);
	f.done.packages = r->npackage_frames;
	f.done.slots = (uint32_t)x->lf.nsnapshots;
	metas_count(r->metas, &f.done);
	f.done.resolve_us = resolved_us - started_us;
	f.done.total_us = clock_us() - started_us;
	return send(r, &f, e);
}

int plan_emit(struct run *r, struct graph *g, uint64_t started_us, struct err *e)
{
	struct emit x = { .r = r, .g = g };
	uint32_t n;
	uint64_t resolved_us = clock_us();
	order_mark(r, g);
	uint32_t *order = order_nodes(r, g, &n);
	int rc = emit_packages(&x, order, n, e);
	if (!rc)
		rc = emit_slots(&x, order, n, e);
	if (!rc)
		rc = emit_warnings(r, e);
	if (!rc)
		rc = emit_importers(&x, e);
	if (!rc)
		rc = emit_head(&x, e);
	return rc ? rc : emit_done(&x, started_us, resolved_us, e);
}

int plan_fail(struct run *r, struct err *e)
{
	struct frame f = { .kind = FRAME_FAILURE };
	str msg = str_of(e->msg), head, tail;
	size_t at = str_find_str(msg, STR(": "), 0);
	head = at == SIZE_MAX ? STR_NONE : str_head(msg, at);
	f.failure.code = e->code;
	f.failure.text = msg;
	if (str_find_str(head, STR(" > "), 0) != SIZE_MAX) {
		f.failure.chain = head;
		f.failure.package = str_rcut(head, '>', &head, &tail) ? str_trim(tail) : head;
	}
	struct err sink_err;
	(void)r->sink(r->sink_ctx, &f, &sink_err);
	return e->code;
}
