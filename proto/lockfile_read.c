#include "lockfile.h"
#include "lockfile_order.h"
#include "lockfile_text.h"
#include "yaml_put.h"

/* What the reading of one file shares. */
struct ctx {
	struct yaml_reader r;
	struct arena *a;    /* the model's */
	struct arena nodes; /* of the entry being read; rewound after each */
	struct lockfile *lf;
};

static int bad(struct ctx *c, const struct yaml_node *n, str where, const char *what)
{
	return err_set(c->r.e, ERR_PARSE, STR_FMT ":%u: " STR_FMT ": %s", STR_ARG(c->r.path), n->line,
		STR_ARG(str_head(where, 200)), what);
}

/* ---- small values ---- */

static int get_str(struct ctx *c, str *out, const struct yaml_node *n)
{
	if (!yaml_is_scalar(n))
		return bad(c, n, n->key, "expected a string");
	*out = n->s;
	return 0;
}

static int get_bool(struct ctx *c, bool *out, const struct yaml_node *n)
{
	return yaml_bool(n, out) ? 0 : bad(c, n, n->key, "expected true or false");
}

static int get_list(struct ctx *c, struct str_list *out, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_SEQ)
		return bad(c, n, n->key, "expected a list");
	str *p = arena_new(c->a, str, n->n);
	size_t i = 0;
	for (const struct yaml_node *m = n->child; m; m = m->next, i++) {
		if (!yaml_is_scalar(m))
			return bad(c, m, n->key, "expected a list of strings");
		p[i] = m->s;
	}
	*out = (struct str_list){ p, n->n };
	return 0;
}

static int get_map(struct ctx *c, struct str_map *out, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	struct str_kv *p = arena_new(c->a, struct str_kv, n->n);
	size_t i = 0;
	for (const struct yaml_node *m = n->child; m; m = m->next, i++) {
		p[i].k = m->key;
		if (!yaml_is_scalar(m))
			return bad(c, m, m->key, "expected a string");
		p[i].v = m->s;
	}
	*out = (struct str_map){ p, n->n };
	return 0;
}

enum { EXTRA_MAX = 64 };

/* Keeps a key that the model has no place for, in order, as the text that the writer will put after "key:". */
static int keep(struct ctx *c, struct str_map *extra, const struct yaml_node *n, unsigned level, yaml_key_cmp *cmp)
{
	struct buf b AUTO(buf_release) = BUF_INIT;
	struct str_kv *p = arena_new(c->a, struct str_kv, extra->n + 1);
	size_t at = extra->n;

	if (extra->n == EXTRA_MAX)
		return bad(c, n, n->key, "more than 64 unknown keys");
	if (extra->n)
		memcpy(p, extra->p, extra->n * sizeof(*p));
	for (; at > 0 && cmp(p[at - 1].k, n->key) > 0; at--)
		p[at] = p[at - 1];
	yaml_put_value(&b, n, n->key, level, cmp);
	p[at] = (struct str_kv){ n->key, arena_str(c->a, buf_str(&b)) };
	*extra = (struct str_map){ p, extra->n + 1 };
	return 0;
}

/* ---- packages ---- */

static int read_resolution_field(struct ctx *c, struct lock_resolution *res, str *type, const struct yaml_node *m)
{
	if (str_eq(m->key, STR("integrity")))
		return get_str(c, &res->integrity, m);
	if (str_eq(m->key, STR("tarball")))
		return get_str(c, &res->tarball, m);
	if (str_eq(m->key, STR("directory")))
		return get_str(c, &res->directory, m);
	if (str_eq(m->key, STR("repo")))
		return get_str(c, &res->repo, m);
	if (str_eq(m->key, STR("commit")))
		return get_str(c, &res->commit, m);
	if (str_eq(m->key, STR("path")))
		return get_str(c, &res->path, m);
	if (str_eq(m->key, STR("gitHosted")))
		return get_bool(c, &res->git_hosted, m);
	if (str_eq(m->key, STR("type")))
		return get_str(c, type, m);
	return bad(c, m, m->key, "unknown in a resolution");
}

