#include "lockfile_dup.h"

static struct str_list dup_list(struct arena *a, struct str_list l)
{
	str *p = arena_new(a, str, l.n);

	for (size_t i = 0; i < l.n; i++)
		p[i] = str_dup(a, l.p[i]);
	return (struct str_list){ p, l.n };
}

static struct str_map dup_map(struct arena *a, struct str_map m)
{
	struct str_kv *p = arena_new(a, struct str_kv, m.n);

	for (size_t i = 0; i < m.n; i++)
		p[i] = (struct str_kv){ str_dup(a, m.p[i].k), str_dup(a, m.p[i].v) };
	return (struct str_map){ p, m.n };
}

static struct lock_resolution dup_resolution(struct arena *a, const struct lock_resolution *r)
{
	return (struct lock_resolution){ .kind = r->kind,
		.integrity = str_dup(a, r->integrity),
		.tarball = str_dup(a, r->tarball),
		.directory = str_dup(a, r->directory),
		.repo = str_dup(a, r->repo),
		.commit = str_dup(a, r->commit),
		.path = str_dup(a, r->path),
		.git_hosted = r->git_hosted,
		.raw = str_dup(a, r->raw) };
}

struct lock_package lock_package_dup(struct arena *a, const struct lock_package *p)
{
	struct lock_package q = *p; /* the flags; every slice is replaced below */

	q.key = str_dup(a, p->key);
	q.resolution = dup_resolution(a, &p->resolution);
	q.id = str_dup(a, p->id);
	q.name = str_dup(a, p->name);
	q.version = str_dup(a, p->version);
	q.engines = dup_map(a, p->engines);
	q.cpu = dup_list(a, p->cpu);
	q.os = dup_list(a, p->os);
	q.libc = dup_list(a, p->libc);
	q.deprecated = str_dup(a, p->deprecated);
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
		p[i] = (struct lock_dep){ str_dup(a, d.p[i].alias), str_dup(a, d.p[i].ref) };
	return (struct lock_deps){ p, d.n };
}

struct lock_snapshot lock_snapshot_dup(struct arena *a, const struct lock_snapshot *s)
{
	return (struct lock_snapshot){ .key = str_dup(a, s->key),
		.dependencies = dup_deps(a, s->dependencies),
		.optional_dependencies = dup_deps(a, s->optional_dependencies),
		.transitive_peers = dup_list(a, s->transitive_peers),
		.optional = s->optional,
		.extra = dup_map(a, s->extra) };
}

struct lock_importer lock_importer_dup(struct arena *a, const struct lock_importer *im)
{
	struct lock_importer q = { .path = str_dup(a, im->path),
		.injected = dup_list(a, im->injected),
		.not_injected = dup_list(a, im->not_injected),
		.meta_empty = dup_list(a, im->meta_empty),
		.publish_directory = str_dup(a, im->publish_directory),
		.publish_unlinked = im->publish_unlinked,
		.extra = dup_map(a, im->extra) };

	for (size_t t = 0; t < LOCK_NTYPES; t++) {
		struct lock_directs d = im->deps[t];
		q.deps[t].p = arena_new(a, struct lock_direct, d.n);
		q.deps[t].n = d.n;
		for (size_t i = 0; i < d.n; i++)
			q.deps[t].p[i] = (struct lock_direct){ str_dup(a, d.p[i].alias), str_dup(a, d.p[i].specifier),
				str_dup(a, d.p[i].ref) };
	}
	return q;
}

struct lock_head lock_head_dup(struct arena *a, const struct lock_head *h)
{
	struct lock_head q = *h; /* the flags; every slice is replaced below */

	q.catalog = arena_new(a, struct lock_catalog_entry, h->ncatalog);
	for (size_t i = 0; i < h->ncatalog; i++)
		q.catalog[i] =
			(struct lock_catalog_entry){ str_dup(a, h->catalog[i].catalog), str_dup(a, h->catalog[i].alias),
				str_dup(a, h->catalog[i].specifier), str_dup(a, h->catalog[i].version) };
	q.overrides = dup_map(a, h->overrides);
	q.package_extensions_checksum = str_dup(a, h->package_extensions_checksum);
	q.pnpmfile_checksum = str_dup(a, h->pnpmfile_checksum);
	q.patched = dup_map(a, h->patched);
	q.ignored_optional = dup_list(a, h->ignored_optional);
	q.time = dup_map(a, h->time);
	q.extra = dup_map(a, h->extra);
	q.settings_extra = dup_map(a, h->settings_extra);
	return q;
}
