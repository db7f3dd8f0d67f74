#include "env_document.h"
#include "semver.h"
#include "yaml_put.h"

/* The pnpm whose lockfiles dray writes: what it records for a range. */
#define PNPM_VERSION "12.21.0"
#define RECORDED "\n    packageManagerDependencies:\n      pnpm:\n        specifier: "

static str unquoted(str s)
{
	bool quoted = s.n >= 2 && s.p[0] == '\'' && s.p[s.n - 1] == '\'';
	return quoted ? str_head(str_from(s, 1), s.n - 2) : s;
}

/* What HAVE records; false: nothing about pnpm. */
static bool recorded(struct env_pin *out, str have)
{
	size_t at = str_find_str(have, STR(RECORDED), 0);
	str line, rest;

	if (at == SIZE_MAX || !str_cut(str_from(have, at + sizeof(RECORDED) - 1), '\n', &line, &rest))
		return false;
	out->spec = unquoted(str_trim(line));
	str_cut(rest, '\n', &line, &rest);
	line = str_trim(line);
	if (!str_starts(line, STR("version: ")))
		return false;
	out->version = unquoted(str_from(line, 9));
	return true;
}

static bool in_range(str range, str version, struct arena *a)
{
	const struct range *r = range_parse(range, false, a);
	struct semver v;

	return r && semver_parse(&v, version, false) && range_has(r, &v, false);
}

bool env_document_wanted(struct env_pin *out, const struct manifest *root, str have, struct arena *a)
{
	struct env_pin is, pin = { root->pnpm_pin, STR(PNPM_VERSION) };
	struct semver v;

	if (!pin.spec.n || !range_parse(pin.spec, false, a))
		return false;
	if (recorded(&is, have) && str_eq(is.spec, pin.spec) && in_range(pin.spec, is.version, a))
		return false;
	if (!in_range(pin.spec, pin.version,
		    a)) { /* pnpm would fetch the one that is wanted, which then records itself */
		if (root->pnpm_pin_strict || !semver_parse(&v, pin.spec, false) || v.major < 12)
			return false;
		pin.version = pin.spec;
	}
	*out = pin;
	return true;
}

/* It records something else, too. */
static bool foreign(str have)
{
	return have.n && str_find_str(have, STR("\n    configDependencies: {}\n"), 0) == SIZE_MAX;
}

static str document(const struct env_pin *pin, str lockfile, struct arena *a)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	size_t at = str_find_str(lockfile, STR("\npackages:\n"), 0);

	buf_add(&b, STR("---\nlockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    configDependencies: {}" RECORDED));
	yaml_put_scalar(&b, pin->spec, 5, false, true);
	buf_add(&b, STR("\n        version: "));
	yaml_put_scalar(&b, pin->version, 5, false, true);
	buf_add(&b, STR("\n"));
	buf_add(&b, at == SIZE_MAX ? STR_NONE : str_from(lockfile, at));
	buf_add(&b, STR("\n---\n"));
	return arena_str(a, buf_str(&b));
}

/* Its packages are resolved as the project would resolve them, without the project's own rules. */
static int make(str *out, const struct env_pin *pin, const struct install_opts *o, struct arena *a, struct err *e)
{
	struct str_kv pnpm = { STR("pnpm"), pin->version };
	struct request_importer root = { .path = STR("."), .manifest.dependencies = { .p = &pnpm, .n = 1 } };
	struct request req = { .mode = REQUEST_LOCKFILE_ONLY,
		.settings = settings_default(),
		.platform = o->req->platform,
		.importer = &root,
		.nimporters = 1,
		.prod = true,
		.dev = true,
		.optional = true,
		.ignore_scripts = true };
	struct install_opts io = *o;
	struct install_result r;

	req.settings.registry = o->req->settings.registry;
	req.settings.nregistry = o->req->settings.nregistry;
	req.settings.minimum_release_age = 0;
	io.req = &req;
	io.selected = NULL;
	io.source = io.verdict_source = NULL;
	io.locked = io.moved = false;
	io.env_document = STR_NONE;
	io.lockfile_only = io.want_lockfile = io.unwritten = true;
	int rc = install_run(&r, &io, e);
	if (rc == 0)
		*out = document(pin, r.lockfile_text, a);
	install_result_release(&r);
	return rc;
}

str env_document_of(const struct install_opts *o, struct arena *a)
{
	const struct request_importer *root = o->req->nimporters ? &o->req->importer[0] : NULL;
	str have = o->project->env_document, out = have;
	struct env_pin pin;
	struct err e;

	if (!o->project->client.lockfile || str_eq(o->project->client.pm_on_fail, STR("ignore")) || !root ||
		!str_eq(root->path, STR(".")) || !env_document_wanted(&pin, &root->manifest, have, a))
		return have;
	if (foreign(have))
		err_set(&e, ERR_UNSUPPORTED, "its first document has configDependencies, which dray doesn't write");
	else if (make(&out, &pin, o, a, &e) == 0)
		return out;
	progress_warn(o->progress, "package.json pins pnpm " STR_FMT ", which is not recorded in pnpm-lock.yaml: %s",
		STR_ARG(pin.spec), e.msg);
	return have;
}
