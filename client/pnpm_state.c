#include "pnpm_state.h"
#include "fs.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"

#define STATE_FILE "node_modules/.pnpm-workspace-state-v1.json"
enum { STATE_MAX = 64 << 20 };

str pnpm_state_take(int root, struct arena *a)
{
	struct stat st;
	str text = STR_NONE;

	AUTO(fs_close_auto) int fd = openat(root, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size < STATE_MAX) {
		char *p = arena_new(a, char, (size_t)st.st_size);
		ssize_t n = read(fd, p, (size_t)st.st_size);
		if (n == st.st_size)
			text = (str){ p, (size_t)n };
	}
	unlinkat(root, STATE_FILE, 0);
	return text;
}

/* ---- JSON as pnpm prints it: two spaces a level ---- */

struct out {
	struct buf *b;
	unsigned depth;
	bool first;
};

static void item(struct out *o)
{
	buf_add(o->b, o->first ? STR("\n") : STR(",\n"));
	for (unsigned i = 0; i < o->depth; i++)
		buf_add(o->b, STR("  "));
	o->first = false;
}

static void key(struct out *o, str name)
{
	item(o);
	json_put_str(o->b, name);
	buf_add(o->b, STR(": "));
}

static void open_(struct out *o, char c)
{
	buf_addc(o->b, c);
	o->depth++;
	o->first = true;
}

static void close_(struct out *o, char c)
{
	o->depth--;
	if (!o->first) {
		o->first = true;
		buf_addc(o->b, '\n');
		for (unsigned i = 0; i < o->depth; i++)
			buf_add(o->b, STR("  "));
	}
	buf_addc(o->b, c);
	o->first = false;
}

static void put_bool(struct out *o, const char *name, bool v)
{
	key(o, str_of(name));
	buf_add(o->b, v ? STR("true") : STR("false"));
}

static void put_number(struct out *o, const char *name, uint64_t v)
{
	key(o, str_of(name));
	buf_printf(o->b, "%" PRIu64, v);
}

static void put_text(struct out *o, str name, str v)
{
	key(o, name);
	json_put_str(o->b, v);
}

static void put_texts(struct out *o, const char *name, struct str_list l)
{
	key(o, str_of(name));
	open_(o, '[');
	for (size_t i = 0; i < l.n; i++) {
		item(o);
		json_put_str(o->b, l.p[i]);
	}
	close_(o, ']');
}

static int kv_cmp(const void *a, const void *b)
{
	return str_cmp(((const struct str_kv *)a)->k, ((const struct str_kv *)b)->k);
}

/* Sorted by key. */
static void put_map(struct out *o, const char *name, struct str_map m, struct arena *a)
{
	struct str_kv *p = arena_new(a, struct str_kv, m.n + 1);

	if (m.n)
		memcpy(p, m.p, m.n * sizeof(*p));
	qsort(p, m.n, sizeof(*p), kv_cmp);
	key(o, str_of(name));
	open_(o, '{');
	for (size_t i = 0; i < m.n; i++)
		put_text(o, p[i].k, p[i].v);
	close_(o, '}');
}

/* ---- the parts ---- */

static void put_projects(struct out *o, const struct project *p)
{
	key(o, STR("projects"));
	open_(o, '{');
	for (size_t i = 0; i < p->req.nimporters; i++) {
		const struct manifest *m = &p->req.importer[i].manifest;
		key(o, p->importer[i].dir);
		open_(o, '{');
		if (m->name.n)
			put_text(o, STR("name"), m->name);
		if (m->version.n)
			put_text(o, STR("version"), m->version);
		close_(o, '}');
	}
	close_(o, '}');
}

static void put_builds(struct out *o, const struct client_settings *c)
{
	if (!c->nallow_build)
		return;
	key(o, STR("allowBuilds"));
	open_(o, '{');
	for (size_t i = 0; i < c->nallow_build; i++) {
		key(o, c->allow_build[i].key);
		buf_add(o->b, c->allow_build[i].allow ? STR("true") : STR("false"));
	}
	close_(o, '}');
}

static int catalog_cmp(const void *a, const void *b)
{
	const struct catalog_entry *x = a, *y = b;
	int c = str_cmp(x->catalog, y->catalog);

	return c ? c : str_cmp(x->alias, y->alias);
}

