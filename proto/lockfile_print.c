#include "lockfile.h"
#include "lockfile_order.h"
#include "yaml_put.h"
#include <stdlib.h>

/* ---- order ---- */

static int cmp_kv(const void *a, const void *b)
{
	return str_cmp(((const struct str_kv *)a)->k, ((const struct str_kv *)b)->k);
}

static int cmp_kv_entry(const void *a, const void *b)
{
	return lock_entry_cmp(((const struct str_kv *)a)->k, ((const struct str_kv *)b)->k);
}

static int cmp_str_entry(const void *a, const void *b)
{
	return lock_entry_cmp(*(const str *)a, *(const str *)b);
}

static int cmp_dep(const void *a, const void *b)
{
	return lock_entry_cmp(((const struct lock_dep *)a)->alias, ((const struct lock_dep *)b)->alias);
}

static int cmp_direct(const void *a, const void *b)
{
	return lock_importer_cmp(((const struct lock_direct *)a)->alias, ((const struct lock_direct *)b)->alias);
}

static int cmp_catalog(const void *pa, const void *pb)
{
	const struct lock_catalog_entry *a = pa, *b = pb;
	int d = str_cmp(a->catalog, b->catalog);

	return d ? d : str_cmp(a->alias, b->alias);
}

static void scratch_free(void **p)
{
	free(*p);
}

/* P itself where it is in order, else a sorted copy that *SCRATCH owns. */
static const void *in_order(
	const void *p, size_t n, size_t size, int (*cmp)(const void *, const void *), void **scratch)
{
	for (size_t i = 1; i < n; i++) {
		if (cmp((const char *)p + (i - 1) * size, (const char *)p + i * size) <= 0)
			continue;
		*scratch = xmalloc(n * size);
		memcpy(*scratch, p, n * size);
		qsort(*scratch, n, size, cmp);
		return *scratch;
	}
	return p;
}
#define SCRATCH void *scratch AUTO(scratch_free) = NULL
#define IN_ORDER(list, count, cmp) in_order((list), (count), sizeof(*(list)), (cmp), &scratch)

/* ---- lines ---- */

/* A new line and "key:". */
static void put_key(struct buf *b, unsigned level, str key)
{
	buf_addc(b, '\n');
	yaml_put_indent(b, level);
	buf_add(b, key);
	buf_addc(b, ':');
}

/* The same for a key that others chose. */
static bool put_name(struct buf *b, unsigned level, str key)
{
	buf_addc(b, '\n');
	yaml_put_indent(b, level);
	return yaml_put_key(b, key, level);
}

static void put_text(struct buf *b, unsigned level, str key, str value)
{
	put_key(b, level, key);
	buf_addc(b, ' ');
	yaml_put_scalar(b, value, level + 1, false, true);
}

static void put_member(struct buf *b, unsigned level, str key, str value)
{
	put_name(b, level, key);
	buf_addc(b, ' ');
	yaml_put_scalar(b, value, level + 1, false, true);
}

static void put_true(struct buf *b, unsigned level, str key, bool v)
{
	if (v) {
		put_key(b, level, key);
		buf_add(b, STR(" true"));
	}
}

static void put_map(struct buf *b, unsigned level, str key, struct str_map m, int (*cmp)(const void *, const void *))
{
	SCRATCH;

	if (!m.n)
		return;
	put_key(b, level, key);
	const struct str_kv *p = cmp ? IN_ORDER(m.p, m.n, cmp) : m.p;
	for (size_t i = 0; i < m.n; i++)
		put_member(b, level + 1, p[i].k, p[i].v);
}

static void put_list(struct buf *b, unsigned level, str key, struct str_list l)
{
	if (!l.n)
		return;
	put_key(b, level, key);
	for (size_t i = 0; i < l.n; i++) {
		buf_addc(b, '\n');
		yaml_put_indent(b, level + 1);
		buf_add(b, STR("- "));
		yaml_put_scalar(b, l.p[i], level + 2, false, true);
	}
}

static void put_flow_list(struct buf *b, unsigned level, str key, struct str_list l)
{
	if (!l.n)
		return;
	put_key(b, level, key);
	buf_add(b, STR(" ["));
	for (size_t i = 0; i < l.n; i++) {
		if (i)
			buf_add(b, STR(", "));
		yaml_put_scalar(b, l.p[i], level, false, false);
	}
	buf_addc(b, ']');
}

