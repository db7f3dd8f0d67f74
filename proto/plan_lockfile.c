#include "plan_lockfile.h"
#include "dep_path.h"
#include <stdlib.h>

struct plan_lockfile {
	struct arena a;
	struct lockfile lf;
	bool *used; /* by package: a slot is made of it */
	size_t nused;
	bool sorted; /* packages are no longer in the order of their frames */
};

struct plan_lockfile *plan_lockfile_new(void)
{
	struct plan_lockfile *pl = xcalloc(1, sizeof(*pl));

	pl->a = ARENA_INIT(256 * 1024);
	return pl;
}

void plan_lockfile_free(struct plan_lockfile *pl)
{
	if (!pl)
		return;
	arena_release(&pl->a);
	free(pl);
}

static str dup_str(struct arena *a, str s)
{
	return s.n ? arena_str(a, s) : s.p ? STR("") : STR_NONE;
}

static struct str_list dup_list(struct arena *a, struct str_list l)
{
	str *p = arena_new(a, str, l.n);

	for (size_t i = 0; i < l.n; i++)
		p[i] = dup_str(a, l.p[i]);
	return (struct str_list){ p, l.n };
}

static struct str_map dup_map(struct arena *a, struct str_map m)
{
	struct str_kv *p = arena_new(a, struct str_kv, m.n);

	for (size_t i = 0; i < m.n; i++)
		p[i] = (struct str_kv){ dup_str(a, m.p[i].k), dup_str(a, m.p[i].v) };
	return (struct str_map){ p, m.n };
}

static struct lock_resolution dup_resolution(struct arena *a, const struct lock_resolution *r)
{
	return (struct lock_resolution){ .kind = r->kind,
		.integrity = dup_str(a, r->integrity),
		.tarball = dup_str(a, r->tarball),
		.directory = dup_str(a, r->directory),
		.repo = dup_str(a, r->repo),
		.commit = dup_str(a, r->commit),
		.path = dup_str(a, r->path),
		.git_hosted = r->git_hosted,
		.raw = dup_str(a, r->raw) };
}

static struct lock_package dup_package(struct arena *a, const struct lock_package *p)
{
	struct lock_package q = *p; /* the flags; every slice is replaced below */

	q.key = dup_str(a, p->key);
	q.resolution = dup_resolution(a, &p->resolution);
	q.id = dup_str(a, p->id);
	q.name = dup_str(a, p->name);
	q.version = dup_str(a, p->version);
	q.engines = dup_map(a, p->engines);
	q.cpu = dup_list(a, p->cpu);
	q.os = dup_list(a, p->os);
	q.libc = dup_list(a, p->libc);
	q.deprecated = dup_str(a, p->deprecated);
	q.bundled = dup_list(a, p->bundled);
	q.peer_dependencies = dup_map(a, p->peer_dependencies);
	q.peer_optional = dup_list(a, p->peer_optional);
	q.extra = dup_map(a, p->extra);
	return q;
}

static struct lock_deps dup_deps(struct arena *a, struct lock_deps d)
{
	struct lock_dep *p = arena_new(a, struct lock_dep, d.n);

	for (size_t i = 0; i < d.n; i++)
		p[i] = (struct lock_dep){ dup_str(a, d.p[i].alias), dup_str(a, d.p[i].ref) };
	return (struct lock_deps){ p, d.n };
}

static struct lock_snapshot dup_snapshot(struct arena *a, const struct lock_snapshot *s)
{
	return (struct lock_snapshot){ .key = dup_str(a, s->key),
		.dependencies = dup_deps(a, s->dependencies),
		.optional_dependencies = dup_deps(a, s->optional_dependencies),
		.transitive_peers = dup_list(a, s->transitive_peers),
		.optional = s->optional,
		.extra = dup_map(a, s->extra) };
}