static void put_catalogs(struct out *o, const struct settings *s, struct arena *a)
{
	struct catalog_entry *c = arena_new(a, struct catalog_entry, s->ncatalog + 1);

	if (s->ncatalog)
		memcpy(c, s->catalog, s->ncatalog * sizeof(*c));
	qsort(c, s->ncatalog, sizeof(*c), catalog_cmp);
	key(o, STR("catalogs"));
	open_(o, '{');
	for (size_t i = 0; i < s->ncatalog; i++) {
		if (i == 0 || !str_eq(c[i].catalog, c[i - 1].catalog)) {
			if (i)
				close_(o, '}');
			key(o, c[i].catalog);
			open_(o, '{');
		}
		put_text(o, c[i].alias, c[i].specifier);
	}
	if (s->ncatalog)
		close_(o, '}');
	close_(o, '}');
}

static void put_extensions(struct out *o, const struct settings *s, struct arena *a)
{
	if (!s->nextension)
		return;
	key(o, STR("packageExtensions"));
	open_(o, '{');
	for (size_t i = 0; i < s->nextension; i++) {
		const struct package_extension *x = &s->extension[i];
		key(o, x->selector);
		open_(o, '{');
		if (x->dependencies.n)
			put_map(o, "dependencies", x->dependencies, a);
		if (x->optional_dependencies.n)
			put_map(o, "optionalDependencies", x->optional_dependencies, a);
		if (x->peer_dependencies.n)
			put_map(o, "peerDependencies", x->peer_dependencies, a);
		if (x->peer_optional.n) {
			key(o, STR("peerDependenciesMeta"));
			open_(o, '{');
			for (size_t k = 0; k < x->peer_optional.n; k++) {
				key(o, x->peer_optional.p[k]);
				open_(o, '{');
				put_bool(o, "optional", true);
				close_(o, '}');
			}
			close_(o, '}');
		}
		close_(o, '}');
	}
	close_(o, '}');
}

static void put_patches(struct out *o, const struct settings *s)
{
	if (!s->npatch)
		return;
	key(o, STR("patchedDependencies"));
	open_(o, '{');
	for (size_t i = 0; i < s->npatch; i++)
		put_text(o, s->patch[i].selector, s->patch[i].path);
	close_(o, '}');
}

/* pnpm has one scope of its own built in. Where it is served is taken from the build, or from what pnpm has written. */
static str builtin_scope_url(str old)
{
	str known = STR(DRAY_JSR_REGISTRY), name = STR("\"@jsr\": \"");
	size_t at = known.n ? SIZE_MAX : str_find_str(old, name, 0);

	if (at == SIZE_MAX)
		return known;
	str rest = str_from(old, at + name.n);
	size_t end = str_find(rest, '"', 0);
	return end == SIZE_MAX ? STR_NONE : str_head(rest, end);
}

static void put_routes(struct out *o, const struct pnpm_state *s, struct arena *a)
{
	const struct settings *q = &s->project->req.settings;
	struct str_map m = { .p = arena_new(a, struct str_kv, q->nregistry + 2) };
	str builtin = builtin_scope_url(s->old);

	for (size_t i = 0; i < q->nregistry; i++) {
		if (q->registry[i].scope.n && !str_map_get(m, q->registry[i].scope))
			m.p[m.n++] = (struct str_kv){ q->registry[i].scope, q->registry[i].url };
	}
	if (builtin.n && !str_map_get(m, STR("@jsr")))
		m.p[m.n++] = (struct str_kv){ STR("@jsr"), builtin };
	put_map(o, "registryRoutes", m, a);
}