/* One member of a flow map; FIRST tells whether a comma is needed. An absent value is true. */
static void put_flow_member(struct buf *b, unsigned level, bool *first, str key, str value)
{
	if (!*first)
		buf_add(b, STR(", "));
	*first = false;
	yaml_put_scalar(b, key, level, true, false);
	buf_add(b, STR(": "));
	if (value.p)
		yaml_put_scalar(b, value, level, true, false);
	else
		buf_add(b, STR("true"));
}

/* The same for a key of ours, which needs no quotes. */
static void put_flow_field(struct buf *b, bool *first, str key, str value)
{
	if (!*first)
		buf_add(b, STR(", "));
	*first = false;
	buf_add(b, key);
	buf_add(b, STR(": "));
	yaml_put_scalar(b, value, 3, true, false);
}

/* Unknown keys that come before KEY (all that are left when it is absent). */
static void put_extra(struct buf *b, unsigned level, struct str_map extra, size_t *at, str key, yaml_key_cmp *cmp)
{
	for (; *at < extra.n && (!key.p || cmp(extra.p[*at].k, key) < 0); ++*at) {
		put_name(b, level, extra.p[*at].k);
		buf_add(b, extra.p[*at].v);
	}
}

/* ---- packages ---- */

static void put_resolution(struct buf *b, const struct lock_resolution *r)
{
	bool first = true;

	put_key(b, 2, STR("resolution"));
	if (r->kind == LOCK_RES_OTHER) {
		buf_add(b, r->raw);
		return;
	}
	buf_add(b, STR(" {"));
	if (r->commit.n)
		put_flow_field(b, &first, STR("commit"), r->commit);
	if (r->directory.n)
		put_flow_field(b, &first, STR("directory"), r->directory);
	if (r->git_hosted)
		put_flow_member(b, 3, &first, STR("gitHosted"), STR_NONE);
	if (r->integrity.n && r->kind != LOCK_RES_GIT)
		put_flow_field(b, &first, STR("integrity"), r->integrity);
	if (r->path.n)
		put_flow_field(b, &first, STR("path"), r->path);
	if (r->repo.n)
		put_flow_field(b, &first, STR("repo"), r->repo);
	if (r->tarball.n)
		put_flow_field(b, &first, STR("tarball"), r->tarball);
	if (r->kind == LOCK_RES_GIT)
		put_flow_field(b, &first, STR("type"), STR("git"));
	else if (r->kind == LOCK_RES_DIRECTORY)
		put_flow_field(b, &first, STR("type"), STR("directory"));
	buf_addc(b, '}');
}

static void put_engines(struct buf *b, struct str_map m)
{
	bool first = true;
	SCRATCH;

	if (!m.n)
		return;
	put_key(b, 2, STR("engines"));
	buf_add(b, STR(" {"));
	const struct str_kv *p = IN_ORDER(m.p, m.n, cmp_kv_entry);
	for (size_t i = 0; i < m.n; i++)
		put_flow_member(b, 3, &first, p[i].k, p[i].v);
	buf_addc(b, '}');
}

/* A map of one or two members whose name others chose; an absent value is true. After a "? key" the first one
 * stands on the line of the ":". */
static void put_named_map(struct buf *b, unsigned level, str name, const struct str_kv *m, size_t n)
{
	bool big = put_name(b, level, name), first = true;

	if (yaml_key_flows(name) || str_eq(name, STR("resolution"))) {
		buf_add(b, STR(" {"));
		for (size_t i = 0; i < n; i++)
			put_flow_member(b, level + 1, &first, m[i].k, m[i].v);
		buf_addc(b, '}');
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (big && i == 0) {
			buf_addc(b, ' ');
		} else {
			buf_add(b, yaml_key_spreads(name) ? STR("\n\n") : STR("\n"));
			yaml_put_indent(b, level + 1);
		}
		buf_add(b, m[i].k);
		buf_add(b, STR(": "));
		if (m[i].v.p)
			yaml_put_scalar(b, m[i].v, level + 2, false, true);
		else
			buf_add(b, STR("true"));
	}
}

static void put_peer_meta(struct buf *b, struct str_list names)
{
	SCRATCH;

	if (!names.n)
		return;
	put_key(b, 2, STR("peerDependenciesMeta"));
	const str *p = IN_ORDER(names.p, names.n, cmp_str_entry);
	for (size_t i = 0; i < names.n; i++)
		put_named_map(b, 3, p[i], &(struct str_kv){ STR("optional"), STR_NONE }, 1);
}

