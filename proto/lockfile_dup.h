/* lockfile_dup — deep copies of a lockfile's parts: for frames that outlive the one who sent them. Pure. */
#pragma once
#include "lockfile.h"

/* All of it in A. */
struct lock_head lock_head_dup(struct arena *a, const struct lock_head *h);
struct lock_package lock_package_dup(struct arena *a, const struct lock_package *p);
struct lock_snapshot lock_snapshot_dup(struct arena *a, const struct lock_snapshot *s);
struct lock_importer lock_importer_dup(struct arena *a, const struct lock_importer *im);
