/* finish — what an install writes last: pnpm's state files, dray's own, the lockfile.
 *
 * node_modules/.modules.yaml and node_modules/.pnpm/lock.yaml say what pnpm would say, so that both tools can take
 * turns in one checkout. pnpm's word that there is nothing to do (pnpm_state.h) is written where it is true. Each file
 * by rename; one that is equal already is left alone. */
#pragma once
#include "file_put.h"
#include "hoist.h"
#include "progress.h"
#include "project.h"
#include "state.h"

/* What of the files that are watched the command itself has written. */
struct written {
	bool lockfile, workspace;
};
struct finish_opts {
	const struct project *project;
	int root_fd;
	const struct tree *tree;
	const struct hoist *hoist;
	const struct request *req;
	const struct lockfile *lockfile;
	struct staged *staged;  /* the lockfile as text, written already; or NULL */
	struct staged *current; /* the same of current_lockfile() */
	bool write_lockfile, lockfile_only, ignore_scripts, catalog_prune;
	struct written just_written; /* by an earlier step of the same command */
	const char *store_dir;
	struct str_list ignored_builds; /* name@version */
	struct str_list young;          /* name@version: for minimumReleaseAgeExclude; is sorted */
	struct progress *progress;
	uint64_t settings_hash;
	/* What decides whether there is anything to do, as it was when this install read it. */
	struct state_watch *watched;
	size_t nwatched;
	str stamp;           /* of shared slots: a file that changes when some are removed; or empty */
	bool filtered;       /* not all projects are in the tree */
	str pnpm_state;      /* what pnpm_state_take() has found */
	uint8_t *policy_key; /* gets policy_key() of the lockfile that is written */
};
/* What of LOCKFILE is in the tree: the groups asked for, without what was skipped. It borrows from
 * LOCKFILE. After tree_reach(). */
struct lockfile current_lockfile(
	const struct lockfile *lockfile, const struct tree *tree, const struct request *req, struct arena *a);
/* Writes what is missing or differs, the state last. *OUT, which begins zeroed, says what it wrote of the files that
 * are watched. ERR_IO, ERR_NOSPACE with the file. */
MUST_USE int finish_write(struct written *out, const struct finish_opts *o, struct err *e);
/* An install has failed, and T's slots stay as they are: those that are whole are written down for the next one. */
void finish_failed(const struct tree *t, int root);