static int read_resolution(struct ctx *c, struct lock_resolution *res, const struct yaml_node *n)
{
	const struct yaml_node *t = yaml_get(n, STR("type"));
	str type = STR_NONE;

	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	if (t && !str_eq(t->s, STR("git")) && !str_eq(t->s, STR("directory"))) {
		struct str_map raw = { 0 };
		(void)keep(c, &raw, n, 2, lock_entry_cmp);
		res->kind = LOCK_RES_OTHER;
		res->raw = raw.p[0].v;
		return 0;
	}
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_resolution_field(c, res, &type, m);
		if (rc)
			return rc;
	}
	res->kind = str_eq(type, STR("git"))         ? LOCK_RES_GIT
		    : str_eq(type, STR("directory")) ? LOCK_RES_DIRECTORY
		    : yaml_get(n, STR("tarball"))    ? LOCK_RES_TARBALL
						     : LOCK_RES_REGISTRY;
	if (res->kind == LOCK_RES_GIT && (!res->repo.n || !res->commit.n))
		return bad(c, n, n->key, "a git resolution needs repo and commit");
	if (res->kind == LOCK_RES_DIRECTORY && !res->directory.n)
		return bad(c, n, n->key, "a directory resolution needs its directory");
	if (res->kind == LOCK_RES_REGISTRY && !res->integrity.n)
		return bad(c, n, n->key, "expected integrity, tarball or type");
	return 0;
}

static int read_peer_meta(struct ctx *c, struct lock_package *p, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	str *names = arena_new(c->a, str, n->n);
	size_t k = 0;
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		bool optional = false;
		if (m->kind != YAML_KIND_MAP && m->kind != YAML_KIND_NONE)
			return bad(c, m, m->key, "expected a map");
		const struct yaml_node *f = yaml_get(m, STR("optional"));
		if (!f)
			return bad(c, m, m->key, "expected optional: true");
		int rc = get_bool(c, &optional, f);
		if (rc)
			return rc;
		if (optional)
			names[k++] = m->key;
	}
	p->peer_optional = (struct str_list){ names, k };
	return 0;
}

static int read_libc(struct ctx *c, struct lock_package *p, const struct yaml_node *n)
{
	if (!yaml_is_scalar(n))
		return get_list(c, &p->libc, n);
	p->libc = (struct str_list){ arena_new(c->a, str, 1), 1 };
	p->libc.p[0] = n->s;
	p->libc_scalar = true;
	return 0;
}

static int read_bundled(struct ctx *c, struct lock_package *p, const struct yaml_node *n)
{
	return n->kind == YAML_KIND_SEQ ? get_list(c, &p->bundled, n) : get_bool(c, &p->bundle_all, n);
}

static int read_package_field(struct ctx *c, struct lock_package *p, const struct yaml_node *m)
{
	str k = m->key;

	if (str_eq(k, STR("resolution")))
		return read_resolution(c, &p->resolution, m);
	if (str_eq(k, STR("engines")))
		return get_map(c, &p->engines, m);
	if (str_eq(k, STR("hasBin")))
		return get_bool(c, &p->has_bin, m);
	if (str_eq(k, STR("peerDependencies")))
		return get_map(c, &p->peer_dependencies, m);
	if (str_eq(k, STR("peerDependenciesMeta")))
		return read_peer_meta(c, p, m);
	if (str_eq(k, STR("cpu")))
		return get_list(c, &p->cpu, m);
	if (str_eq(k, STR("os")))
		return get_list(c, &p->os, m);
	if (str_eq(k, STR("libc")))
		return read_libc(c, p, m);
	if (str_eq(k, STR("deprecated")))
		return get_str(c, &p->deprecated, m);
	if (str_eq(k, STR("version")))
		return get_str(c, &p->version, m);
	if (str_eq(k, STR("name")))
		return get_str(c, &p->name, m);
	if (str_eq(k, STR("id")))
		return get_str(c, &p->id, m);
	if (str_eq(k, STR("prepare")))
		return get_bool(c, &p->prepare, m);
	if (str_eq(k, STR("requiresBuild")))
		return get_bool(c, &p->requires_build, m);
	if (str_eq(k, STR("bundledDependencies")))
		return read_bundled(c, p, m);
	return keep(c, &p->extra, m, 2, lock_entry_cmp);
}

