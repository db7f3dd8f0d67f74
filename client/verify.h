/* verify — `dray verify`: is what lies here what the registry has?
 *
 * Each package's tarball is fetched from its registry (never from a drayd), or read
 * where it is a file of the project's (file:x.tgz), and verified against the
 * lockfile's SRI; the list of its files is compared with what lies in
 * node_modules, byte by byte, or with what the store says of it.
 * Nothing that lies there is written to (the store's lock for shared slots is made
 * where it is missing). Packages whose scripts may run and patched ones are
 * allowed to differ: they are named, and no error. Symlinks of slots and projects
 * must lead where the lockfile says. Of shared slots those are looked at that
 * this project's lockfile names, not other projects'. Blocks; one thread, work on the pool. */
#pragma once
#include "progress.h"
#include "project.h"

struct verify_opts {
	const struct project *project;
	const struct request *req; /* groups; its lockfile is the tree's */
	struct progress *progress;
	const char *store_dir; /* not NULL: that store is audited, and no tree */
	/* Not NULL: the tree's slots lie in that store, for all projects (enableGlobalVirtualStore). */
	const char *shared_store;
	int cancel_fd;
};
/* 0: all is what the registry has. ERR_INTEGRITY: something is not. Else a package could not be looked
 * at, with the first reason. */
MUST_USE int verify_run(const struct verify_opts *o, struct err *e);
