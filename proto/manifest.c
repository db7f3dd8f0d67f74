#include "manifest.h"

#include "dependencies_meta.h"
#include "name.h"
#include "semver.h"

struct reader {
	const char *field; /* for messages */
	str path;
	bool folder;  /* what is no string is left out */
	bool package; /* all that a published package got wrong is */
	struct arena *a;
	struct err *e;
};

static int fail_at(const struct reader *r, const struct json *at, const char *what, str name)
{
	return err_set(r->e, ERR_PARSE, STR_FMT ": line %u, column %u: dependency \"" STR_FMT "\" in %s %s",
		STR_ARG(r->path), at->line, at->col, STR_ARG(str_head(name, 214)), r->field, what);
}

/* pnpm takes a field of another type for an absent one, but a dependency in it must have a string and a name that is
 * safe as a path below node_modules. */
static int read_deps(struct reader *r, const struct json *j, const char *field, struct str_map *out)
{
	const struct json *d = json_get(j, field);
	bool unused = r->folder && strcmp(field, "devDependencies") == 0; /* their names do not matter */

	r->field = field;
	if (!json_is(d, JSON_OBJECT))
		return 0;
	out->p = arena_new(r->a, struct str_kv, d->n);
	for (uint32_t i = 0; i < d->n; i++) {
		bool is_string = json_is(&d->child[i], JSON_STRING), is_name = name_valid(d->key[i]);
		if (is_string && is_name)
			out->p[out->n++] = (struct str_kv){ d->key[i], d->child[i].s };
		else if (!r->package && !(r->folder && (!is_string || unused)))
			return fail_at(r, &d->child[i],
				is_string ? "has an invalid name: expected \"name\" or \"@scope/name\""
					  : "must have a string specifier",
				d->key[i]);
	}
	return 0;
}

/* The entries of an object whose values are strings. */
static struct str_map strings(const struct json *j, struct arena *a)
{
	struct str_map m = { 0 };

	if (!json_is(j, JSON_OBJECT))
		return m;
	m.p = arena_new(a, struct str_kv, j->n);
	for (uint32_t i = 0; i < j->n; i++) {
		if (json_is(&j->child[i], JSON_STRING))
			m.p[m.n++] = (struct str_kv){ j->key[i], j->child[i].s };
	}
	return m;
}

static struct str_list keys(const struct json *j, struct arena *a)
{
	struct str_list l = { 0 };

	if (!json_is(j, JSON_OBJECT))
		return l;
	l.p = arena_new(a, str, j->n);
	for (uint32_t i = 0; i < j->n; i++)
		l.p[l.n++] = j->key[i];
	return l;
}

/* An array's strings; old packages write a single one without brackets. */
static struct str_list list(const struct json *j, struct arena *a)
{
	struct str_list l = { 0 };
	uint32_t n = json_is(j, JSON_ARRAY) ? j->n : 1;

	if (!json_is(j, JSON_ARRAY) && !json_str(j).n)
		return l;
	l.p = arena_new(a, str, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct json *s = j->type == JSON_ARRAY ? &j->child[i] : j;
		if (json_is(s, JSON_STRING))
			l.p[l.n++] = s->s;
	}
	return l;
}

/* An array's strings: pnpm takes a single os or cpu for an absent one. */
static struct str_list array(const struct json *j, struct arena *a)
{
	return json_is(j, JSON_ARRAY) ? list(j, a) : (struct str_list){ 0 };
}

/* Names under KEY whose object says FLAG: true. */
static struct str_list flagged(const struct json *j, const char *flag, struct arena *a)
{
	struct str_list l = { 0 };

	if (!json_is(j, JSON_OBJECT))
		return l;
	l.p = arena_new(a, str, j->n);
	for (uint32_t i = 0; i < j->n; i++) {
		if (json_is(json_get(&j->child[i], flag), JSON_TRUE))
			l.p[l.n++] = j->key[i];
	}
	return l;
}

static void read_dependencies_meta(struct manifest *m, const struct json *j, struct arena *a)
{
	if (!json_is(j, JSON_OBJECT))
		return;
	m->dependencies_meta = arena_new(a, struct manifest_dep_meta, j->n);
	for (uint32_t i = 0; i < j->n; i++) {
		const struct json *v = json_get(&j->child[i], "injected");
		enum dep_meta injected = json_is(v, JSON_TRUE)    ? META_INJECTED
					 : json_is(v, JSON_FALSE) ? META_NOT_INJECTED
								  : META_EMPTY;
		m->dependencies_meta[m->ndependencies_meta++] = (struct manifest_dep_meta){ j->key[i], injected };
	}
}

