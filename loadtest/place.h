/* place — the folders that a subject works in, made for each phase's starting state.
 *
 * Nothing is deleted: fresh state is a new folder, and file system images are
 * dropped as a whole. <subject>/ref below REF is the primed state (store,
 * lockfile, tree), which outlives the phases of a project; <subject>/<n>
 * below ROOT is what a sample starts from. They may be two file systems, except
 * where a phase links from the primed store. */
#pragma once
#include "manifest.h"
#include "subject.h"

struct bench_place {
	struct arena a;
	str ref, root, source, mirror;
	const char *project_name;
	struct manifest manifest; /* the project's own */
	struct json *json;
	unsigned serial;
};
/* One subject's folders for one run. Strings live in the arena that was given. */
struct subject_place {
	const char *project, *home, *store;
	const char *drayd_store; /* of its server, where it has one that outlives the run */
	const char *log;         /* a file: what it says */
	const struct manifest *manifest;
};

/* MIRROR is where packuments of older versions are looked up for the update phase. ROOT is REF until it is moved. */
MUST_USE int place_open(struct bench_place *p, const char *ref, const char *source, const char *mirror, struct err *e);
/* From now on samples start below ROOT; NULL: below REF. */
void place_move(struct bench_place *p, const char *root);
void place_close(struct bench_place *p);
/* The subject's primed state, empty at first. */
MUST_USE int place_prime(
	struct subject_place *at, struct bench_place *p, const char *subject, struct arena *a, struct err *e);
/* What a sample of PHASE starts from. */
MUST_USE int place_for(struct subject_place *at, struct bench_place *p, const char *subject, const char *lockfile,
	enum phase phase, struct arena *a, struct err *e);
/* PARTIAL and UPDATE: the project to install first into AT's store (a part of the dependencies; ten of them older)…
 * ERR_NOTFOUND: this one has no such state. */
MUST_USE int place_before(struct subject_place *before, const struct subject_place *at, struct bench_place *p,
	enum phase phase, struct arena *a, struct err *e);
/* … and the step from there to the state that is measured. */
MUST_USE int place_after(struct subject_place *at, const struct subject_place *before, enum phase phase, struct err *e);
/* A new folder for SUBJECT, not made. */
const char *place_fresh(struct bench_place *p, const char *subject, const char *what, struct arena *a);
/* The last part of a project's folder, as results call it. */
const char *place_project_name(const char *path);
/* At most 64 MiB, else ERR_TOOBIG; a NUL follows. ERR_NOTFOUND, ERR_IO. */
MUST_USE int place_read_file(str *out, const char *path, struct arena *a, struct err *e);
/* The last summary line of dray's ndjson in the log, or absent. */
str place_summary(const struct subject_place *at, struct arena *a);
/* The end of the log, on stderr: the image that holds it is about to go. */
void place_show_log(const struct subject_place *at);
/* Waits until what was written is on disk, so that a sample does not pay for its predecessor. */
void place_sync(const struct bench_place *p);
/* Bytes that are free where the primed states are; 0: nobody says. */
uint64_t place_free(const struct bench_place *p);
/* DIR and all below it. Before the first measurement or after the last: deleting slows what comes behind it. */
void place_remove(const char *dir);
