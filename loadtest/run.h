/* run — the measured rounds: subjects × phases over a project and a link, interleaved, checked, written as JSON lines.
 *
 * A run that exits non-zero, leaves no lockfile or a wrong tree, or makes the
 * mirror miss is a failed sample: written as failed, never averaged. */
#pragma once
#include "rig.h"
#include "subject.h"
#include <stdio.h>

enum { RUN_MOST_SUBJECTS = 16, RUN_MOST_PROJECTS = 16, RUN_MOST_STEPS = 512 };
/* One phase of one project over one link: the rounds that are interleaved. */
struct run_step {
	size_t project;
	const struct link_profile *link;
	enum phase phase;
	uint32_t subjects; /* bits, by index */
	unsigned rounds;
};
struct run_opts {
	const char *work_dir;   /* images and logs; not on a file system where somebody just deleted */
	const char *mirror_dir; /* recorded before with `dray-bench record` */
	const char *dray_dir, *peers_dir;
	const char *project[RUN_MOST_PROJECTS]; /* directories with a package.json */
	size_t nprojects;
	const struct subject *subject[RUN_MOST_SUBJECTS];
	size_t nsubjects;
	struct run_step step[RUN_MOST_STEPS]; /* those of one project follow each other */
	size_t nsteps;
	uint64_t image_bytes;
	uint32_t settled; /* by project, as bits: a settled server's packs are there from before; for estimates */
	str upstream;     /* record what is missing from this registry; empty: frozen */
	FILE *out;        /* JSON lines; NULL: none */
	/* Whether a sample is still to be made, and whether there is time for a round; NULL: always. */
	bool (*wanted)(void *arg, const struct run_step *s, size_t subject, unsigned round);
	bool (*may_start)(void *arg, const struct run_step *s, unsigned round);
	void *arg;
};
/* Sets o->settled by what lies in o->work_dir. */
void run_find_settled(struct run_opts *o);
/* The steps of each project over each link in each phase with all subjects. ERR_TOOBIG past RUN_MOST_STEPS. */
MUST_USE int run_cross(struct run_opts *o, const struct link_profile *const *link, size_t nlinks,
	const bool phase[NPHASES], unsigned rounds, struct err *e);
/* A descriptor that holds the work folder for this process until it is closed; ERR_BUSY after ten seconds. */
MUST_USE int run_lock(const char *work_dir, struct err *e);
/* 0 when every sample was good; ERR_SCRIPT when some failed (they are in OUT); other codes when it could not go
 * on: ERR_BUSY where another run has the work folder, ERR_USAGE where the subjects do not do for the phases.
 * Says each sample on stderr. */
MUST_USE int run_all(const struct run_opts *o, struct err *e);
