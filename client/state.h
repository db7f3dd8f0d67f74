/* state — what dray remembers of a tree: node_modules/.dray-state.
 *
 * Two parts. The head answers "is there anything to do?" from the stats of a
 * few files and folders and a hash of the settings, before anything else of
 * dray is initialised. The body has each slot's wiring and folder times, so
 * that an install into an existing tree knows which slots still stand. Binary, little-endian, checked when read; a
 * file of another version is as good as none. Written last, by rename. */
#pragma once
#include "base/base.h"

struct state_watch {
	str path;         /* absolute, or from the lockfile's folder */
	int64_t mtime_ns; /* -1: it was not there */
	uint64_t size;    /* 0 for folders */
};
struct state_slot {
	str dir;
	uint64_t wiring;
	int64_t modules_ns, package_ns;
	uint64_t modules_ino; /* only in the record of an install at work (slots_made.h), else 0 */
	bool begun;           /* by an install that failed: its commands may be missing */
};
struct state {
	uint64_t settings; /* hash of everything else that decides what an install does */
	struct state_watch *watch;
	size_t nwatch;
	struct state_slot *slot; /* those that were only begun come last */
	size_t nslots;
	struct map by_dir; /* only after state_read() */
	struct arena arena;
};

/* FILES, which decide what is to be done, and the files and folders of the tree below ROOT that an install makes last,
 * those of scopes, too. In A. */
struct str_list state_watch_list(struct str_list files, int root, struct arena *a);
/* Fills mtime and size of W from the disk; ROOT is the lockfile's folder. A file that was written after READ_NS
 * (clock_file_ns()), when it had been read, gets the time STATE_EDITED, which no file has. INT64_MAX: this
 * install wrote it itself. */
#define STATE_EDITED (-2)
void state_stat(struct state_watch *w, int root, int64_t read_ns);
/* Whether the tree below ROOT was made with this hash of settings and everything watched is as it was. */
bool state_current(int root, uint64_t settings);
/* Reads all of it. False when there is none that can be read. */
bool state_read(struct state *out, int root);
void state_release(struct state *s);
/* The row of the slot in the folder DIR, or NULL. */
const struct state_slot *state_slot(const struct state *s, const char *dir);
/* By rename. */
MUST_USE int state_write(const struct state *s, int root, struct err *e);
/* The same into the file that state_write() made, in place: no folder's time changes. */
MUST_USE int state_update(const struct state *s, int root, struct err *e);
/* From now on the tree is not known to be current: called before the first change to an existing tree. */
void state_forget(int root);
