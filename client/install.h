/* install — one install from request to finished tree. install.c is the place to read how it goes.
 *
 * One loop thread owns everything here; the source, the fetch thread and the
 * pool hand in their results. */
#pragma once
#include "link.h"
#include "progress.h"
#include "project.h"
#include "source.h"

struct plan_keep;
struct install_opts {
	const struct project *project;
	const struct request *req; /* the project's, with mode and groups as the command line wants them */
	bool locked;               /* the lockfile satisfies the manifests: no resolver */
	bool moved;                /* and is not what stands on the disk: it is to be written */
	bool just_written;         /* or was written by an earlier step of the same command */
	bool just_excluded;        /* pnpm-workspace.yaml was, by an earlier step */
	bool catalog_prune;        /* entries of catalogs that nothing uses are to leave it */
	/* By importer of the project: an install for these, the others stay as they are; NULL: for all. */
	const bool *selected;
	str env_document;   /* what stands before the lockfile */
	bool unwritten;     /* nothing of the project is written */
	bool want_lockfile; /* the lockfile's text is wanted in the result */
	bool lockfile_only, force, offline, prefer_offline, ignore_scripts;
	const char *store_dir;
	enum store_verify verify;
	struct source *source; /* not the locked one nor the direct one; NULL: install makes its own. Borrowed */
	struct source *verdict_source; /* judges the lockfile; NULL: this process does. Borrowed */
	str packs_url, packs_token;    /* a drayd whose packs are used before the registry's tarballs; empty: none */
	bool packs_stop;               /* a wrong pack ends the install */
	uint64_t settings_hash;        /* for the state file */
	struct str_list watch;         /* files that decide whether there is anything to do */
	int64_t began_ns;              /* clock_file_ns() before they were read */
	const struct plan_keep *keep;  /* what may be kept for the next install; NULL: nothing. Borrowed */
	struct progress *progress;
	int cancel_fd; /* readable: stop; -1: none */
};
struct install_times {
	/* µs, from start. */
	uint64_t start, first_frame, last_frame, fetch_first, fetch_last, linked, root, bins, scripts, finish, end;
};
struct install_result {
	struct install_times t;
	struct link_counts link;
	uint64_t packages, slots, kept, skipped, fetched, fetched_bytes, reused, pruned, import_us;
	uint64_t packs, pack_bytes, packs_absent, packs_refused, pack_requests; /* from a drayd */
	uint64_t deltas;                                                        /* of the packs */
	uint64_t packs_saved;           /* bytes that tarballs would have been more */
	uint64_t tarballs;              /* from registries */
	bool plan_cached;               /* the server had the plan ready */
	uint64_t slots_before_done;     /* linked before the plan's last frame */
	struct str_list ignored_builds; /* name@version, in *arena */
	struct str_list excluded;       /* likewise: what came into minimumReleaseAgeExclude */
	struct arena arena;
	bool lockfile_written, workspace_written;
	str lockfile_text; /* when it was wanted, in *arena */
	const char *source;
	struct frame_done plan; /* the plan's own totals; zeros without its last frame */
};
/* ERR_BUILDS after a complete install whose packages want to build and may not. */
MUST_USE int install_run(struct install_result *out, const struct install_opts *o, struct err *e);
void install_result_release(struct install_result *r);
