#include "exotic.h"
#include "dep_path.h"
#include "name.h"
#include "package.h"

/* --- jsr: --- */

static bool jsr_has_registry(const struct run *r)
{
	for (size_t i = 0; i < r->set->nregistry; i++)
		if (str_eq(r->set->registry[i].scope, STR("@jsr")))
			return true;
	return false;
}

/* "@scope/name" and the version behind it; false without a scope. */
static bool jsr_split(str *full, str *version, str alias, str spec)
{
	str rest = str_from(spec, 4), head, tail;
	*full = alias;
	*version = rest;
	if (str_starts(rest, STR("@"))) {
		bool cut = str_rcut(str_from(rest, 1), '@', &head, &tail);
		*full = cut ? str_head(rest, head.n + 1) : rest;
		*version = cut ? tail : STR_NONE;
	}
	if (!version->n)
		*version = STR("latest");
	return str_starts(*full, STR("@")) && name_valid(*full) && str_find(*full, '/', 0) != SIZE_MAX;
}

bool exotic_jsr(struct run *r, str *name, str *version, str alias, str spec)
{
	str full, scope, base;
	if (!str_starts(spec, STR("jsr:")) || !jsr_has_registry(r) || !jsr_split(&full, version, alias, spec))
		return false;
	str_cut(str_from(full, 1), '/', &scope, &base);
	*name = arena_printf(&r->arena, "@jsr/" STR_FMT "__" STR_FMT, STR_ARG(scope), STR_ARG(base));
	return true;
}

static int jsr_refused(struct run *r, const struct wanted *w, struct err *e)
{
	str full, version;
	if (!jsr_split(&full, &version, sof(r, w->alias), sof(r, w->spec)))
		return err_set(e, ERR_USAGE,
			"dependency " STR_FMT "@" STR_FMT ": packages of jsr have a scope: write jsr:@scope/name@range",
			SA(r, w->alias), SA(r, w->spec));
	return err_set(e, ERR_UNSUPPORTED,
		"dependency " STR_FMT "@" STR_FMT
		": no registry is set for the scope @jsr; put \"@jsr:registry=<URL>\" into .npmrc",
		SA(r, w->alias), SA(r, w->spec));
}

/* --- git --- */