static int read_package(struct ctx *c, str key, const struct yaml_node *n)
{
	struct lockfile *lf = c->lf;

	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, key, "expected a map");
	struct lock_package *p = arena_add(c->a, lf->package, lf->npackages);
	*p = (struct lock_package){ .key = key };
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_package_field(c, p, m);
		if (rc)
			return err_ctx(c->r.e, "package " STR_FMT, STR_ARG(str_head(key, 200)));
	}
	if (!yaml_get(n, STR("resolution")))
		return bad(c, n, key, "the package has no resolution");
	return 0;
}

/* ---- snapshots ---- */

static int read_deps(struct ctx *c, struct lock_deps *out, const struct yaml_node *n)
{
	struct str_map m;
	int rc = get_map(c, &m, n);

	if (rc)
		return rc;
	_Static_assert(sizeof(struct lock_dep) == sizeof(struct str_kv), "both are two slices");
	out->p = arena_new(c->a, struct lock_dep, m.n);
	out->n = m.n;
	for (size_t i = 0; i < m.n; i++)
		out->p[i] = (struct lock_dep){ m.p[i].k, m.p[i].v };
	return 0;
}

static int read_snapshot_field(struct ctx *c, struct lock_snapshot *s, const struct yaml_node *m)
{
	if (str_eq(m->key, STR("dependencies")))
		return read_deps(c, &s->dependencies, m);
	if (str_eq(m->key, STR("optionalDependencies")))
		return read_deps(c, &s->optional_dependencies, m);
	if (str_eq(m->key, STR("transitivePeerDependencies")))
		return get_list(c, &s->transitive_peers, m);
	if (str_eq(m->key, STR("optional")))
		return get_bool(c, &s->optional, m);
	return keep(c, &s->extra, m, 2, lock_entry_cmp);
}

static int read_snapshot(struct ctx *c, str key, const struct yaml_node *n)
{
	struct lockfile *lf = c->lf;

	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, key, "expected a map");
	struct lock_snapshot *s = arena_add(c->a, lf->snapshot, lf->nsnapshots);
	*s = (struct lock_snapshot){ .key = key };
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_snapshot_field(c, s, m);
		if (rc)
			return err_ctx(c->r.e, "snapshot " STR_FMT, STR_ARG(str_head(key, 200)));
	}
	return 0;
}

/* ---- importers ---- */

static int read_direct(struct ctx *c, struct lock_direct *d, const struct yaml_node *n)
{
	*d = (struct lock_direct){ .alias = n->key };
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected specifier and version");
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = str_eq(m->key, STR("specifier")) ? get_str(c, &d->specifier, m)
			 : str_eq(m->key, STR("version")) ? get_str(c, &d->ref, m)
							  : bad(c, m, m->key, "unknown next to specifier and version");
		if (rc)
			return rc;
	}
	if (!yaml_get(n, STR("specifier")) || !yaml_get(n, STR("version")))
		return bad(c, n, n->key, "expected specifier and version");
	return 0;
}

static int read_directs(struct ctx *c, struct lock_directs *out, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	out->p = arena_new(c->a, struct lock_direct, n->n);
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_direct(c, &out->p[out->n++], m);
		if (rc)
			return rc;
	}
	return 0;
}

/* {x: {injected: true}}, {injected: false} or {} for all x; anything else is kept as text. */
static int read_dependencies_meta(struct ctx *c, struct lock_importer *im, const struct yaml_node *n)
{
	struct str_list list[3];

	for (size_t i = 0; i < 3; i++)
		list[i] = (struct str_list){ arena_new(c->a, str, n->n + 1), 0 };
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		bool injected = false;
		if (m->kind != YAML_KIND_MAP || m->n > 1 ||
			(m->n && !yaml_bool(yaml_get(m, STR("injected")), &injected)))
			return keep(c, &im->extra, n, 2, lock_importer_cmp);
		struct str_list *l = &list[!m->n ? 2 : injected ? 0 : 1];
		l->p[l->n++] = m->key;
	}
	im->injected = list[0];
	im->not_injected = list[1];
	im->meta_empty = list[2];
	return 0;
}

