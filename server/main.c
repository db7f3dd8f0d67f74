#include "config.h"
#include "resolver.h"
#include "server.h"
#include <stdio.h>
#include <unistd.h>

static int serve(const struct config *c, struct err *e)
{
	struct resolver *r;

	if (resolver_new(&r, c, e) < 0)
		return e->code;
	int rc = server_run(c, resolver_backend(r), e);
	resolver_free(r);
	return rc;
}

int main(int argc, char **argv)
{
	AUTO(config_release) struct config c = { 0 };
	AUTO(buf_release) struct buf out = BUF_INIT;
	struct err e = { 0 };
	int rc = 0;

	server_signals_block();
	if (config_load(&c, argc, argv, &e) < 0) {
		fprintf(stderr, "drayd: %s\n", e.msg);
		return err_exit_status(e.code);
	}
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
	case CONFIG_RUN:
		rc = serve(&c, &e);
		break;
	}
	if (rc < 0)
		fprintf(stderr, "drayd: %s\n", e.msg);
	fwrite(out.p, 1, out.n, stdout);
	return err_exit_status(rc);
}