static void put_settings(struct out *o, const struct pnpm_state *s, struct arena *a)
{
	const struct client_settings *c = &s->project->client;
	const struct settings *q = &s->project->req.settings;

	key(o, STR("settings"));
	open_(o, '{');
	put_builds(o, c);
	put_bool(o, "autoInstallPeers", q->auto_install_peers);
	put_catalogs(o, s->catalogs ? s->catalogs : q, a);
	put_bool(o, "dangerouslyAllowAllBuilds", c->dangerously_allow_all_builds);
	put_bool(o, "dedupeDirectDeps", q->dedupe_direct_deps);
	put_bool(o, "dedupeInjectedDeps", q->dedupe_injected_deps);
	put_bool(o, "dedupePeerDependents", q->dedupe_peer_dependents);
	put_bool(o, "dedupePeers", q->dedupe_peers);
	put_bool(o, "dev", s->req->dev);
	if (c->enable_global_virtual_store)
		put_bool(o, "enableGlobalVirtualStore", true);
	put_bool(o, "excludeLinksFromLockfile", q->exclude_links_from_lockfile);
	if (c->hoist)
		put_texts(o, "hoistPattern", c->hoist_pattern);
	put_bool(o, "hoistWorkspacePackages", c->hoist_workspace_packages);
	if (q->ignored_optional.n)
		put_texts(o, "ignoredOptionalDependencies", q->ignored_optional);
	put_bool(o, "injectWorkspacePackages", q->inject_workspace_packages);
	if (q->link_workspace_packages_deep)
		put_text(o, STR("linkWorkspacePackages"), STR("deep"));
	else
		put_bool(o, "linkWorkspacePackages", q->link_workspace_packages);
	put_number(o, "minimumReleaseAge", q->minimum_release_age);
	if (q->minimum_release_age_exclude.n)
		put_texts(o, "minimumReleaseAgeExclude", q->minimum_release_age_exclude);
	put_bool(o, "minimumReleaseAgeIgnoreMissingTime", true);
	if (c->age_strict_set || q->minimum_release_age_set)
		put_bool(o, "minimumReleaseAgeStrict", project_age_strict(s->project));
	put_text(o, STR("nodeLinker"), STR("isolated"));
	put_bool(o, "optional", s->req->optional);
	if (q->overrides.n)
		put_map(o, "overrides", q->overrides, a);
	put_extensions(o, q, a);
	put_patches(o, q);
	put_number(o, "peersSuffixMaxLength", q->peers_suffix_max_length);
	put_bool(o, "preferWorkspacePackages", q->prefer_workspace_packages);
	put_bool(o, "production", s->req->prod);
	put_texts(o, "publicHoistPattern", c->public_hoist_pattern);
	put_routes(o, s, a);
	put_number(o, "virtualStoreDirMaxLength", c->virtual_store_dir_max_length);
	if (s->project->patterns.n)
		put_texts(o, "workspacePackagePatterns", s->project->patterns);
	close_(o, '}');
}

/* Milliseconds of the youngest file that decides about the tree; -1 when one is missing. */
static int64_t youngest(const struct project *p, struct arena *a)
{
	struct stat st;
	int64_t ms = -1;

	for (size_t i = 0; i <= p->req.nimporters; i++) {
		const char *path = i == p->req.nimporters
					   ? p->lockfile_path.p
					   : arena_printf(a, STR_FMT "/package.json", STR_ARG(p->importer[i].dir)).p;
		if (stat(path, &st) != 0)
			return -1;
		int64_t t = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		ms = t > ms ? t : ms;
	}
	return ms;
}

/* Whether OLD says all of BODY, and that it was so when the youngest file was there already. */
static bool still_holds(str old, str body, int64_t ms)
{
	str head = STR("{\n  \"lastValidatedTimestamp\": "), digits, rest;
	uint64_t then;

	if (!str_starts(old, head) || !str_cut(str_from(old, head.n), ',', &digits, &rest) || !str_u64(digits, &then))
		return false;
	return then >= (uint64_t)ms && str_starts(rest, body) && rest.n > body.n &&
	       (rest.p[body.n] == '\n' || rest.p[body.n] == ',');
}

/* Some override says where it is to be read: in the root's package.json, or in a catalog. */
static bool overrides_refer(struct str_map o)
{
	for (size_t i = 0; i < o.n; i++)
		if (str_starts(o.p[i].v, STR("$")) || str_starts(o.p[i].v, STR("catalog:")))
			return true;
	return false;
}

bool pnpm_state_print(struct buf *out, const struct pnpm_state *s, struct arena *a)
{
	AUTO(buf_release) struct buf body = BUF_INIT;
	const struct settings *q = &s->project->req.settings;
	struct out o = { .b = &body, .depth = 1 };
	int64_t ms = youngest(s->project, a);

	/* what pnpm keeps of these is not what was written */
	if (ms < 0 || overrides_refer(q->overrides) || q->supported_os.n || q->supported_cpu.n || q->supported_libc.n ||
		q->trust_policy_exclude.n || q->trust_policy_ignore_after)
		return false;
	o.first = true;
	put_projects(&o, s->project);
	put_texts(&o, "pnpmfiles", (struct str_list){ 0 });
	put_bool(&o, "filteredInstall", s->filtered);
	put_settings(&o, s, a);
	if (still_holds(s->old, buf_str(&body), ms)) {
		buf_add(out, s->old);
		return true;
	}
	buf_printf(out, "{\n  \"lastValidatedTimestamp\": %" PRId64 ",", ms);
	buf_add(out, buf_str(&body));
	buf_add(out, STR("\n}\n"));
	return true;
}