/* The fields from `engines` to `prepare`. */
static void put_package_meta(struct buf *b, const struct lock_package *p)
{
	if (p->id.n)
		put_text(b, 2, STR("id"), p->id);
	if (p->name.n)
		put_text(b, 2, STR("name"), p->name);
	if (p->version.n)
		put_text(b, 2, STR("version"), p->version);
	put_engines(b, p->engines);
	put_flow_list(b, 2, STR("cpu"), p->cpu);
	put_flow_list(b, 2, STR("os"), p->os);
	if (p->libc_scalar && p->libc.n == 1)
		put_text(b, 2, STR("libc"), p->libc.p[0]);
	else
		put_flow_list(b, 2, STR("libc"), p->libc);
	if (p->deprecated.n)
		put_text(b, 2, STR("deprecated"), p->deprecated);
	put_true(b, 2, STR("hasBin"), p->has_bin);
	put_true(b, 2, STR("prepare"), p->prepare);
	put_true(b, 2, STR("requiresBuild"), p->requires_build);
}

/* An entry's key on a line of its own after a blank one. Returns whether the first field goes on its line ("? key"). */
static bool put_entry_key(struct buf *b, str key)
{
	buf_addc(b, '\n');
	return put_name(b, 1, key);
}

/* After a "? key", the first field follows ": " on the same line: joins what was put from AT on. */
static void join_first(struct buf *b, size_t at)
{
	size_t skip = at;

	while (skip < b->n && (b->p[skip] == '\n' || b->p[skip] == ' '))
		skip++;
	if (b->n == at || b->p[at] != '\n')
		return;
	b->p[at] = ' ';
	memmove(b->p + at + 1, b->p + skip, b->n - skip);
	b->n -= skip - at - 1;
}

static void put_package(struct buf *b, const struct lock_package *p)
{
	bool big = put_entry_key(b, p->key);
	size_t at = b->n, x = 0;

	put_extra(b, 2, p->extra, &x, STR("resolution"), lock_entry_cmp);
	put_resolution(b, &p->resolution);
	put_package_meta(b, p);
	put_extra(b, 2, p->extra, &x, STR("peerDependencies"), lock_entry_cmp);
	put_map(b, 2, STR("peerDependencies"), p->peer_dependencies, cmp_kv_entry);
	put_peer_meta(b, p->peer_optional);
	put_extra(b, 2, p->extra, &x, STR("bundledDependencies"), lock_entry_cmp);
	if (p->bundle_all)
		put_true(b, 2, STR("bundledDependencies"), true);
	else
		put_list(b, 2, STR("bundledDependencies"), p->bundled);
	put_extra(b, 2, p->extra, &x, STR_NONE, lock_entry_cmp);
	if (big)
		join_first(b, at);
}

/* ---- snapshots ---- */

static void put_deps(struct buf *b, str key, struct lock_deps d)
{
	SCRATCH;

	if (!d.n)
		return;
	put_key(b, 2, key);
	const struct lock_dep *p = IN_ORDER(d.p, d.n, cmp_dep);
	for (size_t i = 0; i < d.n; i++)
		put_member(b, 3, p[i].alias, p[i].ref);
}

static void put_snapshot(struct buf *b, const struct lock_snapshot *s)
{
	bool big = put_entry_key(b, s->key);
	size_t at = b->n, x = 0;

	put_extra(b, 2, s->extra, &x, STR("dependencies"), lock_entry_cmp);
	put_deps(b, STR("dependencies"), s->dependencies);
	put_deps(b, STR("optionalDependencies"), s->optional_dependencies);
	put_list(b, 2, STR("transitivePeerDependencies"), s->transitive_peers);
	put_extra(b, 2, s->extra, &x, STR("optional"), lock_entry_cmp);
	put_true(b, 2, STR("optional"), s->optional);
	put_extra(b, 2, s->extra, &x, STR_NONE, lock_entry_cmp);
	if (b->n == at)
		buf_add(b, STR(" {}"));
	else if (big)
		join_first(b, at);
}

/* ---- importers ---- */

static str str_or_empty(str s)
{
	return s.p ? s : STR("");
}

static void put_directs(struct buf *b, str key, struct lock_directs d)
{
	SCRATCH;

	if (!d.n)
		return;
	put_key(b, 2, key);
	const struct lock_direct *p = IN_ORDER(d.p, d.n, cmp_direct);
	for (size_t i = 0; i < d.n; i++) {
		struct str_kv m[] = { { STR("specifier"), str_or_empty(p[i].specifier) },
			{ STR("version"), str_or_empty(p[i].ref) } };
		put_named_map(b, 3, p[i].alias, m, 2);
	}
}