static void read_bundled(struct manifest *m, const struct json *j, struct arena *a)
{
	const struct json *b = json_get(j, "bundleDependencies");

	if (!b)
		b = json_get(j, "bundledDependencies");
	m->bundle_all = json_is(b, JSON_TRUE);
	if (json_is(b, JSON_ARRAY)) /* a map of them is nothing for pnpm 12.21 */
		m->bundled = list(b, a);
}

static void read_bin(struct manifest *m, const struct json *j, struct arena *a)
{
	const struct json *bin = json_get(j, "bin");
	str scope, command;

	m->directories_bin = json_str(json_get(json_get(j, "directories"), "bin"));
	m->bin = strings(bin, a);
	if (!json_is(bin, JSON_STRING) || bin->s.n == 0 || m->name.n == 0)
		return;
	if (m->name.p[0] != '@' || !str_cut(m->name, '/', &scope, &command))
		command = m->name;
	m->bin.p = arena_new(a, struct str_kv, 1);
	m->bin.p[0] = (struct str_kv){ command, bin->s };
	m->bin.n = 1;
}

/* The entry of devEngines.packageManager, engines.runtime and the like that is called NAME: it
 * is one, or a list of them. */
static const struct json *engine_entry(const struct json *j, const char *field, const char *key, str name)
{
	const struct json *v = json_get(json_get(j, field), key);

	if (json_is(v, JSON_OBJECT))
		return str_eq(json_str(json_get(v, "name")), name) ? v : NULL;
	for (size_t i = 0; json_is(v, JSON_ARRAY) && i < v->n; i++) {
		if (str_eq(json_str(json_get(&v->child[i], "name")), name))
			return &v->child[i];
	}
	return NULL;
}

/* devEngines.packageManager, where it governs pnpm: of a list pnpm's own entry, else the first. *ON_FAIL is what it
 * says or what its place means. */
static const struct json *engine_pin(const struct json *j, str *on_fail)
{
	const struct json *v = json_get(json_get(j, "devEngines"), "packageManager"), *own;

	if (json_is(v, JSON_ARRAY)) {
		if (v->n == 0)
			return NULL;
		own = engine_entry(j, "devEngines", "packageManager", STR("pnpm"));
		own = own ? own : &v->child[0];
		*on_fail = own == &v->child[v->n - 1] ? STR("error") : STR("ignore");
	} else {
		own = v;
		*on_fail = STR("download");
	}
	if (!json_is(own, JSON_OBJECT) || !json_is(json_get(own, "name"), JSON_STRING))
		return NULL;
	if (json_is(json_get(own, "onFail"), JSON_STRING))
		*on_fail = json_str(json_get(own, "onFail"));
	return own;
}

/* A pin of pnpm itself, which pnpm writes into the lockfile's environment document: packageManager from version 12 on
 * and only where devEngines says nothing. Source: pnpm 12.21. */
static void read_pin(struct manifest *m, const struct json *j)
{
	str on_fail, version, hash;
	const struct json *own = engine_pin(j, &on_fail);
	struct semver v;

	if (own) {
		if (!str_eq(json_str(json_get(own, "name")), STR("pnpm")) || str_eq(on_fail, STR("ignore")))
			return;
		m->pnpm_pin = json_str(json_get(own, "version"));
		m->pnpm_pin_strict = !str_eq(on_fail, STR("download"));
		return;
	}
	if (!str_starts(m->package_manager, STR("pnpm@")))
		return;
	str_cut(str_from(m->package_manager, 5), '+', &version, &hash);
	if (version.n && version.p[0] >= '0' && version.p[0] <= '9' && semver_parse(&v, version, false) &&
		v.major >= 12)
		m->pnpm_pin = version;
}

/* A runtime with onFail: download becomes a dependency "runtime:<version>" unless one of that name is
 * there. Source: pnpm 12.21. */