static int read_importer_field(struct ctx *c, struct lock_importer *im, const struct yaml_node *m)
{
	bool linked;

	if (str_eq(m->key, STR("dependencies")))
		return read_directs(c, &im->deps[LOCK_PROD], m);
	if (str_eq(m->key, STR("devDependencies")))
		return read_directs(c, &im->deps[LOCK_DEV], m);
	if (str_eq(m->key, STR("optionalDependencies")))
		return read_directs(c, &im->deps[LOCK_OPTIONAL], m);
	if (str_eq(m->key, STR("publishDirectory")))
		return get_str(c, &im->publish_directory, m);
	if (str_eq(m->key, STR("dependenciesMeta")) && m->kind == YAML_KIND_MAP)
		return read_dependencies_meta(c, im, m);
	if (str_eq(m->key, STR("linkDirectory")) && yaml_bool(m, &linked) && !linked) {
		im->publish_unlinked = true;
		return 0;
	}
	return keep(c, &im->extra, m, 2, lock_importer_cmp);
}

static int read_importer(struct ctx *c, str key, const struct yaml_node *n)
{
	struct lockfile *lf = c->lf;

	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, key, "expected a map");
	struct lock_importer *im = arena_add(c->a, lf->importer, lf->nimporters);
	*im = (struct lock_importer){ .path = key };
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		int rc = read_importer_field(c, im, m);
		if (rc)
			return err_ctx(c->r.e, "importer " STR_FMT, STR_ARG(str_head(key, 200)));
	}
	return 0;
}

/* ---- the head ---- */

static int read_dedupe_peers(struct ctx *c, struct lock_head *h, const struct yaml_node *n)
{
	int rc = get_bool(c, &h->dedupe_peers, n);

	h->dedupe_peers_off = rc == 0 && !h->dedupe_peers;
	return rc;
}

/* Defaults that are written there all the same stay where the file is printed again, as pnpm 12.21 leaves them. */
static int read_settings(struct ctx *c, struct lock_head *h, const struct yaml_node *n)
{
	if (n->kind == YAML_KIND_NONE) {
		h->no_settings = true;
		return 0;
	}
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	/* what has not both is no lockfile to pnpm 12.21 */
	if (!yaml_get(n, STR("autoInstallPeers")) || !yaml_get(n, STR("excludeLinksFromLockfile")))
		return bad(c, n, n->key, "autoInstallPeers or excludeLinksFromLockfile is missing");
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		uint64_t max;
		int rc = 0;
		if (str_eq(m->key, STR("autoInstallPeers")))
			rc = get_bool(c, &h->auto_install_peers, m);
		else if (str_eq(m->key, STR("excludeLinksFromLockfile")))
			rc = get_bool(c, &h->exclude_links_from_lockfile, m);
		else if (str_eq(m->key, STR("dedupePeers")))
			rc = read_dedupe_peers(c, h, m);
		else if (str_eq(m->key, STR("injectWorkspacePackages")))
			rc = get_bool(c, &h->inject_workspace_packages, m);
		else if (!str_eq(m->key, STR("peersSuffixMaxLength")))
			rc = keep(c, &h->settings_extra, m, 1, str_cmp);
		else if (!yaml_u64(m, &max) || max >= LOCK_SUFFIX_ZERO)
			rc = bad(c, m, m->key, "expected a number");
		else
			h->peers_suffix_max_length = max ? (uint32_t)max : LOCK_SUFFIX_ZERO;
		if (rc)
			return rc;
	}
	return 0;
}

