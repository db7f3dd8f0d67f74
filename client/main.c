/* dray-work — the client: what to do, and how to say how it went. Started by dray (front.c), which has seen that
 * there is something to do. */
#include "command.h"
#include "descriptors.h"
#include "fs.h"
#include "heap.h"
#include "workspace_yaml.h"
#include <stdio.h>

static const char *setting_of(str option)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(256);
	enum setting_kind kind;
	const char *name = workspace_yaml_named(option, &kind, &a);

	return name && kind == SETTING_READ ? name : NULL;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err e;

	if (fs_std() < 0)
		return err_exit_status(ERR_IO);
	heap_shape();
	descriptors_raise();
	if (options_parse(&o, argc, argv, setting_of, &e) < 0) {
		fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
		return err_exit_status(e.code);
	}
	switch (o.command) {
	case COMMAND_NONE:
		fputs(options_help, stderr);
		return err_exit_status(ERR_USAGE);
	case COMMAND_HELP:
		fputs(options_help, stdout);
		return 0;
	case COMMAND_VERSION:
		puts(DRAY_VERSION);
		return 0;
	case COMMAND_INSTALL:
		return command_install(&o);
	case COMMAND_VERIFY:
		return command_verify(&o);
	case COMMAND_DOCTOR:
		return command_doctor(&o);
	case COMMAND_STORE:
		return command_store(&o);
	}
	return 0;
}
