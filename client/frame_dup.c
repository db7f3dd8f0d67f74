/* frame_dup — deep copies of frames. */
#include "frames.h"

static str dup_str(str s, struct arena *a)
{
	return s.n ? arena_str(a, s) : s;
}

static struct str_list dup_list(struct str_list l, struct arena *a)
{
	struct str_list out = { .n = l.n };

	if (l.n)
		out.p = arena_new(a, str, l.n);
	for (size_t i = 0; i < l.n; i++)
		out.p[i] = dup_str(l.p[i], a);
	return out;
}

static struct str_map dup_map(struct str_map m, struct arena *a)
{
	struct str_map out = { .n = m.n };

	if (m.n)
		out.p = arena_new(a, struct str_kv, m.n);
	for (size_t i = 0; i < m.n; i++)
		out.p[i] = (struct str_kv){ dup_str(m.p[i].k, a), dup_str(m.p[i].v, a) };
	return out;
}

static struct lock_deps dup_deps(struct lock_deps d, struct arena *a)
{
	struct lock_deps out = { .n = d.n };

	if (d.n)
		out.p = arena_new(a, struct lock_dep, d.n);
	for (size_t i = 0; i < d.n; i++)
		out.p[i] = (struct lock_dep){ dup_str(d.p[i].alias, a), dup_str(d.p[i].ref, a) };
	return out;
}

static struct lock_directs dup_directs(struct lock_directs d, struct arena *a)
{
	struct lock_directs out = { .n = d.n };

	if (d.n)
		out.p = arena_new(a, struct lock_direct, d.n);
	for (size_t i = 0; i < d.n; i++)
		out.p[i] = (struct lock_direct){ dup_str(d.p[i].alias, a), dup_str(d.p[i].specifier, a),
			dup_str(d.p[i].ref, a) };
	return out;
}

static void dup_package(struct frame_package *f, struct arena *a)
{
	struct lock_package *p = &f->meta;
	struct lock_resolution *r = &p->resolution;

	f->name = dup_str(f->name, a);
	f->version = dup_str(f->version, a);
	f->url = dup_str(f->url, a);
	p->key = dup_str(p->key, a);
	r->integrity = dup_str(r->integrity, a);
	r->tarball = dup_str(r->tarball, a);
	r->directory = dup_str(r->directory, a);
	r->repo = dup_str(r->repo, a);
	r->commit = dup_str(r->commit, a);
	r->path = dup_str(r->path, a);
	r->raw = dup_str(r->raw, a);
	p->id = dup_str(p->id, a);
	p->name = dup_str(p->name, a);
	p->version = dup_str(p->version, a);
	p->engines = dup_map(p->engines, a);
	p->cpu = dup_list(p->cpu, a);
	p->os = dup_list(p->os, a);
	p->libc = dup_list(p->libc, a);
	p->deprecated = dup_str(p->deprecated, a);
	p->bundled = dup_list(p->bundled, a);
	p->peer_dependencies = dup_map(p->peer_dependencies, a);
	p->peer_optional = dup_list(p->peer_optional, a);
	p->extra = dup_map(p->extra, a);
}

static void dup_head(struct lock_head *h, struct arena *a)
{
	const struct lock_catalog_entry *from = h->catalog;

	if (h->ncatalog)
		h->catalog = arena_new(a, struct lock_catalog_entry, h->ncatalog);
	for (size_t i = 0; i < h->ncatalog; i++)
		h->catalog[i] = (struct lock_catalog_entry){ dup_str(from[i].catalog, a), dup_str(from[i].alias, a),
			dup_str(from[i].specifier, a), dup_str(from[i].version, a) };
	h->overrides = dup_map(h->overrides, a);
	h->package_extensions_checksum = dup_str(h->package_extensions_checksum, a);
	h->pnpmfile_checksum = dup_str(h->pnpmfile_checksum, a);
	h->patched = dup_map(h->patched, a);
	h->ignored_optional = dup_list(h->ignored_optional, a);
	h->time = dup_map(h->time, a);
	h->extra = dup_map(h->extra, a);
	h->settings_extra = dup_map(h->settings_extra, a);
}

struct frame frame_dup(const struct frame *from, struct arena *a)
{
	struct frame f = *from;

	switch (f.kind) {
	case FRAME_HELLO:
		f.hello.server = dup_str(f.hello.server, a);
		break;
	case FRAME_PACKAGE:
		dup_package(&f.package, a);
		break;
	case FRAME_SLOT:
		f.slot.snap.key = dup_str(f.slot.snap.key, a);
		f.slot.snap.dependencies = dup_deps(f.slot.snap.dependencies, a);
		f.slot.snap.optional_dependencies = dup_deps(f.slot.snap.optional_dependencies, a);
		f.slot.snap.transitive_peers = dup_list(f.slot.snap.transitive_peers, a);
		f.slot.snap.extra = dup_map(f.slot.snap.extra, a);
		break;
	case FRAME_IMPORTER:
		f.importer.importer.path = dup_str(f.importer.importer.path, a);
		for (int i = 0; i < LOCK_NTYPES; i++)
			f.importer.importer.deps[i] = dup_directs(f.importer.importer.deps[i], a);
		f.importer.importer.injected = dup_list(f.importer.importer.injected, a);
		f.importer.importer.not_injected = dup_list(f.importer.importer.not_injected, a);
		f.importer.importer.meta_empty = dup_list(f.importer.importer.meta_empty, a);
		f.importer.importer.extra = dup_map(f.importer.importer.extra, a);
		f.importer.importer.publish_directory = dup_str(f.importer.importer.publish_directory, a);
		break;
	case FRAME_VERDICT:
		f.verdict.text = dup_str(f.verdict.text, a);
		break;
	case FRAME_WARNING:
		f.warning.package = dup_str(f.warning.package, a);
		f.warning.text = dup_str(f.warning.text, a);
		break;
	case FRAME_PEER_ISSUE:
		f.peer_issue.importer = dup_str(f.peer_issue.importer, a);
		f.peer_issue.peer = dup_str(f.peer_issue.peer, a);
		f.peer_issue.wanted = dup_str(f.peer_issue.wanted, a);
		f.peer_issue.found = dup_str(f.peer_issue.found, a);
		f.peer_issue.by = dup_str(f.peer_issue.by, a);
		f.peer_issue.chain = dup_str(f.peer_issue.chain, a);
		break;
	case FRAME_LOCK_HEAD:
		dup_head(&f.lock_head, a);
		break;
	case FRAME_DONE:
		break;
	case FRAME_FAILURE:
		f.failure.package = dup_str(f.failure.package, a);
		f.failure.chain = dup_str(f.failure.chain, a);
		f.failure.text = dup_str(f.failure.text, a);
		break;
	}
	return f;
}