static int read_catalogs(struct ctx *c, struct lock_head *h, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	for (const struct yaml_node *cat = n->child; cat; cat = cat->next) {
		struct lock_directs d = { 0 };
		int rc = read_directs(c, &d, cat);
		if (rc)
			return err_ctx(c->r.e, "catalog " STR_FMT, STR_ARG(str_head(cat->key, 200)));
		for (size_t i = 0; i < d.n; i++) {
			*arena_add(c->a, h->catalog, h->ncatalog) = (struct lock_catalog_entry){ .catalog = cat->key,
				.alias = d.p[i].alias,
				.specifier = d.p[i].specifier,
				.version = d.p[i].ref };
		}
	}
	return 0;
}

/* The hash alone, or {hash, path} as pnpm 10 wrote it. */
static int read_patched(struct ctx *c, struct lock_head *h, const struct yaml_node *n)
{
	if (n->kind != YAML_KIND_MAP)
		return bad(c, n, n->key, "expected a map");
	h->patched.p = arena_new(c->a, struct str_kv, n->n);
	for (const struct yaml_node *m = n->child; m; m = m->next) {
		struct str_kv *kv = &h->patched.p[h->patched.n++];
		const struct yaml_node *hash = m->kind == YAML_KIND_MAP ? yaml_get(m, STR("hash")) : m;
		if (!yaml_is_scalar(hash))
			return bad(c, m, m->key, "expected the hash of the patch");
		*kv = (struct str_kv){ m->key, hash->s };
	}
	return 0;
}

static int read_version(struct ctx *c, const struct yaml_node *n)
{
	if (!yaml_is_scalar(n))
		return bad(c, n, n->key, "expected a version");
	str minor = str_starts(n->s, STR("9.")) ? str_from(n->s, 2) : STR_NONE;
	size_t digits = 0;
	while (digits < minor.n && minor.p[digits] >= '0' && minor.p[digits] <= '9')
		digits++;
	if (digits && digits == minor.n && digits < 6)
		return 0;
	return err_set(c->r.e, ERR_UNSUPPORTED,
		STR_FMT ":%u: lockfileVersion " STR_FMT
			" is not supported, only 9.x is; rewrite the file with a current pnpm, or delete it",
		STR_ARG(c->r.path), n->line, STR_ARG(str_head(n->s, 40)));
}

static int read_head_field(struct ctx *c, const struct yaml_node *n)
{
	struct lock_head *h = &c->lf->head;
	str k = n->key;

	if (str_eq(k, STR("lockfileVersion")))
		return read_version(c, n);
	if (str_eq(k, STR("settings")))
		return read_settings(c, h, n);
	if (str_eq(k, STR("catalogs")))
		return read_catalogs(c, h, n);
	if (str_eq(k, STR("overrides")))
		return get_map(c, &h->overrides, n);
	if (str_eq(k, STR("packageExtensionsChecksum")))
		return get_str(c, &h->package_extensions_checksum, n);
	if (str_eq(k, STR("pnpmfileChecksum")))
		return get_str(c, &h->pnpmfile_checksum, n);
	if (str_eq(k, STR("patchedDependencies")))
		return read_patched(c, h, n);
	if (str_eq(k, STR("ignoredOptionalDependencies")))
		return get_list(c, &h->ignored_optional, n);
	if (str_eq(k, STR("time"))) {
		h->has_time = true;
		return get_map(c, &h->time, n);
	}
	return keep(c, &h->extra, n, 0, lock_importer_cmp);
}

/* ---- the file ---- */

typedef int entry_reader(struct ctx *c, str key, const struct yaml_node *n);

static entry_reader *section_of(str key)
{
	return str_eq(key, STR("importers"))   ? read_importer
	       : str_eq(key, STR("packages"))  ? read_package
	       : str_eq(key, STR("snapshots")) ? read_snapshot
					       : NULL;
}