static bool is_http(str s)
{
	return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

/* HOST and the path's components without query and fragment; how many there are, at most CAP. */
static size_t url_parts(str url, str *host, str *part, size_t cap)
{
	str rest = str_from(url, str_starts(url, STR("https://")) ? 8 : 7), path;
	size_t end = 0, n = 0;
	while (end < rest.n && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	str_cut(str_head(rest, end), '/', host, &path);
	size_t at = str_find(*host, '@', 0);
	*host = at == SIZE_MAX ? *host : str_from(*host, at + 1);
	if (str_starts(*host, STR("www.")))
		*host = str_from(*host, 4);
	for (str one; path.n && n < cap;) {
		str_cut(path, '/', &one, &path);
		if (one.n)
			part[n++] = one;
	}
	return n;
}

/* A repository's page at one of the hosts whose pages git clones. Source: hosted-git-info, as pnpm reads it. */
static bool is_repository(str url)
{
	str host, part[8];
	size_t n = url_parts(url, &host, part, 8);
	if (str_eq(host, STR("github.com")))
		return n == 2 || (n > 2 && str_eq(part[2], STR("tree")));
	if (str_eq(host, STR("bitbucket.org")))
		return n >= 2 && !(n > 2 && str_eq(part[2], STR("get")));
	if (str_eq(host, STR("gist.github.com")))
		return n > 0 && n <= 2;
	if (str_eq(host, STR("gitlab.com")))
		return n >= 2 && str_find_str(url, STR("/-/"), 0) == SIZE_MAX &&
		       str_find_str(url, STR("/archive.tar.gz"), 0) == SIZE_MAX;
	return false;
}

static bool is_git(str s)
{
	static const str scheme[] = { STR_INIT("git:"), STR_INIT("git+"), STR_INIT("git@"), STR_INIT("ssh:"),
		STR_INIT("github:"), STR_INIT("gitlab:"), STR_INIT("bitbucket:"), STR_INIT("gist:") };
	for (size_t i = 0; i < sizeof(scheme) / sizeof(*scheme); i++)
		if (str_starts(s, scheme[i]))
			return true;
	str bare = s;
	size_t hash = str_find(s, '#', 0);
	if (hash != SIZE_MAX)
		bare = str_head(s, hash);
	if (str_ends(bare, STR(".git")) || (is_http(s) && is_repository(s)))
		return true;
	/* owner/repository, and an scp-like user@host:path */
	size_t slash = str_find(bare, '/', 0), colon = str_find(bare, ':', 0), at = str_find(bare, '@', 0);
	if (colon == SIZE_MAX)
		return slash != SIZE_MAX && slash && slash + 1 < bare.n && str_find(bare, '/', slash + 1) == SIZE_MAX &&
		       bare.p[0] != '@';
	return at != SIZE_MAX && at < colon && slash > colon;
}

static int refused(struct run *r, const struct wanted *w, struct err *e)
{
	if (is_git(sof(r, w->spec)))
		return err_set(e, ERR_UNSUPPORTED,
			"dependency " STR_FMT "@" STR_FMT ": git dependencies are not supported by dray; use a "
			"published version, or the URL of a tarball that "
			"was made with npm pack",
			SA(r, w->alias), SA(r, w->spec));
	return err_set(e, ERR_UNSUPPORTED,
		"dependency " STR_FMT "@" STR_FMT " is neither a version range, a tag, a tarball's URL nor a folder; "
		"dray knows npm:, jsr:, file:, link:, "
		"workspace:, catalog: and http(s):",
		SA(r, w->alias), SA(r, w->spec));
}

/* --- tarballs --- */

/* Without the port that its scheme has anyway, as pnpm writes URLs. */
static str url_plain(struct run *r, str url)
{
	size_t from = str_starts(url, STR("https://")) ? 8 : 7;
	size_t slash = str_find(url, '/', from), end = slash == SIZE_MAX ? url.n : slash;
	str authority = { url.p + from, end - from }, port = from == 8 ? STR(":443") : STR(":80");
	if (!str_ends(authority, port))
		return url;
	return arena_printf(
		&r->arena, STR_FMT STR_FMT, STR_ARG(str_head(url, end - port.n)), STR_ARG(str_from(url, end)));
}

static const struct lock_package *locked_at(const struct run *r, str url)
{
	for (size_t i = 0; r->prior && i < r->prior->npackages; i++) {
		const struct lock_package *p = &r->prior->package[i];
		str name, version, suffix;
		if (p->resolution.kind != LOCK_RES_TARBALL || !p->resolution.integrity.n || p->resolution.git_hosted ||
			!str_eq(p->resolution.tarball, url))
			continue;
		dep_path_split(p->key, &name, &version, &suffix);
		if (str_eq(version, url))
			return p;
	}
	return NULL;
}

static void deps_of_snapshot(struct run *r, struct str_map *out, struct lock_deps deps, const struct lock_package *p)
{
	out->p = arena_new(&r->arena, struct str_kv, deps.n + 1);
	for (size_t i = 0; i < deps.n; i++) {
		str alias = deps.p[i].alias, name, version, suffix;
		str path = dep_path_from_ref(alias, deps.p[i].ref, &r->arena);
		if (!path.p || str_map_get(p->peer_dependencies, alias) || str_list_has(p->peer_optional, alias))
			continue;
		dep_path_split(path, &name, &version, &suffix);
		bool plain =
			str_eq(name, alias) || str_starts(version, STR("http")) || str_starts(version, STR("file:"));
		str range =
			plain ? version
			      : arena_printf(&r->arena, "npm:" STR_FMT "@" STR_FMT, STR_ARG(name), STR_ARG(version));
		out->p[out->n++] = (struct str_kv){ alias, range };
	}
}

/* What the lockfile says of P, as the package.json that it came from would: each dependency at the
 * version that was chosen. */
static bool from_lock(struct run *r, struct request_local *l, const struct lock_package *p)
{
	const struct lock_snapshot *s = NULL;
	for (size_t i = 0; i < r->prior->nsnapshots && !s; i++)
		if (str_eq(dep_path_package_key(r->prior->snapshot[i].key), p->key))
			s = &r->prior->snapshot[i];
	if (!s)
		return false;
	str suffix;
	*l = (struct request_local){ .integrity = p->resolution.integrity };
	struct manifest *m = &l->manifest;
	dep_path_split(p->key, &m->name, &m->version, &suffix);
	m->version = p->version;
	m->engines = p->engines;
	m->os = p->os;
	m->cpu = p->cpu;
	m->libc = p->libc;
	m->libc_scalar = p->libc_scalar;
	m->deprecated = p->deprecated;
	m->bundle_all = p->bundle_all;
	m->bundled = p->bundled;
	m->peer_dependencies = p->peer_dependencies;
	m->peer_optional = p->peer_optional;
	deps_of_snapshot(r, &m->dependencies, s->dependencies, p);
	deps_of_snapshot(r, &m->optional_dependencies, s->optional_dependencies, p);
	return true;
}

static int from_url(struct run *r, uint32_t *out, const struct wanted *w, bool *fresh, struct err *e)
{
	str url = url_plain(r, sof(r, w->spec));
	struct request_local *l = arena_new(&r->arena, struct request_local, 1);
	const struct lock_package *locked = locked_at(r, url);
	*l = (struct request_local){ 0 };
	if (!locked || !from_lock(r, l, locked)) {
		locked = NULL;
		if (!r->io->remote_tarball)
			return err_set(e, ERR_UNSUPPORTED,
				"dependency " STR_FMT ": tarball URLs cannot be resolved here", SA(r, w->alias));
		int rc = r->io->remote_tarball(r->io->ctx, url, l, &r->arena, e);
		if (rc)
			return err_ctx(e, "dependency " STR_FMT, SA(r, w->alias));
		l->manifest.deprecated = STR_NONE; /* a registry's word, not the author's */
	}
	atom raw = atom_copy(&r->t, url);
	atom name = l->manifest.name.n ? atom_copy(&r->t, l->manifest.name) : w->alias;
	if (!name_valid(sof(r, name)))
		return err_set(e, ERR_PARSE, STR_FMT ": the name in its package.json, \"" STR_FMT "\", is none",
			STR_ARG(url), STR_ARG(str_head(sof(r, name), 200)));
	return package_of_tarball(r, out, name, raw, raw, l, locked, fresh, e);
}

int exotic_resolve(struct run *r, uint32_t *out, const struct wanted *w, bool *fresh, struct err *e)
{
	str s = sof(r, w->spec);
	if (str_starts(s, STR("jsr:")))
		return jsr_refused(r, w, e);
	return is_http(s) && !is_git(s) ? from_url(r, out, w, fresh, e) : refused(r, w, e);
}
