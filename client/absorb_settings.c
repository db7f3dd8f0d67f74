#include "absorb_impl.h"
#include <stdlib.h>

#include "dep_path.h"
#include "match.h"
#include "patches.h"
#include "semver.h"

/* --- optional dependencies that are ignored now --- */

bool absorb_ignores(const struct absorb *b, str alias)
{
	return match_list(b->req->settings.ignored_optional, alias);
}

static bool excludes(str pattern)
{
	return str_starts(pattern, STR("!"));
}

static bool all_in(struct str_list some, struct str_list all)
{
	for (size_t i = 0; i < some.n; i++)
		if (!str_list_has(all, some.p[i]))
			return false;
	return true;
}

/* Whether patterns NOW, which have all that WAS has, ignore more than that and nothing less. */
static bool ignores_more(struct str_list was, struct str_list now)
{
	bool named = !was.n;

	for (size_t i = 0; i < was.n; i++)
		named = named || !excludes(was.p[i]);
	for (size_t i = 0; i < now.n; i++)
		if (excludes(now.p[i]) && !str_list_has(was, now.p[i]))
			return false;
	return named;
}

/* The setting as it is written down here: in order, each once. */
static struct str_list ignored_list(const struct absorb *b)
{
	struct str_list now = b->req->settings.ignored_optional, out = { arena_new(b->a, str, now.n + 1), 0 };

	for (size_t i = 0; i < now.n; i++)
		if (!str_list_has(out, now.p[i]))
			out.p[out.n++] = now.p[i];
	qsort(out.p, out.n, sizeof(*out.p), strs_order);
	return out;
}

bool ignored_absorb(struct absorb *b, struct lockfile *base)
{
	struct str_list was = base->head.ignored_optional, now = b->req->settings.ignored_optional;

	if (!all_in(was, now))
		return false;
	if (all_in(now, was))
		return true;
	if (!ignores_more(was, now))
		return false;
	b->out->head.ignored_optional = ignored_list(b);
	struct lock_snapshot *p = arena_new(b->a, struct lock_snapshot, base->nsnapshots + 1);
	for (size_t i = 0; i < base->nsnapshots; i++) {
		struct lock_deps *d = &p[i].optional_dependencies, had = base->snapshot[i].optional_dependencies;
		p[i] = base->snapshot[i];
		*d = (struct lock_deps){ arena_new(b->a, struct lock_dep, had.n + 1), 0 };
		for (size_t k = 0; k < had.n; k++)
			if (absorb_ignores(b, had.p[k].alias))
				sever(b, had.p[k].alias, had.p[k].ref);
			else
				d->p[d->n++] = had.p[k];
	}
	base->snapshot = p;
	return true;
}

/* --- settings --- */

static bool no_peers(const struct absorb *b)
{
	for (size_t i = 0; i < b->out->npackages; i++)
		if (has_peers(&b->out->package[i]))
			return false;
	for (size_t i = 0; i < b->out->nsnapshots; i++)
		if (!stands_alone(b, dep_path_package_key(b->out->snapshot[i].key)))
			return false;
	for (size_t i = 0; i < b->req->nimporters; i++)
		if (b->req->importer[i].manifest.peer_dependencies.n)
			return false;
	return true;
}

static bool leads_to_folder(struct lock_directs d)
{
	for (size_t i = 0; i < d.n; i++)
		if (str_starts(d.p[i].ref, STR("link:")) || str_starts(d.p[i].ref, STR("file:")))
			return true;
	return false;
}

/* No project depends on a folder or on another project, nor means to. */
static bool no_folders(const struct absorb *b)
{
	for (size_t i = 0; i < b->out->nimporters; i++)
		for (int g = 0; g < LOCK_NTYPES; g++)
			if (leads_to_folder(b->out->importer[i].deps[g]))
				return false;
	for (size_t i = 0; i < b->req->nimporters; i++) {
		const struct manifest *m = &b->req->importer[i].manifest;
		struct declared *d = arena_new(b->a, struct declared,
			m->dependencies.n + m->dev_dependencies.n + m->optional_dependencies.n + 1);
		for (size_t n = declared_of(d, m); n-- > 0;)
			if (names_folder(b, &d[n]))
				return false;
		for (size_t k = 0; k < m->ndependencies_meta; k++)
			if (m->dependencies_meta[k].injected == META_INJECTED)
				return false;
	}
	return true;
}

bool settings_absorb(struct absorb *b)
{
	const struct settings *s = &b->req->settings;
	struct lock_head *h = &b->out->head;
	bool said = !h->no_settings;
	bool peers = (said && h->auto_install_peers != s->auto_install_peers) || h->dedupe_peers != s->dedupe_peers ||
		     lock_suffix_max(h) != s->peers_suffix_max_length;
	bool folders = (said && h->exclude_links_from_lockfile != s->exclude_links_from_lockfile) ||
		       h->inject_workspace_packages != s->inject_workspace_packages;

	if (!peers && !folders)
		return true;
	h->no_settings = false;
	h->auto_install_peers = s->auto_install_peers;
	h->dedupe_peers = s->dedupe_peers;
	h->peers_suffix_max_length = lock_suffix_of(s->peers_suffix_max_length);
	h->exclude_links_from_lockfile = s->exclude_links_from_lockfile;
	h->inject_workspace_packages = s->inject_workspace_packages;
	return (!peers || no_peers(b)) && (!folders || no_folders(b));
}