struct meta_entry {
	str alias, injected; /* absent: {} */
};

static int cmp_meta(const void *a, const void *b)
{
	return lock_importer_cmp(((const struct meta_entry *)a)->alias, ((const struct meta_entry *)b)->alias);
}

static void put_dependencies_meta(struct buf *b, const struct lock_importer *im)
{
	const struct str_list list[] = { im->injected, im->not_injected, im->meta_empty };
	const str value[] = { STR("true"), STR("false"), STR_NONE };
	size_t n = 0, total = list[0].n + list[1].n + list[2].n;

	if (!total)
		return;
	void *scratch AUTO(scratch_free) = xmalloc(total * sizeof(struct meta_entry));
	struct meta_entry *m = scratch;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < list[k].n; i++)
			m[n++] = (struct meta_entry){ list[k].p[i], value[k] };
	qsort(m, n, sizeof(*m), cmp_meta);
	put_key(b, 2, STR("dependenciesMeta"));
	for (size_t i = 0; i < n; i++) {
		put_name(b, 3, m[i].alias);
		if (!m[i].injected.n)
			buf_add(b, STR(" {}"));
		else if (yaml_key_flows(m[i].alias) || str_eq(m[i].alias, STR("resolution")))
			buf_printf(b, " {injected: " STR_FMT "}", STR_ARG(m[i].injected));
		else
			buf_printf(b, "\n        injected: " STR_FMT, STR_ARG(m[i].injected));
	}
}

static void put_importer(struct buf *b, const struct lock_importer *im)
{
	bool big = put_entry_key(b, im->path);
	size_t at = b->n, x = 0;
	struct str_map extra = im->extra;

	put_extra(b, 2, extra, &x, STR("dependencies"), lock_importer_cmp);
	put_directs(b, STR("dependencies"), im->deps[LOCK_PROD]);
	put_extra(b, 2, extra, &x, STR("devDependencies"), lock_importer_cmp);
	put_dependencies_meta(b, im);
	put_directs(b, STR("devDependencies"), im->deps[LOCK_DEV]);
	if (im->publish_unlinked) {
		put_extra(b, 2, extra, &x, STR("linkDirectory"), lock_importer_cmp);
		buf_add(b, STR("\n    linkDirectory: false"));
	}
	put_extra(b, 2, extra, &x, STR("optionalDependencies"), lock_importer_cmp);
	put_directs(b, STR("optionalDependencies"), im->deps[LOCK_OPTIONAL]);
	put_extra(b, 2, extra, &x, STR("publishDirectory"), lock_importer_cmp);
	if (im->publish_directory.n)
		put_text(b, 2, STR("publishDirectory"), im->publish_directory);
	put_extra(b, 2, extra, &x, STR_NONE, lock_importer_cmp);
	if (b->n == at)
		buf_add(b, STR(" {}"));
	else if (big)
		join_first(b, at);
}

/* ---- the file ---- */

/* A root entry's key: after a blank line. */
static void put_root(struct buf *b)
{
	buf_addc(b, '\n');
}

static void put_setting(struct buf *b, str key, bool v)
{
	put_key(b, 1, key);
	buf_add(b, v ? STR(" true") : STR(" false"));
}

static void put_settings(struct buf *b, const struct lock_head *h)
{
	put_root(b);
	put_key(b, 0, STR("settings"));
	put_setting(b, STR("autoInstallPeers"), h->auto_install_peers);
	if (h->dedupe_peers || h->dedupe_peers_off)
		put_setting(b, STR("dedupePeers"), h->dedupe_peers);
	put_setting(b, STR("excludeLinksFromLockfile"), h->exclude_links_from_lockfile);
	put_true(b, 1, STR("injectWorkspacePackages"), h->inject_workspace_packages);
	if (h->peers_suffix_max_length) {
		put_key(b, 1, STR("peersSuffixMaxLength"));
		buf_printf(b, " %u", lock_suffix_max(h));
	}
	for (size_t i = 0; i < h->settings_extra.n; i++) {
		put_name(b, 1, h->settings_extra.p[i].k);
		buf_add(b, h->settings_extra.p[i].v);
	}
}

