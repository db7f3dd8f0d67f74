/* The same from package.json alone, for as long as the client's project stage is not there. */
#include "parity_case.h"
#include <unistd.h>

/* Appends DIR/FILE to OUT when there is one. */
static int slurp(struct buf *out, str dir, const char *file, struct arena *a, struct err *e)
{
	return file_slurp(out, arena_printf(a, STR_FMT "/%s", STR_ARG(dir), file).p, e);
}

static int refuse_what_needs_the_project_stage(struct parity_case *c, struct err *e)
{
	str ws = arena_printf(&c->a, STR_FMT "/pnpm-workspace.yaml", STR_ARG(c->dir));

	return access(ws.p, F_OK) == 0 ? err_set(e, ERR_UNSUPPORTED, "pnpm-workspace.yaml is not read yet") : 0;
}

static int lockfile_read(struct parity_case *c, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	int rc = slurp(&text, c->dir, "input-pnpm-lock.yaml", &c->a, e);

	if (rc == ERR_NOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	struct lockfile *lf = arena_new(&c->a, struct lockfile, 1);
	c->req->lockfile_text = arena_str(&c->a, buf_str(&text));
	c->req->lockfile = lf;
	return lockfile_parse(lf, c->req->lockfile_text, STR("input-pnpm-lock.yaml"), &c->a, e);
}

static int manifest_read(struct parity_case *c, struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	int rc = slurp(&text, c->dir, "package.json", &c->a, e);

	if (rc < 0)
		return rc;
	c->req->importer = arena_new(&c->a, struct request_importer, 1);
	c->req->nimporters = 1;
	c->req->importer[0].path = STR(".");
	return manifest_parse(
		&c->req->importer[0].manifest, arena_str(&c->a, buf_str(&text)), STR("package.json"), &c->a, e);
}

int parity_case_read(struct parity_case *c, str dir, str registry, struct err *e)
{
	str parent;

	*c = (struct parity_case){ .a = ARENA_INIT(0) };
	c->dir = arena_str(&c->a, dir);
	str_rcut(c->dir, '/', &parent, &c->name);
	c->req = arena_new(&c->a, struct request, 1);
	*c->req = (struct request){ .mode = REQUEST_LOCKFILE_ONLY,
		.settings = settings_default(),
		.platform = { STR("linux"), STR("x64"), STR("glibc"), STR_NONE },
		.prod = true,
		.dev = true,
		.optional = true,
		.ignore_scripts = true };
	c->req->settings.registry = arena_new(&c->a, struct registry_route, 1);
	c->req->settings.registry[0].url = registry;
	c->req->settings.nregistry = 1;
	int rc = slurp(&c->want, dir, "expected-pnpm-lock.yaml", &c->a, e);
	if (rc == 0)
		rc = refuse_what_needs_the_project_stage(c, e);
	if (rc == 0)
		rc = manifest_read(c, e);
	return rc < 0 ? rc : lockfile_read(c, e);
}

void parity_case_release(struct parity_case *c)
{
	buf_release(&c->want);
	arena_release(&c->a);
}
