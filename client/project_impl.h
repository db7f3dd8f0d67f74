/* project_impl — what the files of project share: project.c (folders, manifests, the lockfile), project_settings.c
 * (settings, registries, credentials, the network). */
#pragma once
#include "credentials.h"
#include "project.h"
#include <nettle/sha2.h>

/* What the loading of one project shares. */
struct load {
	struct project *p;
	const struct project_opts *o;
	struct arena *a;
	char **env;
	str dir; /* where the user stands, absolute */
	bool has_yaml;
	struct workspace_yaml w;
	str machine_registry; /* what the machine's config.yaml says of registries comes last */
	struct registry_route *machine_route;
	size_t nmachine_route;
	struct credentials rc;
	struct sha256_ctx manifests;
	struct err *e;
};

/* A line for people. */
void load_warn(struct load *l, str text);
/* DIR/NAME in L's arena. */
str load_path(struct load *l, str dir, const char *name);
/* The text of a file of at most LOAD_FILE_MAX bytes, in L's arena; absent when there is no such file. */
enum { LOAD_FILE_MAX = 16 << 20 };
/* The text of PATH in *OUT, in the load's arena; absent where there is no such file. ERR_IO, ERR_TOOBIG past
 * LOAD_FILE_MAX. */
MUST_USE int load_text(struct load *l, str path, str *out);

/* Where pnpm keeps what is the machine's: config.yaml, auth.ini. Empty where there is no home. */
str load_config_dir(char **env, struct arena *a);
/* project_settings.c: the project's settings, its own and those of the request; its root is known. */
MUST_USE int load_settings(struct load *l);
