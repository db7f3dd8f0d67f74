/* shared — slots that several projects have in common: <store>/links, and which projects they are for.
 *
 * This module owns the folder, its two locks and the projects' records; what
 * a slot is made of is the client's business (client/gvs.h). Slots are named
 * by a hash of all that they are made of, so a name means one content for ever.
 *
 * use: a process that installs holds it shared for as long as it lives; prune
 * takes it alone, so nothing is removed beside an install. make: whoever makes
 * slots holds it alone; a slot that is not whole then is nobody's, and is made
 * anew. A project's record (<store>/projects/<hash of its folder>) lists its
 * slots; it is written before the project points at them. Format: docs/store.md.
 * One thread. */
#pragma once
#include "store.h"

struct shared_slots;
/* Opens, and makes where they are missing, the shared slots of the store in DIR. Nothing else of the store is
 * opened. */
MUST_USE int shared_open(struct shared_slots **out, const char *dir, struct err *e);
void shared_close(struct shared_slots *h);
/* The folder, borrowed, and its path without symlinks. */
int shared_fd(const struct shared_slots *h);
str shared_path(const struct shared_slots *h);
/* A file whose time changes whenever slots are removed. Absolute. */
str shared_stamp(const struct shared_slots *h);
/* Slots are about to be replaced: no project is up to date by what it has seen. */
MUST_USE int shared_stamp_renew(struct shared_slots *h, struct err *e);

/* The right to make slots: 1 when it is ours, 0 when another process has it and WAIT is false. */
MUST_USE int shared_make(struct shared_slots *h, bool wait, struct err *e);

/* The project in the folder ROOT is about to use the slots DIR, N names below the folder, which KEY stands for: its
 * record then has them and what it had before. Written only when that is news. */
MUST_USE int shared_record(
	struct shared_slots *h, str root, const uint8_t key[32], const str *dir, size_t n, struct err *e);
/* It uses them and no others. */
MUST_USE int shared_record_end(struct shared_slots *h, str root, struct err *e);
/* ROOT has no shared slots any more. */
void shared_forget(struct store *s, str root);

struct shared_pruned {
	uint64_t slots, kept; /* slots removed, or what would be */
	uint64_t projects, projects_gone;
	bool busy;   /* an install is at work: nothing was removed */
	bool unread; /* a record cannot be read: nothing was removed, as its slots are not known */
	char unread_name[64];
};
/* Removes slots that no project has whose folder still has a node_modules, and records of those that are gone. */
MUST_USE int shared_prune(struct shared_pruned *out, struct store *s, bool dry_run, struct err *e);