/* --- patches --- */

static bool patches_same(const struct absorb *b)
{
	const struct settings *s = &b->req->settings;
	struct str_map had = b->lf->head.patched;

	for (size_t i = 0; i < s->npatch; i++) {
		const str *hash = str_map_get(had, s->patch[i].selector);
		if (!hash || !str_eq(*hash, s->patch[i].hash))
			return false;
	}
	return had.n == s->npatch;
}

/* The dep path S as the patches that there are now name it: *OUT. False where a resolver has to tell. */
static bool patched_key(const struct absorb *b, str *out, str s)
{
	const struct patch *p;
	struct err ignored;
	struct semver v;
	str name, version, suffix, segment = STR("(patch_hash=");

	dep_path_split(s, &name, &version, &suffix);
	if (patch_of(&p, &b->req->settings, name, version, b->a, &ignored) < 0)
		return false;
	bool was = str_starts(suffix, segment);
	*out = s;
	if (!p && !was)
		return true;
	if (!semver_parse(&v, version, false))
		return false;
	if (was)
		suffix = str_from(suffix, str_find(suffix, ')', 0) + 1);
	*out = p ? arena_printf(b->a, STR_FMT "@" STR_FMT STR_FMT STR_FMT ")" STR_FMT, STR_ARG(name), STR_ARG(version),
			   STR_ARG(segment), STR_ARG(p->hash), STR_ARG(suffix))
		 : arena_printf(b->a, STR_FMT "@" STR_FMT STR_FMT, STR_ARG(name), STR_ARG(version), STR_ARG(suffix));
	return true;
}

/* Whether the peers in KEY name no package whose patch changed; a hashed suffix doesn't tell. */
static bool peers_keep_patches(const struct absorb *b, str key)
{
	str name, version, suffix, peer;

	dep_path_split(key, &name, &version, &suffix);
	while (dep_path_peer(&peer, &suffix)) {
		if (str_find(peer, '@', 1) == SIZE_MAX || map_get(&b->repatched, peer) != MAP_NONE)
			return false;
	}
	return true;
}

static void ref_repatch(const struct absorb *b, str alias, str *ref)
{
	str path = dep_path_from_ref(alias, *ref, b->a), to;

	if (path.n && map_get(&b->repatched, dep_path_package_key(path)) != MAP_NONE && patched_key(b, &to, path))
		*ref = dep_path_to_ref(to, alias);
}

static struct lock_deps deps_repatch(const struct absorb *b, struct lock_deps d)
{
	struct lock_deps out = { arena_new(b->a, struct lock_dep, d.n + 1), d.n };

	for (size_t i = 0; i < d.n; i++) {
		out.p[i] = d.p[i];
		ref_repatch(b, out.p[i].alias, &out.p[i].ref);
	}
	return out;
}

bool patches_absorb(struct absorb *b)
{
	struct lockfile *out = b->out;
	const struct settings *s = &b->req->settings;
	struct lock_snapshot *p = arena_new(b->a, struct lock_snapshot, out->nsnapshots + 1);

	if (patches_same(b))
		return true;
	for (size_t i = 0; i < out->nsnapshots; i++) {
		p[i] = out->snapshot[i];
		if (!patched_key(b, &p[i].key, p[i].key))
			return false;
		if (!str_eq(p[i].key, out->snapshot[i].key))
			map_set(&b->repatched, dep_path_package_key(p[i].key), 1);
	}
	for (size_t i = 0; b->repatched.n && i < out->nsnapshots; i++) {
		if (!peers_keep_patches(b, p[i].key))
			return false;
		p[i].dependencies = deps_repatch(b, p[i].dependencies);
		p[i].optional_dependencies = deps_repatch(b, p[i].optional_dependencies);
	}
	for (size_t i = 0; i < out->nimporters; i++)
		for (int g = 0; g < LOCK_NTYPES; g++)
			for (size_t k = 0; k < out->importer[i].deps[g].n; k++)
				ref_repatch(b, out->importer[i].deps[g].p[k].alias, &out->importer[i].deps[g].p[k].ref);
	out->snapshot = p;
	out->head.patched = (struct str_map){ arena_new(b->a, struct str_kv, s->npatch + 1), s->npatch };
	for (size_t i = 0; i < s->npatch; i++)
		out->head.patched.p[i] = (struct str_kv){ s->patch[i].selector, s->patch[i].hash };
	lockfile_sort(out);
	return true;
}

bool patches_stay(const struct absorb *b)
{
	const struct settings *s = &b->req->settings;

	for (size_t i = 0; i < s->npatch && !s->allow_unused_patches; i++) {
		str segment = arena_printf(b->a, "(patch_hash=" STR_FMT ")", STR_ARG(s->patch[i].hash));
		bool used = false;
		for (size_t k = 0; k < i; k++)
			if (str_eq(s->patch[k].hash, s->patch[i].hash))
				return false;
		for (size_t k = 0; k < b->out->nsnapshots && !used; k++)
			used = str_find_str(b->out->snapshot[k].key, segment, 0) != SIZE_MAX;
		if (!used)
			return false;
	}
	return true;
}