static struct lock_importer dup_importer(struct arena *a, const struct lock_importer *im)
{
	struct lock_importer q = { .path = dup_str(a, im->path),
		.injected = dup_list(a, im->injected),
		.not_injected = dup_list(a, im->not_injected),
		.meta_empty = dup_list(a, im->meta_empty),
		.publish_directory = dup_str(a, im->publish_directory),
		.publish_unlinked = im->publish_unlinked,
		.extra = dup_map(a, im->extra) };

	for (size_t t = 0; t < LOCK_NTYPES; t++) {
		struct lock_directs d = im->deps[t];
		q.deps[t].p = arena_new(a, struct lock_direct, d.n);
		q.deps[t].n = d.n;
		for (size_t i = 0; i < d.n; i++)
			q.deps[t].p[i] = (struct lock_direct){ dup_str(a, d.p[i].alias), dup_str(a, d.p[i].specifier),
				dup_str(a, d.p[i].ref) };
	}
	return q;
}

static struct lock_head dup_head(struct arena *a, const struct lock_head *h)
{
	struct lock_head q = *h; /* the flags; every slice is replaced below */

	q.catalog = arena_new(a, struct lock_catalog_entry, h->ncatalog);
	for (size_t i = 0; i < h->ncatalog; i++)
		q.catalog[i] =
			(struct lock_catalog_entry){ dup_str(a, h->catalog[i].catalog), dup_str(a, h->catalog[i].alias),
				dup_str(a, h->catalog[i].specifier), dup_str(a, h->catalog[i].version) };
	q.overrides = dup_map(a, h->overrides);
	q.package_extensions_checksum = dup_str(a, h->package_extensions_checksum);
	q.pnpmfile_checksum = dup_str(a, h->pnpmfile_checksum);
	q.patched = dup_map(a, h->patched);
	q.ignored_optional = dup_list(a, h->ignored_optional);
	q.time = dup_map(a, h->time);
	q.extra = dup_map(a, h->extra);
	q.settings_extra = dup_map(a, h->settings_extra);
	return q;
}

/* Leaves out what was withdrawn: packages that no slot is made of. */
static void drop_withdrawn(struct plan_lockfile *pl)
{
	size_t n = 0;

	for (size_t i = 0; i < pl->lf.npackages; i++) {
		if (pl->used[i])
			pl->lf.package[n++] = pl->lf.package[i];
	}
	pl->lf.npackages = n;
}

void plan_lockfile_add(struct plan_lockfile *pl, const struct frame *f)
{
	switch (f->kind) {
	case FRAME_PACKAGE:
		*arena_add(&pl->a, pl->lf.package, pl->lf.npackages) = dup_package(&pl->a, &f->package.meta);
		*arena_add(&pl->a, pl->used, pl->nused) = false;
		break;
	case FRAME_SLOT:
		*arena_add(&pl->a, pl->lf.snapshot, pl->lf.nsnapshots) = dup_snapshot(&pl->a, &f->slot.snap);
		if (f->slot.package < pl->nused)
			pl->used[f->slot.package] = true;
		break;
	case FRAME_IMPORTER:
		*arena_add(&pl->a, pl->lf.importer, pl->lf.nimporters) = dup_importer(&pl->a, &f->importer.importer);
		break;
	case FRAME_LOCK_HEAD:
		pl->lf.head = dup_head(&pl->a, &f->lock_head);
		break;
	case FRAME_HELLO:
	case FRAME_VERDICT:
	case FRAME_WARNING:
	case FRAME_PEER_ISSUE:
	case FRAME_DONE:
	case FRAME_FAILURE:
		break;
	}
}

void plan_lockfile_environment(struct plan_lockfile *pl, str document)
{
	pl->lf.env_document = arena_str(&pl->a, document);
}

const struct lockfile *plan_lockfile_get(struct plan_lockfile *pl)
{
	if (!pl->sorted)
		drop_withdrawn(pl);
	pl->sorted = true;
	lockfile_sort(&pl->lf);
	lockfile_versions(&pl->lf);
	return &pl->lf;
}
