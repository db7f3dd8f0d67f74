/* cmd_run — `dray-bench run` and `dray-bench record`: options, then run_all(). */
#include "cmd.h"
#include "fs.h"
#include "result.h"
#include "setup.h"
#include "table.h"
#include <fcntl.h>
#include <stdlib.h>

static int show(const struct setup *o)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1 << 16);
	struct result r;
	struct err e;

	if (result_read(&r, o->out, &a, &e) < 0) {
		fprintf(stderr, "dray-bench: %s\n", e.msg);
		return err_exit_status(e.code);
	}
	table_print(&r);
	return o->gates && !gates_hold(&r, o->gates);
}

static int fail(const struct err *e)
{
	fprintf(stderr, "dray-bench: %s\n", e->msg);
	return err_exit_status(e->code);
}

static int run(struct setup *o)
{
	struct err e;

	if (run_cross(&o->run, o->link, o->nlinks, o->phase, o->rounds, &e) < 0 || setup_open(o, &e) < 0)
		return fail(&e);
	int rc = run_all(&o->run, &e);
	fclose(o->run.out);
	int status = rc < 0 ? fail(&e) : 0, shown = show(o);
	return status ? status : shown;
}

int cmd_run(int argc, char **argv)
{
	struct setup *o = xcalloc(1, sizeof(*o));

	setup_defaults(o);
	int status = setup_take(o, argc, argv, false);
	if (status < 0)
		status = run(o);
	free(o);
	return status;
}

/* Between them these ask for everything: what checks a lockfile against a policy, a part by itself, older versions. */
static int record(struct setup *o)
{
	struct err e;

	if (!o->run.upstream.n)
		o->run.upstream = STR(DRAY_DEFAULT_REGISTRY);
	setup_phases(o, "p3,partial,update");
	setup_links(o, "loopback");
	if (run_cross(&o->run, o->link, o->nlinks, o->phase, 1, &e) < 0 ||
		fs_mkdir_p(AT_FDCWD, o->run.work_dir, 0755, &e) < 0 || run_all(&o->run, &e) < 0)
		return fail(&e);
	return 0;
}

int cmd_record(int argc, char **argv)
{
	struct setup *o = xcalloc(1, sizeof(*o));

	setup_defaults(o);
	/* One subject for all that ask for the same. */
	setup_subjects(o, "dray-direct,dray-cold,pnpm,bun,utoo,npm,yarn");
	int status = setup_take(o, argc, argv, false);
	if (status < 0)
		status = record(o);
	free(o);
	return status;
}
