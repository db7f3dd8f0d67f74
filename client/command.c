#include "command.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/json.h"
#include "doctor.h"
#include "fd_budget.h"
#include "server_token.h"
#include "store_command.h"
#include "verify.h"

/* ---- what they share ---- */

int command_fail(struct progress *p, const struct err *e)
{
	AUTO(buf_release) struct buf text = BUF_INIT;
	struct err said = *e;

	fd_budget_explain(&said);
	json_put_str(&text, str_of(said.msg));
	progress_event(p, "error", "\"code\":\"%s\",\"status\":%d,\"text\":" STR_FMT, err_name(e->code),
		err_exit_status(e->code), STR_ARG(buf_str(&text)));
	progress_clear(p);
	progress_plain(said.msg);
	fprintf(stderr, "%s: %s\n", err_name(e->code), said.msg);
	return err_exit_status(e->code);
}

struct project_opts command_project(const struct options *o)
{
	return (struct project_opts){ .dir = o->dir,
		.registry = o->registry,
		.ignore_workspace = o->ignore_workspace,
		.lockfile_only = o->lockfile_only };
}

struct request command_request(const struct options *o, const struct project *p)
{
	struct request r = p->req;

	r.mode = o->lockfile_only ? REQUEST_LOCKFILE_ONLY : REQUEST_FULL;
	r.prod = !o->dev;
	r.dev = !o->prod;
	r.optional = !o->no_optional && !o->dev;
	r.ignore_scripts = o->ignore_scripts || p->client.ignore_scripts;
	return r;
}

/* $XDG_DATA_HOME/dray/store, else ~/.local/share/dray/store. Where everybody may write, it would be anybody's. */
static int default_store(str *out, struct arena *a, struct err *e)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (data && data[0] == '/')
		*out = arena_printf(a, "%s/dray/store", data);
	else if (home && home[0] == '/')
		*out = arena_printf(a, "%s/.local/share/dray/store", home);
	else
		return err_set(e, ERR_USAGE,
			"HOME is not set, so there is no place for the store: name one by --store-dir, or storeDir in "
			"pnpm-workspace.yaml");
	return 0;
}

int command_store_dir(str *out, const struct options *o, const struct project *p, struct arena *a, struct err *e)
{
	str dir = o->store_dir.n ? o->store_dir : p->client.store_dir; /* the project's is absolute */
	char cwd[4096];

	if (!dir.n)
		return default_store(out, a, e);
	dir = path_from_home(a, str_of(getenv("HOME")), dir); /* --store-dir=~/x: the shell leaves it so */
	*out = dir.p[0] == '/' || !getcwd(cwd, sizeof(cwd)) ? arena_str(a, dir)
							    : arena_printf(a, "%s/" STR_FMT, cwd, STR_ARG(dir));
	return 0;
}

str command_server(const struct options *o)
{
	return o->server.n ? o->server : str_of(getenv("DRAY_SERVER"));
}

int command_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the short ones ---- */

/* The project's storeDir counts here, too, where there is a project. */
int command_store(const struct options *o)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct project p;
	struct project_opts po = command_project(o);
	struct err e;

	int loaded = project_load(&p, &po, &e), code;
	if (loaded < 0 && loaded != ERR_NOTFOUND && !o->store_dir.n)
		fprintf(stderr, "warning: settings of this folder are not used: %s\n", e.msg);
	struct project none = { 0 };
	str dir;
	code = command_store_dir(&dir, o, loaded == 0 ? &p : &none, &a, &e);
	if (code == 0)
		code = store_command_run(o, dir.p, &e);
	project_release(&p);
	if (code < 0)
		fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
	return code < 0 ? err_exit_status(code) : 0;
}

/* The registry is asked, never a drayd: whoever made the tree is not who says that it is right. */
int command_verify(const struct options *o)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);
	struct project_opts po = command_project(o);
	struct progress progress;
	struct project p = { 0 };
	struct err e = { 0 };
	str store = STR_NONE;

	progress_init(&progress, o->reporter);
	int cancel_fd = command_signals(), code = fd_budget_check(&e);
	if (code == 0)
		code = project_load(&p, &po, &e);
	bool shared = code == 0 && (o->global_virtual_store || p.client.enable_global_virtual_store);
	if (shared || (code == 0 && o->store))
		code = command_store_dir(&store, o, &p, &a, &e);
	if (code == 0) {
		struct request req = command_request(o, &p);
		struct verify_opts v = { .project = &p,
			.req = &req,
			.progress = &progress,
			.store_dir = o->store ? store.p : NULL,
			.shared_store = shared ? store.p : NULL,
			.cancel_fd = cancel_fd };
		code = verify_run(&v, &e);
	}
	int status = code < 0 ? command_fail(&progress, &e) : 0;
	project_release(&p);
	if (cancel_fd >= 0)
		close(cancel_fd);
	return status;
}

int command_doctor(const struct options *o)
{
	AUTO(buf_release) struct buf out = BUF_INIT;
	str named = command_server(o);
	struct project p;
	struct project_opts po = command_project(o);
	struct err e = { 0 };
	bool withheld;

	int loaded = project_load(&p, &po, &e);
	if (loaded < 0)
		fprintf(stderr, "warning: only the server is looked at, not a project: %s\n", e.msg);
	struct doctor_opts d = { .project = loaded == 0 ? &p : NULL, .url = named };
	if (loaded == 0) {
		d.url = named.n ? named : p.client.dray_server;
		d.token =
			server_token_or_env(d.url, !named.n, p.auth, p.nauth, str_of(getenv("DRAY_TOKEN")), &withheld);
	} else {
		d.token = str_of(getenv("DRAY_TOKEN"));
	}
	int code = doctor_run(&out, &d);
	fwrite(out.p, 1, out.n, stdout);
	project_release(&p);
	return code < 0 ? err_exit_status(code) : 0;
}