static void read_engines(struct manifest *m, const struct json *j)
{
	static const str runtime[] = { STR_INIT("node"), STR_INIT("deno"), STR_INIT("bun") };
	static const char *const field[][2] = { { "devEngines", "devDependencies" }, { "engines", "dependencies" } };

	read_pin(m, j);
	for (size_t i = 0; i < sizeof(runtime) / sizeof(*runtime); i++) {
		for (size_t k = 0; k < sizeof(field) / sizeof(*field); k++) {
			const struct json *r = engine_entry(j, field[k][0], "runtime", runtime[i]);
			bool there = json_get(json_get(j, field[k][1]), runtime[i].p) != NULL;
			if (r && !there && json_is(json_get(r, "version"), JSON_STRING) &&
				str_eq(json_str(json_get(r, "onFail")), STR("download")))
				m->runtime = runtime[i];
		}
	}
}

static void read_rest(struct manifest *m, const struct json *j, struct arena *a)
{
	const struct json *publish = json_get(j, "publishConfig"), *pnpm = json_get(j, "pnpm");
	const struct json *workspaces = json_get(j, "workspaces");

	m->peer_optional = flagged(json_get(j, "peerDependenciesMeta"), "optional", a);
	read_dependencies_meta(m, json_get(j, DEPENDENCIES_META_KEY), a);
	read_bundled(m, j, a);
	m->engines = strings(json_get(j, "engines"), a);
	m->os = array(json_get(j, "os"), a);
	m->cpu = array(json_get(j, "cpu"), a);
	m->libc = list(json_get(j, "libc"), a);
	m->libc_scalar = json_str(json_get(j, "libc")).n > 0;
	read_bin(m, j, a);
	m->scripts = strings(json_get(j, "scripts"), a);
	m->publish_directory = json_str(json_get(publish, "directory"));
	m->publish_link_directory = !json_is(json_get(publish, "linkDirectory"), JSON_FALSE);
	m->deprecated = json_str(json_get(j, "deprecated"));
	m->package_manager = json_str(json_get(j, "packageManager"));
	m->type = json_str(json_get(j, "type"));
	m->main = json_str(json_get(j, "main"));
	read_engines(m, j);
	m->has_resolutions = json_get(j, "resolutions") != NULL;
	m->has_pnpm = pnpm != NULL;
	m->pnpm_keys = keys(pnpm, a);
	m->workspaces_list = json_is(workspaces, JSON_ARRAY);
	m->workspaces = list(json_is(workspaces, JSON_OBJECT) ? json_get(workspaces, "packages") : workspaces, a);
}

static int read_manifest(struct manifest *out, const struct json *j, struct reader *r)
{
	struct manifest m = { 0 };

	if (!json_is(j, JSON_OBJECT))
		return err_set(r->e, ERR_PARSE, STR_FMT ": line %u, column %u: expected an object", STR_ARG(r->path),
			j ? j->line : 1, j ? j->col : 1);
	m.name = json_str(json_get(j, "name"));
	m.version = json_str(json_get(j, "version"));
	if (read_deps(r, j, "dependencies", &m.dependencies) < 0 ||
		read_deps(r, j, "devDependencies", &m.dev_dependencies) < 0 ||
		read_deps(r, j, "optionalDependencies", &m.optional_dependencies) < 0 ||
		read_deps(r, j, "peerDependencies", &m.peer_dependencies) < 0)
		return r->e->code;
	if (!r->package && dependencies_meta_text(&m.meta_text, json_get(j, DEPENDENCIES_META_KEY), r->a, r->e) < 0)
		return err_ctx(r->e, STR_FMT, STR_ARG(r->path));
	read_rest(&m, j, r->a);
	*out = m;
	return 0;
}

int manifest_from_json(struct manifest *out, const struct json *j, str path, struct arena *a, struct err *e)
{
	return read_manifest(out, j, &(struct reader){ .path = path, .a = a, .e = e });
}

static int read_text(struct manifest *out, str text, struct reader *r)
{
	struct json *j;

	if (json_parse(&j, text, r->a, r->e) < 0)
		return err_ctx(r->e, STR_FMT, STR_ARG(r->path));
	return read_manifest(out, j, r);
}

int manifest_parse(struct manifest *out, str text, str path, struct arena *a, struct err *e)
{
	return read_text(out, text, &(struct reader){ .path = path, .a = a, .e = e });
}

int manifest_parse_folder(struct manifest *out, str text, str path, struct arena *a, struct err *e)
{
	return read_text(out, text, &(struct reader){ .path = path, .folder = true, .a = a, .e = e });
}

int manifest_parse_package(struct manifest *out, str text, str path, struct arena *a, struct err *e)
{
	return read_text(out, text, &(struct reader){ .path = path, .package = true, .a = a, .e = e });
}
