#include "config.h"
#include "descriptors.h"
#include "fs.h"
#include "heap.h"
#include "remedy.h"
#include "resolver.h"
#include "server.h"
#include "settle.h"
#include "store_check.h"
#include "token_file.h"
#include "watch.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STORE_MS = 15000 }; /* for the writer's queue to reach the index */

static int serve(const struct config *c, int argc, char **argv, struct err *e)
{
	struct resolver *r;
	struct watch *w = NULL;
	struct err ignored;

	descriptors_raise(); /* max-connections is 10,000; what the system does not give is a connection less */
	if (resolver_new(&r, c, e) < 0)
		return e->code;
	int rc = server_run(c, resolver_backend(r), argc, argv, e);
	/* The last stage of a stop: what is queued for the index is written. */
	if (watch_new(&w, &(struct watch_opts){ 0 }, &ignored) == 0)
		watch_stage(w, "store", STORE_MS);
	resolver_free(r);
	watch_free(w);
	return rc;
}

static int tokens_command(struct buf *out, const struct config *c, struct err *e)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(1024);

	str file = config_token_file(c, &a);
	int rc = token_command(out, file, c->args, (int64_t)time(NULL), e);
	if (rc == 0 && str_eq(c->args.p[0], STR("add"))) /* beside what a script takes */
		fprintf(stderr, "drayd: token " STR_FMT " is in " STR_FMT "\n", STR_ARG(c->args.p[1]), STR_ARG(file));
	return rc;
}

static void say(const struct err *e, const struct config *c)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	const char *priority = log_priority(STDERR_FILENO, LOG_ERROR);

	buf_printf(&b, "%sdrayd: %s\n%s", priority, e->msg, priority);
	size_t n = b.n;
	remedy_print(&b, e, c);
	if (b.n == n)
		b.n -= strlen(priority);
	fwrite(b.p, 1, b.n, stderr);
}

int main(int argc, char **argv)
{
	AUTO(config_release) struct config c = { 0 };
	AUTO(buf_release) struct buf out = BUF_INIT;
	struct err e = { 0 };
	int rc = 0;

	if (fs_std() < 0)
		return err_exit_status(ERR_IO);
	heap_setup();
	server_signals(true); /* from the first moment on: before there are threads, and no SIGHUP is lost */
	if (config_load(&c, argc, argv, &e) < 0) {
		say(&e, NULL);
		return err_exit_status(e.code);
	}
	if (c.command != CONFIG_RUN && c.command != CONFIG_SETTLE)
		server_signals(false);
	log_setup(STDERR_FILENO, c.log_level, c.log_format);
	switch (c.command) {
	case CONFIG_HELP:
		config_help(&out);
		break;
	case CONFIG_VERSION:
		buf_add(&out, STR("drayd " DRAY_VERSION "\n"));
		break;
	case CONFIG_CHECK:
		if ((rc = server_check(&c, &e)) == 0)
			buf_add(&out, STR("configuration is fine\n"));
		break;
	case CONFIG_TOKEN:
		rc = tokens_command(&out, &c, &e);
		break;
	case CONFIG_VERIFY:
		rc = store_check(&c, STDOUT_FILENO, &e);
		break;
	case CONFIG_SETTLE:
		rc = settle_run(&c, STDOUT_FILENO, &e);
		break;
	case CONFIG_RUN:
		rc = serve(&c, argc, argv, &e);
		break;
	}
	if (out.n && (fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0) && rc == 0)
		rc = err_os(&e, "standard output%s",
			c.command == CONFIG_TOKEN && str_eq(c.args.p[0], STR("add"))
				? ", so the token is lost: revoke it, and add another one"
				: "");
	if (rc < 0)
		say(&e, &c);
	return err_exit_status(rc);
}