/* importers, packages or snapshots: each entry is a small tree whose memory the next one takes again. */
static int read_section(struct ctx *c, str name, entry_reader *read)
{
	ptrdiff_t inner;
	uint32_t line;
	str key;
	int rc;

	if (!yaml_reader_open(&c->r, 0, &inner)) {
		struct yaml_node *n;
		rc = yaml_reader_value(&c->r, 0, &n);
		for (const struct yaml_node *m = rc ? NULL : n->child; m && rc == 0; m = m->next)
			rc = n->kind == YAML_KIND_MAP ? read(c, m->key, m) : bad(c, n, name, "expected a map");
		if (rc == 0 && yaml_is_scalar(n))
			rc = bad(c, n, name, "expected a map");
		return rc;
	}
	while ((rc = yaml_reader_key(&c->r, inner, &key, &line)) == 1) {
		struct arena mark = c->nodes;
		struct yaml_node *n;
		if ((rc = yaml_reader_value(&c->r, inner, &n)) || (rc = read(c, key, n)))
			return rc;
		if (mark.chunk && mark.chunk == c->nodes.chunk)
			c->nodes = mark;
	}
	return rc;
}

static int read_root(struct ctx *c, str text, uint32_t line)
{
	struct map seen AUTO(map_release) = MAP_INIT;
	str key;
	int rc = yaml_reader_start(&c->r, text, line);

	c->lf->absent = c->r.indent < 0;
	if (rc || c->lf->absent)
		return rc;
	while ((rc = yaml_reader_key(&c->r, 0, &key, &line)) == 1) {
		bool fresh;
		struct yaml_node *n;
		map_add(&seen, key, 0, &fresh);
		if (!fresh)
			return yaml_reader_err(
				&c->r, "the key \"" STR_FMT "\" is there twice", STR_ARG(str_head(key, 100)));
		entry_reader *section = section_of(key);
		if (section) {
			rc = read_section(c, key, section);
		} else if ((rc = yaml_reader_value(&c->r, 0, &n)) == 0) {
			n->key = key;
			rc = read_head_field(c, n);
		}
		if (rc)
			return rc;
	}
	if (rc == 0 && c->r.indent >= 0)
		return yaml_reader_err(&c->r, "unexpected text");
	c->lf->head.no_settings |= map_get(&seen, STR("settings")) == MAP_NONE;
	if (rc == 0 && map_get(&seen, STR("lockfileVersion")) == MAP_NONE)
		return err_set(c->r.e, ERR_PARSE, STR_FMT ": no lockfileVersion: this is no pnpm lockfile",
			STR_ARG(c->r.path));
	return rc;
}

static int refuse_duplicates(const struct lockfile *lf, str path, struct err *e)
{
	str twice = STR_NONE;

	for (size_t i = 1; i < lf->npackages; i++) {
		if (str_eq(lf->package[i - 1].key, lf->package[i].key))
			twice = lf->package[i].key;
	}
	for (size_t i = 1; i < lf->nsnapshots; i++) {
		if (str_eq(lf->snapshot[i - 1].key, lf->snapshot[i].key))
			twice = lf->snapshot[i].key;
	}
	for (size_t i = 1; i < lf->nimporters; i++) {
		if (str_eq(lf->importer[i - 1].path, lf->importer[i].path))
			twice = lf->importer[i].path;
	}
	if (!twice.p)
		return 0;
	return err_set(e, ERR_PARSE, STR_FMT ": the key \"" STR_FMT "\" is there twice in its section", STR_ARG(path),
		STR_ARG(str_head(twice, 200)));
}

int lockfile_parse(struct lockfile *out, str text, str path, struct arena *a, struct err *e)
{
	struct lockfile lf = { 0 };
	struct ctx c = { .a = a, .nodes = ARENA_INIT(256 * 1024), .lf = &lf };
	struct lockfile_text documents;

	int rc = lockfile_text_split(&documents, text, path, a, e);
	if (rc)
		return rc;
	lf.env_document = documents.environment;
	c.r = (struct yaml_reader){ .path = path, .strings = a, .nodes = &c.nodes, .e = e };
	rc = read_root(&c, documents.lockfile, documents.line);
	arena_release(&c.nodes);
	if (rc)
		return rc;
	lockfile_sort(&lf);
	rc = refuse_duplicates(&lf, path, e);
	if (rc == 0)
		*out = lf;
	return rc;
}
