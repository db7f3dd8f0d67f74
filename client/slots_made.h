/* slots_made — the slots that an install has made so far, written down while it goes on: node_modules/.pnpm/.dray-made.
 *
 * An install that is killed has written no state (state.h). That a slot it made is whole can be seen, but not of what
 * it is made; so finished slots are appended to a file from time to time, and the next install keeps those that it
 * would make the same. The times of a slot's two folders and an inode tell it from any other of its name, made before
 * or after: where times are whole seconds, two installs that are killed within one may have made both. What was
 * written in another life of the machine says nothing: where that ended without a sync, files of such a slot may have
 * lost their bytes. One install at a time, which holds the lock of node_modules/.pnpm; its thread. A file that cannot
 * be read or written costs the work of an install that is killed, and nothing else. */
#pragma once
#include "state.h"
#include "tree.h"

/* How often it is written: an install that takes less than this writes nothing. One that is killed loses the work of
 * so long, and of one turn of its loop. */
enum { SLOTS_MADE_MS = 1000 };
#define SLOTS_MADE_FILE ".dray-made"

struct slots_made;
/* Reads what installs that were killed have left in VSTORE, which is borrowed. */
struct slots_made *slots_made_open(int vstore);
/* What was left says so of the slot in the folder DIR; its commands may be missing. Or NULL. */
const struct state_slot *slots_made_find(const struct slots_made *m, const char *dir);
/* S is whole but for its commands. */
void slots_made_add(struct slots_made *m, const struct slot *s);
/* Appends what was added, if it is time, or NOW. */
void slots_made_write(struct slots_made *m, bool now);
/* The install failed, and its slots were removed: what earlier ones left is there as it was. */
void slots_made_undo(struct slots_made *m);
void slots_made_free(struct slots_made *m);
