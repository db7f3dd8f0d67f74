#include "parity_case.h"
#include "project.h"
#include "reprint.h"
#include "source.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int copy_file(const char *to, const char *from, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	int rc = file_slurp(&b, from, e);

	if (rc < 0)
		return rc;
	FILE *f = fopen(to, "wb");
	bool ok = f && (b.n == 0 || fwrite(b.p, 1, b.n, f) == b.n);
	if (f && fclose(f) != 0)
		ok = false;
	return ok ? 0 : err_os(e, "writing %s", to);
}

/* What DIR's entry NAME is called in the copy; NULL: left out. */
static const char *copied_as(const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "expected-pnpm-lock.yaml") == 0)
		return NULL;
	return strcmp(name, "input-pnpm-lock.yaml") == 0 ? "pnpm-lock.yaml" : name;
}

static int copy_tree(str to, str from, struct arena *a, struct err *e)
{
	DIR *d = opendir(from.p);
	int rc = 0;

	if (!d || (mkdir(to.p, 0755) != 0 && errno != EEXIST))
		rc = err_os(e, "copying " STR_FMT, STR_ARG(from));
	for (struct dirent *de; rc == 0 && (de = readdir(d));) {
		const char *name = copied_as(de->d_name);
		struct stat st;
		if (!name)
			continue;
		str source = arena_printf(a, STR_FMT "/%s", STR_ARG(from), de->d_name);
		str target = arena_printf(a, STR_FMT "/%s", STR_ARG(to), name);
		if (stat(source.p, &st) != 0)
			rc = err_os(e, "%s", source.p);
		else
			rc = S_ISDIR(st.st_mode) ? copy_tree(target, source, a, e) : copy_file(target.p, source.p, e);
	}
	if (d)
		closedir(d);
	return rc;
}

/* Whether the lockfile does as it is, or moved a little, as command_install.c finds out: *OUT is what is written. */
static bool lockfile_does(struct lockfile *out, const struct project *p, struct arena *a)
{
	struct str_list why;

	if (!p->has_lockfile || !p->client.prefer_frozen_lockfile)
		return false;
	if (!lockfile_satisfies(&p->lockfile, &p->req, false, &why, a))
		return lockfile_absorb(out, &p->lockfile, &p->req, a);
	if (!lockfile_reprint(out, &p->lockfile, p->lockfile_text, a))
		*out = p->lockfile;
	return true;
}

int parity_case_read(struct parity_case *c, str dir, str registry, struct err *e)
{
	char *no_env[] = { NULL }, copy[] = "/tmp/parity-case.XXXXXX";
	str parent;

	*c = (struct parity_case){ .a = ARENA_INIT(0) };
	c->dir = arena_str(&c->a, dir);
	if (!str_rcut(c->dir, '/', &parent, &c->name))
		return err_set(e, ERR_USAGE, STR_FMT ": a case is a folder below another", STR_ARG(dir));
	int rc = file_slurp(&c->want, arena_printf(&c->a, STR_FMT "/expected-pnpm-lock.yaml", STR_ARG(dir)).p, e);
	if (rc < 0)
		return rc;
	if (!mkdtemp(copy))
		return err_os(e, "%s", copy);
	c->copy = arena_str(&c->a, str_of(copy));
	rc = copy_tree(c->copy, c->dir, &c->a, e);
	if (rc < 0)
		return rc;
	c->project = xcalloc(1, sizeof(*c->project));
	rc = project_load(c->project,
		&(struct project_opts){ .dir = c->copy, .registry = registry, .lockfile_only = true, .env = no_env },
		e);
	if (rc < 0)
		return rc;
	c->req = &c->project->req;
	c->req->mode = REQUEST_LOCKFILE_ONLY;
	c->req->ignore_scripts = true;
	c->no_plan = lockfile_does(&c->absorbed, c->project, &c->a);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void parity_case_release(struct parity_case *c)
{
	if (c->project)
		project_release(c->project);
	free(c->project);
	if (c->copy.n)
		nftw(c->copy.p, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	buf_release(&c->want);
	arena_release(&c->a);
}