static void put_catalogs(struct buf *b, const struct lock_head *h)
{
	SCRATCH;

	if (!h->ncatalog)
		return;
	put_root(b);
	put_key(b, 0, STR("catalogs"));
	const struct lock_catalog_entry *p = IN_ORDER(h->catalog, h->ncatalog, cmp_catalog);
	for (size_t i = 0; i < h->ncatalog; i++) {
		bool fresh = i == 0 || !str_eq(p[i].catalog, p[i - 1].catalog);
		size_t at = 0;
		if (fresh && put_name(b, 1, p[i].catalog))
			at = b->n;
		struct str_kv m[] = { { STR("specifier"), str_or_empty(p[i].specifier) },
			{ STR("version"), str_or_empty(p[i].version) } };
		put_named_map(b, 2, p[i].alias, m, 2);
		if (at)
			join_first(b, at);
	}
}

static void put_checksum(struct buf *b, str key, str value)
{
	if (value.n) {
		put_root(b);
		put_text(b, 0, key, value);
	}
}

static void put_head(struct buf *b, const struct lock_head *h)
{
	buf_add(b, STR("lockfileVersion: '9.0'"));
	if (!h->no_settings)
		put_settings(b, h);
	put_catalogs(b, h);
	if (h->overrides.n) {
		put_root(b);
		put_map(b, 0, STR("overrides"), h->overrides, NULL);
	}
	put_checksum(b, STR("packageExtensionsChecksum"), h->package_extensions_checksum);
	put_checksum(b, STR("pnpmfileChecksum"), h->pnpmfile_checksum);
	if (h->patched.n) {
		put_root(b);
		put_map(b, 0, STR("patchedDependencies"), h->patched, cmp_kv);
	}
}

static void put_importers(struct buf *b, const struct lockfile *lf)
{
	SCRATCH;

	if (!lf->nimporters)
		return;
	put_root(b);
	put_key(b, 0, STR("importers"));
	const struct lock_importer *p = IN_ORDER(lf->importer, lf->nimporters, lock_importer_order);
	for (size_t i = 0; i < lf->nimporters; i++)
		put_importer(b, &p[i]);
}

static void put_packages(struct buf *b, const struct lockfile *lf)
{
	SCRATCH;

	if (!lf->npackages)
		return;
	put_root(b);
	put_key(b, 0, STR("packages"));
	const struct lock_package *p = IN_ORDER(lf->package, lf->npackages, lock_package_order);
	for (size_t i = 0; i < lf->npackages; i++)
		put_package(b, &p[i]);
}

static void put_snapshots(struct buf *b, const struct lockfile *lf)
{
	SCRATCH;

	if (!lf->nsnapshots)
		return;
	put_root(b);
	put_key(b, 0, STR("snapshots"));
	const struct lock_snapshot *p = IN_ORDER(lf->snapshot, lf->nsnapshots, lock_snapshot_order);
	for (size_t i = 0; i < lf->nsnapshots; i++)
		put_snapshot(b, &p[i]);
}

/* Unknown root keys before KEY, each after a blank line. */
static void put_root_extra(struct buf *b, struct str_map extra, size_t *at, str key)
{
	for (; *at < extra.n && (!key.p || str_cmp(extra.p[*at].k, key) < 0); ++*at) {
		put_root(b);
		put_name(b, 0, extra.p[*at].k);
		buf_add(b, extra.p[*at].v);
	}
}

void lockfile_print(struct buf *b, const struct lockfile *lf)
{
	const struct lock_head *h = &lf->head;
	size_t x = 0;
	struct str_map extra = h->extra;

	buf_reserve(b, lf->npackages * 200 + lf->nsnapshots * 100 + lf->env_document.n + 1024);
	buf_add(b, lf->env_document);
	if (lf->absent)
		return;
	put_head(b, h);
	put_importers(b, lf);
	put_packages(b, lf);
	put_root_extra(b, extra, &x, STR("ignoredOptionalDependencies"));
	if (h->ignored_optional.n) {
		put_root(b);
		put_list(b, 0, STR("ignoredOptionalDependencies"), h->ignored_optional);
	}
	put_root_extra(b, extra, &x, STR("snapshots"));
	put_snapshots(b, lf);
	put_root_extra(b, extra, &x, STR("time"));
	if (h->time.n) {
		put_root(b);
		put_map(b, 0, STR("time"), h->time, cmp_kv);
	} else if (h->has_time) {
		put_root(b);
		put_key(b, 0, STR("time"));
		buf_add(b, STR(" {}"));
	}
	put_root_extra(b, extra, &x, STR_NONE);
	buf_addc(b, '\n');
}
