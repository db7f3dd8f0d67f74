/* run — the measured rounds: subjects × phases over a project and a link, interleaved, checked, written as JSON lines.
 *
 * A run that exits non-zero, leaves no lockfile or a wrong tree, or makes the
 * mirror miss is a failed sample: written as failed, never averaged. */
#pragma once
#include "rig.h"
#include "subject.h"
#include <stdio.h>

enum { RUN_MOST_SUBJECTS = 16, RUN_MOST_PROJECTS = 16 };
struct run_opts {
	const char *work_dir;   /* images and logs; not on a file system where somebody just deleted */
	const char *mirror_dir; /* recorded before with `dray-bench record` */
	const char *dray_dir, *peers_dir;
	const char *project[RUN_MOST_PROJECTS]; /* directories with a package.json */
	size_t nprojects;
	const struct subject *subject[RUN_MOST_SUBJECTS];
	size_t nsubjects;
	bool phase[NPHASES];
	const struct link_profile *link;
	unsigned rounds;
	uint64_t image_bytes;
	str upstream; /* record what is missing from this registry; empty: frozen */
	FILE *out;    /* JSON lines; NULL: none */
};
/* 0 when every sample was good; ERR_SCRIPT when some failed (they are in OUT); other codes when it could not go on. */
MUST_USE int run_all(const struct run_opts *o, struct err *e);
