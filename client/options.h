/* options — the command line, once, into a struct. Strings borrow from argv. */
#pragma once
#include "progress.h"

enum { OPTIONS_FILTERS_MAX = 64 };
enum command {
	COMMAND_NONE = 0,
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_INSTALL,
	COMMAND_STORE,
	COMMAND_DOCTOR,
	COMMAND_VERIFY
};
struct options {
	enum command command;
	str dir, registry, store_dir, server; /* empty: not given */
	bool direct, offline, prefer_offline, force, ignore_scripts, lockfile_only, ignore_workspace, trust_lockfile;
	bool global_virtual_store; /* also where pnpm-workspace.yaml says nothing of it */
	enum frozen { FROZEN_UNSAID = 0, FROZEN_YES, FROZEN_NO } frozen; /* --frozen-lockfile */
	bool prod, dev, no_optional;
	bool store; /* verify --store: not a tree */
	bool workspace_root, fail_if_no_match, recursive;
	struct options_filters {
		str p[OPTIONS_FILTERS_MAX];
		size_t n;
	} filter, filter_prod; /* selectors, in order */
	enum reporter reporter;
	str materialization; /* "server" or "registry"; empty: not given */
	str bad_pack;        /* "tarball" or "stop"; empty: not given */
	str server_fallback; /* "direct" or "error"; empty: not given */
	str verify_store;    /* "stat", "full", "none" or empty */
	str store_command;   /* path, status, verify, prune, sync */
};
/* The setting of pnpm-workspace.yaml that OPTION, "like-this", is, and that dray reads; NULL: none. */
typedef const char *options_setting(str option);
/* ERR_USAGE says what is wrong and what was perhaps meant; ERR_UNSUPPORTED what to do instead. With SETTING (may be
 * NULL) also for options that are settings here. */
MUST_USE int options_parse(struct options *out, int argc, char **argv, options_setting *setting, struct err *e);
/* Whether perhaps not all projects of a workspace are meant. */
bool options_filtered(const struct options *o);
extern const char options_help[];
