/* outcome — what a run left behind: whether it is what it should be, and how much it takes on disk.
 *
 * Looked at after the clock has stopped. The tree is held against the lockfile
 * that lies beside it: for pnpm-lock.yaml each package that is not optional
 * has to have its slot with a package.json (with shared slots one in the store), for
 * all others the direct dependencies. */
#pragma once
#include "place.h"

/* NULL when all is there, else what is not (in A). */
const char *outcome_lockfile(const struct subject_place *at, const struct subject *s, struct arena *a);
const char *outcome_tree(const struct subject_place *at, const struct subject *s, struct arena *a);
/* After a run that failed: why S cannot install this project at all, by what it said in its log, or NULL. That is
 * yarn's lot where the registry lacks a version of an optional package, which all others do without. */
const char *outcome_unavailable(const struct subject_place *at, const struct subject *s, struct arena *a);
/* SHA-256 of the lockfile in hex, in A; empty when there is none. */
str outcome_lockfile_digest(const struct subject_place *at, const char *lockfile, struct arena *a);

struct outcome_sizes {
	uint64_t store_bytes, modules_bytes, lockfile_bytes;
	uint64_t store_files, modules_files; /* anything but folders */
};
/* Blocks on disk. A file that several names lead to counts once, for the store if one of them lies there. */
struct outcome_sizes outcome_sizes(const struct subject_place *at, const char *lockfile);
